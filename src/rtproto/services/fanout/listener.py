"""A listener is as slow as it likes, and nobody else waits: its queue is bounded, and audio goes first.

No I/O: what is written goes to an :class:`Outlet`, framed before.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from rtproto._encode import to_json
from rtproto._sockets import TEXT, framed
from rtproto.event_ids import new_event_id
from rtproto.services.fanout.counts import Counts
from rtproto.services.fanout.families import FAMILIES, Family
from rtproto.services.fanout.limits import Limits
from rtproto.services.fanout.notices import Lag

__all__ = ["Asked", "Listener", "Outlet", "Parcel", "Shape"]

Shape: TypeAlias = Literal["frames", "pcm"]
"""``frames``: every event as it came; ``pcm``: audio as binary messages of samples, all else as it came."""

_GULP = 64 * 2**10  # bytes written at once to who is behind: what is written can no longer be dropped
_TOO_SLOW = (1013, "too slow for what may not be lost")


class Asked(msgspec.Struct, frozen=True):
    """What a listener wants to hear: all who want the same are served as one."""

    families: frozenset[Family] = frozenset(FAMILIES)
    """The families of events."""
    shape: Shape = "frames"
    """The shape of audio."""

    @property
    def is_for_samples(self) -> bool:
        """Whether audio is to be decoded."""
        return self.shape == "pcm" and "audio" in self.families


class Parcel:
    """A message as it goes over the wire, to one listener or to many."""

    __slots__ = ("data", "frame_bytes", "is_audio", "milliseconds")

    def __init__(
        self, data: bytes, *, is_audio: bool = False, milliseconds: float = 0.0, frame_bytes: int = 0
    ) -> None:
        self.data: bytes = data
        """The WebSocket frame."""
        self.is_audio: bool = is_audio
        """Whether it may be lost."""
        self.milliseconds: float = milliseconds
        """How long it plays."""
        self.frame_bytes: int = frame_bytes
        """How long the event was, in bytes."""


class Outlet(Protocol):
    """Where a listener's messages go. Nothing here blocks."""

    is_paused: bool
    """Whether what was written is not all taken yet."""

    def write(self, data: bytes, /) -> object:
        """Write frames, or keep them and be paused."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Say goodbye, behind all that was written; or break off, if that takes too long."""
        ...

    def close_within(self, seconds: float, code: int, reason: str) -> None:
        """Say goodbye at the latest in so many seconds."""
        ...


class _Place(Protocol):
    """Where a listener stands among those who hear the same."""

    def moved(self, listener: "Listener") -> None:
        """It fell behind, or caught up."""
        ...

    def leave(self, listener: "Listener") -> None:
        """It hears no more."""
        ...


