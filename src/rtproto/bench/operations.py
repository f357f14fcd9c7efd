"""An operation is done to a frame by every peer alike; its result is proven right before it is timed."""

import base64
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from rtproto.bench.peers import ADDRESS, EDITED, CannotDo, Peer, Work
from rtproto.capture import Direction
from rtproto.event_types import RealtimeClientEvent as Client
from rtproto.event_types import RealtimeServerEvent as Server

__all__ = ["BUILT_IN", "OPERATIONS", "Kind", "Operation"]


class Kind(NamedTuple):
    """The frames that an operation can be done to."""

    name: str
    """What a table calls them."""
    direction: Direction
    """Who sends them."""
    types: frozenset[str] | None = None
    """Their types; ``None``: any."""
    needs: Callable[[Any], object] = bool
    """What an event must have, as plain Python objects: else this is false, or raises."""

    def takes(self, direction: Direction, name: str, frame: bytes) -> bool:
        """Whether it is such a frame, and can be read by ``json``, which checks the results."""
        if direction != self.direction or (self.types is not None and name not in self.types):
            return False
        try:
            return bool(self.needs(json.loads(frame)))
        except (ValueError, TypeError, LookupError, RecursionError):
            return False


def _has_audio(field: str) -> Callable[[Any], object]:
    def has_audio(event: Any) -> bytes:
        return base64.b64decode(event[field], validate=True)

    return has_audio


def _has_model(event: Any) -> bool:
    return isinstance(event["session"]["model"], str)


def _has_text(event: Any) -> bool:
    return isinstance(event["event_id"], str) and isinstance(event["delta"], str)


_SERVER = Kind("all from the service", "server")
_CLIENT = Kind("all from the client", "client")
_TEXT = Kind(
    "text deltas",
    "server",
    frozenset({Server.RESPONSE_OUTPUT_TEXT_DELTA, Server.RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DELTA}),
    _has_text,
)
_AUDIO = Kind("audio deltas", "server", frozenset({Server.RESPONSE_OUTPUT_AUDIO_DELTA}), _has_audio("delta"))
_SESSIONS = Kind(
    "sessions",
    "server",
    frozenset({Server.SESSION_CREATED, Server.SESSION_UPDATED}),
    _has_model,
)
_APPENDS = Kind("appends", "client", frozenset({Client.INPUT_AUDIO_BUFFER_APPEND}), _has_audio("audio"))
_MALFORMED = Kind("malformed events", "server", frozenset())


class Operation(NamedTuple):
    """What is done to a frame."""

    name: str
    """What a table calls it."""
    work: str
    """Which of a peer's pieces of work it is, by its name."""
    given: Callable[[Peer, bytes], Any]
    """What that is given for a frame: made before the clock runs."""
    is_right: Callable[[Peer, bytes, Any], bool]
    """Whether a result is right, by the frame."""
    kind: Kind = _SERVER
    """The frames that it can be done to."""

    def work_of(self, peer: Peer) -> Work:
        """A peer's work."""
        work: Work = getattr(peer, self.work)
        return work

    def problem(self, peer: Peer, frame: bytes) -> str | None:
        """Why a peer's work on a frame is not right; ``None``: it is."""
        try:
            result = self.work_of(peer)(self.given(peer, frame))
        except CannotDo as reason:
            return str(reason)
        except Exception as refusal:  # noqa: BLE001 - each peer refuses in its own way
            return f"refuses it: {type(refusal).__name__}"
        try:
            return None if self.is_right(peer, frame, result) else _wrong(peer, frame, result)
        except Exception:  # noqa: BLE001 - the result is not even of the kind that the check reads
            return _wrong(peer, frame, result)


def _wrong(peer: Peer, frame: bytes, result: Any) -> str:
    """That it is wrong; and if it is an event of another type, of which."""
    try:
        kind = peer.kind(result)
    except Exception:  # noqa: BLE001 - it is no event
        kind = None
    is_other = kind is not None and kind != json.loads(frame)["type"]
    return f"takes it for {kind}" if is_other else "gives something else"


# What a peer is given -------------------------------------------------------------------------


def _frame(_: Peer, frame: bytes) -> bytes:
    return frame


def _event(peer: Peer, frame: bytes) -> Any:
    return peer.decode(frame)


def _word(_: Peer, frame: bytes) -> str:
    return str(json.loads(frame)["delta"])


def _id_and_word(_: Peer, frame: bytes) -> tuple[str, str]:
    event = json.loads(frame)
    return event["event_id"], event["delta"]


def _samples(_: Peer, frame: bytes) -> bytes:
    return base64.b64decode(json.loads(frame)["audio"], validate=True)


# Whether a result is right ----------------------------------------------------------------------


def _holds(found: Any, wire: Any) -> bool:
    """Whether all that was found is on the wire: a model may pass over fields, and may not invent any."""
    if isinstance(found, dict) and isinstance(wire, dict):
        return all(key in wire and _holds(value, wire[key]) for key, value in found.items())  # pyright: ignore[reportUnknownVariableType]
    if isinstance(found, list) and isinstance(wire, list):
        return len(found) == len(wire) and all(map(_holds, found, wire))  # pyright: ignore[reportUnknownArgumentType]
    return bool(found == wire)


