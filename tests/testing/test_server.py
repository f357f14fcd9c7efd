"""Whoever comes in is met as the service meets them; whatever they do, the server outlives it, and stops."""

import asyncio
import gc
import json
import math
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import websockets
from openai import OpenAI
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_sync

import rtproto
from rtproto import _sockets, capture, client, server, translation
from rtproto.testing import (
    Call,
    FakeRealtimeServer,
    Recording,
    Reply,
    Say,
    Script,
    SessionRecord,
    Turn,
    tone,
)
from tests.testing.talk import KEY, SECONDS, Client, connected, said, talk

PROMPT = 1.5  # seconds: what takes longer waited for somebody
LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, _sockets.new_loop], ids=["asyncio", "fast"])
WRITTEN: dict[str, Any] = {"type": "response.create", "response": {"output_modalities": ["text"]}}
NONSENSE: dict[str, Any] = {"type": "nonsense", "event_id": "nonsense"}
IDS = {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
UPGRADE = {"Host": "x", "Upgrade": "websocket", "Connection": "Upgrade", **IDS, **KEY}


def speak(url: str, **options: Any) -> ClientConnection:
    """A synchronous client of a server in a thread."""
    options.setdefault("additional_headers", KEY)
    options |= {"open_timeout": SECONDS, "close_timeout": SECONDS}
    return connect_sync(url, max_queue=None, ping_interval=None, **options)  # no thread for pings


def heard(socket: ClientConnection) -> Any:
    return json.loads(socket.recv(timeout=SECONDS))


def end_of(socket: ClientConnection) -> tuple[int, str]:
    """Read to the end; the close code and reason."""
    try:
        while True:
            socket.recv(timeout=SECONDS)
    except websockets.ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


def until(condition: Callable[[], Any]) -> None:
    """Wait, within bounds, for what happens in the server's thread."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.01)


async def soon(condition: Callable[[], Any]) -> None:
    """The same in an event loop."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - what happens elsewhere has no event
            await asyncio.sleep(0.01)


async def refused(client: Client) -> dict[str, Any]:
    await client.send(NONSENSE)
    return await client.until("error")


def alone(fake: FakeRealtimeServer) -> SessionRecord:
    (record,) = fake.sessions
    return record


def handshake(target: str = "/v1/realtime?model=m", **headers: str) -> bytes:
    lines = [f"{name}: {value}" for name, value in {**UPGRADE, **headers}.items() if value]
    return "\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""]).encode()


def say_http(port: int, request: bytes) -> bytes:
    """What comes back to raw bytes, to its end."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as peer:
        peer.sendall(request)
        return b"".join(iter(lambda: peer.recv(65536), b""))


# Who is let in --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeRealtimeServer]:
    """One that takes any key, for tests that leave nothing behind."""
    with FakeRealtimeServer(Script("Hello!"), speed=math.inf) as server:
        yield server


@pytest.fixture(scope="module")
def guarded() -> Iterator[FakeRealtimeServer]:
    with FakeRealtimeServer(keys=["sk-one", "sk-two"]) as server:
        yield server


@pytest.mark.parametrize("authorization", ["Bearer any", "bearer sk", "Bearer  spaced ", "BEARER x y"])
def test_any_key_is_let_in(fake: FakeRealtimeServer, authorization: str) -> None:
    with speak(fake.url, additional_headers={"Authorization": authorization}) as socket:
        assert heard(socket)["type"] == "session.created"


REFUSED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "no key": {"additional_headers": {"Authorization": "Bearer "}},
    "a bare scheme": {"additional_headers": {"Authorization": "Bearer"}},
    "another scheme": {"additional_headers": {"Authorization": "Basic c2s6c2s="}},
    "an empty subprotocol": {"subprotocols": ["realtime", "openai-insecure-api-key."]},
}


@pytest.mark.parametrize("options", REFUSED.values(), ids=REFUSED)
def test_without_a_key_nobody_is_let_in(fake: FakeRealtimeServer, options: dict[str, Any]) -> None:
    sessions = len(fake.sessions)
    with pytest.raises(websockets.InvalidStatus) as refusal:
        speak(fake.url, **{"additional_headers": {}, **options})
    assert refusal.value.response.status_code == 401
    assert len(fake.sessions) == sessions


@pytest.mark.parametrize("key", ["sk-one", "sk-two"])
def test_a_key_of_the_list_is_let_in(guarded: FakeRealtimeServer, key: str) -> None:
    with speak(guarded.url, additional_headers={"Authorization": f"Bearer {key}"}) as socket:
        assert heard(socket)["type"] == "session.created"
    with speak(
        guarded.url, additional_headers={}, subprotocols=["realtime", f"openai-insecure-api-key.{key}"]
    ) as socket:
        assert heard(socket)["type"] == "session.created"


@pytest.mark.parametrize("key", ["sk-three", "sk-on", "sk-onex", "SK-ONE", "sk-one,sk-two", "\xff\xfe"])
def test_no_other_key_is_let_in_and_none_is_shown(guarded: FakeRealtimeServer, key: str) -> None:
    request = handshake(Authorization=f"Bearer {key}").decode().encode("latin-1")
    head, _, body = say_http(guarded.port, request).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401 ")
    error = json.loads(body)["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")
    assert "sk-" not in str(error).lower()
    assert guarded.sessions == [record for record in guarded.sessions if record.frames]


def test_nobody_is_let_in_where_there_are_no_keys() -> None:
    with FakeRealtimeServer(keys=[]) as fake, pytest.raises(websockets.InvalidStatus):
        speak(fake.url)


def test_the_sdk_is_told_that_its_key_is_wrong(guarded: FakeRealtimeServer) -> None:
    openai = OpenAI(api_key="sk-wrong", base_url=guarded.base_url)
    with openai, pytest.raises(websockets.InvalidStatus) as refusal:
        openai.realtime.connect(model="gpt-realtime").enter()
    assert refusal.value.response.status_code == 401


def test_a_browser_comes_in_by_subprotocols(guarded: FakeRealtimeServer) -> None:
    def offer(*names: Any) -> ClientConnection:
        return speak(guarded.url, additional_headers={"Origin": "https://x.example"}, subprotocols=names)

    with offer("realtime", "openai-insecure-api-key.sk-two", "openai-organization.org-1") as socket:
        assert socket.subprotocol == "realtime"
        assert heard(socket)["type"] == "session.created"
    with offer("openai-insecure-api-key.sk-one", "realtime") as socket:
        assert socket.subprotocol == "realtime"
    with offer("openai-insecure-api-key.sk-one") as socket:
        assert socket.subprotocol is None
    with pytest.raises(websockets.InvalidStatus) as refusal:
        offer("realtime", "openai-insecure-api-key.sk-wrong")
    assert refusal.value.response.status_code == 401


def test_a_subprotocol_that_was_not_offered_is_not_chosen(fake: FakeRealtimeServer) -> None:
    with speak(fake.url) as socket:
        assert socket.subprotocol is None


# What is where --------------------------------------------------------------------------------


def dismissal(fake: FakeRealtimeServer, target: str, **options: Any) -> tuple[Any, tuple[int, str]]:
    """The only event that comes, and the end."""
    sessions = len(fake.sessions)
    with speak(f"ws://127.0.0.1:{fake.port}{target}", **options) as socket:
        event = rtproto.decode_server(json.dumps(heard(socket)), strict=True)
        assert isinstance(event, server.Error)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            socket.recv(timeout=SECONDS)
        assert len(fake.sessions) == sessions
        assert closed.value.rcvd
        return event.error, (closed.value.rcvd.code, closed.value.rcvd.reason)


@pytest.mark.parametrize("query", ["", "?", "?model=", "?models=gpt-realtime", "?intent=conversation"])
def test_without_a_model_there_is_no_session(fake: FakeRealtimeServer, query: str) -> None:
    error, end = dismissal(fake, f"/v1/realtime{query}")
    assert (error.type, error.code) == ("invalid_request_error", "missing_model")
    assert end == (4000, "invalid_request_error.missing_model")


def test_a_translation_needs_a_model_too(fake: FakeRealtimeServer) -> None:
    error, _ = dismissal(fake, "/v1/realtime/translations")
    assert error.code == "missing_model"


BETA: dict[str, dict[str, Any]] = {
    "header": {"additional_headers": {**KEY, "OpenAI-Beta": "realtime=v1"}},
    "one of several": {"additional_headers": {**KEY, "OpenAI-Beta": "assistants=v2, realtime=v1"}},
    "subprotocol": {"subprotocols": ["realtime", "openai-beta.realtime-v1"]},
}


@pytest.mark.parametrize("options", BETA.values(), ids=BETA)
def test_the_beta_is_over(fake: FakeRealtimeServer, options: dict[str, Any]) -> None:
    error, end = dismissal(fake, "/v1/realtime?model=gpt-4o-realtime-preview", **options)
    assert error.code == "beta_api_shape_disabled"
    assert end == (4000, "invalid_request_error.beta_api_shape_disabled")


def test_another_beta_is_no_matter(fake: FakeRealtimeServer) -> None:
    with speak(fake.url, additional_headers={**KEY, "OpenAI-Beta": "assistants=v2"}) as socket:
        assert heard(socket)["type"] == "session.created"


@pytest.mark.parametrize(
    ("target", "model"),
    [
        ("/v1/realtime?model=gpt-realtime-mini", "gpt-realtime-mini"),
        ("/v1/realtime?model=a&model=b", "b"),
        ("/v1/realtime?model=a%2Fb%20c", "a/b c"),
        ("/v1/realtime/?model=m", "m"),
        ("/realtime?model=m", "m"),
        ("/openai/v1/realtime?api-version=1&model=m", "m"),
        ("/v1/realtime?call_id=rtc_1", "gpt-realtime"),
        ("/v1/realtime?call_id=rtc_1&model=m", "m"),
    ],
)
def test_where_a_conversation_is(fake: FakeRealtimeServer, target: str, model: str) -> None:
    with speak(f"ws://127.0.0.1:{fake.port}{target}") as socket:
        created = rtproto.decode_server(json.dumps(heard(socket)), strict=True)
    assert isinstance(created, server.SessionCreated)
    assert created.session.type == "realtime"
    assert created.session.model == model


def test_where_the_other_sessions_are(fake: FakeRealtimeServer) -> None:
    for url in (fake.transcription_url, fake.transcription_url + "&model=m"):
        with speak(url) as socket:
            created = rtproto.decode_server(json.dumps(heard(socket)), strict=True)
            assert isinstance(created, server.SessionCreated)
            assert created.session.type == "transcription"
    with speak(fake.translation_url) as socket:
        created = rtproto.translation_server_codec.decode(json.dumps(heard(socket)), strict=True)
        assert isinstance(created, translation.SessionCreated)
        assert created.session.model == "gpt-realtime-translate"
    last = fake.sessions[-1]
    assert [event.type for event in last.sent(translation.SessionCreated)] == ["session.created"]
    assert last.frames[0].surface == "translation"
    assert fake.sessions[-2].frames[0].surface == "transcription"


@pytest.mark.parametrize("path", ["/", "", "/v1", "/v1/realtimes", "/v1/realtime/sessions", "/v1/x", "//["])
def test_elsewhere_there_is_nothing(fake: FakeRealtimeServer, path: str) -> None:
    assert say_http(fake.port, handshake(f"{path}?model=gpt-realtime")).startswith(b"HTTP/1.1 404 ")


def test_a_health_check_needs_no_key(fake: FakeRealtimeServer) -> None:
    for path in ("/healthz", "/healthz?probe=1"):
        with urllib.request.urlopen(f"http://127.0.0.1:{fake.port}{path}", timeout=SECONDS) as answer:
            assert (answer.status, answer.read()) == (200, b"ok\n")


STRAY = {
    "no upgrade": handshake(Upgrade="", Connection=""),
    "no key of the handshake's": handshake(**{"Sec-WebSocket-Key": ""}),
    "an unknown version": handshake(**{"Sec-WebSocket-Version": "99"}),
    "POST": handshake().replace(b"GET", b"POST"),
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "an endless header": b"GET / HTTP/1.1\r\nx: " + b"x" * 20_000,
}


@pytest.mark.parametrize("request_", STRAY.values(), ids=STRAY)
def test_what_is_no_websocket_is_no_session(request_: bytes) -> None:
    """And leaves nothing that the server would wait for when it stops."""
    with FakeRealtimeServer() as fake:
        answer = say_http(fake.port, request_)
        assert not answer or answer.startswith(b"HTTP/1.1 400 ")
        begun = time.monotonic()
    assert time.monotonic() - begun < PROMPT
    assert fake.sessions == []


def test_firefox_is_let_in(fake: FakeRealtimeServer) -> None:
    """It asks for ``Connection: keep-alive, Upgrade``, which picows would not take."""
    with socket.create_connection(("127.0.0.1", fake.port), timeout=SECONDS) as peer:
        peer.sendall(handshake(Connection="keep-alive, Upgrade"))
        assert peer.recv(65536).startswith(b"HTTP/1.1 101 ")


# What is said ---------------------------------------------------------------------------------


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def item(text: str) -> str:
    return f'{{"type":"conversation.item.create","item":{text}}}'


BAD = {
    "empty": "",
    "a brace": "{",
    "a string": '"session.update"',
    "a list": "[1]",
    "no type": "{}",
    "a number for a type": '{"type":1}',
    "null for a type": '{"type":null}',
    "a NUL": '{"type":"\\u0000"}',
    "NaN": '{"type":"session.update","session":NaN}',
    "a mark before it": "\ufeff{}",
    "nested lists": "[" * 100_000 + "]" * 100_000,
    "nested objects": nested(100_000),
    "nested in an unknown event": '{"type":"x","x":' + nested(100_000) + "}",
    "nested in an event": '{"type":"session.update","session":' + nested(100_000) + "}",
    "nested in an item": item(nested(100_000)),
    "not UTF-8": b'{"type":"session.update","event_id":"\xff\xfe"}',
    "not UTF-8 at all": b"\xc3(\x80\xf8",
    "half a pair for a type": '{"type":"\\ud800"}',
    "half a pair for a key": '{"type":"response.cancel","\\ud800":1}',
    "half a pair for an id": '{"type":"conversation.item.delete","event_id":"\\ud800","item_id":"\\udfff"}',
    "half a pair for audio": '{"type":"input_audio_buffer.append","audio":"\\ud800"}',
    "endless digits": '{"type":"conversation.item.truncate","audio_end_ms":%s}' % ("9" * 5000),
}


@pytest.mark.parametrize("kind", ["url", "transcription_url", "translation_url"])
def test_no_text_ends_a_session(fake: FakeRealtimeServer, kind: str) -> None:
    with speak(getattr(fake, kind)) as socket:
        heard(socket)
        for name, text in BAD.items():
            socket.send(text, text=True)
            error = heard(socket)
            assert error["type"] == "error", name
            assert error["error"]["type"] == "invalid_request_error", name
        socket.send(json.dumps(NONSENSE))
        assert heard(socket)["error"]["event_id"] == "nonsense"


def test_20_megabytes_end_no_session() -> None:
    async def conversation(client: Client) -> None:
        for big in ("x" * 20_000_000, '{"type":"%s"}' % ("x" * 20_000_000)):
            await client.socket.send(big)
            assert (await client.until("error"))["error"]["code"] in {"invalid_json", "invalid_value"}
        assert (await client.ask(said("x" * 20_000_000)))["type"] == "conversation.item.done"

    async def run() -> None:
        async with FakeRealtimeServer(record=False) as fake, connected(fake.url, max_size=None) as client:
            await conversation(client)

    asyncio.run(run())


def test_a_binary_message_is_refused_and_ends_nothing() -> None:
    async def conversation(client: Client) -> None:
        await client.socket.send(b"\x00\x01")
        assert (await client.until("error"))["error"]["code"] == "invalid_event"
        await client.send(WRITTEN)
        await client.until("response.done")

    fake = talk(conversation, "Hello!")
    assert [event.type for event in fake.received()] == ["response.create"]


def test_a_ping_is_answered_and_compression_declined() -> None:
    async def conversation(client: Client) -> None:
        async with asyncio.timeout(SECONDS):
            await (await client.socket.ping(b"are you there?"))
        assert client.socket.response
        assert "Sec-WebSocket-Extensions" not in client.socket.response.headers
        assert client.socket.request
        assert "permessage-deflate" in client.socket.request.headers["Sec-WebSocket-Extensions"]
        await client.send(WRITTEN)
        await client.until("response.done")

    talk(conversation, "Hello!")


LIMIT = 1000


def in_pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "in fragments"])
@pytest.mark.parametrize("size", [LIMIT + 1, 100 * LIMIT])
def test_too_long_a_message_closes_its_connection(is_cut: bool, size: int) -> None:
    text = json.dumps(said("x")) + " " * size
    text = text[:size]

    async def conversation(client: Client) -> None:
        async with connected(fake.url) as other:
            with suppress(websockets.ConnectionClosed):  # while we are still sending
                await client.socket.send(in_pieces(text, 100) if is_cut else text)
            assert (await client.closed())[0] == 1009
            assert await refused(other)  # nobody else is concerned

    async def run() -> None:
        async with fake, connected(fake.url) as client:
            await conversation(client)

    fake = FakeRealtimeServer(max_message_bytes=LIMIT)
    asyncio.run(run())
    first = fake.sessions[0]
    assert first.end is not None
    assert first.end[0] == 1009
    assert first.received() == []  # it is not answered either
    assert [event.type for event in first.sent()] == ["session.created"]


@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "in fragments"])
def test_the_longest_message_is_taken(is_cut: bool) -> None:
    text = json.dumps(NONSENSE).ljust(LIMIT)

    async def conversation(client: Client) -> None:
        await client.socket.send(in_pieces(text, 400) if is_cut else text)
        assert (await client.until("error"))["error"]["event_id"] == "nonsense"

    fake = talk(conversation, max_message_bytes=LIMIT)
    assert alone(fake).end == (1000, "")


# How it ends ----------------------------------------------------------------------------------


def test_a_client_that_vanishes_is_missed() -> None:
    async def conversation(client: Client) -> None:
        await client.send({"type": "response.create"})
        await client.until("response.created")
        client.socket.transport.abort()
        await soon(lambda: alone(fake).end)

    async def run() -> None:
        async with fake, connected(fake.url) as client:
            await conversation(client)
            assert alone(fake).end == (1006, "")

    fake = FakeRealtimeServer(Script(Say("Long.", tone(60_000))))
    asyncio.run(run())


@pytest.mark.parametrize("end", [(1000, ""), (1000, "bye"), (1001, ""), (3000, "é" * 61), (4999, "x" * 123)])
def test_a_close_is_answered_in_kind(fake: FakeRealtimeServer, end: tuple[int, str]) -> None:
    with speak(fake.url) as socket:
        heard(socket)
        record = fake.sessions[-1]
        assert record.end is None
        socket.close(*end)
        assert socket.protocol.close_rcvd
        assert (socket.protocol.close_rcvd.code, socket.protocol.close_rcvd.reason) == end
    until(lambda: record.end)
    assert record.end == end


@contextmanager
def leaving_nothing() -> Iterator[None]:
    """There are as many threads and file descriptors as before."""
    threads = set(threading.enumerate())
    files = _files()
    yield
    assert set(threading.enumerate()) <= threads
    assert _files() <= files


def _files() -> int:
    gc.collect()
    folder = Path("/proc/self/fd")
    return len([*folder.iterdir()]) if folder.exists() else 0


def test_a_server_in_a_thread_closes_its_clients_and_leaves_nothing() -> None:
    with FakeRealtimeServer():  # what is made once, is made
        pass
    with leaving_nothing():
        with FakeRealtimeServer(Script(Say("Long.", tone(60_000)))) as fake:
            sockets = [speak(fake.url) for _ in range(3)]
            sockets[0].send('{"type":"response.create"}')
            fake.wait_for("response.create")
            port, begun = fake.port, time.monotonic()
        assert time.monotonic() - begun < PROMPT
        assert [end_of(socket) for socket in sockets] == [(1001, "going away")] * 3
        assert [record.end for record in fake.sessions] == [(1001, "going away")] * 3
        for each in sockets:
            each.close()
            each.recv_events_thread.join(SECONDS)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=SECONDS)


@LOOPS
def test_a_server_in_a_loop_closes_its_clients_and_leaves_nothing(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def run() -> None:
        tasks = asyncio.all_tasks()
        fake = await FakeRealtimeServer(Script(Say("Long.", tone(60_000)))).__aenter__()
        quiet: Any = {"ping_interval": None}  # else the client has a task for that
        async with connected(fake.url, **quiet) as one, connected(fake.url, **quiet) as other:
            await one.send({"type": "response.create"})
            await one.until("response.created")
            await fake.__aexit__(None, None, None)
            assert await one.closed() == await other.closed() == (1001, "going away")
        assert asyncio.all_tasks() == tasks
        assert [record.end for record in fake.sessions] == [(1001, "going away")] * 2

    with leaving_nothing(), asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


@LOOPS
def test_who_has_asked_for_nothing_yet_is_not_waited_for(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def run() -> None:
        async with FakeRealtimeServer() as fake:
            reader, writer = await asyncio.open_connection("127.0.0.1", fake.port)
            await asyncio.to_thread(say_http, fake.port, b"GET /healthz HTTP/1.1\r\n\r\n")  # both came in
            begun = time.monotonic()
        assert time.monotonic() - begun < PROMPT
        async with asyncio.timeout(SECONDS):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


def mute(port: int) -> socket.socket:
    """A client that came in, and answers no close."""
    peer = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    peer.sendall(handshake())
    heard = b""
    while not heard.endswith(b"}"):  # the answer to the handshake, and session.created
        heard += peer.recv(65536)
    return peer


def test_who_answers_no_close_is_not_waited_for_for_ever() -> None:
    with FakeRealtimeServer() as fake:
        peer = mute(fake.port)
        begun = time.monotonic()
    with peer:
        assert 0.5 < time.monotonic() - begun < 5
        assert alone(fake).end == (1001, "going away")
        assert peer.recv(65536) == b"\x88\x0c\x03\xe9going away"


def test_who_comes_while_it_stops_does_not_keep_it() -> None:
    """The one that answers no close makes the stop last long enough for another to come in."""

    async def run() -> None:
        fake = FakeRealtimeServer()
        async with asyncio.timeout(SECONDS), fake:
            reader, writer = await asyncio.open_connection("127.0.0.1", fake.port)
            peer = await asyncio.to_thread(mute, fake.port)
            stopping = asyncio.ensure_future(fake.__aexit__(None, None, None))
            await asyncio.sleep(0.1)
            writer.write(handshake())
            await reader.readuntil(b"\r\n\r\n")
            await stopping
            peer.close()
            writer.close()
        assert all(record.end for record in fake.sessions)

    asyncio.run(run())


# How it begins --------------------------------------------------------------------------------


def test_a_port_in_use_is_told() -> None:
    async def again(port: int) -> None:
        async with FakeRealtimeServer(port=port):
            raise AssertionError

    with FakeRealtimeServer() as fake:
        again_here = FakeRealtimeServer(port=fake.port)
        with leaving_nothing(), pytest.raises(OSError, match="address already in use"), again_here:
            raise AssertionError
        with pytest.raises(OSError, match="address already in use"):
            asyncio.run(again(fake.port))
        with speak(fake.url) as socket:
            assert heard(socket)["type"] == "session.created"


@pytest.mark.parametrize("options", [{"port": 70_000}, {"host": "a..b"}], ids=["port", "host"])
def test_an_impossible_address_is_told(options: Any) -> None:
    with pytest.raises((OverflowError, UnicodeError)), FakeRealtimeServer(**options):
        raise AssertionError


def test_it_is_somewhere_only_while_it_is_open() -> None:
    fake = FakeRealtimeServer()
    for _ in range(2):
        for ask in (lambda: fake.port, lambda: fake.url, lambda: fake.base_url):
            with pytest.raises(RuntimeError, match="not open"):
                ask()
        with fake:
            assert fake.base_url == f"http://127.0.0.1:{fake.port}/v1"
            assert fake.url == f"ws://127.0.0.1:{fake.port}/v1/realtime?model=gpt-realtime"


def test_one_server_can_be_opened_again_and_two_at_once() -> None:
    first, second = FakeRealtimeServer(Script("One."), speed=math.inf), FakeRealtimeServer(speed=math.inf)
    for _ in range(2):
        with first, second:
            assert first.port != second.port
            with speak(first.url) as one, speak(second.url) as other:
                for socket in (one, other):
                    socket.send(json.dumps(WRITTEN))
                assert len(first.wait_for("response.create", len(first.sessions))) == len(first.sessions)
                second.wait_for("response.create", len(second.sessions))
    assert len(first.sessions) == len(second.sessions) == 2


def test_it_listens_at_the_port_that_it_is_told() -> None:
    with FakeRealtimeServer() as fake:
        port = fake.port
    with FakeRealtimeServer(port=port) as fake, speak(fake.url) as socket:
        assert fake.port == port
        assert heard(socket)["type"] == "session.created"


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 here")
def test_ipv6() -> None:
    with FakeRealtimeServer(host="::1", speed=math.inf) as fake:
        assert fake.base_url == f"http://[::1]:{fake.port}/v1"
        with speak(fake.url) as socket:
            assert heard(socket)["type"] == "session.created"
        openai = OpenAI(api_key="any", base_url=fake.base_url)
        with openai, openai.realtime.connect(model="m") as connection:
            assert connection.recv().type == "session.created"


# What it heard --------------------------------------------------------------------------------


def test_what_was_said_is_there_typed() -> None:
    async def conversation(client: Client) -> None:
        await client.ask(said("Hi.", event_id="mine"))
        await client.send(WRITTEN)
        await client.until("response.done")
        await refused(client)
        await client.socket.send("{")
        await client.until("error")
        shown.extend(client.seen)

    shown: list[Any] = []
    fake = talk(conversation, "Hello!")
    record = alone(fake)
    assert [event.type for event in fake.received()] == [
        "conversation.item.create",
        "response.create",
        "nonsense",
    ]
    (created,) = fake.received(client.ConversationItemCreate)
    assert created.event_id == "mine"
    assert created == fake.received("conversation.item.create")[0] == record.received()[0]
    (unknown,) = record.received("nonsense")
    assert isinstance(unknown, rtproto.Unknown)
    assert fake.received("response.cancel") == fake.received(client.ResponseCancel) == []
    assert [event.type for event in record.sent()] == [event["type"] for event in shown]
    (done,) = record.sent(server.ResponseDone)
    assert done.response.status == "completed"
    for ask, event in ((record.sent, client.ResponseCreate), (record.received, "response.done")):
        with pytest.raises(ValueError, match="sends response"):
            ask(event)  # type: ignore[arg-type]
    assert b"{" in [frame.raw for frame in record.frames]  # what is no event was said, too
    assert [frame.line for frame in record.frames] == [*range(1, len(record.frames) + 1)]
    assert record.session.conversation.id  # type: ignore[attr-defined]


def test_a_record_becomes_a_capture(tmp_path: Path) -> None:
    async def conversation(client: Client) -> None:
        await refused(client)

    before = time.time()
    for kind in ("url", "transcription_url", "translation_url"):
        record = alone(talk(conversation, kind=kind))
        for name in (f"{kind}.jsonl", f"{kind}.jsonl.gz"):
            record.save(tmp_path / name)
            found = capture.load(tmp_path / name)
            assert [frame.raw for frame in found] == [frame.raw for frame in record.frames]
            assert [(f.direction, f.surface) for f in found] == [
                (f.direction, f.surface) for f in record.frames
            ]
            times = [frame.timestamp or 0 for frame in found]
            assert times == pytest.approx([frame.timestamp for frame in record.frames], abs=0.001)
            assert before <= times[0] + 0.001
            assert times == sorted(times)
            loaded = Recording.load(tmp_path / name)
            assert [event.type for event in loaded.sent()] == ["session.created", "error"]
            assert len(loaded.received("nonsense")) == 1
    assert (tmp_path / "url.jsonl.gz").read_bytes()[:2] == b"\x1f\x8b"
    with pytest.raises(FileExistsError):
        record.save(tmp_path / "url.jsonl")


def test_audio_may_be_left_out_of_a_capture(tmp_path: Path) -> None:
    async def conversation(client: Client) -> None:
        await client.send({"type": "response.create"})
        await client.until("response.done")

    record = alone(talk(conversation, Say("Hum.", tone(2000))))
    for name, is_heard in (("all.jsonl", True), ("less.jsonl", False)):
        record.save(tmp_path / name, elide_audio=not is_heard)
        kept = Recording.load(tmp_path / name)
        assert len(kept.frames) == len(record.frames)
        deltas = kept.sent(server.ResponseOutputAudioDelta)
        assert any(any(rtproto.pcm.payload(delta)) for delta in deltas) == is_heard


def test_who_sent_what_need_not_be_known(tmp_path: Path) -> None:
    (tmp_path / "unsaid.jsonl").write_text('{"raw":"{\\"type\\":\\"response.create\\"}"}\n')
    recording = Recording.load(tmp_path / "unsaid.jsonl")
    assert (recording.sent(), recording.received()) == ([], [client.ResponseCreate()])
    recording.save(tmp_path / "again.jsonl")
    assert [frame.raw for frame in capture.load(tmp_path / "again.jsonl")] == [b'{"type":"response.create"}']


def test_nothing_is_kept_that_was_not_to_be() -> None:
    async def conversation(client: Client) -> None:
        await client.send(WRITTEN)
        await client.until("response.done")

    fake = talk(conversation, "Hello!", record=False)
    assert fake.sessions == fake.received() == []


def test_waiting_for_what_comes() -> None:
    with FakeRealtimeServer(speed=math.inf) as fake, speak(fake.url) as socket:
        alarm = threading.Timer(0.2, lambda: [socket.send(json.dumps(WRITTEN)) for _ in range(2)])
        alarm.start()
        begun = time.monotonic()
        assert len(fake.wait_for(client.ResponseCreate, 2, timeout=SECONDS)) == 2
        assert time.monotonic() - begun < SECONDS / 2
        assert [event.type for event in fake.wait_for("response.create")] == ["response.create"] * 2
        alarm.join()


def test_waiting_in_vain_names_what_came_and_shows_no_payload() -> None:
    with FakeRealtimeServer(speed=math.inf) as fake, speak(fake.url) as socket:
        with pytest.raises(TimeoutError, match=r"^0 of 1 response\.create; came: nothing$"):
            fake.wait_for("response.create", timeout=0.01)
        for text in (json.dumps(said("a secret")), '{"type":"%s","secret":1}' % ("x" * 1000), "secret", "[]"):
            socket.send(text)
        socket.send(json.dumps(WRITTEN))
        fake.wait_for("response.create", timeout=SECONDS)
        begun = time.monotonic()
        with pytest.raises(TimeoutError) as vain:
            fake.wait_for(client.ResponseCreate, 2, timeout=0.05)
        assert 0.05 <= time.monotonic() - begun < SECONDS
        assert str(vain.value) == (
            "1 of 2 response.create; came: "
            f"1 conversation.item.create, 1 {'x' * 80}…, 2 no event, 1 response.create"
        )


def test_two_clients_have_a_session_each() -> None:
    def answer(turn: Turn) -> str:
        return f"{turn.text} {turn.number}"

    async def run() -> None:
        async with fake, connected(fake.url) as one, connected(f"{fake.url}-mini") as other:
            for client, name in ((one, "one"), (other, "other")):
                await client.ask(said(name))
            for client in (one, other, other):
                await client.send(WRITTEN)
                await client.until("response.done")

    fake = FakeRealtimeServer(Script(answer), speed=math.inf)
    asyncio.run(run())
    first, second = fake.sessions
    assert [event.text for event in first.sent(server.ResponseOutputTextDone)] == ["one 0"]
    assert [event.text for event in second.sent(server.ResponseOutputTextDone)] == ["other 0", "other 1"]
    assert len(fake.received("conversation.item.create")) == 2
    created = [event.session for record in fake.sessions for event in record.sent(server.SessionCreated)]
    assert len({session.id for session in created}) == 2
    assert [session.model for session in created] == ["gpt-realtime", "gpt-realtime-mini"]


def test_a_script_may_be_exchanged_for_the_next_session() -> None:
    async def run() -> None:
        async with fake:
            for text in ("One.", "Two."):
                fake.script = Script(text)
                async with connected(fake.url) as client:
                    await client.send(WRITTEN)
                    await client.until("response.done")

    fake = FakeRealtimeServer(speed=math.inf)
    asyncio.run(run())
    done = [record.sent(server.ResponseOutputTextDone) for record in fake.sessions]
    assert [event.text for (event,) in done] == ["One.", "Two."]


# How fast -------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_audio_comes_as_fast_as_it_is_spoken(speed: float) -> None:
    async def conversation(client: Client) -> None:
        await client.send({"type": "response.create"})
        await client.until("response.output_audio.delta")
        begun = time.monotonic()
        await client.until("response.output_audio.done")
        took.append(time.monotonic() - begun)

    took: list[float] = []
    talk(conversation, Say("", tone(1000)), speed=speed)
    assert 0.95 / speed < took[0] < 0.95 / speed + 2


def test_a_long_reply_leaves_the_event_loop_to_others_now_and_then() -> None:
    async def run() -> None:
        async with fake, connected(fake.url) as client:
            await client.send(WRITTEN)
            done = asyncio.ensure_future(client.until("response.done"))
            while not done.done():
                made.append(len(alone(fake).frames))
                await asyncio.sleep(0)

    made: list[int] = []
    fake = FakeRealtimeServer(Script("word " * 2000), speed=math.inf)
    asyncio.run(run())
    assert made[-1] > 2000
    assert max(after - before for before, after in pairwise(made)) < 100


LONG = tone(300_000)


@LOOPS
def test_who_does_not_read_holds_up_nothing_but_itself(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """Of five minutes of speech, only what lies in the sockets' buffers is made; the rest when it is read."""

    async def run() -> None:
        fake = FakeRealtimeServer(Script(Say("Long.", LONG)), speed=math.inf)
        async with fake, connected(fake.url) as other:
            raw = socket.create_connection(("127.0.0.1", fake.port), timeout=SECONDS)
            raw.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=raw)
            writer.write(handshake())
            await reader.readuntil(b"\r\n\r\n")
            writer.write(masked(b'{"type":"response.create"}'))
            await soon(lambda: len(fake.sessions) == 2 and fake.sessions[1].received())
            frames = fake.sessions[1].frames
            made = -1
            while made < len(frames):  # until it stands still
                made = len(frames)
                await asyncio.sleep(0.2)
            worked = time.process_time()
            await asyncio.sleep(0.4)
            assert time.process_time() - worked < 0.3  # nor does it run in circles
            for _ in range(40):  # what the client says meanwhile does not push more out
                writer.write(masked(b'{"type":"nonsense"}'))
            await refused(other)
            assert len(frames) - 40 <= made < len(LONG.samples) / 4800 * 0.7
            async with asyncio.timeout(SECONDS):
                audio = await audio_of(reader)
            assert audio == LONG.samples
            writer.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


