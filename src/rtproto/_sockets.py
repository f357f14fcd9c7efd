"""A WebSocket is whole messages in, messages out and one end: how they were cut on the way stays in here."""

import asyncio
import logging
import struct
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from ssl import SSLContext
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from picows import (
    WSCloseCode,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_connect,  # pyright: ignore[reportUnknownVariableType] - its **kwargs
    ws_create_server,  # pyright: ignore[reportUnknownVariableType] - its **kwargs
)

from rtproto._close_codes import ABNORMAL, NO_STATUS, SAYABLE

__all__ = [
    "BINARY",
    "MAX_MESSAGE_BYTES",
    "PING",
    "PONG",
    "TEXT",
    "Connection",
    "Frame",
    "Gathering",
    "HandshakeError",
    "Listening",
    "Outlet",
    "Refusal",
    "Request",
    "Route",
    "Transport",
    "accept",
    "connect",
    "framed",
    "listen",
    "new_loop",
    "offered",
    "page",
    "refuse",
]

MAX_MESSAGE_BYTES = 24 * 2**20
"""The longest message taken, in bytes, if nothing else is said; an append of 15 MiB is 20 MiB of base64."""

TEXT, BINARY, PING, PONG = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG
"""Kinds of frames."""

_LOGGER = logging.getLogger("picows.rtproto")
_LOGGER.setLevel(logging.DEBUG)  # below it picows logs handshakes, with their keys
_AIOFASTNET = False  # its transports miss a peer's reset on uvloop (libuv reports it as a bad descriptor)
_SUBPROTOCOL = "realtime"
_CLOSE_SECONDS = 1.0
_MOST_UNANSWERED = 3  # pings
_BACKLOG = 4096  # clients that wait for the handshake, as many as come at once when a server is new
_READ_BUFFER = 4096  # bytes at first: it grows with what comes, and a thousand sessions may be idle
_LONGEST_REASON = 123  # bytes: a control frame has 125, and the code takes two

Request: TypeAlias = WSUpgradeRequest
"""What a client asked for: ``path`` (bytes, with the query) and ``headers``."""
Refusal: TypeAlias = WSUpgradeResponseWithListener
"""A plain HTTP answer in place of a WebSocket."""
HandshakeError: TypeAlias = WSHandshakeError
"""A server said no; its ``response`` has the ``status``, if it said one."""
Frame: TypeAlias = WSFrame
"""What came in one piece, of a message or control frame; valid only while it is handed over."""
Transport: TypeAlias = WSTransport
"""What a frame came by."""


