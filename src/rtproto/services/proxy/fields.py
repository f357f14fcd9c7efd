"""What a session's fields are is the operator's to say, and no update and no response says otherwise."""

import logging
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType, UnionType
from typing import Any, Final, TypeAlias, Union, cast, get_args, get_origin

import msgspec
from msgspec import UNSET, Raw

from rtproto._encode import to_json
from rtproto._shown import shown
from rtproto.codec import Codec, client_codec, translation_client_codec
from rtproto.errors import InvalidEvent, RtprotoError
from rtproto.event_ids import new_event_id
from rtproto.frame import Changes, ClientFrame, Frame, Path
from rtproto.services.proxy.guarding import Guard
from rtproto.services.proxy.opening import Surface
from rtproto.services.proxy.policy import Session
from rtproto.types.response import ResponseCreateParams
from rtproto.types.session import SessionCreateRequest, TranscriptionSessionCreateRequest
from rtproto.types.translation import TranslationSessionUpdateRequest

__all__ = ["SessionFields"]

_LOGGER = logging.getLogger("rtproto.proxy")

Steps: TypeAlias = tuple[str, ...]

_ROOTS = {
    "session.update": "session",
    "transcription_session.update": "session",  # the beta's
    "response.create": "response",
}
_NOTHING: Final[Changes] = MappingProxyType({})
_MODELS: Mapping[Surface, type[msgspec.Struct]] = {
    "realtime": SessionCreateRequest,
    "transcription": TranscriptionSessionCreateRequest,
    "translation": TranslationSessionUpdateRequest,
}
_CODECS: Mapping[Surface, Codec[Any]] = {
    "realtime": client_codec,
    "transcription": client_codec,
    "translation": translation_client_codec,
}
_SURFACES = tuple(_MODELS)
_MISPLACED = frozenset({"language", "model", "prompt"})
"""What the model of a transcription session has, and no service takes there."""


class SessionFields(Guard):
    """Fields of the session that clients do not choose; paths begin inside it::

        SessionFields({"instructions": "Be kind.", "audio.output.voice": "marin"}, forbid=["prompt", "tools"])

    ``force``: they have these values. Every ``session.update`` of the client gets them, whatever it says
    there, and the objects around them where it has none. So that they also hold for a client that never sends
    one, the proxy sends an update of its own before anything of the client's (``at_open``). The service
    answers it by a ``session.updated`` that the client did not ask for. If it answers by an ``error`` that
    names our event, that is logged, and the session closed with 1011: nothing would be forced.

    ``forbid``: they are taken out of the client's updates; with ``refuse``, such an update does not go on,
    and is answered by an ``error`` event.

    A ``response.create`` may say otherwise for one response, under the same names: ``instructions``,
    ``tools``, ``tool_choice``, ``audio.output.voice``, ``max_output_tokens`` … So what is forced is taken out
    of it, whereupon the response follows the session; what is forbidden is treated as in an update.

    ``surfaces`` are the kinds of session it is for: all, if you do not say. Each gets what its model has, so
    ``instructions`` only a realtime session; from the updates of others they are taken out. As a client
    chooses the kind by its query, which a service may ignore, a transcription or translation session that
    goes without a forced field is closed with 1011 unless the service, too, says that it is one
    (``session.type`` in ``session.created`` and ``session.updated``). A kind that you leave out is not looked
    at: do so only if the service goes by the query.

    What is no field of the session is not held: a stored ``prompt`` brings instructions and tools along
    (forbid it), a ``system`` message in the conversation or in a response's ``input`` is obeyed too, and the
    beta's names (``voice``) are other fields. A name that no model of these surfaces has is taken for a slip;
    ``vendor_names`` lets it through, and what is forced under it goes to all of them.

    Raises:
        ValueError: a path is empty, begins with ``session``, is the session's ``type``, leads into another
            that is forced, or to no field of the model; a value is ``UNSET``, or not of the field's type; or
            there is no such surface, or none at all.
        TypeError: a string stands for a collection.
    """

    client_types: Container[str] = frozenset(_ROOTS)
    """The events that say what a session's fields are."""
    server_types: Container[str] = frozenset({"error", "session.created", "session.updated"})
    """The events that say whether what is forced holds."""

    def __init__(  # noqa: PLR0913 - each has a default
        self,
        force: Changes = _NOTHING,
        forbid: Collection[Path] = (),
        *,
        refuse: bool = False,
        at_open: bool = True,
        surfaces: Collection[Surface] = _SURFACES,
        vendor_names: bool = False,
    ) -> None:
        if isinstance(forbid, str) or isinstance(surfaces, str):
            raise TypeError("forbid and surfaces are collections, not one string")
        if any(value is UNSET for value in force.values()):
            raise ValueError("UNSET forces nothing: forbid the path")
        if not surfaces or not set(surfaces) <= set(_SURFACES):
            raise ValueError("surfaces are one or more of those there are")
        values = {_steps(path): Raw(to_json(value)) for path, value in force.items()}
        self._forbidden = _outermost(map(_steps, forbid))
        self._forced_paths = tuple(values)
        self._forced: dict[Surface, dict[str, Any]] = {}
        self._lacking: dict[Surface, tuple[Steps, ...]] = {}  # what is forced, and it has no field for
        self._refuses = refuse
        self._at_open = at_open
        for surface in surfaces:
            gets = {steps: value for steps, value in values.items() if _gets(surface, steps, surfaces)}
            self._forced[surface] = _nested(gets)
            self._lacking[surface] = tuple(steps for steps in values if steps not in gets)
            _check_values(surface, self._forced[surface])
            if not vendor_names:
                _check_names(surface, gets)
        if not vendor_names:
            _check_forbidden(self._forbidden, surfaces)

    def on_open(self, session: Session) -> None:
        """What is forced holds from the beginning."""
        forced = self._forced.get(session.surface)
        if forced and self._at_open:
            event_id = session.state[self] = new_event_id()
            session.send_to_upstream(ClientFrame(_update(session.surface, forced, event_id)))

    def on_client_frame(self, session: Session, frame: Frame[Any]) -> Frame[Any] | None:
        """What it says of these fields is not the client's."""
        if session.surface not in self._forced:
            return frame
        event = self.read(session, frame)
        if event is None:
            return None
        root = _ROOTS[frame.type]
        fields = event.get(root)
        if not isinstance(fields, dict):
            return self._without_fields(session, frame, root, fields)
        return self._held(session, frame, root, cast("dict[str, Any]", fields))

    def on_server_frame(self, session: Session, frame: Frame[Any]) -> Frame[Any] | None:
        """Where what is forced does not hold, the session ends."""
        if frame.type == "error":
            return self._unless_ours(session, frame)
        is_other = session.surface != "realtime" and _text(frame, "session.type") != session.surface
        if is_other and self._lacking.get(session.surface):
            session.close(1011, "the service opened another kind of session")
            return None
        return frame

    def _unless_ours(self, session: Session, frame: Frame[Any]) -> Frame[Any] | None:
        """An error; one that answers our update is not the client's."""
        ours = session.state.get(self)
        if ours is None or _text(frame, "error.event_id") != ours:
            return frame
        code, param = _text(frame, "error.code"), _text(frame, "error.param")
        fields = {"session": session.id, "code": code, "param": param}
        _LOGGER.warning("forced fields refused", extra={"fields": fields})
        session.close(1011, "the service refused what is forced")
        return None

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
        others = self._forced_paths if root == "response" else self._lacking[session.surface]
        gone = _outermost([*forbidden, *_overriding(fields, others)])
        frame = frame.edit({(root, *steps): UNSET for steps in gone})
        if root == "response":
            return frame
        for steps in gone:
            _drop(fields, steps)
        return frame.edit(dict(_changes(self._forced[session.surface], fields, (root,))))


