"""What is asked to go wrong goes wrong, there and nowhere else, and the server stops cleanly all the same."""

import asyncio
import json
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import websockets
from openai import AsyncOpenAI

import rtproto
from rtproto import _sockets
from rtproto.testing import (
    Close,
    Delay,
    Drop,
    FakeRealtimeServer,
    Fault,
    Fragment,
    HalfOpen,
    Insert,
    Say,
    Script,
    huge,
    malformed,
    tone,
    unknown,
)
from tests.testing.talk import KEY, SECONDS, Client, connected
from tests.testing.test_sockets import CLOSE, PING, TEXT, frame, served

PROMPT = 1.5  # seconds: what takes longer waited for somebody
LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, _sockets.new_loop], ids=["asyncio", "fast"])
Loop = Callable[[], asyncio.AbstractEventLoop]
WRITTEN: dict[str, Any] = {"type": "response.create", "response": {"output_modalities": ["text"]}}
TEN = "one two three four five six seven eight nine ten"
DELTA = "response.output_text.delta"


def run(work: Any, loop: Loop = asyncio.new_event_loop) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(work)


def faulty(*faults: Fault, says: str = TEN, **options: Any) -> FakeRealtimeServer:
    return FakeRealtimeServer(Script(says), **{"speed": math.inf, "faults": faults, **options})


async def heard(client: Client, last: str = "rate_limits.updated") -> list[str | bytes]:
    """The messages of a response, as they come, until the last of them or the end."""
    messages: list[str | bytes] = []
    try:
        while not messages or json_type(messages[-1]) != last:
            async with asyncio.timeout(SECONDS):
                messages.append(await client.socket.recv())
    except websockets.ConnectionClosed:
        pass
    return messages


def json_type(message: str | bytes) -> str:
    try:
        return str(json.loads(message)["type"])
    except ValueError:
        return ""


def types_of(messages: Iterable[str | bytes]) -> list[str]:
    return [json_type(message) for message in messages]


def sent(fake: FakeRealtimeServer, number: int = 0) -> list[str]:
    """What the server sent after it had been asked."""
    return [event.type for event in fake.sessions[number].sent()][1:]


# Late -----------------------------------------------------------------------------------------


@LOOPS
@pytest.mark.parametrize("speed", [math.inf, 2.0])
def test_with_a_delay_everything_comes_late_and_in_order(loop: Loop, speed: float) -> None:
    """With much jitter many frames are due in the same moment."""

    async def work() -> None:
        async with fake, connected(fake.url) as client:
            begun = time.monotonic()
            await client.send(WRITTEN)
            first = await client.until("response.created")
            assert time.monotonic() - begun >= 0.03
            ids.extend(
                [first["event_id"], *(json.loads(message)["event_id"] for message in await heard(client))]
            )

    ids: list[str] = []
    fake = faulty(Delay(30, 50), says=" ".join([TEN] * 4), speed=speed)
    run(work(), loop)
    assert len(ids) > 40
    assert ids == [event.event_id for event in fake.sessions[0].sent()[1:]]  # type: ignore[union-attr]
    assert fake.sessions[0].end == (1000, "")


def test_jitter_is_different_for_every_frame_and_bounded() -> None:
    delays = [Delay(20, 10).seconds() for _ in range(100)]
    assert 0.02 <= min(delays) < 0.025 < max(delays) <= 0.03
    assert len(set(delays)) > 50
    assert {Delay(20).seconds() for _ in range(10)} == {0.02}


@LOOPS
def test_a_delay_holds_up_the_end_too(loop: Loop) -> None:
    async def work() -> None:
        async with fake, connected(fake.translation_url) as client:
            await client.send({"type": "session.close"})
            assert await client.closed() == (1000, "")
            assert client.types == ["session.created", "session.closed"]

    fake = faulty(Delay(20, 30))
    run(work(), loop)


# In pieces ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 1000])
@LOOPS
def test_every_message_comes_in_fragments(size: int, loop: Loop) -> None:
    async def work() -> None:
        async with fake, connected(fake.url) as client:
            await client.send(WRITTEN)
            for _ in range(5):
                async with asyncio.timeout(SECONDS):
                    pieces.append([piece async for piece in client.socket.recv_streaming(decode=False)])
            messages.extend(b"".join(message) for message in pieces)
            messages.extend(m.encode() for m in await heard(client) if isinstance(m, str))

    pieces: list[list[bytes]] = []
    messages: list[bytes] = []
    fake = faulty(Fragment(size), Insert(unknown("x.é")), says="Grüße ✓")
    run(work(), loop)
    for message in pieces:
        *whole, last = message
        assert {len(piece) for piece in whole} <= {size}
        assert 1 <= len(last) <= size
    frames = [frame.raw for frame in fake.sessions[0].frames if frame.direction == "server"][1:]
    frames.insert(types_of(frames).index(DELTA) + 1, unknown("x.é"))
    assert messages == frames


