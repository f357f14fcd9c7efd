"""What a session's fields are is the operator's to say, and no update and no response says otherwise."""

from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final, TypeAlias, cast

from msgspec import UNSET, Raw

from rtproto._encode import to_json
from rtproto.event_ids import new_event_id
from rtproto.frame import Changes, ClientFrame, Frame, Path
from rtproto.services.proxy.guarding import Guard
from rtproto.services.proxy.opening import Surface
from rtproto.services.proxy.policy import Session

__all__ = ["SessionFields"]

Steps: TypeAlias = tuple[str, ...]

_ROOTS = {
    "session.update": "session",
    "transcription_session.update": "session",  # the beta's
    "response.create": "response",
}
_NOTHING: Final[Changes] = MappingProxyType({})
_SURFACES: tuple[Surface, ...] = ("realtime", "transcription", "translation")


class SessionFields(Guard):
    """Fields of the session that clients do not choose; paths begin inside it::

        SessionFields({"instructions": "Be kind.", "audio.output.voice": "marin"}, forbid=["prompt", "tools"])

    ``force``: they have these values. Every ``session.update`` of the client gets them, whatever it says
    there, and the objects around them where it has none. So that they also hold for a client that never sends
    one, the proxy sends an update of its own before anything of the client's (``at_open``). The service
    answers it by a ``session.updated`` that the client did not ask for, or by an ``error`` if it does not
    take the values.

    ``forbid``: they are taken out of the client's updates; with ``refuse``, such an update does not go on,
    and is answered by an ``error`` event.

    A ``response.create`` may say otherwise for one response, under the same names: ``instructions``,
    ``tools``, ``tool_choice``, ``audio.output.voice``, ``max_output_tokens`` … So what is forced is taken out
    of it, whereupon the response follows the session; what is forbidden is treated as in an update.

    What is no field of the session is not held: a stored ``prompt`` brings instructions and tools along
    (forbid it), a ``system`` message in the conversation or in a response's ``input`` is obeyed too, and the
    beta's names (``voice``) are other fields. ``surfaces`` are the kinds of session it is for: all, if you
    do not say. A client chooses the kind by its query, so leave one out only if the service goes by it.

    Raises:
        ValueError: a path is empty, begins with ``session``, or leads into another that is forced; or a value
            is ``UNSET``.
        TypeError: a string stands for a collection.
    """

    client_types: Container[str] = frozenset(_ROOTS)
    """The events that say what a session's fields are."""

    def __init__(
        self,
        force: Changes = _NOTHING,
        forbid: Collection[Path] = (),
        *,
        refuse: bool = False,
        at_open: bool = True,
        surfaces: Collection[Surface] = _SURFACES,
    ) -> None:
        if isinstance(forbid, str) or isinstance(surfaces, str):
            raise TypeError("forbid and surfaces are collections, not one string")
        if any(value is UNSET for value in force.values()):
            raise ValueError("UNSET forces nothing: forbid the path")
        values = {_steps(path): Raw(to_json(value)) for path, value in force.items()}
        self._forbidden = _outermost(map(_steps, forbid))
        self._forced = _nested(values)
        self._forced_paths = tuple(values)
        self._refuses = refuse
        self._at_open = at_open
        self._surfaces = frozenset(surfaces)

    def on_open(self, session: Session) -> None:
        """What is forced holds from the beginning."""
        if self._forced and self._at_open and session.surface in self._surfaces:
            kind = {} if session.surface == "translation" else {"type": session.surface}
            event = {"type": "session.update", "event_id": new_event_id(), "session": kind | self._forced}
            session.send_to_upstream(ClientFrame(to_json(event)))

    def on_client_frame(self, session: Session, frame: Frame[Any]) -> Frame[Any] | None:
        """What it says of these fields is not the client's."""
        if session.surface not in self._surfaces:
            return frame
        event = self.read(session, frame)
        if event is None:
            return None
        root = _ROOTS[frame.type]
        fields = event.get(root)
        if not isinstance(fields, dict):
            return self._without_fields(session, frame, root, fields)
        return self._held(session, frame, root, cast("dict[str, Any]", fields))

    def _without_fields(
        self, session: Session, frame: Frame[Any], root: str, fields: object
    ) -> Frame[Any] | None:
        if root == "response" and fields is None:
            return frame  # It follows the session.
        session.refuse(frame, "invalid_type", f"Invalid type for '{root}': expected an object.", param=root)
        return None

    def _held(
        self, session: Session, frame: Frame[Any], root: str, fields: dict[str, Any]
    ) -> Frame[Any] | None:
        forbidden = [steps for steps in self._forbidden if _reach(fields, steps) == steps]
        if forbidden and self._refuses:
            param = ".".join((root, *forbidden[0]))
            session.refuse(frame, "field_not_allowed", "This field is not the client's to set.", param=param)
            return None
        gone = [*forbidden, *self._overriding(fields)] if root == "response" else forbidden
        frame = frame.edit({(root, *steps): UNSET for steps in _outermost(gone)})
        if root == "response":
            return frame
        for steps in forbidden:
            _drop(fields, steps)
        return frame.edit(dict(_changes(self._forced, fields, (root,))))

    def _overriding(self, fields: dict[str, Any]) -> Iterator[Steps]:
        """What says otherwise than what is forced: it, or anything but an object on the way to it."""
        reached = (_reach(fields, steps) for steps in self._forced_paths)
        return (steps for steps in reached if steps)


def _steps(path: Path) -> Steps:
    steps = tuple(path.split(".") if isinstance(path, str) else path)
    if not steps or not all(steps) or steps[0] == "session":
        raise ValueError("a path has one key at least, and begins inside the session")
    return steps


def _outermost(paths: Iterable[Steps]) -> tuple[Steps, ...]:
    """Those that do not lead into another, each once."""
    outermost: list[Steps] = []
    for steps in sorted(set(paths)):  # What leads into a path comes right behind it.
        if not outermost or steps[: len(outermost[-1])] != outermost[-1]:
            outermost.append(steps)
    return tuple(outermost)


def _nested(values: Mapping[Steps, Raw]) -> dict[str, Any]:
    """Objects for the paths, with the values at their ends."""
    if any(inner[: len(outer)] == outer for outer, inner in pairwise(sorted(values))):
        raise ValueError("a forced path leads into another")
    nested: dict[str, Any] = {}
    for (*outer, last), value in values.items():
        inside = nested
        for step in outer:
            inside = inside.setdefault(step, {})
        inside[last] = value
    return nested


def _reach(fields: dict[str, Any], steps: Steps) -> Steps | None:
    """The path as far as it leads: to its end, or to what is no object; ``None``: there is nothing."""
    inside: Any = fields
    for depth, step in enumerate(steps):
        if not isinstance(inside, dict):
            return steps[:depth]
        if step not in inside:
            return None
        inside = cast("dict[str, Any]", inside)[step]
    return steps


def _drop(fields: dict[str, Any], steps: Steps) -> None:
    *outer, last = steps
    for step in outer:
        fields = fields[step]
    del fields[last]


def _changes(forced: Mapping[str, Any], there: Mapping[str, Any], at: Steps) -> Iterator[tuple[Steps, Any]]:
    """What to set: a value where there is an object around it, else the objects with it."""
    for key, value in forced.items():
        if isinstance(value, dict) and isinstance(there.get(key), dict):
            yield from _changes(cast("dict[str, Any]", value), there[key], (*at, key))
        else:
            yield (*at, key), value
