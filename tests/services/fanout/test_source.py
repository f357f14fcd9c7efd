"""A source repeats in its room what the service says, and begins anew when that hangs up."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from rtproto import _sockets
from rtproto.services.fanout import Limits, LocalBus, Room, Source
from rtproto.services.fanout import source as module
from rtproto.services.proxy import Opening, Upstream
from tests.services.fanout.outlets import Ear, audio, control, created
from tests.wire import PING, PONG, SECONDS, TEXT, Raw, Service, closing, said

LOOPS = (asyncio.new_event_loop, _sockets.new_loop)
OPENING = Opening(path="/v1/realtime", query="model=m", subprotocols=("realtime",))


@pytest.fixture(params=LOOPS)
def runner(request: pytest.FixtureRequest) -> object:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SHORTEST", 0.02)


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not is_so():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


async def found(bus: LocalBus) -> Room:
    await until(lambda: bus.find("main"))
    room = bus.find("main")
    assert room is not None
    return room


@asynccontextmanager
async def listening(
    handler: Callable[[Raw], object], *, can_be_spoken_to: bool = False
) -> AsyncIterator[tuple[LocalBus, Service]]:
    async with asyncio.timeout(SECONDS), Service(m=handler) as service, LocalBus(Limits()) as bus:  # type: ignore[arg-type]
        upstream = Upstream(url=service.url, key="sk-secret")
        async with Source(bus, "main", upstream, OPENING, can_be_spoken_to=can_be_spoken_to).running():
            yield bus, service


def test_what_the_service_says_is_said_in_the_room(runner: asyncio.Runner) -> None:
    frames = [created(), audio(), control(100_000), audio(3000)]

    async def run() -> None:
        joined = asyncio.Event()

        async def serve(service: Raw) -> None:
            await joined.wait()
            wire = b"".join(said(TEXT, data) for data in frames)
            for at in range(0, len(wire), 50_000):  # cut wherever it may be
                await service.send(wire[at : at + 50_000])
                await asyncio.sleep(0.005)
            await service.closed()

        async with listening(serve) as (bus, service):
            ear = Ear().join(await found(bus))
            joined.set()
            await until(lambda: len(ear.live) == len(frames))
            assert ear.live == frames
            (request,) = service.requests
            assert request.startswith(b"GET /v1/realtime?model=m HTTP/1.1\r\n")
            assert b"Bearer sk-secret" in request
            assert b"Sec-WebSocket-Protocol: realtime" in request

    runner.run(run())


def test_what_comes_in_one_turn_goes_out_in_one(runner: asyncio.Runner) -> None:
    async def run() -> None:
        go = asyncio.Event()

        async def serve(service: Raw) -> None:
            await go.wait()
            await service.send(*(said(TEXT, control()) for _ in range(10)))
            await service.closed()

        async with listening(serve) as (bus, _):
            room, turns = await found(bus), []
            room.taps.append(lambda messages: turns.append(len(messages)))
            go.set()
            await until(lambda: sum(turns) == 10)
            assert turns == [10]

    runner.run(run())


def test_when_the_service_hangs_up_another_session_begins(runner: asyncio.Runner) -> None:
    async def run() -> None:
        async def serve(service: Raw) -> None:
            number = len(services.requests)
            await service.send(said(TEXT, b'{"type":"vendor.number","n":%d}' % number))
            if number == 1:
                await asyncio.sleep(0.05)
                await service.send(said(8, closing(1001, b"a reason that may hold anything")))
            await service.closed()

        async with listening(serve) as (bus, services):
            room = await found(bus)
            ear = Ear().join(room)
            await until(lambda: room.is_over)
            assert ear.closes == [(1000, "the service closed with 1001")]
            again = await found(bus)
            assert again is not room
            await until(lambda: again.counts.published["control"] == 2)
            assert again.counts.sessions == 1

    runner.run(run())


def test_a_service_that_says_no_is_asked_again_and_the_key_is_told_to_nobody(
    runner: asyncio.Runner, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async def run() -> None:
        caplog.set_level(logging.DEBUG)
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        upstream = Upstream(url=url, key="sk-secret")
        async with LocalBus() as bus, Source(bus, "main", upstream, OPENING).running():
            await until(lambda: bus.counts.upstream_failures >= 2)
            assert bus.names() == []
        server.close()
        await server.wait_closed()

    runner.run(run())
    assert "sk-secret" not in caplog.text
    fields = [record.fields for record in caplog.records if record.message == "upstream failed"]  # type: ignore[attr-defined]
    assert fields[0]["status"] == 401


def test_a_service_that_answers_nothing_is_given_up(runner: asyncio.Runner) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        upstream = Upstream(url=f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", key="k")
        limits = Limits(handshake_seconds=0.05)
        async with LocalBus(limits) as bus, Source(bus, "main", upstream, OPENING).running():
            async with asyncio.timeout(SECONDS / 4):  # sooner than without a limit of ours
                await until(lambda: bus.counts.upstream_failures >= 2)
        server.close()
        await server.wait_closed()

    runner.run(run())


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long a source means to wait, each time."""
    found: list[float] = []
    sleep = asyncio.sleep

    async def hurry(seconds: float) -> None:
        if seconds < module._SHORTEST:
            await sleep(seconds)
        else:
            found.append(seconds)
            await sleep(0)

    monkeypatch.setattr(module, "_SHORTEST", 1.0)
    monkeypatch.setattr(asyncio, "sleep", hurry)
    return found


