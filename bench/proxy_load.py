"""Both ends of a session are one process with one clock: what a proxy lost, changed or turned round is seen.

The service and all its clients are here, so that nothing but the proxy is in the other process. A message of
the service is known before it is sent, or carries its number and when it was sent in its ``event_id``.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect, ws_create_server

from rtproto import Event, client, encode, server
from rtproto._sockets import new_loop

__all__ = [
    "ADDRESS",
    "BURSTS",
    "CYCLE",
    "GIVE_UP",
    "REST",
    "SIZES",
    "Cost",
    "Delays",
    "Kind",
    "Late",
    "Load",
    "Pace",
    "Side",
    "cost",
    "cuts",
    "delays",
    "idle",
    "kilobytes",
    "pace",
    "ran_for",
    "run_alone",
    "until",
]

T = TypeVar("T")

GIVE_UP = 10.0
"""Seconds."""
CYCLE = 40
"""Different messages; every burst divides it."""
_NUMBER, _STAMP = 8, 18  # digits
_BLANK = "0" * (_NUMBER + _STAMP)
ADDRESS = {
    "event_id": f"event_{_BLANK}",
    "response_id": "resp_BcDeFgHiJkLmNoPqRsTuV",
    "item_id": "item_BcDeFgHiJkLmNoPqRsTuV",
    "output_index": 0,
    "content_index": 0,
}
"""Of the service's events."""
_TENTH = bytes(at * 7919 % 251 for at in range(4800))  # of a second: 24 kHz, 16 bit

Late: TypeAlias = tuple[float, float]
"""The median and the 99th percentile of what a message took, in µs."""


class Side(NamedTuple):
    """A way from the clients to the service."""

    name: str
    port: int
    """Where clients come in."""
    process: int = 0
    """Whose it is; 0: the service's own, there is no proxy."""


# What is sent ---------------------------------------------------------------------------------


class Kind:
    """Events that differ in their ``event_id`` only, which has a number and a time."""

    def __init__(self, event: Event) -> None:
        self._head, _, self._tail = encode(event).partition(_BLANK.encode())
        self._size = len(self._head) + len(_BLANK) + len(self._tail)

    def written(self, number: int, stamp: int) -> bytes:
        """One of them."""
        return b"%b%08d%018d%b" % (self._head, number, stamp, self._tail)

    def read(self, data: bytes) -> tuple[int, int]:
        """The number, -1 if it is no such event; and the time."""
        begin = len(self._head)
        if len(data) != self._size or not (data.startswith(self._head) and data.endswith(self._tail)):
            return -1, 0
        middle = begin + _NUMBER
        return int(data[begin:middle]), int(data[middle : middle + _STAMP])


def _text(size: int) -> Kind:
    """A word of a transcript, as long as told: the service, too, pads it by ``obfuscation``."""
    event = server.ResponseOutputAudioTranscriptDelta(**ADDRESS, delta=" word", obfuscation="")
    padding = "x" * (size - len(encode(event)))
    return Kind(server.ResponseOutputAudioTranscriptDelta(**ADDRESS, delta=" word", obfuscation=padding))


_WORD = _text(271)
_AUDIO = Kind(server.ResponseOutputAudioDelta(**ADDRESS, delta=_TENTH))
_APPEND = Kind(client.InputAudioBufferAppend(event_id=ADDRESS["event_id"], audio=_TENTH))
SIZES = {"271 B": _WORD, "6.6 kB": _AUDIO}
"""The service's messages by size: a word, and a tenth of a second of audio."""
BURSTS = (1, 4, 10)
"""How many messages a session has at once."""


class Load:
    """A cycle of messages, and the same as a socket has them, so many at once."""

    def __init__(self, size: str, burst: int) -> None:
        self.messages = [SIZES[size].written(number, 0) for number in range(CYCLE)]
        framed = [b"\x81\x7e%b%b" % (len(data).to_bytes(2, "big"), data) for data in self.messages]
        self.burst = burst
        self.bursts = [b"".join(framed[begin : begin + burst]) for begin in range(0, CYCLE, burst)]


# Sessions -------------------------------------------------------------------------------------


