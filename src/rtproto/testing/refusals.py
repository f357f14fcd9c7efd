"""What the service would refuse is refused in its words: a code, a message and the parameter to blame."""

from typing import Any

import msgspec
from msgspec import UNSET

from rtproto import pcm
from rtproto._drift import NOT_MODELLED, drift
from rtproto._salvage import REFUSALS
from rtproto._shown import shown
from rtproto._struct import Event, Maybe, Struct
from rtproto.codec import Codec
from rtproto.errors import InvalidEvent, NotAnEvent
from rtproto.events import client
from rtproto.testing.words import Wrong, wrong_words
from rtproto.types.audio import AudioFormat, AudioPcm
from rtproto.types.faults import Error
from rtproto.unknown import Unknown
from rtproto.validate import Problem, Rule, validate

__all__ = ["Refused", "audio_of", "event_id_of", "must_be_objects", "must_be_playable", "read"]


class Refused(Exception):
    """The service says no, and the session goes on."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.param = param

    def error(self, event_id: str | None) -> Error:
        """What ``error`` carries; ``event_id`` is the client's own."""
        return Error(
            type="invalid_request_error",
            code=self.code,
            message=self.message,
            param=self.param,
            event_id=event_id,
        )


def audio_of(base64: str, param: str) -> bytes:
    """What a client's base64 means.

    Raises:
        Refused: it is none, or too long.
    """
    try:
        return pcm.payload(client.InputAudioBufferAppend(audio=base64))
    except InvalidEvent:
        message = f"Invalid '{param}'. Expected base64-encoded audio bytes but got an invalid value."
        raise Refused("invalid_value", message, param) from None


def must_be_playable(format: Maybe[AudioFormat], param: str) -> None:
    """The service takes PCM at 24 kHz, and G.711.

    Raises:
        Refused: it is neither.
    """
    if isinstance(format, AudioPcm) and format.rate not in (UNSET, None, _RATE):
        kind = "below_min" if format.rate < _RATE else "above_max"
        raise Refused(f"integer_{kind}_value", f"Invalid '{param}.rate': expected {_RATE}.", f"{param}.rate")
    if isinstance(format, str):
        raise Refused("invalid_type", f"Invalid type for '{param}': expected an object.", param)


_RATE = 24_000


def must_be_objects(patch: Struct, param: str = "session") -> None:
    """What a session cannot do without is not switched off.

    Raises:
        Refused: it is null.
    """
    for name in ("audio", "input", "output", "format"):
        part, path = getattr(patch, name, UNSET), f"{param}.{name}"
        if part is None:
            raise Refused(
                "invalid_type", f"Invalid type for '{path}': expected an object, but got null.", path
            )
        if isinstance(part, Struct):
            must_be_objects(part, path)


def read(codec: Codec[Any], data: bytes) -> Event:
    """A client's event, if it is one that the service takes.

    Raises:
        Refused: it is not.
    """
    try:
        event: Event | Unknown = codec.decode(data)
    except NotAnEvent:
        raise _no_event(data) from None
    problems = validate(event, most=1)
    if problems or isinstance(event, Unknown):
        raise _invalid(problems[0], event, codec)
    if len(data) < _MOST_COMPARED:
        _must_be_modelled(event, data)
    for wrong in wrong_words(event):
        raise _not_a_word(wrong)
    return event


_MOST_COMPARED = 2**20  # a long frame is audio or an image, and not compared


class _Id(msgspec.Struct):
    event_id: Any = None


def event_id_of(data: bytes) -> str | None:
    """The client's own id of an event, if there is one to be found."""
    try:
        found = msgspec.json.decode(data, type=_Id).event_id
    except REFUSALS:
        return None
    return found if isinstance(found, str) else None


def _no_event(data: bytes) -> Refused:
    try:
        value = msgspec.json.decode(data)
    except REFUSALS:
        return Refused("invalid_json", "Invalid event: failed to parse JSON value.")
    if not isinstance(value, dict):
        return Refused("invalid_event", "Invalid event: expected an object.")
    if "type" not in value:
        return _missing("type")
    return Refused("invalid_type", "Invalid type for 'type': expected a string.", "type")


def _not_a_word(wrong: Wrong) -> Refused:
    if not wrong.words:
        return _missing(wrong.param)
    known = ", ".join(f"'{word}'" for word in wrong.words)
    return Refused("invalid_value", f"Invalid '{wrong.param}'. Supported values are: {known}.", wrong.param)


def _missing(param: str) -> Refused:
    return Refused("missing_required_parameter", f"Missing required parameter: '{param}'.", param)


_CODES: dict[Rule, str] = {
    "shape": "invalid_type",
    "length": "string_above_max_length",
    "missing": "missing_required_parameter",
}


def _invalid(problem: Problem, event: Event | Unknown, codec: Codec[Any]) -> Refused:
    param = problem.param
    if param is None:
        return _unsupported(event, codec)
    if problem.message == "missing":
        return _missing(param)
    if problem.message == "has no type":
        return _missing(f"{param}.type")
    return Refused(_CODES.get(problem.rule, "invalid_value"), f"Invalid '{param}': {problem.message}.", param)


def _unsupported(event: Event | Unknown, codec: Codec[Any]) -> Refused:
    known = ", ".join(f"'{name}'" for name in codec.types)
    return Refused(
        "invalid_value", f"Invalid value: '{shown(event.type)}'. Supported values are: {known}.", "type"
    )


def _must_be_modelled(event: Event, data: bytes) -> None:
    """The service takes no member that it does not know."""
    if _is_plain(event, data):
        return
    for path, problem in drift(event, data):
        if problem == NOT_MODELLED:
            param = shown(path[2:])
            raise Refused("unknown_parameter", f"Unknown parameter: '{param}'.", param)


def _is_plain(event: Event, data: bytes) -> bool:
    """Whether it is an event of scalars, as audio is, and has no other members: told by their names alone."""
    try:
        return not event.__struct_config__.gc and _members(data).keys() <= {"type", *event.__struct_fields__}
    except REFUSALS:
        return False


_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
