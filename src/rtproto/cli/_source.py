"""A capture reaches every command as one stream of decoded frames, with a progress bar if it is long."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias, TypeVar

import click
import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from rtproto._sender import sender
from rtproto._struct import Event
from rtproto.capture import Direction, Record, Skipped, open_capture, read
from rtproto.codec import (
    Codec,
    client_codec,
    encode,
    probe_type,
    server_codec,
    translation_client_codec,
    translation_server_codec,
)
from rtproto.errors import NotAnEvent
from rtproto.unknown import Unknown

__all__ = [
    "Line",
    "Surface",
    "bounded",
    "capture_argument",
    "capture_path",
    "console",
    "frames",
    "json_option",
    "print_json",
    "shown",
    "surface_option",
    "table",
    "told",
]

Surface: TypeAlias = str
"""``auto``, ``realtime`` or ``translation``: which codecs read a capture."""

_LARGE_FILE = 8 * 2**20
_MOST_ROWS = 10_000
_WIDE = 140

Key = TypeVar("Key")


def bounded(rows: Mapping[Key, object], key: Key, rest: Key) -> Key:
    """The row to count under: a capture may name more things than memory holds, so the rest shares one."""
    return key if key in rows or len(rows) < _MOST_ROWS else rest


_CODECS: dict[str, dict[Direction, Codec[Any]]] = {
    "realtime": {"client": client_codec, "server": server_codec},
    "translation": {"client": translation_client_codec, "server": translation_server_codec},
}

capture_path = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
capture_argument = click.argument("capture", type=capture_path)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
surface_option = click.option(
    "--surface",
    type=click.Choice(["auto", "realtime", "translation"]),
    default="auto",
    show_default=True,
    help="The endpoint that the frames belong to, where the capture does not say.",
)


def console(*, stderr: bool = False) -> Console:
    """Where tables go: as wide as the terminal, and wide enough for every name in a file or a pipe."""
    plain = Console(stderr=stderr, highlight=False)
    return plain if plain.is_terminal else Console(stderr=stderr, highlight=False, width=_WIDE)


def shown(text: str) -> Text:
    """Text from a capture, made safe to print: no markup, and no escape sequence reaches the terminal."""
    return Text("".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text))


def table(title: str) -> Table:
    """A table as every command draws it, without its columns."""
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def print_json(report: dict[str, Any]) -> None:
    """A report for machines, indented for people."""
    click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())


def told(skipped: Skipped) -> str:
    """A line that was skipped, by its number and why."""
    return f"line {skipped.line}: skipped: {skipped.reason}"


class Line(NamedTuple):
    """A line that holds an event."""

    record: Record
    direction: Direction
    event: Event | Unknown


def frames(capture: Path, surface: Surface) -> Iterator[Line | Skipped]:
    """Every line of the capture, as an event or as the reason why it is none."""
    if str(capture) == "-" and sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise click.UsageError("standard input is closed")
    with nullcontext(sys.stdin.buffer) if str(capture) == "-" else capture.open("rb") as file:
        for line in _with_progress(file, capture):
            yield line if isinstance(line, Skipped) else _decode(line, surface)


def _decode(record: Record, surface: Surface) -> Line | Skipped:
    named = record.surface or surface
    try:
        if named == "auto":
            return _best_frame(record)
        return _frame(record, _CODECS["translation" if named == "translation" else "realtime"])
    except NotAnEvent as problem:
        return Skipped(record.line, str(problem))


def _frame(record: Record, codecs: dict[Direction, Codec[Any]]) -> Line:
    direction = record.direction or sender(probe_type(record.raw))
    return Line(record, direction, codecs[direction].decode(record.raw))


def _best_frame(record: Record) -> Line:
    """The surfaces share a few names; there translation's is right where it alone holds all of the frame."""
    realtime = _frame(record, _CODECS["realtime"])
    if not _is_foreign(realtime.event):
        return realtime
    translation = _frame(record, _CODECS["translation"])
    if isinstance(translation.event, Unknown):
        return realtime
    is_shared = isinstance(realtime.event, Event)
    return realtime if is_shared and not _same_json(encode(translation.event), record.raw) else translation


def _is_foreign(event: Event | Unknown) -> bool:
    """Whether an event is not Realtime's, or its session is not."""
    return isinstance(event, Unknown) or isinstance(getattr(event, "session", None), Unknown)


def _same_json(ours: bytes, theirs: bytes) -> bool:
    try:
        return bool(msgspec.json.decode(ours) == msgspec.json.decode(theirs))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False  # Numbers that no Python number holds, for one.


def _with_progress(file: IO[bytes], capture: Path) -> Iterator[Record | Skipped]:
    lines = read(open_capture(file))
    size = capture.stat().st_size if capture.is_file() else 0
    if size < _LARGE_FILE or not sys.stderr.isatty():
        yield from lines
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=size)
        for line in lines:
            if line.line % 1024 == 0:
                progress.update(task, completed=file.tell())
            yield line
