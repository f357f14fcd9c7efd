"""A proxy's sessions can be listened to: what its client hears is said in a room, and nothing is held up."""

import asyncio
from secrets import token_hex
from typing import Any

import msgspec

from rtproto._salvage import REFUSALS
from rtproto.capture import Direction
from rtproto.frame import ClientFrame, Frame
from rtproto.services.fanout.bus import Bus, check_name
from rtproto.services.fanout.room import Room
from rtproto.services.proxy.opening import Opening, Refused
from rtproto.services.proxy.policy import ALL, Outcome, Policy, Session

__all__ = ["Broadcast"]

_PARAMETER = "session"
_HEADER = "Rtproto-Session"  # from the opening to the session; it goes on to no service


class _Created(msgspec.Struct):
    id: str


class _OfSession(msgspec.Struct):
    session: _Created


_read_created = msgspec.json.Decoder(_OfSession).decode


class Broadcast(Policy):
    """Lets every session of a proxy be listened to, on a bus; stand it first, nearest to the client.

    A session's name is what the client says, as ``?session=NAME``, which does not go on to the service; or
    else the id that the service gives it.
    """

    server_types = ALL

    def __init__(self, bus: Bus, *, can_be_spoken_to: bool = False) -> None:
        """Nothing is listened to yet.

        Args:
            bus: where the rooms are.
            can_be_spoken_to: whether listeners with the right may send events to the service, too.
        """
        self._bus = bus
        self._can_be_spoken_to = can_be_spoken_to

    def on_opening(self, opening: Opening) -> Opening:
        """Take the name out of the query.

        Raises:
            Refused: it is none (400), or there is such a session (409).
        """
        name = opening.get(_PARAMETER)
        if name is None:
            return opening.with_header(_HEADER, "")
        try:
            check_name(name)
        except ValueError as wrong:
            raise Refused(400, str(wrong)) from None
        if name in self._bus.names():
            raise Refused(409, "there is such a session")
        return opening.with_query(_PARAMETER, None).with_header(_HEADER, name)

    def on_open(self, session: Session) -> None:
        """A session begins: it has a room as soon as it has a name."""
        session.state[self] = _Attached(self._bus, session, can_be_spoken_to=self._can_be_spoken_to)

    def on_server_frame(self, session: Session, frame: Frame[Any]) -> Outcome:
        """Say it, and let it go on."""
        self._attached(session).add(bytes(frame))
        return frame

    def on_malformed(self, session: Session, direction: Direction, data: bytes) -> bytes | None:
        """Say what the service says, even if it is no event."""
        if direction == "server":
            self._attached(session).add(data)
        return data

    def on_injected(self, session: Session, direction: Direction, data: bytes) -> None:
        """Say what another policy says to the client."""
        if direction == "server":
            self._attached(session).add(data)

    def on_closed(self, session: Session) -> None:
        """The room ends."""
        self._attached(session).end()

    def _attached(self, session: Session) -> "_Attached":
        attached: _Attached = session.state[self]
        return attached


class _Attached:
    """A session of a proxy, and its room."""

    def __init__(self, bus: Bus, session: Session, *, can_be_spoken_to: bool) -> None:
        self._bus, self._session, self._can_be_spoken_to = bus, session, can_be_spoken_to
        self._name = session.opening.headers.get(_HEADER, "")
        self._came: list[bytes] = []
        self._room: Room | None = None

    def add(self, data: bytes) -> None:
        """Keep it to the end of this turn."""
        if not self._came:
            asyncio.get_running_loop().call_soon(self._turn_over)
        self._came.append(data)

    def _turn_over(self) -> None:
        came, self._came = self._came, []
        if came and not self._session.is_over:
            self._room = self._room or self._begun(came[0])
            self._room.publish(came)

    def _begun(self, first: bytes) -> Room:
        name = self._name or _id(first)
        if name in self._bus.names():  # another came in between
            name = f"{name[:50]}-{token_hex(4)}"
        return self._bus.begin(name, self._say if self._can_be_spoken_to else None)

    def _say(self, data: bytes) -> bool:
        if self._session.is_over or self._session.is_behind:
            return False
        self._session.send_to_upstream(ClientFrame(data))
        return True

    def end(self) -> None:
        """The session is over."""
        came, self._came = self._came, []
        if self._room is not None:
            self._room.publish(came)
            self._room.end("the session is over")


def _id(first: bytes) -> str:
    """The id in ``session.created``, if it can be a name; else one at random."""
    try:
        return check_name(_read_created(first).session.id)
    except REFUSALS:
        return f"session-{token_hex(4)}"
