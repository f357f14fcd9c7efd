"""A replay waits its turn, keeps its pace, changes no byte, and goes on without what does not come."""

import asyncio
import base64
import json
import math
import re
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as ws_connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as ws_serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol
from websockets.utils import accept_key

from rtproto import _sockets, capture
from rtproto.capture import Direction, Record
from rtproto.testing import replay
from rtproto.testing.replay import Outcome, Replay, Server, Source, play, serve
from tests.conftest import HERE

T = TypeVar("T")
SESSION = HERE.parent / "examples" / "session.jsonl"
QUIET = 0.2  # seconds in which nothing must come
BOUND = 30  # seconds that no test takes


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, BOUND))


# Captures -------------------------------------------------------------------------------------


def frame(type: str, **fields: Any) -> bytes:
    return json.dumps({"type": type, **fields}).encode()


def append(size: int) -> bytes:
    return frame("input_audio_buffer.append", audio=base64.b64encode(bytes(size)).decode())


def told(side: Direction | None, raw: bytes | str, at: float | None = None) -> Record:
    return Record(1, frame(raw) if isinstance(raw, str) else raw, side, at)


def c(raw: bytes | str, at: float | None = None) -> Record:
    return told("client", raw, at)


def s(raw: bytes | str, at: float | None = None) -> Record:
    return told("server", raw, at)


def types(frames: Iterable[bytes]) -> list[str]:
    return [json.loads(raw)["type"] for raw in frames]


def raw_of(records: Iterable[Record], side: Direction) -> list[bytes]:
    return [record.raw for record in records if record.direction == side]


TWO_TURNS = [
    s("session.created"),
    c("response.create"),
    s(frame("response.created", n=1)),
    s(frame("response.done", n=1)),
    c("response.create"),
    s(frame("response.created", n=2)),
    s(frame("response.done", n=2)),
]


class Stage:
    """A replay and its peer, at a time of our own."""

    def __init__(self, records: Iterable[Record], side: Direction = "server", **options: float) -> None:
        self.replay = Replay(records, side, **{"speed": math.inf, **options})
        self.now = 1000.0

    def hear(self, *frames: bytes | str) -> list[str]:
        for raw in frames:
            self.replay.receive(frame(raw) if isinstance(raw, str) else raw, self.now)
        return types(self.replay.due(self.now))

    def after(self, seconds: float) -> list[str]:
        self.now += seconds
        return types(self.replay.due(self.now))


# Turns ----------------------------------------------------------------------------------------


def test_a_turn_begins_when_the_peers_has_come() -> None:
    stage = Stage(TWO_TURNS)
    assert stage.hear() == ["session.created"]
    assert stage.after(9) == []
    assert stage.hear("response.create") == ["response.created", "response.done"]
    assert not stage.replay.is_over
    assert stage.hear("response.create") == ["response.created", "response.done"]
    assert stage.replay.is_over
    assert (stage.replay.sent, stage.replay.received, stage.replay.missed) == (5, 2, [])


def test_the_client_waits_too_and_is_over_when_the_last_has_come() -> None:
    stage = Stage(TWO_TURNS, "client")
    assert stage.hear() == []
    assert stage.hear("session.created") == ["response.create"]
    assert stage.hear("response.created") == []
    assert stage.hear("response.done") == ["response.create"]
    assert stage.hear("response.created") == []
    assert not stage.replay.is_over
    assert stage.hear("response.done") == []
    assert stage.replay.is_over


def test_what_is_awaited_is_counted_since_the_session_began() -> None:
    stage = Stage(TWO_TURNS, "client")
    assert stage.hear("session.created", "response.done") == ["response.create", "response.create"]
    assert stage.hear("response.created", "session.created", "response.done") == []
    assert stage.replay.is_over
    assert stage.replay.missed == []


