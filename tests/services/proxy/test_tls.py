"""What goes over a network is encrypted, and the other end is who it says it is."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme
import websockets
from openai import AsyncOpenAI

from rtproto import _sockets
from rtproto.services.proxy import Proxy, Upstream
from rtproto.testing import FakeRealtimeServer, Script
from tests.wire import SECONDS

LOOPS = (asyncio.new_event_loop, _sockets.new_loop)
CA = trustme.CA()


def at_the_door(*names: str) -> ssl.SSLContext:
    """A server's side, with a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert(*names).configure_cert(context)
    return context


def trusting() -> ssl.SSLContext:
    """A client's side, that trusts our own authority."""
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return context


DELTAS = [b'{"type":"response.output_text.delta","delta":"%b"}' % (b"x" * size) for size in (1, 200, 90_000)]


@asynccontextmanager
async def service(*names: str) -> AsyncIterator[str]:
    """A service behind TLS that says its deltas, and then echoes."""

    async def serve(socket: websockets.ServerConnection) -> None:
        for delta in DELTAS:
            await socket.send(delta, text=True)
        async for message in socket:
            await socket.send(message)

    async with websockets.serve(serve, "127.0.0.1", 0, ssl=at_the_door(*names)) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield f"wss://localhost:{port}"


@pytest.mark.parametrize("loop", LOOPS)
def test_both_sides_may_be_encrypted(loop: type) -> None:
    async def run() -> None:
        async with (
            asyncio.timeout(SECONDS),
            service("localhost") as url,
            Proxy(Upstream(url=url, key="k", tls=trusting()), tls=at_the_door("localhost")) as proxy,
            websockets.connect(f"wss://localhost:{proxy.port}/v1/realtime", ssl=trusting()) as client,
        ):
            assert proxy.url == f"wss://127.0.0.1:{proxy.port}/v1/realtime"
            assert proxy.base_url.startswith("https://")
            assert [await client.recv(decode=False) for _ in DELTAS] == DELTAS
            for delta in DELTAS:
                await client.send(delta, text=True)
            assert [await client.recv(decode=False) for _ in DELTAS] == DELTAS

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


@pytest.mark.parametrize(("name", "tls"), [("localhost", None), ("elsewhere.example", trusting())])
def test_a_service_that_is_not_who_it_says_gets_nothing(name: str, tls: ssl.SSLContext | None) -> None:
    async def run() -> None:
        async with (
            asyncio.timeout(SECONDS),
            service(name) as url,
            Proxy(Upstream(url=url, key="k", tls=tls)) as proxy,
            websockets.connect(proxy.url) as client,
        ):
            with pytest.raises(websockets.ConnectionClosedError) as end:
                await client.recv()
            assert end.value.rcvd
            assert (end.value.rcvd.code, end.value.rcvd.reason) == (1011, "upstream unreachable")

    asyncio.run(run())


def test_the_official_client_comes_in_by_tls() -> None:
    async def run() -> None:
        async with (
            asyncio.timeout(SECONDS),
            FakeRealtimeServer(Script("Hello")) as fake,
            Proxy(Upstream(url=fake.upstream_url, key="k"), tls=at_the_door("127.0.0.1")) as proxy,
            AsyncOpenAI(api_key="any", base_url=proxy.base_url) as openai,
            openai.realtime.connect(
                model="gpt-realtime", websocket_connection_options={"ssl": trusting()}
            ) as connection,
        ):
            assert (await connection.recv()).type == "session.created"

    asyncio.run(run())
