"""Many clients in one process look at no more of a frame than they must: what comes late, the server sent so.

``rtproto fake --script bench/load_client.py`` answers what they know: every tenth of a second of its speech
sounds unlike the others, so that none can be lost unseen.
"""

import asyncio
import os
import signal
import socket
import struct
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

import pybase64

from rtproto import client, encode, pcm
from rtproto._sockets import Connection, connect, new_loop
from rtproto.testing import Say, Script, Sound, tone
from rtproto.types import ResponseCreateParams

__all__ = ["DELTA", "SCRIPT", "Heard", "Talk", "come_and_go", "stop", "talk", "words"]

T = TypeVar("T")

DELTA = 0.1
"""Seconds of audio in a delta."""
_LONGEST = 30
_MICROPHONE = 0.05  # seconds from one append to the next
_NOISE = pcm.append_frame(struct.pack("<1200h", *(at * 7919 % 199 - 99 for at in range(1200))))
_VOICE = pcm.append_frame(tone(100).samples)
_VISITORS = 10  # at once
_GIVE_UP = 60.0
_KEY = {"Authorization": "Bearer sk-any"}
_RESET = struct.pack("ii", 1, 0)  # lingering for no time: TCP's reset


# What is said ---------------------------------------------------------------------------------


def words(seconds: int) -> int:
    """How many words are spoken in so many seconds; as text they come before the audio."""
    return 5 * seconds // 2


def _sound(tenth: int) -> bytes:
    return struct.pack("<h", tenth) * 2400


def _reply(seconds: int) -> Say:
    samples = b"".join(map(_sound, range(10 * seconds)))
    return Say(" ".join(["word"] * words(seconds)), Sound(samples))


_REPLIES = {seconds: _reply(seconds) for seconds in (1, 3, _LONGEST)}
_DELTAS = [b'"delta":"%b"}' % pybase64.b64encode(_sound(tenth)) for tenth in range(10 * _LONGEST)]
SCRIPT = Script(lambda turn: _REPLIES[int(turn.request.instructions or 1)])
"""The instructions of a ``response.create`` say for how many seconds it is to speak: 1, 3 or 30."""


# Clients --------------------------------------------------------------------------------------


class Heard(NamedTuple):
    """What came to one client."""

    created: float
    """When ``response.created`` came."""
    deltas: list[float]
    """When each audio delta came."""
    lost: int
    """How many audio deltas did not come in their turn."""
    frames: int
    """How many frames came, and went."""


class _Client(Connection):
    """Asks to be spoken to for so many seconds, and sends what its microphone hears all the while."""

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.begun, self.done, self.over = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.end = 0
        """The close code."""
        self.late: list[float] = []
        """How late it sent what its microphone heard."""
        self._seconds = seconds
        self._created = 0.0
        self._deltas: list[float] = []
        self._right = self._frames = 0
        self._loop = asyncio.get_running_loop()

    def ask(self) -> None:
        """Ask for a reply."""
        params = ResponseCreateParams(instructions=str(self._seconds))
        self.send(encode(client.ResponseCreate(response=params)))

    def listen(self) -> None:
        """Switch the microphone on, until the reply is done."""
        self._due = self._loop.time()
        self._hear()

    def _hear(self) -> None:
        if self.is_open and not self.done.is_set():
            self.late.append(self._loop.time() - self._due)
            self.send(_NOISE)
            self._frames += 1
            self._due += _MICROPHONE
            self._loop.call_at(self._due, self._hear)

    def text(self, data: bytes) -> None:
        now = perf_counter()
        self._frames += 1
        if data.startswith(b'{"type":"response.output_audio.delta"'):
            self._right += data.endswith(_DELTAS[len(self._deltas)])
            self._deltas.append(now)
            self.begun.set()
        elif data.startswith(b'{"type":"response.created"'):
            self._created = now
        elif data.startswith(b'{"type":"response.done"'):
            self.done.set()

    def closed(self, code: int, reason: str) -> None:  # noqa: ARG002 - the code says enough
        self.end = code
        for event in (self.begun, self.done, self.over):
            event.set()

    def reset(self) -> None:
        """Break off by TCP's reset, as a process that is killed."""
        under = self._transport.underlying_transport.get_extra_info("socket")
        under.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.abort()

    def heard(self) -> Heard:
        """What came."""
        return Heard(self._created, self._deltas, 10 * self._seconds - self._right, self._frames)


