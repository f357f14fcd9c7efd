"""A proxy in FastAPI with a tool that clients need not know: ``python examples/proxy_fastapi.py URL``.

They see no call and no output of it; what they see is a response that ends empty, and then another that they
did not ask for. Who asks for another model is not let in.

The URL is the service's, ``wss://api.openai.com/v1/realtime``, and the key is in ``OPENAI_API_KEY``. Without
a URL it serves one session, of a fake service. What it prints is the ``base_url`` for the official SDK.
"""

import asyncio
import os
import socket
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket
from websockets.asyncio.client import connect

from rtproto.services.proxy import ModelLock, Pipeline, Refused, Session
from rtproto.services.proxy.starlette import opening_of, refuse, relay
from rtproto.services.proxy.tools import Tools
from rtproto.testing import Call, FakeRealtimeServer, Script

KEY = {"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'any')}"}
LONGEST = 24 * 2**20  # an append of 15 MiB, in base64
SCRIPT = Script(Call("get_weather", {"city": "Oslo"}), lambda turn: f"I hear: {turn.tool_output}")


async def get_weather(session: Session, arguments: dict[str, Any]) -> object:  # noqa: ARG001 - for all alike
    """What a tool gives is text, or becomes JSON; who asks is in ``session.opening.client``."""
    return {"city": arguments["city"], "sky": "fog"}


async def main(*urls: str) -> None:
    """Serve the first of these, or a fake."""
    app = FastAPI()
    app.add_exception_handler(Refused, refuse)
    config = uvicorn.Config(app, log_level="warning", ws="websockets-sansio", ws_max_size=LONGEST)
    server = uvicorn.Server(config)
    pipeline = Pipeline([ModelLock({"gpt-realtime"}), Tools({"get_weather": get_weather}, hide=True)])
    async with FakeRealtimeServer(SCRIPT) as fake:
        url, *_ = (*urls, fake.url.partition("?")[0])

        async def session(websocket: WebSocket) -> None:
            opening = pipeline.open(opening_of(websocket))
            target = f"{url}?{opening.query}"
            async with connect(target, additional_headers=KEY, max_size=LONGEST) as upstream:
                await relay(websocket, upstream, pipeline, opening)
            server.should_exit = not urls

        app.add_api_websocket_route("/v1/realtime", session)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}/v1\n")
            sys.stdout.flush()
            await server.serve(sockets=[listening])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
