"""What passes the proxy costs hardly more than in HAProxy, which knows nothing of events, and comes as soon.

``python -m bench.proxy`` takes three minutes, ``--quick`` a third of one. Every proxy is a process on one
core, the service and its clients another on the other; it needs Linux, and as root it keeps both from other
work. All sides are measured in one run, by turns, and only how they stand to each other means anything.
CPU time is the process's, not what passes in a second. Without HAProxy in the path there is no such row.
"""

import os
import resource
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import active_children, get_context
from pathlib import Path
from statistics import median
from subprocess import Popen, TimeoutExpired
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any, NamedTuple, TypeAlias, TypeVar

import click
import msgspec
from rich.console import Console
from rich.table import Table

from bench import proxy_load, proxy_peers
from bench.load import has_core
from bench.proxy_load import BURSTS, SIZES, Cost, Delays, Pace, Side

__all__ = ["main"]

T = TypeVar("T")

_OURS, _WITH_POLICIES, _HAPROXY, _SDK, _DIRECT = "rtproto", "+ policies", "HAProxy", "SDK", "direct"
_MOST, _LEAST = 1.1, 10.0  # of HAProxy's CPU time; times less than the SDK's
_GROWN = 1.1  # times the memory: a read buffer may grow late, what is kept of 100,000 messages is more
_START, _STOP = 15.0, 2.0  # seconds
_GIVE_UP = 240.0
_CORE, _OTHER = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))

_HAPROXY_CONFIG = """\
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
frontend clients
  bind 127.0.0.1:{port}
  default_backend service
backend service
  server service 127.0.0.1:{service}
"""

_POLICIES = """\
[policies.model]
allowed = ["gpt-realtime"]

[policies.ledger]
"""
_KEY = {"OPENAI_API_KEY": "sk-any"}


class Plan(msgspec.Struct, frozen=True):
    """How much is measured."""

    rounds: int
    window: float
    """Seconds of one round of one shape of load."""
    heard: float
    """Seconds of one round of messages whose delay is measured."""
    idle: int
    """Sessions that only are there."""
    talking: int
    """Sessions that send and hear audio."""
    talk: float
    """For so many seconds."""


_FULL = Plan(rounds=5, window=0.4, heard=1.0, idle=1000, talking=500, talk=12.0)
_QUICK = Plan(rounds=1, window=0.1, heard=0.3, idle=100, talking=50, talk=1.0)


class Required(NamedTuple):
    """What was asked for, beside what was found."""

    what: str
    required: str
    measured: str
    is_met: bool


# Proxies --------------------------------------------------------------------------------------

Command: TypeAlias = Callable[[int, int, Path], list[str]]
"""By the port for clients, the service's, and a folder for files: what to run."""


def _rtproto(port: int, service: int, _: Path) -> list[str]:
    where = ["--upstream", f"ws://127.0.0.1:{service}", "--listen", f"127.0.0.1:{port}"]
    return [sys.executable, "-m", "rtproto", "proxy", *where]


def _with_policies(port: int, service: int, folder: Path) -> list[str]:
    config = folder / "policies.toml"
    config.write_text(_POLICIES, "utf-8")
    return [*_rtproto(port, service, folder), "--config", str(config)]


def _haproxy(port: int, service: int, folder: Path) -> list[str]:
    config = folder / "haproxy.cfg"
    config.write_text(_HAPROXY_CONFIG.format(port=port, service=service), "utf-8")
    return ["haproxy", "-db", "-f", str(config)]


def _script(path: str) -> Command:
    """A file of Python that is told the two ports."""
    return lambda port, service, _: [sys.executable, path, str(port), str(service)]


_COMMANDS: dict[str, Command] = {
    _OURS: _rtproto,
    _WITH_POLICIES: _with_policies,
    _HAPROXY: _haproxy,
    _SDK: _script(proxy_peers.__file__),
}


