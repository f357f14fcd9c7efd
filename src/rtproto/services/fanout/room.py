"""What a session says is said once, to all who hear the same; who comes late is told what was.

No I/O: events come in by :meth:`Room.publish`, and go out by the outlets of listeners.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter
from typing import NamedTuple, TypeAlias

from rtproto._encode import to_json
from rtproto._envelope import probe_type
from rtproto._sockets import BINARY, TEXT, framed
from rtproto.errors import NotAnEvent
from rtproto.event_ids import new_event_id
from rtproto.services.fanout.counts import Counts
from rtproto.services.fanout.families import AUDIO_DELTAS, Family, family_of
from rtproto.services.fanout.history import History
from rtproto.services.fanout.limits import Limits
from rtproto.services.fanout.listener import Asked, Listener, Parcel
from rtproto.services.fanout.notices import AudioHeader, Ended, Lag, Notice, Snapshot
from rtproto.services.fanout.sound import Address, Sound

__all__ = ["Lost", "Message", "Room", "Say", "Tap", "is_event"]

_Write: TypeAlias = Callable[[bytes], object]

_AT_ONCE = 256 * 2**10  # bytes of one turn that are written in one piece to who is not behind


class Message:
    """An event that came, and what it is as far as anybody wants to know."""

    __slots__ = ("_as_frame", "_as_pcm", "data", "family", "is_audio", "milliseconds", "name")

    def __init__(self, data: bytes) -> None:
        self.data: bytes = data
        """The event, as it came."""
        self.name: str = _name(data)
        """Its type; empty: it is no event."""
        self.is_audio: bool = self.name in AUDIO_DELTAS
        """Whether it may be lost."""
        self.family: Family = family_of(self.name)
        """The family it is of."""
        self.milliseconds: float = 0.0
        """How long it plays."""
        self._as_frame: Parcel | None = None
        self._as_pcm: tuple[Parcel, ...] | None = None

    def as_frame(self) -> Parcel:
        """As it came, framed once for all."""
        if self._as_frame is None:
            self._as_frame = self._parcel(framed(TEXT, self.data))
        return self._as_frame

    def as_pcm(self) -> tuple[Parcel, ...]:
        """As samples, behind a header if it is the first of its item; what cannot be read, as it came."""
        return self._as_pcm or (self.as_frame(),)

    def sounds(self, samples: bytes, header: Parcel | None) -> None:
        """These are its samples."""
        sound = self._parcel(framed(BINARY, samples))
        self._as_pcm = (sound,) if header is None else (header, sound)

    def _parcel(self, data: bytes) -> Parcel:
        return Parcel(
            data, is_audio=self.is_audio, milliseconds=self.milliseconds, frame_bytes=len(self.data)
        )


Tap: TypeAlias = Callable[[Sequence[Message]], None]
"""Is told what came, all of one turn at once."""
Say: TypeAlias = Callable[[bytes], bool]
"""Sends a speaker's event to the service; whether it goes on: it does not while too much waits."""


def is_event(data: bytes) -> bool:
    """Whether what a speaker says is an event, and so may go to a service."""
    try:
        data.decode()
        probe_type(data)
    except (NotAnEvent, UnicodeDecodeError):
        return False
    return True


class Lost(NamedTuple):
    """What a bus did not bring."""

    audio_deltas: int
    """How many deltas of audio."""
    audio_bytes: int
    """Their bytes."""
    audio_ms: float
    """How long they play, in milliseconds."""
    control_events: int
    """How many other events; then a snapshot is to follow."""


def _name(data: bytes) -> str:
    try:
        return probe_type(data)
    except NotAnEvent:
        return ""


