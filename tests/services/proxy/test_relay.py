"""What one side says reaches the other byte for byte, and in order, however it is cut on the way."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import websockets
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import AsyncOpenAI, OpenAI

from rtproto import _sockets
from rtproto.services.proxy import ALL, Limits, Policy, Proxy, Upstream
from rtproto.testing import Call, FakeRealtimeServer, Script
from tests.wire import (
    BINARY,
    CLOSE,
    MORE,
    PING,
    PONG,
    SECONDS,
    TEXT,
    Frame,
    Raw,
    Service,
    asking,
    closing,
    frame,
    raw,
    said,
)

LOOPS = (asyncio.new_event_loop, _sockets.new_loop)
Talk = Callable[[Raw], Awaitable[None]]

DELTA = (
    b'{"type":"response.output_audio_transcript.delta","event_id":"event_%d","response_id":"resp_1",'
    b'"item_id":"item_1","output_index":0,"content_index":0,"delta":"\xc3\xbc%b"}'
)


def between(
    client: Talk,
    service: Talk,
    *policies: Policy,
    request: bytes | None = None,
    limits: Limits | None = None,
) -> list[Proxy]:
    """A client and a service that do as they are told, and a proxy between them, in each kind of loop."""
    proxies: list[Proxy] = []

    async def run() -> None:
        async with (
            asyncio.timeout(SECONDS),
            Service(m=service) as upstream,
            Proxy(Upstream(url=upstream.url, key="k"), policies, limits=limits) as proxy,
        ):
            proxies.append(proxy)
            async with raw(proxy.port, request or asking()) as end:
                await client(end)
            while proxy.counts.sessions_open:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.005)

    for loop in LOOPS:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(run())
    return proxies


def heard(frames: Sequence[Frame]) -> list[tuple[int, bytes]]:
    return [(each.kind, each.data) for each in frames]


# Messages -------------------------------------------------------------------------------------

MESSAGES = [
    (TEXT, DELTA % (1, b"x")),
    (TEXT, DELTA % (2, b"y" * 200)),
    (TEXT, DELTA % (3, b"z" * 70_000)),
    (TEXT, b'{ "event_id" : "e", "type": "vendor.event", "n": 1.0e3}'),
    (TEXT, b"no JSON at all"),
    (TEXT, b""),
    (BINARY, bytes(range(256))),
    (PING, b"are you there"),
    (PONG, b"unasked"),
    (TEXT, DELTA % (4, b"last")),
]


def test_the_client_gets_what_the_service_says() -> None:
    async def service(end: Raw) -> None:
        await end.send(*(said(kind, data) for kind, data in MESSAGES))
        await end.next()

    async def client(end: Raw) -> None:
        assert heard([await end.next() for _ in MESSAGES]) == MESSAGES
        await end.send(frame(TEXT, b"{}"))
        assert await end.closed() == (1011, "upstream connection lost")

    for proxy in between(client, service):
        frames = proxy.counts.snapshot().frames["server"]
        assert frames == {
            "response.output_audio_transcript.delta": 4,
            "unknown": 1,
            "malformed": 2,
            "binary": 1,
        }


def test_the_service_gets_what_the_client_says() -> None:
    async def service(end: Raw) -> None:
        assert heard([await end.next() for _ in MESSAGES]) == MESSAGES
        await end.send(said(CLOSE, closing(1000)))

    async def client(end: Raw) -> None:
        await end.send(*(frame(kind, data) for kind, data in MESSAGES))
        assert await end.closed() == (1000, "")

    between(client, service)


def test_what_a_hasty_client_says_with_its_handshake_waits_for_the_service() -> None:
    async def service(end: Raw) -> None:
        assert heard([await end.next() for _ in range(3)]) == [(TEXT, b"1"), (BINARY, b"2"), (TEXT, b"3")]
        await end.send(said(CLOSE, closing(1000)))

    async def client(end: Raw) -> None:
        assert (await end.next()).kind == PONG  # the one to its ping, from the proxy itself
        assert await end.closed() == (1000, "")

    hasty = frame(TEXT, b"1") + frame(PING) + frame(BINARY, b"2") + frame(TEXT, b"3")
    between(client, service, request=asking() + hasty)


def test_fragments_are_joined_and_control_frames_between_them_do_not_wait() -> None:
    async def service(end: Raw) -> None:
        await end.send(
            said(TEXT, b'{"type":', fin=False),
            said(PING, b"now"),
            said(MORE, b'"a.b"', fin=False),
            said(MORE, b"}"),
        )
        assert heard([await end.next() for _ in range(3)]) == [
            (PONG, b"now"),
            (PING, b"mine"),
            (BINARY, b"12"),
        ]
        await end.send(said(CLOSE, closing(1000)))

    async def client(end: Raw) -> None:
        assert heard([await end.next() for _ in range(2)]) == [(PING, b"now"), (TEXT, b'{"type":"a.b"}')]
        await end.send(frame(PONG, b"now"))
        await end.send(frame(BINARY, b"1", fin=False), frame(PING, b"mine"), frame(MORE, b"2"))
        assert await end.closed() == (1000, "")

    between(client, service)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_any_cut_of_any_messages_gives_the_same_messages(data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.binary(max_size=300).map(lambda raw: raw.hex().encode()), max_size=12))
    wire = b"".join(
        frame(TEXT, text[:at], fin=False) + frame(MORE, text[at:]) if at else frame(TEXT, text)
        for text in texts
        for at in [data.draw(st.integers(0, max(len(text), 0)))]
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    pieces = [wire[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]

    async def service(end: Raw) -> None:
        for text in texts:
            got = await end.next()
            await end.send(said(TEXT, got.data))
            assert got == Frame(TEXT, text)
        await end.send(said(CLOSE, closing(1000)))

    async def client(end: Raw) -> None:
        for piece in pieces:
            end.writer.write(piece)
            await asyncio.sleep(0)
        assert [await end.next() for _ in texts] == [Frame(TEXT, text) for text in texts]
        assert await end.closed() == (1000, "")

    between(client, service)


# Ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "end"),
    [(closing(1000, b"done"), (1000, "done")), (closing(3000, b"x"), (3000, "x")), (b"", (1005, ""))],
)
def test_a_close_is_carried_over_both_ways(payload: bytes, end: tuple[int, str]) -> None:
    told: list[tuple[int, str]] = []

    async def says(other: Raw) -> None:
        await other.send(said(TEXT, DELTA % (1, b"x")), said(CLOSE, payload))
        await other.closed()

    async def hears(client: Raw) -> None:
        assert (await client.next()).data == DELTA % (1, b"x")
        assert await client.closed() == end

    async def waits(other: Raw) -> None:
        assert (await other.next()).data == b"{}"
        told.append(await other.closed())

    async def leaves(client: Raw) -> None:
        await client.send(frame(TEXT, b"{}"), frame(CLOSE, payload))
        assert await client.closed() == end

    for proxy in between(hears, says):
        assert proxy.counts.closes == {str(end[0]): 1}
    for proxy in between(leaves, waits):
        assert proxy.counts.closes == {str(end[0]): 1}
    assert told == [end, end]


async def no_service(end: Raw) -> None:
    raise AssertionError("nobody was to come here")


def test_a_service_that_is_not_there_ends_the_session() -> None:
    async def run() -> None:
        async with Service(m=no_service) as gone:
            url = gone.url
        async with Proxy(Upstream(url=url, key="k")) as proxy, raw(proxy.port) as client:
            assert await client.closed() == (1011, "upstream unreachable")

    asyncio.run(run())


def test_a_service_that_refuses_or_is_silent_ends_the_session() -> None:
    async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 6\r\n\r\nsecret")
        writer.close()

    async def is_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def run(handler: Any) -> tuple[int, str]:
        listening = await asyncio.start_server(handler, "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        limits = Limits(handshake_seconds=0.2)
        there = Upstream(url=url, key="k")
        async with listening, Proxy(there, limits=limits) as proxy, raw(proxy.port) as client:
            return await client.closed()

    assert asyncio.run(run(refuses)) == (1011, "upstream refused: HTTP 429")
    assert asyncio.run(run(is_silent)) == (1011, "upstream did not answer")


# Handshakes -----------------------------------------------------------------------------------


def test_path_query_subprotocols_and_chosen_headers_pass_and_the_key_is_ours() -> None:
    requests: list[bytes] = []

    async def service(end: Raw) -> None:
        await end.send(said(CLOSE, closing(1000)))

    async def run() -> None:
        async with Service(m=service) as upstream:
            there = Upstream(url=f"{upstream.url}/openai", key="sk-ours", pass_headers=("OpenAI-Beta",))
            request = asking(
                "/v1/realtime?call_id=rtc_1&model=m&x=a%20b",
                Authorization="Bearer theirs",
                OpenAI_Beta="realtime=v1",
                Cookie="secret=1",
                Sec_WebSocket_Protocol="realtime, openai-insecure-api-key.theirs, openai-beta.x",
                Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits",
            )
            async with Proxy(there) as proxy:
                reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
                writer.write(request)
                answer = await reader.readuntil(b"\r\n\r\n")
                assert b"Sec-WebSocket-Protocol: realtime\r\n" in answer
                assert b"Sec-WebSocket-Extensions" not in answer  # the compressed offer is refused
                await Raw(reader, writer).closed()
                writer.close()
            requests.extend(upstream.requests)

    asyncio.run(run())
    line, *lines = requests[0].decode().splitlines()
    assert line == "GET /openai/v1/realtime?call_id=rtc_1&model=m&x=a%20b HTTP/1.1"
    assert "Authorization: Bearer sk-ours" in lines
    assert "OpenAI-Beta: realtime=v1" in lines
    assert "Sec-WebSocket-Protocol: realtime, openai-beta.x" in lines
    assert "theirs" not in requests[0].decode()
    assert "Cookie" not in requests[0].decode()


def test_without_a_key_of_ours_the_clients_own_goes_on() -> None:
    async def run() -> list[bytes]:
        async def service(end: Raw) -> None:
            await end.send(said(CLOSE, closing(1000)))

        async with Service(m=service) as upstream, Proxy(Upstream(url=upstream.url)) as proxy:
            async with raw(proxy.port, asking(Authorization="Bearer theirs")) as client:
                await client.closed()
            return upstream.requests

    assert b"Authorization: Bearer theirs\r\n" in asyncio.run(run())[0]


# Real clients ---------------------------------------------------------------------------------

SCRIPT = ("It is noon.", Call("get_time", {}), "It is noon, I said.")


async def _ask(openai: AsyncOpenAI) -> None:
    async with openai.realtime.connect(model="gpt-realtime") as connection:
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        for _ in SCRIPT:
            await connection.response.create()
            async for event in connection:
                assert event.type != "error"
                if event.type == "response.done":
                    break


class _Wire(Policy):
    """What the service said, as the proxy got it."""

    server_types = ALL

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def on_server_frame(self, session: Any, frame: Any) -> Any:
        self.frames.append(frame.data)
        return frame


def test_the_official_client_works_through_it_unchanged() -> None:
    """With the same bytes as the service sent, and the service with those that the client sent."""
    received: list[str] = []

    async def run() -> None:
        async with (
            asyncio.timeout(SECONDS),
            FakeRealtimeServer(Script(*SCRIPT), speed=math.inf) as fake,
            Proxy(Upstream(url=fake.upstream_url, key="sk-ours")) as proxy,
            AsyncOpenAI(api_key="theirs", base_url=proxy.base_url) as openai,
        ):
            original = websockets.ClientConnection.recv

            async def recv(self: Any, *args: Any, **options: Any) -> Any:
                data = await original(self, *args, **options)
                received.append(data if isinstance(data, bytes) else data.encode())
                return data

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(websockets.ClientConnection, "recv", recv)
                await _ask(openai)
            record = fake.sessions[0]
            said = [each.raw for each in record.frames if each.direction == "server"]
            assert received == said[: len(received)]
            assert len(said) - len(received) <= 1  # the rate limits come behind what the client waited for
            assert len(record.received("response.create")) == len(SCRIPT)

    asyncio.run(run())


def test_the_official_synchronous_client_works_through_it() -> None:
    async def run() -> list[str]:
        async with (
            asyncio.timeout(SECONDS),
            FakeRealtimeServer(Script("Hello"), speed=math.inf) as fake,
            Proxy(Upstream(url=fake.upstream_url, key="sk-ours")) as proxy,
        ):
            return await asyncio.to_thread(ask, proxy.base_url)

    def ask(base_url: str) -> list[str]:
        types: list[str] = []
        with (
            OpenAI(api_key="any", base_url=base_url) as openai,
            openai.realtime.connect(model="gpt-realtime") as connection,
        ):
            connection.response.create()
            for event in connection:
                types.append(event.type)
                if event.type == "response.done":
                    break
        return types

    types = asyncio.run(run())
    assert types[0] == "session.created"
    assert types[-1] == "response.done"
