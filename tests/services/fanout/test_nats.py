"""Sessions cross a real NATS server; what it loses is counted and told, whoever dies."""

import asyncio
import logging
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import nats
import pytest
import websockets
from nats.aio.client import Client
from nats.aio.msg import Msg

from rtproto import _sockets
from rtproto.services.fanout import Asked, Fanout, Lag, Limits, Room, Snapshot, read_notice
from rtproto.services.fanout.families import read_families
from rtproto.services.fanout.nats import NatsBus, _line, _said
from rtproto.services.fanout.nats import bus as over_nats
from tests.nats_server import NatsServer
from tests.services.fanout.outlets import Ear, audio, control, created, texts

LOOPS = (asyncio.new_event_loop, _sockets.new_loop)
SECONDS = 20.0
PATIENT = {"beat_seconds": 0.05, "dead_seconds": 30.0, "away_seconds": 30.0}
HASTY = {"beat_seconds": 0.05, "dead_seconds": 0.5, "away_seconds": 0.5}
CAPTIONS = Asked(read_families("transcript"))

Work = Callable[[NatsServer], Awaitable[None]]


def line(text: str = "word", *, number: list[int] = []) -> bytes:  # noqa: B006 - it counts
    """An event that is in every snapshot, as it came."""
    number.append(0)
    return b'{"type":"session.output_transcript.delta","event_id":"line_%d","delta":"%s"}' % (
        len(number),
        text.encode(),
    )


def served(work: Work, *options: str, loops: Sequence[Any] = LOOPS[1:], is_up: bool = True) -> None:
    """A NATS server of its own, in each kind of loop."""

    async def run() -> None:
        server = NatsServer(*options)
        try:
            if is_up:
                server.start()
            async with asyncio.timeout(SECONDS):
                await work(server)
        finally:
            server.kill()

    for loop in loops:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(run())


@asynccontextmanager
async def buses(server: NatsServer, count: int, **options: Any) -> AsyncIterator[list[NatsBus]]:
    async with AsyncExitStack() as stack:
        made = [NatsBus(server.url, **{**PATIENT, **options}) for _ in range(count)]
        yield [await stack.enter_async_context(bus) for bus in made]


async def until(is_so: Callable[[], object]) -> None:
    while not is_so():  # noqa: ASYNC110 - bounded by whoever serves
        await asyncio.sleep(0.005)


async def found(bus: NatsBus, name: str = "main") -> Room:
    await until(lambda: bus.find(name))
    room = bus.find(name)
    assert room is not None
    return room


async def joined(bus: NatsBus, name: str = "main", asked: Asked | None = None) -> Ear:
    """A listener that has its snapshot."""
    ear = Ear().join(await found(bus, name), asked)
    await until(lambda: ear.notices)
    return ear


def following(edge: NatsBus) -> Any:
    """What an edge knows of the one session it follows."""
    (only,) = edge._followed.values()
    return only


# Everything comes


def test_what_one_hub_says_is_heard_at_every_edge_byte_for_byte_and_in_order() -> None:
    async def work(server: NatsServer) -> None:
        async with buses(server, 3) as (hub, *edges):
            room = hub.begin("main")
            said = [created()]
            room.publish(said)
            ears = [await joined(edge) for edge in edges]
            for _ in range(50):
                turn = [random.choice((control, audio, line))() for _ in range(random.randint(1, 5))]  # noqa: S311
                room.publish(turn)
                said += turn
                if random.random() < 0.3:  # noqa: S311
                    await asyncio.sleep(0)
            for ear in ears:
                await until(lambda ear=ear: texts(ear.heard)[-1:] == texts(said)[-1:])
                assert ear.heard == said
                assert not ear.lags
            for bus in (hub, *edges):
                assert bus.counts.bus_lost.total() == bus.counts.bus_unsent.total() == 0
                assert bus.names() == ["main"]

    served(work, loops=LOOPS)


def test_who_comes_late_misses_nothing_and_hears_nothing_twice() -> None:
    async def one(seed: int, hub: NatsBus, edges: list[NatsBus]) -> None:
        chance = random.Random(seed)  # noqa: S311
        name = f"session-{seed}"
        room = hub.begin(name)
        said: list[bytes] = []
        ears: list[Ear] = []
        for _ in range(chance.randint(3, 30)):
            turn = [chance.choice((line, audio))() for _ in range(chance.randint(1, 4))]
            room.publish(turn)
            said += turn
            if chance.random() < 0.3 and (place := chance.choice(edges).find(name)):
                ears.append(Ear().join(place, chance.choice((None, CAPTIONS))))
            if chance.random() < 0.5:
                await asyncio.sleep(chance.choice((0, 0.001, 0.005)))
        ears += [Ear().join(await found(edge, name)) for edge in edges]
        last = line()
        said.append(last)
        room.publish([last])
        order = {data: at for at, data in enumerate(said)}
        for ear in ears:
            await until(lambda ear=ear: last in ear.heard)
            assert [data for data in ear.heard if b"transcript" in data] == [
                data for data in said if b"transcript" in data
            ]
            live = [order[data] for data in ear.live]
            assert live == sorted(live)
            sounds = [data for data in ear.heard if b"audio" in data]
            if sounds:  # from the first on, all
                assert sounds == [data for data in said[order[sounds[0]] :] if b"audio" in data]
            assert not ear.lags
        room.end("enough")

    async def work(server: NatsServer) -> None:
        async with buses(server, 3) as (hub, *edges):
            for seed in range(40):
                await one(seed, hub, edges)

    served(work)


