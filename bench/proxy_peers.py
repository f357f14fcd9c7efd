"""The proxy that one writes with what there is: ``websockets`` for the sockets, OpenAI's SDK for the events.

It does what ``rtproto proxy`` does without policies: it knows the type of every event of the service, counts
it, and sends it on as it came. The SDK tells a type by making the event, as its own connection does.
"""

import asyncio
import sys
from collections import Counter

import uvloop
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

__all__ = ["main"]

_COUNTS: Counter[str] = Counter()
_LONGEST = 2**24


async def _serve(port: int, service_port: int) -> None:
    url = f"ws://127.0.0.1:{service_port}"

    async def session(client: ServerConnection) -> None:
        path = client.request.path if client.request else ""
        async with connect(url + path, compression=None, max_size=_LONGEST, proxy=None) as service:
            pumps = [asyncio.create_task(_down(service, client)), asyncio.create_task(_up(client, service))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()

    async with serve(session, "127.0.0.1", port, compression=None, max_size=_LONGEST) as server:
        await server.serve_forever()


async def _down(service: object, client: ServerConnection) -> None:
    connection = AsyncRealtimeConnection(service)  # type: ignore[arg-type] - websockets' own, as the SDK has it
    try:
        while True:
            data = await connection.recv_bytes()
            _COUNTS[connection.parse_event(data).type] += 1
            await client.send(data, text=True)
    except ConnectionClosed:
        pass


async def _up(client: ServerConnection, service: object) -> None:
    async for data in client:
        await service.send(data)  # type: ignore[attr-defined] - as above


def main(port: str, service_port: str) -> None:
    """Serve at a port until killed, with uvloop as rtproto does."""
    uvloop.run(_serve(int(port), int(service_port)))


if __name__ == "__main__":
    main(*sys.argv[1:])
