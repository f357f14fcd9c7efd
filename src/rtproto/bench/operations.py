"""An operation is done to a frame by every peer alike; its result is proven right before it is timed."""

import base64
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from rtproto.bench.peers import ADDRESS, EDITED, Cannot, Peer, Work
from rtproto.capture import Direction
from rtproto.event_types import RealtimeClientEvent as Client
from rtproto.event_types import RealtimeServerEvent as Server

__all__ = ["BUILT_IN", "OPERATIONS", "CannotDo", "Kind", "Operation"]


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


class CannotDo(Exception):
    """A peer does not do the work; the message says why."""


class Operation(NamedTuple):
    """What is done to a frame."""

    name: str
    """What a table calls it."""
    work: str
    """Which of a peer's pieces of work it is, by its name."""
    given: Callable[[Peer, bytes], Any]
    """What that is given for a frame: made before the clock runs."""
    check: Callable[[Peer, Any, Any], str | None]
    """What is wrong with a result, by the frame as plain Python objects; ``None``: nothing."""
    kind: Kind = _SERVER
    """The frames that it can be done to."""

    def work_of(self, peer: Peer) -> Callable[[Any], Any]:
        """A peer's work; raises ``CannotDo`` if it has none."""
        work: Work = getattr(peer, self.work)
        if isinstance(work, Cannot):
            raise CannotDo(work.reason)
        return work

    def problem(self, peer: Peer, frame: bytes) -> str | None:
        """Why a peer's work on a frame is not right; ``None``: it is."""
        try:
            result = self.work_of(peer)(self.given(peer, frame))
            return self.check(peer, json.loads(frame), result)
        except CannotDo as refusal:
            return str(refusal)
        except Exception as refusal:  # noqa: BLE001 - each peer refuses in its own way
            return f"refuses it: {type(refusal).__name__}"


# What a peer is given -------------------------------------------------------------------------


def _frame(_: Peer, frame: bytes) -> bytes:
    return frame


def _event(peer: Peer, frame: bytes) -> Any:
    decode: Any = peer.decode
    return decode(frame)


def _word(_: Peer, frame: bytes) -> str:
    return str(json.loads(frame)["delta"])


def _id_and_word(_: Peer, frame: bytes) -> tuple[str, str]:
    event = json.loads(frame)
    return event["event_id"], event["delta"]


def _samples(_: Peer, frame: bytes) -> bytes:
    return base64.b64decode(json.loads(frame)["audio"], validate=True)


# What is wrong with a result -------------------------------------------------------------------


def _holds(found: Any, wire: Any) -> bool:
    """Whether all that was found is on the wire: a model may pass over fields, and may not invent any."""
    if isinstance(found, dict) and isinstance(wire, dict):
        return all(key in wire and _holds(value, wire[key]) for key, value in found.items())  # pyright: ignore[reportUnknownVariableType]
    if isinstance(found, list) and isinstance(wire, list):
        return len(found) == len(wire) and all(map(_holds, found, wire))  # pyright: ignore[reportUnknownArgumentType]
    return bool(found == wire)


def _unless(is_right: bool) -> str | None:
    return None if is_right else "gives something else"


def _event_is_right(peer: Peer, wire: Any, event: Any) -> str | None:
    kind = peer.kind(event)
    return _unless(_holds(peer.read(event), wire)) if kind == wire["type"] else f"takes it for {kind}"


def _place_is_named(_: Peer, __: Any, told: Any) -> str | None:
    return _unless("output_index" in (told or ""))


def _json_is_right(_: Peer, wire: Any, sent: Any) -> str | None:
    found = json.loads(sent)
    return _unless(found["type"] == wire["type"] and _holds(found, wire))


def _delta_is_right(_: Peer, wire: Any, sent: Any) -> str | None:
    found = json.loads(sent)
    is_whole = found.keys() == {"type", "event_id", *ADDRESS, "delta"}
    return _unless(is_whole and all(found[name] == wire[name] for name in ("event_id", "delta")))


def _item_is_right(_: Peer, wire: Any, sent: Any) -> str | None:
    content = [{"type": "input_text", "text": wire["delta"]}]
    item = {"type": "message", "role": "user", "content": content}
    return _unless(json.loads(sent) == {"type": "conversation.item.create", "item": item})


def _type_is_right(_: Peer, wire: Any, name: Any) -> str | None:
    return _unless(name == wire["type"])


def _type_and_frame_are_right(_: Peer, wire: Any, found: Any) -> str | None:
    name, data = found
    return _unless(name == wire["type"] and json.loads(data) == wire)


def _id_is_replaced(peer: Peer, wire: Any, sent: Any) -> str | None:
    is_there = json.loads(sent)["event_id"] == EDITED
    return _json_is_right(peer, {**wire, "event_id": EDITED}, sent) if is_there else _unless(False)


def _model_is_set(peer: Peer, wire: Any, sent: Any) -> str | None:
    edited = {**wire, "session": {**wire["session"], "model": EDITED}}
    is_there = json.loads(sent)["session"]["model"] == EDITED
    return _json_is_right(peer, edited, sent) if is_there else _unless(False)


def _pcm_is_right(_: Peer, wire: Any, samples: Any) -> str | None:
    return _unless(samples == base64.b64decode(wire["delta"], validate=True))


def _append_is_right(_: Peer, wire: Any, sent: Any) -> str | None:
    return _unless(json.loads(sent) == {"type": "input_audio_buffer.append", "audio": wire["audio"]})


# The tables -----------------------------------------------------------------------------------

_ALL = (
    Operation("decode", "decode", _frame, _event_is_right),
    Operation("decode a client's", "decode_client", _frame, _event_is_right, _CLIENT),
    Operation("tell what is wrong", "fault", _frame, _place_is_named, _MALFORMED),
    Operation("encode", "encode", _event, _json_is_right),
    Operation("encode into a buffer", "encode_into", _event, _json_is_right),
    Operation("make and encode a delta", "make_delta", _id_and_word, _delta_is_right, _TEXT),
    Operation("make and encode a user's item", "make_item", _word, _item_is_right, _TEXT),
    Operation("tell the type", "probe", _frame, _type_is_right),
    Operation("tell the type, pass on", "forward", _frame, _type_and_frame_are_right),
    Operation("replace the event id", "replace", _frame, _id_is_replaced),
    Operation("set the session's model", "set_model", _frame, _model_is_set, _SESSIONS),
    Operation("frame to PCM", "to_pcm", _frame, _pcm_is_right, _AUDIO),
    Operation("PCM to frame", "from_pcm", _samples, _append_is_right, _APPENDS),
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
