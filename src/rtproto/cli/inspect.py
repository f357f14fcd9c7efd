"""``rtproto inspect`` counts what is in a capture; a :class:`Tally` holds the counts, never a frame."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from rtproto.capture import Direction, Skipped
from rtproto.cli._source import (
    Frame,
    Surface,
    capture_argument,
    console,
    frames,
    json_option,
    surface_option,
)
from rtproto.events import client, server, translation
from rtproto.types import AudioPcm, AudioPcma, AudioPcmu
from rtproto.unknown import Unknown

__all__ = ["Row", "Tally", "inspect"]

_SHOWN_PROBLEMS = 20
_PCM16_24KHZ = 48_000
_G711 = 8_000
_LEGACY_RATES = {"pcm16": _PCM16_24KHZ, "g711_ulaw": _G711, "g711_alaw": _G711}

_SIDES: tuple[Direction, ...] = ("client", "server")


@dataclass(slots=True)
class Row:
    """The frames of one type in one direction."""

    frames: int = 0
    bytes: int = 0
    typed: int = 0
    unknown: int = 0
    malformed: int = 0

    def add(self, frame: Frame) -> None:
        """Count one more."""
        self.frames += 1
        self.bytes += len(frame.record.raw)
        if not isinstance(frame.event, Unknown):
            self.typed += 1
        elif frame.event.error is None:
            self.unknown += 1
        else:
            self.malformed += 1

    def __add__(self, other: "Row") -> "Row":
        return Row(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(slots=True)
class Tally:
    """What a capture holds, in a size that does not grow with it."""

    rows: dict[tuple[Direction, str], Row] = field(default_factory=dict[tuple[Direction, str], Row])
    audio_seconds: dict[Direction, float] = field(default_factory=lambda: dict.fromkeys(_SIDES, 0.0))
    tokens: Counter[str] = field(default_factory=Counter[str])
    errors: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    skipped: int = 0
    problems: list[Skipped] = field(default_factory=list[Skipped])
    began: float | None = None
    ended: float | None = None
    _bytes_per_second: dict[Direction, int] = field(default_factory=dict[Direction, int])

    def add(self, frame: Frame | Skipped) -> None:
        """Count one more line."""
        if isinstance(frame, Skipped):
            self.skipped += 1
            self.problems += [frame] if len(self.problems) < _SHOWN_PROBLEMS else []
            return
        self.rows.setdefault((frame.direction, frame.event.type), Row()).add(frame)
        if (at := frame.record.timestamp) is not None:
            self.began = at if self.began is None else min(self.began, at)
            self.ended = at if self.ended is None else max(self.ended, at)
        self._look_into(frame.event)

    def _look_into(self, event: Any) -> None:
        match event:
            case server.ResponseOutputAudioDelta():
                self._hear("server", event.delta)
            case client.InputAudioBufferAppend() | translation.SessionInputAudioBufferAppend():
                self._hear("client", event.audio)
            case translation.SessionOutputAudioDelta():
                self._hear("server", event.delta)
            case server.SessionCreated() | server.SessionUpdated() | client.SessionUpdate():
                self._note_formats(event.session)
            case server.ResponseDone():
                self.tokens.update(_token_counts(event.response.usage))
            case server.Error():
                self.errors[event.error.type, _text(event.error.code)] += 1
            case _:
                pass

    def _hear(self, direction: Direction, base64: str) -> None:
        size = len(base64) * 3 // 4 - base64[-2:].count("=")
        self.audio_seconds[direction] += size / self._bytes_per_second.get(direction, _PCM16_24KHZ)

    def _note_formats(self, session: Any) -> None:
        directions: dict[str, Direction] = {"input": "client", "output": "server"}
        for side, direction in directions.items():
            audio_format = getattr(getattr(getattr(session, "audio", None), side, None), "format", None)
            rate = _rate(audio_format)
            if rate:
                self._bytes_per_second[direction] = rate

    @property
    def total(self) -> Row:
        """All rows in one."""
        return sum(self.rows.values(), Row())

    def as_dict(self) -> dict[str, Any]:
        """The tally for JSON: bytes, seconds and tokens in plain numbers, null for what is not known."""
        total = self.total
        return {
            "frames": total.frames,
            "bytes": total.bytes,
            "typed": total.typed,
            "unknown": total.unknown,
            "malformed": total.malformed,
            "events": [
                {"direction": direction, "type": name, **_as_dict(row)}
                for (direction, name), row in sorted(self.rows.items())
            ],
            "audio_seconds": {side: round(seconds, 3) for side, seconds in self.audio_seconds.items()},
            "tokens": dict(self.tokens),
            "errors": [
                {"type": name, "code": code or None, "count": count}
                for (name, code), count in self.errors.most_common()
            ],
            "duration_seconds": self.duration,
            "skipped_lines": self.skipped,
            "problems": [{"line": problem.line, "reason": problem.reason} for problem in self.problems],
        }

    @property
    def duration(self) -> float | None:
        """Seconds from the first timestamp to the last; ``None`` without timestamps."""
        return None if self.began is None or self.ended is None else round(self.ended - self.began, 3)


def _as_dict(row: Row) -> dict[str, int]:
    return {name: getattr(row, name) for name in row.__slots__}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _rate(audio_format: object) -> int | None:
    """Bytes per second of an audio format; ``None`` where it is not said or not known."""
    match audio_format:
        case AudioPcm(rate=int(rate)):
            return 2 * rate
        case AudioPcm():
            return _PCM16_24KHZ
        case AudioPcmu() | AudioPcma():
            return _G711
        case str():
            return _LEGACY_RATES.get(audio_format)
        case _:
            return None


def _token_counts(usage: object, path: tuple[str, ...] = ()) -> dict[str, int]:
    """Every count of a usage by its dotted path, as ``input_token_details.cached_tokens``."""
    counts: dict[str, int] = {}
    for name in getattr(usage, "__struct_fields__", ()):
        value = getattr(usage, name)
        if isinstance(value, int | float):
            counts[".".join((*path, name))] = int(value)
        else:
            counts |= _token_counts(value, (*path, name))
    return counts


# What a person sees ---------------------------------------------------------------------------

_TOKEN_ROWS = {
    "input": ("input_tokens", "input_token_details.{}_tokens"),
    "of it cached": (
        "input_token_details.cached_tokens",
        "input_token_details.cached_tokens_details.{}_tokens",
    ),
    "output": ("output_tokens", "output_token_details.{}_tokens"),
}
_MODALITIES = ("text", "audio", "image", "reasoning")


_KINDS = ("typed", "unknown", "malformed")


def _read_as(row: Row) -> str:
    """``typed``, or the shares where the frames of a type differ."""
    counts = {kind: getattr(row, kind) for kind in _KINDS if getattr(row, kind)}
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{100 * count / row.frames:.1f} % {kind}" for kind, count in counts.items())


def _events_table(tally: Tally) -> Table:
    total = tally.total
    table = Table(title="Events", title_justify="left", box=SIMPLE_HEAD, pad_edge=False, show_footer=True)
    table.add_column("from")
    table.add_column("type", f"{len(tally.rows)} types", overflow="fold")
    table.add_column("frames", f"{total.frames:,}", justify="right")
    table.add_column("bytes", f"{total.bytes:,}", justify="right")
    table.add_column("read as")
    for (direction, name), row in sorted(tally.rows.items()):
        style = "red" if row.malformed else "yellow" if row.unknown else None
        table.add_row(direction, name, f"{row.frames:,}", f"{row.bytes:,}", _read_as(row), style=style)
    return table


def _tokens_table(tally: Tally) -> Table:
    table = Table("tokens", title="Usage, summed over response.done", title_justify="left", box=SIMPLE_HEAD)
    for name in (*_MODALITIES, "total"):
        table.add_column(name, justify="right")
    for label, (total, detail) in _TOKEN_ROWS.items():
        cells = [tally.tokens[detail.format(modality)] for modality in _MODALITIES]
        table.add_row(label, *(f"{count:,}" if count else "·" for count in (*cells, tally.tokens[total])))
    return table


def _summary(tally: Tally) -> Iterator[str]:
    total = tally.total
    shares = (f"{100 * getattr(total, kind) / max(total.frames, 1):.1f} % {kind}" for kind in _KINDS)
    yield f"[bold]{total.frames:,} frames, {total.bytes:,} bytes[/]: " + ", ".join(shares)
    if tally.duration is not None:
        yield f"Duration: {tally.duration:,.1f} s"
    yield "Audio: " + ", ".join(f"{tally.audio_seconds[side]:,.1f} s from the {side}" for side in _SIDES)
    for (name, code), count in tally.errors.most_common():
        yield f"[red]Error[/]: {escape(name)}{f' ({escape(code)})' if code else ''} × {count:,}"


def _problems(tally: Tally) -> Iterator[str]:
    for problem in tally.problems:
        yield f"line {problem.line}: skipped: {problem.reason}"
    if tally.skipped > len(tally.problems):
        yield f"… and {tally.skipped - len(tally.problems):,} more lines skipped"


def _show(tally: Tally) -> None:
    out, err = console(), console(stderr=True)
    out.print(_events_table(tally))
    if tally.tokens:
        out.print(_tokens_table(tally))
    for line in _summary(tally):
        out.print(line, soft_wrap=True)
    for line in _problems(tally):
        err.print(line, markup=False, soft_wrap=True)


@click.command()
@capture_argument
@surface_option
@json_option
def inspect(capture: Path, surface: Surface, as_json: bool) -> None:
    """Count what is in CAPTURE: events by direction and type, audio, tokens, errors.

    CAPTURE is a file of JSON lines, plain or gzipped, or - for standard input. A line is a raw frame or
    a record {"direction": …, "timestamp": …, "raw": …}. A line that holds no event is reported and skipped.
    """
    tally = Tally()
    for frame in frames(capture, surface):
        tally.add(frame)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(tally.as_dict()), indent=2).decode())
    else:
        _show(tally)