@pytest.mark.parametrize("why", ["refused", "taken", "hangs up"])
def test_pauses_grow(runner: asyncio.Runner, pauses: list[float], why: str) -> None:
    async def serve(service: Raw) -> None:
        if why == "taken":
            await service.closed()

    async def run() -> None:
        async with Service(m=serve) as service, LocalBus() as bus:
            if why == "taken":
                bus.begin("main")
            url = "ws://127.0.0.1:1" if why == "refused" else service.url
            async with Source(bus, "main", Upstream(url=url, key="k"), OPENING).running():
                await until(lambda: len(pauses) >= 7)
        assert pauses[:7] == [1, 2, 4, 8, 16, 30, 30]

    runner.run(run())


def test_after_a_long_session_pauses_begin_anew(
    runner: asyncio.Runner, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHORTEST", 0.1)
    monkeypatch.setattr(module, "_LONGEST", 0.5)

    async def run() -> None:
        async def serve(service: Raw) -> None:
            if len(services.requests) == 4:
                with suppress(TimeoutError):
                    await asyncio.wait_for(service.next(), 0.6)

        async with listening(serve) as (_, services):
            await until(lambda: len(pauses) >= 5)
        assert pauses[:5] == [0.1, 0.2, 0.4, 0.1, 0.2]

    runner.run(run())


def test_who_speaks_is_heard_by_the_service_until_it_is_gone(runner: asyncio.Runner) -> None:
    async def run() -> None:
        heard: list[bytes] = []

        async def serve(service: Raw) -> None:
            heard.append((await service.next()).data)
            service.abort()

        async with listening(serve, can_be_spoken_to=True) as (bus, _):
            room = await found(bus)
            assert room.say is not None
            assert room.say(event := b'{"type":"response.create"}')
            await until(lambda: room.is_over)
            assert heard[0] == event
            assert not room.say(event)

    runner.run(run())


def test_what_was_whole_when_the_service_vanished_is_said(runner: asyncio.Runner) -> None:
    async def run() -> None:
        go, ends = asyncio.Event(), asyncio.Event()
        whole = control()

        async def serve(service: Raw) -> None:
            await go.wait()
            await service.send(said(TEXT, whole), said(TEXT, control(1000))[:500])
            await ends.wait()
            service.abort()

        async with listening(serve) as (bus, _):
            ear = Ear().join(await found(bus))
            go.set()
            await until(lambda: ear.live)  # it need not wait for the rest of the other
            ends.set()
            await until(lambda: ear.closes)
            assert ear.live == [whole]
            go.clear()

    runner.run(run())


def test_a_service_that_does_not_read_is_not_spoken_to_without_end(runner: asyncio.Runner) -> None:
    async def run() -> None:
        over = asyncio.Event()

        async def serve(service: Raw) -> None:
            await over.wait()
            service.abort()

        async with listening(serve, can_be_spoken_to=True) as (bus, _):
            room = await found(bus)
            assert room.say is not None
            event = b'{"type":"vendor.thing","x":"%b"}' % (b"x" * 100_000)
            said = 0
            while room.say(event):
                said += 1
                assert said < 1000
                await asyncio.sleep(0)
            over.set()

    runner.run(run())


def test_a_session_that_may_not_be_spoken_to_is_not(runner: asyncio.Runner) -> None:
    async def run() -> None:
        async def serve(service: Raw) -> None:
            await service.closed()

        async with listening(serve) as (bus, _):
            assert (await found(bus)).say is None

    runner.run(run())


def test_a_name_that_is_taken_is_waited_for(runner: asyncio.Runner) -> None:
    async def run() -> None:
        async def serve(service: Raw) -> None:
            await service.closed()

        async with Service(m=serve) as service, LocalBus() as bus:
            theirs = bus.begin("main")
            async with Source(bus, "main", Upstream(url=service.url, key="k"), OPENING).running():
                await until(lambda: len(service.requests) == 2)
                assert bus.find("main") is theirs
                theirs.end("enough")
                assert await found(bus) is not theirs

    runner.run(run())


def test_a_service_that_answers_no_ping_is_left(runner: asyncio.Runner) -> None:
    async def run() -> None:
        over = asyncio.Event()

        async def serve(service: Raw) -> None:
            if len(services.requests) == 1:
                await over.wait()
            while (await service.next()).kind == PING:
                await service.send(said(PONG))

        async with (
            asyncio.timeout(SECONDS),
            Service(m=serve) as services,
            LocalBus(Limits(ping_seconds=0.05)) as bus,
            Source(bus, "main", Upstream(url=services.url, key="k"), OPENING).running(),
        ):
            ear = Ear().join(await found(bus))
            await until(lambda: ear.closes)
            room = await found(bus)
            await asyncio.sleep(0.4)
            assert bus.find("main") is room
            over.set()

    runner.run(run())


def test_a_session_that_is_ended_here_is_left(runner: asyncio.Runner) -> None:
    async def run() -> None:
        codes: list[int] = []

        async def serve(service: Raw) -> None:
            codes.append((await service.closed())[0])

        async with (
            asyncio.timeout(SECONDS),
            Service(m=serve) as services,
            LocalBus(Limits(ping_seconds=0.05)) as bus,
            Source(bus, "main", Upstream(url=services.url, key="k"), OPENING).running(),
        ):
            (await found(bus)).end("enough")
            await until(lambda: codes)
            assert codes == [1000]
            await found(bus)

    runner.run(run())


@pytest.mark.parametrize("host", ["a..b", f"{'x' * 64}.example"])
def test_a_host_that_is_none_is_a_failure_as_others(host: str, runner: asyncio.Runner) -> None:
    async def run() -> None:
        async with LocalBus() as bus, Source(bus, "main", Upstream(url=f"ws://{host}"), OPENING).running():
            await until(lambda: bus.counts.upstream_failures >= 2)

    runner.run(run())


def test_leaving_says_goodbye_to_both(runner: asyncio.Runner) -> None:
    async def run() -> None:
        codes: list[int] = []

        async def serve(service: Raw) -> None:
            codes.append((await service.closed())[0])

        async with listening(serve) as (bus, _):
            ear = Ear().join(await found(bus))
        assert ear.closes == [(1001, "going away")]
        await until(lambda: codes)
        assert codes == [1000]

    runner.run(run())


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        Source(LocalBus(), "ma.in", Upstream(url="ws://127.0.0.1"), OPENING)