class Listener:
    """One listener, and what waits for it."""

    __slots__ = (
        "_audio",
        "_bytes",
        "_control",
        "_counts",
        "_end",
        "_first",
        "_limits",
        "_lost",
        "_milliseconds",
        "_number",
        "asked",
        "is_over",
        "outlet",
        "place",
        "session",
    )

    def __init__(self, session: str, asked: Asked, outlet: Outlet, limits: Limits, counts: Counts) -> None:
        self.session: str = session
        """The name of the session it listens to."""
        self.asked: Asked = asked
        """What it wants to hear."""
        self.outlet: Outlet = outlet
        """Where that goes."""
        self.place: _Place | None = None
        """Where it stands; ``None``: nowhere yet, or no more."""
        self.is_over: bool = False
        """Whether it gets nothing more."""
        self._limits, self._counts = limits, counts
        self._first: deque[Parcel] = deque()  # the snapshot: shared, and bounded by the session's history
        self._control: deque[tuple[int, Parcel]] = deque()
        self._audio: deque[tuple[int, Parcel]] = deque()
        self._number = 0
        self._bytes, self._milliseconds = 0, 0.0
        self._lost: list[float] = [0, 0, 0.0]  # deltas, bytes, milliseconds: not told yet
        self._end: tuple[int, str] | None = None

    def __repr__(self) -> str:
        return f"<Listener {self.queued_bytes:,} bytes wait>"

    @property
    def queued_bytes(self) -> int:
        """How much waits here, of what is live."""
        return self._bytes

    @property
    def queued_ms(self) -> float:
        """How much of that is audio, in milliseconds."""
        return self._milliseconds

    @property
    def is_behind(self) -> bool:
        """Whether something waits, here or at the outlet: then all that comes must wait, too."""
        return self.outlet.is_paused or self._has_waiting

    @property
    def _has_waiting(self) -> bool:
        return bool(self._control or self._audio or self._first or self._lost[0])

    # What its room does

    def begin(self, parcels: Sequence[Parcel]) -> None:
        """Give it a snapshot; what waited is in there, or older."""
        self._first.extend(parcels)
        self._pump()

    def forget(self) -> None:
        """What waits is no longer so: a new snapshot is to come. Audio that waits is lost, and told."""
        for _, parcel in self._audio:
            self._lose(parcel)
        self._clear()

    def take(self, parcels: Sequence[Parcel]) -> None:
        """Give it messages that cannot be written right now, or not all at once."""
        for parcel in parcels:
            self._number += 1
            (self._audio if parcel.is_audio else self._control).append((self._number, parcel))
            self._bytes += len(parcel.data)
            self._milliseconds += parcel.milliseconds
        self._pump()
        self._shed()

    def end(self, parcel: Parcel, code: int, reason: str) -> None:
        """Give it a last message; it may take ``goodbye_seconds`` to come to it."""
        if not (self.is_over or self._end):
            self._end = (code, reason)
            self.outlet.close_within(self._limits.goodbye_seconds, code, reason)
            self.take([parcel])

    # What its outlet does

    def congested(self) -> None:
        """Not all that was written is taken."""
        self._moved()

    def writable(self) -> None:
        """All that was written is taken."""
        self._pump()
        self._moved()

    def leave(self) -> None:
        """It is gone, or going."""
        self.is_over = True
        place, self.place = self.place, None
        if place is not None:
            place.leave(self)
        self._lost = [0, 0, 0.0]
        self._clear()

    # The queue

    def _pump(self) -> None:
        while not (self.is_over or self.outlet.is_paused) and self._has_waiting:
            self.outlet.write(self._gulp())
        if self._end is not None and not (self.is_over or self._has_waiting):
            self.leave()
            self.outlet.close(*self._end)

    def _gulp(self) -> bytes:
        """What is written next: no more at once than may be too late to drop."""
        if self._first:  # to its end, before anything else
            return _joined(lambda: self._first.popleft() if self._first else None)
        told = self._told() if self._lost[0] else b""
        return told + _joined(self._next)

    def _next(self) -> Parcel | None:
        if not self._audio or (self._control and self._control[0][0] < self._audio[0][0]):
            queue = self._control
        else:
            queue = self._audio
        if not queue:
            return None
        _, parcel = queue.popleft()
        self._unqueue(parcel)
        self._counts.delivered["audio" if parcel.is_audio else "control"] += 1
        self._counts.delivered_bytes += len(parcel.data)
        return parcel

    def _shed(self) -> None:
        """Drop the oldest audio, as long as there is too much of anything."""
        most_bytes, most_ms = self._limits.max_queue_bytes, self._limits.max_queue_ms
        while self._audio and (self._bytes > most_bytes or self._milliseconds > most_ms):
            _, parcel = self._audio.popleft()
            self._unqueue(parcel)
            self._lose(parcel)
        if self._bytes > most_bytes and not self.is_over:
            self._counts.dropped["control"] += len(self._control)
            self.leave()
            self.outlet.close(*_TOO_SLOW)

    def _unqueue(self, parcel: Parcel) -> None:
        self._bytes -= len(parcel.data)
        self._milliseconds = self._milliseconds - parcel.milliseconds if self._audio else 0.0

    def _clear(self) -> None:
        for queue in (self._first, self._control, self._audio):
            queue.clear()
        self._bytes, self._milliseconds = 0, 0.0

    def _lose(self, parcel: Parcel) -> None:
        for at, what in enumerate((1, parcel.frame_bytes, parcel.milliseconds)):
            self._lost[at] += what
        self._counts.dropped["audio"] += 1
        self._counts.dropped_ms += parcel.milliseconds

    def _told(self) -> bytes:
        """The notice of what was dropped."""
        deltas, size, milliseconds = self._lost
        self._lost = [0, 0, 0.0]
        self._counts.lags += 1
        lag = Lag(
            event_id=new_event_id(),
            session=self.session,
            cause="listener",
            audio_deltas=int(deltas),
            audio_bytes=int(size),
            audio_ms=round(milliseconds, 1),
            control_events=0,
        )
        return framed(TEXT, to_json(lag))

    def _moved(self) -> None:
        if self.place is not None:
            self.place.moved(self)


def _joined(next_one: Callable[[], Parcel | None]) -> bytes:
    parts: list[bytes] = []
    room = _GULP
    while room > 0 and (parcel := next_one()) is not None:
        parts.append(parcel.data)
        room -= len(parcel.data)
    return b"".join(parts)
