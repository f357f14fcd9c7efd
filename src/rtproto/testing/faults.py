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


class Drop(msgspec.Struct, frozen=True):
    """The connection breaks off without a close frame."""

    after: str = ".delta"
    """After a frame of this type, or of one that ends so."""
    count: int = 1
    """After so many of them."""
    connections: int | None = None
    """Only on the first so many connections; ``None``: on every one."""

    def __post_init__(self) -> None:
        _check(self)

    def strike(self, connection: Connection) -> None:
        """Break off."""
        connection.abort()


class Close(msgspec.Struct, frozen=True):
    """The server closes."""

    code: int = 1011
    """The WebSocket close code."""
    reason: str = ""
    """The reason."""
    after: str = ".delta"
    """After a frame of this type, or of one that ends so."""
    count: int = 1
    """After so many of them."""
    connections: int | None = None
    """Only on the first so many connections; ``None``: on every one."""

    def __post_init__(self) -> None:
        _check(self)

    def strike(self, connection: Connection) -> None:
        """Close."""
        connection.close(self.code, self.reason)


class HalfOpen(msgspec.Struct, frozen=True):
    """The server falls silent for ever, reads nothing, and keeps the connection."""

    after: str = ".delta"
    """After a frame of this type, or of one that ends so."""
    count: int = 1
    """After so many of them."""
    connections: int | None = None
    """Only on the first so many connections; ``None``: on every one."""

    def __post_init__(self) -> None:
        _check(self)

    def strike(self, connection: Connection) -> None:
        """Fall silent."""
        connection.go_deaf()


class Insert(msgspec.Struct, frozen=True):
    """A frame comes that no service would send; no record holds it.

    See :func:`unknown`, :func:`malformed` and :func:`huge`.
    """

    frame: bytes
    """The frame."""
    after: str = ".delta"
    """After a frame of this type, or of one that ends so."""
    count: int = 1
    """After so many of them."""
    connections: int | None = None
    """Only on the first so many connections; ``None``: on every one."""

    def __post_init__(self) -> None:
        _check(self)

    def __repr__(self) -> str:
        return f"Insert(<{len(self.frame)} bytes>, after={self.after!r}, count={self.count})"

    def strike(self, connection: Connection) -> None:
        """Send it."""
        connection.send(self.frame)


Striking: TypeAlias = Drop | Close | HalfOpen | Insert
"""A fault that strikes at one place."""
Fault: TypeAlias = Delay | Fragment | Striking
"""A fault."""

_KNOWN = server_codec.types.keys() | translation_server_codec.types.keys()
_UNSENDABLE = {1004, 1006, 1015}  # RFC 6455 §7.4.1; 1005 is a close without a code


def _check(fault: "Striking") -> None:
    """A slip would make a fault that never strikes, and a test that cannot fail."""
    if not any(name.endswith(fault.after) for name in _KNOWN):
        raise ValueError(
            f"after: no event that a server sends is of the type {shown(fault.after)}, or ends so"
        )
    if fault.count < 1:
        raise ValueError("count must be 1 or more")
    if isinstance(fault, Close) and (fault.code in _UNSENDABLE or not 1000 <= fault.code <= 4999):
        raise ValueError("code must be a close code that may be sent, from 1000 to 4999")


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
