"""A pump joins two sockets of any library: what one says goes through a session, and to the other in order.

A side is read again only when the other has taken most of what waits for it, so a side that does not read
slows the one that speaks, and nothing else.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any, Final, Protocol

from rtproto._close_codes import NO_STATUS, SAYABLE
from rtproto.capture import Direction
from rtproto.services.proxy.limits import Limits
from rtproto.services.proxy.opening import Opening
from rtproto.services.proxy.policy import Pipeline, Session

__all__ = ["DEFAULTS", "Closed", "Socket", "pump"]

DEFAULTS: Final = Limits()
"""The limits, if nothing else is said."""

_LOGGER = logging.getLogger("rtproto.proxy")
_LONGEST_REASON = 123  # bytes: a control frame has 125, and the code takes two
_CLIENT_LEFT = (1001, "client went away")
_UPSTREAM_LOST = (1011, "upstream connection lost")
_GOING_AWAY = (1001, "going away")
_FAILED = (1011, "proxy failed")
_GRACE_SECONDS = 1.0


class Closed(Exception):
    """The peer has closed; 1005: without a code, 1006: without a word."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code)
        self.code = code
        """The close code."""
        self.reason = reason
        """The peer's own words."""


class Socket(Protocol):
    """One connection of some library; all of it raises :class:`Closed`, except ``close``."""

    async def receive(self) -> str | bytes:
        """The next message; ``str`` is a text message, ``bytes`` a binary one."""
        ...

    async def send(self, data: bytes, *, is_text: bool) -> None:
        """Send a message, and wait while the peer does not read."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye; to one that is gone, nothing."""
        ...


class _Side:
    """One of the two sockets, and what waits to be sent to it."""

    def __init__(self, name: str, socket: Socket, high_water: int) -> None:
        self.name = name
        self.socket = socket
        self.waiting = 0
        self.room = asyncio.Event()
        self.room.set()
        self._high_water = high_water
        self._outbox: deque[tuple[bytes, bool]] = deque()
        self._work = asyncio.Event()
        self._goodbye: tuple[int, str] | None = None

    def put(self, data: bytes, *, is_text: bool) -> None:
        self._outbox.append((data, is_text))
        self.waiting += len(data)
        if self.waiting > self._high_water:
            self.room.clear()
        self._work.set()

    def finish(self, goodbye: tuple[int, str]) -> None:
        """Close it, when all that waits is sent."""
        self._goodbye = goodbye
        self._work.set()

    async def write(self) -> None:
        """Send what is put in, in order, to the end."""
        while True:
            while self._outbox:
                data, is_text = self._outbox.popleft()
                await self.socket.send(data, is_text=is_text)
                self.waiting -= len(data)
                if self.waiting <= self._high_water:
                    self.room.set()
            if self._goodbye is not None:
                return
            self._work.clear()
            await self._work.wait()