async def _listening(url: str, sessions: int, seconds: int) -> list[_Client]:
    """So many clients, their microphones on, each at a moment of its own."""
    clients = [await connect(_Client(seconds), url, _KEY) for _ in range(sessions)]
    for number, one in enumerate(clients):
        asyncio.get_running_loop().call_later(_MICROPHONE * number / sessions, one.listen)
    await asyncio.sleep(2 * _MICROPHONE)
    return clients


async def _each(*events: asyncio.Event) -> None:
    async with asyncio.timeout(_GIVE_UP):
        for event in events:
            await event.wait()


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(work)


# What they do ---------------------------------------------------------------------------------


class Talk(NamedTuple):
    """What came to all clients, and what it took."""

    heard: list[Heard]
    late: list[float]
    """How late the clients themselves were, whenever they were to send."""
    seconds: float
    """From the first request to the end of the last reply."""
    ran: float
    """For how long of it the server ran."""
    waited: float
    """And for how long it was ready to run, but others did."""


def talk(url: str, server: int, sessions: int, seconds: int, apart: float) -> Talk:
    """Ask for a reply in so many sessions, one so much later than the other, and hear all to the end."""
    return _run(_talk(url, server, sessions, seconds, apart))


async def _talk(url: str, server: int, sessions: int, seconds: int, apart: float) -> Talk:
    clients = await _listening(url, sessions, seconds)
    begun, (ran, waited) = perf_counter(), _scheduled(server)
    for one in clients:
        one.ask()
        if apart:
            await asyncio.sleep(apart)
    await _each(*(one.done for one in clients))
    took, (ran_then, waited_then) = perf_counter() - begun, _scheduled(server)
    for one in clients:
        one.close()
    await _each(*(one.over for one in clients))
    late = [seconds for one in clients for seconds in one.late]
    return Talk([one.heard() for one in clients], late, took, ran_then - ran, waited_then - waited)


def _scheduled(process: int) -> tuple[float, float]:
    """For how many seconds a process ran, and was ready to."""
    ran, waited, _ = Path(f"/proc/{process}/schedstat").read_text("ascii").split()
    return int(ran) / 1e9, int(waited) / 1e9


def stop(url: str, server: int, sessions: int) -> tuple[float, Counter[int]]:
    """Tell the server to stop while it speaks in so many sessions: when that was, and the close codes."""
    return _run(_stop(url, server, sessions))


async def _stop(url: str, server: int, sessions: int) -> tuple[float, Counter[int]]:
    clients = await _listening(url, sessions, 3)
    for one in clients:
        one.ask()
    await _each(*(one.begun for one in clients))
    told = perf_counter()
    os.kill(server, signal.SIGTERM)
    await _each(*(one.over for one in clients))
    return told, Counter(one.end for one in clients)


def come_and_go(url: str, cycles: int) -> None:
    """Connect and leave, so often, in three ways by turns."""
    _run(_come_and_go(url, cycles))


async def _come_and_go(url: str, cycles: int) -> None:
    numbers = iter(range(cycles))

    async def visit() -> None:
        for number in numbers:
            visitor = await connect(_Client(1), url, _KEY)
            await _WAYS[number % len(_WAYS)](visitor)
            await _each(visitor.over)

    await asyncio.gather(*(visit() for _ in range(_VISITORS)))


async def _politely(visitor: _Client) -> None:
    visitor.ask()
    await _each(visitor.begun)
    visitor.close()


async def _amid_a_reply(visitor: _Client) -> None:
    visitor.ask()
    await _each(visitor.begun)
    visitor.reset()


async def _amid_speech(visitor: _Client) -> None:
    for _ in range(10):
        visitor.send(_VOICE)
    visitor.close()


_WAYS = (_politely, _amid_a_reply, _amid_speech)
