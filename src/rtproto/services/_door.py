"""A door is an open port and who came in by it: it is shut to others before the last of these have left."""

import asyncio
import ssl
from contextlib import suppress
from typing import Generic, TypeVar

from rtproto._sockets import Listening, Route, listen

__all__ = ["Door"]

G = TypeVar("G")

_GOING_AWAY = (1001, "going away")


class Door(Generic[G]):
    """Where a service listens."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, *, reuse_port: bool) -> None:
        self.guests: set[G] = set()
        """Who is in."""
        self.is_draining: bool = False
        """Whether nobody new is let in any more."""
        self.tls: ssl.SSLContext | None = tls
        """The certificate; ``None``: without encryption."""
        self._host, self._port, self._reuse_port = host, port, reuse_port
        self._listening: Listening | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    def __repr__(self) -> str:
        return f"port {self.port}" if self.is_open else "closed"

    @property
    def is_open(self) -> bool:
        """Whether somebody listens."""
        return self._listening is not None

    @property
    def port(self) -> int:
        """The port.

        Raises:
            RuntimeError: it is not open.
        """
        if self._listening is None:
            raise RuntimeError("it is not open")
        return self._listening.port

    def url(self, scheme: str, path: str) -> str:
        """A URL that leads here, of ``http`` or ``ws``, with an ``s`` if it is encrypted."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}{'s' if self.tls else ''}://{host}:{self.port}{path}"

    def enter(self, guest: G) -> None:
        """Somebody came in."""
        self.guests.add(guest)
        self._empty.clear()

    def leave(self, guest: G) -> None:
        """Somebody has left."""
        self.guests.discard(guest)
        if not self.guests:
            self._empty.set()

    async def open(self, route: Route, max_message_bytes: int, handshake_seconds: float) -> None:
        """Open the port.

        Raises:
            OSError: the address cannot be had.
            RuntimeError: it is open already.
        """
        if self._listening is not None:
            raise RuntimeError("it is open already")
        self.is_draining = False
        self._listening = await listen(
            route,
            self._host,
            self._port,
            max_message_bytes,
            tls=self.tls,
            handshake_seconds=handshake_seconds,
            reuse_port=self._reuse_port,
        )

    async def close(self) -> None:
        """Say goodbye to all, and close the port."""
        self.is_draining = True
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.close(*_GOING_AWAY)

    async def drain(self, seconds: float) -> None:
        """Let nobody new in, and wait until the last has left, for so many seconds at most."""
        self.is_draining = True
        if self._listening is not None:
            self._listening.stop()
        await self.emptied(seconds)

    async def emptied(self, seconds: float) -> None:
        """Wait until nobody is in, for so many seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._empty.wait()
