"""A user's own server relays as the proxy does: over real sockets, to a service, from the official SDK."""

import asyncio
import json
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import websockets
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection

from rtproto import Frame, client, server, types
from rtproto.services.proxy import Opening, Pipeline, Policy, Refused, Session
from rtproto.services.proxy import starlette as on_starlette
from rtproto.services.proxy import websockets as on_websockets
from rtproto.services.proxy.admission import asked
from rtproto.services.proxy.limits import Limits
from rtproto.testing import FakeRealtimeServer, Script

from .own_servers import SECONDS, SERVERS, SIZE, Server, connected, port_of, running

each_server = pytest.mark.parametrize("serve", SERVERS.values(), ids=SERVERS)
KEY = "sk-of-the-client"
Speak = Callable[[ServerConnection], Awaitable[None]]


def run(main: Coroutine[Any, Any, None]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(SECONDS):
            await main

    asyncio.run(in_time())


class Service:
    """A service that says what a test wants, and how its last connection ended."""

    def __init__(self, speak: Speak) -> None:
        self.speak = speak
        self.end: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Service"]:
        async with websockets.serve(self._serve, "127.0.0.1", 0, max_size=SIZE, compression=None) as port:
            self.url = f"ws://127.0.0.1:{port_of(port)}/v1/realtime"
            yield self

    async def _serve(self, connection: ServerConnection) -> None:
        with suppress(websockets.ConnectionClosed):
            await self.speak(connection)
        await connection.wait_closed()
        if not self.end.done():
            self.end.set_result((connection.close_code or 0, connection.close_reason or ""))


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def hush(connection: ServerConnection) -> None:
    await connection.wait_closed()


def caller(base_url: str, **options: Any) -> Any:
    options = {"max_size": SIZE, "compression": None, "proxy": None, **options}
    return websockets.connect(base_url.replace("http", "ws") + "/realtime?model=m", **options)


async def ended(connection: ClientConnection) -> tuple[int | None, str | None]:
    await connection.wait_closed()
    return connection.close_code, connection.close_reason


@asynccontextmanager
async def called(
    serve: Server, speak: Speak, *policies: Policy, limits: Limits | None = None, **options: Any
) -> AsyncIterator[tuple[ClientConnection, Service, Pipeline]]:
    """A client, the service at the other end, and what is between them."""
    pipeline = Pipeline(policies)
    async with (
        Service(speak).listening() as service,
        serve(service.url, pipeline, limits) as url,
        caller(url, **options) as connection,
    ):
        yield connection, service, pipeline


# What passes


@each_server
def test_the_official_sdk_hears_the_very_bytes_that_the_service_sent(serve: Server) -> None:
    async def main() -> None:
        pipeline, heard = Pipeline(), list[bytes]()
        async with (
            FakeRealtimeServer(Script("Hello there, how are you?"), speed=math.inf) as fake,
            serve(fake.url.partition("?")[0], pipeline) as url,
            AsyncOpenAI(api_key=KEY, base_url=url) as openai,
            openai.realtime.connect(model="gpt-realtime") as connection,
        ):
            content: Any = [{"type": "input_text", "text": "Hi."}]
            await connection.conversation.item.create(
                item={"type": "message", "role": "user", "content": content}
            )
            await connection.response.create(response={"output_modalities": ["text"]})
            while not heard or json.loads(heard[-1])["type"] != "response.done":
                heard.append(await connection.recv_bytes())
        (record,) = fake.sessions
        sent = [frame.raw for frame in record.frames if frame.direction == "server"]
        assert heard == sent[: len(heard)]
        assert [event.type for event in record.received()] == ["conversation.item.create", "response.create"]
        assert record.end == (1000, "")
        counts = pipeline.counts.snapshot()
        assert counts.frames["client"] == {"conversation.item.create": 1, "response.create": 1}
        assert counts.frames["server"]["response.done"] == 1
        assert (counts.sessions, counts.sessions_open, counts.closes) == (1, 0, {"1000": 1})

    run(main())


@each_server
def test_every_message_passes_as_it_came_and_as_what_it_came(serve: Server) -> None:
    messages: list[str | bytes] = [
        '{ "type" : "vendor.new",  "x": 1.0e3, "é": "\\u00e9ü" }',
        "no JSON at all",
        b"\x00\xff binary",
        "",
        b"",
        json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 6 * 2**20}),
    ]

    async def main() -> None:
        async with called(serve, echo) as (connection, _, _):
            for message in messages:
                await connection.send(message)
            assert [await connection.recv() for _ in messages] == messages

    run(main())


