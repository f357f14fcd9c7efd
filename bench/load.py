"""The fake server is in time with many sessions at once, and keeps nothing of those that left.

``python -m bench.load`` takes a minute and a half, ``--quick`` a quarter of one. The server has one core, its
clients, all in one process, another: it needs Linux, and as root it keeps both from other work. *created* is
how late by ``response.created`` what the columns before it tell by the first delta; *waited* for how long the
server was ready to run while something else did; *clients* how late these were; *garbage* what part of the
sessions that ended only Python's collector frees.
"""

import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles
from subprocess import PIPE, Popen
from time import perf_counter
from typing import NamedTuple, TypeAlias

import click
from rich.console import Console
from rich.table import Table

from bench import load_client
from bench.load_client import DELTA, SCRIPT, Talk, come_and_go, stop, talk, words
from rtproto._sockets import Connection, new_loop
from rtproto.testing import FakeRealtimeServer
from rtproto.testing.session import FakeSession

__all__ = ["has_core", "main"]

_LATEST = 0.25  # seconds
_APART = 0.0105  # seconds: of 200 sessions no two have their deltas at the same moment
_WORD = 0.02  # seconds from one word of the transcript to the next
_WARM_UP = 300  # cycles
_UNCOLLECTED = 60  # cycles
_MOST_KB = 100  # per 100 cycles; a session takes 20 or more, so this is one lost in twenty
_QUIET = 0.25  # seconds until a server has seen the last client leave
_GIVE_UP = 60.0
_CORE, _OTHER = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))


def has_core(core: int, process: int = 0) -> None:
    """Give a process a core, this one if none is named; before all others, where that is allowed: to root."""
    os.sched_setaffinity(process, {core})
    with suppress(PermissionError):
        os.sched_setscheduler(process, os.SCHED_RR, os.sched_param(1))


@contextmanager
def served() -> Iterator[tuple[Popen[str], str]]:
    """``rtproto fake`` on its core, and its URL."""
    command = [sys.executable, "-m", "rtproto", "fake", "--listen", "127.0.0.1:0"]
    with Popen([*command, "--script", load_client.__file__], stdout=PIPE, text=True) as process:  # noqa: S603
        try:
            has_core(_CORE, process.pid)
            assert process.stdout
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.terminate()


# In time --------------------------------------------------------------------------------------

_IN_TIME = ("sessions", "deltas", "lost", "> 250 ms", "p50", "p99", "max", "created: p99", "max")
_SPENT = ("ran", "waited", "frames/s", "clients: max")


def speaking(clients: Executor, table: Table, sessions: int, seconds: int, apart: float) -> Iterator[str]:
    """A row for so many sessions that are all spoken to; gives what is wrong."""
    with served() as (process, url):
        talked = clients.submit(talk, url, process.pid, sessions, seconds, apart).result()
    by_first, by_created = _late(talked, seconds)
    lost = sum(heard.lost for heard in talked.heard)
    too_late = sum(max(both) > _LATEST for both in zip(by_first, by_created, strict=True))
    table.add_row(
        f"{1000 * apart:g} ms apart" if apart else "at once",
        *(f"{count:,}" for count in (sessions, len(by_first), lost, too_late)),
        *_ms(by_first),
        *_ms(by_created)[1:],
        *(f"{spent / talked.seconds:.0%}" for spent in (talked.ran, talked.waited)),
        f"{sum(heard.frames for heard in talked.heard) / talked.seconds:,.0f}",
        _ms(talked.late)[2],
    )
    if lost:
        yield f"{lost} audio deltas were lost, or did not come in their turn"
    if too_late:
        yield f"{too_late} audio deltas came too late"


def _late(talked: Talk, seconds: int) -> tuple[list[float], list[float]]:
    """How late every delta came, by the first of its session, and by ``response.created``."""
    by_first, by_created = list[float](), list[float]()
    for heard in talked.heard:
        for number, came in enumerate(heard.deltas):
            by_first.append(came - heard.deltas[0] - DELTA * number)
            by_created.append(came - heard.created - _WORD * words(seconds) - DELTA * number)
    return by_first, by_created


def _ms(values: list[float]) -> list[str]:
    """The median, the 99th percentile and the maximum."""
    cuts = quantiles(values, n=100)
    return [f"{1000 * value:.1f}" for value in (cuts[49], cuts[98], max(values))]


# Nothing left ---------------------------------------------------------------------------------

_LEFT = ("cycles", "seconds", "sockets", "threads", "kB / 100", "tasks", "sessions", "garbage")


