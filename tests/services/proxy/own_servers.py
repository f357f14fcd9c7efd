"""Servers as users have them, each with the relay of its library: what they share is tested once for all."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import uvicorn
import websockets
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.server import Server as Listening
from websockets.asyncio.server import ServerConnection

from rtproto.services.proxy import Pipeline, Refused
from rtproto.services.proxy import starlette as on_starlette
from rtproto.services.proxy import websockets as on_websockets
from rtproto.services.proxy.limits import Limits

SECONDS = 20
SIZE = 8 * 2**20
Server: TypeAlias = Callable[..., AbstractAsyncContextManager[str]]


def connected(upstream: str, query: str) -> Any:
    """A connection to the service, as a user makes one."""
    headers = {"Authorization": "Bearer sk-service"}
    options: dict[str, Any] = {"max_size": SIZE, "compression": None, "proxy": None}
    # a goodbye that is not heard lasts longer than any test
    options["close_timeout"] = 2 * SECONDS
    return websockets.connect(f"{upstream}?{query}", additional_headers=headers, **options)


def port_of(server: Listening) -> int:
    (listening,) = server.sockets
    return int(listening.getsockname()[1])


def base_url(port: int) -> str:
    return f"http://127.0.0.1:{port}/v1"


@asynccontextmanager
async def websockets_server(
    upstream: str, pipeline: Pipeline, limits: Limits | None = None
) -> AsyncIterator[str]:
    async def serve(client: ServerConnection) -> None:
        query = on_websockets.opening_of(client.request).query
        async with connected(upstream, query) as service:
            await on_websockets.relay(client, service, pipeline, limits=limits or Limits())

    async with websockets.serve(serve, "127.0.0.1", 0, max_size=SIZE, compression=None) as server:
        yield base_url(port_of(server))


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[str]:
    """An ASGI application on a port of its own, in this event loop."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        options: dict[str, Any] = {"ws": "websockets-sansio", "lifespan": "off", "log_level": "critical"}
        server = uvicorn.Server(uvicorn.Config(app, ws_max_size=SIZE, **options))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield base_url(listening.getsockname()[1])
        finally:
            server.should_exit = True
            await serving


def _serve(
    upstream: str, pipeline: Pipeline, limits: Limits | None
) -> Callable[[WebSocket], Awaitable[None]]:
    async def serve(websocket: WebSocket) -> None:
        opening = pipeline.open(on_starlette.opening_of(websocket))
        async with connected(upstream, opening.query) as service:
            await on_starlette.relay(websocket, service, pipeline, opening, limits=limits or Limits())

    return serve


@asynccontextmanager
async def starlette_server(
    upstream: str, pipeline: Pipeline, limits: Limits | None = None
) -> AsyncIterator[str]:
    routes = [WebSocketRoute("/v1/realtime", _serve(upstream, pipeline, limits))]
    app = Starlette(routes=routes)
    app.add_exception_handler(Refused, on_starlette.refuse)
    async with running(app) as url:
        yield url


@asynccontextmanager
async def fastapi_server(
    upstream: str, pipeline: Pipeline, limits: Limits | None = None
) -> AsyncIterator[str]:
    app = FastAPI()
    app.add_exception_handler(Refused, on_starlette.refuse)
    app.websocket("/v1/realtime")(_serve(upstream, pipeline, limits))
    async with running(app) as url:
        yield url


SERVERS: dict[str, Server] = {
    "websockets": websockets_server,
    "starlette": starlette_server,
    "fastapi": fastapi_server,
}