@contextmanager
def running(commands: Mapping[str, Command]) -> Iterator[tuple[list[Side], int]]:
    """A process for each, and the port where they look for the service; all are gone in the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        service = _free_port()
        sides = [
            stack.enter_context(_started(name, command, service, folder))
            for name, command in commands.items()
        ]
        for side in sides:
            _wait_for(side, folder)
        yield sides, service


@contextmanager
def _started(name: str, command: Command, service: int, folder: Path) -> Iterator[Side]:
    port = _free_port()
    with (folder / f"{port}.log").open("wb") as log:
        run = command(port, service, folder)
        process = Popen(run, stdout=log, stderr=log, env={**os.environ, **_KEY})  # noqa: S603 - our own
    try:
        has_core(_CORE, process.pid)
        yield Side(name, port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_STOP)
        except TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(side: Side, folder: Path) -> None:
    """Until it takes clients."""
    begun = monotonic()
    while monotonic() - begun < _START:
        try:
            socket.create_connection(("127.0.0.1", side.port), 1).close()
        except OSError:
            sleep(0.02)
        else:
            return
    log = (folder / f"{side.port}.log").read_text("utf-8", "replace").strip()
    raise click.ClickException(f"{side.name} does not start: {log}")


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


# What a message costs -------------------------------------------------------------------------


class Spread(NamedTuple):
    """A ratio in all rounds."""

    least: float
    median: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}–{self.most:.2f})"


def _ratio(over: Sequence[float], under: Sequence[float]) -> Spread:
    """Round by round: what one took by what the other did at nearly the same time."""
    ratios = sorted(one / other for one, other in zip(over, under, strict=True))
    return Spread(ratios[0], median(ratios), ratios[-1])


def _tell_costs(costs: Sequence[Cost], names: Sequence[str], console: Console) -> Iterator[Required]:
    pairs = [(name, _HAPROXY) for name in names if name != _HAPROXY and _HAPROXY in names]
    pairs.append((_SDK, _OURS))
    table = _table("size", "at once", *names, *(f"{over} : {under}" for over, under in pairs))
    for size in SIZES:
        for burst in BURSTS:
            rows = [row for row in costs if (row.size, row.burst) == (size, burst)]
            ns = {name: [row.ns for row in rows if row.side == name] for name in names}
            ratios = {pair: _ratio(*(ns[name] for name in pair)) for pair in pairs}
            cells = [f"{median(ns[name]) / 1000:.2f}" for name in names]
            table.add_row(size, f"{burst}", *cells, *map(str, ratios.values()))
            yield from _of_cost(size, burst, ratios)
    console.print("CPU time of a message from the service, in µs:", table, "")


def _of_cost(size: str, burst: int, ratios: Mapping[tuple[str, str], Spread]) -> Iterator[Required]:
    where = f"CPU, {size}, {burst} at once:"
    if ratio := ratios.get((_OURS, _HAPROXY)):
        yield Required(f"{where} of HAProxy's", f"≤ {_MOST}", str(ratio), ratio.median <= _MOST)
    if size == next(iter(SIZES)):
        ratio = ratios[_SDK, _OURS]
        yield Required(f"{where} the SDK's of ours", f"≥ {_LEAST:g}", str(ratio), ratio.median >= _LEAST)


# How late a message is ------------------------------------------------------------------------


def _tell_delays(found: Sequence[Delays], names: Sequence[str], console: Console) -> None:
    table = _table("size", "", "p50", "added", "p99", "added")
    for size in SIZES:
        took = {name: [row.took for row in found if (row.size, row.side) == (size, name)] for name in names}
        for name in names:
            cells = [
                _late([one[at] for one in took[name]], [one[at] for one in took[_DIRECT]]) for at in (0, 1)
            ]
            table.add_row(size, name, *cells[0], *cells[1])
    console.print(
        "how late a message from the service is, in µs, at 1,000 a second in 50 sessions:", table, ""
    )


def _late(late: Sequence[float], direct: Sequence[float]) -> tuple[str, str]:
    added = sorted(one - other for one, other in zip(late, direct, strict=True))
    return f"{median(late):.0f}", f"{median(added):+.0f} ({added[0]:+.0f} to {added[-1]:+.0f})"


# Sessions that are there, and that talk -------------------------------------------------------


def _tell_idle(idle: Mapping[str, float], sessions: int, console: Console) -> None:
    table = _table(*idle)
    table.add_row(*(f"{kilobytes:.1f}" for kilobytes in idle.values()))
    console.print(f"memory of each of {sessions:,} idle sessions, in kB:", table, "")


def _tell_pace(found: Sequence[Pace], plan: Plan, console: Console) -> Iterator[Required]:
    delays = ("down: p50", "p99", "up: p50", "p99", "sent: p99")
    kept = ("MB at ⅓", "at end", "on the way at ⅓", "at end")
    table = _table("", "messages", "lost", "wrong", *delays, "core", *kept)
    for row in found:
        table.add_row(
            row.side,
            *(f"{count:,}" for count in (row.messages, row.lost, row.wrong)),
            *(f"{late / 1000:.2f}" for late in (*row.down, *row.up, row.late)),
            *((f"{row.share:.0%}", *map(_mb, row.kilobytes)) if row.kilobytes[0] else ("", "", "")),
            *map(str, row.waiting),
        )
        if row.side == _OURS:
            yield from _of_pace(row, plan.talking)
    title = f"{plan.talking} sessions with audio both ways for {plan.talk:g} s, 10 messages a second each way"
    console.print(f"{title}; how late they come, and are sent, in ms:", table, "")


def _mb(kilobytes: int) -> str:
    return f"{kilobytes / 1024:.1f}"


def _of_pace(row: Pace, sessions: int) -> Iterator[Required]:
    gone, grown = row.lost + row.wrong, row.kilobytes[1] / row.kilobytes[0]
    yield Required(f"{sessions} sessions: lost, or out of turn", "0", f"{gone}", not gone)
    yield Required(
        f"{sessions} sessions: memory, of that at ⅓", f"≤ {_GROWN}", f"{grown:.2f}", grown <= _GROWN
    )
    yield Required(f"{sessions} sessions: of a core", "< 100%", f"{row.share:.0%}", row.share < 1)


# The run --------------------------------------------------------------------------------------


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _measured(
    plan: Plan, commands: Mapping[str, Command], console: Console
) -> tuple[list[Required], dict[str, Any]]:
    """Everything in turn, each told when it is there."""
    with loading() as load:

        def done(work: Callable[..., T], *given: Any) -> T:
            try:
                return load.submit(work, *given).result(_GIVE_UP)
            except TimeoutError as late:
                raise click.ClickException(str(late) or "no result") from None

        with running(commands) as (sides, service):
            ways = [Side(_DIRECT, service), *sides]
            costs = done(proxy_load.cost, sides, service, 8, plan.rounds, plan.window)
            required = [*_tell_costs(costs, [*commands], console)]
            late = done(proxy_load.delays, ways, service, 50, plan.rounds, plan.heard)
            _tell_delays(late, [side.name for side in ways], console)
        with running(commands) as (sides, service):
            idle = {side.name: done(proxy_load.idle, side, service, plan.idle) for side in sides}
            _tell_idle(idle, plan.idle, console)
        talking = {name: command for name, command in commands.items() if name != _SDK}  # it cannot
        with running(talking) as (sides, service):
            ways = [Side(_DIRECT, service), *sides]
            talked = [done(proxy_load.pace, side, service, plan.talking, plan.talk) for side in ways]
            required += _tell_pace(talked, plan, console)
    return required, {"plan": plan, "cost": costs, "delay": late, "idle": idle, "pace": talked}


def _tell_required(required: Sequence[Required], console: Console) -> None:
    table = _table("", "required", "measured", "")
    for row in required:
        table.add_row(row.what, row.required, row.measured, "" if row.is_met else "MISSED")
    console.print(table)


@click.command()
@click.option("--quick", is_flag=True, help="A little of it, to see that it runs.")
@click.option("--check", is_flag=True, help="The status is 1 if something required is missed.")
@click.option(
    "--save", type=click.Path(dir_okay=False, path_type=Path), help="Where every round goes, as JSON."
)
@click.option(
    "--also",
    type=click.Path(exists=True, dir_okay=False),
    multiple=True,
    help="A relay of your own beside the others: it is run as python PATH PORT SERVICE_PORT.",
)
def main(quick: bool, check: bool, save: Path | None, also: tuple[str, ...]) -> None:
    """Print what the proxy takes, beside HAProxy and a proxy of websockets and OpenAI's SDK."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started ends, too
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    commands = {**_COMMANDS, **{Path(path).stem: _script(path) for path in also}}
    if not shutil.which("haproxy"):
        click.echo("there is no haproxy in the path, so nothing is set beside it")
        del commands[_HAPROXY]
    console = Console(width=170, highlight=False)
    required, results = _measured(_QUICK if quick else _FULL, commands, console)
    _tell_required(required, console)
    if save:
        save.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    wrong = sum(row.wrong for row in (*results["cost"], *results["delay"]))
    if wrong:
        click.echo(f"WRONG: {wrong} messages were changed, or came out of turn")
    sys.exit(bool(wrong) or (check and not all(row.is_met for row in required)))


if __name__ == "__main__":
    main()