class _End(WSListener):  # type: ignore[misc] - picows is compiled
    """One end of a session."""

    arrivals: "asyncio.Queue[Any] | None" = None
    """Where the service's end tells that it is there."""
    is_over = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        if self.arrivals is not None:
            self.arrivals.put_nowait(self)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 - picows's
        self.is_over = True


C = TypeVar("C", bound=_End)
S = TypeVar("S", bound=_End)


class _Sessions(Generic[C, S]):
    """The service, and sessions with it by any side, each known from both ends."""

    def __init__(self, client_end: Callable[[], C], service_end: Callable[[], S]) -> None:
        self._client_end, self._service_end = client_end, service_end
        self._arrivals: asyncio.Queue[S] = asyncio.Queue()

    @asynccontextmanager
    async def served(self, port: int) -> AsyncIterator[None]:
        def enter(_: Any) -> S:
            end = self._service_end()
            end.arrivals = self._arrivals
            return end

        listening = await ws_create_server(enter, "127.0.0.1", port)
        try:
            yield
        finally:
            listening.close()

    async def opened(self, side: Side, count: int) -> list[tuple[C, S]]:
        return [await self._open(side) for _ in range(count)]

    async def _open(self, side: Side) -> tuple[C, S]:
        url = f"ws://127.0.0.1:{side.port}/v1/realtime?model=gpt-realtime"
        headers = {"Authorization": "Bearer sk-any"}
        try:
            async with asyncio.timeout(GIVE_UP):
                _, end = await ws_connect(self._client_end, url, extra_headers=headers)
                return end, await self._arrivals.get()
        except TimeoutError:
            raise TimeoutError(f"{side.name}: the service is not called within {GIVE_UP:g} s") from None

    async def close(self, sessions: Sequence[tuple[C, S]]) -> None:
        for one, other in sessions:
            one.transport.disconnect()
            other.transport.disconnect()
        await until(lambda: all(one.is_over and other.is_over for one, other in sessions), "close")


async def until(is_so: Callable[[], bool], what: str, seconds: float = GIVE_UP) -> None:
    """Wait for something; if it takes too long, raise ``TimeoutError``."""
    begun = perf_counter()
    while not is_so():
        if perf_counter() - begun > seconds:
            raise TimeoutError(f"no {what} within {seconds:g} s")
        await asyncio.sleep(0.002)


def run_alone(work: Coroutine[Any, Any, T]) -> T:
    """What some work gives, in an event loop of its own and without the garbage collector."""
    gc.collect()
    gc.disable()  # it would be the proxy that is late
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(work)


# What a process takes -------------------------------------------------------------------------


def ran_for(process: int) -> int:
    """For how many ns all threads of a process ran; exact when it rests. 0: there is no process."""
    if not process:
        return 0
    threads = Path(f"/proc/{process}/task").iterdir()
    return sum(int((thread / "schedstat").read_text("ascii").split()[0]) for thread in threads)


def kilobytes(process: int) -> int:
    """What a process has in memory; pages that it shares are shared out."""
    rollup = Path(f"/proc/{process}/smaps_rollup").read_text("ascii")
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


# What a message costs -------------------------------------------------------------------------

REST = 0.005
"""Seconds until a process that has nothing to do sleeps."""