def _is_event(peer: Peer, frame: bytes, event: Any) -> bool:
    wire, found = json.loads(frame), peer.read(event)
    is_whole = _holds(found, wire) if peer.models else found == wire
    return is_whole and found["type"] == peer.kind(event) == wire["type"]


def _kept(peer: Peer, frame: bytes) -> list[Any]:
    """What may be sent for a frame: all of it, or what the peer's own event has of it."""
    return [json.loads(frame), peer.read(peer.decode(frame))]


def _is_sent(peer: Peer, frame: bytes, sent: Any) -> bool:
    return json.loads(sent) in _kept(peer, frame)


def _is_replaced(peer: Peer, frame: bytes, sent: Any) -> bool:
    return json.loads(sent) in [{**event, "event_id": EDITED} for event in _kept(peer, frame)]


def _is_model_set(peer: Peer, frame: bytes, sent: Any) -> bool:
    kept = _kept(peer, frame)
    return json.loads(sent) in [{**event, "session": {**event["session"], "model": EDITED}} for event in kept]


def _names_the_place(_: Peer, frame: bytes, told: Any) -> bool:
    return "output_index" in told and json.loads(frame)["event_id"] not in told


def _is_delta(_: Peer, frame: bytes, sent: Any) -> bool:
    new = {key: value for key, value in json.loads(frame).items() if key in ("event_id", "delta")}
    return bool(json.loads(sent) == {"type": Server.RESPONSE_OUTPUT_TEXT_DELTA, **ADDRESS, **new})


def _is_item(_: Peer, frame: bytes, sent: Any) -> bool:
    content = [{"type": "input_text", "text": json.loads(frame)["delta"]}]
    item = {"type": "message", "role": "user", "content": content}
    return bool(json.loads(sent) == {"type": "conversation.item.create", "item": item})


def _is_type(_: Peer, frame: bytes, name: Any) -> bool:
    return bool(name == json.loads(frame)["type"])


def _is_type_and_frame(_: Peer, frame: bytes, found: Any) -> bool:
    return bool(found == (json.loads(frame)["type"], frame))


def _is_pcm(_: Peer, frame: bytes, samples: Any) -> bool:
    return bool(samples == base64.b64decode(json.loads(frame)["delta"], validate=True))


def _is_append(_: Peer, frame: bytes, sent: Any) -> bool:
    append = {"type": "input_audio_buffer.append", "audio": json.loads(frame)["audio"]}
    return bool(json.loads(sent) == append)


# The tables -----------------------------------------------------------------------------------

_ALL = (
    Operation("decode", "decode", _frame, _is_event),
    Operation("decode a client's", "decode_client", _frame, _is_event, _CLIENT),
    Operation("tell what is wrong", "fault", _frame, _names_the_place, _MALFORMED),
    Operation("encode", "encode", _event, _is_sent),
    Operation("encode into a buffer", "encode_into", _event, _is_sent),
    Operation("make and encode a delta", "make_delta", _id_and_word, _is_delta, _TEXT),
    Operation("make and encode a user's item", "make_item", _word, _is_item, _TEXT),
    Operation("tell the type", "probe", _frame, _is_type),
    Operation("tell the type, pass on", "forward", _frame, _is_type_and_frame),
    Operation("replace the event id", "replace", _frame, _is_replaced),
    Operation("set the session's model", "set_model", _frame, _is_model_set, _SESSIONS),
    Operation("frame to PCM", "to_pcm", _frame, _is_pcm, _AUDIO),
    Operation("PCM to frame", "from_pcm", _samples, _is_append, _APPENDS),
)
OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in _ALL}
"""Every operation by name."""

_SIZES = ("small delta", "audio delta 2.8 kB", "audio delta 6.6 kB", "audio delta 32 kB")
_NOUNS = ("session.created", "response.done", "rate_limits.updated")

BUILT_IN: dict[str, tuple[str, ...]] = {
    "decode": (
        "small delta",
        "transcript delta",
        *_SIZES[1:],
        *_NOUNS,
        "unknown event",
        "unknown and known in turn",
        "a session",
    ),
    "decode a client's": ("append 6.5 kB",),
    "tell what is wrong": ("malformed event",),
    "encode": (*_SIZES, *_NOUNS, "a session"),
    "encode into a buffer": (*_SIZES, "a session"),
    "make and encode a delta": ("small delta",),
    "make and encode a user's item": ("a word",),
    "tell the type": (*_SIZES, "small delta, its id first", "unknown event", "a session"),
    "tell the type, pass on": ("small delta", "audio delta 32 kB", "a session"),
    "replace the event id": _SIZES,
    "set the session's model": ("session.created",),
    "frame to PCM": (*_SIZES[1:], "audio delta 6.6 kB, audio not last"),
    "PCM to frame": ("append 6.5 kB", "append 32 kB"),
}
"""The built-in cases that each operation is done to, by their names."""
