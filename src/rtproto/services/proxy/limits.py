"""Nothing that a session keeps grows without a limit, and nobody is waited for without end."""

import math

import msgspec

__all__ = ["Limits"]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a session may keep, and how long it may wait.

    Raises:
        ValueError: a limit is out of its range.
    """

    max_message_bytes: int = 16 * 2**20
    """The longest message taken from either side; what is longer closes with 1009."""
    max_session_bytes: int = 64 * 2**20
    """The most that waits in one session, both ways together, for a side that does not read."""
    high_water_bytes: int = 256 * 2**10
    """From how many waiting bytes on the side that sends them is no longer read."""
    stall_seconds: float = 10.0
    """How long a side may not read what waits for it before the session is closed."""
    idle_seconds: float = 0.0
    """How long nothing may come from either side before the session is closed; 0: for ever."""
    handshake_seconds: float = 10.0
    """How long the service may take to answer an opening."""

    def __post_init__(self) -> None:
        for name in ("max_message_bytes", "max_session_bytes", "high_water_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("stall_seconds", "handshake_seconds"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a number above 0")
        if not 0 <= self.idle_seconds < math.inf:
            raise ValueError("idle_seconds must be a number from 0 on; 0: for ever")
        if self.high_water_bytes > self.max_session_bytes:
            raise ValueError("high_water_bytes must not be above max_session_bytes")