def test_the_peer_may_send_more_and_other_things() -> None:
    stage = Stage(TWO_TURNS)
    stage.hear()
    assert stage.hear("session.update", "x.unheard_of", append(10), b"no event", b"", b"\xff") == []
    assert stage.hear("response.create") == ["response.created", "response.done"]
    assert stage.replay.received == 7


def test_of_a_run_the_last_frame_that_is_no_piece_is_awaited() -> None:
    records = [
        c("response.create"),
        s("response.created"),
        s("response.output_item.added"),
        s("response.output_text.delta"),
        s("response.output_text.delta"),
        c("response.cancel"),
        s("response.done"),
    ]
    stage = Stage(records, "client")
    assert stage.hear() == ["response.create"]
    assert stage.hear("response.created", "response.output_text.delta", "response.output_text.delta") == []
    assert stage.hear("response.output_item.added") == ["response.cancel"]


def test_where_only_pieces_come_between_the_turn_goes_on() -> None:
    records = [
        s("response.created"),
        c(append(1)),
        s("response.output_audio.delta"),
        c(append(2)),
        s("response.done"),
    ]
    assert Stage(records, "client").hear("response.created") == ["input_audio_buffer.append"] * 2


AUDIO = [
    c(append(4800)),
    c(append(4800)),
    s("input_audio_buffer.speech_started"),
    c(append(4800)),
    s("input_audio_buffer.speech_stopped"),
]


@pytest.mark.parametrize("size", [100, 2880, 4800])
def test_audio_is_awaited_by_its_bytes_however_it_is_cut(size: int) -> None:
    stage = Stage(AUDIO)
    spoken: dict[str, int] = {}
    for number in range(14400 // size):
        for name in stage.hear(append(size)):
            spoken[name] = (number + 1) * size
    first, last = spoken.items()
    assert first[0] == "input_audio_buffer.speech_started"
    assert 9600 <= first[1] < 9600 + size
    assert last == ("input_audio_buffer.speech_stopped", 14400)
    assert stage.replay.is_over


def test_one_long_append_is_as_good_as_many() -> None:
    assert Stage(AUDIO).hear(append(14400)) == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
    ]


def test_an_append_without_audio_is_awaited_all_the_same() -> None:
    silent = frame("input_audio_buffer.append", audio="")
    broken = frame("input_audio_buffer.append", audio=5)
    for raw in (silent, broken):
        stage = Stage([c(raw), s("input_audio_buffer.committed")])
        assert stage.hear() == []
        assert stage.hear(raw) == ["input_audio_buffer.committed"]


def test_translation_audio_counts_too() -> None:
    raw = frame("session.input_audio_buffer.append", audio="AAAA" * 4)
    stage = Stage([c(raw), s("session.output_transcript.delta")])
    assert stage.hear(frame("session.input_audio_buffer.append", audio="AAAA" * 3)) == []
    assert stage.hear(frame("session.input_audio_buffer.append", audio="AAAA")) == [
        "session.output_transcript.delta"
    ]


def test_names_tell_who_sent_a_frame_that_does_not_say() -> None:
    names = ["session.created", "session.update", "x.unheard_of", "session.input_audio_buffer.append"]
    damage = [b'{"type":"session.update"', b"x"]
    records = [*(told(None, name) for name in names), *(told(None, raw) for raw in damage)]
    stage = Stage(records, patience=0)
    assert [*stage.hear(), *stage.after(0)] == ["session.created", "x.unheard_of"]
    assert stage.replay.missed == ["session.update", "session.input_audio_buffer.append"]


def test_a_broken_frame_is_sent_as_it_was_and_not_awaited() -> None:
    broken = b'{"type":"response.done","resp'
    records = [c("response.create"), s(broken), s(b"\xff"), c(b"[]")]
    stage = Stage(records)
    stage.replay.receive(frame("response.create"), 0)
    assert [*stage.replay.due(0)] == [broken, b"\xff"]
    assert stage.replay.is_over


