"""Workers share a port and nothing else; what they count is added up by their parent, and never goes back.

Every worker is a process of its own, started afresh. Its parent owns no session: it holds the port, hears
twice a second what each worker has counted, starts another in the place of one that died, and passes on that
it is time to stop. They talk by a socket pair, a line of JSON each time. When either end is gone, the other
reads the end of the file: so a worker outlives its parent by no more than its drain.

What a worker counted after its last report, half a second at most, dies with it.

The system chooses who gets a connection, by its addresses; no worker knows of the others' sessions. So a
limit of sessions is divided (:meth:`Post.share`), and one worker may be full while another is not.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Final, Self, TypeAlias

import msgspec

from rtproto.services.proxy.counts import Snapshot

__all__ = ["Fleet", "Post", "Report", "Workers", "reporting"]

_LOGGER = logging.getLogger("rtproto.proxy.workers")

_Fields: TypeAlias = dict[str, int | str | None]

_VARIABLE: Final = "RTPROTO_WORKER"
_EVERY = 0.5  # seconds between reports
_SILENCE = 10.0  # seconds after which a worker that says nothing is taken for stuck
_SETTLED = 60.0  # seconds after which a death is the first again
_FIRST_DELAY, _DOUBLINGS = 0.1, 7  # at most 12.8 seconds between a death and the next life
_LONGEST_LINE = 2**20


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told when it starts: who it is, and where."""

    fd: int
    """Its end of the line to its parent."""
    number: int
    """Which it is, from 0."""
    count: int
    """How many there are."""
    port: int
    """The port that all of them share."""

    @classmethod
    def taken(cls) -> Self | None:
        """The post of this process, to be had once; ``None``: it is nobody's worker."""
        text = os.environ.pop(_VARIABLE, None)
        return None if text is None else msgspec.json.decode(text, type=cls)

    def share(self, limit: int) -> int:
        """This worker's part of a limit for all of them together.

        Raises:
            ValueError: there is not one for each.
        """
        if limit < self.count:
            raise ValueError(f"{limit} cannot be divided among {self.count} workers")
        return limit // self.count + (self.number < limit % self.count)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker tells its parent."""

    counts: Snapshot
    """What it has counted since it started."""
    is_ready: bool
    """Whether clients may come."""


# The parent's books --------------------------------------------------------------------------


class _Life:
    """One worker, from its start on."""

    def __init__(self, began: float) -> None:
        self.began = self.heard_at = began
        self.report = Report(counts=Snapshot(), is_ready=False)


class Fleet:
    """What all workers have counted, also those that died. It does no I/O, and is told the time."""

    def __init__(self, count: int) -> None:
        self.count: int = count
        """How many workers there shall be."""
        self._lives: dict[int, _Life] = {}
        self._deaths = [0] * count  # in a row
        self._gone = Snapshot()

    def began(self, number: int, now: float) -> None:
        """A worker was started."""
        self._lives[number] = _Life(now)

    def heard(self, number: int, report: Report, now: float) -> None:
        """A worker that lives has told what it counted."""
        life = self._lives[number]
        life.report, life.heard_at = report, now

    def died(self, number: int, now: float) -> float:
        """A worker is gone; gives how many seconds to wait before another takes its place."""
        life = self._lives.pop(number)
        self._gone += msgspec.structs.replace(life.report.counts, sessions_open=0)
        if now - life.began >= _SETTLED:
            self._deaths[number] = 0
        self._deaths[number] += 1
        return float(_FIRST_DELAY * 2 ** min(self._deaths[number] - 1, _DOUBLINGS))

    def total(self) -> Snapshot:
        """What has been counted, all in all."""
        return sum((life.report.counts for life in self._lives.values()), self._gone)

    def is_ready(self, now: float) -> bool:
        """Whether all workers are there, say that clients may come, and have said so of late."""
        lives = self._lives.values()
        return len(lives) == self.count and all(
            life.report.is_ready and now - life.heard_at < _SILENCE for life in lives
        )


# The parent ----------------------------------------------------------------------------------


