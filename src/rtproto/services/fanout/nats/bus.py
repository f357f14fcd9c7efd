"""A bus over NATS: who has a session says so again and again, and who is silent for too long has none."""

import asyncio
import logging
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from secrets import token_hex
from types import TracebackType
from typing import Final, Self

from rtproto.services.fanout.bus import check_name
from rtproto.services.fanout.counts import Counts
from rtproto.services.fanout.limits import Limits
from rtproto.services.fanout.nats._line import CONNECT_SECONDS, Line
from rtproto.services.fanout.nats._said import Ask, Directory, Entry, Who
from rtproto.services.fanout.nats._sessions import Following, Known, Origin, clock
from rtproto.services.fanout.room import Room, Say

__all__ = ["NatsBus"]

_LOGGER = logging.getLogger("rtproto.fanout")
_LINGER_SECONDS: Final = 10.0  # how long a session is followed that nobody listens to any more
_SESSIONS_AT_ONCE: Final = 1000
_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


class NatsBus:
    """A bus over NATS: sessions that begin here are listened to everywhere, and others' are found here.

    ::

        async with NatsBus("nats://127.0.0.1:4222") as bus, Fanout(bus) as fanout:
            ...

    It starts and serves without NATS, and connects as soon as it can, again and again.
    """

    def __init__(  # noqa: PLR0913 - each has a default
        self,
        url: str,
        *,
        limits: Limits | None = None,
        counts: Counts | None = None,
        prefix: str = "rtproto",
        beat_seconds: float = 1.0,
        dead_seconds: float = 4.0,
        away_seconds: float = 30.0,
    ) -> None:
        """Nothing is opened yet.

        Args:
            url: where NATS is, ``nats://`` or ``tls://``, with a user and a password or a token where it asks
                for them; several with commas between, to try one after the other.
            limits: how much is kept; ``None``: as usual.
            counts: what counts; ``None``: counts of its own.
            prefix: how all subjects begin.
            beat_seconds: how often it says that its sessions are alive.
            dead_seconds: how long nothing may be heard of a session of others; then it is over here.
            away_seconds: the same while NATS itself is away.

        Raises:
            ValueError: the address or the prefix is none, or the seconds make no sense.
        """
        if not 0 < 2 * beat_seconds <= dead_seconds <= away_seconds < math.inf:
            raise ValueError("dead_seconds must be two beats or more, and away_seconds no less than that")
        if not _PREFIX.fullmatch(prefix):
            raise ValueError("a prefix is of letters, digits, - and _, with dots between")
        self.limits: Limits = limits or Limits()
        """How much its rooms keep."""
        self.counts: Counts = counts or Counts()
        """What is counted in all its rooms."""
        self._prefix, self._beat_seconds = prefix, beat_seconds
        self._dead_seconds, self._away_seconds = dead_seconds, away_seconds
        self._id = token_hex(8)
        self._line = Line(url, self.limits, self.counts, beat_seconds / 2)
        self._line.on_up, self._line.on_down = self._up, self._down
        self._since = 0.0  # when the connection was made or lost
        self._origins: dict[str, Origin] = {}  # by epoch
        self._names: dict[str, Origin] = {}
        self._known: dict[str, dict[str, Known]] = {}  # by name and epoch; the last to begin comes last
        self._followed: dict[str, Following] = {}  # by epoch
        self._ticker: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<NatsBus {'connected' if self.is_connected else 'away'}, {len(self.names())} sessions>"

    @property
    def is_connected(self) -> bool:
        """Whether NATS is there."""
        return self._line.is_up

    # What it is asked for

    def begin(self, name: str, say: Say | None = None) -> Room:
        """A session begins; see :meth:`Bus.begin`.

        Raises:
            ValueError: it is no name, or there is such a session here.
        """
        if check_name(name) in self._names:
            raise ValueError("there is such a session")
        room = Room(name, limits=self.limits, counts=self.counts, say=say)
        origin = self._names[name] = Origin(self._line, self._prefix, room)
        self._origins[origin.entry.epoch] = origin
        room.on_end = partial(self._ended, origin)
        self._say_sessions(there=[origin.entry])
        return room

    def _ended(self, origin: Origin, reason: str) -> None:
        origin.end(reason)
        self._names.pop(origin.room.name, None)
        self._origins.pop(origin.entry.epoch, None)
        self._say_sessions(gone=[origin.entry])

    def find(self, name: str) -> Room | None:
        """The room of a session, of ours or of others; ``None``: nothing was heard of any."""
        if origin := self._names.get(name):
            return origin.room
        if not (epochs := self._known.get(name)):
            return None
        known = next(reversed(epochs.values()))
        following = self._followed.get(known.entry.epoch) or self._follow(known)
        following.used = clock()
        return following.room

    def names(self) -> list[str]:
        """The sessions that there are, as far as it was heard of them."""
        return sorted({*self._names, *self._known})

    # Sessions of others

    def _follow(self, known: Known) -> Following:
        following = Following(self._line, self._prefix, known, self.limits, self.counts)
        self._followed[known.entry.epoch] = following
        following.room.on_end = lambda _: self._unfollow(following)
        if self.is_connected:
            following.up()
        return following

    def _unfollow(self, following: Following) -> None:
        following.down()
        self._followed.pop(following.known.entry.epoch, None)

    def _heard(self, directory: Directory) -> None:
        for entry in directory.there:
            epochs = self._known.setdefault(entry.name, {})
            if known := epochs.get(entry.epoch):
                known.heard = clock()
            else:
                if epochs or entry.name in self._names:
                    self._supersede(entry.name)
                epochs[entry.epoch] = Known(directory.hub, entry, clock())
        for entry in directory.gone:
            self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        """Who listens hears of it where it hears the session itself, behind all the rest."""
        epochs = self._known.get(entry.name, {})
        epochs.pop(entry.epoch, None)
        if not epochs:
            self._known.pop(entry.name, None)

    def _supersede(self, name: str) -> None:
        """Another session of this name has begun: what was listened to is over."""
        _LOGGER.warning("another session has begun", extra={"fields": {"session": name}})
        for following in [*self._followed.values()]:
            if following.room.name == name:
                following.room.end("another session has begun", 1001)

    # Sessions of ours

    def _say_sessions(self, there: Sequence[Entry] = (), gone: Sequence[Entry] = ()) -> None:
        self._line.send(f"{self._prefix}.sessions", Directory(self._id, [*there], [*gone]))

    def _say_all(self) -> None:
        entries = [origin.entry for origin in self._names.values()]
        for at in range(0, len(entries), _SESSIONS_AT_ONCE):
            self._say_sessions(entries[at : at + _SESSIONS_AT_ONCE])

    def _asked_who(self, _: Who) -> None:
        self._say_all()

    def _asked(self, ask: Ask) -> None:
        if (origin := self._origins.get(ask.epoch)) is not None:
            origin.answer(ask)

    # The connection

    def _up(self) -> None:
        self._since = clock()
        line, prefix = self._line, self._prefix
        line.listen(f"{prefix}.sessions", Directory, self._heard)
        line.listen(f"{prefix}.who", Who, self._asked_who)
        line.listen(f"{prefix}.ask.{self._id}", Ask, self._asked)
        line.send(f"{prefix}.who", Who())
        self._beat()
        for following in self._followed.values():
            following.up()

    def _down(self) -> None:
        self._since = clock()
        for following in self._followed.values():
            following.down()

    # Time

    async def _tick(self) -> None:
        last = clock()
        while True:
            await asyncio.sleep(self._beat_seconds)
            if clock() - last > 2 * self._beat_seconds:
                self._since = clock()  # we were away ourselves: what was said meanwhile is still to be read
            last = clock()
            self._line.wake()
            self._beat()
            self._look()

    def _beat(self) -> None:
        self._say_all()
        for origin in self._names.values():
            origin.beat()

    def _look(self) -> None:
        """What has been silent for too long is over; what nobody listens to is no longer followed."""
        now = clock()
        patience = self._dead_seconds if self.is_connected else self._away_seconds

        def is_dead(known: Known) -> bool:
            return now - max(known.heard, self._since) > patience

        for epochs in [*self._known.values()]:
            for known in [known for known in epochs.values() if is_dead(known)]:
                self._forget(known.entry)
        for following in [*self._followed.values()]:
            if is_dead(following.known):
                following.room.end(f"the {'hub' if self.is_connected else 'bus'} is gone", 1001)
            elif not following.room.audience and now - following.used > _LINGER_SECONDS:
                following.room.end("nobody listens")
            else:
                following.look()

    async def __aenter__(self) -> Self:
        """Connect; if that takes long, go on without."""
        self._since = clock()
        self._line.start()
        self._ticker = asyncio.create_task(self._tick())
        with suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._line.was_tried.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.wait([self._ticker])
        ours = [origin.room for origin in self._names.values()]
        for room in [*ours, *(following.room for following in self._followed.values())]:
            room.end("going away", 1001)
        await self._line.stop()