def seen(ear: Ear) -> tuple[list[bytes], list[bytes]]:
    """What came live, and what a listener knows that begins anew with each snapshot."""
    live: list[bytes] = []
    known: list[bytes] = []
    behind = 0
    for _, data in ear.messages:
        notice = read_notice(data)
        if isinstance(notice, Snapshot):
            known, behind = [], notice.events
        elif notice is None:
            known.append(data)
            live += [data] if behind == 0 else []
            behind = max(behind - 1, 0)
    return live, known


def test_whoever_is_cut_off_when_nothing_is_lost_untold() -> None:
    async def one(seed: int, hub: NatsBus, edges: list[NatsBus]) -> None:
        chance = random.Random(seed)  # noqa: S311
        name = f"session-{seed}"
        room = hub.begin(name)
        said: list[bytes] = []
        ears = [await joined(edge, name) for edge in edges]
        for _ in range(20):
            turn = [chance.choice((line, audio))() for _ in range(chance.randint(1, 4))]
            room.publish(turn)
            said += turn
            if chance.random() < 0.2:
                client = chance.choice((hub, *edges))._line._client
                if client is not None:
                    await client.close()
            if chance.random() < 0.5:
                await asyncio.sleep(chance.choice((0, 0.001, 0.03)))
        last = line()
        said.append(last)
        room.publish([last])
        lines = [data for data in said if b"transcript" in data]
        for ear in ears:
            await until(lambda ear=ear: last in ear.heard)
            live, known = seen(ear)
            assert [data for data in known if b"transcript" in data] == lines
            assert live == [data for data in said if data in live]
            lost = sum(lag.control_events for lag in ear.lags)
            assert len([data for data in live if b"transcript" in data]) + lost == len(lines)
            lost = sum(lag.audio_deltas for lag in ear.lags)
            assert len([data for data in live if b"audio" in data]) + lost == len(said) - len(lines)
        room.end("enough")

    async def work(server: NatsServer) -> None:
        async with buses(server, 3) as (hub, *edges):
            for seed in range(15):
                await one(seed, hub, edges)
            assert hub.counts.bus_reconnects
            assert edges[0].counts.bus_lost["audio"]
            assert edges[0].counts.bus_lost["control"]

    served(work)


def test_what_is_longer_than_a_message_of_the_bus_may_be_comes_whole() -> None:
    async def work(server: NatsServer) -> None:
        async with buses(server, 3) as (hub, *edges):
            room = hub.begin("main")
            said = [created()]
            room.publish(said)
            ear = await joined(edges[0])
            for size in (2_500_000, 1_200_000, 10):
                said.append(line("x" * size))
                room.publish(said[-1:])
            late = Ear().join(await found(edges[1]))
            for each in (ear, late):
                await until(lambda each=each: said[-1] in each.heard)
                assert each.live == said[1:] if each is ear else each.heard == said
                assert not each.lags

    served(work)


def test_an_edge_that_comes_later_asks_what_there_is() -> None:
    async def work(server: NatsServer) -> None:
        rare = {"beat_seconds": 50, "dead_seconds": 100, "away_seconds": 100}
        async with buses(server, 1, **rare) as (hub,):
            hub.begin("main").publish([created()])
            await asyncio.sleep(0.05)  # it has been told, and nobody was there
            async with buses(server, 1, **rare) as (edge,):
                assert len((await joined(edge)).heard) == 1
                hub.begin("other").publish([created()])  # and this it is told
                assert len((await joined(edge, "other")).heard) == 1

    served(work)


def test_audio_is_taken_only_while_somebody_wants_it() -> None:
    async def work(server: NatsServer) -> None:
        async with buses(server, 2) as (hub, edge):
            room = hub.begin("main")
            room.publish([created()])
            reader = await joined(edge, asked=CAPTIONS)
            await until(lambda: not following(edge)._hears_audio)
            for _ in range(100):
                room.publish([audio()])
            last = created()
            room.publish([last])
            await until(lambda: last in reader.heard)
            assert edge.counts.published["audio"] == 0
            assert edge._line._client is not None
            assert edge._line._client.stats["in_bytes"] < 100_000
            listener = await joined(edge)

            def is_heard() -> bool:
                room.publish([audio()])
                return len([data for data in listener.heard if b"audio" in data]) > 3

            await until(is_heard)
            listener.listener.leave()
            await until(lambda: not following(edge)._hears_audio)
            again = await joined(edge)

            def is_heard_again() -> bool:
                room.publish([audio()])
                return len(again.live) > 3

            await until(is_heard_again)
            for each in (reader, listener, again):
                assert not each.lags
            assert edge.counts.bus_lost.total() == 0

    served(work)


# The bus dies


