"""The service and all listeners are one process with one clock: what a hub lost or turned round is seen.

Nothing but the hub is in the other process. A message of the service carries its number and when it was sent
in its ``event_id``; a listener's account has every number, or was told before that it was lost.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from time import perf_counter, perf_counter_ns
from typing import NamedTuple, TypeVar
from urllib.request import urlopen

import msgspec
from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect, ws_create_server

from bench.proxy_load import (
    ADDRESS,
    CYCLE,
    GIVE_UP,
    REST,
    SIZES,
    Cost,
    Kind,
    Late,
    Load,
    Side,
    cuts,
    kilobytes,
    ran_for,
    run_alone,
    until,
)
from rtproto import Event, ResponseBuilder, encode, items, server
from rtproto.services.fanout import Ended, Lag, Snapshot, read_notice
from rtproto.types import SessionCreateResponse

__all__ = [
    "PER_SECOND",
    "Account",
    "Audience",
    "Delivered",
    "Ear",
    "Heard",
    "Joins",
    "Service",
    "Session",
    "Speech",
    "Sums",
    "cost",
    "counts_at",
    "join",
    "late_joins",
    "lateness",
    "pace",
    "sums",
]

_SHAPES = (("6.6 kB", 1), ("6.6 kB", 4), ("271 B", 10))
_KINDS: tuple[Kind, Kind] = (SIZES["6.6 kB"], SIZES["271 B"])  # an even number: audio; odd: a word
_WORD = 5  # bytes of its delta
_INTERVAL = 0.05  # seconds from one message to the next: audio comes as fast as it is heard
_SETTLE, _AGAIN = 0.3, 0.02  # seconds
_TINY = 4096  # bytes that the system takes of a listener that never reads


# The service ----------------------------------------------------------------------------------


def _begun() -> list[bytes]:
    """What a hub hears first: a session, and the response that speaks."""
    item = items.assistant(items.output_audio(""), id=ADDRESS["item_id"], status="in_progress")
    response = ResponseBuilder(ADDRESS["response_id"]).output([]).build()
    session = SessionCreateResponse(id="sess_1", object="realtime.session", model="gpt-realtime")
    events: list[Event] = [
        server.SessionCreated(event_id="event_1", session=session),
        server.ResponseCreated(event_id="event_2", response=response),
        server.ResponseOutputItemAdded(
            event_id="event_3", response_id=ADDRESS["response_id"], output_index=0, item=item
        ),
        server.ConversationItemAdded(event_id="event_4", previous_item_id=None, item=item),
    ]
    return [encode(event) for event in events]


_BEGUN = _begun()


def _framed(data: bytes) -> bytes:
    """As a socket has it."""
    size = len(data)
    head = bytes((size,)) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    return b"\x81%b%b" % (head, data)


PER_SECOND: float = sum(len(_framed(kind.written(0, 0))) for kind in _KINDS) / 2 / _INTERVAL
"""Bytes of a session, as one listener gets them."""


class End(WSListener):  # type: ignore[misc] - picows is compiled
    """One end of a WebSocket."""

    is_over = False
    """Whether it is gone."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep what it is written to by."""
        self.transport: WSTransport = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 - picows's
        """Be over."""
        self.is_over = True


class Session(End):
    """One with a hub, from the service's side."""

    def __init__(self, service: "Service", port: int) -> None:
        self._service, self._port = service, port

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Say how it stands."""
        super().on_ws_connected(transport)
        self.write: Callable[[bytes], None] = transport.underlying_transport.write
        for data in _BEGUN:
            self.write(_framed(data))
        self._service.sessions[self._port] = self
        self._service.on_begin(self)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Be over, and forgotten."""
        super().on_ws_disconnected(transport)
        if self._service.sessions.get(self._port) is self:
            del self._service.sessions[self._port]


def _nothing(_: Session) -> None:
    """Nobody asks."""


class Service:
    """The service: a hub says by the path which port is its own."""

    def __init__(self) -> None:
        self.sessions: dict[int, Session] = {}
        """With each hub, the one there is now."""
        self.on_begin: Callable[[Session], object] = _nothing
        """Called with each."""

    @asynccontextmanager
    async def served(self, port: int) -> AsyncIterator["Service"]:
        """At a port."""
        listening = await ws_create_server(
            lambda request: Session(self, int(request.path.split(b"/")[1])), "127.0.0.1", port
        )
        try:
            yield self
        finally:
            for session in [*self.sessions.values()]:
                session.transport.disconnect()
            listening.close()

    async def called_by(self, side: Side) -> Session:
        """The session with a hub, once there is one."""
        await until(lambda: side.port in self.sessions, f"session with {side.name}")
        return self.sessions[side.port]


