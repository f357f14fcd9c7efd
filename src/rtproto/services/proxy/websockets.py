"""A server of your own, on ``websockets``, has the same policies: it owns both connections, and we pump.

::

    pipeline = Pipeline([MyPolicy()])

    async def serve(client):
        opening = pipeline.open(opening_of(client.request))  # raises Refused: close it as you like
        headers = {"Authorization": f"Bearer {KEY}"}
        async with connect(f"{URL}?{opening.query}", additional_headers=headers, max_size=SIZE) as upstream:
            await relay(client, upstream, pipeline, opening)

``websockets`` takes messages up to 1 MiB if nothing else is said, and an append may have 20: give ``serve``
and ``connect`` a ``max_size``. It answers pings itself, and asks each side whether it is still there.
"""

import asyncio
from contextlib import suppress

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request

from rtproto._close_codes import ABNORMAL
from rtproto.services.proxy._pump import DEFAULTS, Closed, pump
from rtproto.services.proxy.admission import asked
from rtproto.services.proxy.limits import Limits
from rtproto.services.proxy.opening import Opening, Refused
from rtproto.services.proxy.policy import Pipeline

__all__ = ["ConnectionSocket", "opening_of", "relay"]


class ConnectionSocket:
    """A connection of ``websockets``, as the pump takes it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def receive(self) -> str | bytes:
        """The next message; raises ``Closed``."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as end:
            raise _closed(end) from None

    async def send(self, data: bytes, *, is_text: bool) -> None:
        """Send a message; raises ``Closed``."""
        try:
            await self._connection.send(data, text=is_text)
        except ConnectionClosed as end:
            raise _closed(end) from None

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye, and wait for the answer, which stands behind all that nobody has read."""
        drain = asyncio.create_task(self._drain())
        try:
            await self._connection.close(code, reason)
        finally:
            drain.cancel()

    async def _drain(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self._connection.recv()


def _closed(end: ConnectionClosed) -> Closed:
    """How the peer closed it; what ``websockets`` gave up, for a fault or an unanswered ping, broke off."""
    return Closed(ABNORMAL) if end.rcvd is None else Closed(end.rcvd.code, end.rcvd.reason)


def opening_of(request: Request | None) -> Opening:
    """What a client asks for in a handshake, without its key: for ``Pipeline.open`` and :func:`relay`.

    Raises:
        ValueError: there was no handshake yet.
    """
    if request is None:
        raise ValueError("a connection has a request when its handshake is done")
    path, _, query = request.path.partition("?")
    return asked(path, query, request.headers.raw_items())


async def relay(
    client: ServerConnection,
    upstream: ClientConnection,
    pipeline: Pipeline,
    opening: Opening | None = None,
    *,
    limits: Limits = DEFAULTS,
) -> None:
    """Carry messages both ways through the policies, until a side closes; then both are closed.

    Each side is told the other's code and reason. A client that vanished is 1001 to the service, a service
    that was lost is 1011 to the client, and so is what a policy raises.

    Args:
        client: the client's connection, its handshake done.
        upstream: the connection to the service.
        pipeline: the policies: one for all sessions.
        opening: what ``pipeline.open`` gave; ``None``: it is asked here, and a client that a policy refuses
            is closed with 1008.
        limits: how much may wait, and how long; the length of messages is for ``websockets`` to limit.
    """
    if opening is None:
        try:
            opening = pipeline.open(opening_of(client.request))
        except Refused as refused:
            await client.close(1008, refused.reason)
            return
    await pump(ConnectionSocket(client), ConnectionSocket(upstream), pipeline, opening, limits)
