"""What two readers could read differently does not get past a guard.

A service may take the first of two equal keys where a guard has looked at the last, split a query where the
guard does not, or find a type behind the one that was probed. So no guard picks a reading: it refuses what
has more than one.
"""

from typing import Any
from urllib.parse import unquote_plus

from rtproto._surrogates import loads
from rtproto.capture import Direction
from rtproto.frame import Frame
from rtproto.services.proxy.opening import Opening, Refused
from rtproto.services.proxy.policy import Policy, Session

__all__ = ["Guard"]

_TELLING = ("model", "deployment", "intent", "call_id")  # a deployment is Azure's word for a model
_MOST_VALUES = 20_000  # as Frame.edit has it


class Guard(Policy):
    """A policy that holds clients to something: the base of those that come with the proxy, and of yours.

    A client's text that is no sound event, or one of two types, and its binary messages do not go on; the
    client is told so by an ``error`` event. A query that could be read in two ways is refused. A service that
    reads keys whatever their case (``"Model"``) still finds what no guard has looked at: for such a one, add
    :class:`~rtproto.services.proxy.validation.Validation` with ``rewrite=True``.
    """

    is_guard: bool = True
    """Whether clients are held to anything."""

    def on_opening(self, opening: Opening) -> Opening:
        """What tells sessions apart must be in the query once, and in one spelling.

        Raises:
            Refused: it is not.
        """
        pairs = opening.query.split("&")
        names = [unquote_plus(pair.partition("=")[0]).strip().casefold() for pair in pairs]
        is_once = all(names.count(name) == (opening.get(name) is not None) for name in _TELLING)
        if self.is_guard and (not is_once or not _SEPARATORS.isdisjoint(opening.query)):
            raise Refused(400, "the query can be read in two ways")
        return opening

    def on_malformed(self, session: Session, direction: Direction, data: bytes) -> bytes | None:
        """A client's is refused."""
        if direction == "server" or not self.is_guard:
            return data
        session.refuse(
            None, "invalid_event", "Invalid event: It is no sound JSON object of one string 'type'."
        )
        return None

    def on_binary(self, session: Session, direction: Direction, data: bytes) -> bytes | None:
        """A client's is refused."""
        if direction == "server" or not self.is_guard:
            return data
        session.refuse(None, "invalid_event", "Invalid event: Events are sent as text.")
        return None

    def read(self, session: Session, frame: Frame[Any]) -> dict[str, Any] | None:
        """A client's event as Python objects, if every reader of JSON finds the same in it.

        Where a key is given twice, at any depth, the event is refused, and there is ``None``; so it is with
        more than 20,000 values, which would take long to read.
        """
        data = bytes(frame)
        try:
            if data.count(b",") <= _MOST_VALUES:
                event: dict[str, Any] = loads(data, _once)
                return event
        except (ValueError, RecursionError):
            pass
        session.refuse(frame, "invalid_event", "Invalid event: a key is given twice, or it is too large.")
        return None


_SEPARATORS = frozenset(";#")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key is given twice")
    return members