class _Group:
    """Those who want to hear the same."""

    def __init__(self, room: "Room", asked: Asked) -> None:
        self.room = room
        self.asked = asked
        self.clear: dict[Listener, _Write] = {}
        self.behind: dict[Listener, None] = {}
        self._writes: tuple[_Write, ...] | None = None
        self._snapshot: tuple[int, list[Parcel]] = (-1, [])

    def __len__(self) -> int:
        return len(self.clear) + len(self.behind)

    def listeners(self) -> list[Listener]:
        return [*self.clear, *self.behind]

    # A listener's place

    def enter(self, listener: Listener) -> None:
        listener.place = self
        self.behind[listener] = None
        self.room.counts.behind += 1
        self.moved(listener)

    def moved(self, listener: Listener) -> None:
        if listener.is_behind == (listener in self.behind):
            return
        if listener.is_behind:
            del self.clear[listener]
            self.behind[listener] = None
        else:
            del self.behind[listener]
            self.clear[listener] = listener.outlet.write
        self.room.counts.behind += 1 if listener.is_behind else -1
        self._writes = None

    def leave(self, listener: Listener) -> None:
        if listener in self.behind:
            del self.behind[listener]
            self.room.counts.behind -= 1
        else:
            del self.clear[listener]
            self._writes = None
        self.room.left(self)

    # What it hears

    def deliver(self, messages: Sequence[Message]) -> None:
        parcels = [*self.parcels(messages)]
        if not parcels:
            return
        behind = [*self.behind]  # who falls behind now has it all
        if self._writes is None:
            self._writes = tuple(self.clear.values())
        data = parcels[0].data if len(parcels) == 1 else b"".join([parcel.data for parcel in parcels])
        if len(data) > _AT_ONCE:
            behind += self.clear
        elif self._writes:
            self._count(parcels, len(data), len(self._writes))
            for write in self._writes:
                write(data)
        for listener in behind:
            listener.take(parcels)

    def _count(self, parcels: Sequence[Parcel], size: int, times: int) -> None:
        audio = sum(parcel.is_audio for parcel in parcels)
        counts = self.room.counts
        counts.delivered["audio"] += audio * times
        counts.delivered["control"] += (len(parcels) - audio) * times
        counts.delivered_bytes += size * times

    def parcels(self, messages: Iterable[Message]) -> Iterator[Parcel]:
        families, is_pcm = self.asked.families, self.asked.shape == "pcm"
        for message in messages:
            if message.family in families:
                if is_pcm:
                    yield from message.as_pcm()
                else:
                    yield message.as_frame()

    def snapshot(self, revision: int) -> list[Parcel]:
        """What a listener begins with; the same for all who come before the next event."""
        if self._snapshot[0] != revision:
            self._snapshot = (revision, self._made())
        return self._snapshot[1]

    def _made(self) -> list[Parcel]:
        parcels = [*self.parcels(self.room.history())]
        notice = Snapshot(
            event_id=new_event_id(),
            session=self.room.name,
            events=len(parcels),
            omitted=self.room.omitted,
        )
        return [_said(notice), *parcels]


def _said(notice: Notice) -> Parcel:
    return Parcel(framed(TEXT, to_json(notice)))


