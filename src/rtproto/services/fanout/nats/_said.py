"""A message of a session tells how far that had come before, so that whatever is missing is seen."""

import math
from collections.abc import Iterator
from secrets import token_hex
from typing import Annotated, Final, TypeAlias

import msgspec

from rtproto._salvage import REFUSALS

__all__ = [
    "ADDRESS_BYTES",
    "Anything",
    "Ask",
    "Directory",
    "Entry",
    "Part",
    "Position",
    "Reader",
    "Run",
    "Snapshot",
    "Who",
    "encode",
    "parts",
]

ADDRESS_BYTES: Final = 256
"""What a part, or a speaker's event, has beside its data."""

_Token: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
_Span: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]


class Said(msgspec.Struct, array_like=True, frozen=True):
    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Position(Said, frozen=True, gc=False):
    """How far a session had come: all that it had said, by class."""

    control: _Count = 0
    audio: _Count = 0
    audio_bytes: _Count = 0
    audio_ms: _Span = 0.0

    @property
    def number(self) -> int:
        return self.control + self.audio


class Run(Said, frozen=True, tag="run"):
    """What a session said next, all of one class; nothing: a beat, which tells how far it has come."""

    before: Position
    is_audio: bool = False
    frames: list[bytes] = []
    audio_ms: _Span = 0.0
    end: tuple[str, int] | None = None

    @property
    def after(self) -> Position:
        had, count = self.before, len(self.frames)
        if not self.is_audio:
            return Position(had.control + count, had.audio, had.audio_bytes, had.audio_ms)
        size = had.audio_bytes + sum(map(len, self.frames))
        return Position(had.control, had.audio + count, size, had.audio_ms + self.audio_ms)


class Snapshot(Said, frozen=True, tag="snapshot"):
    """What a late joiner is told, at one moment."""

    position: Position
    frames: list[bytes]
    omitted: _Count = 0


class Entry(Said, frozen=True, gc=False):
    """A session of a hub."""

    name: _Token
    epoch: _Token
    can_be_spoken_to: bool


class Directory(Said, frozen=True, tag="sessions"):
    """Sessions that a hub has, and such as it no longer has."""

    hub: _Token
    there: list[Entry] = []
    gone: list[Entry] = []


class Who(Said, frozen=True, tag="who", gc=False):
    """Asks for the sessions of all hubs."""


class Ask(Said, frozen=True, tag="ask", gc=False):
    """Asks for a snapshot, or says something."""

    epoch: _Token
    say: bytes | None = None


class Part(Said, frozen=True, tag="part", gc=False):
    """A piece of a message that is too long for the bus."""

    id: str
    index: int
    count: int
    data: bytes


Anything: TypeAlias = Run | Snapshot | Directory | Who | Ask | Part
encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Anything).decode


def _read(data: bytes) -> Anything | None:
    try:
        said: Anything = _decode(data)
    except REFUSALS:
        return None
    return said


def parts(data: bytes, size: int) -> Iterator[Part]:
    name, count = token_hex(8), math.ceil(len(data) / size)
    for index in range(count):
        yield Part(name, index, count, data[index * size : (index + 1) * size])


class Reader:
    """Reads the messages of one subject, and joins what came in parts; what cannot be read is as if lost."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._name, self._parts, self._size = "", list[bytes](), 0

    def read(self, data: bytes) -> Anything | None:
        said = _read(data)
        return self._joined(said) if isinstance(said, Part) else said

    def _joined(self, part: Part) -> Anything | None:
        if part.index == 0:
            self._name, self._parts, self._size = part.id, [], 0
        if part.id != self._name or part.index != len(self._parts) or self._size > self._most:
            return None
        self._parts.append(part.data)
        self._size += len(part.data)
        if len(self._parts) < part.count:
            return None
        parts, self._name, self._parts = self._parts, "", []
        return _read(b"".join(parts))
