"""A small client that the fake server's tests share: it talks over a real socket, and waits for so long."""

import asyncio
import itertools
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

from rtproto.testing import FakeRealtimeServer, Script

SECONDS = 20
KEY = {"Authorization": "Bearer sk-test"}


class Client:
    """A plain WebSocket client that speaks JSON."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.seen: list[dict[str, Any]] = []

    async def send(self, *events: dict[str, Any]) -> None:
        for event in events:
            await self.socket.send(json.dumps(event))

    async def until(self, *types: str) -> dict[str, Any]:
        """The next event of one of these types; what comes before it is seen too."""
        while True:
            async with asyncio.timeout(SECONDS):
                event = json.loads(await self.socket.recv())
            self.seen.append(event)
            if event["type"] in types:
                return event

    async def ask(self, *events: dict[str, Any]) -> dict[str, Any]:
        """Send events; the answer to the last of them is an error, or what it is answered with."""
        await self.send(*events)
        return await self.until("error", *ANSWERS[events[-1]["type"]])

    async def closed(self) -> tuple[int, str]:
        """Read to the end; the close code and reason."""
        try:
            while True:
                async with asyncio.timeout(SECONDS):
                    self.seen.append(json.loads(await self.socket.recv()))
        except websockets.ConnectionClosed as end:
            return (end.rcvd.code, end.rcvd.reason) if end.rcvd else (1006, "")

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.seen]


ANSWERS = {
    "session.update": ("session.updated",),
    "conversation.item.create": ("conversation.item.done",),
    "conversation.item.retrieve": ("conversation.item.retrieved",),
    "conversation.item.delete": ("conversation.item.deleted",),
    "conversation.item.truncate": ("conversation.item.truncated",),
    "input_audio_buffer.commit": ("conversation.item.done",),
    "input_audio_buffer.clear": ("input_audio_buffer.cleared",),
    "response.create": ("response.created",),
    "response.cancel": ("response.done",),
}


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[Client]:
    """A client of a URL, past ``session.created``."""
    options.setdefault("additional_headers", KEY)
    async with asyncio.timeout(SECONDS), websockets.connect(url, **options) as socket:
        client = Client(socket)
        await client.until("session.created", "error")
        yield client


def talk(
    conversation: Callable[[Client], Awaitable[Any]],
    *replies: Any,
    kind: str = "url",
    **options: Any,
) -> FakeRealtimeServer:
    """Run one conversation with a fake server; gives the server, for what it saw."""
    script = options.pop("script", None) or Script(*replies)
    server = FakeRealtimeServer(script, **{"speed": math.inf, **options})

    async def run() -> None:
        async with server, connected(getattr(server, kind)) as client:
            await conversation(client)

    asyncio.run(run())
    return server


def said(text: str, **more: Any) -> dict[str, Any]:
    """A user's message."""
    content = [{"type": "input_text", "text": text}]
    return {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": "user", "content": content},
        **more,
    }


def update(**session: Any) -> dict[str, Any]:
    """A session's update."""
    return {"type": "session.update", "session": {"type": "realtime", **session}}


def collapsed(types: Iterable[str]) -> list[str]:
    """Types in order, a run of one type as one: how many deltas there are is no matter."""
    return [name for name, _ in itertools.groupby(types)]
