"""The hubs that one writes with what there is: ``websockets`` for the sockets, OpenAI's SDK for the events.

Both hold one session with the service and repeat it to all who are connected. ``broadcast`` is the best that
``websockets`` has: each message is framed once, without compression. ``sdk`` does what a hub does that knows
events by the SDK: makes the event for each listener, and writes it anew.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine

import uvloop
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

__all__ = ["main"]

_LONGEST = 2**24
_AGAIN = 0.1  # seconds
_EARS: set[ServerConnection] = set()


async def _broadcast(service: ClientConnection) -> None:
    async for message in service:
        broadcast(_EARS, message)


async def _sdk(service: ClientConnection) -> None:
    parse = AsyncRealtimeConnection(service).parse_event
    async for message in service:
        for ear in [*_EARS]:
            await ear.send(parse(message).model_dump_json())


_WAYS: dict[str, Callable[[ClientConnection], Coroutine[object, object, None]]] = {
    "broadcast": _broadcast,
    "sdk": _sdk,
}


async def _listened_to(ear: ServerConnection) -> None:
    _EARS.add(ear)
    try:
        await ear.wait_closed()
    finally:
        _EARS.discard(ear)


async def _run(port: int, url: str, way: str) -> None:
    async with serve(_listened_to, "127.0.0.1", port, compression=None, max_size=_LONGEST):
        while True:
            try:
                async with connect(url, compression=None, max_size=_LONGEST, proxy=None) as service:
                    await _WAYS[way](service)
            except (OSError, ConnectionClosed):
                await asyncio.sleep(_AGAIN)


def main(port: str, service_port: str, way: str, loop: str) -> None:
    """Serve at a port until killed; the service knows by the port in the path who comes."""
    run = uvloop.run if loop == "uvloop" else asyncio.run
    run(_run(int(port), f"ws://127.0.0.1:{service_port}/{port}/v1/realtime", way))


if __name__ == "__main__":
    main(*sys.argv[1:])
