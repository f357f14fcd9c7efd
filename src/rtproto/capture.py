"""A capture is JSON lines, read as a stream: no line is fatal, and none is held longer than its turn.

A line is a raw frame, or a record around one::

    {"direction": "server", "timestamp": 1785214080.29, "raw": "{\\"type\\":\\"session.created\\",…}"}

``direction`` is ``client`` or ``server``, whoever sent the frame; ``timestamp`` is in seconds, or in
milliseconds (above 10¹¹), or ISO 8601; ``surface`` is ``realtime``, ``transcription`` or ``translation``.
Each may be absent, and other keys are passed over.
"""

import zlib
from collections.abc import Iterator
from datetime import datetime
from gzip import BadGzipFile, GzipFile
from io import BufferedReader, RawIOBase
from typing import IO, Any, Literal, NamedTuple, Protocol, TypeAlias, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

__all__ = ["MAX_LINE_BYTES", "Direction", "Lines", "Record", "Skipped", "open_capture", "read"]

Direction: TypeAlias = Literal["client", "server"]
"""Who sent a frame."""

MAX_LINE_BYTES = 64 * 2**20
"""A longer line is skipped; the largest event is an append of 15 MiB."""

_GZIP = b"\x1f\x8b"
_MILLISECONDS = 1e11
_LAST_MILLISECOND = 253402300800000  # of the year 9999


class Lines(Protocol):
    """What a capture is read from: any binary file."""

    def readline(self, size: int, /) -> bytes:
        """The next line, or as much of it as ``size`` lets through."""
        ...


class Record(NamedTuple):
    """A line that holds a frame, or should."""

    line: int
    """Its number, from 1."""
    raw: bytes
    """The frame; whether it is an event is for a codec to say."""
    direction: Direction | None = None
    """Who sent it; ``None``: not said."""
    timestamp: float | None = None
    """When, in seconds; ``None``: not said."""
    surface: str | None = None
    """Which kind of session it belongs to; ``None``: not said."""


class Skipped(NamedTuple):
    """A line that cannot hold a frame."""

    line: int
    """Its number, from 1."""
    reason: str
    """Why, without its text."""


class _Line(msgspec.Struct):
    type: Raw | UnsetType = UNSET
    raw: Raw | UnsetType = UNSET
    direction: object = None
    timestamp: object = None
    surface: object = None


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_text = msgspec.json.Decoder(str).decode
_DIRECTIONS: dict[str, Direction] = {"client": "client", "server": "server"}


def open_capture(file: IO[bytes]) -> Lines:
    """The capture's lines as they are, or unpacked if the file is gzipped, whatever its name."""
    buffered: Any = file if hasattr(file, "peek") else BufferedReader(cast("RawIOBase", file))
    return GzipFile(fileobj=buffered) if buffered.peek(2).startswith(_GZIP) else buffered


def read(file: Lines) -> Iterator[Record | Skipped]:
    """Every line in order. A file that breaks off, gzipped or not, ends with what can be read of it."""
    number = 0
    try:
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            if len(line) < MAX_LINE_BYTES or line.endswith(b"\n"):
                yield _parse(number, line.strip())
                continue
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES)
            yield Skipped(number, f"longer than {MAX_LINE_BYTES} bytes")
    except (EOFError, zlib.error, BadGzipFile):
        yield Skipped(number + 1, "the compressed file is damaged from here on")


def _parse(number: int, line: bytes) -> Record | Skipped:
    if not line:
        return Skipped(number, "blank")
    try:
        found = _decode_line(line)
        if found.raw is UNSET or found.type is not UNSET:
            return Record(number, line)
        frame = bytes(found.raw)
        raw = _decode_text(frame).encode() if frame.startswith(b'"') else frame
    except (msgspec.DecodeError, ValueError, RecursionError):
        return Record(number, line)  # The codec says best what is wrong with it.
    return Record(
        number,
        raw,
        _DIRECTIONS.get(_text(found.direction)),
        _seconds(found.timestamp),
        _text(found.surface) or None,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _seconds(timestamp: object) -> float | None:
    if isinstance(timestamp, str):
        try:
            return datetime.fromisoformat(timestamp).timestamp()
        except ValueError:
            return None
    if isinstance(timestamp, bool) or not isinstance(timestamp, int | float):
        return None
    if abs(timestamp) > _LAST_MILLISECOND:
        return None
    return timestamp / 1000 if timestamp > _MILLISECONDS else float(timestamp)
