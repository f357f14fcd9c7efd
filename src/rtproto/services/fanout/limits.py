"""Nothing that a hub keeps grows without a limit, for a listener or for a session."""

import math

import msgspec

__all__ = ["Limits"]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is kept, and how long somebody is waited for.

    Raises:
        ValueError: a limit is out of its range.
    """

    max_queue_bytes: int = 2 * 2**20
    """The most that waits for one listener. Over it the oldest audio goes; is there none, the listener."""
    max_queue_ms: float = 10_000.0
    """The most audio that waits for one listener, in milliseconds."""
    socket_bytes: int = 128 * 2**10
    """How much of what is sent the system may keep for one listener; Linux takes twice that."""
    max_items: int = 1000
    """The most items of a conversation that a snapshot has, the newest."""
    max_history_bytes: int = 4 * 2**20
    """The most bytes of events that a session keeps for snapshots."""
    max_message_bytes: int = 16 * 2**20
    """The longest message taken from a service."""
    max_said_bytes: int = 2**20
    """The longest message taken from a listener that may speak; what is longer closes with 1009."""
    max_bus_bytes: int = 8 * 2**20
    """The most that waits for a bus between machines: over half of it no audio is taken. The same again of a
    session's events waits for its snapshot, where that comes by the bus."""
    goodbye_seconds: float = 3.0
    """How long a listener may take to read what waits for it when its session has ended."""
    handshake_seconds: float = 10.0
    """How long a service may take to answer."""
    ping_seconds: float = 20.0
    """How often a listener is pinged that reads; three without an answer end it. 0: never."""

    def __post_init__(self) -> None:
        if not 0 <= self.ping_seconds < math.inf:
            raise ValueError("ping_seconds must be a number from 0 on; 0: never")
        counts = (
            *("max_queue_bytes", "socket_bytes", "max_items", "max_history_bytes", "max_message_bytes"),
            *("max_said_bytes", "max_bus_bytes"),
        )
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("max_queue_ms", "goodbye_seconds", "handshake_seconds"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a number above 0")