class Greeting(Policy):
    """Speaks of its own accord: at once, to both sides, and a little later."""

    client_types = frozenset({"session.update"})

    def __init__(self) -> None:
        self.closed: list[str] = []

    def on_open(self, session: Session) -> None:
        session.send_to_upstream(client.InputAudioBufferClear(event_id="at once"))
        session.start(self._later(session))

    async def _later(self, session: Session) -> None:
        await asyncio.sleep(0)
        session.send_to_client(server.InputAudioBufferCleared(event_id="later"))
        try:
            await asyncio.Event().wait()
        finally:
            self.closed.append("task")

    def on_client_frame(self, session: Session, frame: Frame[Any]) -> Frame[Any]:
        return frame.set("session.instructions", "Be kind.")

    def on_closed(self, session: Session) -> None:
        self.closed.append("session")
        session.start(self._too_late())

    async def _too_late(self) -> None:
        await asyncio.Event().wait()


@each_server
def test_policies_inject_and_edit_and_their_tasks_end_with_the_session(serve: Server) -> None:
    async def main() -> None:
        greeting = Greeting()
        async with called(serve, echo, greeting) as (connection, service, _):
            first = {json.loads(await connection.recv())["event_id"] for _ in range(2)}
            assert first == {"at once", "later"}  # the first by way of the service
            await connection.send('{"type":"session.update","session":{"type":"realtime","x":1.0}}')
            edited = (
                '{"type":"session.update","session":{"type":"realtime","x":1.0,"instructions":"Be kind."}}'
            )
            assert await connection.recv() == edited
            assert greeting.closed == []
            await connection.close()
            await service.end
        assert greeting.closed == ["session", "task"]

    run(main())


# How it ends


@each_server
@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        (1000, "", (1000, "")),
        (1001, "good night", (1001, "good night")),
        (4321, "ü" * 61, (4321, "ü" * 61)),
        (1009, "too long", (1009, "too long")),
    ],
)
def test_a_clients_close_is_told_to_the_service(
    serve: Server, code: int, reason: str, told: tuple[int, str]
) -> None:
    async def main() -> None:
        async with called(serve, hush) as (connection, service, pipeline):
            await connection.close(code, reason)
            assert await service.end == told
        assert pipeline.counts.closes == {str(code): 1}

    run(main())


@each_server
def test_a_services_close_is_told_to_the_client_after_its_last_words(serve: Server) -> None:
    async def speak(connection: ServerConnection) -> None:
        for number in range(50):
            await connection.send(f'{{"type":"vendor.{number}"}}')
        await connection.close(4321, "that was all")

    async def main() -> None:
        async with called(serve, speak) as (connection, _, pipeline):
            heard = [message async for message in _all(connection)]
            assert heard == [f'{{"type":"vendor.{number}"}}' for number in range(50)]
            assert await ended(connection) == (4321, "that was all")
        assert pipeline.counts.closes == {"4321": 1}

    run(main())


async def _all(connection: ClientConnection) -> AsyncIterator[str | bytes]:
    try:
        while True:
            yield await connection.recv()
    except websockets.ConnectionClosed:
        return