# Broken off -----------------------------------------------------------------------------------


@LOOPS
def test_a_drop_is_an_end_without_a_close(loop: Loop) -> None:
    async def work() -> None:
        async with fake, connected(fake.url) as client:
            await client.send(WRITTEN)
            messages.extend(await heard(client))
            assert await client.closed() == (1006, "")

    messages: list[str | bytes] = []
    fake = faulty(Drop())
    run(work(), loop)
    assert types_of(messages)[-1] == DELTA
    assert types_of(messages).count(DELTA) == 1
    assert fake.sessions[0].end == (1006, "")
    assert sent(fake) == types_of(messages)  # what was not sent is not told to have been


@pytest.mark.parametrize(
    ("code", "reason", "comes"),
    [
        (1011, "", ""),
        (1008, "session expired", "session expired"),
        (4999, "x" * 200, "x" * 123),
        (1011, "é" * 100, "é" * 61),
        (1000, "✓" * 41, "✓" * 41),
    ],
)
def test_a_close_has_its_code_and_as_much_of_its_reason_as_fits(code: int, reason: str, comes: str) -> None:
    async def work() -> None:
        async with fake, connected(fake.url) as client:
            await client.send(WRITTEN)
            assert await client.closed() == (code, comes)
            assert client.types[-1] == DELTA

    fake = faulty(Close(code, reason))
    run(work())
    assert fake.sessions[0].end == (code, reason)
    assert sent(fake)[-1] == DELTA
    assert sent(fake).count(DELTA) == 1


def test_a_close_without_a_code() -> None:
    async def work() -> None:
        async with fake, connected(fake.url) as client:
            await client.send(WRITTEN)
            assert await client.closed() == (1005, "")

    fake = faulty(Close(1005))
    run(work())
    assert fake.sessions[0].end == (1005, "")


@LOOPS
def test_a_half_open_server_keeps_silent_and_stops_at_once(loop: Loop) -> None:
    async def work() -> None:
        quiet: Any = {"ping_interval": None, "close_timeout": 0.1}
        async with fake, connected(fake.url) as other, connected(fake.url, **quiet) as client:
            await client.send(WRITTEN)
            await client.until(DELTA)
            pong = await client.socket.ping()
            await client.send(WRITTEN)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.socket.recv()
            assert not pong.done()
            await (await other.socket.ping())  # it is deaf to one only
            assert fake.sessions[1].end is None
            begun = time.monotonic()
            await fake.__aexit__(None, None, None)
            assert time.monotonic() - begun < PROMPT
            assert fake.sessions[1].end == (1006, "")
            assert await client.closed() == (1006, "")
            pong.exception()

    fake = faulty(HalfOpen())
    run(work(), loop)
    assert [record.end for record in fake.sessions] == [(1001, "going away"), (1006, "")]
    assert sent(fake, 1)[-1] == DELTA
    assert len(fake.received("response.create")) == 1


def test_a_close_waits_for_its_answer_but_not_for_ever() -> None:
    async def work() -> None:
        async with fake, served(fake) as client:
            await client.send(frame(TEXT, json.dumps(WRITTEN).encode()))
            while (await client.next()).kind != CLOSE:
                pass
            begun = time.monotonic()
            assert await client.is_over()
            assert 0.5 < time.monotonic() - begun < 5
            assert fake.sessions[0].end == (1011, "")

    fake = faulty(Close())
    run(work())


def test_a_half_open_server_does_not_answer_a_close() -> None:
    async def work() -> None:
        async with fake, served(fake) as client:
            await client.send(frame(TEXT, json.dumps(WRITTEN).encode()))
            assert json_type((await client.next()).data) == "response.created"
            await client.send(frame(CLOSE, b"\x03\xe8"))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.reader.read(1)
            assert fake.sessions[0].end is None

    fake = faulty(HalfOpen(after="response.created"))
    run(work())


def test_a_half_open_server_does_not_even_hear_what_came_in_the_same_breath() -> None:
    async def work() -> None:
        async with fake, served(fake) as client:
            await client.send(frame(TEXT, json.dumps(WRITTEN).encode()), frame(PING), frame(TEXT, b"{"))
            assert json_type((await client.next()).data) == "response.created"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.reader.read(1)

    fake = faulty(HalfOpen(after="response.created"))
    run(work())
    assert len(fake.received()) == 1
    assert sent(fake) == ["response.created"]


