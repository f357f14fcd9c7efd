"""What one says and many hear costs little more than the system's own writing, and nobody waits for the slow.

``python -m bench.fanout`` takes two minutes, ``--quick`` a third of one. Every hub is a process on
one core, the service and all listeners another on the other; it needs Linux, and as root it keeps both from
other work. Hubs are measured in one run, by turns, and only how they stand to each other means anything.
CPU time is the process's, not what passes in a second. Without nats-server there is no row about edges.
"""

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from statistics import median
from time import sleep
from typing import Any

import click
import msgspec
from rich.console import Console

from bench import fanout_edges, fanout_load, fanout_peers
from bench._running import (
    Child,
    Command,
    Required,
    Run,
    folder_of_logs,
    free_port,
    loading,
    ratio,
    running,
    script,
    set_up,
    table,
    tell_required,
)
from bench.fanout_edges import Grid, Lost, Steady
from bench.fanout_load import PER_SECOND, Audience, Delivered, Heard, Joins, Pace, Sums
from rtproto.services.fanout import Limits

__all__ = ["main"]

_OURS, _BROADCAST, _ON_ASYNCIO, _SDK = "rtproto", "broadcast", "on asyncio", "SDK"
_LEAST: Mapping[tuple[str, int], float] = {("6.6 kB", 1): 1.15, ("6.6 kB", 4): 2.5, ("271 B", 10): 7.0}
_LEAST_SDK = 20.0
_BOUND_BY_SYSTEM = {("6.6 kB", 1)}  # its part alone is more than a twentieth of what the SDK takes
_LATEST = 100.0  # ms: the next delta of audio is there
_SLOWER = 1.5  # times as late, when some do not read
_GROWN = 1.1  # times the memory, from two thirds of the time on
_LISTENERS = 200
_QUEUE = Limits(max_queue_bytes=2**18, max_queue_ms=1000)  # so small that they are full in seconds
_IN_TRANSPORT = 2**17  # bytes of a listener that were written and the system has not taken: a gulp, a message


class Plan(msgspec.Struct, frozen=True):
    """How much is measured."""

    rounds: int
    window: float
    """Seconds of one round of one shape of load."""
    audience: Audience
    """Of one session at the pace of speech."""
    joins: int
    """Listeners that come late."""
    at_edges: int
    """Listeners at each edge."""
    steady: float
    """Seconds before anything happens to them."""
    pause: float
    """Seconds that what was killed is away, and that pass before the next."""


_FULL = Plan(
    rounds=11,
    window=0.4,
    audience=Audience(1000, 100, (10.0, 18.0)),
    joins=50,
    at_edges=250,
    steady=10.0,
    pause=1.5,
)
_QUICK = Plan(
    rounds=1,
    window=0.05,
    audience=Audience(50, 5, (0.5, 1.0)),
    joins=5,
    at_edges=5,
    steady=0.5,
    pause=0.4,
)


def _fanout(port: int, *more: str) -> list[str]:
    where = ("--listen", f"127.0.0.1:{port}", "--log-level", "warning")
    return [sys.executable, "-m", "rtproto", "fanout", *where, *more]


def _hub(*more: str) -> Command:
    """With one session."""
    return lambda port, service, _: _fanout(port, "--upstream", f"ws://127.0.0.1:{service}/{port}", *more)


_HUBS: Mapping[str, Command] = {
    _OURS: _hub(),
    _BROADCAST: script(fanout_peers.__file__, "broadcast", "uvloop"),
    _ON_ASYNCIO: script(fanout_peers.__file__, "broadcast", "asyncio"),
    _SDK: script(fanout_peers.__file__, "sdk", "uvloop"),
}


# What a delivery costs ------------------------------------------------------------------------