@pytest.mark.parametrize("loop", LOOPS)
def test_when_the_bus_comes_back_listeners_are_told_what_was_lost_and_begin_anew(loop: Any) -> None:
    async def heard(listener: websockets.ClientConnection) -> bytes:
        return bytes(await listener.recv(decode=False))

    async def work(server: NatsServer) -> None:
        async with buses(server, 3) as (hub, *edges), AsyncExitStack() as stack:
            room = hub.begin("main")
            room.publish([created()])
            listeners = []
            for edge in edges:
                fanout = await stack.enter_async_context(Fanout(edge))
                await found(edge)
                listeners.append(await stack.enter_async_context(websockets.connect(fanout.url("main"))))
            for listener in listeners:
                assert isinstance(read_notice(await heard(listener)), Snapshot)
                await heard(listener)
            for sound in [audio() for _ in range(3)]:  # the first may come before they hear audio
                room.publish([sound])
            last = line()
            room.publish([last])
            for listener in listeners:
                while await heard(listener) != last:
                    pass

            server.kill()
            missed = [line(), audio(), audio(50), control(), line()]
            room.publish(missed[:2])
            await until(lambda: not any(bus.is_connected for bus in (hub, *edges)))
            room.publish(missed[2:])
            assert hub.counts.bus_unsent == {"control": 2, "audio": 1}
            server.start()
            await until(lambda: all(bus.counts.bus_reconnects for bus in (hub, *edges)))
            await until(lambda: all(edge.counts.lags for edge in edges))
            after = [audio(), control()]
            room.publish(after)

            size = sum(len(data) for data in missed if b"audio" in data)
            for listener, edge in zip(listeners, edges, strict=True):
                lag, snapshot = read_notice(await heard(listener)), read_notice(await heard(listener))
                assert isinstance(lag, Lag)
                assert (lag.cause, lag.control_events) == ("bus", 3)
                assert (lag.audio_deltas, lag.audio_bytes, lag.audio_ms) == (2, size, 150.0)
                assert isinstance(snapshot, Snapshot)
                told = [await heard(listener) for _ in range(snapshot.events)]
                assert told[-3:] == [last, missed[0], missed[4]]
                assert [await heard(listener) for _ in after] == after
                assert edge.counts.bus_lost == {"control": 3, "audio": 2}
                assert edge.counts.lags == 1

    served(work, loops=[loop])


def test_where_nothing_was_said_meanwhile_nothing_is_told() -> None:
    async def work(server: NatsServer) -> None:
        async with buses(server, 2) as (hub, edge):
            room = hub.begin("main")
            room.publish([created()])
            ear = await joined(edge)
            server.kill()
            await until(lambda: not edge.is_connected)
            server.start()
            await until(lambda: hub.counts.bus_reconnects and edge.counts.bus_reconnects)
            last = control()
            await until(lambda: not following(edge)._is_behind)
            room.publish([last])
            await until(lambda: last in ear.heard)
            assert len(ear.notices) == 1

    served(work)


def test_an_edge_that_alone_was_cut_off_is_told_what_it_missed() -> None:
    async def work(server: NatsServer) -> None:
        async with buses(server, 3) as (hub, edge, other):
            room = hub.begin("main")
            room.publish([created()])
            ears = [await joined(edge), await joined(other)]
            assert edge._line._client is not None
            await edge._line._client.close()
            missed = [line(), audio(), line()]
            room.publish(missed)
            await until(lambda: ears[0].lags)
            last = [audio(), line()]
            room.publish(last)
            for ear in ears:
                await until(lambda ear=ear: last[1] in ear.heard)
            (lag,) = ears[0].lags
            assert (lag.control_events, lag.audio_deltas, lag.audio_ms) == (2, 1, 100.0)
            assert ears[0].live == last
            assert not ears[1].lags
            assert ears[1].live == missed + last
            assert hub.counts.bus_reconnects == 0

    served(work)