def test_a_server_in_a_thread_stops_while_it_is_half_open() -> None:
    async def work(fake: FakeRealtimeServer) -> None:
        async with connected(fake.url) as client:
            await client.send(WRITTEN)
            await client.until(DELTA)
            begun = time.monotonic()
            await asyncio.to_thread(fake.__exit__, None, None, None)
            assert time.monotonic() - begun < PROMPT
            assert await client.closed() == (1006, "")

    fake = faulty(HalfOpen())
    fake.__enter__()
    run(work(fake))


# Never heard of -------------------------------------------------------------------------------

STRANGE = {"unknown": unknown(), "another": unknown("x.other"), "malformed": malformed(), "huge": huge(2**20)}


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize(
    ("after", "before"),
    [
        (".delta", DELTA),
        (DELTA, DELTA),
        ("response.created", "response.created"),
        ("done", "response.output_text.done"),
        ("session.created", "session.created"),
    ],
)
def test_a_strange_frame_comes_once_and_in_its_place(strange: bytes, after: str, before: str) -> None:
    async def work() -> None:
        async with fake, websockets.connect(fake.url, additional_headers=KEY, max_size=None) as socket:
            client = Client(socket)
            await client.send(WRITTEN)
            messages.extend(await heard(client))

    messages: list[str | bytes] = []
    fake = faulty(Insert(strange, after=after))
    run(work())
    (place,) = [at for at, message in enumerate(messages) if message == strange.decode()]
    assert json_type(messages[place - 1]) == before
    assert types_of(messages[:place]).count(before) == 1
    del messages[place]
    assert types_of(messages) == ["session.created", *sent(fake)]


def test_what_strange_frames_are() -> None:
    found = rtproto.decode_server(unknown())
    assert isinstance(found, rtproto.Unknown)
    assert found.type == "x.unheard_of"
    assert isinstance(rtproto.decode_server(unknown("a.b")), rtproto.Unknown)
    with pytest.raises(rtproto.NotAnEvent):
        rtproto.decode_server(malformed())
    for size in (100, 2**20):
        assert len(huge(size)) == size
        assert isinstance(rtproto.decode_server(huge(size)), rtproto.Unknown)


# Where ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 7])
def test_so_many_are_awaited(count: int) -> None:
    async def work() -> None:
        async with fake, connected(fake.url) as client:
            await client.send(WRITTEN)
            assert (await client.closed())[0] == 1011
            assert client.types.count(DELTA) == count

    fake = faulty(Close(count=count))
    run(work())


def test_counts_go_on_over_all_that_end_so_and_over_responses() -> None:
    """Two deltas of a text, then those of a transcript and of audio, in another response."""

    async def work() -> None:
        async with fake, connected(fake.url) as client:
            await client.send(WRITTEN)
            await client.until("response.done")
            await client.send({"type": "response.create"})
            assert (await client.closed())[0] == 1011
            deltas = [name for name in client.types if name.endswith(".delta")]
            transcript, audio = "response.output_audio_transcript.delta", "response.output_audio.delta"
            assert deltas == [DELTA, DELTA, transcript, transcript, audio]

    fake = FakeRealtimeServer(
        Script("one two", Say("one two", tone(500))), speed=math.inf, faults=[Close(count=5)]
    )
    run(work())


def test_a_fault_that_never_comes_is_none() -> None:
    async def work() -> None:
        async with fake, connected(fake.url) as client:
            await client.send(WRITTEN)
            assert types_of(await heard(client)) == sent(fake)

    fake = faulty(
        Drop(after="response.mcp_call.failed"), Close(count=100), HalfOpen(after=".segment", count=1)
    )
    run(work())
    assert fake.sessions[0].end == (1000, "")


def test_several_faults_strike_each_in_its_place() -> None:
    async def work() -> None:
        async with fake, connected(fake.url) as client:
            await client.send(WRITTEN)
            messages.extend(await heard(client))
            assert await client.closed() == (4001, "enough")

    messages: list[str | bytes] = []
    fake = faulty(
        Delay(1, 10),
        Fragment(50),
        Insert(malformed(), after=DELTA),
        Insert(unknown("x.one"), after="response.created"),
        Insert(unknown("x.two"), after=DELTA, count=2),
        Insert(unknown("x.three"), after=DELTA, count=2),
        Close(4001, "enough", after=DELTA, count=3),
        Drop(after=DELTA, count=4),
    )
    run(work())
    strange = [name for name in types_of(messages) if name in {"", DELTA} or name.startswith("x.")]
    assert types_of(messages)[:2] == ["response.created", "x.one"]
    assert strange == ["x.one", DELTA, "", DELTA, "x.two", "x.three", DELTA]


