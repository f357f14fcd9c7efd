"""On the wire a client may cut, hurry and break what it says: a session sees whole messages, or an end."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rtproto import _sockets
from rtproto.testing import FakeRealtimeServer
from tests.wire import BINARY, CLOSE, MORE, PING, PONG, SECONDS, TEXT, Frame, Raw, asking, closing, frame, raw

LOOPS = (asyncio.new_event_loop, _sockets.new_loop)


def event(event_id: str, **more: Any) -> bytes:
    """What is answered by an error that names the id."""
    return json.dumps({"type": "nonsense", "event_id": event_id, **more}).encode()


@asynccontextmanager
async def served(fake: FakeRealtimeServer, early: bytes = b"") -> AsyncIterator[Raw]:
    async with raw(fake.port, asking() + early) as client:
        assert b"session.created" in (await client.next()).data
        yield client


def converse(
    conversation: Callable[[Raw], Awaitable[None]], early: bytes = b"", **options: Any
) -> list[FakeRealtimeServer]:
    """One conversation, in each of the event loops that there are; gives the servers."""
    fakes: list[FakeRealtimeServer] = []
    for loop in LOOPS:
        fakes.append(FakeRealtimeServer(**options))

        async def run(fake: FakeRealtimeServer) -> None:
            async with fake:
                async with served(fake, early) as client:
                    await conversation(client)
                async with asyncio.timeout(SECONDS):
                    while fake.sessions[0].end is None:  # noqa: ASYNC110 - it has no event
                        await asyncio.sleep(0.01)

        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(run(fakes[-1]))
    return fakes


# How messages are cut -------------------------------------------------------------------------


def test_messages_come_however_they_are_cut() -> None:
    text = event("é" * 40)
    cuts = {
        "in two": [text[:10], text[10:]],
        "byte by byte": [text[at : at + 1] for at in range(len(text))],
        "nothing first": [b"", text],
        "nothing last": [text, b""],
        "nothing at all between": [text[:5], b"", b"", text[5:]],
    }

    async def conversation(client: Raw) -> None:
        for parts in cuts.values():
            frames = [
                frame(MORE if at else TEXT, part, fin=at == len(parts) - 1) for at, part in enumerate(parts)
            ]
            await client.send(*frames)
            assert await client.refused() == "é" * 40
        for byte in frame(TEXT, text):  # and however it is cut below
            await client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert await client.refused() == "é" * 40

    for fake in converse(conversation):
        assert [frame.raw for frame in fake.sessions[0].frames if frame.direction == "client"] == [text] * 6


def test_messages_come_in_order_however_many_come_at_once() -> None:
    """Some of them with the handshake."""

    async def conversation(client: Raw) -> None:
        await client.send(*(frame(TEXT, event(str(number))) for number in range(10, 500)))
        for number in range(500):
            assert await client.refused() == str(number)

    converse(conversation, b"".join(frame(TEXT, event(str(number))) for number in range(10)))


def test_control_frames_come_between_fragments() -> None:
    text = event("whole")

    async def conversation(client: Raw) -> None:
        await client.send(frame(TEXT, text[:7], fin=False), frame(PING, b"one"), frame(PONG, b"unasked"))
        assert await client.next() == Frame(PONG, b"one")
        await client.send(frame(MORE, text[7:9], fin=False), frame(PING), frame(MORE, text[9:]))
        assert await client.next() == Frame(PONG, b"")
        assert await client.refused() == "whole"
        await client.send(frame(TEXT, text[:7], fin=False), frame(CLOSE, closing(1000)))
        assert await client.next() == Frame(CLOSE, closing(1000))
        assert await client.is_over()

    for fake in converse(conversation):
        assert len(fake.received()) == 1
        assert fake.sessions[0].end == (1000, "")


def test_a_binary_message_in_fragments_is_binary() -> None:
    async def conversation(client: Raw) -> None:
        text = event("binary")
        await client.send(frame(BINARY, text[:7], fin=False), frame(MORE, text[7:]))
        assert json.loads((await client.next()).data)["error"]["code"] == "invalid_event"
        await client.send(frame(TEXT, text))
        assert await client.refused() == "binary"

    for fake in converse(conversation):
        assert len(fake.received()) == 1


def test_very_many_fragments_take_no_longer_than_their_bytes() -> None:
    text = event("many", padding="x" * 100_000)
    frames = [frame(MORE if at else TEXT, text[at : at + 1], fin=False) for at in range(len(text))]

    async def conversation(client: Raw) -> None:
        async with asyncio.timeout(10):
            await client.send(*frames, frame(MORE))
            assert await client.refused() == "many"

    converse(conversation)


# How long they may be -------------------------------------------------------------------------

LIMIT = 300


def sized(size: int) -> bytes:
    return event("sized").ljust(size)


def cut(text: bytes) -> list[bytes]:
    middle = len(text) // 2
    return [frame(TEXT, text[:middle], fin=False), frame(MORE, text[middle:])]


@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "cut"])
def test_just_not_too_long(is_cut: bool) -> None:
    async def conversation(client: Raw) -> None:
        for _ in range(3):  # nothing is left of one when the next comes
            await client.send(*(cut(sized(LIMIT)) if is_cut else [frame(TEXT, sized(LIMIT))]))
            assert await client.refused() == "sized"

    converse(conversation, max_message_bytes=LIMIT)


@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "cut"])
def test_just_too_long(is_cut: bool) -> None:
    """What comes after is nobody's, and neither is it when it comes with the answer to the close."""

    async def conversation(client: Raw) -> None:
        long = cut(sized(LIMIT + 1)) if is_cut else [frame(TEXT, sized(LIMIT + 1))]
        await client.send(*long)
        end = await client.next()
        assert (end.kind, end.data[:2]) == (CLOSE, closing(1009))
        await client.send(frame(TEXT, event("after")), frame(CLOSE, closing(1009)))
        assert await client.is_over()

    for fake in converse(conversation, max_message_bytes=LIMIT):
        assert fake.received() == []
        assert [found.type for found in fake.sessions[0].sent()] == ["session.created"]
        assert fake.sessions[0].end is not None
        assert fake.sessions[0].end[0] == 1009