def test_a_bus_that_is_stuck_is_given_up_until_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_line, "_GOODBYE_SECONDS", 0.2)
    monkeypatch.setattr(_line, "_PING_SECONDS", 0.1)
    monkeypatch.setattr(_line, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(over_nats, "CONNECT_SECONDS", 0.3)

    async def work(server: NatsServer) -> None:
        async with buses(server, 2) as (hub, edge):
            room = hub.begin("main")
            room.publish([created()])
            ear = await joined(edge)
            server.freeze()

            def is_given_up() -> bool:
                room.publish([line("x" * 100_000), audio()])
                return not (hub.is_connected or edge.is_connected)

            await until(is_given_up)
            server.thaw()
            await until(lambda: ear.lags)
            last = control()
            room.publish([last])
            await until(lambda: last in ear.heard)
            audio_lost = sum(lag.audio_deltas for lag in ear.lags)
            control_lost = sum(lag.control_events for lag in ear.lags)
            heard = [data for data in ear.heard if b"transcript" in data]
            assert control_lost
            assert audio_lost
            assert hub.counts.published == {
                "audio": edge.counts.published["audio"] + audio_lost,
                "control": edge.counts.published["control"] + control_lost + 1,  # and the first snapshot's
            }
            assert heard[-1] == [*room.history()][-1].data

    served(work)


def test_a_hub_begins_without_the_bus_and_is_heard_when_it_is_there() -> None:
    async def work(server: NatsServer) -> None:
        async with buses(server, 2) as (hub, edge):
            assert not hub.is_connected
            room = hub.begin("main")
            own = Ear().join(room)
            room.publish([created(), audio()])
            assert len(own.heard) == 2
            assert hub.counts.bus_unsent == {"control": 1, "audio": 1}
            server.start()
            assert len((await joined(edge)).heard) == 1

    served(work, is_up=False)


@pytest.mark.parametrize("end", ["kill", "freeze"])
def test_leaving_does_not_wait_for_a_dead_bus(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_line, "_GOODBYE_SECONDS", 0.2)

    async def work(server: NatsServer) -> None:
        async with buses(server, 2) as (hub, edge):
            room = hub.begin("main")
            room.publish([created()])
            ear = await joined(edge)
            getattr(server, end)()
            for _ in range(100):
                room.publish([line("x" * 100_000)])
                await asyncio.sleep(0)
        assert room.is_over
        assert ear.closes == [(1001, "going away")]
        server.kill()

    served(work, loops=LOOPS)


def test_what_a_stuck_bus_does_not_take_is_counted_audio_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_line, "_GOODBYE_SECONDS", 0.2)

    async def work(server: NatsServer) -> None:
        most = 2**20
        async with buses(server, 1, limits=Limits(max_bus_bytes=most), beat_seconds=15.0) as (hub,):
            room = hub.begin("main")
            server.freeze()
            sizes = []
            for _ in range(200):
                room.publish([line("x" * 50_000), audio(1000)])
                sizes.append(hub._line._waiting)
                await asyncio.sleep(0)
            lost = hub.counts.bus_unsent
            assert max(sizes) <= most + 200_000
            assert lost["audio"] > lost["control"] > 0
            server.kill()
            await until(lambda: not hub.is_connected)
            await until(lambda: hub._line._waiting == 0)
            assert lost["audio"] <= 200

    served(work)


def test_a_bus_that_stays_away_ends_the_sessions_of_others() -> None:
    async def work(server: NatsServer) -> None:
        async with buses(server, 2, **HASTY) as (hub, edge):
            hub.begin("main").publish([created()])
            ear = await joined(edge)
            server.kill()
            await until(lambda: ear.closes)
            assert ear.closes == [(1001, "the bus is gone")]
            assert edge.find("main") is None
            assert hub.find("main") is not None

    served(work)


def test_silence_that_is_nobodys_death_ends_nothing() -> None:
    async def work(server: NatsServer) -> None:
        async with buses(server, 2, **{**HASTY, "dead_seconds": 0.4, "away_seconds": 30.0}) as (hub, edge):
            room = hub.begin("main")
            room.publish([created()])
            ear = await joined(edge)
            server.kill()
            await asyncio.sleep(0.6)
            server.start()
            await until(lambda: edge.is_connected and hub.is_connected)
            time.sleep(0.6)  # noqa: ASYNC251 - nothing here was heard, and nothing said
            await asyncio.sleep(0.6)
            last = control()
            room.publish([last])
            await until(lambda: last in ear.heard)
            assert not ear.closes

    served(work)


# The hub dies