class _Reader(_End):
    """A client that has the service send the next burst when the last is there."""

    def begin(self, load: Load, write: Callable[[bytes], None]) -> None:
        self._load, self._write = load, write
        self.got = self.sent = self.wrong = 0
        self.is_on = True
        self._more()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002 - picows's
        if frame.msg_type is not WSMsgType.TEXT:
            return
        self.wrong += frame.get_payload_as_bytes() != self._load.messages[self.got % CYCLE]
        self.got += 1
        if self.is_on and self.got == self.sent:
            self._more()

    def _more(self) -> None:
        burst = self._load.burst
        self._write(self._load.bursts[self.sent % CYCLE // burst])
        self.sent += burst


class Cost(msgspec.Struct, frozen=True):
    """What one side took for one shape of load in one round."""

    side: str
    size: str
    burst: int
    ns: float
    """Of a core, for a message."""
    share: float
    """Of the core it had, in use; all of it: messages waited for it."""
    wrong: int
    """Messages that were changed, or came out of turn."""


def cost(sides: Sequence[Side], port: int, sessions: int, rounds: int, seconds: float) -> list[Cost]:
    """Every side at every size and burst, by turns; a message that is lost raises ``TimeoutError``."""
    return run_alone(_cost(sides, port, sessions, rounds, seconds))


async def _cost(sides: Sequence[Side], port: int, sessions: int, rounds: int, seconds: float) -> list[Cost]:
    world = _Sessions(_Reader, _End)
    shapes = [(size, burst, Load(size, burst)) for size in SIZES for burst in BURSTS]
    costs = list[Cost]()
    async with world.served(port):
        opened = {side: await world.opened(side, sessions) for side in sides}
        for side in sides:
            for *_, load in shapes:
                await _round(side, opened[side], load, seconds / 4)  # warm up
        for turn in range(rounds):
            order = [*sides[turn % len(sides) :], *sides[: turn % len(sides)]]
            for size, burst, load in shapes:
                for side in order:
                    row = await _round(side, opened[side], load, seconds)
                    costs.append(Cost(side.name, size, burst, *row))
        for pairs in opened.values():
            await world.close(pairs)
    return costs


async def _round(
    side: Side, pairs: Sequence[tuple[_Reader, _End]], load: Load, seconds: float
) -> tuple[float, float, int]:
    """From rest to rest: whatever was sent has come, and everything it took is in."""
    ran, begun = ran_for(side.process), perf_counter()
    for reader, service in pairs:
        reader.begin(load, service.transport.underlying_transport.write)
    await asyncio.sleep(seconds)
    for reader, _ in pairs:
        reader.is_on = False
    await until(lambda: all(reader.got == reader.sent for reader, _ in pairs), f"end by {side.name}")
    took = perf_counter() - begun
    await asyncio.sleep(REST)
    spent = ran_for(side.process) - ran
    messages = sum(reader.got for reader, _ in pairs)
    return spent / messages, spent / 1e9 / took, sum(reader.wrong for reader, _ in pairs)


# Sessions at a pace ---------------------------------------------------------------------------


class _Talker(_End):
    """An end that sends events of one kind when it is told to, and knows how late the other kind's are."""

    def __init__(self, says: Kind, hears: Kind) -> None:
        self._says, self._hears = says, hears
        self.sent = self.got = self.wrong = 0
        self.late = list[int]()

    def say(self) -> None:
        self.transport.send(WSMsgType.TEXT, self._says.written(self.sent, perf_counter_ns()))
        self.sent += 1

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002 - picows's
        if frame.msg_type is not WSMsgType.TEXT:
            return
        now = perf_counter_ns()
        number, stamp = self._hears.read(frame.get_payload_as_bytes())
        self.wrong += number != self.got
        self.late.append(now - stamp)
        self.got += 1


async def _in_turn(talkers: Sequence[_Talker], interval: float, seconds: float) -> list[float]:
    """Each says something once in an interval, no two at once; how late they were told to."""
    loop = asyncio.get_running_loop()
    apart, begun = interval / len(talkers), loop.time()
    late = list[float]()
    for number in range(round(seconds / apart)):
        due = begun + number * apart
        if (wait := due - loop.time()) > 0:
            await asyncio.sleep(wait)
        late.append(loop.time() - due)
        talkers[number % len(talkers)].say()
    return late


def cuts(values: Sequence[float]) -> Late:
    """Of times in ns."""
    ordered = sorted(values)
    return tuple(ordered[len(ordered) * percent // 100] / 1000 for percent in (50, 99))  # type: ignore[return-value]


# How late a message is ------------------------------------------------------------------------

_PER_SECOND = 20  # frames of a session


class Delays(msgspec.Struct, frozen=True):
    """How late the messages of one side were in one round."""

    side: str
    size: str
    took: Late
    wrong: int


def delays(sides: Sequence[Side], port: int, sessions: int, rounds: int, seconds: float) -> list[Delays]:
    """Every side at every size by turns, 20 frames a second to a session."""
    return run_alone(_delays(sides, port, sessions, rounds, seconds))


async def _delays(
    sides: Sequence[Side], port: int, sessions: int, rounds: int, seconds: float
) -> list[Delays]:
    found = list[Delays]()
    for size, kind in SIZES.items():

        def end(kind: Kind = kind) -> _Talker:
            return _Talker(kind, kind)

        world = _Sessions(end, end)
        async with world.served(port):
            opened = {side: await world.opened(side, sessions) for side in sides}
            for turn in range(rounds):
                for side in (*sides[turn % len(sides) :], *sides[: turn % len(sides)]):
                    found.append(Delays(side.name, size, *await _heard(opened[side], seconds)))
            for pairs in opened.values():
                await world.close(pairs)
    return found


async def _heard(pairs: Sequence[tuple[_Talker, _Talker]], seconds: float) -> tuple[Late, int]:
    await _in_turn([service for _, service in pairs], 1 / _PER_SECOND, seconds)
    await until(lambda: all(one.got == service.sent for one, service in pairs), "last message")
    late = [value for one, _ in pairs for value in one.late]
    wrong = sum(one.wrong for one, _ in pairs)
    for one, _ in pairs:
        one.late.clear()
    return cuts(late), wrong


# Idle sessions --------------------------------------------------------------------------------

_FIRST = 20  # sessions that come and go before: what the first one costs, no other does
_SETTLE = 0.3


def idle(side: Side, port: int, sessions: int) -> float:
    """By how many kB the process of a side grows with each session that only is there."""
    return run_alone(_idle(side, port, sessions))


async def _idle(side: Side, port: int, sessions: int) -> float:
    world = _Sessions(_End, _End)
    async with world.served(port):
        await world.close(await world.opened(side, _FIRST))
        await asyncio.sleep(_SETTLE)
        before = kilobytes(side.process)
        pairs = await world.opened(side, sessions)
        await asyncio.sleep(_SETTLE)
        grown = kilobytes(side.process) - before
        await world.close(pairs)
    return grown / sessions


# Sessions that talk ---------------------------------------------------------------------------

_INTERVAL = 0.1


class Pace(msgspec.Struct, frozen=True):
    """What became of sessions that send and hear audio as fast as it is spoken."""

    side: str
    messages: int
    """That were sent, both ways."""
    lost: int
    wrong: int
    down: Late
    """How late the service's were."""
    up: Late
    """And the clients'."""
    share: float
    """Of a core."""
    kilobytes: tuple[int, int]
    """At a third of the time, and at its end."""
    waiting: tuple[int, int]
    """Messages on their way, at the same two moments."""
    late: float
    """By how many µs 99 of 100 messages were sent late, at most, from here."""


def pace(side: Side, port: int, sessions: int, seconds: float) -> Pace:
    """Ten events a second of a tenth of a second, both ways, in so many sessions."""
    return run_alone(_pace(side, port, sessions, seconds))


async def _pace(side: Side, port: int, sessions: int, seconds: float) -> Pace:
    world = _Sessions(lambda: _Talker(_APPEND, _AUDIO), lambda: _Talker(_AUDIO, _APPEND))
    async with world.served(port):
        pairs = await world.opened(side, sessions)
        ends = [end for pair in pairs for end in pair]
        held = list[tuple[int, int]]()

        def sample() -> None:
            held.append((kilobytes(side.process) if side.process else 0, _missing(ends)))

        asyncio.get_running_loop().call_later(seconds / 3, sample)
        ran, begun = ran_for(side.process), perf_counter()
        late = await _in_turn(ends, _INTERVAL, seconds)
        share = (ran_for(side.process) - ran) / 1e9 / (perf_counter() - begun)
        sample()
        with suppress(TimeoutError):
            await until(lambda: not _missing(ends), "last message")
        down, up = (cuts([value for pair in pairs for value in pair[at].late]) for at in (0, 1))
        found = Pace(
            side.name,
            sum(end.sent for end in ends),
            _missing(ends),
            sum(end.wrong for end in ends),
            down,
            up,
            share,
            (held[0][0], held[-1][0]),
            (held[0][1], held[-1][1]),
            cuts([1e9 * value for value in late])[1],
        )
        await world.close(pairs)
    return found


def _missing(ends: Sequence[_Talker]) -> int:
    """How many messages were sent and have not come."""
    return sum(end.sent for end in ends) - sum(end.got for end in ends)
