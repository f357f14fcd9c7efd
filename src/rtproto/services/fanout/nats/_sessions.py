"""A session is said on the bus as its room is told, and followed elsewhere in order or not at all."""

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from secrets import token_hex

from rtproto._close_codes import SAYABLE
from rtproto.services.fanout.counts import Counts
from rtproto.services.fanout.limits import Limits
from rtproto.services.fanout.nats._line import Ear, Line
from rtproto.services.fanout.nats._said import ADDRESS_BYTES, Ask, Entry, Position, Run, Snapshot
from rtproto.services.fanout.room import Lost, Message, Room, is_event

__all__ = ["Following", "Known", "Origin", "clock"]

_SNAPSHOT_SECONDS = 0.25  # between two snapshots of a session


class Origin:
    """A session that begins here: it says on the bus what its room is told."""

    def __init__(self, line: Line, prefix: str, room: Room) -> None:
        self.room: Room = room
        self.entry: Entry = Entry(room.name, token_hex(8), room.say is not None)
        self._line = line
        self._subject = f"{prefix}.live.{room.name}.{self.entry.epoch}"
        self._snapshots = f"{prefix}.snapshot.{room.name}.{self.entry.epoch}"
        self._timer: asyncio.TimerHandle | None = None
        self._told_at = 0.0
        self._position = Position()
        room.taps.append(self._told)

    def _told(self, messages: Sequence[Message]) -> None:
        for is_audio, run in groupby(messages, attrgetter("is_audio")):
            self._say(bool(is_audio), [*run])

    def _say(self, is_audio: bool, messages: list[Message]) -> None:
        milliseconds = sum([message.milliseconds for message in messages])
        run = Run(self._position, is_audio, [message.data for message in messages], milliseconds)
        self._position = run.after
        subject = f"{self._subject}.{'audio' if is_audio else 'control'}"
        self._line.send(subject, run, can_wait=is_audio, frames=len(messages))

    def beat(self) -> None:
        self._line.send(f"{self._subject}.control", Run(self._position))

    def end(self, reason: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        end = (reason, self.room.end_code or 1000)
        self._line.send(f"{self._subject}.control", Run(self._position, end=end))

    def answer(self, ask: Ask) -> None:
        if ask.say is None:
            self._tell_soon()
        elif self.room.say is not None and is_event(ask.say) and self.room.say(ask.say):
            self.room.counts.said += 1

    def _tell_soon(self) -> None:
        """One snapshot is for all who ask at nearly the same time: a hundred edges may."""
        if self._timer is None:
            due = max(clock(), self._told_at + _SNAPSHOT_SECONDS)
            self._timer = asyncio.get_running_loop().call_at(due, self._tell)

    def _tell(self) -> None:
        self._timer, self._told_at = None, clock()
        frames = [message.data for message in self.room.history()]
        self._line.send(self._snapshots, Snapshot(self._position, frames, self.room.omitted), can_wait=True)


class Known:
    """A session of another hub."""

    __slots__ = ("entry", "heard", "hub")

    def __init__(self, hub: str, entry: Entry, heard: float) -> None:
        self.hub, self.entry, self.heard = hub, entry, heard


class Following:
    """A session of another hub that is listened to here: its room is told what comes, in order or not at all.

    It is *behind* when it does not know how far the session had come, or control events are missing: then
    what comes is kept until there is a snapshot.
    """

    def __init__(self, line: Line, prefix: str, known: Known, limits: Limits, counts: Counts) -> None:
        entry = known.entry
        self.known: Known = known
        self.used: float = clock()
        self.room: Room = Room(
            entry.name,
            limits=limits,
            counts=counts,
            say=self._say if entry.can_be_spoken_to else None,
            is_ready=False,
        )
        self.room.on_join = self._tune
        self.room.on_empty = self._left
        self._line = line
        self._subject = f"{prefix}.live.{entry.name}.{entry.epoch}"
        self._hub_subject = f"{prefix}.ask.{known.hub}"
        self._snapshots = f"{prefix}.snapshot.{entry.name}.{entry.epoch}"
        self._most = limits.max_bus_bytes
        self._ears: list[Ear] = []  # where it comes from now, and where from next
        self._answers: Ear | None = None
        self._position: Position | None = None
        self._base: Position | None = None  # from where on all audio should have come
        self._is_behind = True
        self._kept: list[Run] = []
        self._kept_bytes = 0

    # The connection

    def up(self) -> None:
        """There is a connection, a new one."""
        self._ears = [self._listen("*" if self._position is None else self._wanted())]
        if not self._hears_audio:
            self._base = None
        if self._is_behind:
            self._fall_behind()

    def down(self) -> None:
        """There is none any more, or nobody listens."""
        for ear in (self._answers, *self._ears):
            if ear is not None:
                ear.close()
        self._answers, self._ears = None, []

    def look(self) -> None:
        """Look again whether it hears what is wanted, and what it asked for."""
        self._tune()
        if self._is_behind:
            self._ask()

    def _wanted(self) -> str:
        return "*" if self.room.wants("audio") else "control"

    @property
    def _hears_audio(self) -> bool:
        return self._ears[0].subject.endswith("*")

    def _listen(self, what: str) -> Ear:
        subject = f"{self._subject}.{what}"
        return self._line.listen(subject, Run, partial(self._came, subject))

    def _tune(self) -> None:
        """Hear audio if anybody wants it: listen anew, and no longer as before when that brings something."""
        wanted = self._wanted()
        if not self._ears or self._ears[-1].subject.endswith(wanted):
            return
        if len(self._ears) == 2:  # it is wanted as before, after all
            self._ears.pop().close()
        else:
            self._ears.append(self._listen(wanted))

    def _left(self) -> None:
        self.used = clock()

    def _say(self, data: bytes) -> bool:
        if len(data) > self._line.max_payload - ADDRESS_BYTES:
            return False
        return self._line.send(self._hub_subject, Ask(self.known.entry.epoch, data), frames=1)

    def _ask(self) -> None:
        self._line.send(self._hub_subject, Ask(self.known.entry.epoch))

    # What comes

    def _came(self, subject: str, run: Run) -> None:
        if len(self._ears) == 2 and subject == self._ears[1].subject:
            self._ears.pop(0).close()
            self._base = run.before if self._hears_audio else None
        if run.end is not None:
            self._end(run, *run.end)
        elif self._is_behind:
            self._keep(run)
        else:
            self._follow(run)

    def _follow(self, run: Run) -> None:
        lost = self._lost(run.before)
        if lost.control_events:
            self._fall_behind()
            self._keep(run)
        elif not self._is_old(run.before):
            if lost.audio_deltas:
                self.room.tell_lost(lost)
            self._position = run.after
            self.room.publish(run.frames)

    def _is_old(self, position: Position) -> bool:
        return self._position is not None and position.number < self._position.number

    def _lost(self, until: Position) -> Lost:
        """What has not come, and should have."""
        since = self._position or until
        control = max(until.control - since.control, 0)
        if self._base is None:
            return Lost(0, 0, 0.0, control)
        if self._base.number > since.number:
            since = self._base
        audio, size = max(until.audio - since.audio, 0), max(until.audio_bytes - since.audio_bytes, 0)
        return Lost(audio, size, round(max(until.audio_ms - since.audio_ms, 0.0), 1), control)

    def _fall_behind(self) -> None:
        self._is_behind = True
        self._kept, self._kept_bytes = [], 0
        if self._answers is None:
            self._answers = self._line.listen(self._snapshots, Snapshot, self._answered)
        self._ask()

    def _keep(self, run: Run) -> None:
        """Until there is a snapshot; too much of it is forgotten, and missed when there is one."""
        self._kept_bytes += sum(map(len, run.frames))
        if self._kept_bytes > self._most:
            self._kept, self._kept_bytes = [], 0
        self._kept.append(run)

    def _answered(self, snapshot: Snapshot) -> None:
        if not self._is_behind or self._is_old(snapshot.position):
            return
        lost = self._lost(snapshot.position)
        if not self.room.is_ready:
            self.room.restart(snapshot.frames, omitted=snapshot.omitted)
        elif lost.control_events:
            self.room.restart(snapshot.frames, lost, omitted=snapshot.omitted)
        elif lost.audio_deltas:
            self.room.tell_lost(lost)
        self._position, self._is_behind = snapshot.position, False
        if self._answers is not None:
            self._answers.close()
            self._answers = None
        if self._hears_audio:  # and did so before it asked, or else there is a base
            self._base = self._base or snapshot.position
        kept, self._kept = self._kept, []
        for run in kept:
            self._came(self._ears[0].subject, run)

    def _end(self, run: Run, reason: str, code: int) -> None:
        lost = self._lost(run.before)
        if lost.control_events or lost.audio_deltas:
            self.room.tell_lost(lost)
        self.room.end(reason, code if code in SAYABLE else 1000)


def clock() -> float:
    return asyncio.get_running_loop().time()