class Room:
    """One session: who listens, what was said, and who may answer.

    A room that is not ready, as one whose events come by a bus, lets listeners in and tells them nothing
    until :meth:`restart`.
    """

    def __init__(
        self,
        name: str,
        *,
        limits: Limits | None = None,
        counts: Counts | None = None,
        say: Say | None = None,
        is_ready: bool = True,
    ) -> None:
        self.name: str = name
        """Its name."""
        self.limits: Limits = limits or Limits()
        """How much is kept."""
        self.counts: Counts = counts or Counts()
        """What is counted, for all rooms of a hub."""
        self.say: Say | None = say
        """Sends an event to the service; ``None``: nobody can."""
        self.is_ready: bool = is_ready
        """Whether what was before is known."""
        self.is_over: bool = False
        """Whether the session has ended."""
        self.end_code: int | None = None
        """The close code it ended with; ``None``: it has not."""
        self.taps: list[Tap] = []
        """Who else is told what comes, after the listeners."""
        self.on_join: Callable[[], None] = _nothing
        """Called when a listener has come."""
        self.on_empty: Callable[[], None] = _nothing
        """Called when the last listener has left."""
        self.on_end: Callable[[str], None] = _nothing_at_its_end
        """Called when it ends, with the reason."""
        self._groups: dict[Asked, _Group] = {}
        self._pending: list[Listener] = []
        self._history = History(self.limits.max_items, self.limits.max_history_bytes)
        self._omitted = 0  # before what is known here
        self._revision = 0
        self._told: tuple[int, list[Message]] = (-1, [])
        self._sound = Sound()
        self._heard_of: Address | None = None  # whose audio it is that listeners of samples hear
        self.counts.sessions += 1

    def __repr__(self) -> str:
        return f"<Room {self.audience} listeners>"

    @property
    def audience(self) -> int:
        """How many listen."""
        return len(self._pending) + sum(map(len, self._groups.values()))

    # Listeners

    def join(self, listener: Listener) -> None:
        """It hears what was, and from now on what is."""
        self.counts.listeners += 1
        if self.is_ready:
            self._begin(listener)
        else:
            self._pending.append(listener)
        self.on_join()

    def wants(self, family: Family) -> bool:
        """Whether anybody listens to a family of events."""
        asked = [*self._groups, *(listener.asked for listener in self._pending)]
        return any(family in each.families for each in asked)

    def _begin(self, listener: Listener) -> None:
        group = self._groups.setdefault(listener.asked, _Group(self, listener.asked))
        group.enter(listener)
        listener.begin([*group.snapshot(self._revision), *self._headers(listener.asked)])
        group.moved(listener)

    def _headers(self, asked: Asked) -> list[Parcel]:
        """Whose audio goes on, for who has not heard it begin."""
        return [] if self._heard_of is None or not asked.is_for_samples else [self._header(self._heard_of)]

    def leave(self, listener: Listener) -> None:
        """It hears no more; one that has left before does no harm."""
        if listener in self._pending:
            self._pending.remove(listener)
            listener.is_over = True
            self._one_less()
        else:
            listener.leave()

    def left(self, group: _Group) -> None:
        """A group has lost a listener."""
        if not len(group):
            self._groups.pop(group.asked, None)
        self._one_less()

    def _one_less(self) -> None:
        self.counts.listeners -= 1
        if not self.audience:
            self.on_empty()

    def listeners(self) -> list[Listener]:
        """All of them."""
        return [*self._pending, *(each for group in self._groups.values() for each in group.listeners())]

    # What comes

    def publish(self, frames: Iterable[bytes]) -> None:
        """The service said this, in one turn.

        Raises:
            TypeError: it is one frame, where a list of them should be.
        """
        if isinstance(frames, bytes | str):
            raise TypeError("publish takes frames, a list of bytes")
        messages = [Message(data) for data in frames]
        if not messages or self.is_over:
            return
        for message in messages:
            self._note(message)
        for group in [*self._groups.values()]:
            group.deliver(messages)
        for tap in self.taps:
            tap(messages)

    def _note(self, message: Message) -> None:
        if message.is_audio:
            message.milliseconds = self._sound.milliseconds(message.data)
            self.counts.published["audio"] += 1
            if any(asked.is_for_samples for asked in self._groups):
                self._read_sound(message)
            else:
                self._heard_of = None
            return
        self.counts.published["control"] += 1
        self._revision += 1
        self._remember(message)
        if message.family == "session" or message.name == "response.done":
            self._heard_of = None  # what is heard next has a header

    def _remember(self, message: Message) -> None:
        self._history.add(message.name, message.data)
        if message.family == "session":
            self._sound.note(message.data)

    def restart(self, frames: Iterable[bytes], lost: Lost | None = None, *, omitted: int = 0) -> None:
        """This is what was, but for what was omitted; all who listen begin anew, told first what was lost."""
        self._history.clear()
        self._omitted = omitted
        for data in frames:
            self._remember(Message(data))
        self._revision += 1
        self._heard_of = None
        self.is_ready = True
        told = [] if lost is None else [self._lag(lost)]
        for group in [*self._groups.values()]:
            self.counts.lags += len(group) * len(told)
            parcels = [*told, *group.snapshot(self._revision)]
            for listener in group.listeners():
                listener.forget()
                listener.begin(parcels)
                group.moved(listener)
        pending, self._pending = self._pending, []
        for listener in pending:
            self._begin(listener)

    def tell_lost(self, lost: Lost) -> None:
        """The bus lost something, and it is not known anew: of audio, those are told who listen to it."""
        parcel = self._lag(lost)
        for group in [*self._groups.values()]:
            if lost.control_events or "audio" in group.asked.families:
                self.counts.lags += len(group)
                for listener in group.listeners():
                    listener.take([parcel])

    def _lag(self, lost: Lost) -> Parcel:
        self.counts.bus_lost["audio"] += lost.audio_deltas
        self.counts.bus_lost["control"] += lost.control_events
        notice = Lag(event_id=new_event_id(), session=self.name, cause="bus", **lost._asdict())
        return _said(notice)

    def end(self, reason: str, code: int = 1000) -> None:
        """The session is over; who listens is told, when it has read all the rest."""
        if self.is_over:
            return
        parcel = self.said_last(reason)
        self.is_over, self.end_code = True, code
        self.counts.sessions -= 1
        for listener in self.listeners():
            listener.end(parcel, code, reason)
        self.on_end(reason)

    def said_last(self, reason: str) -> Parcel:
        """What a listener is told when no more comes."""
        return _said(Ended(event_id=new_event_id(), session=self.name, reason=reason))

    # What was

    @property
    def omitted(self) -> int:
        """How much a snapshot leaves out; see :class:`Snapshot`."""
        return self._omitted + self._history.omitted

    def history(self) -> list[Message]:
        """What a snapshot has, for all who come before the next event."""
        if self._told[0] != self._revision:
            begun = perf_counter()
            known = {message.data: message for message in self._told[1]}  # and framed already
            told = [known.get(data) or Message(data) for data in self._history.frames()]
            self._told = (self._revision, told)
            self.counts.snapshots += 1
            self.counts.snapshot_seconds += perf_counter() - begun
        return self._told[1]

    # Samples

    def _read_sound(self, message: Message) -> None:
        """Decode a delta, once for all; if the last one was of another item, with a header."""
        found = self._sound.read(message.data)
        if found is not None:
            address, samples = found
            message.sounds(samples, None if address == self._heard_of else self._header(address))
            self._heard_of = address

    def _header(self, address: Address) -> Parcel:
        return _said(
            AudioHeader(
                event_id=new_event_id(),
                session=self.name,
                response_id=address.response_id,
                item_id=address.item_id,
                content_index=address.content_index,
                sample_rate=address.sample_rate or self._sound.sample_rate,
                channels=address.channels or 1,
            )
        )


def _nothing() -> None:
    """Nobody asks."""


def _nothing_at_its_end(_: str) -> None:
    """Nobody asks."""