def test_a_half_open_server_does_not_drop_either() -> None:
    async def work() -> None:
        async with fake, connected(fake.url, ping_interval=None, close_timeout=0.1) as client:
            await client.send(WRITTEN)
            await client.until(DELTA)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.socket.recv()

    fake = faulty(HalfOpen(), Drop(), Close())
    run(work())


def test_what_comes_first_is_the_end() -> None:
    """Faults strike in their order; after an end there is no other."""

    async def work(fake: FakeRealtimeServer) -> tuple[int, str]:
        async with fake, connected(fake.url) as client:
            await client.send(WRITTEN)
            return await client.closed()

    assert asyncio.run(work(faulty(Close(4001), Drop()))) == (4001, "")
    assert asyncio.run(work(faulty(Drop(), Close(4001)))) == (1006, "")


def test_faults_may_be_assigned_anew_and_strike_every_connection_made_from_then_on() -> None:
    async def turn(fake: FakeRealtimeServer, client: Client) -> bool:
        await client.send(WRITTEN)
        return types_of(await heard(client))[-1] == "rate_limits.updated"

    async def work() -> None:
        async with fake:
            for _ in range(2):
                async with connected(fake.url) as client:
                    assert not await turn(fake, client)
            async with connected(fake.url) as before:
                fake.faults = ()
                for _ in range(2):
                    async with connected(fake.url) as client:
                        assert await turn(fake, client)
                fake.faults = [Close(1012)]
                assert not await turn(fake, before)

    fake = faulty(Drop())
    run(work())
    assert [record.end for record in fake.sessions] == [(1006, "")] * 3 + [(1000, "")] * 2


def test_faults_strike_the_other_kinds_of_session_too() -> None:
    async def work() -> None:
        async with fake:
            for url in (fake.transcription_url, fake.translation_url):
                async with connected(url) as client:
                    await client.send({"type": "nonsense"})
                    assert await client.closed() == (1011, "")
                    assert client.types == ["session.created", "error"]

    fake = faulty(Close(after="error"))
    run(work())


# What a client makes of it --------------------------------------------------------------------


def test_the_official_sdk_sees_each_fault_as_its_users_do() -> None:
    async def turn(fake: FakeRealtimeServer) -> list[str]:
        openai = AsyncOpenAI(api_key="any", base_url=fake.base_url)
        types: list[str] = []
        async with asyncio.timeout(SECONDS), openai, openai.realtime.connect(model="m") as connection:
            await connection.send(WRITTEN)  # type: ignore[arg-type]
            async for event in connection:
                types.append(event.type)
                if event.type == "response.done":
                    break
        return types

    async def work() -> None:
        async with fake:
            well = await turn(fake)
            fake.faults = [Insert(unknown()), Fragment(200), Delay(1)]
            assert (await turn(fake)).count("x.unheard_of") == 1
            fake.faults = [Close(1000)]
            assert (await turn(fake))[-1] == DELTA
            for fault in (Drop(), Close(1011)):
                fake.faults = [fault]
                with pytest.raises(websockets.ConnectionClosedError):
                    await turn(fake)
            fake.faults = ()
            assert await turn(fake) == well

    fake = faulty()
    run(work())


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Drop(after="response.dne"),
        lambda: Close(after="delt"),
        lambda: HalfOpen(count=0),
        lambda: Close(1006),
        lambda: Fragment(0),
        lambda: Close(999),
        lambda: Insert(unknown(), after="x.unheard_of"),
    ],
)
def test_a_fault_that_could_never_strike_is_an_error(wrong: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"^(after|count|code|size)"):
        wrong()


def test_the_first_connections_only() -> None:
    """A client that reconnects at once finds the server well."""
    ends: list[Any] = []

    async def work() -> None:
        async with fake:
            for _ in range(2):
                async with connected(fake.url) as client:
                    await client.send(WRITTEN)
                    ends.append(await client.closed())
            async with connected(fake.url) as client:
                await client.send(WRITTEN)
                ends.append((await client.until("response.done"))["response"]["status"])

    fake = faulty(Close(4001, connections=2))
    run(work())
    assert ends == [(4001, ""), (4001, ""), "completed"]


def test_no_payload_is_shown() -> None:
    assert len(repr(Insert(huge(10**6)))) < 80
