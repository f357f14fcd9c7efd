"""A type that is not allowed does not pass, whatever the event holds."""

from collections.abc import Collection, Container, Iterable, Mapping
from typing import Any

from rtproto._shown import shown
from rtproto.capture import Direction
from rtproto.event_types import (
    RealtimeClientEvent,
    RealtimeServerEvent,
    TranslationClientEvent,
    TranslationServerEvent,
)
from rtproto.frame import Frame
from rtproto.services.proxy.guarding import Guard
from rtproto.services.proxy.policy import Session

__all__ = ["AllowTypes", "DenyTypes"]

_KNOWN: Mapping[Direction, frozenset[str]] = {
    "client": frozenset({*RealtimeClientEvent, *TranslationClientEvent}),
    "server": frozenset({*RealtimeServerEvent, *TranslationServerEvent}),
}


class _Filter(Guard):
    """It asks for the types that it does not let through, and for no others."""

    def __init__(self, client: Container[str], server: Container[str], *, is_guard: bool) -> None:
        self.client_types: Container[str] = client
        self.server_types: Container[str] = server
        self.is_guard: bool = is_guard

    def on_client_frame(self, session: Session, frame: Frame[Any]) -> None:
        """It is refused."""
        message = f"Events of type '{shown(frame.type)}' are not allowed here."
        session.refuse(frame, "event_not_allowed", message, param="type")

    def on_server_frame(self, session: Session, frame: Frame[Any]) -> None:
        """It is dropped."""


class AllowTypes(_Filter):
    """Only events of these types go on; ``None``: all do; an empty collection: none.

    A client's event of another type is answered by an ``error`` event, and so are its text that is no event
    and its binary messages. The service's is dropped, and counted all the same; what the proxy says itself
    goes through::

        AllowTypes(client={"session.update", "input_audio_buffer.append"})

    A name that the protocol does not have in that direction is taken for a slip, unless ``vendor_names``
    says that names may be a vendor's own. The slip that matters is :class:`DenyTypes`': it would let through
    what it was to stop, and nobody would see it.

    Raises:
        ValueError: a name is unknown, without ``vendor_names``.
        TypeError: a string stands for a collection.
    """

    def __init__(
        self,
        client: Collection[str] | None = None,
        server: Collection[str] | None = None,
        *,
        vendor_names: bool = False,
    ) -> None:
        client_types, server_types = (
            frozenset[str]() if names is None else _AllBut(_names(side, names, vendor_names))
            for side, names in _sides(client, server)
        )
        super().__init__(client_types, server_types, is_guard=client is not None)
        self._is_strict = server is not None

    def on_malformed(self, session: Session, direction: Direction, data: bytes) -> bytes | None:
        """It is of no allowed type."""
        return self._unless_strict(direction, super().on_malformed(session, direction, data))

    def on_binary(self, session: Session, direction: Direction, data: bytes) -> bytes | None:
        """It is of no allowed type."""
        return self._unless_strict(direction, super().on_binary(session, direction, data))

    def _unless_strict(self, direction: Direction, data: bytes | None) -> bytes | None:
        return None if direction == "server" and self._is_strict else data


class DenyTypes(_Filter):
    """Events of these types do not go on; all others do, those of types that nobody knows too.

    A client's is answered by an ``error`` event, the service's is dropped. With a client's type denied, its
    text that is no event and its binary messages do not go on either: one reader's bad JSON is another's
    event. Names are as in :class:`AllowTypes`.

    Raises:
        ValueError: a name is unknown, without ``vendor_names``.
        TypeError: a string stands for a collection.
    """

    def __init__(
        self, client: Collection[str] = (), server: Collection[str] = (), *, vendor_names: bool = False
    ) -> None:
        client_types, server_types = (
            _names(side, names or (), vendor_names) for side, names in _sides(client, server)
        )
        super().__init__(client_types, server_types, is_guard=bool(client_types))


class _AllBut:
    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def __contains__(self, name: object) -> bool:
        return name not in self._names


def _sides(
    client: Collection[str] | None, server: Collection[str] | None
) -> Iterable[tuple[Direction, Collection[str] | None]]:
    return ("client", client), ("server", server)


def _names(side: Direction, names: Collection[str], vendor_names: bool) -> frozenset[str]:
    if isinstance(names, str):
        raise TypeError(f"{side} takes a collection of names, not one name")
    unknown = sorted(set(names) - _KNOWN[side])
    if unknown and not vendor_names:
        raise ValueError(f"the {side} has no event {shown(unknown[0])!r}; for a vendor's: vendor_names=True")
    return frozenset(names)