HUB = """
import asyncio, sys
from rtproto.services.fanout.families import read_families
from rtproto.services.fanout.nats import NatsBus

async def main():
    async with NatsBus(sys.argv[1], beat_seconds=0.05) as bus:
        bus.begin("main").publish([sys.argv[2].encode()])
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_hub_that_is_killed_ends_its_sessions() -> None:
    async def work(server: NatsServer) -> None:
        async with buses(server, 2, **HASTY) as edges:
            command = (sys.executable, "-c", HUB, server.url, created().decode())
            hub = await asyncio.create_subprocess_exec(*command)
            ears = [await joined(edge) for edge in edges]
            hub.send_signal(signal.SIGKILL)
            await hub.wait()
            for ear, edge in zip(ears, edges, strict=True):
                await until(lambda ear=ear: ear.closes)
                assert ear.closes == [(1001, "the hub is gone")]
                assert edge.names() == []

    served(work, loops=LOOPS)


def test_a_session_that_ends_is_over_everywhere_behind_its_last_word() -> None:
    async def work(server: NatsServer) -> None:
        async with buses(server, 3) as (hub, *edges):
            for name, code in (("one", 1000), ("two", 1001)):
                room = hub.begin(name)
                room.publish([created()])
                ears = [await joined(edge, name) for edge in edges]
                last = [line(), audio(), line()]
                room.publish(last)
                room.end("that was it", code)
                for ear, edge in zip(ears, edges, strict=True):
                    await until(lambda ear=ear: ear.closes)
                    assert ear.closes == [(code, "that was it")]
                    assert [data for data in ear.live if b"line" in data] == [last[0], last[2]]
                    await until(lambda edge=edge: not edge.names())

    served(work)


def test_a_hub_that_leaves_says_so() -> None:
    async def work(server: NatsServer) -> None:
        async with buses(server, 1) as (edge,):
            async with buses(server, 1) as (hub,):
                hub.begin("main").publish([created()])
                ear = await joined(edge)
            await until(lambda: ear.closes)
            assert ear.closes == [(1001, "going away")]
            await until(lambda: not edge.names())

    served(work)


def test_a_new_session_of_a_name_ends_the_old_one_at_the_edges() -> None:
    async def work(server: NatsServer) -> None:
        async with buses(server, 3) as (old, new, edge):
            before = old.begin("main")
            before.publish([created()])
            ear = await joined(edge)
            said = [created(), line()]
            after = new.begin("main")
            after.publish(said)
            await until(lambda: ear.closes)
            assert ear.closes == [(1001, "another session has begun")]
            again = await joined(edge)
            assert again.heard == said
            before.publish([line()])
            before.end("too late")
            said.append(line())
            after.publish(said[-1:])
            await until(lambda: len(again.heard) > 2)
            assert again.heard == said
            assert not again.closes

    served(work)


def test_names_are_taken_once_at_a_hub() -> None:
    async def work(server: NatsServer) -> None:
        async with buses(server, 1) as (hub,):
            hub.begin("main")
            with pytest.raises(ValueError, match="there is such a session"):
                hub.begin("main")
            with pytest.raises(ValueError, match="letters"):
                hub.begin("a.b")
            assert hub.find("other") is None

    served(work)


# Speaking


def test_a_listener_at_an_edge_speaks_to_the_service() -> None:
    async def work(server: NatsServer) -> None:
        said: list[bytes] = []
        async with buses(server, 2) as (hub, edge):
            hub.begin("main", lambda data: not said.append(data)).publish([created()])
            hub.begin("mute").publish([created()])
            assert (await found(edge, "mute")).say is None
            await joined(edge)
            room = await found(edge)
            assert room.say is not None
            words = [b'{"type":"response.create","event_id":"%d"}' % number for number in range(20)]
            assert all(map(room.say, words))
            await until(lambda: len(said) == len(words))
            assert said == words
            assert not room.say(b'{"type":"input_audio_buffer.append","audio":"%s"}' % (b"A" * 2**20))
            server.kill()
            await until(lambda: not edge.is_connected)
            assert not room.say(words[0])

    served(work)


# By hand


class Hub:
    """A hub that says what a test wants, right or wrong."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.asked: list[str] = []
        self.snapshot: list[Any] | None = None

    async def say(self, subject: str, *said: Any) -> None:
        await self.client.publish(f"rtproto.{subject}", msgspec.msgpack.encode(said))

    async def beat(self) -> None:
        await self.say("sessions", "sessions", "h1", [["main", "e1", True]], [])

    async def run(self, before: Sequence[float], *frames: bytes, end: Any = None) -> None:
        is_audio = any(b"audio" in data for data in frames)
        where, milliseconds = ("audio", 100.0 * len(frames)) if is_audio else ("control", 0.0)
        await self.say(f"live.main.e1.{where}", "run", before, is_audio, frames, milliseconds, end)

    async def answer(self, message: Msg) -> None:
        self.asked.append(message.subject)
        if self.snapshot is not None:
            await self.say("snapshot.main.e1", "snapshot", *self.snapshot)


@asynccontextmanager
async def by_hand(server: NatsServer, **options: Any) -> AsyncIterator[tuple[Hub, NatsBus, Ear]]:
    """A hub, an edge, and a listener that hears its session from the position 1, 0."""
    async with await nats.connect(server.url) as client, buses(server, 1, **options) as (edge,):
        hub = Hub(client)
        await client.subscribe("rtproto.ask.h1", cb=hub.answer)
        hub.snapshot = [[1, 0, 0, 0.0], [created()]]
        while edge.find("main") is None:
            await hub.beat()
            await asyncio.sleep(0.005)
        ear = await joined(edge)
        hub.snapshot = None
        yield hub, edge, ear


def handmade(work: Callable[[Hub, NatsBus, Ear], Awaitable[None]], **options: Any) -> None:
    async def run(server: NatsServer) -> None:
        async with by_hand(server, **options) as (hub, edge, ear):
            await work(hub, edge, ear)

    served(run)


def test_audio_that_is_lost_is_told_and_nothing_else_changes() -> None:
    async def work(hub: Hub, edge: NatsBus, ear: Ear) -> None:
        said = [control(), audio(), audio(), control()]
        await hub.run((1, 0, 0, 0.0), said[0])
        await hub.run((2, 3, 300, 70.0), said[1])  # three are missing
        await hub.run((2, 5, 300 + len(said[1]) + 100, 190.0), said[2])  # one
        at = (2, 6, 400 + len(said[1]) + len(said[2]), 290.0)
        await hub.run((at[0], at[1] + 2, at[2] + 50, at[3] + 60.0), said[3])  # two, before a control event
        await hub.run((3, at[1] + 3, at[2] + 60, at[3] + 70.0))  # one, and then nothing
        await until(lambda: len(ear.lags) == 4)
        assert ear.live == said
        assert [(lag.audio_deltas, lag.audio_bytes, lag.audio_ms) for lag in ear.lags] == [
            (3, 300, 70.0),
            (1, 100, 20.0),
            (2, 50, 60.0),
            (1, 10, 10.0),
        ]
        assert all(lag.control_events == 0 for lag in ear.lags)
        assert edge.counts.bus_lost == {"audio": 7, "control": 0}
        assert len(hub.asked) == 1

    handmade(work)