class _Pump:
    """The shell of a session: its sockets, and what runs beside it."""

    def __init__(self, client: Socket, upstream: Socket, pipeline: Pipeline, limits: Limits) -> None:
        self._pipeline, self._counts, self._limits = pipeline, pipeline.counts, limits
        self._client = _Side("client", client, limits.high_water_bytes)
        self._upstream = _Side("upstream", upstream, limits.high_water_bytes)
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._to_client = self._to_upstream = _FAILED  # what each is told in the end
        self._by = "proxy"
        self._works: set[asyncio.Task[None]] = set()

    # What a session asks for

    def to_client(self, data: bytes) -> None:
        self._put(self._client, data, is_text=True)

    def to_upstream(self, data: bytes) -> None:
        self._put(self._upstream, data, is_text=True)

    def binary(self, direction: Direction, data: bytes) -> None:
        self._put(self._upstream if direction == "client" else self._client, data, is_text=False)

    def is_behind(self) -> bool:
        return not self._upstream.room.is_set()

    def hurry(self) -> None:
        """Whoever writes is at it already."""

    def close(self, code: int, reason: str) -> None:
        self._over("proxy", (code, reason), (code, reason))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._works.add(task)
        task.add_done_callback(self._works.discard)

    def _put(self, side: _Side, data: bytes, *, is_text: bool) -> None:
        if self._ended.done():
            return
        side.put(data, is_text=is_text)
        if self._client.waiting + self._upstream.waiting > self._limits.max_session_bytes:
            self._give_up("too much waits")

    # From the first message to the last

    async def run(self, opening: Opening) -> None:
        """Pump until a side or a policy has had enough, and close what is still open."""
        began = perf_counter()
        self._counts.sessions += 1
        self._counts.sessions_open += 1
        session = self._pipeline.session(opening, self)
        writing = [asyncio.create_task(self._write(side)) for side in (self._client, self._upstream)]
        reading = [
            asyncio.create_task(self._read(self._client, self._upstream, session.from_client, session)),
            asyncio.create_task(self._read(self._upstream, self._client, session.from_upstream, session)),
        ]
        try:
            await asyncio.wait([self._ended])
            self._ended.result()
        except asyncio.CancelledError:
            self.close(*_GOING_AWAY)
            raise
        finally:
            session.end()
            await asyncio.sleep(0)  # a task that has not begun yet cannot close what it was given
            await _cancelled(*reading, *self._works)
            await asyncio.gather(
                self._finish(self._client, writing[0], self._to_client),
                self._finish(self._upstream, writing[1], self._to_upstream),
            )
            self._count(session, round(perf_counter() - began, 3))

    def _count(self, session: Session, seconds: float) -> None:
        code, reason = self._to_client
        self._counts.note_end(code)
        fields = {
            "session": session.id,
            "client": session.opening.client,
            "surface": session.surface,
            "code": code,
            "by": self._by,
            "why": reason if self._by == "proxy" else None,
            "seconds": seconds,
        }
        _LOGGER.info("session closed", extra={"fields": fields})

    async def _read(self, side: _Side, other: _Side, text: Callable[[bytes], None], session: Session) -> None:
        direction: Direction = "client" if side is self._client else "server"
        try:
            while not self._ended.done():
                message = await side.socket.receive()
                if isinstance(message, str):
                    text(message.encode())
                else:
                    session.binary(direction, message)
                if not other.room.is_set():
                    await self._room(other)
        except Closed as end:
            self._gone(side, end)
        except Exception as error:  # noqa: BLE001 - it is raised again where the session is awaited
            self._broke(error)

    async def _room(self, side: _Side) -> None:
        """Wait until a side has read most of what waits for it."""
        began = perf_counter()
        try:
            async with asyncio.timeout(self._limits.stall_seconds):
                await side.room.wait()
        except TimeoutError:
            self._give_up(f"{side.name} does not read")
        finally:
            self._counts.backpressure_seconds[side.name] += perf_counter() - began

    async def _write(self, side: _Side) -> None:
        try:
            await side.write()
        except Closed as end:
            await asyncio.wait([self._ended], timeout=_GRACE_SECONDS)  # who reads may know a better code
            self._gone(side, end)
        except Exception as error:  # noqa: BLE001 - as above
            self._broke(error)

    # The end

    def _over(self, by: str, to_client: tuple[int, str], to_upstream: tuple[int, str]) -> None:
        """It ends, in these words; who is first is heard."""
        if not self._ended.done():
            self._by, self._to_client, self._to_upstream = by, to_client, to_upstream
            self._ended.set_result(None)

    def _broke(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)

    def _give_up(self, reason: str) -> None:
        if not self._ended.done():
            self._counts.stalled += 1
            self.close(1013, reason)

    def _gone(self, side: _Side, end: Closed) -> None:
        """One side is gone: what the other is told."""
        if self._ended.done():
            return
        own = (end.code, end.reason)
        if side is self._client:
            self._over("client", own, _passed_on(own, _CLIENT_LEFT))
        else:
            self._over("upstream", _passed_on(own, _UPSTREAM_LOST), own)

    async def _finish(self, side: _Side, writing: asyncio.Task[None], goodbye: tuple[int, str]) -> None:
        """Send what waits, and close; neither for ever."""
        seconds = self._limits.stall_seconds
        side.finish(goodbye)
        await asyncio.wait([writing], timeout=seconds)
        await _cancelled(writing)
        code, reason = _passed_on(goodbye, _GOING_AWAY)
        closing = asyncio.create_task(side.socket.close(code, _shortened(reason)))
        await asyncio.wait([closing], timeout=seconds)
        await _cancelled(closing)


def _passed_on(end: tuple[int, str], otherwise: tuple[int, str]) -> tuple[int, str]:
    """One side's end in the other's close frame, which has no place for every code."""
    code, _ = end
    if code == NO_STATUS:
        return (1000, "")
    return end if code in SAYABLE else otherwise


def _shortened(reason: str) -> str:
    return reason.encode(errors="ignore")[:_LONGEST_REASON].decode(errors="ignore")


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def pump(
    client: Socket, upstream: Socket, pipeline: Pipeline, opening: Opening, limits: Limits = DEFAULTS
) -> None:
    """Carry messages both ways through a session, until a side closes or a policy closes both."""
    await _Pump(client, upstream, pipeline, limits).run(opening)