def _tell_costs(costs: Sequence[Delivered], console: Console) -> Iterator[Required]:
    names = [*_HUBS]
    told = table("size", "at once", *names, "best broadcast : rtproto", "SDK : rtproto")
    for (size, burst), least in _LEAST.items():
        rows = [row for row in costs if (row.size, row.burst) == (size, burst)]
        ns = {name: [row.ns for row in rows if row.side == name] for name in names}
        best = [*map(min, ns[_BROADCAST], ns[_ON_ASYNCIO])]
        to_broadcast, to_sdk = ratio(best, ns[_OURS]), ratio(ns[_SDK], ns[_OURS])
        cells = [f"{1e9 / median(ns[name]):,.0f}" for name in names]
        told.add_row(size, f"{burst}", *cells, str(to_broadcast), str(to_sdk))
        where = f"deliveries per CPU second, {size}, {burst} at once: of"
        is_met = to_broadcast.median >= least
        yield Required(f"{where} websockets.broadcast's", f"≥ {least:g}", str(to_broadcast), is_met)
        if (size, burst) not in _BOUND_BY_SYSTEM:
            is_met = to_sdk.median >= _LEAST_SDK
            yield Required(f"{where} the SDK's", f"≥ {_LEAST_SDK:g}", str(to_sdk), is_met)
    wrong = sum(row.wrong + (row.changed if row.side != _SDK else 0) for row in costs)
    yield Required("messages lost, changed or out of turn", "0", f"{wrong}", not wrong)
    title = f"deliveries to {_LISTENERS} listeners, for each second of the hub's CPU time"
    console.print(
        f"{title}; broadcast is on uvloop, as the SDK's hub is:",
        told,
        "where audio comes one delta at a time, the system alone takes a twentieth of the SDK's time or more",
        "",
    )


# One session at the pace of speech ------------------------------------------------------------


def _tell_pace(pace: Pace, console: Console) -> Iterator[Required]:
    told = table(
        "read", "do not", "deliveries", "p50", "p99", "sent late: p99", "core", "MB", "at ⅔", "at end"
    )
    for row in pace.phases:
        cells = (f"{late / 1000:.2f}" for late in (*row.took, row.sent_late))
        held = (f"{size / 1024:.1f}" for size in row.kilobytes)
        told.add_row(
            f"{row.readers:,}", f"{row.stalled}", f"{row.deliveries:,}", *cells, f"{row.share:.0%}", *held
        )
        yield from _of_phase(row)
    yield from _of_sums("those that read", pace.readers)
    yield from _of_stalled(pace, console)
    console.print(
        f"one session, 10 deltas of audio and 10 words a second, {PER_SECOND / 1024:.1f} kB to each listener,"
        f" which takes {pace.each:.1f} kB of the hub's memory; how late they come, and are sent, in ms:",
        told,
        "",
    )
    before, after = (row.took[1] for row in pace.phases)
    yield Required(
        "p99, of that when all read", f"≤ {_SLOWER}", f"{after / before:.2f}", after <= _SLOWER * before
    )


def _of_phase(row: Heard) -> Iterator[Required]:
    where = f"{row.readers:,} listeners" + (f", {row.stalled} more stalled" if row.stalled else "")
    latest = row.took[1] / 1000
    yield Required(f"{where}: p99, in ms", f"< {_LATEST:g}", f"{latest:.1f}", latest < _LATEST)


def _of_sums(who: str, row: Sums) -> Iterator[Required]:
    lost = sum(row.missing) + row.wrong
    yield Required(f"{who}: lost, or out of turn", "0", f"{lost}", not lost)


def _of_stalled(pace: Pace, console: Console) -> Iterator[Required]:
    row, (_, held) = pace.stalled, pace.phases
    console.print(
        f"the {row.listeners} that did not read, when they do in the end: {row.missing[0]:,} deltas of audio"
        f" are missing, {row.told[0]:,} they were told of, {pace.dropped:,} the hub has counted;"
        f" {row.missing[1]} words are missing; at most {pace.queued / 1024:.0f} kB waited for one",
        "",
    )
    each = (_QUEUE.max_queue_bytes + _IN_TRANSPORT) / 1024
    _, then, end = held.kilobytes
    most, grown = row.listeners * each / 1024, (end - held.kilobytes[0]) / 1024
    is_told = row.missing[0] == row.told[0] == pace.dropped and not (row.unexplained or row.wrong)
    yield Required("stalled: audio was dropped", "> 0", f"{row.missing[0]:,}", row.missing[0] > 0)
    yield Required("stalled: every loss told before, and counted", "yes", "yes" if is_told else "no", is_told)
    yield Required("stalled: words lost", "0", f"{row.missing[1]}", not row.missing[1])
    is_met = pace.queued <= _QUEUE.max_queue_bytes
    limit = f"≤ {_QUEUE.max_queue_bytes / 1024:g}"
    yield Required("stalled: waiting for one, in kB", limit, f"{pace.queued / 1024:.0f}", is_met)
    yield Required("stalled: memory for them, in MB", f"≤ {most:.0f}", f"{grown:.1f}", grown <= most)
    at_end = end / then
    yield Required("stalled: memory, of that at ⅔", f"≤ {_GROWN}", f"{at_end:.2f}", at_end <= _GROWN)