# Listeners ------------------------------------------------------------------------------------

E = TypeVar("E", bound=End)


async def join(port: int, make: Callable[[], E], again: float = _AGAIN, seconds: float = GIVE_UP) -> E:
    """A listener, as soon as there is a session to listen to."""
    begun = perf_counter()
    while perf_counter() - begun < seconds:
        with suppress(OSError, WSError):
            async with asyncio.timeout(GIVE_UP):
                _, end = await ws_connect(make, f"ws://127.0.0.1:{port}/listen/main")
                return end
        await asyncio.sleep(again)
    raise TimeoutError(f"nothing to listen to within {seconds:g} s")


async def _gone(ends: Sequence[End]) -> None:
    for end in ends:
        end.transport.disconnect()
    await until(lambda: all(end.is_over for end in ends), "close")


# What a delivery costs ------------------------------------------------------------------------


class _Crowd:
    """The listeners of one hub: the next burst is sent when the last has come to all."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self.readers: list[_Reader] = []
        self.left = self.sent = self.changed = self.wrong = 0
        self.goes_on = False

    def begin(self, load: Load) -> None:
        self.load = load
        self.sent = self.changed = self.wrong = 0
        self.goes_on = True
        for reader in self.readers:
            reader.got = 0
        self.more()

    def more(self) -> None:
        burst = self.load.burst
        self.left = burst * len(self.readers)
        self._write(self.load.bursts[self.sent % CYCLE // burst])
        self.sent += burst


_MARKS = [b'"event_id":"event_%08d' % number for number in range(CYCLE)]


class _Reader(End):
    got = 0

    def __init__(self, crowd: _Crowd) -> None:
        self._crowd = crowd

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002 - picows's
        crowd = self._crowd
        if not crowd.left or frame.msg_type is not WSMsgType.TEXT:  # a snapshot, when it came
            return
        data, at = frame.get_payload_as_bytes(), self.got % CYCLE
        self.got += 1
        if data != crowd.load.messages[at]:
            crowd.changed += 1
            crowd.wrong += _MARKS[at] not in data
        crowd.left -= 1
        if not crowd.left and crowd.goes_on:
            crowd.more()


class Delivered(Cost, frozen=True):
    """What one hub took for one shape of load in one round; ``ns`` of a core, for a delivery."""

    changed: int
    """Messages that came, but not as they were."""


def cost(sides: Sequence[Side], port: int, listeners: int, rounds: int, seconds: float) -> list[Delivered]:
    """Every hub at every shape, by turns; a message that is lost raises ``TimeoutError``."""
    return run_alone(_cost(sides, port, listeners, rounds, seconds))


async def _cost(
    sides: Sequence[Side], port: int, listeners: int, rounds: int, seconds: float
) -> list[Delivered]:
    shapes = [(*shape, Load(*shape)) for shape in _SHAPES]
    costs = list[Delivered]()
    async with Service().served(port) as service:
        crowds = {side: await _crowd(service, side, listeners) for side in sides}
        await asyncio.sleep(_SETTLE)
        for side, crowd in crowds.items():
            for *_, load in shapes:
                await _round(side, crowd, load, seconds / 4)  # warm up
        for turn in range(rounds):
            order = [*sides[turn % len(sides) :], *sides[: turn % len(sides)]]
            for size, burst, load in shapes:
                for side in order:
                    row = await _round(side, crowds[side], load, seconds)
                    costs.append(Delivered(side.name, size, burst, *row))
        for crowd in crowds.values():
            await _gone(crowd.readers)
    return costs


async def _crowd(service: Service, side: Side, listeners: int) -> _Crowd:
    crowd = _Crowd((await service.called_by(side)).write)
    crowd.readers = [await join(side.port, lambda: _Reader(crowd)) for _ in range(listeners)]
    return crowd


async def _round(side: Side, crowd: _Crowd, load: Load, seconds: float) -> tuple[float, float, int, int]:
    """From rest to rest: whatever was sent has come, and everything it took is in."""
    ran, begun = ran_for(side.process), perf_counter()
    crowd.begin(load)
    await asyncio.sleep(seconds)
    crowd.goes_on = False
    await until(lambda: not crowd.left, f"end by {side.name}")
    took = perf_counter() - begun
    await asyncio.sleep(REST)
    spent = ran_for(side.process) - ran
    return spent / (crowd.sent * len(crowd.readers)), spent / 1e9 / took, crowd.wrong, crowd.changed


# What a listener knows ------------------------------------------------------------------------


class _Words(msgspec.Struct, tag_field="type", tag="response.output_audio_transcript.delta"):
    delta: str


_read_words = msgspec.json.Decoder(_Words).decode


class Account:
    """What came to one listener, what did not, and what it was told of that."""

    def __init__(self) -> None:
        self.late: list[int] = []
        """By how many ns each message was late."""
        self.next: list[int] = [0, 1]
        """The numbers that come next: of audio, and of a word."""
        self.missing: list[int] = [0, 0]
        """Messages that did not come: of audio, and words that no snapshot had either."""
        self.restored: int = 0
        """Words that only a snapshot had, after the first."""
        self.told: list[int] = [0, 0]
        """Messages that it was told are lost: of audio, and others."""
        self.unannounced: int = 0
        """How often something was missing that it had not been told of before."""
        self.wrong: int = 0
        """Messages that nobody sent, or that came out of turn."""
        self.snapshots: int = 0
        """Snapshots it was given."""
        self.is_over: bool = False
        """Whether it was told that the session is."""
        self._is_new = True  # audio is from now
        self._last = -1
        self._left = 0  # of a snapshot

    def take(self, data: bytes, now: int) -> None:
        """A message."""
        for at, kind in enumerate(_KINDS):
            number, stamp = kind.read(data)
            if number >= 0 and not (self._left and at):
                self._follow(at, number)
                self.late.append(now - stamp)
                return
        if self._left:
            self._left -= 1
            self._recall(data)
        else:
            self._notice(data)

    def _follow(self, at: int, number: int) -> None:
        if number <= self._last:
            self.wrong += 1
            return
        self._last = number
        if self._is_new and not at:
            self.next[0], self._is_new = number, False
        if number != self.next[at]:
            self._miss(at, (number - self.next[at]) // 2)
        self.next[at] = number + 2

    def _miss(self, at: int, count: int) -> None:
        self.missing[at] += count
        self.unannounced += self.missing[at] > self.told[at]

    def _recall(self, data: bytes) -> None:
        """A part of a snapshot: the words that there were, as one."""
        with suppress(msgspec.DecodeError):
            known = len(_read_words(data).delta) // _WORD
            restored = (2 * known + 1 - self.next[1]) // 2
            if restored < 0:
                self.wrong += 1
            if self.snapshots > 1:
                self.restored += restored
                self.unannounced += self.restored > self.told[1]
            self.next[1] = 2 * known + 1
            self._last = max(self._last, 2 * known - 1)

    def _notice(self, data: bytes) -> None:
        notice = read_notice(data)
        if isinstance(notice, Snapshot):
            self._left = notice.events
            self.snapshots += 1
        elif isinstance(notice, Lag):
            self.told[0] += notice.audio_deltas
            self.told[1] += notice.control_events
        elif isinstance(notice, Ended):
            self.is_over = True
        elif data not in _BEGUN:
            self.wrong += 1

    def has_all(self, sent: int) -> bool:
        """Whether the last of so many messages came, of both kinds."""
        return min(self.next) >= sent


class Sums(msgspec.Struct, frozen=True):
    """The accounts of many."""

    listeners: int
    missing: tuple[int, int]
    """Messages that did not come: of audio, and words."""
    restored: int
    """Words that only a snapshot had."""
    told: tuple[int, int]
    """Messages that they were told are lost: of audio, and others."""
    unexplained: int
    """Listeners with something missing that they were not told of, or told of too late, or too much."""
    wrong: int
    """Messages that nobody sent, or that came out of turn."""
    ended: int
    """Listeners that were told that the session is over."""


def sums(accounts: Sequence[Account], *, are_whole: bool = True) -> Sums:
    """All of them in one; those that were broken off may have been told of what they did not live to miss."""
    audio, words = (sum(one.missing[at] for one in accounts) for at in (0, 1))
    told, others = (sum(one.told[at] for one in accounts) for at in (0, 1))
    unexplained = sum(
        bool(one.unannounced or one.missing[1] or (are_whole and one.told != [one.missing[0], one.restored]))
        for one in accounts
    )
    wrong, restored, ended = (
        sum(getattr(one, name) for one in accounts) for name in ("wrong", "restored", "is_over")
    )
    return Sums(len(accounts), (audio, words), restored, (told, others), unexplained, wrong, ended)


def lateness(accounts: Sequence[Account]) -> list[int]:
    """By how many ns all that came was late."""
    late = [value for account in accounts for value in account.late]
    if not late:
        raise TimeoutError("nobody hears anything")
    return late


class Ear(End):
    """A listener that reads, and keeps account."""

    def __init__(self) -> None:
        self.account: Account = Account()
        """What came."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take what comes; leave when the hub does."""
        if frame.msg_type is WSMsgType.TEXT:
            self.account.take(frame.get_payload_as_bytes(), perf_counter_ns())
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()