class Held(NamedTuple):
    """What a process has."""

    files: int
    threads: int
    kilobytes: int


def held(process: int) -> Held:
    """What the process of this number has."""
    of = Path(f"/proc/{process}")
    files, threads = (len([*(of / folder).iterdir()]) for folder in ("fd", "task"))
    pages = int((of / "statm").read_text("ascii").split()[1])
    return Held(files, threads, pages * os.sysconf("SC_PAGE_SIZE") // 1024)


Visits: TypeAlias = Callable[[int], Awaitable[None]]
"""So many clients come and go."""


async def leaving(clients: Executor, table: Table, cycles: int) -> list[str]:
    """A row for a server in this process, and one for ``rtproto fake``; gives what is wrong."""
    loop = asyncio.get_running_loop()

    def visits(url: str, count: int) -> Awaitable[None]:
        return loop.run_in_executor(clients, come_and_go, url, count)

    async with FakeRealtimeServer(SCRIPT, record=False) as server:
        row, wrong = await _left(partial(visits, server.url), os.getpid(), cycles)
        tasks, sessions = len(asyncio.all_tasks()) - 1, _sessions()
        gc.disable()
        await visits(server.url, _UNCOLLECTED)
        await asyncio.sleep(_QUIET)
        share = _sessions() / _UNCOLLECTED
        gc.enable()
    table.add_row("in this process", *row, f"{tasks}", f"{sessions}", f"{share:.0%}")
    if tasks or sessions or share:
        wrong.append(f"{tasks} tasks and {sessions} sessions are left, {share:.0%} to the collector")
    with served() as (process, url):
        row, wrong_there = await _left(partial(visits, url), process.pid, cycles)
    table.add_row("rtproto fake", *row)
    return wrong + wrong_there


async def _left(visits: Visits, process: int, cycles: int) -> tuple[list[str], list[str]]:
    """What a server's process has more when so many clients have come and gone; and what is wrong."""
    await visits(_WARM_UP)
    await asyncio.sleep(_QUIET)
    gc.collect()
    before, begun = held(process), perf_counter()
    await visits(cycles)
    seconds = perf_counter() - begun
    await asyncio.sleep(_QUIET)
    gc.collect()
    files, threads, kilobytes = (now - then for now, then in zip(held(process), before, strict=True))
    grown = 100 * kilobytes / cycles
    wrong = list[str]()
    if files or threads:
        wrong.append(f"{files} sockets and {threads} threads are left")
    if grown > _MOST_KB:
        wrong.append(f"{grown:.0f} kB are kept of 100 cycles")
    return [f"{cycles:,}", f"{seconds:.1f}", f"{files}", f"{threads}", f"{grown:.0f}"], wrong


def _sessions() -> int:
    """How many sessions and connections there are in this process."""
    return sum(issubclass(type(thing), FakeSession | Connection) for thing in gc.get_objects())


# The end --------------------------------------------------------------------------------------


def stopping(clients: Executor, sessions: int) -> Iterator[str]:
    """Tells the server to stop while it speaks in so many sessions; gives what is wrong."""
    with served() as (process, url):
        telling = clients.submit(stop, url, process.pid, sessions)
        status, gone = process.wait(_GIVE_UP), perf_counter()
        told, ends = telling.result()
    click.echo(f"SIGTERM: exit status {status} after {gone - told:.2f} s, {ends[1001]} of {sessions} told so")
    if status or ends[1001] < sessions:
        yield f"SIGTERM was no orderly end: exit status {status}, close codes {dict(ends)}"


def _table(title: str, *headings: str) -> Table:
    table = Table(title, box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


@click.command()
@click.option("--quick", is_flag=True, help="A tenth of it, to see that it runs.")
def main(quick: bool) -> None:
    """Print how late the server is, what it takes, and what it keeps; the status is 1 if it is at fault."""
    sessions, seconds, cycles = (20, 3, 300) if quick else (200, 30, 1000)
    console = Console(width=130, highlight=False)
    in_time, left = _table("late, in ms", *_IN_TIME, *_SPENT), _table("left", *_LEFT)
    with ProcessPoolExecutor(1, get_context("spawn"), has_core, (_OTHER,)) as clients:
        wrong = [
            fault for apart in (_APART, 0.0) for fault in speaking(clients, in_time, sessions, seconds, apart)
        ]
        console.print(in_time, "")
        with asyncio.Runner(loop_factory=new_loop) as runner:
            wrong += runner.run(leaving(clients, left, cycles))
        console.print(left, "")
        wrong += stopping(clients, sessions)
    for fault in wrong:
        click.echo(f"WRONG: {fault}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