class Connection(WSListener):
    """One end of a WebSocket; subclass it and fill in what happens.

    Pings are answered, fragments joined, a close is answered in kind; what breaks the protocol ends it with
    1002. Everything runs in the event loop's thread, and nothing in a task.
    """

    # With a dict of its own, each attribute of a subclass of picows's would cost five times as much.
    __slots__ = (
        "_end",
        "_is_deaf",
        "_is_open",
        "_joined",
        "_kind",
        "_patience",
        "_ping",
        "_transport",
        "close_seconds",
        "is_paused",
        "max_message_bytes",
        "peers",
        "unanswered",
        "was_told",
    )

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self.close_seconds: float = _CLOSE_SECONDS
        """How long a goodbye may take, with all that was still to be sent before it."""
        self.max_message_bytes: int = max_message_bytes
        """The longest message taken, in bytes."""
        self.is_paused: bool = False
        """Whether the peer reads more slowly than we write: what is sent now piles up here."""
        self.peers: set[Connection] = set()
        """Where it is as long as it lasts: every connection that came in by the same port."""
        self.unanswered: int = 0
        """How many pings of ours the peer has not answered."""
        self.was_told: bool = False
        """Whether it was the peer that said goodbye first."""
        self._is_open: bool = False
        self._is_deaf: bool = False
        self._transport: WSTransport
        self._joined: bytearray | None = None  # what has come of a message in fragments
        self._kind = WSMsgType.TEXT
        self._end: tuple[int, str] | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._ping: bytes | None = None  # that is not answered yet

    @property
    def is_open(self) -> bool:
        """Whether messages come and go: the handshake is done, and neither side has said goodbye."""
        return self._is_open and not self._transport.is_close_frame_sent  # picows closes at a fault

    @property
    def is_broken(self) -> bool:
        """Whether picows found a fault, and has said goodbye by itself: it waits for the peer without end."""
        return self._is_open and self._transport.is_close_frame_sent

    @property
    def is_silent(self) -> bool:
        """Whether the peer has not answered for too long."""
        return self.unanswered >= _MOST_UNANSWERED

    # What happens; a subclass fills in what it needs.

    def opened(self) -> None:
        """The handshake is done: messages may be sent."""

    def text(self, data: bytes) -> None:
        """A text message came, whole."""

    def binary(self, data: bytes) -> None:
        """A binary message came, whole."""

    def ping(self, data: bytes) -> None:
        """A ping came; it is answered. To who does not read, the last one is, when it does: nothing piles up.

        RFC 6455 §5.5.3 allows that.
        """
        if self.is_paused:
            self._ping = data
        elif self.is_open:
            self._transport.send_pong(data)

    def pong(self, data: bytes) -> None:
        """A pong came."""

    def congested(self) -> None:
        """The peer reads more slowly than we write; see ``is_paused``."""

    def writable(self) -> None:
        """The peer has caught up, after ``is_paused``."""

    def closed(self, code: int, reason: str) -> None:
        """It is over: the peer's code and reason, or ours if we closed; 1006: broken off, 1005: no code."""

    # What can be done.

    def send(self, data: bytes) -> None:
        """Send a text message; of a connection that is closing or closed, nothing."""
        if self.is_open:
            self._transport.send(WSMsgType.TEXT, data)

    def send_ping(self) -> None:
        """Ask whether the peer is there; see ``unanswered``."""
        if self.is_open:
            self.unanswered += 1
            self._transport.send_ping()

    def send_in_fragments(self, data: bytes, size: int) -> None:
        """Send a text message in WebSocket frames of at most ``size`` bytes."""
        kind = WSMsgType.TEXT
        for begin in range(0, max(len(data), 1), size):
            if self.is_open:
                self._transport.send(kind, data[begin : begin + size], fin=begin + size >= len(data))
            kind = WSMsgType.CONTINUATION

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye, and wait for the answer, for ``close_seconds`` at most."""
        if self._is_deaf:
            self.abort()
        elif self.is_open:
            self._say_goodbye(code, reason)
            self._break_off_later()
        elif self.is_broken and self._patience is None:
            self._break_off_later()

    def abort(self) -> None:
        """Break off without a word, as a peer that lost its network."""
        self._is_open = False
        self._transport.disconnect(graceful=False)

    def go_deaf(self) -> None:
        """Read no more and write no more, but stay connected: a half-open peer."""
        self._is_open = False
        self._is_deaf = True
        self._transport.underlying_transport.pause_reading()

    def pause_reading(self) -> None:
        """Take no more from the peer, but for what is read already."""
        if self._is_open:
            self._transport.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on, after ``pause_reading``."""
        if self._is_open:
            self._transport.underlying_transport.resume_reading()

    def limit_reading(self, high: int) -> None:
        """Let the system keep so many bytes that are not read: what one turn of the event loop may take."""
        sock = self._transport.underlying_transport.get_extra_info("socket")
        sock.setsockopt(SOL_SOCKET, SO_RCVBUF, high)

    def limit_sending(self, high: int) -> None:
        """Let the system keep so many bytes that the peer has not taken; Linux allows itself twice that."""
        sock = self._transport.underlying_transport.get_extra_info("socket")
        sock.setsockopt(SOL_SOCKET, SO_SNDBUF, high)

    def limit_writing(self, high: int) -> None:
        """Be ``congested`` when so many bytes wait to be written."""
        self._transport.underlying_transport.set_write_buffer_limits(high=high)

    @property
    def waiting(self) -> int:
        """How many bytes wait to be written."""
        return int(self._transport.underlying_transport.get_write_buffer_size())

    async def gone(self) -> None:
        """Wait until it is over."""
        await self._transport.wait_disconnected()

    def _say_goodbye(self, code: int, reason: str) -> None:
        shortened = reason.encode(errors="replace")[:_LONGEST_REASON].decode(errors="ignore")
        self._is_open = False
        self._end = (code, reason)
        if code == NO_STATUS:
            self._transport.send(WSMsgType.CLOSE, b"")
        else:
            self._transport.send_close(cast("WSCloseCode", code), shortened)

    def _break_off_later(self) -> None:
        self._transport.underlying_transport.resume_reading()  # for the answer
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(self.close_seconds, self._transport.disconnect, False)

    # What picows calls.

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._is_open = True
        self.peers.add(self)
        self.opened()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002 - picows's signature
        kind = frame.msg_type
        if kind is WSMsgType.CLOSE:
            self._closing(frame.get_payload_as_bytes())
        elif not self.is_open:
            return
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.close(1002, "no extension was agreed on")
        elif kind is WSMsgType.PONG:
            self.unanswered = 0
            self.pong(frame.get_payload_as_bytes())
        elif kind is WSMsgType.PING:
            self.ping(frame.get_payload_as_bytes())
        elif (kind is WSMsgType.CONTINUATION) is (self._joined is None):
            self.close(1002, "a message within a message")
        elif frame.fin and self._joined is None:
            self._deliver(kind, frame.get_payload_as_bytes())
        else:
            self._join(kind, frame)

    def _deliver(self, kind: WSMsgType, data: bytes) -> None:
        (self.binary if kind is WSMsgType.BINARY else self.text)(data)

    def _join(self, kind: WSMsgType, frame: WSFrame) -> None:
        if self._joined is None:
            self._kind, self._joined = kind, bytearray()
        self._joined += frame.get_payload_as_memoryview()
        if len(self._joined) > self.max_message_bytes:
            self.close(1009, "message too big")
        elif frame.fin:
            data, self._joined = bytes(self._joined), None
            self._deliver(self._kind, data)

    def _closing(self, payload: bytes) -> None:
        code = struct.unpack(">H", payload[:2])[0] if len(payload) >= 2 else NO_STATUS
        reason = payload[2:].decode(errors="replace")
        if code not in SAYABLE and len(payload) >= 2:
            code, reason = 1002, "no such code"
        if self.is_open:
            self.was_told = True
            self._say_goodbye(code, reason)
            self._break_off_later()
        self._transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._is_open = False
        if self._patience is not None:
            self._patience.cancel()
        self.peers.discard(self)
        self.closed(*(self._end or _end(transport)))

    def pause_writing(self) -> None:
        self.is_paused = True
        self.congested()

    def resume_writing(self) -> None:
        self.is_paused = False
        ping, self._ping = self._ping, None
        if ping is not None and self.is_open:
            self._transport.send_pong(ping)
        self.writable()