@pytest.mark.parametrize("records", [[], [c("response.create")], [told(None, b"x")]])
def test_there_must_be_something_to_play(records: list[Record]) -> None:
    with pytest.raises(ValueError, match="holds no frame of the server's"):
        Replay(records, "server")


@pytest.mark.parametrize("options", [{"speed": 0}, {"speed": -1}, {"speed": math.nan}, {"patience": -1}])
def test_there_is_no_such_pace(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        Replay(TWO_TURNS, "server", **options)


# Patience -------------------------------------------------------------------------------------


def test_what_does_not_come_in_time_is_missed() -> None:
    stage = Stage(TWO_TURNS, patience=3)
    stage.hear()
    assert stage.after(2.9) == []
    assert stage.replay.wake() == 1003
    assert stage.after(0.1) == ["response.created", "response.done"]
    assert stage.after(3) == ["response.created", "response.done"]
    assert stage.replay.missed == ["response.create"] * 2
    assert stage.replay.is_over
    assert stage.replay.wake() == math.inf


def test_patience_lasts_as_long_as_it_took_in_the_capture() -> None:
    records = [s("session.created", 100), c("response.create", 160), s("response.done", 161)]
    stage = Stage(records, speed=2, patience=3)
    stage.hear()
    assert stage.after(32.9) == []
    assert stage.replay.missed == []
    assert stage.after(0.1) == []
    assert stage.replay.missed == ["response.create"]
    assert stage.after(0.5) == ["response.done"]
    hasty = Stage(records, patience=3)
    hasty.hear()
    assert hasty.after(3) == ["response.done"]


def test_patience_begins_anew_while_what_is_awaited_comes_nearer() -> None:
    stage = Stage([c(append(100)), c(append(100)), c("input_audio_buffer.commit"), s("x")], patience=3)
    stage.hear()
    for _ in range(2):
        assert stage.after(2) == []
        assert stage.hear(append(100)) == []
    assert stage.after(2) == []
    assert stage.hear(append(100), "response.create") == []  # more than there was brings nothing nearer
    assert stage.after(1) == ["x"]
    assert stage.replay.missed == ["input_audio_buffer.commit"]


def test_what_comes_too_late_brings_nothing_nearer() -> None:
    stage = Stage([c("a"), s("x"), c("b"), s("y")], patience=3)
    stage.hear()
    assert stage.after(3) == ["x"]
    assert stage.after(2) == []
    assert stage.hear("a") == []
    assert stage.after(1) == ["y"]
    assert stage.replay.missed == ["a", "b"]


def test_a_capture_that_ends_in_pieces_waits_for_them_and_misses_none() -> None:
    records = [
        c("response.create"),
        s("response.created"),
        s("response.output_text.delta"),
        s("response.output_text.delta"),
    ]
    stage = Stage(records, "client", patience=3)
    stage.hear("response.created", "response.output_text.delta")
    assert stage.replay.is_whole
    assert not stage.replay.is_over
    stage.hear("response.output_text.delta")
    assert stage.replay.is_over
    stage = Stage(records, "client", patience=3)
    stage.hear("response.output_text.delta")
    assert not stage.replay.is_whole
    stage.hear("response.created")
    stage.after(3)
    assert stage.replay.is_over
    assert stage.replay.missed == []


def test_pieces_before_the_end_are_not_waited_for() -> None:
    records = [c("a"), s("x.delta"), s("x.delta"), s("x.done")]
    stage = Stage(records, "client")
    stage.hear("x.delta", "x.done")
    assert stage.replay.is_over


# Pace -----------------------------------------------------------------------------------------


PACED = [
    s("a", 5.0),
    s("b", 5.5),
    c("response.create", 10.0),
    s("c", 10.25),
    s("d", 10.25),
    c("response.cancel", 10.5),  # no turn of theirs ends a gap of ours
    s("e", 12.0),
]


@pytest.mark.parametrize("speed", [1, 2, 0.5])
def test_frames_keep_the_recorded_gaps_from_the_moment_of_their_turn(speed: float) -> None:
    stage = Stage(PACED, speed=speed)
    assert stage.hear() == ["a"]
    assert stage.after(0.49 / speed) == []
    assert stage.after(0.02 / speed) == ["b"]
    stage.now += 3
    assert stage.hear("response.create") == []
    assert stage.replay.wake() == stage.now + 0.25 / speed
    assert stage.after(0.25 / speed) == ["c", "d"]
    assert stage.hear("response.cancel") == []
    assert stage.after(1.49 / speed) == []
    assert stage.after(0.02 / speed) == ["e"]
    assert stage.replay.is_over


def test_what_came_late_is_caught_up() -> None:
    stage = Stage([s("a", 1), s("b", 2), s("c", 3), s("d", 4)], speed=1)
    assert stage.hear() == ["a"]
    assert stage.after(2.5) == ["b", "c"]
    assert stage.after(0.5) == ["d"]


def test_without_timestamps_or_back_in_time_there_is_no_gap() -> None:
    assert Stage([s("a"), s("b", 7), s("c"), s("d", 3), s("e", 3)], speed=1).hear() == [*"abcde"]
    stage = Stage([s("a", 1), s("b"), s("c", 2), s("d", 1), s("e", 2)], speed=1)
    assert stage.hear() == ["a", "b"]
    assert stage.after(1) == ["c", "d"]
    assert stage.after(1) == ["e"]


def test_pieces_between_leave_our_gaps_as_they_were() -> None:
    records = [c("a", 10.0), s("x.delta", 10.9), c("b", 10.5), s("x.delta", 11.4), c("c", 11.0)]
    stage = Stage(records, "client", speed=1)
    assert stage.hear() == ["a"]
    assert stage.after(0.5) == ["b"]
    assert stage.after(0.5) == ["c"]


def test_one_may_stop_taking_frames_and_go_on_later() -> None:
    stage = Stage(TWO_TURNS)
    assert next(stage.replay.due(0)) == frame("session.created")
    assert stage.replay.wake() <= 0
    assert stage.hear("response.create") == ["response.created", "response.done"]


# Over sockets: our server ---------------------------------------------------------------------


async def everything(client: ClientConnection) -> list[bytes]:
    found: list[bytes] = []
    with suppress(ConnectionClosed):
        while True:
            found.append(await client.recv(decode=False))
    return found


async def nothing(client: ClientConnection | ServerConnection) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.recv(decode=False), QUIET)


