"""Listeners at several edges keep account through all faults; who is sent away comes again.

The service and the listeners run on in a thread of the load's process from :func:`begin` to :func:`end`, so
that what happens to hub, edges and bus meanwhile can be told from outside.
"""

import asyncio
import gc
from collections.abc import Coroutine, Sequence
from itertools import chain
from threading import Thread
from time import perf_counter
from typing import Any, NamedTuple, TypeVar
from urllib.request import urlopen

import msgspec
from picows import WSTransport

from bench.fanout_load import Account, Ear, Service, Session, Speech, Sums, counts_at, join, lateness, sums
from bench.proxy_load import GIVE_UP, Late, cuts, ran_for, until
from rtproto._sockets import new_loop

__all__ = ["Grid", "Lost", "Steady", "begin", "closed", "end", "lost", "recovered", "steady"]

T = TypeVar("T")

_LOST = "rtproto_fanout_bus_lost_total"
_AGAIN = 0.25  # seconds until a listener comes again
_PATIENCE = 3 * GIVE_UP


class Grid(NamedTuple):
    """What there is: processes by their numbers, and where they listen."""

    service: int
    """The port where the hub looks for the service."""
    bus: int
    """The bus's process."""
    bus_counts: int
    """The port where the bus tells what it counted."""
    hub: int
    """The hub's process."""
    edges: Sequence[int]
    """The edges' processes."""
    ports: Sequence[int]
    """Where these listen."""
    counts: Sequence[int]
    """Where these tell what they counted."""


class Steady(msgspec.Struct, frozen=True):
    """What it takes while nothing happens, for each second of the session."""

    listeners: int
    seconds: float
    """How long that was."""
    deliveries: int
    """In all of it."""
    lost: int
    """Messages that were lost, or came out of turn."""
    took: Late
    """How late they were."""
    hub: float
    """CPU time of the hub, in ms."""
    edges: list[float]
    """Of each edge."""
    bus: float
    """Of the bus."""
    bus_in: float
    """Bytes that came to the bus."""
    bus_out: float
    """And left it."""


class Lost(msgspec.Struct, frozen=True):
    """Messages that listeners have not heard as they were said."""

    missing: int
    """By their numbers."""
    told: int
    """As they were told."""
    counted: int
    """As the edges counted, for each of their listeners."""


class _Visitor(Ear):
    def __init__(self) -> None:
        super().__init__()
        self.over = asyncio.Event()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        super().on_ws_disconnected(transport)
        self.over.set()


class _Seat:
    """A listener that comes again when it is sent away."""

    def __init__(self, port: int) -> None:
        self.ear: _Visitor | None = None
        self.before: list[Account] = []
        self._port = port
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while True:
            self.ear = await join(self._port, _Visitor, _AGAIN, _PATIENCE)
            await self.ear.over.wait()
            self.before.append(self.ear.account)
            self.ear = None
            await asyncio.sleep(_AGAIN)

    def has_all(self, sent: int) -> bool:
        if self._task.done():
            self._task.result()
        return self.ear is not None and self.ear.account.snapshots > 0 and self.ear.account.has_all(sent)

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        if self.ear is not None:
            self.ear.transport.disconnect()


