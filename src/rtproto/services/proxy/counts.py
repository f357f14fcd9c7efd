"""What passes is counted where it passes, in a size that does not grow with it."""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from itertools import starmap, zip_longest
from operator import add
from typing import Any, cast

import msgspec

from rtproto._close_codes import ABNORMAL, NO_STATUS, SAYABLE
from rtproto.event_types import (
    RealtimeClientEvent,
    RealtimeServerEvent,
    TranslationClientEvent,
    TranslationServerEvent,
)

__all__ = ["BINARY", "BUCKETS", "MALFORMED", "UNKNOWN", "Counts", "Row", "Snapshot"]

UNKNOWN = "unknown"
"""The row of all events of a type that this version does not know."""
MALFORMED = "malformed"
"""The row of all text that is no event."""
BINARY = "binary"
"""The row of binary messages."""
BUCKETS = 24
"""Buckets of added latency: bucket ``n`` has what took less than 2ⁿ µs, the last all the rest too."""

_CODES = SAYABLE | {NO_STATUS, ABNORMAL}
_OTHERS = (UNKNOWN, MALFORMED, BINARY)


class Row:
    """The frames of one type in one direction."""

    __slots__ = ("bytes", "frames", "is_wanted")

    def __init__(self) -> None:
        self.frames: int = 0
        """How many."""
        self.bytes: int = 0
        """How long, all in all."""
        self.is_wanted: bool = False
        """Whether a policy asks for them; else they go on as they came."""


def _rows(*events: type[StrEnum]) -> dict[str, Row]:
    names = (name.value for kind in events for name in kind)
    return {name: Row() for name in (*names, *_OTHERS)}


class Snapshot(msgspec.Struct, kw_only=True):
    """What one process has counted, as plain numbers: to be sent on, and added to another's."""

    frames: dict[str, dict[str, int]] = {}
    """Frames that came, by who sent them (``client``, ``server``) and type."""
    bytes: dict[str, dict[str, int]] = {}
    """Their bytes, in the same way."""
    sessions_open: int = 0
    """Sessions there are now."""
    sessions: int = 0
    """Sessions there have been."""
    refused: dict[str, int] = {}
    """Clients that were not let in, by HTTP status."""
    closes: dict[str, int] = {}
    """Sessions that ended, by the close code as the client had it; 1006: it vanished."""
    stalled: int = 0
    """Sessions that were closed because a side did not read for too long."""
    backpressure_seconds: dict[str, float] = {}
    """For how long sessions waited, by the side that did not read: ``client`` or ``upstream``."""
    added: list[int] = []
    """Turns of the event loop by how long the proxy had their frames, one turn in eight; see ``BUCKETS``."""
    added_seconds: float = 0.0
    """All of that together."""
    looked_seconds: float = 0.0
    """What of it went to sessions: types, counts, policies. The rest is writing."""
    added_frames: int = 0
    """The frames in these turns."""
    policy_errors: dict[str, int] = {}
    """Exceptions of policies, by the policy's class."""
    tokens: dict[str, int] = {}
    """Tokens by kind, as ``UsageLedger`` counts them."""
    recorded: dict[str, int] = {}
    """What became of frames that were to be recorded: ``written``, ``dropped``."""

    def __add__(self, other: "Snapshot") -> "Snapshot":
        sums = _sum(msgspec.to_builtins(self), msgspec.to_builtins(other))
        return msgspec.convert(sums, Snapshot)


def _sum(one: Any, other: Any) -> Any:
    match one:
        case dict():
            ours, theirs = cast("Mapping[str, Any]", one), cast("Mapping[str, Any]", other)
            both = {key: _sum(value, theirs[key]) for key, value in ours.items() if key in theirs}
            return {**ours, **theirs, **both}
        case list():
            return list(starmap(add, zip_longest(cast("list[int]", one), other, fillvalue=0)))
        case _:
            return one + other


class Counts:
    """What one process counts."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Row]] = {
            "client": _rows(RealtimeClientEvent, TranslationClientEvent),
            "server": _rows(RealtimeServerEvent, TranslationServerEvent),
        }
        """Frames by who sent them and type; no row is ever added."""
        self.sessions_open: int = 0
        """As in :class:`Snapshot`, and so are the others."""
        self.sessions: int = 0
        self.refused: Counter[str] = Counter()
        self.closes: Counter[str] = Counter()
        self.stalled: int = 0
        self.backpressure_seconds: dict[str, float] = {"client": 0.0, "upstream": 0.0}
        self.added: list[int] = [0] * BUCKETS
        self.added_seconds: float = 0.0
        self.looked_seconds: float = 0.0
        self.added_frames: int = 0
        self.policy_errors: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.recorded: Counter[str] = Counter()

    def note_added(self, frames: int, looked: float, seconds: float) -> None:
        """A turn's frames were kept for so many seconds, for some of which they were looked at."""
        self.looked_seconds += looked
        self.added_seconds += seconds
        self.added_frames += frames
        self.added[min(int(seconds * 1e6).bit_length(), BUCKETS - 1)] += 1

    def note_end(self, code: int) -> None:
        """A session is over, by a close code as the client had it; one that nobody may say is ``other``."""
        self.sessions_open -= 1
        self.closes[str(code) if code in _CODES else "other"] += 1

    def snapshot(self) -> Snapshot:
        """What there is now; types that never came are left out."""
        seen = {
            side: {name: row for name, row in rows.items() if row.frames} for side, rows in self.rows.items()
        }
        return Snapshot(
            frames={side: {name: row.frames for name, row in rows.items()} for side, rows in seen.items()},
            bytes={side: {name: row.bytes for name, row in rows.items()} for side, rows in seen.items()},
            sessions_open=self.sessions_open,
            sessions=self.sessions,
            refused=dict(self.refused),
            closes=dict(self.closes),
            stalled=self.stalled,
            backpressure_seconds=dict(self.backpressure_seconds),
            added=[*self.added],
            added_seconds=self.added_seconds,
            looked_seconds=self.looked_seconds,
            added_frames=self.added_frames,
            policy_errors=dict(self.policy_errors),
            tokens=dict(self.tokens),
            recorded=dict(self.recorded),
        )