async def said(client: ClientConnection | ServerConnection, *expected: bytes) -> None:
    assert [await client.recv(decode=False) for _ in expected] == [*expected]


def test_the_server_never_runs_ahead_of_its_client() -> None:
    async def work() -> list[Outcome]:
        async with serve(TWO_TURNS, speed=math.inf) as server, ws_connect(server.url) as client:
            await said(client, TWO_TURNS[0].raw)
            await nothing(client)
            await client.send(frame("session.update"), text=True)
            await nothing(client)
            await client.send(frame("response.create"), text=True)
            await said(client, TWO_TURNS[2].raw, TWO_TURNS[3].raw)
            await nothing(client)
            await client.send(frame("response.create"))  # as binary, which is as good
            await said(client, TWO_TURNS[5].raw, TWO_TURNS[6].raw)
            assert await everything(client) == []
            assert client.close_code == 1000
        return server.outcomes

    (outcome,) = run(work())
    assert outcome == Outcome(5, 3, (), 1000, is_whole=True)
    assert outcome.is_good


def test_it_is_played_anew_to_every_client_at_any_path_and_at_the_same_time() -> None:
    records = capture.load(SESSION)

    async def talk(url: str) -> list[bytes]:
        async with ws_connect(url) as client:
            for raw in raw_of(records, "client"):
                await client.send(raw, text=True)
            return await everything(client)

    async def work() -> list[Outcome]:
        notes: list[Outcome] = []
        async with serve(SESSION, speed=math.inf, told=notes.append) as server:
            base = server.url.removesuffix("/v1/realtime")
            urls = [server.url, f"{base}/", f"{base}/other?model=x"]
            heard = await asyncio.gather(*map(talk, urls))
            assert heard == [raw_of(records, "server")] * 3
            assert await talk(server.url) == heard[0]
        assert notes == server.outcomes
        return notes

    assert run(work()) == [Outcome(75, 15, (), 1000, is_whole=True)] * 4