# Who comes late -------------------------------------------------------------------------------


def _tell_joins(found: Sequence[Joins], console: Console) -> None:
    told = table("items", "messages", "kB", "first after an event: p50", "p99", "next: p50", "p99")
    for row in found:
        times = (f"{late / 1000:.2f}" for late in (*row.first, *row.next))
        told.add_row(f"{row.items}", f"{row.messages}", f"{row.size / 1024:.1f}", *times)
    console.print("from the handshake to the last message of the snapshot, in ms:", told, "")


# Many machines --------------------------------------------------------------------------------

_EDGES = 4
_AGAIN = 10.0  # seconds till everybody hears everything again
_DEAD = 4.0 + 2.0  # seconds of silence until a hub is dead, as usual; and how long it takes to see and say so


class Across(msgspec.Struct, frozen=True):
    """What became of listeners at several edges."""

    steady: Steady
    again: dict[str, float]
    """By what was killed: seconds from its return till everybody heard everything."""
    lost: Lost
    """When the bus was killed."""
    closed: float
    """Seconds till all were sent away whose hub was killed."""
    there: Sums
    """Those that were there in the end."""
    before: Sums
    """Those that were sent away before."""


def _nats_server() -> str | None:
    beside = Path(sys.executable).with_name("nats-server")
    return str(beside) if beside.exists() else shutil.which("nats-server")


def _across(plan: Plan, load: Executor, binary: str) -> Across:
    """A hub, a bus and edges, each a process, each killed and started again."""
    with folder_of_logs() as (folder, stack):
        service, counts = free_port(), free_port()

        def child(name: str, port: int, run: Sequence[str]) -> Child:
            made = Child(name, port, run, folder)
            made.start()
            stack.callback(made.stop)
            return made

        def fanout(name: str, *more: str) -> Child:
            return child(
                name, port := free_port(), _fanout(port, "--bus", f"nats://127.0.0.1:{bus.port}", *more)
            )

        where = ("-a", "127.0.0.1", "-p", f"{(port := free_port())}", "-m", f"{counts}")
        bus = child("nats-server", port, [binary, *where])
        bus.wait()
        hub = fanout("hub", "--upstream", f"ws://127.0.0.1:{service}/0")
        told = [free_port() for _ in range(_EDGES)]
        edges = [
            fanout(f"edge {number}", "--metrics-listen", f"127.0.0.1:{port}")
            for number, port in enumerate(told)
        ]
        for one in (hub, *edges):
            one.wait()
        run = Run([bus, hub, *edges], load)
        ports = [edge.port for edge in edges]
        grid = Grid(service, bus.pid, counts, hub.pid, [edge.pid for edge in edges], ports, told)
        run.done(fanout_edges.begin, grid, plan.at_edges)
        sleep(plan.pause)
        steady = run.done(fanout_edges.steady, plan.steady)
        again = {bus.name: _killed(bus, run, plan.pause)}
        lost = run.done(fanout_edges.lost)
        again[edges[0].name] = _killed(edges[0], run, plan.pause)
        hub.kill()
        closed = run.done(fanout_edges.closed)
        hub.start()
        again[hub.name] = run.done(fanout_edges.recovered)
        sleep(plan.pause)
        return Across(steady, again, lost, closed, *run.done(fanout_edges.end))


def _killed(one: Child, run: Run, pause: float) -> float:
    one.kill()
    sleep(pause)
    one.start()
    took = run.done(fanout_edges.recovered)
    sleep(pause)
    return took