def masked(data: bytes) -> bytes:
    """A client's text frame."""
    assert len(data) < 126
    return bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data


async def audio_of(reader: asyncio.StreamReader) -> bytes:
    """What is spoken, until the response is done."""
    audio = bytearray()
    while True:
        event = rtproto.decode_server(await payload(reader))
        if isinstance(event, server.ResponseOutputAudioDelta):
            audio += rtproto.pcm.payload(event)
        elif isinstance(event, server.ResponseDone):
            assert event.response.status == "completed"
            return bytes(audio)


async def payload(reader: asyncio.StreamReader) -> bytes:
    _, length = await reader.readexactly(2)
    if length >= 126:
        length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
    return await reader.readexactly(length)


# A script that fails --------------------------------------------------------------------------


def fail(turn: Turn) -> str:
    raise LookupError("no such reply")


FAILING = {
    "at once": fail,
    "later": Reply([Say("One."), Call("f", {"a": object()})]),
    "with no reply": lambda turn: None,
}


@pytest.mark.parametrize("reply", FAILING.values(), ids=FAILING)
def test_a_script_that_fails_ends_its_session_and_no_other(
    reply: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that waited for the rest would wait for ever."""

    async def run() -> None:
        async with fake, connected(fake.url) as client, connected(fake.url) as other:
            await client.send(WRITTEN)
            assert (await client.closed())[0] == 1011
            assert await refused(other)

    fake = FakeRealtimeServer(Script(reply), speed=20)
    with pytest.raises((LookupError, TypeError)):  # again, when the server is left
        asyncio.run(run())
    assert "Error" in caplog.text  # and is told of at once


def test_a_test_that_fails_anyway_fails_for_its_own_reason() -> None:
    async def run() -> None:
        async with fake, connected(fake.url) as client:
            await client.send(WRITTEN)
            assert (await client.closed())[0] == 1011
            raise ZeroDivisionError

    fake = FakeRealtimeServer(Script(fail))
    with pytest.raises(ZeroDivisionError):
        asyncio.run(run())


def test_the_servers_own_loop_is_not_blocked() -> None:
    async def run() -> None:
        async with FakeRealtimeServer() as fake:
            with pytest.raises(RuntimeError, match="to_thread"):
                fake.wait_for("response.create")

    asyncio.run(run())


def test_it_says_where_it_is() -> None:
    fake = FakeRealtimeServer()
    assert repr(fake) == "<FakeRealtimeServer closed, 0 sessions>"
    with fake:
        assert fake.base_url in repr(fake)


def test_it_is_opened_once_at_a_time() -> None:
    fake = FakeRealtimeServer(record=False)
    with fake:
        with pytest.raises(RuntimeError, match="open already"):
            fake.__enter__()
        with pytest.raises(RuntimeError, match="record=False"):
            fake.wait_for("response.create")
