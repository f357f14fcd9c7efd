"""A capture is JSON lines, read and written as a stream: none is fatal, and what breaks off stays readable.

A line is a raw frame, or a record around one::

    {"timestamp": 1785214080.29, "direction": "server", "raw": "{\\"type\\":\\"session.created\\",…}"}

``timestamp`` is in seconds, or in milliseconds (above 10¹¹), or ISO 8601; ``direction`` is ``client`` or
``server``, whoever sent the frame; ``surface`` is ``realtime``, ``transcription`` or ``translation``;
``raw`` is the frame, as text or as an object. Each but ``raw`` may be absent, and other keys are passed over.

A :class:`Writer` writes records: ``timestamp`` in seconds, ``direction``, ``surface`` if it is told, and
``raw`` as text, so that a frame is given back byte for byte. :func:`create` opens a file for it::

    with capture.create("session.jsonl.gz", elide_audio=True) as writer:
        writer.write("server", data)
"""

import re
import zlib
from _thread import allocate_lock
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from gzip import BadGzipFile, GzipFile
from io import BufferedReader, RawIOBase
from os import PathLike, fspath
from time import monotonic, time
from typing import IO, Any, Literal, NamedTuple, Protocol, Self, TypeAlias, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from rtproto._envelope import Data, probe_type, read_envelope
from rtproto.errors import NotAnEvent

__all__ = [
    "MAX_LINE_BYTES",
    "Direction",
    "Lines",
    "Record",
    "Sink",
    "Skipped",
    "Writer",
    "create",
    "elide_audio",
    "load",
    "open_capture",
    "read",
]

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


class Sink(Protocol):
    """What a capture is written to: any binary file."""

    def write(self, line: bytes, /) -> object:
        """Take a line, whole."""
        ...

    def flush(self) -> object:
        """Pass on what was taken."""
        ...

    def close(self) -> object:
        """Flush, and take no more."""
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


# Reading --------------------------------------------------------------------------------------

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


def load(path: str | PathLike[str]) -> list[Record]:
    """All frames of a capture, gzipped or not; lines that hold none are left out, as one torn by a kill.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        lines = read(open_capture(file))
        return [line for line in lines if isinstance(line, Record) and _holds_frame(line)]


def _holds_frame(line: Record) -> bool:
    """Whether a line is a record that says more than its frame, or the frame is an event from end to end."""
    try:
        return line[2:] != (None, None, None) or bool(read_envelope(line.raw))
    except NotAnEvent:
        return False


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


# Writing --------------------------------------------------------------------------------------


class _Written(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    timestamp: float
    direction: Direction | None = None
    surface: str | None = None
    raw: str


class Writer:
    """Writes records to a file, each as one line in one call of the file's ``write``.

    ``elide_audio`` puts each frame through :func:`elide_audio` first. Whether a line is safe once it is
    written is for the file to say; :func:`create` opens one where it is. As a context manager a writer closes
    its file. Threads may share it.
    """

    def __init__(self, file: Sink, *, elide_audio: bool = False) -> None:
        self._file = file
        self._is_eliding = elide_audio
        self._lock = allocate_lock()

    def write(
        self,
        direction: Direction | None,
        raw: Data,
        timestamp: float | None = None,
        surface: str | None = None,
    ) -> None:
        """Write a frame: who sent it (``None``: not said), its data, and when, in seconds (``None``: now).

        Reading gives back the very bytes; only what is no Unicode, which no text frame can hold, is written
        as U+FFFD.

        Raises:
            OSError: the file cannot be written.
            ValueError: it is closed.
        """
        frame = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else bytes(raw)
        record = _Written(
            timestamp=time() if timestamp is None else timestamp,
            direction=direction,
            surface=surface,
            raw=(_elided(frame) if self._is_eliding else frame).decode("utf-8", "replace"),
        )
        line = b"%b\n" % msgspec.json.encode(record)
        with self._lock:
            self._file.write(line)

    def flush(self) -> None:
        """Flush the file: what was written before survives the process.

        Raises:
            OSError: the file cannot be written.
            ValueError: it is closed.
        """
        with self._lock:
            self._file.flush()

    def close(self) -> None:
        """Flush and close the file; once more does nothing.

        Raises:
            OSError: the file cannot be written.
        """
        with self._lock:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def create(path: str | PathLike[str], *, elide_audio: bool = False) -> Writer:
    """A writer to a new file, gzipped if its name ends in ``.gz``; use it as a context manager.

    Should the process be killed, a plain file has every line that was written. A gzipped one lacks at most
    what was written since it was flushed last: less than a second of lines, and less than 64 kB.

    Raises:
        FileExistsError: there is such a file; it is left as it is.
        OSError: the file cannot be made.
    """
    is_gzipped = fspath(path).endswith(".gz")
    file = open(path, "xb")  # noqa: SIM115 - the writer closes it
    return Writer(_Gzipped(file) if is_gzipped else _Flushed(file), elide_audio=elide_audio)


class _Flushed:
    """A file that passes on every line at once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.flush = file.flush
        self.close = file.close

    def write(self, line: bytes, /) -> None:
        self._file.write(line)
        self._file.flush()