def _tell_across(across: Across, console: Console) -> Iterator[Required]:
    yield from _tell_steady(across.steady, console)
    for name, took in across.again.items():
        yield Required(f"{name} killed: all hear again, in s", f"≤ {_AGAIN:g}", f"{took:.1f}", took <= _AGAIN)
    lost = across.lost
    required, is_met = f"{lost.missing:,}, {lost.missing:,}", lost.missing == lost.told == lost.counted > 0
    yield Required("bus killed: losses told, counted", required, f"{lost.told:,}, {lost.counted:,}", is_met)
    is_met = across.closed <= _DEAD
    yield Required("hub killed: its listeners closed, in s", f"≤ {_DEAD:g}", f"{across.closed:.1f}", is_met)
    ended, all_of_them = across.before.ended, across.steady.listeners
    yield Required("hub killed: told of the end", f"{all_of_them:,}", f"{ended:,}", ended == all_of_them)
    for who, row in {"there in the end": across.there, "sent away before": across.before}.items():
        console.print(
            f"listeners {who}: {row.listeners:,}; {row.missing[0]:,} deltas of audio are missing, told of"
            f" {row.told[0]:,}; {row.restored:,} words that only a snapshot had, told of {row.told[1]:,};"
            f" {row.missing[1]} that it had not"
        )
        bad = row.unexplained + row.wrong
        yield Required(f"{who}: not told of a loss before", "0", f"{bad} of {row.listeners:,}", not bad)
    console.print()


def _tell_steady(row: Steady, console: Console) -> Iterator[Required]:
    told = table(
        "listeners",
        "deliveries",
        "p50",
        "p99",
        "hub",
        "an edge",
        "bus",
        "to it",
        "to an edge",
        "deliveries/s",
    )
    latest = row.took[1] / 1000
    told.add_row(
        f"{row.listeners:,}",
        f"{row.deliveries:,}",
        *(f"{late / 1000:.2f}" for late in row.took),
        *(f"{spent:.1f}" for spent in (row.hub, sum(row.edges) / _EDGES, row.bus)),
        *(f"{size / 1024:.1f}" for size in (row.bus_in, row.bus_out / _EDGES)),
        f"{1000 * row.deliveries / row.seconds / sum(row.edges):,.0f}",
    )
    console.print(
        f"the same session by NATS at {_EDGES} edges: how late it comes, in ms; in each second CPU time, in"
        " ms,\nand traffic, in kB; an edge's deliveries for each second of its CPU time:",
        told,
        "",
    )
    where = f"{row.listeners:,} at {_EDGES} edges"
    yield Required(f"{where}: lost, or out of turn", "0", f"{row.lost}", not row.lost)
    yield Required(f"{where}: p99, in ms", f"< {_LATEST:g}", f"{latest:.1f}", latest < _LATEST)


# The run --------------------------------------------------------------------------------------


def _measured(plan: Plan, load: Executor, console: Console) -> tuple[list[Required], dict[str, Any]]:
    """Everything in turn, each told when it is there."""
    with running(_HUBS, load) as (run, sides, service):
        costs = run.done(fanout_load.cost, sides, service, _LISTENERS, plan.rounds, plan.window)
    required = [*_tell_costs(costs, console)]
    counts, limits = free_port(), (f"{_QUEUE.max_queue_bytes}", f"{_QUEUE.max_queue_ms:g}")
    options = ("--metrics-listen", f"127.0.0.1:{counts}")
    options += ("--max-queue-bytes", limits[0], "--max-queue-ms", limits[1])
    with running({_OURS: _hub(*options)}, load) as (run, (side,), service):
        pace = run.done(fanout_load.pace, side, service, counts, plan.audience)
    required += _tell_pace(pace, console)
    with running({_OURS: _hub()}, load) as (run, (side,), service):
        joins = run.done(fanout_load.late_joins, side, service, 200, plan.joins)
    _tell_joins(joins, console)
    found: dict[str, Any] = {"plan": plan, "cost": costs, "pace": pace, "joins": joins}
    if binary := _nats_server():
        found["across"] = across = _across(plan, load, binary)
        required += _tell_across(across, console)
    else:
        console.print("there is no nats-server, so nothing is told of edges", "")
    return required, found


@click.command()
@click.option("--quick", is_flag=True, help="A little of it, to see that it runs.")
@click.option("--check", is_flag=True, help="The status is 1 if something required is missed.")
@click.option(
    "--save", type=click.Path(dir_okay=False, path_type=Path), help="Where every round goes, as JSON."
)
def main(quick: bool, check: bool, save: Path | None) -> None:
    """Print what a hub takes, beside those of websockets and OpenAI's SDK, and what becomes of the slow."""
    set_up()
    console = Console(width=170, highlight=False)
    plan = _QUICK if quick else _FULL
    with loading() as load:
        required, results = _measured(plan, load, console)
    tell_required(required, console)
    if save:
        save.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    sys.exit(check and not all(row.is_met for row in required))


if __name__ == "__main__":
    main()
