"""Only what the model knows, and finds no fault with, passes."""

from collections.abc import Mapping
from typing import Any

from rtproto._shown import shown
from rtproto.capture import Direction
from rtproto.codec import encode
from rtproto.errors import NotAnEvent
from rtproto.frame import Frame
from rtproto.services.proxy.guarding import Guard
from rtproto.services.proxy.policy import ALL, Session
from rtproto.validate import Problem, Rule, validate

__all__ = ["Validation"]

_CODES: Mapping[Rule, str] = {
    "shape": "invalid_type",
    "length": "string_above_max_length",
    "missing": "missing_required_parameter",
}


class Validation(Guard):
    """Every event of the client is decoded and held to :func:`rtproto.validate` before it goes on.

    One with a problem is answered by an ``error`` event that names the first, and is not forwarded; so are
    events of unknown types, unknown kinds inside known events, and events in which a key is given twice.

    ``rewrite``: what goes on is the typed event, encoded anew. Then no field passes that this version does
    not model, a vendor's own neither, nor a key in a spelling of its own; only inside values that are any
    JSON, as a function's parameters, everything still does.

    ``server``: the service's events are held to the same, and dropped if they fail; they are never
    rewritten. It is for clients that break on what they do not know.
    """

    client_types = ALL
    """Every one."""

    def __init__(self, *, server: bool = False, rewrite: bool = False) -> None:
        if server:
            self.server_types = ALL
        self._holds_server = server
        self._rewrites = rewrite

    def on_client_frame(self, session: Session, frame: Frame[Any]) -> Frame[Any] | None:
        """It goes on if there is no problem with it."""
        problem = _problem(frame)
        if problem is not None:
            _refuse(session, frame, problem)
            return None
        if self._rewrites:
            return type(frame)(encode(frame.event))
        return frame if self.read(session, frame) is not None else None

    def on_server_frame(self, session: Session, frame: Frame[Any]) -> Frame[Any] | None:  # noqa: ARG002 - dropped in silence
        """It goes on if there is no problem with it."""
        try:
            return frame if _problem(frame) is None else None
        except NotAnEvent:
            return None

    def on_malformed(self, session: Session, direction: Direction, data: bytes) -> bytes | None:
        """It is no event."""
        return self._unless_held(direction, super().on_malformed(session, direction, data))

    def on_binary(self, session: Session, direction: Direction, data: bytes) -> bytes | None:
        """It is no event."""
        return self._unless_held(direction, super().on_binary(session, direction, data))

    def _unless_held(self, direction: Direction, data: bytes | None) -> bytes | None:
        return None if direction == "server" and self._holds_server else data


def _problem(frame: Frame[Any]) -> Problem | None:
    return next(iter(validate(frame.event, most=1)), None)


def _refuse(session: Session, frame: Frame[Any], problem: Problem) -> None:
    code, param = _CODES.get(problem.rule, "invalid_value"), problem.param
    if param is None:
        message = f"Invalid event of type '{shown(frame.type)}': {problem.message}."
    else:
        message = f"Invalid '{param}': {problem.message}."
    session.refuse(frame, code, message, param=param or "type")