def test_audio_counts_as_lost_from_where_it_was_wanted() -> None:
    async def work(hub: Hub, edge: NatsBus, ear: Ear) -> None:
        async def told(before: Sequence[float], *, hears_audio: bool) -> None:
            while following(edge)._hears_audio is not hears_audio:
                await hub.run(before)
                await asyncio.sleep(0.005)

        ear.listener.leave()
        await joined(edge, asked=CAPTIONS)
        await told((1, 0, 0, 0.0), hears_audio=False)
        await hub.run((1, 5, 500, 50.0))
        late = await joined(edge)
        await told((1, 9, 900, 90.0), hears_audio=True)
        last = control()
        await hub.run((1, 11, 1100, 110.0), last)
        await until(lambda: last in late.heard)
        (lag,) = late.lags
        assert (lag.audio_deltas, lag.audio_bytes, lag.audio_ms, lag.control_events) == (2, 200, 20.0, 0)

    handmade(work)


def test_control_that_is_lost_brings_a_snapshot_and_what_came_meanwhile() -> None:
    async def work(hub: Hub, edge: NatsBus, ear: Ear) -> None:
        old, kept = [line(), line()], [audio(), line()]
        await hub.run((1, 0, 0, 0.0), audio())
        await hub.run((2, 1, 6000, 100.0), old[1])  # one is missing
        await hub.run((3, 1, 6000, 100.0), audio())
        await hub.run((3, 2, 12000, 200.0), *kept[:1])
        await hub.run((3, 3, 18000, 300.0), *kept[1:])
        hub.snapshot = [[0, 0, 0, 0.0], [line()]]  # too old
        await until(lambda: len(hub.asked) > 3)
        hub.snapshot = [[3, 2, 12000, 200.0], old]
        await until(lambda: kept[1] in ear.heard)
        (lag,) = ear.lags
        assert (lag.control_events, lag.audio_deltas, lag.audio_ms) == (2, 1, 100.0)
        assert ear.heard[2:] == [*old, *kept]
        assert ear.live == kept

    handmade(work)


def test_what_waits_for_a_snapshot_is_bounded() -> None:
    async def work(hub: Hub, edge: NatsBus, ear: Ear) -> None:
        for at in range(100):
            await hub.run((2 + at, 0, 0, 0.0), line("x" * 10_000))
        await edge_has_read(hub, edge)
        assert following(edge)._kept_bytes < 60_000
        hub.snapshot = [[2, 0, 0, 0.0], [line()]]
        await until(lambda: len(ear.lags) == 1)
        hub.snapshot = [[102, 0, 0, 0.0], [line(), line()]]
        await until(lambda: len(ear.lags) == 2)
        assert sum(lag.control_events for lag in ear.lags) == 101
        assert len(ear.live) == 0

    handmade(work, limits=Limits(max_bus_bytes=50_000))


def test_what_is_old_or_comes_twice_is_not_heard_again() -> None:
    async def work(hub: Hub, edge: NatsBus, ear: Ear) -> None:
        said = [control(), control(), audio(), control()]
        runs = [(1, 0, 0, 0.0), (2, 0, 0, 0.0), (3, 0, 0, 0.0), (3, 1, len(said[2]), 100.0)]
        for at in (0, 0, 1, 0, 1, 2, 2, 0, 1, 3, 2, 3):
            await hub.run(runs[at], said[at])
        await until(lambda: said[-1] in ear.heard)
        await edge_has_read(hub, edge)
        assert ear.live == said
        assert not ear.lags

    handmade(work)


def test_a_part_that_is_missing_is_a_loss_of_the_whole() -> None:
    async def work(hub: Hub, edge: NatsBus, ear: Ear) -> None:
        long = [line("x" * 1000), line("y" * 500 + "z" * 500)]

        async def parts(at: int, which: Sequence[int]) -> None:
            run = msgspec.msgpack.encode(["run", (1 + at, 0, 0, 0.0), False, long[at : at + 1], 0.0, None])
            pieces = [run[:500], run[500:600], run[600:700], run[700:]]
            for index in which:
                await hub.say("live.main.e1.control", "part", f"p{at}", index, len(pieces), pieces[index])

        await parts(0, (0, 1, 2, 3))
        await parts(0, (0, 1, 2, 3))
        await until(lambda: long[0] in ear.heard)
        assert not ear.lags
        await parts(1, (1, 0, 2, 1, 3))
        hub.snapshot = [[3, 0, 0, 0.0], [line()]]
        await hub.run((3, 0, 0, 0.0))
        await until(lambda: ear.lags)
        assert ear.lags[0].control_events == 1
        assert long[1] not in ear.heard

    handmade(work)


