"""What a proxy's client hears, listeners hear, byte for byte; the client and the service notice nothing."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import websockets
from openai import AsyncOpenAI
from websockets.exceptions import InvalidStatus

from rtproto import _sockets, server
from rtproto.frame import Frame
from rtproto.services.fanout import Broadcast, LocalBus, Room
from rtproto.services.fanout.bus import check_name
from rtproto.services.proxy import Outcome, Policy, Proxy, Session, Upstream
from rtproto.testing import FakeRealtimeServer, Say, Script
from tests.services.fanout.outlets import Ear
from tests.services.proxy.shell import Talk
from tests.wire import SECONDS, TEXT, Raw, Service, said

CREATED = b'{"type":"session.created","event_id":"e1","session":{"type":"realtime","id":"sess_abc"}}'
Work = Callable[[LocalBus, Proxy], Awaitable[None]]


def proxied(work: Work, url: str, *policies: Policy, can_be_spoken_to: bool = False) -> None:
    async def run() -> None:
        async with asyncio.timeout(SECONDS), LocalBus() as bus:
            row = [Broadcast(bus, can_be_spoken_to=can_be_spoken_to), *policies]
            async with Proxy(Upstream(url=url, key="k"), row) as proxy:
                await work(bus, proxy)

    with asyncio.Runner(loop_factory=_sockets.new_loop) as runner:
        runner.run(run())


async def until(is_so: Callable[[], object]) -> None:
    while not is_so():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.005)


def the(bus: LocalBus, name: str) -> Room:
    room = bus.find(name)
    assert room is not None
    return room


@pytest.fixture(scope="module")
def fake() -> Any:
    with FakeRealtimeServer(Script(Say("It is noon.")), speed=20) as fake:
        yield fake


def test_the_official_client_talks_and_others_listen(fake: FakeRealtimeServer) -> None:
    async def work(bus: LocalBus, proxy: Proxy) -> None:
        client = AsyncOpenAI(api_key="any", base_url=proxy.base_url)
        async with client.realtime.connect(model="m", extra_query={"session": "press"}) as connection:
            heard = [await connection.recv_bytes()]
            await until(lambda: bus.names() == ["press"])
            ear = Ear().join(the(bus, "press"))
            await connection.response.create()
            while json.loads(heard[-1])["type"] != "rate_limits.updated":
                heard.append(await connection.recv_bytes())
            await until(lambda: len(ear.live) == len(heard) - 1)
            assert ear.live == heard[1:]
            assert ear.heard[0] == heard[0]
        await until(lambda: ear.closes)
        assert ear.closes == [(1000, "the session is over")]
        assert bus.names() == []

    proxied(work, fake.upstream_url)


def test_its_name_is_the_clients_or_the_services_and_goes_no_further() -> None:
    async def serve(service: Raw) -> None:
        await service.send(said(TEXT, CREATED))
        await service.closed()

    async def run() -> None:
        async with asyncio.timeout(SECONDS), Service(m=serve) as service:
            async with (
                LocalBus() as bus,
                Proxy(Upstream(url=service.url, key="k"), [Broadcast(bus)]) as proxy,
                websockets.connect(f"{proxy.url}?model=m&session=press-1"),
                websockets.connect(f"{proxy.url}?model=m"),
                websockets.connect(f"{proxy.url}?model=m"),
            ):
                await until(lambda: len(bus.names()) == 3)
                first, *others = sorted(bus.names(), key=lambda name: not name.startswith("press"))
                assert first == "press-1"
                assert others[0] == "sess_abc"
                assert others[1].startswith("sess_abc-")
                for name, status in (("press-1", 409), ("a.b", 400), ("", 400)):
                    with pytest.raises(InvalidStatus) as info:
                        await websockets.connect(f"{proxy.url}?model=m&session={name}")
                    assert info.value.response.status_code == status
            assert all(request.startswith(b"GET /v1/realtime?model=m HTTP") for request in service.requests)
            assert not any(b"press-1" in request for request in service.requests)

    asyncio.run(run())


@pytest.mark.parametrize(("given", "begins"), [("sess.a/b", "session-"), ("s" * 64, "s" * 50)])
def test_a_name_is_always_one_and_no_header_gives_it(given: str, begins: str) -> None:
    async def serve(service: Raw) -> None:
        await service.send(said(TEXT, CREATED.replace(b"sess_abc", given.encode())))
        await service.closed()

    async def run() -> None:
        async with (
            asyncio.timeout(SECONDS),
            Service(m=serve) as service,
            LocalBus() as bus,
            Proxy(Upstream(url=service.url, key="k"), [Broadcast(bus)]) as proxy,
            websockets.connect(f"{proxy.url}?model=m", additional_headers={"Rtproto-Session": "forged"}),
            websockets.connect(f"{proxy.url}?model=m"),
        ):
            await until(lambda: len(bus.names()) == 2)
            assert all(check_name(name).startswith(begins) for name in bus.names())

    asyncio.run(run())


class _Polite(Policy):
    """Changes what the client hears, and says something itself."""

    server_types = frozenset({"vendor.rude"})

    def on_server_frame(self, session: Session, frame: Frame[Any]) -> Outcome:
        session.refuse(None, "manners", "Mind your manners.")
        return frame.replace(word="please")


def test_what_policies_change_and_say_is_heard_as_the_client_hears_it() -> None:
    async def serve(service: Raw) -> None:
        await service.send(said(TEXT, CREATED), said(TEXT, b'{"type":"vendor.rude","word":"now"}'))
        await service.send(said(TEXT, b"no event"))
        await service.closed()

    async def run() -> None:
        async with Service(m=serve) as service:

            async def work(bus: LocalBus, proxy: Proxy) -> None:
                async with websockets.connect(f"{proxy.url}?model=m&session=x") as client:
                    heard = [await client.recv(decode=False) for _ in range(4)]
                    ear = Ear().join(the(bus, "x"))
                    assert [json.loads(data)["type"] for data in heard[:3]] == [
                        "session.created",
                        "error",
                        "vendor.rude",
                    ]
                    assert b"please" in heard[2]
                    assert heard[3] == b"no event"
                    await until(lambda: the(bus, "x").counts.published["control"] == 4)
                    assert ear.heard[0] == CREATED

            async with asyncio.timeout(SECONDS), LocalBus() as bus:
                row = [Broadcast(bus), _Polite()]
                async with Proxy(Upstream(url=service.url, key="k"), row) as proxy:
                    await work(bus, proxy)

    asyncio.run(run())


def test_nobody_speaks_to_a_service_that_does_not_read() -> None:
    async def run() -> None:
        async with LocalBus() as bus:
            broadcast = Broadcast(bus, can_be_spoken_to=True)
            talk = Talk(broadcast, target="/v1/realtime?model=m&session=x")
            talk.session.from_upstream(CREATED)
            await asyncio.sleep(0)
            say = the(bus, "x").say
            assert say is not None
            event = b'{"type":"response.create"}'
            assert say(event)
            talk.shell.behind = True
            assert not say(event)
            assert talk.shell.upstream == [event]

    asyncio.run(run())


def test_what_came_last_is_said_before_the_end() -> None:
    async def run() -> None:
        async with LocalBus() as bus:
            talk = Talk(Broadcast(bus), target="/v1/realtime?model=m&session=x")
            talk.session.from_upstream(CREATED)
            await asyncio.sleep(0)
            ear = Ear().join(the(bus, "x"))
            talk.session.from_upstream(last := b'{"type":"vendor.last"}')
            talk.session.end()
            assert ear.live == [last]
            assert ear.closes == [(1000, "the session is over")]
            await asyncio.sleep(0)

    asyncio.run(run())


@pytest.mark.parametrize("can_be_spoken_to", [True, False])
def test_a_listener_may_speak_if_that_is_said(fake: FakeRealtimeServer, can_be_spoken_to: bool) -> None:
    async def work(bus: LocalBus, proxy: Proxy) -> None:
        async with websockets.connect(f"{proxy.url}?model=m&session=x") as client:
            await client.recv()
            await until(bus.names)
            say = the(bus, "x").say
            assert (say is not None) is can_be_spoken_to
            if say is not None:
                assert say(b'{"type":"response.create","event_id":"theirs"}')
                assert json.loads(await client.recv())["type"] == server.ResponseCreated.type
        await until(lambda: not bus.names())
        if say is not None:
            assert not say(b'{"type":"response.create"}')

    proxied(work, fake.upstream_url, can_be_spoken_to=can_be_spoken_to)
