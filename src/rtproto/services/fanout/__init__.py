"""One session, many listeners: its events are framed once for all, and only audio may ever be dropped.

A :class:`Room` does no I/O. :class:`Fanout` owns the sockets of listeners, a :class:`Source` a session with
the service, a :class:`Bus` brings the one to the other.
"""

from rtproto.services.fanout.attach import Broadcast
from rtproto.services.fanout.bus import Bus, LocalBus
from rtproto.services.fanout.counts import Counts
from rtproto.services.fanout.families import FAMILIES, Family
from rtproto.services.fanout.limits import Limits
from rtproto.services.fanout.listener import Asked, Listener, Outlet, Parcel, Shape
from rtproto.services.fanout.notices import AudioHeader, Ended, Lag, Notice, Snapshot, read_notice
from rtproto.services.fanout.rights import Grant, Rights, read_grants
from rtproto.services.fanout.room import Lost, Message, Room
from rtproto.services.fanout.server import Fanout
from rtproto.services.fanout.source import Source

__all__ = [
    "FAMILIES",
    "Asked",
    "AudioHeader",
    "Broadcast",
    "Bus",
    "Counts",
    "Ended",
    "Family",
    "Fanout",
    "Grant",
    "Lag",
    "Limits",
    "Listener",
    "LocalBus",
    "Lost",
    "Message",
    "Notice",
    "Outlet",
    "Parcel",
    "Rights",
    "Room",
    "Shape",
    "Snapshot",
    "Source",
    "read_grants",
    "read_notice",
]