def _end(transport: WSTransport) -> tuple[int, str]:
    """How a connection ended that neither side closed by a message of ours: picows closes at a fault."""
    sent = transport.close_handshake and transport.close_handshake.sent
    return (int(cast("int", sent.code)), sent.reason) if sent else (ABNORMAL, "")


class _Gathered:
    """What picows takes for the socket's transport: a list of frames, to be written together."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.write = self.frames.append
        self.get_write_buffer_size = self.frames.__len__

    def writelines(self, parts: Iterable[bytes]) -> None:
        self.frames.extend(map(bytes, parts))  # the header is in a buffer that picows uses again

    def get_extra_info(self, name: str) -> Any:
        return {"socket": self, "ssl_object": self}[name]  # as behind TLS: picows writes to no socket itself

    def fileno(self) -> int:
        return -1

    def create_future(self) -> None:  # as the event loop, too: nothing is waited for
        return None


def _framer(*, is_client_side: bool) -> tuple[_Gathered, WSTransport]:
    """A transport that writes into a list."""
    make = cast("Callable[..., WSTransport]", WSTransport)  # its constructor is not in its stub
    gathered = _Gathered()
    return gathered, make(is_client_side, gathered, _LOGGER, gathered)


class _OfThread(threading.local):
    """What picows makes is for the thread that made it."""

    def __init__(self) -> None:
        self.framer = _framer(is_client_side=False)


_of_thread = _OfThread()


def framed(kind: WSMsgType, data: bytes) -> bytes:
    """A message as a server sends it, the same to every client: servers mask nothing."""
    gathered, transport = _of_thread.framer
    transport.send(kind, data)
    written = b"".join(gathered.frames)
    gathered.frames.clear()
    return written


class Gathering(Connection):
    """A connection whose messages go out together, when it is told to flush: one write for many."""

    __slots__ = ("_framer", "gathered")

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        super().__init__(max_message_bytes)
        self.gathered: list[bytes] = []
        """The text messages that go out with the next flush, in order."""
        self._framer: tuple[_Gathered, WSTransport] | None = None

    def send_now(self, kind: WSMsgType, data: bytes) -> None:
        """Send a binary message, ping or pong, behind all that was gathered."""
        self.flush()
        if self.is_open:
            self._transport.send(kind, data)

    def flush(self) -> None:
        """Send what was gathered; of a connection that is closing or closed, nothing."""
        gathered = self.gathered
        if len(gathered) == 1 and self._is_open:
            self._transport.send(TEXT, gathered[0])
        elif gathered and self.is_open:
            self._transport.underlying_transport.write(self._framed(gathered))
        gathered.clear()
        if self.is_paused:
            self.piled_up()

    def _framed(self, messages: Iterable[bytes]) -> bytes:
        """What picows writes for these messages, in one piece."""
        self._framer = self._framer or _framer(is_client_side=self._transport.is_client_side)
        gathered, transport = self._framer
        for message in messages:
            transport.send(TEXT, message)
        written = b"".join(gathered.frames)
        gathered.frames.clear()
        return written

    def piled_up(self) -> None:
        """More was written than the peer reads, again."""

    def _say_goodbye(self, code: int, reason: str) -> None:
        self.flush()
        super()._say_goodbye(code, reason)


class _Write(Protocol):
    """Not a ``Callable``, which pyright takes for a method where it stands in a class."""

    def __call__(self, data: bytes, /) -> object: ...


class Outlet(Connection):
    """A server's connection that is written to in frames, made once by :func:`framed` for many at once.

    What the system does not take at once makes it ``is_paused``: who writes on decides what piles up.
    """

    __slots__ = ("write",)

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        super().__init__(max_message_bytes)
        self.write: _Write
        """Write frames, of messages in their order; once open, and until it is :meth:`left`."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.write = transport.underlying_transport.write
        transport.underlying_transport.set_write_buffer_limits(high=1)  # 0 is always reached, behind TLS
        super().on_ws_connected(transport)

    def left(self) -> None:
        """A goodbye is about to be said, or it is over: no frame may follow."""

    def _say_goodbye(self, code: int, reason: str) -> None:
        self.left()
        super()._say_goodbye(code, reason)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.left()
        super().on_ws_disconnected(transport)