_MOST_UNSYNCED_BYTES, _MOST_UNSYNCED_SECONDS = 2**16, 1.0


class _Gzipped:
    """A file that is compressed, and passed on before there is much to lose: to do so costs compression."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._gzip = GzipFile(fileobj=file, mode="wb", compresslevel=6)
        self._unsynced = 0
        self._synced_at = -_MOST_UNSYNCED_SECONDS

    def write(self, line: bytes, /) -> None:
        self._gzip.write(line)
        self._unsynced += len(line)
        age = monotonic() - self._synced_at
        if self._unsynced >= _MOST_UNSYNCED_BYTES or age >= _MOST_UNSYNCED_SECONDS:
            self.flush()

    def flush(self) -> None:
        self._gzip.flush(zlib.Z_SYNC_FLUSH)
        self._unsynced, self._synced_at = 0, monotonic()

    def close(self) -> None:
        try:
            self._gzip.close()
        finally:
            self._file.close()


# Elision --------------------------------------------------------------------------------------


def elide_audio(frame: bytes) -> bytes:
    """The frame with silence for its audio: the same event, as long, and as long to play.

    Every ``audio`` that is a string, at any depth of any event, and every ``delta`` of an event whose type
    says audio and no transcript becomes base64 of as many zero bytes: ``AAAA…``, with the same padding. All
    else stays byte for byte, but white space follows a string that had escapes, to fill its place. Never
    raises: of what is no event, whatever looks like such a string is replaced, if need be to the end.
    """
    find = _opening_of("audio", "delta") if _may_carry_delta(frame) else _opening_of("audio")
    parts: list[bytes] = []
    kept = 0
    while key := find(frame, kept):
        begin = key.end()
        end = _end_of_string(frame, begin)
        parts += frame[kept:begin], _silence(frame[begin:end], is_whole=end < len(frame))
        kept = end + 1
    return b"".join((*parts, frame[kept:])) if parts else frame


_elided = elide_audio  # where a parameter of that name hides it


def _spelled(key: str) -> bytes:
    """A pattern of a key, each letter as itself or as its escape."""
    return b"".join(rb"(?:%c|\\u(?i:%04x))" % (letter, letter) for letter in key.encode())


@cache  # and not compiled at import, where few elide
def _opening_of(*keys: str) -> Callable[[bytes, int], re.Match[bytes] | None]:
    """A search for all that stands before the text of a string with one of these keys.

    In JSON it cannot mistake: a quote behind no backslash begins or ends a string, and only one that begins
    can be followed by a name, a quote and a colon. So this is a key, and the next quote begins its value.
    """
    names = b"|".join(map(_spelled, keys))
    return re.compile(rb'"(?<!\\")(?:%b)"[ \t\r\n]*:[ \t\r\n]*"' % names).search


_says_audio = re.compile(r"(?is)(?!.*transcri).*audio").match


def _may_carry_delta(frame: bytes) -> bool:
    """Whether the event's type says that a delta is audio; of what is no event, whether it may well be."""
    try:
        return bool(_says_audio(probe_type(frame)))
    except NotAnEvent:
        return True


_find_quotes_and_escapes = re.compile(rb'"|\\.').finditer


def _end_of_string(frame: bytes, begin: int) -> int:
    """Where the quote is that ends a string, or where the frame ends."""
    end = frame.find(b'"', begin)
    if end < 0:
        return len(frame)
    if frame[end - 1 : end] != b"\\":  # always, behind base64
        return end
    found = _find_quotes_and_escapes(frame, begin)
    return next((token.start() for token in found if token[0] == b'"'), len(frame))


_ESCAPED_PADDING = re.compile(rb"\\u003[dD]")
_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|.)")


def _silence(text: bytes, *, is_whole: bool) -> bytes:
    """Silence for the text of a string, with the quote that ends it if it is whole."""
    plain = _ESCAPE.sub(b"A", _ESCAPED_PADDING.sub(b"=", text)) if is_whole and b"\\" in text else text
    padding = len(plain) - len(plain.rstrip(b"="))
    silence = b"A" * (len(plain) - padding) + b"=" * padding
    return b'%b"%b' % (silence, b" " * (len(text) - len(plain))) if is_whole else silence
