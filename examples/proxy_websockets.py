"""A proxy on ``websockets`` that sets the instructions: ``python examples/proxy_websockets.py URL``.

The URL is the service's, ``wss://api.openai.com/v1/realtime``, and the key is in ``OPENAI_API_KEY``. Without
a URL it serves one session, of a fake service. What it prints is the ``base_url`` for the official SDK. Who
asks for another model is not let in.
"""

import asyncio
import os
import sys
from typing import Any
from weakref import WeakKeyDictionary

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from rtproto import Frame
from rtproto.services.proxy import ModelLock, Opening, Pipeline, Policy, Refused, Session
from rtproto.services.proxy.websockets import opening_of, relay
from rtproto.testing import FakeRealtimeServer, Script

KEY = {"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'any')}"}
LONGEST = 24 * 2**20  # an append of 15 MiB, in base64


class Brief(Policy):
    """Sets one value; the rest of an update goes on as it was written."""

    client_types = frozenset({"session.update"})

    def on_client_frame(self, session: Session, frame: Frame[Any]) -> Frame[Any]:  # noqa: ARG002 - for all alike
        """Whatever the instructions were."""
        return frame.set("session.instructions", "Be brief.")


async def main(*urls: str) -> None:
    """Serve the first of these, or a fake."""
    pipeline, over = Pipeline([ModelLock({"gpt-realtime"}), Brief()]), asyncio.Event()
    openings: WeakKeyDictionary[ServerConnection, Opening] = WeakKeyDictionary()

    def admit(client: ServerConnection, request: Request) -> Response | None:
        try:
            openings[client] = pipeline.open(opening_of(request))
        except Refused as refused:
            return client.respond(refused.status, refused.reason)
        return None

    async with FakeRealtimeServer(Script("It is noon.")) as fake:
        url, *_ = (*urls, fake.url.partition("?")[0])

        async def session(client: ServerConnection) -> None:
            opening = openings[client]
            target = f"{url}?{opening.query}"
            async with connect(target, additional_headers=KEY, max_size=LONGEST) as upstream:
                await relay(client, upstream, pipeline, opening)
            if not urls:
                over.set()

        async with serve(session, "127.0.0.1", 0, process_request=admit, max_size=LONGEST) as server:
            (listening,) = server.sockets
            sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}/v1\n")
            sys.stdout.flush()
            await over.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
