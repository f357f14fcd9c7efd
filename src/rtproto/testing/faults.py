"""A fault is asked for, and strikes every connection at the same place, so that a test can be repeated."""

import random
from typing import TypeAlias

import msgspec

from rtproto._shown import shown
from rtproto._sockets import Connection
from rtproto.codec import server_codec, translation_server_codec

__all__ = [
    "Close",
    "Delay",
    "Drop",
    "Fault",
    "Fragment",
    "HalfOpen",
    "Insert",
    "Striking",
    "huge",
    "malformed",
    "unknown",
]


class Delay(msgspec.Struct, frozen=True):
    """Every frame comes late; the order stays."""

    milliseconds: float
    jitter_milliseconds: float = 0
    """Up to so much more, differently for every frame."""

    def seconds(self) -> float:
        """How late the next frame is."""
        return (self.milliseconds + random.uniform(0, self.jitter_milliseconds)) / 1000  # noqa: S311 - no secret


class Fragment(msgspec.Struct, frozen=True):
    """Every message comes in WebSocket fragments."""

    size: int
    """Bytes in each, 1 or more."""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("size must be 1 or more")


class Striking(msgspec.Struct, frozen=True, kw_only=True):
    """What the faults have in common that strike at one place.

    Raises:
        ValueError: it could never strike, and a test with it could not fail.
    """

    after: str = ".delta"
    """After a frame of this type, or of one that ends so."""
    count: int = 1
    """After so many of them."""
    connections: int | None = None
    """Only on the first so many connections; ``None``: on every one."""

    def __post_init__(self) -> None:
        if not any(name.endswith(self.after) for name in _KNOWN):
            raise ValueError(
                f"after: no server sends an event of the type {shown(self.after)}, or that ends so"
            )
        if self.count < 1:
            raise ValueError("count must be 1 or more")

    def strike(self, connection: Connection) -> None:
        """Strike."""
        raise NotImplementedError


_KNOWN = server_codec.types.keys() | translation_server_codec.types.keys()
_UNSENDABLE = {1004, 1006, 1015}  # RFC 6455 §7.4.1; 1005 is a close without a code


class Drop(Striking, frozen=True):
    """The connection breaks off without a close frame."""

    def strike(self, connection: Connection) -> None:
        """Break off."""
        connection.abort()


class Close(Striking, frozen=True):
    """The server closes."""

    code: int = 1011
    """The WebSocket close code."""
    reason: str = ""
    """The reason."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.code in _UNSENDABLE or not 1000 <= self.code <= 4999:
            raise ValueError("code must be a close code that may be sent, from 1000 to 4999")

    def strike(self, connection: Connection) -> None:
        """Close."""
        connection.close(self.code, self.reason)


class HalfOpen(Striking, frozen=True):
    """The server falls silent for ever, reads nothing, and keeps the connection."""

    def strike(self, connection: Connection) -> None:
        """Fall silent."""
        connection.go_deaf()


class Insert(Striking, frozen=True):
    """A frame comes that no service would send; no record holds it.

    See :func:`unknown`, :func:`malformed` and :func:`huge`.
    """

    frame: bytes
    """The frame."""

    def __repr__(self) -> str:
        return f"Insert(<{len(self.frame)} bytes>, after={self.after!r}, count={self.count})"

    def strike(self, connection: Connection) -> None:
        """Send it."""
        connection.send(self.frame)


Fault: TypeAlias = Delay | Fragment | Striking
"""A fault."""


def unknown(type: str = "x.unheard_of") -> bytes:
    """An event of a type that nobody knows yet."""
    return b'{"type":"%b","event_id":"event_unheard_of","detail":{"since":1}}' % type.encode()


def malformed() -> bytes:
    """What breaks off in the middle of its JSON."""
    return b'{"type":"response.output_text.delta","event_id":"event_broken","del'


def huge(size: int) -> bytes:
    """An event of a type that nobody knows, so many bytes long."""
    head = b'{"type":"x.huge","padding":"'
    return head + b"." * (size - len(head) - 2) + b'"}'