def test_a_server_misses_what_does_not_come_and_ends_all_the_same() -> None:
    async def work() -> list[Outcome]:
        async with serve(TWO_TURNS, speed=math.inf, patience=0.1) as server, ws_connect(server.url) as client:
            assert await everything(client) == raw_of(TWO_TURNS, "server")
            assert client.close_code == 1000
        return server.outcomes

    (outcome,) = run(work())
    assert outcome == Outcome(5, 0, ("response.create", "response.create"), 1000, is_whole=True)
    assert not outcome.is_good


def test_a_client_that_leaves_early_is_told_by_its_code() -> None:
    async def work() -> list[Outcome]:
        async with serve(TWO_TURNS) as server:
            for code in (1000, 4001):
                async with ws_connect(server.url) as client:
                    await client.recv()
                    await client.close(code)
            async with ws_connect(server.url) as client:
                await client.recv()
                client.transport.abort()
                await client.wait_closed()
                await until(lambda: len(server.outcomes) == 3)
        return server.outcomes

    outcomes = run(work())
    assert outcomes == [Outcome(1, 0, (), code, is_whole=False) for code in (1000, 4001, 1006)]
    assert not any(outcome.is_good for outcome in outcomes)


async def until(is_so: Any) -> None:
    for _ in range(500):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never")


def test_stopping_the_server_ends_its_connections() -> None:
    async def work() -> list[Outcome]:
        async with serve(TWO_TURNS) as server:
            client = await ws_connect(server.url)
            await client.recv()
        assert await everything(client) == []
        assert client.close_code == 1001
        return server.outcomes

    assert run(work()) == [Outcome(1, 0, (), 1001, is_whole=False)]


