"""An event is a JSON object with a string ``type``; where that comes first, no more is read to tell it."""

import re
import sys
from typing import NoReturn, TypeAlias

import msgspec

from rtproto._members import walk
from rtproto._salvage import REFUSALS
from rtproto._surrogates import loads
from rtproto.errors import NotAnEvent
from rtproto.event_types import (
    RealtimeClientEvent,
    RealtimeServerEvent,
    TranslationClientEvent,
    TranslationServerEvent,
)

__all__ = ["Data", "as_bytes", "envelope", "probe_type", "read_envelope", "reject"]

Data: TypeAlias = bytes | bytearray | memoryview | str
"""One frame, as a WebSocket library hands it over."""


class _Envelope(msgspec.Struct, gc=False):
    type: str


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def envelope(data: Data) -> tuple[str, bytes]:
    """The ``type`` of what is an event from end to end, and its bytes; raises one of ``REFUSALS``."""
    name = _decode_envelope(data).type
    raw = data if type(data) is bytes else as_bytes(data)
    if not raw.isascii():
        raw.decode()  # msgspec does not look inside strings that it skips.
    return name, raw


def as_bytes(data: Data) -> bytes:
    """The frame's bytes, copied unless it is ``bytes``; raises ``UnicodeEncodeError``."""
    return data.encode() if isinstance(data, str) else bytes(data)


def read_envelope(data: Data) -> tuple[str, bytes, str | None]:
    """Any event's ``type`` and bytes, and the flaw that msgspec will not read; raises ``NotAnEvent``."""
    try:
        return *envelope(data), None
    except REFUSALS as refusal:
        reason = refusal
    return _read_envelope_beside_surrogate(data) or reject(reason)


def _read_envelope_beside_surrogate(data: Data) -> tuple[str, bytes, str] | None:
    try:
        raw = as_bytes(data)
        name = loads(raw)["type"]
        name.encode()  # Only a whole string can.
        return name, raw, "half a surrogate pair"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def reject(reason: object) -> NoReturn:
    """Raise the ``NotAnEvent`` that a refusal, or its reason, amounts to."""
    match reason:
        case UnicodeError():
            raise NotAnEvent("not an event: invalid UTF-8")
        case RecursionError():
            raise NotAnEvent("not an event: nested too deeply")
        case _:
            raise NotAnEvent(f"not an event: {reason}")


# The probe ------------------------------------------------------------------------------------

_EVENTS = (RealtimeClientEvent, RealtimeServerEvent, TranslationClientEvent, TranslationServerEvent)
_NAMES = {name.encode(): sys.intern(name.value) for events in _EVENTS for name in events}
_MOST = max(map(len, _NAMES)) + 1  # the longest, and its quote

_SPACE, _TEXT = rb"[ \t\r\n]*", rb'"[^"\\\x00-\x1f]*"'
_MEMBER = rb'(?!"type")%b%b:%b%b%b,%b' % (_TEXT, _SPACE, _SPACE, _TEXT, _SPACE, _SPACE)
_TYPE = rb'"type"%b:%b"([^"\\\x00-\x1f]*)"' % (_SPACE, _SPACE)
_find_type = re.compile(rb"%b\{%b(?:%b)*%b" % (_SPACE, _SPACE, _MEMBER, _TYPE)).match
_FRONT = 256


def probe_type(data: Data) -> str:
    """The event's ``type``; in constant time where it comes first, or after an id or two, as vendors do.

    Then only the front of the frame is read: what follows may be anything. Of a repeated ``type`` the
    first counts, always. Known types come back as the one interned string.

    Raises:
        NotAnEvent: the data is not a JSON object with a string ``type``.
    """
    front = data[:_FRONT]
    if not isinstance(front, bytes):
        front = front.encode("utf-8", "surrogatepass") if isinstance(front, str) else bytes(front)
    begin = 9 if front[:9] == b'{"type":"' else 10 if front[:10] == b'{"type": "' else None
    if begin and (name := _NAMES.get(front[begin : begin + _MOST].partition(b'"')[0])):
        return name
    found = _find_type(front)
    return _name(found[1]) if found else _probe_all(data)


def _probe_all(data: Data) -> str:
    """The first ``type`` of an event of any shape."""
    name, raw, _ = read_envelope(data)
    if raw.count(b'"type"') != 1 or b"\\u" in raw:  # There are others, or it is spelled otherwise.
        first = next(value for key, _, value in walk(raw.decode()) if key == "type")
        name = msgspec.json.decode(first)
    return _NAMES.get(name.encode(), name)


def _name(raw: bytes) -> str:
    try:
        return _NAMES.get(raw) or raw.decode()
    except UnicodeDecodeError as refusal:
        reason = refusal
    reject(reason)