class Stalled:
    """A listener that does not read, until it is told to."""

    def __init__(self, port: int) -> None:
        self.account: Account = Account()
        """What came."""
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _TINY)
        self._socket.settimeout(GIVE_UP)
        self._socket.connect(("127.0.0.1", port))
        self._socket.sendall(_HANDSHAKE)
        self._socket.setblocking(False)

    async def read(self, sent: int) -> None:
        """Take everything, to the last of so many messages."""
        data = bytearray()
        async with asyncio.timeout(GIVE_UP):
            while b"\r\n\r\n" not in data:
                data += await self._more()
            del data[: data.index(b"\r\n\r\n") + 4]
            self._take(data)
            while not self.account.has_all(sent):
                data += await self._more()
                self._take(data)
        self._socket.close()

    def _take(self, data: bytearray) -> None:
        while message := _cut_message(data):
            self.account.take(message, 0)

    async def _more(self) -> bytes:
        data = await asyncio.get_running_loop().sock_recv(self._socket, 2**18)
        if not data:
            raise TimeoutError("a stalled listener was sent away")
        return data


_HANDSHAKE = (
    b"GET /listen/main HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def _cut_message(data: bytearray) -> bytes:
    """The next text message, off the front; empty: it is not whole yet."""
    while len(data) >= 2:
        short = data[1]
        head = 2 if short < 126 else 4 if short == 126 else 10
        end = head + (short if head == 2 else int.from_bytes(data[2:head], "big"))
        if len(data) < end:
            return b""
        kind, message = data[0] & 15, bytes(data[head:end])
        del data[:end]
        if kind == 1:
            return message
    return b""


# One session at a pace ------------------------------------------------------------------------


class Speech:
    """The service speaks to one hub as fast as it is heard: audio, and a word between."""

    def __init__(self, session: Session) -> None:
        self.sent: int = 0
        """Messages."""
        self.late: list[int] = []
        """By how many ns each was sent late."""
        self._session = session
        self._task = asyncio.create_task(self._speak())

    async def _speak(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while not self._session.is_over:
            due = begun + self.sent * _INTERVAL
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            self.late.append(round(1e9 * (loop.time() - due)))
            kind = _KINDS[self.sent % 2]
            self._session.write(_framed(kind.written(self.sent, perf_counter_ns())))
            self.sent += 1

    @property
    def is_over(self) -> bool:
        """Whether the hub is gone."""
        return self._session.is_over

    async def stop(self) -> int:
        """Say no more; gives how many messages were sent."""
        self._task.cancel()
        await asyncio.wait([self._task])
        return self.sent


class Heard(msgspec.Struct, frozen=True):
    """What became of one phase."""

    readers: int
    stalled: int
    deliveries: int
    """Messages to those that read."""
    took: Late
    """How late they were."""
    share: float
    """Of a core."""
    sent_late: float
    """By how many µs 99 of 100 messages were sent late, at most, from here."""
    kilobytes: tuple[int, int, int]
    """Of the hub: before, at two thirds of the time, and at its end."""


class Pace(msgspec.Struct, frozen=True):
    """Both phases, and all accounts."""

    phases: tuple[Heard, Heard]
    readers: Sums
    stalled: Sums
    each: float
    """By how many kB the hub grows with each listener, from the first on."""
    dropped: int
    """Deltas of audio that the hub says it dropped."""
    queued: int
    """Bytes that waited for one listener in the end, at most, as the hub says."""


class Audience(NamedTuple):
    """Who hears a session, and for how long."""

    listeners: int
    stalled: int
    """Those of them that do not read, in the second part."""
    seconds: tuple[float, float]
    """For how long all read, and for how long some do not."""


def pace(side: Side, port: int, counts: int, audience: Audience) -> Pace:
    """All hear a session; then some that do not read are there in the place of others that did."""
    return run_alone(_pace(side, port, counts, audience))


async def _pace(side: Side, port: int, counts: int, audience: Audience) -> Pace:
    async with Service().served(port) as service:
        session = await service.called_by(side)
        alone = kilobytes(side.process)
        ears = [await join(side.port, Ear) for _ in range(audience.listeners)]
        await until(lambda: all(ear.account.snapshots for ear in ears), "snapshot")
        speech = Speech(session)
        await asyncio.sleep(_SETTLE)
        each = (kilobytes(side.process) - alone) / len(ears)
        leaving, staying = ears[: audience.stalled], ears[audience.stalled :]
        all_read = await _phase(side, speech, ears, 0, audience.seconds[0])
        await _gone(leaving)
        deaf = [Stalled(side.port) for _ in leaving]
        some_read = await _phase(side, speech, staying, len(deaf), audience.seconds[1])
        sent = await speech.stop()
        await until(lambda: all(ear.account.has_all(sent) for ear in staying), "last message")
        counted = await asyncio.to_thread(counts_at, counts)
        await asyncio.gather(*(one.read(sent) for one in deaf))
        await _gone(staying)
    return Pace(
        (all_read, some_read),
        sums([ear.account for ear in ears]),
        sums([one.account for one in deaf]),
        each,
        int(counted['rtproto_fanout_dropped_total{class="audio"}']),
        int(counted["rtproto_fanout_queued_bytes_max"]),
    )


def counts_at(port: int) -> dict[str, float]:
    """What a hub has counted."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=GIVE_UP) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


async def _phase(side: Side, speech: Speech, ears: Sequence[Ear], stalled: int, seconds: float) -> Heard:
    speech.late.clear()
    for ear in ears:
        ear.account.late.clear()
    before, ran, begun = kilobytes(side.process), ran_for(side.process), perf_counter()
    await asyncio.sleep(seconds * 2 / 3)
    then = kilobytes(side.process)
    await asyncio.sleep(seconds / 3)
    share = (ran_for(side.process) - ran) / 1e9 / (perf_counter() - begun)
    late = lateness([ear.account for ear in ears])
    held = (before, then, kilobytes(side.process))
    return Heard(len(ears), stalled, len(late), cuts(late), share, cuts(speech.late)[1], held)


# Who comes late -------------------------------------------------------------------------------

_TEXT = "It is noon, and the train to the coast leaves from the second platform in ten minutes. " * 3


class Joins(msgspec.Struct, frozen=True):
    """How long it takes to be told what was."""

    items: int
    messages: int
    """Of a snapshot."""
    size: int
    """Their bytes."""
    first: Late
    """From the first byte of the handshake to the last message, for who comes first after an event."""
    next: Late
    """For who comes before the next event."""


class _Latecomer(End):
    def __init__(self) -> None:
        self.left = -1
        self.size = self.messages = 0
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002 - picows's
        data = frame.get_payload_as_bytes()
        if self.left < 0 and isinstance(notice := read_notice(data), Snapshot):
            self.left = self.messages = notice.events
        else:
            self.left -= 1
            self.size += len(data)
        if not self.left:
            self.done.set_result(perf_counter_ns())


def late_joins(side: Side, port: int, count: int, joins: int) -> list[Joins]:
    """So many come one by one, first when nothing was said, then with a conversation of so many items."""
    return run_alone(_late_joins(side, port, count, joins))


async def _late_joins(side: Side, port: int, count: int, joins: int) -> list[Joins]:
    async with Service().served(port) as service:
        session = await service.called_by(side)
        found = [await _joins(side, session, 0, joins)]
        previous = None
        for number in range(count):
            previous = _say_item(session, number, previous)
        await asyncio.sleep(_SETTLE)
        found.append(await _joins(side, session, count, joins))
    return found


def _say_item(session: Session, number: int, previous: str | None) -> str:
    name = f"item_{number:021d}"
    item = items.assistant(items.output_text(_TEXT), id=name, status="completed")
    for event in (
        server.ConversationItemAdded(event_id=f"event_a{number}", previous_item_id=previous, item=item),
        server.ConversationItemDone(event_id=f"event_d{number}", previous_item_id=previous, item=item),
    ):
        session.write(_framed(encode(event)))
    return name


async def _joins(side: Side, session: Session, count: int, joins: int) -> Joins:
    took: tuple[list[float], list[float]] = ([], [])
    for number in range(joins):
        session.write(_framed(_KINDS[1].written(number, 0)))
        await asyncio.sleep(REST)
        for times in took:
            begun = perf_counter_ns()
            one = await join(side.port, _Latecomer)
            async with asyncio.timeout(GIVE_UP):
                times.append(await one.done - begun)
            await _gone([one])
    return Joins(count, one.messages, one.size, cuts(took[0]), cuts(took[1]))
