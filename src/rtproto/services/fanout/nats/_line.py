"""Each connection to the bus is a new one: nothing that an old one kept goes out late.

The one place that knows nats-py.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple, TypeAlias, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from rtproto.services.fanout.counts import Counts
from rtproto.services.fanout.limits import Limits
from rtproto.services.fanout.nats._said import ADDRESS_BYTES, Anything, Reader, encode, parts

__all__ = ["CONNECT_SECONDS", "Do", "Ear", "Job", "Line"]

CONNECT_SECONDS: Final = 2
"""How long an attempt to connect may take."""

_LOGGER = logging.getLogger("rtproto.fanout")
_GOODBYE_SECONDS: Final = 2.0
_PING_SECONDS: Final = 1  # two without an answer end a connection
_PENDING_BYTES: Final = 256 * 2**10  # that nats-py keeps: what waits is to wait here, where it has a class
_SCHEMES: Final = frozenset({"nats", "tls"})

_Kind = TypeVar("_Kind")
Do: TypeAlias = Callable[[Client], Awaitable[object]]


class Job(NamedTuple):
    do: Do
    size: int = 0
    is_audio: bool = False
    frames: int = 0


class Ear:
    """One subscription, as long as its connection lasts."""

    def __init__(self, line: "Line", subject: str, take: Callable[[Anything], None], most: int) -> None:
        self.subject: str = subject
        self._line, self._take, self._most = line, take, most
        self._reader = Reader(most)
        self._is_open = True
        self._subscription: Subscription | None = None

    async def open(self, client: Client) -> None:
        if self._is_open:
            self._subscription = await client.subscribe(  # pyright: ignore[reportUnknownMemberType] - its futures
                self.subject, cb=self._came, pending_bytes_limit=self._most + client.max_payload
            )

    async def _came(self, message: Msg) -> None:
        said = self._reader.read(message.data)
        if said is None or not self._is_open:
            return
        try:
            self._take(said)
        except Exception as error:  # noqa: BLE001 - nats-py would keep it to itself
            _LOGGER.error("bus message failed", extra={"fields": {"error": type(error).__name__}})  # noqa: TRY400

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._line.do(Job(self._shut))

    async def _shut(self, _: Client) -> None:
        if self._subscription is not None:
            await self._subscription.unsubscribe()


class Line:
    """A connection to the bus, and when it breaks another: what is to go out waits here, within limits.

    Each connection is a new client of nats-py, which is not to reconnect by itself: nothing that an old one
    kept goes out late, and nothing that it lost count of goes on.
    """

    def __init__(self, url: str, limits: Limits, counts: Counts, pause: float) -> None:
        self.on_up: Callable[[], None] = _nothing
        self.on_down: Callable[[], None] = _nothing
        self.was_tried: asyncio.Event = asyncio.Event()
        self._servers, self._credentials = _servers(url)
        self._most = limits.max_bus_bytes
        self._most_joined = limits.max_message_bytes + limits.max_history_bytes
        self._counts, self._pause = counts, pause
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._jobs: deque[Job] = deque()
        self._waiting = 0
        self._woken = asyncio.Event()
        self._is_over = False
        self._was_told = False
        self._was_up = False

    # What its bus does

    @property
    def is_up(self) -> bool:
        return self._client is not None and self._client.is_connected

    @property
    def max_payload(self) -> int:
        return 0 if self._client is None else self._client.max_payload

    def send(self, subject: str, said: Anything, *, can_wait: bool = False, frames: int = 0) -> bool:
        """Audio, and whatever else ``can_wait``, is not taken when half of what may wait does."""
        if not self.is_up or self._waiting > (self._most // 2 if can_wait else self._most):
            self._unsent(is_audio=can_wait, frames=frames)
            return False
        data = encode(said)
        self.do(Job(partial(_publish, subject, data), len(data), can_wait, frames))
        return True

    def listen(self, subject: str, kind: type[_Kind], take: Callable[[_Kind], None]) -> Ear:
        """Messages of a kind; there is no other way for them to be in order than one subscription."""

        def of_kind(said: Anything) -> None:
            if isinstance(said, kind):
                take(said)

        ear = Ear(self, subject, of_kind, self._most_joined)
        self.do(Job(ear.open))
        return ear

    def do(self, job: Job) -> None:
        if self.is_up:
            self._jobs.append(job)
            self._waiting += job.size
            self._woken.set()

    def wake(self) -> None:
        """Look whether the connection is still there."""
        self._woken.set()

    def start(self) -> None:
        self._is_over = False
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Send what waits, and close; but wait for neither longer than a little."""
        task, self._is_over = self._task, True
        if task is None:
            return
        self._woken.set()
        if self.is_up:
            await asyncio.wait([task], timeout=_GOODBYE_SECONDS)
        self._clear()  # nats-py may swallow that it is cancelled: then there is nothing left to do
        task.cancel()
        await asyncio.wait([task], timeout=_GOODBYE_SECONDS)

    # How it works

    async def _run(self) -> None:
        while not self._is_over:
            client = Client()
            try:
                await self._connect(client)
                await self._carry(client)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next connection is a new one
                self._tell(error)
            finally:
                await _close(client)
                self.was_tried.set()
            if not self._is_over:
                await asyncio.sleep(self._pause)

    async def _connect(self, client: Client) -> None:
        await client.connect(
            servers=self._servers,
            user=self._credentials.user,
            password=self._credentials.password,
            token=self._credentials.token,
            name="rtproto",
            error_cb=self._failed,
            closed_cb=self._closed,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=CONNECT_SECONDS,
            ping_interval=_PING_SECONDS,
            pending_size=_PENDING_BYTES,
            flush_timeout=_GOODBYE_SECONDS,
            no_echo=True,
        )

    async def _carry(self, client: Client) -> None:
        self._client = client
        self._counts.bus_reconnects += self._was_up
        self._was_up, self._was_told = True, False
        self.was_tried.set()
        _LOGGER.info("bus connected")
        try:
            self.on_up()
            await self._work(client)
            self._tell(None)
        finally:
            self._client = None
            self._clear()
            self.on_down()

    async def _work(self, client: Client) -> None:
        while client.is_connected and (self._jobs or not self._is_over):
            if self._jobs:
                await self._do(client, self._jobs.popleft())
            else:
                self._woken.clear()
                await self._woken.wait()

    async def _do(self, client: Client, job: Job) -> None:
        try:
            await job.do(client)
        except BaseException:
            self._unsent(is_audio=job.is_audio, frames=job.frames)
            raise
        finally:
            self._waiting -= job.size

    def _clear(self) -> None:
        for job in self._jobs:
            self._waiting -= job.size
            self._unsent(is_audio=job.is_audio, frames=job.frames)
        self._jobs.clear()

    def _unsent(self, *, is_audio: bool, frames: int) -> None:
        if frames:
            self._counts.bus_unsent["audio" if is_audio else "control"] += frames

    async def _failed(self, error: Exception) -> None:
        """Whatever it is, it is found by its effects: a connection that ends, or numbers that are missing."""
        _LOGGER.debug("bus error", extra={"fields": {"error": type(error).__name__}})

    async def _closed(self) -> None:
        self._woken.set()

    def _tell(self, error: Exception | None) -> None:
        """Once for every time that it is away."""
        if not (self._was_told or self._is_over):
            self._was_told = True
            fields = {} if error is None else {"error": type(error).__name__}
            _LOGGER.warning("bus away", extra={"fields": fields})


