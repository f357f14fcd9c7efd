"""What is delivered and what is lost is counted where it happens, by class, in a size that does not grow."""

from collections import Counter
from typing import Final, Literal, TypeAlias

import msgspec

__all__ = ["CLASSES", "Class", "Counts"]

Class: TypeAlias = Literal["audio", "control"]
"""Audio may be lost, control may not."""
CLASSES: Final[tuple[Class, ...]] = ("audio", "control")
"""Both."""


class Counts(msgspec.Struct, kw_only=True):
    """What one hub has counted since it began."""

    sessions: int = 0
    """Sessions there are now."""
    listeners: int = 0
    """Listeners there are now."""
    behind: int = 0
    """Those of them for whom something waits."""
    delivered: Counter[str] = msgspec.field(default_factory=Counter[str])
    """Messages written to listeners, by class."""
    delivered_bytes: int = 0
    """Their bytes, as they go over the wire."""
    published: Counter[str] = msgspec.field(default_factory=Counter[str])
    """Events that came for sessions, by class."""
    dropped: Counter[str] = msgspec.field(default_factory=Counter[str])
    """Messages that a listener read too slowly for, by class; of class ``control``: it was closed."""
    dropped_ms: float = 0.0
    """How long the audio of these plays, in milliseconds."""
    bus_lost: Counter[str] = msgspec.field(default_factory=Counter[str])
    """Events that did not come through the bus, by class; each is announced to the listeners."""
    bus_unsent: Counter[str] = msgspec.field(default_factory=Counter[str])
    """Events that could not be given to the bus, by class; the edges find that out."""
    bus_reconnects: int = 0
    """How often the bus came back."""
    lags: int = 0
    """How often a listener was told that something was lost."""
    snapshots: int = 0
    """Snapshots made."""
    snapshot_seconds: float = 0.0
    """What they took."""
    said: int = 0
    """Events of speakers that went to services."""
    refused: Counter[str] = msgspec.field(default_factory=Counter[str])
    """Who was not let in, by HTTP status."""
    closes: Counter[str] = msgspec.field(default_factory=Counter[str])
    """Listeners that left, by close code."""
    upstream_failures: int = 0
    """How often a service could not be reached."""
