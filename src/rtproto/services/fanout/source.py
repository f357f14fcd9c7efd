"""A source keeps a named session with the service, and repeats in its room what that says, turn by turn."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from rtproto._sockets import Connection, Frame, HandshakeError, Transport, connect
from rtproto.services.fanout.bus import Bus, check_name
from rtproto.services.fanout.room import Room, Say
from rtproto.services.proxy.opening import Opening
from rtproto.services.proxy.upstream import Upstream

__all__ = ["Source"]

_LOGGER = logging.getLogger("rtproto.fanout")
_SHORTEST, _LONGEST = 1.0, 30.0  # seconds between two attempts
_REFUSALS = (OSError, HandshakeError, TimeoutError, UnicodeError)  # the last: a host that is none
_MOST_WAITING = 2**20  # bytes of speakers that the service has not taken


class Source:
    """A session of ours with the service; when it ends, another one begins, under the same name.

    ``async with source.running(): …``: as long as that lasts.
    """

    def __init__(
        self,
        bus: Bus,
        name: str,
        upstream: Upstream,
        opening: Opening,
        *,
        can_be_spoken_to: bool = False,
    ) -> None:
        """Nothing is opened yet.

        Args:
            bus: where its room is.
            name: its name.
            upstream: the service.
            opening: what is asked of it: ``Opening(path="/v1/realtime", query="model=gpt-realtime")``.
            can_be_spoken_to: whether listeners with the right may send events to the service.

        Raises:
            ValueError: the name is none.
        """
        self.name: str = check_name(name)
        """Its name."""
        self._bus, self._upstream, self._opening = bus, upstream, opening
        self._can_be_spoken_to = can_be_spoken_to

    def __repr__(self) -> str:
        return f"<Source {self.name}>"

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Hold the session, and the next."""
        task = asyncio.create_task(self.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def run(self) -> None:
        """Hold the session, and the next, until it is cancelled."""
        loop, pause = asyncio.get_running_loop(), _SHORTEST
        while True:
            service = _Service(self._bus, self.name, can_be_spoken_to=self._can_be_spoken_to)
            begun = loop.time()
            try:
                await self._connect(service)
                await self._look_after(service)
            except _REFUSALS as refusal:
                self._failed(refusal)
            except asyncio.CancelledError:
                await service.leave()
                raise
            if loop.time() - begun >= _LONGEST:  # else it is as if it had been refused
                pause = _SHORTEST
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST)

    async def _look_after(self, service: "_Service") -> None:
        """Wait until it is gone; now and then ask whether it is there."""
        every = self._bus.limits.ping_seconds or None
        gone = asyncio.ensure_future(service.gone())
        try:
            while not (await asyncio.wait([gone], timeout=every))[0]:
                service.look_after()
        finally:
            gone.cancel()

    async def _connect(self, service: "_Service") -> None:
        await connect(
            service,
            self._upstream.target(self._opening),
            self._upstream.headers(self._opening, None),
            subprotocols=self._opening.subprotocols,
            tls=self._upstream.tls,
            handshake_seconds=self._bus.limits.handshake_seconds,
        )

    def _failed(self, refusal: Exception) -> None:
        self._bus.counts.upstream_failures += 1
        status = getattr(getattr(refusal, "response", None), "status", None)
        fields = {"session": self.name, "error": type(refusal).__name__, "status": status}
        _LOGGER.warning("upstream failed", extra={"fields": fields})


class _Service(Connection):
    """The service's end of a session."""

    __slots__ = ("_bus", "_came", "_can_be_spoken_to", "_name", "_room")

    def __init__(self, bus: Bus, name: str, *, can_be_spoken_to: bool) -> None:
        super().__init__(bus.limits.max_message_bytes)
        self._bus, self._name, self._can_be_spoken_to = bus, name, can_be_spoken_to
        self._came: list[bytes] = []
        self._room: Room | None = None

    def opened(self) -> None:
        say: Say | None = self._say if self._can_be_spoken_to else None
        try:
            self._room = self._bus.begin(self._name, say)
        except ValueError:  # as a proxy's client may call its own
            _LOGGER.warning("there is such a session", extra={"fields": {"session": self._name}})
            self.close(1000)
            return
        _LOGGER.info("session opened", extra={"fields": {"session": self._name}})

    def on_ws_frame(self, transport: Transport, frame: Frame) -> None:
        super().on_ws_frame(transport, frame)
        if frame.last_in_buffer:
            self._turn_over()

    def text(self, data: bytes) -> None:
        self._came.append(data)

    def look_after(self) -> None:
        """Ask whether it is there, unless it has not answered for too long, or nobody wants to know."""
        if self.is_broken or self.is_silent:
            self.abort()
        elif self._room is not None and self._room.is_over:
            self.close(1000)
        else:
            self.send_ping()

    def _turn_over(self) -> None:
        if self._came and self._room is not None:
            came, self._came = self._came, []
            self._room.publish(came)

    def _say(self, data: bytes) -> bool:
        if not self.is_open or (self.is_paused and self.waiting > _MOST_WAITING):
            return False
        self.send(data)
        return True

    def closed(self, code: int, reason: str) -> None:  # noqa: ARG002 - a reason may hold anything
        self._turn_over()
        if self._room is not None:
            self._room.end(f"the service closed with {code}")
        _LOGGER.info("session closed", extra={"fields": {"session": self._name, "code": code}})

    async def leave(self) -> None:
        """Say goodbye, and wait until it is over."""
        if self._room is not None:
            self._room.end("going away", 1001)
        if self.is_open:
            self.close(1000)
            await self.gone()