# Listening ------------------------------------------------------------------------------------

Route: TypeAlias = Callable[[Request], Connection | Refusal]
"""Answers a request: with the connection that is to serve it, or by plain HTTP."""


class Listening:
    """An open port, and every connection that came in by it."""

    def __init__(self, server: asyncio.Server, connections: set[Connection]) -> None:
        self._server = server
        self._connections = connections
        # asyncio's own server has it from Python 3.13 on; before, picows sends them away in some seconds.
        self._abort_clients: Callable[[], None] = getattr(server, "abort_clients", lambda: None)
        address = server.sockets[0].getsockname()
        self.port: int = address[1]

    def stop(self) -> None:
        """Take no more connections; those there are go on."""
        self._server.close()

    async def close(self, code: int = 1001, reason: str = "going away") -> None:
        """Take no more connections, close those there are, and wait until the last is gone."""
        self._server.close()
        connections = [*self._connections]
        for connection in connections:
            connection.close(code, reason)
        seconds = max((connection.close_seconds for connection in connections), default=0)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds + _CLOSE_SECONDS):
                for connection in connections:
                    await connection.gone()
        for connection in [*self._connections]:  # who came in meanwhile
            connection.abort()
            await connection.gone()
        self._abort_clients()  # who has not asked for anything yet
        await self._server.wait_closed()


