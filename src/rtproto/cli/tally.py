"""A :class:`Tally` counts what is in a capture, in a size that does not grow with it."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rtproto import pcm
from rtproto.capture import Direction, Skipped
from rtproto.cli._source import Line, bounded
from rtproto.events import client, server, translation
from rtproto.unknown import Unknown

__all__ = ["KINDS", "SIDES", "Row", "Tally"]

SIDES: tuple[Direction, ...] = ("client", "server")
"""Who sends frames."""

KINDS = ("typed", "unknown", "malformed")
"""How a frame may be read."""

_SHOWN_PROBLEMS = 20
_MOST_TOKENS = 2**53
_REST = "…"
_NO_STATUS = "without a status"


@dataclass(slots=True)
class Row:
    """The frames of one type in one direction."""

    frames: int = 0
    """How many."""
    bytes: int = 0
    """How long, all in all."""
    typed: int = 0
    """How many became a Struct."""
    unknown: int = 0
    """How many are of a type that this version does not know."""
    malformed: int = 0
    """How many are of a known type and the wrong shape."""

    def add(self, frame: Line) -> None:
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

    def as_dict(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Tally:
    """What a capture holds."""

    rows: dict[tuple[Direction, str], Row] = field(default_factory=dict[tuple[Direction, str], Row])
    """Frames by direction and type."""
    audio_seconds: dict[Direction, float] = field(default_factory=lambda: dict.fromkeys(SIDES, 0.0))
    """Seconds of audio by who sent it."""
    tokens: Counter[str] = field(default_factory=Counter[str])
    """Every count of ``response.done``'s usage, summed, by its dotted path."""
    responses_begun: int = 0
    """Responses that began."""
    responses_ended: Counter[str] = field(default_factory=Counter[str])
    """Responses that ended, by status."""
    errors: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """``error`` events by type and code; the code is empty where it is null."""
    skipped: int = 0
    """Lines that hold no event."""
    problems: list[Skipped] = field(default_factory=list[Skipped])
    """The first of them."""
    began: float | None = None
    """The first timestamp, in seconds; ``None``: there is none."""
    ended: float | None = None
    """The last timestamp, in seconds; ``None``: there is none."""
    _bytes_per_second: dict[Direction, int] = field(default_factory=dict[Direction, int])

    def add(self, frame: Line | Skipped) -> None:
        """Count one more line."""
        if isinstance(frame, Skipped):
            self.skipped += 1
            if len(self.problems) < _SHOWN_PROBLEMS:
                self.problems.append(frame)
            return
        key = bounded(self.rows, (frame.direction, frame.event.type), (frame.direction, _REST))
        self.rows.setdefault(key, Row()).add(frame)
        self._note_time(frame.record.timestamp)
        self._look_into(frame.event)

    def _note_time(self, at: float | None) -> None:
        if at is not None:
            self.began = at if self.began is None else min(self.began, at)
            self.ended = at if self.ended is None else max(self.ended, at)

    def _look_into(self, event: Any) -> None:
        match event:
            case server.ResponseOutputAudioDelta():
                self._hear("server", event)
            case client.InputAudioBufferAppend() | translation.SessionInputAudioBufferAppend():
                self._hear("client", event)
            case translation.SessionOutputAudioDelta():
                samples = _count(event.sample_rate, 24_000) * _count(event.channels, 1)
                self._hear("server", event, 2 * samples)
            case server.SessionCreated() | server.SessionUpdated() | client.SessionUpdate():
                self._note_formats(event.session)
            case server.ResponseCreated():
                self.responses_begun += 1
            case server.ResponseDone(response=response):
                status = response.status if isinstance(response.status, str) else _NO_STATUS
                self.responses_ended[bounded(self.responses_ended, status, _REST)] += 1
                self.tokens.update(_token_counts(response.usage))
            case server.Error():
                code = event.error.code if isinstance(event.error.code, str) else ""
                self.errors[bounded(self.errors, (event.error.type, code), (_REST, ""))] += 1
            case _:
                pass

    def _hear(self, direction: Direction, event: pcm.AudioEvent, bytes_per_second: int | None = None) -> None:
        rate = bytes_per_second or self._bytes_per_second.get(direction, pcm.bytes_per_second())
        self.audio_seconds[direction] += pcm.payload_size(event) / rate

    def _note_formats(self, session: Any) -> None:
        for side, direction in zip(("input", "output"), SIDES, strict=True):
            audio_format = getattr(getattr(getattr(session, "audio", None), side, None), "format", None)
            if audio_format:
                with suppress(ValueError):  # of a format that is not known
                    self._bytes_per_second[direction] = pcm.bytes_per_second(audio_format)

    @property
    def total(self) -> Row:
        """All rows in one."""
        return sum(self.rows.values(), Row())

    @property
    def duration(self) -> float | None:
        """Seconds from the first timestamp to the last; ``None`` without timestamps."""
        return None if self.began is None or self.ended is None else round(self.ended - self.began, 3)

    def as_dict(self) -> dict[str, Any]:
        """The tally for JSON: bytes, seconds and tokens in plain numbers, null for what is not known."""
        return {
            **self.total.as_dict(),
            "events": [
                {"direction": direction, "type": name, **row.as_dict()}
                for (direction, name), row in sorted(self.rows.items())
            ],
            "audio_seconds": {side: round(seconds, 3) for side, seconds in self.audio_seconds.items()},
            "tokens": dict(self.tokens),
            "responses": {"begun": self.responses_begun, "ended": dict(self.responses_ended)},
            "errors": [
                {"type": name, "code": code or None, "count": count}
                for (name, code), count in self.errors.most_common()
            ],
            "duration_seconds": self.duration,
            "skipped_lines": self.skipped,
            "problems": [{"line": problem.line, "reason": problem.reason} for problem in self.problems],
        }


def _count(value: object, default: int) -> int:
    return value if isinstance(value, int) and value > 0 else default


def _token_counts(usage: object, path: tuple[str, ...] = ()) -> dict[str, int]:
    """Every count of a usage by its dotted path, as ``input_token_details.cached_tokens``."""
    counts: dict[str, int] = {}
    for name in getattr(usage, "__struct_fields__", ()):
        value = getattr(usage, name)
        if isinstance(value, int | float) and abs(value) < _MOST_TOKENS:
            counts[".".join((*path, name))] = int(value)
        else:
            counts |= _token_counts(value, (*path, name))
    return counts