# Whether it can hold


def _gets(surface: Surface, steps: Steps, surfaces: Iterable[Surface]) -> bool:
    """Whether this kind of session has the field; what none of them has is for all."""
    return _has(surface, steps) or not any(_has(each, steps) for each in surfaces)


def _has(surface: Surface, steps: Steps) -> bool:
    is_misplaced = surface == "transcription" and steps[0] in _MISPLACED
    return not is_misplaced and _leads(_MODELS[surface], steps)


def _leads(kind: Any, steps: Sequence[str]) -> bool:
    """Whether a value of this type may have another there; what is no Struct may have any."""
    if not steps or kind is Any or get_origin(kind) is dict:
        return True
    if get_origin(kind) in (Union, UnionType):
        return any(_leads(each, steps) for each in get_args(kind))
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return False
    step, *inner = steps
    if step == kind.__struct_config__.tag_field:
        return not inner
    return any(
        _leads(field.type, inner) for field in msgspec.structs.fields(kind) if field.encode_name == step
    )


def _check_names(surface: Surface, values: Mapping[Steps, Raw]) -> None:
    for steps, value in values.items():
        for leaf in _leaves(steps, msgspec.json.decode(value)):
            if not _has(surface, leaf):
                raise ValueError(f"{'.'.join(leaf)}: no field of a {surface} session")


def _check_values(surface: Surface, forced: Mapping[str, Any]) -> None:
    try:
        _CODECS[surface].decode(_update(surface, forced, ""), strict=True)
    except InvalidEvent as invalid:
        path, reason = invalid.path.removeprefix("$.session."), invalid.reason
        raise ValueError(f"{path}: {reason}, in a {surface} session") from None


def _check_forbidden(forbidden: Iterable[Steps], surfaces: Collection[Surface]) -> None:
    models = [_MODELS[surface] for surface in surfaces]
    if "realtime" in surfaces:
        models.append(ResponseCreateParams)
    for steps in forbidden:
        if not any(_leads(model, steps) for model in models):
            raise ValueError(f"{'.'.join(steps)}: no field of such a session, nor of a response")


def _leaves(steps: Steps, value: object) -> Iterator[Steps]:
    """The paths to all that is in a value, through objects."""
    if isinstance(value, dict) and value:
        for key, inner in cast("dict[str, object]", value).items():
            yield from _leaves((*steps, key), inner)
    else:
        yield steps


def _update(surface: Surface, forced: Mapping[str, Any], event_id: str) -> bytes:
    kind = {} if surface == "translation" else {"type": surface}
    return to_json({"type": "session.update", "event_id": event_id, "session": {**kind, **forced}})


def _text(frame: Frame[Any], path: str) -> str | None:
    """What the service says there, if it is text and the frame can be read."""
    try:
        value = frame.get(path, None)
    except RtprotoError:
        return None
    return shown(value) if isinstance(value, str) else None


# Paths


def _steps(path: Path) -> Steps:
    steps = tuple(path.split(".") if isinstance(path, str) else path)
    if not steps or not all(steps) or steps[0] in ("session", "type"):
        raise ValueError("a path has one key at least, begins inside the session, and is not its type")
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


def _overriding(fields: dict[str, Any], paths: Iterable[Steps]) -> Iterator[Steps]:
    """What says otherwise than what is forced: it, or anything but an object on the way to it."""
    reached = (_reach(fields, steps) for steps in paths)
    return (steps for steps in reached if steps)


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