@pytest.mark.parametrize("size", [1600, 7200])
def test_a_live_client_may_cut_its_audio_as_it_likes(size: int) -> None:
    async def work() -> list[Outcome]:
        async with serve(AUDIO, speed=math.inf) as server, ws_connect(server.url) as client:
            for _ in range(14400 // size):
                await client.send(append(size), text=True)
            assert await everything(client) == raw_of(AUDIO, "server")
        return server.outcomes

    assert run(work()) == [Outcome(2, 14400 // size, (), 1000, is_whole=True)]


def test_the_recorded_pace_is_kept() -> None:
    records = [s("a", 1.0), s("b", 1.2), c("c", 1.3), s("d", 1.5)]

    async def work() -> None:
        loop = asyncio.get_running_loop()
        async with serve(records) as server, ws_connect(server.url) as client:
            await said(client, frame("a"))
            begin = loop.time()
            await said(client, frame("b"))
            assert loop.time() - begin > 0.15
            await client.send(frame("c"), text=True)
            begin = loop.time()
            await said(client, frame("d"))
            assert loop.time() - begin > 0.15

    run(work())


def test_a_client_that_does_not_read_is_not_flooded(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [c("go"), *(s(frame("blob", n=n, fill="x" * 100_000)) for n in range(300))]
    sent: list[bytes] = []
    send = _sockets.Connection.send

    def counted(self: _sockets.Connection, data: bytes) -> None:
        sent.append(data)
        send(self, data)

    monkeypatch.setattr(_sockets.Connection, "send", counted)

    async def work() -> list[Outcome]:
        async with (
            serve(records, speed=math.inf) as server,
            ws_connect(server.url, max_queue=1) as client,
        ):
            await client.send(frame("go"), text=True)
            await until(lambda: sent)
            await asyncio.sleep(0.5)
            taken = len(sent)
            assert taken < len(records) - 1
            for _ in range(20):
                await client.send(frame("x"), text=True)
            await asyncio.sleep(QUIET)
            assert len(sent) == taken
            assert await everything(client) == raw_of(records, "server")
            assert client.close_code == 1000
        return server.outcomes

    assert run(work()) == [Outcome(300, 21, (), 1000, is_whole=True)]


def port_of(server: Server) -> int:
    return urlsplit(server.url).port or 0


def test_a_browser_gets_its_subprotocol_and_a_visitor_a_word() -> None:
    async def work() -> None:
        async with serve(TWO_TURNS) as server:
            offers = [Subprotocol("openai-insecure-api-key.k"), Subprotocol("realtime")]
            async with ws_connect(server.url, subprotocols=offers) as client:
                assert client.subprotocol == "realtime"
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 426 ")
            writer.close()
            await writer.wait_closed()
        assert len(server.outcomes) == 1

    run(work())


def test_the_address_may_be_taken() -> None:
    async def work() -> None:
        async with serve(TWO_TURNS) as server:
            with pytest.raises(OSError, match="in use"):
                async with serve(TWO_TURNS, port=port_of(server)):
                    raise AssertionError("twice at one port")

    run(work())


# Over sockets: our client ---------------------------------------------------------------------


@asynccontextmanager
async def service(handler: Any, **options: Any) -> AsyncIterator[str]:
    async with ws_serve(handler, "127.0.0.1", 0, **options) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v1/realtime"


def test_the_client_never_runs_ahead_of_its_server() -> None:
    headers: list[str] = []

    async def handler(connection: ServerConnection) -> None:
        assert connection.request
        headers.append(connection.request.headers["Authorization"])
        await nothing(connection)
        await connection.send(frame("session.created"), text=True)
        await said(connection, frame("response.create"))
        await connection.send(frame("response.created"), text=True)
        await nothing(connection)
        await connection.send(frame("response.done"), text=True)
        await said(connection, frame("response.create"))
        await connection.send(frame("x.unheard_of"), text=True)
        await nothing(connection)
        await connection.send(frame("response.done"), text=True)
        await connection.wait_closed()
        headers.append(str(connection.close_code))

    async def work() -> Outcome:
        async with service(handler) as url:
            return await play(TWO_TURNS, url, headers={"Authorization": "Bearer k"}, speed=math.inf)

    assert run(work()) == Outcome(2, 5, (), 1000, is_whole=True)
    assert headers == ["Bearer k", "1000"]


def test_a_client_misses_what_does_not_come() -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async def work() -> Outcome:
        async with service(handler) as url:
            return await play(TWO_TURNS, url, patience=0.1)

    missed = ("session.created", "response.done", "response.done")
    assert run(work()) == Outcome(2, 0, missed, 1000, is_whole=True)


@pytest.mark.parametrize("code", [1000, 1011, 4000])
def test_a_server_that_leaves_early_is_told_by_its_code(code: int) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.send(frame("session.created"), text=True)
        await connection.recv()
        await connection.close(code)

    async def work() -> Outcome:
        async with service(handler) as url:
            return await play(TWO_TURNS, url)

    assert run(work()) == Outcome(1, 1, (), code, is_whole=False)


def test_a_server_may_leave_at_once() -> None:
    async def handler(connection: ServerConnection) -> None:
        connection.transport.abort()

    async def work() -> Outcome:
        async with service(handler) as url:
            return await play(TWO_TURNS, url)

    assert run(work()) == Outcome(0, 0, (), 1006, is_whole=False)


def test_a_server_may_say_its_last_word_and_close() -> None:
    records = [s("session.created"), c("response.create"), s("response.done")]

    async def handler(connection: ServerConnection) -> None:
        await connection.send(frame("session.created"), text=True)
        await connection.recv()
        await connection.send(frame("response.done"), text=True)
        await connection.close(1001)

    async def work() -> Outcome:
        async with service(handler) as url:
            return await play(records, url)

    assert run(work()) == Outcome(1, 2, (), 1000, is_whole=True)


def test_a_server_may_say_all_at_once() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = re.findall(r"(?i)sec-websocket-key: *(\S+)", request)[0]
        accept = accept_key(key)
        head = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        raw = frame("session.created")
        writer.write(f"{head}{accept}\r\n\r\n".encode() + bytes([0x81, len(raw)]) + raw + b"\x88\x02\x0f\xa0")
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async def work() -> Outcome:
        async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
            return await play(TWO_TURNS, f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    outcome = run(work())
    assert (outcome.received, outcome.close, outcome.is_whole) == (1, 4000, False)


def test_a_refusal_is_told_by_its_status() -> None:
    def refuse(connection: ServerConnection, _: Request) -> Response:
        return connection.respond(HTTPStatus.UNAUTHORIZED, "secret words\n")

    async def work() -> None:
        async with service(lambda _: None, process_request=refuse) as url:
            await play(TWO_TURNS, url)

    with pytest.raises(ConnectionError) as raised:
        run(work())
    assert str(raised.value) == "HTTP 401 Unauthorized"


@pytest.mark.parametrize(
    "answer", [b"", b"\x00\xff\r\n\r\n", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]
)
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_what_is_no_websocket_is_told_in_a_line(answer: bytes, scheme: str) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read(10)
            writer.write(answer)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    async def work() -> None:
        async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
            await play(TWO_TURNS, f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    with pytest.raises(ConnectionError) as raised:
        run(work())
    assert str(raised.value)
    assert "\n" not in str(raised.value)


def test_nobody_is_told(unused_tcp_port: int) -> None:
    with pytest.raises(ConnectionError, match=r"(?i)connect"):
        run(play(TWO_TURNS, f"ws://127.0.0.1:{unused_tcp_port}"))


@pytest.mark.parametrize(
    "url", ["", "nonsense", "http://x", "ws://", "ws://x:99999999", "ws://x:y", "ws://x/#y"]
)
def test_a_url_that_is_none_is_not_repeated(url: str) -> None:
    with pytest.raises(ConnectionError, match=r"^this is no ws:// or wss:// URL$"):
        run(play(TWO_TURNS, url))


def test_giving_up_breaks_off() -> None:
    ends: list[int | None] = []

    async def handler(connection: ServerConnection) -> None:
        await connection.wait_closed()
        ends.append(connection.close_code)

    async def work() -> None:
        async with service(handler) as url:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(play(TWO_TURNS, url), QUIET)
            await until(lambda: ends)

    run(work())
    assert ends == [1006]


@pytest.fixture
def unused_tcp_port() -> int:
    async def work() -> int:
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
            return int(server.sockets[0].getsockname()[1])

    return run(work())


# One against the other ------------------------------------------------------------------------


class Relay:
    """Stands between the two, and keeps what passes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.passed: list[tuple[Direction, bytes]] = []

    async def __call__(self, client: ServerConnection) -> None:
        async with ws_connect(self.url, max_size=None) as server:
            await asyncio.gather(self._pass("client", client, server), self._pass("server", server, client))

    async def _pass(self, side: Direction, source: Any, to: Any) -> None:
        with suppress(ConnectionClosed):
            while True:
                raw = await source.recv(decode=False)
                self.passed.append((side, raw))
                await to.send(raw, text=True)
        await to.close(source.close_code)

    def of(self, side: Direction) -> list[bytes]:
        return [raw for sender, raw in self.passed if sender == side]


def both(source: Source, **options: Any) -> tuple[list[Outcome], Relay, float]:
    async def work() -> tuple[list[Outcome], Relay, float]:
        loop = asyncio.get_running_loop()
        async with serve(source, **options) as server:
            relay = Relay(server.url)
            async with service(relay, max_size=None) as url:
                begin = loop.time()
                outcome = await play(source, url, **options)
                seconds = loop.time() - begin
        return [outcome, *server.outcomes], relay, seconds

    return run(work())


@pytest.mark.parametrize("speed", [25, math.inf])
def test_both_sides_of_a_capture_make_it_whole_again(speed: float) -> None:
    records = capture.load(SESSION)
    outcomes, relay, seconds = both(SESSION, speed=speed)
    assert relay.of("client") == raw_of(records, "client")
    assert relay.of("server") == raw_of(records, "server")
    assert outcomes == [Outcome(15, 75, (), 1000, is_whole=True), Outcome(75, 15, (), 1000, is_whole=True)]
    first, last = records[0].timestamp, records[-1].timestamp
    assert first
    assert last
    assert seconds > 0.9 * (last - first) / speed


def test_the_turns_are_as_they_were() -> None:
    passed = both(SESSION, speed=math.inf)[1].passed
    records = capture.load(SESSION)
    place: dict[str, list[int]] = {"client": [], "server": []}
    for at, (side, _) in enumerate(passed):
        place[side].append(at)
    seen = {"client": 0, "server": 0}
    turns = 0
    for before, after in pairwise(records):
        seen[str(before.direction)] += 1
        if before.direction != after.direction and b'.delta"' not in before.raw[:80]:
            turns += 1
            last = place[str(before.direction)][seen[str(before.direction)] - 1]
            assert last < place[str(after.direction)][seen[str(after.direction)]]
    assert turns > 10


STRANGE = [
    s(b'{"type": "session.created",  "x": "\\u00e9\\/"}'),
    c(frame("session.update", text="äöü\u2028 \U0001f600")),
    s('{"event_id":"e","type":"session.updated","t":"日本語"}'.encode()),
    c(append(0)),
    c(append(70_000)),
    s(b'{"type":"broken'),
    s(b"null"),
    c(b"[1]"),
    s(frame("response.done", fill="x" * 2_000_000)),
    s("response.output_text.delta"),
    s("response.output_text.delta"),
]


@pytest.mark.parametrize("records", [STRANGE, STRANGE[1:], STRANGE[:4], TWO_TURNS, AUDIO])
def test_strange_captures_pass_too(records: list[Record], tmp_path: Path) -> None:
    path = tmp_path / "capture.jsonl.gz"
    with capture.create(path) as writer:
        for record in records:
            writer.write(record.direction, record.raw, timestamp=0)
    outcomes, relay, _ = both(path, patience=5)
    assert relay.of("client") == raw_of(records, "client")
    assert relay.of("server") == raw_of(records, "server")
    assert [outcome.is_good for outcome in outcomes] == [True, True]
    assert [outcome.close for outcome in outcomes] == [1000, 1000]


def test_the_default_patience_is_ten_seconds() -> None:
    assert replay.PATIENCE == 10
    stage = Stage(TWO_TURNS)
    stage.hear()
    assert stage.replay.wake() == 1010


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run(play(tmp_path / "nothing", "ws://127.0.0.1"))


def test_without_upgrade_there_is_no_session() -> None:
    async def handler(_: ServerConnection) -> None:
        raise AssertionError("nobody comes")

    async def work() -> None:
        refuse = {"process_request": lambda c, _: c.respond(HTTPStatus.NOT_FOUND, "")}
        async with service(handler, **refuse) as url:
            with pytest.raises(InvalidStatus):
                await ws_connect(url)
            with pytest.raises(ConnectionError, match="HTTP 404 Not Found"):
                await play(TWO_TURNS, url)

    run(work())
