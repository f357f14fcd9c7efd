"""An event is a JSON object with a string ``type``; where that comes first, no more is read to tell it."""

import re
import sys
from typing import NoReturn, TypeAlias

import msgspec

from rtproto._salvage import REFUSALS
from rtproto._surrogates import has_surrogate, loads
from rtproto.errors import NotAnEvent
from rtproto.event_types import (
    RealtimeClientEvent,
    RealtimeServerEvent,
    TranslationClientEvent,
    TranslationServerEvent,
)

__all__ = [
    "FRONTS",
    "MIDST",
    "Data",
    "as_bytes",
    "envelope",
    "front_end",
    "probe_type",
    "read_envelope",
    "reject",
    "told",
    "types_of",
]

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
        reason = told(refusal)
    return _read_envelope_beside_surrogate(data) or reject(reason)


def _read_envelope_beside_surrogate(data: Data) -> tuple[str, bytes, str] | None:
    try:
        raw = as_bytes(data)
        if not has_surrogate(raw):
            return None
        name = loads(raw, lambda pairs: dict(reversed(pairs)))["type"]  # the first
        name.encode()  # Only a whole string can.
        return name, raw, "half a surrogate pair"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def told(refusal: Exception) -> str:
    """What a refusal says. It holds the data, and its traceback the function: keep this, and not itself."""
    match refusal:
        case UnicodeError():
            return "invalid UTF-8"
        case RecursionError():
            return "nested too deeply"
        case _:
            return str(refusal)


def reject(reason: str) -> NoReturn:
    """Raise the ``NotAnEvent`` that a refusal amounts to."""
    raise NotAnEvent(f"not an event: {reason}")


# The probe ------------------------------------------------------------------------------------

_EVENTS = (RealtimeClientEvent, RealtimeServerEvent, TranslationClientEvent, TranslationServerEvent)
_NAMES = {name.encode(): sys.intern(name.value) for events in _EVENTS for name in events}
FRONTS = {b'{"type":%b"%b"' % (space, name): _NAMES[name] for space in (b"", b" ") for name in _NAMES}
"""The types of known events by how those begin: ``FRONTS[data[:front_end(data[MIDST])]]``.

A table of one's own in this form saves a call of :func:`probe_type`, which is for what it does not have."""
MIDST = slice(25, 35)


def _ends() -> dict[bytes, int]:
    """Where a front ends, by a few bytes in its midst, or by the id that services write behind a short name.

    Of two that share them, as a delta and its ``done`` may, the delta has them.
    """
    ends: dict[bytes, int] = {}
    for front in sorted(FRONTS, key=lambda front: not front.endswith(b'.delta"')):
        space = b" " if front[8:9] == b" " else b""
        midst = (b'%b,%b"event_id":%b"' % (front, space, space))[MIDST]
        if len(midst) == MIDST.stop - MIDST.start:
            ends.setdefault(midst, len(front))
    return ends


_ENDS = _ends()
_TEXTFRONTS = {front.decode(): name for front, name in FRONTS.items()}
front_end = _ENDS.get
_text_end = {midst.decode(): end for midst, end in _ENDS.items()}.get

_SPACE, _TEXT = rb"[ \t\r\n]*", rb'"[^"\\\x00-\x1f]*"'
_MEMBER = rb'(?!"type")%b%b:%b%b%b,%b' % (_TEXT, _SPACE, _SPACE, _TEXT, _SPACE, _SPACE)
_TYPE = rb'"type"%b:%b"([^"\\\x00-\x1f]*)"' % (_SPACE, _SPACE)
_find_type = re.compile(rb"%b\{%b(?:%b)*%b" % (_SPACE, _SPACE, _MEMBER, _TYPE)).match
_FRONT_BYTES = 256


def probe_type(data: Data) -> str:
    """The event's ``type``; in constant time where it comes first, or after an id or two, as vendors do.

    Then only the front of the frame is read: what follows may be anything. Of a repeated ``type`` the
    first counts, always. Known types come back as the one interned string.

    Raises:
        NotAnEvent: the data is not a JSON object with a string ``type``.
    """
    # Two slices, two lookups: the front as a whole proves it. To look for the quote takes a third more.
    try:
        if type(data) is bytes:
            if end := front_end(data[MIDST]):
                return FRONTS[data[:end]]
        elif type(data) is str and (end := _text_end(data[MIDST])):
            return _TEXTFRONTS[data[:end]]
    except KeyError:
        pass  # Another name shares these bytes.
    return _probe_name(data) or _probe_front(data) or _probe_all(data)


def _front(data: Data) -> bytes:
    front = data[:_FRONT_BYTES]
    return front.encode("utf-8", "surrogatepass") if isinstance(front, str) else bytes(front)


def _probe_name(data: Data) -> str | None:
    """The type where it stands first, or behind an event id alone; names and id spelled as they read."""
    front = data[:_FRONT_BYTES] if type(data) is bytes else _front(data)
    if front[:9] == b'{"type":"':
        rest = front[9:]
    elif front[:10] == b'{"type": "':
        rest = front[10:]
    elif front[:13] == b'{"event_id":"':
        id_, _, rest = front[13:].partition(b'","type":"')
        if not id_.translate(None, b"_-").isalnum():
            return None
    else:
        return None
    name, quote, _ = rest.partition(b'"')
    if not quote:
        return None
    return _NAMES.get(name) or (name.decode() if name.translate(None, b"._").isalnum() else None)


def _probe_front(data: Data) -> str | None:
    found = _find_type(_front(data))
    return _name(found[1]) if found else None


def _probe_all(data: Data) -> str:
    """The first ``type`` of an event of any shape."""
    name, raw, flaw = read_envelope(data)
    name = types_of(raw)[0] if flaw is None else name
    return _NAMES.get(name.encode(), name)


class _Seen:
    """Stands for a ``type``: msgspec asks the hook for it each time it comes to one."""


class _Types(msgspec.Struct, gc=False):
    type: _Seen


def types_of(raw: bytes) -> list[str]:
    """Every ``type`` of an event that :func:`read_envelope` has read, in order."""
    names: list[str] = []

    def see(_: type, name: str) -> _Seen:
        names.append(name)
        return _Seen()

    try:
        msgspec.json.decode(raw, type=_Types, dec_hook=see)
    except REFUSALS:  # half a surrogate pair
        return [value for key, value in loads(raw, list) if key == "type"]
    return names


def _name(raw: bytes) -> str:
    try:
        return _NAMES.get(raw) or raw.decode()
    except UnicodeDecodeError as refusal:
        reason = told(refusal)
    reject(reason)