async def listen(  # noqa: PLR0913 - each has a default
    route: Route,
    host: str,
    port: int,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    *,
    tls: SSLContext | None = None,
    handshake_seconds: float = 5.0,
    reuse_port: bool = False,
) -> Listening:
    """Open a port; ``port`` 0: any free one.

    Who has not asked within ``handshake_seconds`` is sent away; ``reuse_port``: other processes may have the
    same port, and share in who comes.

    Raises:
        OSError: the address cannot be had.
        OverflowError: there is no such port.
    """
    if not 0 <= port < 2**16:
        raise OverflowError("port must be 0-65535")  # uvloop would take another
    connections: set[Connection] = set()

    def enter(request: Request) -> WSListener | Refusal:
        _unlist(request)
        answer = route(request)
        connection = answer if isinstance(answer, Connection) else answer.listener
        if isinstance(connection, Connection):
            connection.peers = connections
        return answer

    server = await ws_create_server(
        enter,
        host,
        port,
        max_frame_size=max_message_bytes,
        enable_auto_pong=False,
        websocket_handshake_timeout=handshake_seconds,
        read_buffer_init_size=_READ_BUFFER,
        logger_name=_LOGGER,
        use_aiofastnet=_AIOFASTNET,
        ssl=tls,
        ssl_handshake_timeout=handshake_seconds if tls else None,
        backlog=_BACKLOG,
        reuse_port=reuse_port or None,
    )
    return Listening(server, connections)


def _unlist(request: Request) -> None:
    """Make of ``Connection: keep-alive, Upgrade``, as Firefox says it, the one word that picows takes."""
    wishes = request.headers.get("Connection", "").lower().split(",")
    if "upgrade" in map(str.strip, wishes):
        request.headers["Connection"] = "upgrade"


def offered(request: Request) -> list[str]:
    """The subprotocols that a client offers; a browser, which cannot send headers, has a key among them."""
    names = ",".join(request.headers.getall("Sec-WebSocket-Protocol", []))
    return [name.strip() for name in names.split(",") if name.strip()]


def accept(connection: Connection, request: Request) -> Refusal:
    """Say yes, in the subprotocol of Realtime if the client offers it."""
    headers = {"Sec-WebSocket-Protocol": _SUBPROTOCOL} if _SUBPROTOCOL in offered(request) else None
    return Refusal(WSUpgradeResponse.create_101_response(headers), connection)


def page(
    body: bytes,
    content_type: str = "text/plain; charset=utf-8",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Refusal:
    """Answer by a small page."""
    told = {"Content-Type": content_type, **headers}
    return Refusal(WSUpgradeResponse.create_ok_response(body, told), None)


def refuse(status: int, body: bytes, content_type: str = "application/json") -> Refusal:
    """Answer by an HTTP error, 400 or above."""
    headers = {"Content-Type": content_type}
    return Refusal(WSUpgradeResponse.create_error_response(status, body, headers), None)


# Calling --------------------------------------------------------------------------------------

C = TypeVar("C", bound=Connection)


async def connect(  # noqa: PLR0913 - each has a default
    connection: C,
    url: str,
    headers: Mapping[str, str],
    *,
    subprotocols: Sequence[str] = (),
    tls: SSLContext | None = None,
    handshake_seconds: float = 5.0,
) -> C:
    """Open a WebSocket to a URL, ``ws:`` or ``wss:``, with the certificate verified, as ``tls`` has it.

    Raises:
        OSError: there is nobody, or nobody any more.
        HandshakeError: there is somebody who says no.
    """
    if subprotocols:
        headers = {**headers, "Sec-WebSocket-Protocol": ", ".join(subprotocols)}
    _, listener = await ws_connect(
        lambda: connection,
        url,
        extra_headers=headers,
        ssl_context=tls,
        read_buffer_init_size=_READ_BUFFER,
        websocket_handshake_timeout=handshake_seconds,
        max_frame_size=connection.max_message_bytes,
        enable_auto_pong=False,
        max_redirects=0,  # headers may hold a key, which is for this host only
        logger_name=_LOGGER,
        use_aiofastnet=_AIOFASTNET,
    )
    if cast("object", listener) is None:  # picows calls it a success
        raise ConnectionResetError("the connection was closed before it was a WebSocket")
    return connection


def new_loop() -> asyncio.AbstractEventLoop:
    """A new event loop: uvloop's where it is installed."""
    try:
        import uvloop  # noqa: PLC0415 - there is none for Windows
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
