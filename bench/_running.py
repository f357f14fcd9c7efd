"""What a benchmark starts is gone in the end, whatever happens; who crashes meanwhile is told with its log.

Every side is a process on one core, the load another on the other; as root both go before other work.
"""

import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import active_children, get_context
from pathlib import Path
from random import sample
from statistics import median
from subprocess import Popen, TimeoutExpired
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any, NamedTuple, TypeAlias, TypeVar

import click
from rich.console import Console
from rich.table import Table

from bench.load import has_core
from bench.proxy_load import Side

__all__ = [
    "Child",
    "Command",
    "Required",
    "Run",
    "Spread",
    "folder_of_logs",
    "free_port",
    "loading",
    "ratio",
    "running",
    "script",
    "set_up",
    "table",
    "tell_required",
]

T = TypeVar("T")

_START, _STOP = 15.0, 2.0  # seconds
_LOOK = 0.5
_LOG = 2000  # characters
_FIRST_PORT = 10_000
_GIVE_UP = 240.0
_CORE, _OTHER = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
_KEY = {"OPENAI_API_KEY": "sk-any"}


def set_up() -> None:
    """End at SIGTERM with all that was started, and have as many files as the system gives."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


# Processes ------------------------------------------------------------------------------------

Command: TypeAlias = Callable[[int, int, Path], list[str]]
"""By the port for clients, the service's, and a folder for files: what to run."""


def script(path: str, *more: str) -> Command:
    """A file of Python that is told the two ports."""
    return lambda port, service, _: [sys.executable, path, str(port), str(service), *more]


def _ports() -> Iterator[int]:
    """Ports that nobody has, and that the system gives to nobody while who listened there is away."""
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    others = range(*sorted((_FIRST_PORT, given)))
    for port in sample(others, len(others)):
        with suppress(OSError):
            with socket.socket() as free:
                free.bind(("127.0.0.1", port))
            yield port


_PORTS = _ports()


def free_port() -> int:
    """A port that nobody has, another each time."""
    return next(_PORTS)


class Child:
    """A process that listens at a port, with a core and a log."""

    def __init__(self, name: str, port: int, run: Sequence[str], folder: Path) -> None:
        self.name: str = name
        """What it is called."""
        self.port: int = port
        """Where it listens."""
        self._run, self._log = run, folder / f"{port}.log"
        self._process: Popen[bytes]
        self._is_down = False

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def start(self) -> None:
        """Run it, for the first time or again."""
        with self._log.open("ab") as log:
            run = [*self._run]
            self._process = Popen(run, stdout=log, stderr=log, env={**os.environ, **_KEY})  # noqa: S603
        self._is_down = False
        has_core(_CORE, self.pid)

    def stop(self) -> None:
        """Have it end; it is gone then."""
        self._process.terminate()
        try:
            self._process.wait(_STOP)
        except TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it without a word; it may be started again."""
        self._is_down = True
        self._process.kill()
        self._process.wait()

    def check(self) -> None:
        """See that it runs, if it should."""
        if (status := self._process.poll()) is not None and not self._is_down:
            raise click.ClickException(f"{self.name} has ended with {status}: {self.log()}")

    def wait(self) -> None:
        """Until it takes clients."""
        begun = monotonic()
        while monotonic() - begun < _START:
            self.check()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                sleep(0.02)
            else:
                return
        raise click.ClickException(f"{self.name} does not start: {self.log()}")

    def log(self) -> str:
        """What it said last."""
        return self._log.read_text("utf-8", "replace").strip()[-_LOG:]


class Run:
    """What runs at one time: the processes that are measured, and the one that has the load."""

    def __init__(self, children: Sequence[Child], load: Executor) -> None:
        self._children, self._load = children, load

    def done(self, work: Callable[..., T], *given: Any, meanwhile: Callable[[], object] | None = None) -> T:
        """What some work of the load process gives; ``meanwhile`` is done here."""
        future, begun = self._load.submit(work, *given), monotonic()
        if meanwhile is not None:
            meanwhile()
        while monotonic() - begun < _GIVE_UP:
            if wait([future], _LOOK).done:
                return self._found(future)
            for child in self._children:
                child.check()
        raise click.ClickException(f"{work.__name__} gives nothing within {_GIVE_UP:g} s")

    def _found(self, future: "Future[T]") -> T:
        try:
            return future.result()
        except TimeoutError as late:
            for child in self._children:
                child.check()
            logs = (f"{child.name}: {child.log()}" for child in self._children)
            raise click.ClickException("\n".join((str(late), *logs))) from None
        except BrokenExecutor:
            raise click.ClickException("the process with the load has crashed") from None


@contextmanager
def folder_of_logs() -> Iterator[tuple[Path, ExitStack]]:
    """A folder, and what is to be undone before it goes."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        yield Path(name), stack


@contextmanager
def running(commands: Mapping[str, Command], load: Executor) -> Iterator[tuple[Run, list[Side], int]]:
    """A process for each, and the port where they look for the service; all are gone in the end."""
    with folder_of_logs() as (folder, stack):
        service = free_port()
        children = list[Child]()
        for name, command in commands.items():
            port = free_port()
            children.append(child := Child(name, port, command(port, service, folder), folder))
            child.start()
            stack.callback(child.stop)
        for child in children:
            child.wait()
        yield Run(children, load), [Side(child.name, child.port, child.pid) for child in children], service


@contextmanager
def loading() -> Iterator[Executor]:
    """The process of the service and its clients."""
    pool = ProcessPoolExecutor(1, get_context("spawn"), has_core, (_OTHER,))
    try:
        yield pool
    except BaseException:
        for child in active_children():
            child.kill()
        raise
    finally:
        pool.shutdown()


# What is told ---------------------------------------------------------------------------------


class Required(NamedTuple):
    """What was asked for, beside what was found."""

    what: str
    required: str
    measured: str
    is_met: bool


class Spread(NamedTuple):
    """A ratio in all rounds."""

    least: float
    median: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}–{self.most:.2f})"


def ratio(over: Sequence[float], under: Sequence[float]) -> Spread:
    """Round by round: what one took by what the other did at nearly the same time."""
    ratios = sorted(one / other for one, other in zip(over, under, strict=True))
    return Spread(ratios[0], median(ratios), ratios[-1])


def table(*headings: str) -> Table:
    """A table of figures."""
    made = Table(box=None, pad_edge=False)
    for heading in headings:
        made.add_column(heading, justify="right", no_wrap=True)
    return made


def tell_required(required: Sequence[Required], console: Console) -> None:
    """What was asked for, and whether it is so."""
    told = table("", "required", "measured", "")
    for row in required:
        told.add_row(row.what, row.required, row.measured, "" if row.is_met else "MISSED")
    console.print(told)