def test_what_was_lost_before_the_end_is_told_before_it() -> None:
    async def work(hub: Hub, edge: NatsBus, ear: Ear) -> None:
        await hub.run((3, 2, 80, 40.0), end=["over", 1006])
        await until(lambda: ear.closes)
        assert ear.closes == [(1000, "over")]
        (lag,) = ear.lags
        assert (lag.control_events, lag.audio_deltas) == (2, 2)

    handmade(work)


async def edge_has_read(hub: Hub, edge: NatsBus) -> None:
    """Everything that was published before: one connection's messages come in order."""
    assert edge._line._client is not None
    await hub.client.flush()
    await edge._line._client.flush()
    await asyncio.sleep(0.01)


JUNK = [
    b"",
    b"\xc1",
    b"\x00" * 100,
    bytes(range(256)),
    b"{}",
    *map(
        msgspec.msgpack.encode,
        (
            None,
            [],
            ["run"],
            ["run", [1, 2], True, ["text"], 0.0],
            ["run", [-1, 0, 0, 0.0], False, [], 0.0, None],
            ["run", [1, 0, 0, 0.0], False, [], 0.0, ["over", "x"]],
            ["part", "p", 0, 0, b""],
            ["part", "p", -1, 2, b"x"],
            ["part", "p", 0, 1, b"\xc1"],
            ["sessions", "a b", [], []],
            ["sessions", "h2", [["a.b", "e1", True]], []],
            ["sessions", "h2", [["main", "e\n", True]], []],
            ["sessions", "h2", [], [["nobody", "e9", True]]],
            ["ask", "e1", b"x"],
            ["ask", "nobody"],
            ["snapshot", [1, 0, 0, 0.0], [1]],
            ["who"],
            ["unheard of"],
        ),
    ),
]


def test_junk_on_the_bus_harms_nobody() -> None:
    async def work(server: NatsServer) -> None:
        said: list[bytes] = []
        async with by_hand(server) as (hub, edge, ear), buses(server, 1) as (other,):
            room = other.begin("own", lambda data: not said.append(data))
            await until(lambda: edge.find("own"))
            (epoch,) = other._origins
            hub.snapshot = [[1, 0, 0, 0.0], [created()]]
            subjects = ["sessions", "who", f"ask.{other._id}", f"ask.{edge._id}"]
            subjects += ["live.main.e1.control", "live.main.e1.audio", "live.main.e1.else"]
            for junk in JUNK:
                for subject in subjects:
                    await hub.client.publish(f"rtproto.{subject}", junk, reply="nowhere")
                for inbox in ("rtproto.who", "rtproto.snapshot.main.e1"):
                    await hub.client.publish(inbox, junk)
            await hub.say(f"ask.{other._id}", "ask", epoch, b"no event")
            await hub.say(f"ask.{other._id}", "ask", epoch, b'{"type":"response.create"}')
            last = [control(), control()]
            await hub.run((1, 0, 0, 0.0), *last)
            await until(lambda: last[-1] in ear.heard)
            assert ear.live == last
            assert edge.names() == ["main", "own"]
            assert other.names() == ["own"]
            await until(lambda: said)
            assert said == [b'{"type":"response.create"}']
            room.publish([created()])
            other_ear = await joined(edge, "own")
            await until(lambda: len(other_ear.heard) == 1)
            assert edge._ticker is not None
            assert not edge._ticker.done()

    served(work)


# Who is let in, and what is kept


def test_nobody_listens_any_more_nobody_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(over_nats, "_LINGER_SECONDS", 0.05)

    async def work(server: NatsServer) -> None:
        async with buses(server, 2) as (hub, edge):
            room = hub.begin("main")
            room.publish([created()])
            ear = await joined(edge)
            await asyncio.sleep(0.2)
            assert edge.counts.sessions == 1
            ear.listener.leave()
            await until(lambda: edge.counts.sessions == 0)
            assert edge._line._client is not None
            await until(lambda: len(edge._line._client._subs) == 3)
            assert len((await joined(edge)).heard) == 1

    served(work)


def test_a_bus_with_a_password_is_entered_with_it_and_it_is_shown_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    async def work(server: NatsServer) -> None:
        address = server.url.removeprefix("nats://")
        async with (
            NatsBus(f"nats://ada:s3cret@{address}", **PATIENT) as bus,
            NatsBus(f"nats://ada:wr0ng@{address}", **PATIENT) as other,
        ):
            assert bus.is_connected
            assert not other.is_connected
            assert repr(bus) == "<NatsBus connected, 0 sessions>"
            assert repr(other) == "<NatsBus away, 0 sessions>"

    served(work, "--user", "ada", "--pass", "s3cret")
    assert "bus away" in caplog.text
    told = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert "s3cret" not in told
    assert "wr0ng" not in told


@pytest.mark.parametrize(
    "url", ["", "nats://", "http://ada:s3cret@host", "nats://ada:s3cret@host:x", "nats://a:1,ada:s3cret@"]
)
def test_what_is_no_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="the address of a bus") as refused:
        NatsBus(url)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"dead_seconds": 1.5},
        {"beat_seconds": 0},
        {"away_seconds": 3},
        {"away_seconds": float("inf")},
        {"prefix": "a b"},
        {"prefix": "a..b"},
        {"prefix": "*"},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"seconds|letters"):
        NatsBus("nats://host", **wrong)


