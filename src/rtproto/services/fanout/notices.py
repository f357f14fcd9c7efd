"""What the hub itself has to say comes as events whose names begin with ``rtproto.``.

``decode_server`` gives them as :class:`rtproto.Unknown`; :func:`read_notice` types them.
"""

from typing import Literal, TypeAlias

import msgspec
from msgspec import UNSET

from rtproto._salvage import REFUSALS
from rtproto._struct import Event, Maybe

__all__ = ["AudioHeader", "Cause", "Ended", "Lag", "Notice", "Snapshot", "read_notice"]

Cause: TypeAlias = Literal["listener", "bus"]
"""Where something was lost: this listener read too slowly, or the bus between two machines broke."""


class _Notice(Event, kw_only=True):
    """What all notices have."""

    event_id: str
    """Unique in the hub."""
    session: str
    """The name of the session."""


class Snapshot(_Notice, kw_only=True, tag="rtproto.snapshot"):
    """Sent first, and again when control events were lost: forget what you know, it begins anew.

    The next ``events`` messages tell what is so: the session, the conversation's items in order, the running
    response as far as it has come. What follows them is live. After a lag, another may cut one short.
    """

    events: int
    """How many messages belong to it."""
    omitted: int
    """How many items, or parts of a running response, are too old to be in it."""


class Lag(_Notice, kw_only=True, tag="rtproto.lag"):
    """Sent when something was lost, before anything that came later."""

    cause: Cause
    """Where."""
    audio_deltas: int
    """How many audio deltas, each whole."""
    audio_bytes: int
    """The bytes of these events, as the service wrote them."""
    audio_ms: float
    """How long they play, in milliseconds; 0 where nobody knows."""
    control_events: int
    """How many other events, of any family; 0: none. Only the bus loses any, and then a snapshot follows at
    once, or the end."""


class AudioHeader(_Notice, kw_only=True, tag="rtproto.audio"):
    """Sent to who hears PCM, whenever the binary messages that follow are of another item than before."""

    response_id: Maybe[str] = UNSET
    """The response; absent in a translation."""
    item_id: Maybe[str] = UNSET
    """The item; absent in a translation."""
    content_index: Maybe[int] = UNSET
    """The part of the item; absent in a translation."""
    format: Literal["pcm16"] = "pcm16"
    """Samples of 16 bits, little-endian, one channel after the other."""
    sample_rate: int
    """Samples per second: 24000, or 8000 where the session speaks G.711."""
    channels: int = 1
    """How many."""


class Ended(_Notice, kw_only=True, tag="rtproto.ended"):
    """Sent last: the session is over, and the connection closes."""

    reason: str
    """Why, in a few words."""


Notice: TypeAlias = Snapshot | Lag | AudioHeader | Ended
"""Everything that a hub itself says."""

_decode = msgspec.json.Decoder(Notice).decode


def read_notice(data: bytes | str) -> Notice | None:
    """A notice of a hub; ``None``: it is none that this version knows, as every event of the service."""
    try:
        notice: Notice = _decode(data)
    except REFUSALS:
        return None
    return notice