class _Credentials(NamedTuple):
    """What is shown to a server; nats-py would take what stands in a URL as it is written there."""

    user: str | None = None
    password: str | None = None
    token: str | None = None


def _servers(url: str) -> tuple[list[str], _Credentials]:
    """Where to go, and what to show there."""
    found = [_parts(server.strip()) for server in url.split(",")]
    shown = next((_credentials(parts) for parts in found if parts.username is not None), _Credentials())
    return [f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" for parts in found], shown


def _parts(server: str) -> SplitResult:
    try:
        parts = urlsplit(server)
        if parts.scheme in _SCHEMES and parts.hostname and parts.port != 0:
            return parts
    except ValueError:
        pass
    raise ValueError(  # it may hold a password, and is not shown
        "the address of a bus is nats://HOST:PORT or tls://HOST:PORT, commas between several; signs as"
        " / # ? @ and , are %-encoded in a password"
    )


def _credentials(parts: SplitResult) -> _Credentials:
    user, password = unquote(parts.username or ""), parts.password
    return _Credentials(token=user) if password is None else _Credentials(user, unquote(password))


async def _publish(subject: str, data: bytes, client: Client) -> None:
    if len(data) <= client.max_payload:
        await client.publish(subject, data)
        return
    for part in parts(data, max(client.max_payload - ADDRESS_BYTES, ADDRESS_BYTES)):
        await client.publish(subject, encode(part))


async def _close(client: Client) -> None:
    """Of a server that takes nothing more, the socket is left to itself: nats-py cannot break it off."""
    with suppress(Exception):
        async with asyncio.timeout(_GOODBYE_SECONDS / 2):
            await client.close()


def _nothing() -> None:
    """Nobody asks."""
