"""Realtime without a key, money or a network: a fake server that answers by script, and what goes with it.

::

    with FakeRealtimeServer(Script("Hello!")) as fake: …    # base_url, url; sessions, received, wait_for

It needs the extra ``testing``. :mod:`rtproto.testing.replay` plays captures, and
:mod:`rtproto.testing.strategies` makes events and frames for hypothesis; with pytest there is the fixture
``fake_realtime`` (:mod:`rtproto.pytest_plugin`).
"""

from rtproto.testing.faults import (
    Close,
    Delay,
    Drop,
    Fault,
    Fragment,
    HalfOpen,
    Insert,
    huge,
    malformed,
    unknown,
)
from rtproto.testing.recording import Recording
from rtproto.testing.script import Answer, Call, Reply, Say, Script, Turn
from rtproto.testing.server import FakeRealtimeServer, SessionRecord
from rtproto.testing.sound import Sound, silence, tone, wav

__all__ = [
    "Answer",
    "Call",
    "Close",
    "Delay",
    "Drop",
    "FakeRealtimeServer",
    "Fault",
    "Fragment",
    "HalfOpen",
    "Insert",
    "Recording",
    "Reply",
    "Say",
    "Script",
    "SessionRecord",
    "Sound",
    "Turn",
    "huge",
    "malformed",
    "silence",
    "tone",
    "unknown",
    "wav",
]