# What must not be lost without need


def test_what_comes_in_order_after_a_break_is_heard() -> None:
    """Nothing was lost: then nothing is told, however late a hub would answer."""

    async def work(server: NatsServer) -> None:
        async with buses(server, 2) as (hub, edge):
            room = hub.begin("main")
            room.publish([created()])
            ear = await joined(edge)
            (origin,) = hub._origins.values()
            origin.answer = lambda ask: None  # type: ignore[method-assign]
            assert edge._line._client is not None
            await edge._line._client.close()
            await until(lambda: edge.counts.bus_reconnects and edge.is_connected)
            await until(lambda: not edge._line._jobs)
            await edge._line._client.flush()
            frames = [control(), audio(), control()]
            for frame in frames:
                room.publish([frame])
            await until(lambda: len(ear.live) == len(frames))
            assert ear.live == frames
            assert ear.lags == []

    served(work)


def test_what_is_omitted_is_told_at_edges_too() -> None:
    async def work(server: NatsServer) -> None:
        async with buses(server, 2, limits=Limits(max_items=2)) as (hub, edge):
            room = hub.begin("main")
            room.publish([created(), *(line() for _ in range(5))])
            ear = await joined(edge)
            (snapshot,) = ear.notices
            assert isinstance(snapshot, Snapshot)
            assert snapshot.omitted == room.omitted == 3

    served(work)


def test_one_snapshot_is_for_all_who_ask() -> None:
    async def work(server: NatsServer) -> None:
        async with buses(server, 9) as (hub, *edges):
            room = hub.begin("main")
            room.publish([created()])
            snapshots: list[bytes] = []

            async def count(message: Msg) -> None:
                snapshots.append(message.data)

            async with await nats.connect(server.url) as client:
                await client.subscribe("rtproto.snapshot.>", cb=count)
                await client.flush()
                ears = await asyncio.gather(*map(joined, edges))
                await until(lambda: all(ear.heard for ear in ears))
                assert 1 <= len(snapshots) < len(edges)

    served(work)


def test_a_snapshot_that_nobody_asked_for_changes_nothing() -> None:
    async def work(hub: Hub, edge: NatsBus, ear: Ear) -> None:
        await hub.say("snapshot.main.e1", "snapshot", [3, 0, 0, 0.0], [line(), line()])
        frames = [control(), control()]
        for number, frame in enumerate(frames, 1):
            await hub.run((number, 0, 0, 0.0), frame)
        await until(lambda: frames[1] in ear.heard)
        assert ear.live == frames
        assert ear.lags == []

    handmade(work)


def test_an_edge_that_is_back_before_the_hub_waits_for_it() -> None:
    async def work(server: NatsServer) -> None:
        times = {"beat_seconds": 0.1, "dead_seconds": 0.4, "away_seconds": 30.0}
        async with by_hand(server, **times) as (_, edge, ear):
            server.kill()
            await until(lambda: not edge.is_connected)
            await asyncio.sleep(0.6)
            server.start()
            await until(lambda: edge.is_connected)
            await asyncio.sleep(0.2)
            assert ear.closes == []

    served(work)


def test_parts_that_never_end_are_not_kept() -> None:
    reader = _said.Reader(1000)
    for at in range(100):
        assert reader.read(_said.encode(_said.Part("p", at, 1000, b"x" * 100))) is None
    assert reader._size <= 1100


def test_what_a_speaker_said_is_counted_where_it_went_on_or_was_lost() -> None:
    async def work(server: NatsServer) -> None:
        async with buses(server, 2) as (hub, edge):
            answers = [False, True]
            hub.begin("main", lambda data: answers.pop()).publish([created()])
            room = await found(edge)
            await joined(edge)
            assert room.say is not None
            for _ in range(2):
                assert room.say(b'{"type":"response.create"}')
            await until(lambda: not answers)
            assert hub.counts.said == 1
            server.freeze()
            most = edge.limits.max_bus_bytes
            event = b'{"type":"vendor.thing","x":"%b"}' % (b"x" * 500_000)
            for _ in range(most // len(event) + 20):
                room.say(event)
                await asyncio.sleep(0)
            assert edge.counts.bus_unsent["control"]

    served(work)


@pytest.mark.parametrize(
    ("url", "user", "password", "token"),
    [
        ("nats://ada:s3%2Fcret%23%3F%2Cx@127.0.0.1:4222", "ada", "s3/cret#?,x", None),
        ("nats://tok%40en@127.0.0.1:4222, nats://127.0.0.1:4223", None, None, "tok@en"),
        ("tls://127.0.0.1:4222", None, None, None),
    ],
)
def test_what_is_shown_to_a_server_is_read_as_urls_are(
    url: str, user: str | None, password: str | None, token: str | None
) -> None:
    servers, shown = _line._servers(url)
    assert shown == (user, password, token)
    assert all("@" not in server and "%" not in server for server in servers)
