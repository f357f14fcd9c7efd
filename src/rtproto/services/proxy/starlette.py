"""An application of your own, on Starlette or FastAPI, has the same policies on the connections that it owns.

::

    app = FastAPI()
    app.add_exception_handler(Refused, refuse)
    pipeline = Pipeline([MyPolicy()])

    @app.websocket("/v1/realtime")
    async def realtime(websocket: WebSocket) -> None:
        opening = pipeline.open(opening_of(websocket))
        headers = {"Authorization": f"Bearer {KEY}"}
        async with connect(f"{URL}?{opening.query}", additional_headers=headers, max_size=SIZE) as upstream:
            await relay(websocket, upstream, pipeline, opening)

The service is connected by ``websockets``, which takes messages up to 1 MiB if nothing else is said.
"""

from contextlib import suppress

from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from websockets.asyncio.client import ClientConnection

from rtproto._close_codes import ABNORMAL, NO_STATUS
from rtproto.services.proxy._pump import DEFAULTS, Closed, pump
from rtproto.services.proxy.admission import asked
from rtproto.services.proxy.limits import Limits
from rtproto.services.proxy.opening import Opening, Refused
from rtproto.services.proxy.policy import Pipeline
from rtproto.services.proxy.websockets import ConnectionSocket

__all__ = ["opening_of", "refuse", "relay"]

_SUBPROTOCOL = "realtime"


class _Socket:
    """A client, as the pump takes it."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise Closed(message.get("code") or NO_STATUS, message.get("reason") or "")
        text: str | None = message.get("text")
        return message["bytes"] if text is None else text

    async def send(self, data: bytes, *, is_text: bool) -> None:
        try:
            await (self._websocket.send_text(data.decode()) if is_text else self._websocket.send_bytes(data))
        except (WebSocketDisconnect, RuntimeError):  # the server has it from the client, or from us
            raise Closed(ABNORMAL) from None

    async def close(self, code: int, reason: str) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):  # it is closed
            await self._websocket.close(code, reason)


def opening_of(websocket: WebSocket) -> Opening:
    """What a client asks for, without its key: for ``Pipeline.open`` and :func:`relay`."""
    query = websocket.scope["query_string"].decode("latin-1")
    return asked(websocket.url.path, query, websocket.headers.items())


async def refuse(websocket: WebSocket, refused: Exception) -> None:
    """Answer a client that is not let in by HTTP; one that was accepted before is closed with 1008.

    Args:
        websocket: the client.
        refused: a ``Refused``; any other exception is raised again.
    """
    if not isinstance(refused, Refused):
        raise refused
    if websocket.application_state is WebSocketState.CONNECTING:
        await websocket.send_denial_response(PlainTextResponse(refused.reason, refused.status))
    else:
        await websocket.close(1008, refused.reason)


async def relay(
    websocket: WebSocket,
    upstream: ClientConnection,
    pipeline: Pipeline,
    opening: Opening | None = None,
    *,
    limits: Limits = DEFAULTS,
) -> None:
    """Accept the client if nobody has yet, and carry messages both ways as ``websockets.relay`` does.

    Args:
        websocket: the client.
        upstream: the connection to the service.
        pipeline: the policies: one for all sessions.
        opening: what ``pipeline.open`` gave; ``None``: it is asked here, and a client that a policy refuses
            is answered by :func:`refuse`.
        limits: how much may wait, and how long; the length of messages is for the server to limit.
    """
    if opening is None:
        try:
            opening = pipeline.open(opening_of(websocket))
        except Refused as refused:
            await refuse(websocket, refused)
            return
    if websocket.application_state is WebSocketState.CONNECTING:
        offered = websocket.scope["subprotocols"]
        await websocket.accept(_SUBPROTOCOL if _SUBPROTOCOL in offered else None)
    await pump(_Socket(websocket), ConnectionSocket(upstream), pipeline, opening, limits)