class Workers:
    """A parent and its workers: ``async with Workers(…) as workers``, there as long as that lasts.

    At the end they are told to stop, by SIGTERM, and if leaving is cancelled once more; who outlives its
    drain and some grace is killed.

    Args:
        count: how many.
        command: what each is started by. It finds its :class:`Post`, listens on that port by ``reuse_port``,
            and is :func:`reporting`, until it has drained.
        host: where they listen.
        port: the port they share; 0: any free one.
        drain_seconds: for how long a worker may wait for its sessions to end.
        grace_seconds: for how long one may take to end after that, or after it has ceased to report.

    Raises:
        OSError: on entering: the address cannot be had, or the system lets no processes share a port.
    """

    def __init__(  # noqa: PLR0913 - each has a default
        self,
        count: int,
        command: Sequence[str],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        drain_seconds: float = 30.0,
        grace_seconds: float = 15.0,
    ) -> None:
        self.port: int = port
        """The port they share; 0 becomes one that is free."""
        self.fleet: Fleet = Fleet(count)
        """What they have counted."""
        self.is_clean: bool = True
        """When it is over: whether every worker ended by itself, and well, when it was told to."""
        self._command = command
        self._host = host
        self._drain_seconds = drain_seconds
        self._grace_seconds = grace_seconds
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._news = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._reserved: socket.socket | None = None

    def snapshot(self) -> Snapshot:
        """What they have counted, all in all."""
        return self.fleet.total()

    @property
    def is_ready(self) -> bool:
        """Whether clients may come."""
        return not self._stopping.is_set() and self.fleet.is_ready(monotonic())

    async def ready(self) -> None:
        """Wait until clients may come; for ever, if no worker ever gets so far."""
        while not self.is_ready:
            self._news.clear()
            await self._news.wait()

    async def __aenter__(self) -> Self:
        self._reserved = _reserved(self._host, self.port)
        self.port = self._reserved.getsockname()[1]
        self._keepers = [asyncio.create_task(self._keep(number)) for number in range(self.fleet.count)]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._stopping.set()
        self._send(signal.SIGTERM)
        try:
            await asyncio.wait(self._keepers, timeout=self._drain_seconds + self._grace_seconds)
        except asyncio.CancelledError:
            self._send(signal.SIGTERM)  # who hears it twice does not drain
            await asyncio.wait(self._keepers, timeout=self._grace_seconds)
            raise
        finally:
            await self._end()

    async def _end(self) -> None:
        if late := sum(not keeper.done() for keeper in self._keepers):
            _LOGGER.error("workers killed", extra={"fields": {"workers": late}})
        self._send(signal.SIGKILL)
        await asyncio.gather(*self._keepers)
        if self._reserved is not None:
            self._reserved.close()

    def _send(self, number: int) -> None:
        for process in self._processes.values():
            _send(process, number)

    async def _keep(self, number: int) -> None:
        """See to it that there is a worker of this number."""
        while not self._stopping.is_set():
            self.fleet.began(number, monotonic())
            fields = {"worker": number, **await self._lived(number)}
            delay = self.fleet.died(number, monotonic())
            if self._stopping.is_set():
                _LOGGER.info("worker ended", extra={"fields": fields})
                self.is_clean &= _is_good(fields)
                return
            _LOGGER.error("worker died", extra={"fields": {**fields, "restart_in": delay}})
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)

    async def _lived(self, number: int) -> _Fields:
        """The life of a worker, from start to end, and what there is to tell of it."""
        try:
            process, line = await self._started(number)
        except OSError as refusal:
            return {"error": refusal.strerror}
        self._processes[number] = process
        _LOGGER.info("worker started", extra={"fields": {"worker": number, "pid": process.pid}})
        if self._stopping.is_set():
            _send(process, signal.SIGTERM)
        was_heard = await self._listen(number, line)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), self._grace_seconds)
        _send(process, signal.SIGKILL)  # if it has hung up, and lives
        await process.wait()
        del self._processes[number]
        return {"pid": process.pid, "code": process.returncode, "was_heard": was_heard}

    async def _started(self, number: int) -> tuple[asyncio.subprocess.Process, socket.socket]:
        """A new process, and our end of the line to it."""
        ours, its = socket.socketpair()
        post = Post(fd=its.fileno(), number=number, count=self.fleet.count, port=self.port)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                env={**os.environ, _VARIABLE: msgspec.json.encode(post).decode()},
                pass_fds=(post.fd,),
                start_new_session=True,  # a terminal's signals are for the parent, which passes them on
            )
        except OSError:
            ours.close()
            raise
        finally:
            its.close()
        return process, ours

    async def _listen(self, number: int, line: socket.socket) -> bool:
        """Hear a worker's reports, until it hangs up; whether there was any."""
        was_heard = False
        reader, writer = await asyncio.open_unix_connection(sock=line, limit=_LONGEST_LINE)
        try:
            while (data := await reader.readline()).endswith(b"\n"):
                self.fleet.heard(number, _report(data), monotonic())
                self._news.set()
                was_heard = True
        except (ValueError, msgspec.MsgspecError, ConnectionError) as error:
            fields = {"worker": number, "error": type(error).__name__}
            _LOGGER.error("worker not understood", extra={"fields": fields})  # noqa: TRY400 - its text may quote the line
        finally:
            writer.close()
        return was_heard


_report: Callable[[bytes], Report] = msgspec.json.Decoder(Report).decode


def _is_good(ended: _Fields) -> bool:
    """Whether it ended as it was told to, if it was there long enough to be told."""
    return ended.get("code") == 0 or (ended.get("code") == -signal.SIGTERM and not ended["was_heard"])


def _send(process: asyncio.subprocess.Process, number: int) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)


def _reserved(host: str, port: int) -> socket.socket:
    """The port, bound without listening: known, and held also while no worker has it."""
    if not hasattr(socket, "SO_REUSEPORT"):
        raise OSError("this system lets no processes share a port")
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    reserved = socket.socket(family, kind, protocol)
    try:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            reserved.setsockopt(socket.SOL_SOCKET, option, 1)
        reserved.bind(address)
    except OSError:
        reserved.close()
        raise
    return reserved


# A worker ------------------------------------------------------------------------------------


@asynccontextmanager
async def reporting(
    post: Post,
    snapshot: Callable[[], Snapshot],
    is_ready: Callable[[], bool],
    stop: Callable[[], object],
) -> AsyncGenerator[None]:
    """Report to the parent as long as it lasts, and at its end; ``stop`` is called when the parent is gone.

    It shall last until the worker has drained: one that reports no more is soon killed.
    """
    line = socket.socket(fileno=post.fd)
    line.set_inheritable(False)
    reader, writer = await asyncio.open_unix_connection(sock=line)

    async def report() -> None:
        told = Report(counts=snapshot(), is_ready=is_ready())
        writer.write(msgspec.json.encode(told) + b"\n")
        await writer.drain()

    async def report_on() -> None:
        with suppress(ConnectionError):
            while not writer.is_closing():
                await report()
                await asyncio.sleep(_EVERY)

    async def watch() -> None:
        with suppress(ConnectionError):
            await reader.read()  # it says nothing: this is its end
        stop()

    tasks = [asyncio.create_task(work()) for work in (report_on, watch)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(2 * _EVERY):
                if not writer.is_closing():
                    await report()
                writer.close()
                await writer.wait_closed()
        writer.transport.abort()  # a parent that does not read holds nobody up