def test_the_beginning_of_a_frame_tells_that_it_is_too_long() -> None:
    """Nobody waits for a gigabyte."""

    async def conversation(client: Raw) -> None:
        await client.send(b"\x81\xff" + struct.pack(">Q", 2**30))
        assert (await client.next()).data[:2] == closing(1009)
        assert await client.is_over()

    converse(conversation)


# How it ends ----------------------------------------------------------------------------------

ENDS = {
    "with a reason": (closing(4321, "weil ✓".encode()), (4321, "weil ✓")),
    "with a code": (closing(1001), (1001, "")),
    "without a code": (b"", (1005, "")),
    "with all that fits": (closing(3000, b"x" * 123), (3000, "x" * 123)),
}


@pytest.mark.parametrize(("data", "end"), ENDS.values(), ids=ENDS)
def test_a_close_is_answered_by_the_same(data: bytes, end: tuple[int, str]) -> None:
    async def conversation(client: Raw) -> None:
        await client.send(frame(CLOSE, data), frame(TEXT, event("late")), frame(PING, b"late"))
        assert await client.next() == Frame(CLOSE, data)
        assert await client.is_over()

    for fake in converse(conversation):
        assert fake.sessions[0].end == end
        assert fake.received() == []


WRONG = {
    "a code that none may send": (frame(CLOSE, closing(1005)), 1002),
    "a code of none": (frame(CLOSE, closing(999)), 1002),
    "half a code": (frame(CLOSE, b"\x03"), 1002),
    "a reason that is no text": (frame(CLOSE, closing(1000, b"\xff")), 1007),
    "no mask": (frame(TEXT, event("bare"), mask=None), 1002),
    "an unknown kind": (frame(3, b"x"), 1002),
    "a ping in fragments": (frame(PING, b"x", fin=False), 1002),
    "a long ping": (frame(PING, b"x" * 126), 1002),
    "more of a message that never began": (frame(MORE, b"x"), 1002),
    "a message in the midst of another": (frame(TEXT, b"{", fin=False) + frame(TEXT, event("in")), 1002),
    "compressed": (frame(TEXT | 0x40, event("small")), 1002),
}


@pytest.mark.parametrize(("data", "code"), WRONG.values(), ids=WRONG)
def test_what_no_websocket_says_ends_it(data: bytes, code: int) -> None:
    async def conversation(client: Raw) -> None:
        await client.send(data)
        end = await client.next()
        assert (end.kind, end.data[:2]) == (CLOSE, closing(code))
        assert await client.is_over()

    for fake in converse(conversation):
        assert fake.sessions[0].end is not None
        assert fake.sessions[0].end[0] == code
        assert fake.received() == []


def test_an_end_without_a_close_is_one() -> None:
    """By the end of what it sends, or in the midst of a frame."""

    async def by_eof(client: Raw) -> None:
        client.writer.write_eof()
        assert await client.is_over()

    async def in_the_midst(client: Raw) -> None:
        await client.send(frame(TEXT, event("whole")), frame(TEXT, event("broken"))[:-1])
        assert await client.refused() == "whole"
        client.writer.transport.abort()

    for conversation in (by_eof, in_the_midst):
        for fake in converse(conversation):
            assert fake.sessions[0].end == (1006, "")


def test_after_a_close_of_ours_nothing_is_heard_and_nothing_said() -> None:
    async def run() -> None:
        async with FakeRealtimeServer() as fake, served(fake) as client:
            stopping = asyncio.ensure_future(fake.__aexit__(None, None, None))
            assert await client.next() == Frame(CLOSE, closing(1001, b"going away"))
            await client.send(frame(TEXT, event("late")), frame(PING, b"late"))
            await client.send(frame(CLOSE, closing(1001)))
            assert await client.is_over()
            await stopping
            assert fake.received() == []
            assert fake.sessions[0].end == (1001, "going away")

    asyncio.run(run())