@each_server
def test_a_client_that_hangs_up_in_the_midst_of_it_is_not_waited_for(serve: Server) -> None:
    async def speak(connection: ServerConnection) -> None:
        while True:
            await connection.send("x" * 2**16)

    async def main() -> None:
        async with called(serve, speak) as (connection, service, _):
            await connection.recv()
            await connection.close(4000, "enough")
            assert await service.end == (4000, "enough")

    run(main())


@each_server
def test_a_client_without_a_code_is_done(serve: Server) -> None:
    async def main() -> None:
        async with called(serve, hush) as (connection, service, _):
            connection.protocol.send_close()
            connection.transport.write(b"".join(connection.protocol.data_to_send()))
            assert await service.end == (1000, "")

    run(main())


@each_server
def test_a_client_that_vanishes_went_away(serve: Server) -> None:
    async def main() -> None:
        async with called(serve, hush) as (connection, service, _):
            connection.transport.abort()
            # uvicorn tells Starlette of a lost client what it tells of one without a code
            assert (await service.end)[0] in ((1001,) if serve is SERVERS["websockets"] else (1000, 1001))

    run(main())


@each_server
def test_a_service_that_vanishes_is_an_error_to_the_client(serve: Server) -> None:
    async def speak(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.abort()

    async def main() -> None:
        async with called(serve, speak) as (connection, _, _):
            await connection.send("go")
            assert await ended(connection) == (1011, "upstream connection lost")

    run(main())


@each_server
def test_a_service_that_sends_too_much_at_once_is_lost(serve: Server) -> None:
    async def speak(connection: ServerConnection) -> None:
        await connection.send("x" * (SIZE + 1))

    async def main() -> None:
        async with called(serve, speak) as (connection, service, _):
            assert await ended(connection) == (1011, "upstream connection lost")
            assert (await service.end)[0] == 1009

    run(main())


def test_a_client_that_sends_too_much_at_once_is_lost() -> None:
    async def main() -> None:
        async def serve(connection: ServerConnection) -> None:
            async with connected(service.url, "") as upstream:
                await on_websockets.relay(connection, upstream, Pipeline())

        async with (
            Service(hush).listening() as service,
            websockets.serve(serve, "127.0.0.1", 0, max_size=1000, compression=None) as port,
            websockets.connect(f"ws://127.0.0.1:{port_of(port)}", compression=None, proxy=None) as connection,
        ):
            await connection.send("x" * 1001)
            assert await service.end == (1001, "client went away")
            assert (await ended(connection))[0] == 1009

    run(main())


class Faulty(Policy):
    client_types = frozenset({"response.create"})

    def on_client_frame(self, session: Session, frame: Frame[Any]) -> Frame[Any]:
        raise ValueError(str(frame.data))


@each_server
def test_a_policy_that_raises_closes_its_own_session_only(
    serve: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        pipeline = Pipeline([Faulty()])
        async with (
            Service(echo).listening() as service,
            serve(service.url, pipeline) as url,
            caller(url) as one,
            caller(url) as other,
        ):
            await one.send('{"type":"response.create","event_id":"secret"}')
            await one.send("after it")
            assert await ended(one) == (1011, "Faulty failed")
            assert await service.end == (1011, "Faulty failed")
            await other.send("still here")
            assert await other.recv() == "still here"
        assert pipeline.counts.policy_errors == {"Faulty": 1}
        assert "secret" not in caplog.text

    with caplog.at_level(logging.INFO, "rtproto.proxy"):
        run(main())
    fields = [getattr(record, "fields", {}) for record in caplog.records if record.name == "rtproto.proxy"]
    assert [each["why"] for each in fields if "why" in each and each["code"] == 1011] == ["Faulty failed"]


class Farewell(Policy):
    client_types = frozenset({"response.create"})

    def on_client_frame(self, session: Session, frame: Frame[Any]) -> None:
        session.refuse(frame, "over", "It is over.")
        session.close(4000, "x" * 200)
        session.refuse(frame, "late", "It was over before.")


@each_server
def test_what_a_policy_said_last_comes_before_its_close(serve: Server) -> None:
    async def main() -> None:
        async with called(serve, hush, Farewell()) as (connection, service, _):
            await connection.send('{"type":"response.create","event_id":"e_1"}')
            errors = [json.loads(message)["error"] async for message in _all(connection)]
            assert [(error["code"], error["event_id"]) for error in errors] == [("over", "e_1")]
            assert await ended(connection) == (4000, "x" * 123)
            assert await service.end == (4000, "x" * 123)

    run(main())


# Who does not read


@each_server
def test_a_client_that_does_not_read_stops_the_service_and_is_closed(serve: Server) -> None:
    sent = 0

    async def speak(connection: ServerConnection) -> None:
        nonlocal sent
        for _ in range(200):
            await connection.send("x" * 2**20)
            sent += 1

    async def main() -> None:
        limits = Limits(stall_seconds=0.4)
        async with called(serve, speak, limits=limits, max_queue=1) as (connection, service, pipeline):
            connection.transport.pause_reading()
            assert await service.end == (1013, "client does not read")
            assert sent < 100
            assert pipeline.counts.backpressure_seconds["client"] > 0.3
            assert pipeline.counts.stalled == 1
            connection.transport.abort()

    run(main())


class Flood(Policy):
    client_types = frozenset({"response.create"})

    def on_client_frame(self, session: Session, frame: Frame[Any]) -> None:
        error = types.Error(type="x", message="x" * 2**20, code=None, param=None)
        session.send_to_client(server.Error(event_id="e", error=error))


@each_server
def test_what_policies_pile_up_has_an_end(serve: Server) -> None:
    async def main() -> None:
        limits = Limits(max_session_bytes=4 * 2**20, stall_seconds=0.4)
        async with called(serve, hush, Flood(), limits=limits, max_queue=1) as (
            connection,
            service,
            pipeline,
        ):
            connection.transport.pause_reading()
            for _ in range(60):
                await connection.send('{"type":"response.create"}')
            assert await service.end == (1013, "too much waits")
            assert pipeline.counts.stalled == 1
            connection.transport.abort()

    run(main())


@each_server
def test_a_client_that_reads_late_misses_nothing(serve: Server) -> None:
    async def speak(connection: ServerConnection) -> None:
        for number in range(40):
            await connection.send(f'{{"type":"vendor.{number}","x":"{"x" * 2**20}"}}')
        await connection.close()

    async def main() -> None:
        async with called(serve, speak, max_queue=1) as (connection, _, _):
            await asyncio.sleep(0.1)
            numbers = [
                str(message)[:20].partition('"type":"vendor.')[2] async for message in _all(connection)
            ]
            assert [number.partition('"')[0] for number in numbers] == [str(number) for number in range(40)]

    run(main())


@each_server
def test_what_waits_for_a_client_outlives_the_service(serve: Server) -> None:
    async def speak(connection: ServerConnection) -> None:
        for number in range(256):
            await connection.send(f"{number:3}" + "x" * 2**16)
        await connection.close(4321, "that was all")

    async def main() -> None:
        limits = Limits(high_water_bytes=64 * 2**20)
        async with called(serve, speak, limits=limits, max_queue=1) as (connection, service, _):
            connection.transport.pause_reading()
            assert await service.end == (4321, "that was all")
            connection.transport.resume_reading()
            assert [int(message[:3]) async for message in _all(connection)] == [*range(256)]
            assert await ended(connection) == (4321, "that was all")

    run(main())


# Who comes in


class Closed(Policy):
    def on_opening(self, opening: Opening) -> Opening:
        raise Refused(403, "not today")


def test_a_client_that_is_refused_is_told_by_http_where_that_can_be() -> None:
    async def main(serve: Server) -> None:
        async with (
            Service(hush).listening() as service,
            serve(service.url, Pipeline([Closed()])) as url,
        ):
            with pytest.raises(websockets.InvalidStatus) as refused:
                await caller(url)
            assert refused.value.response.status_code == 403
            assert refused.value.response.body == b"not today"

    for name in ("starlette", "fastapi"):
        run(main(SERVERS[name]))


def test_a_client_that_is_refused_after_its_handshake_is_closed() -> None:
    async def main() -> None:
        async with called(SERVERS["websockets"], hush, Closed()) as (connection, _, pipeline):
            assert await ended(connection) == (1008, "not today")
            assert pipeline.counts.refused == {"403": 1}
            assert pipeline.counts.sessions == 0

    run(main())


def test_an_opening_holds_no_key() -> None:
    headers = [
        ("Authorization", "Bearer sk-1"),
        ("API-Key", "sk-2"),
        ("Cookie", "sk-3"),
        ("OpenAI-Beta", "realtime=v1"),
        ("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.sk-4"),
        ("Sec-WebSocket-Protocol", "x"),
    ]
    opening = asked("/v1/realtime", "api-key=sk-5&model=m", headers)
    assert opening.query == "model=m"
    assert opening.subprotocols == ("realtime", "x")
    assert opening.headers["OpenAI-Beta"] == "realtime=v1"
    assert not {"Authorization", "API-Key", "Cookie"} & opening.headers.keys()


@each_server
def test_policies_see_what_was_asked_for(serve: Server) -> None:
    class Asked(Policy):
        def on_open(self, session: Session) -> None:
            openings.append(session.opening)

    openings: list[Opening] = []

    async def main() -> None:
        headers = {"Authorization": f"Bearer {KEY}", "X-Mine": "1"}
        async with called(serve, hush, Asked(), additional_headers=headers) as (connection, service, _):
            await connection.close()
            await service.end
        (opening,) = openings
        assert (opening.path, opening.query, opening.model) == ("/v1/realtime", "model=m", "m")
        found = {name.lower(): value for name, value in opening.headers.items()}
        assert found["x-mine"] == "1"
        assert KEY not in str(opening.headers)

    run(main())


def test_a_browsers_subprotocol_is_taken() -> None:
    async def main() -> None:
        offered = [
            websockets.Subprotocol(f"openai-insecure-api-key.{KEY}"),
            websockets.Subprotocol("realtime"),
        ]
        async with called(SERVERS["starlette"], hush, subprotocols=offered) as (connection, _, _):
            assert connection.subprotocol == "realtime"

    run(main())


def test_a_websocket_that_was_accepted_before_is_taken_too() -> None:
    async def main() -> None:
        async with Service(echo).listening() as service:

            async def endpoint(websocket: WebSocket) -> None:
                await websocket.accept()
                async with connected(service.url, "") as upstream:
                    await on_starlette.relay(websocket, upstream, Pipeline())

            app = Starlette(routes=[WebSocketRoute("/v1/realtime", endpoint)])
            async with running(app) as url, caller(url) as connection:
                await connection.send("hello")
                assert await connection.recv() == "hello"

    run(main())


def test_a_relay_that_is_cancelled_says_goodbye() -> None:
    async def main() -> None:
        relays: list[asyncio.Task[None]] = []

        async def serve(connection: ServerConnection) -> None:
            async with connected(service.url, "") as upstream:
                relays.append(asyncio.create_task(on_websockets.relay(connection, upstream, Pipeline())))
                await asyncio.wait(relays)

        async with (
            Service(echo).listening() as service,
            websockets.serve(serve, "127.0.0.1", 0) as port,
            websockets.connect(f"ws://127.0.0.1:{port_of(port)}", proxy=None) as connection,
        ):
            await connection.send("hello")
            assert await connection.recv() == "hello"
            relays[0].cancel()
            assert await ended(connection) == (1001, "going away")
            assert await service.end == (1001, "going away")
            await asyncio.wait(relays)
            assert relays[0].cancelled()

    run(main())


def test_an_opening_needs_a_handshake() -> None:
    with pytest.raises(ValueError, match="handshake"):
        on_websockets.opening_of(None)
