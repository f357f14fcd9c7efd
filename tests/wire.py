"""WebSockets byte by byte, from either side: what no library would send can be sent."""

import asyncio
import base64
import hashlib
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs

SECONDS = 20
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MORE = 0
MASK = b"\x01\x02\x03\x04"
_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(kind: int, data: bytes = b"", *, fin: bool = True, mask: bytes | None = MASK) -> bytes:
    """A WebSocket frame: as a client sends it, or without a mask as a server does."""
    if len(data) < 126:
        length = bytes([len(data)])
    elif len(data) < 2**16:
        length = b"\x7e" + struct.pack(">H", len(data))
    else:
        length = b"\x7f" + struct.pack(">Q", len(data))
    if mask is None:
        return bytes([kind | fin << 7]) + length + data
    return bytes([kind | fin << 7, length[0] | 0x80]) + length[1:] + mask + _covered(data, mask)


def _covered(data: bytes, mask: bytes) -> bytes:
    key = int.from_bytes((mask * (len(data) // 4 + 1))[: len(data)])
    return (int.from_bytes(data) ^ key).to_bytes(len(data)) if data else b""


def said(kind: int, data: bytes = b"", *, fin: bool = True) -> bytes:
    """A WebSocket frame as a server sends it."""
    return frame(kind, data, fin=fin, mask=None)


def closing(code: int, reason: bytes = b"") -> bytes:
    return struct.pack(">H", code) + reason


class Frame(NamedTuple):
    kind: int
    data: bytes
    fin: bool = True

    @property
    def id(self) -> Any:
        """Whose error it is."""
        return json.loads(self.data)["error"]["event_id"]


class Raw:
    """One end of a connection that does as it likes with its bytes."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_client: bool = True
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.is_client = is_client

    async def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))
        await self.writer.drain()

    async def next(self) -> Frame:
        async with asyncio.timeout(SECONDS):
            first, length = await self.reader.readexactly(2)
            is_masked, length = length >> 7, length & 0x7F
            if length >= 126:
                length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
            mask = await self.reader.readexactly(4) if is_masked else b""
            data = await self.reader.readexactly(length)
        return Frame(first & 0x0F, _covered(data, mask) if mask else data, bool(first & 0x80))

    async def is_over(self) -> bool:
        """Whether nothing more comes but the end."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self.reader.read() == b""
        except ConnectionError:
            return True

    async def refused(self) -> Any:
        """The id that the next error names."""
        return (await self.next()).id

    async def closed(self) -> tuple[int, str]:
        """The close that comes at some time, whatever comes before, and is answered; 1006: none."""
        try:
            while (got := await self.next()).kind != CLOSE:
                pass
            await self.send(frame(CLOSE, got.data, mask=MASK if self.is_client else None))
        except (asyncio.IncompleteReadError, ConnectionError):
            return 1006, ""
        return int.from_bytes(got.data[:2]) if got.data else 1005, got.data[2:].decode()

    def abort(self) -> None:
        self.writer.transport.abort()


def asking(target: str = "/v1/realtime?model=m", **headers: str) -> bytes:
    """A client's handshake."""
    lines = {
        "Host": "x",
        "Authorization": "Bearer x",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    told = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"GET {target} HTTP/1.1\r\n{told}\r\n".encode()


@asynccontextmanager
async def raw(port: int, request: bytes | None = None) -> AsyncIterator[Raw]:
    """A client past the handshake."""
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request or asking())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    try:
        yield Raw(reader, writer)
    finally:
        await _close(writer)


async def answer(port: int, request: bytes) -> tuple[int, bytes]:
    """The HTTP status that a request gets, and all that was answered."""
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        told = await reader.read() if b"Upgrade" not in request else await reader.readuntil(b"\r\n\r\n")
    await _close(writer)
    return int(told.split()[1]), told


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def switching(request: bytes) -> bytes:
    """A service's answer to a handshake."""
    key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    accept = base64.b64encode(hashlib.sha1(key + _ACCEPT).digest())  # noqa: S324 - RFC 6455
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
    )


Handler = Callable[[Raw], Awaitable[None]]


class Service:
    """A service that does to each connection what the handler of its ``model`` does, and then hangs up."""

    def __init__(self, **handlers: Handler) -> None:
        self.handlers = handlers
        self.requests: list[bytes] = []
        self.failures: list[BaseException] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}"
        self._tasks: set[asyncio.Task[Any]] = set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert not self.failures

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        request = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(request)
        model = parse_qs(request.split()[1].partition(b"?")[2].decode())["model"][0]
        writer.write(switching(request))
        try:
            await self.handlers[model](Raw(reader, writer, is_client=False))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception as failure:  # noqa: BLE001 - the test's, raised when it leaves
            self.failures.append(failure)
        finally:
            await _close(writer)