class _Stage:
    """The service, and all who listen."""

    def __init__(self, grid: Grid, each: int) -> None:
        self._grid = grid
        self._speech: Speech | None = None
        self._leave = asyncio.Event()
        self._seats = [_Seat(port) for port in grid.ports for _ in range(each)]
        self._served = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        service = Service()
        service.on_begin = self._speak
        async with service.served(self._grid.service):
            await self._leave.wait()

    def _speak(self, session: Session) -> None:
        self._speech = Speech(session)

    @property
    def sent(self) -> int:
        return 0 if self._speech is None else self._speech.sent

    async def recovered(self) -> float:
        """For how long it takes until all hear all, from now."""
        begun = perf_counter()
        await until(lambda: self._speech is not None and not self._speech.is_over, "session", _PATIENCE)
        sent = self.sent
        await until(lambda: all(seat.has_all(sent) for seat in self._seats), "listener that hears", _PATIENCE)
        return perf_counter() - begun

    async def closed(self) -> float:
        begun = perf_counter()
        await until(lambda: not any(seat.ear for seat in self._seats), "end at the edges", _PATIENCE)
        return perf_counter() - begun

    async def steady(self, seconds: float) -> Steady:
        grid = self._grid
        accounts = [seat.ear.account for seat in self._seats if seat.ear is not None]
        for account in accounts:
            account.late.clear()
        processes = (grid.hub, grid.bus, *grid.edges)
        carried, ran, begun = await _carried(grid.bus_counts), [*map(ran_for, processes)], perf_counter()
        await asyncio.sleep(seconds)
        took = perf_counter() - begun
        spent = [(ran_for(one) - then) / 1e6 / took for one, then in zip(processes, ran, strict=True)]
        bus_in, bus_out = (
            (now - then) / took for now, then in zip(await _carried(grid.bus_counts), carried, strict=True)
        )
        late = lateness(accounts)
        kept = sums(accounts)
        lost = sum(kept.missing) + kept.restored + kept.wrong
        return Steady(
            len(accounts), took, len(late), lost, cuts(late), spent[0], spent[2:], spent[1], bus_in, bus_out
        )

    async def lost(self) -> Lost:
        found = sums([seat.ear.account for seat in self._seats if seat.ear is not None])
        counts = [await asyncio.to_thread(counts_at, port) for port in self._grid.counts]
        counted = sum(count for row in counts for name, count in row.items() if name.startswith(_LOST))
        each = len(self._seats) // len(counts)
        return Lost(sum(found.missing) + found.restored, sum(found.told), round(counted) * each)

    async def end(self) -> tuple[Sums, Sums]:
        """The accounts of those that are there in the end, and of those that were sent away."""
        assert self._speech is not None
        sent = await self._speech.stop()
        await until(lambda: all(seat.has_all(sent) for seat in self._seats), "last message")
        there = [seat.ear.account for seat in self._seats if seat.ear is not None]
        for seat in self._seats:
            await seat.leave()
        self._leave.set()
        await self._served
        return sums(there), sums([*chain.from_iterable(seat.before for seat in self._seats)], are_whole=False)


async def _carried(port: int) -> tuple[int, int]:
    """Bytes that came to the bus, and left it."""

    def read() -> bytes:
        with urlopen(f"http://127.0.0.1:{port}/varz", timeout=GIVE_UP) as answer:
            return bytes(answer.read())

    told = msgspec.json.decode(await asyncio.to_thread(read))
    return told["in_bytes"], told["out_bytes"]


# From outside ---------------------------------------------------------------------------------


class _Thread:
    """An event loop that goes on between two calls."""

    def __init__(self) -> None:
        self._loop = new_loop()
        Thread(target=self._loop.run_forever, daemon=True).start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)


_STAGE: list[tuple[_Thread, _Stage]] = []


def begin(grid: Grid, each: int) -> float:
    """Have so many listeners at each edge, and speak to them; gives how long it took till all heard."""
    gc.collect()
    gc.disable()
    thread = _Thread()

    async def make() -> _Stage:
        return _Stage(grid, each)

    _STAGE[:] = [(thread, thread.run(make()))]
    return recovered()


def steady(seconds: float) -> Steady:
    """What it takes while nothing happens."""
    thread, stage = _STAGE[0]
    return thread.run(stage.steady(seconds))


def recovered() -> float:
    """Wait until everybody hears everything again; gives how long that took."""
    thread, stage = _STAGE[0]
    return thread.run(stage.recovered())


def lost() -> Lost:
    """What the listeners that are there have not heard by now."""
    thread, stage = _STAGE[0]
    return thread.run(stage.lost())


def closed() -> float:
    """Wait until everybody was sent away; gives how long that took."""
    thread, stage = _STAGE[0]
    return thread.run(stage.closed())


def end() -> tuple[Sums, Sums]:
    """Stop; gives the accounts of those that are there now, and of those that were sent away before."""
    thread, stage = _STAGE.pop()
    try:
        return thread.run(stage.end())
    finally:
        thread.stop()
