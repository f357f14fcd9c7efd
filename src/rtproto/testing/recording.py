"""What was said is kept as it went over the wire, and asked for by type."""

from collections.abc import Iterable, Iterator
from os import PathLike
from typing import Any, Self, TypeVar, overload

from rtproto import capture
from rtproto._sender import sender
from rtproto._struct import Event
from rtproto.capture import Direction, Record
from rtproto.codec import (
    Codec,
    client_codec,
    probe_type,
    server_codec,
    translation_client_codec,
    translation_server_codec,
)
from rtproto.errors import NotAnEvent
from rtproto.unknown import Unknown

__all__ = ["Recording", "type_of"]

E = TypeVar("E", bound=Event)

_CODECS: dict[bool, dict[Direction, Codec[Any]]] = {
    False: {"client": client_codec, "server": server_codec},
    True: {"client": translation_client_codec, "server": translation_server_codec},
}

_OTHER: dict[Direction, Direction] = {"client": "server", "server": "client"}
_SENT_BY = {side: _CODECS[False][side].types.keys() | _CODECS[True][side].types.keys() for side in _OTHER}


class Recording:
    """The frames of one connection, in order."""

    def __init__(self, frames: Iterable[Record] = ()) -> None:
        self.frames: list[Record] = [*frames]
        """Every frame of either side; times are Unix seconds."""

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """The frames of a capture.

        Raises:
            OSError: it cannot be read.
        """
        return cls(capture.load(path))

    @overload
    def received(self, event: type[E]) -> list[E]: ...
    @overload
    def received(self, event: str | None = None) -> list[Event | Unknown]: ...
    def received(self, event: type[Event] | str | None = None) -> list[Any]:
        """What the client sent: all, or the events of a class or a wire name.

        Raises:
            ValueError: it is a server's event.
        """
        return [*self._events("client", event)]

    @overload
    def sent(self, event: type[E]) -> list[E]: ...
    @overload
    def sent(self, event: str | None = None) -> list[Event | Unknown]: ...
    def sent(self, event: type[Event] | str | None = None) -> list[Any]:
        """What the server sent: all, or the events of a class or a wire name.

        Raises:
            ValueError: it is a client's event.
        """
        return [*self._events("server", event)]

    def _events(self, direction: Direction, event: type[Event] | str | None) -> Iterator[Event | Unknown]:
        name = event if isinstance(event, str) or event is None else event.type
        if name in _SENT_BY[_OTHER[direction]] - _SENT_BY[direction]:
            raise ValueError(f"no {direction} sends {name}: a {_OTHER[direction]} does")
        for frame in self.frames:
            found = type_of(frame.raw)
            if found and (frame.direction or sender(found)) == direction and name in {None, found}:
                yield _CODECS[frame.surface == "translation"][direction].decode(frame.raw)

    def save(self, path: str | PathLike[str], *, elide_audio: bool = False) -> None:
        """Write a capture, gzipped if its name ends in ``.gz``.

        Raises:
            FileExistsError: there is such a file.
        """
        with capture.create(path, elide_audio=elide_audio) as writer:
            for frame in self.frames:
                writer.write(frame.direction, frame.raw, frame.timestamp, frame.surface)


def type_of(frame: bytes) -> str:
    """A frame's wire name; empty: it is no event."""
    try:
        return probe_type(frame)
    except NotAnEvent:
        return ""
