"""What passes the proxy costs hardly more than in HAProxy, which knows nothing of events, and comes as soon.

``python -m bench.proxy`` takes three minutes, ``--quick`` a third of one. Every proxy is a process on one
core, the service and its clients another on the other; it needs Linux, and as root it keeps both from other
work. All sides are measured in one run, by turns, and only how they stand to each other means anything.
CPU time is the process's, not what passes in a second. Without HAProxy in the path there is no such row.
"""

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click
import msgspec
from rich.console import Console

from bench import proxy_load, proxy_peers
from bench._running import (
    Command,
    Required,
    Spread,
    loading,
    ratio,
    running,
    script,
    set_up,
    table,
    tell_required,
)
from bench.proxy_load import BURSTS, SIZES, Cost, Delays, Pace, Side

__all__ = ["main"]

_OURS, _WITH_POLICIES, _HAPROXY, _SDK, _DIRECT = "rtproto", "+ policies", "HAProxy", "SDK", "direct"
_MOST, _LEAST = 1.1, 10.0  # of HAProxy's CPU time; times less than the SDK's
_GROWN = 1.1  # times the memory: a read buffer may grow late, what is kept of 100,000 messages is more

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


# Proxies --------------------------------------------------------------------------------------


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


_COMMANDS: dict[str, Command] = {
    _OURS: _rtproto,
    _WITH_POLICIES: _with_policies,
    _HAPROXY: _haproxy,
    _SDK: script(proxy_peers.__file__),
}


# What a message costs -------------------------------------------------------------------------


def _tell_costs(costs: Sequence[Cost], names: Sequence[str], console: Console) -> Iterator[Required]:
    pairs = [(name, _HAPROXY) for name in names if name != _HAPROXY and _HAPROXY in names]
    pairs.append((_SDK, _OURS))
    told = table("size", "at once", *names, *(f"{over} : {under}" for over, under in pairs))
    for size in SIZES:
        for burst in BURSTS:
            rows = [row for row in costs if (row.size, row.burst) == (size, burst)]
            ns = {name: [row.ns for row in rows if row.side == name] for name in names}
            ratios = {pair: ratio(*(ns[name] for name in pair)) for pair in pairs}
            cells = [f"{median(ns[name]) / 1000:.2f}" for name in names]
            told.add_row(size, f"{burst}", *cells, *map(str, ratios.values()))
            yield from _of_cost(size, burst, ratios)
    console.print("CPU time of a message from the service, in µs:", told, "")


def _of_cost(size: str, burst: int, ratios: Mapping[tuple[str, str], Spread]) -> Iterator[Required]:
    where = f"CPU, {size}, {burst} at once:"
    if ratio := ratios.get((_OURS, _HAPROXY)):
        yield Required(f"{where} of HAProxy's", f"≤ {_MOST}", str(ratio), ratio.median <= _MOST)
    if size == next(iter(SIZES)):
        ratio = ratios[_SDK, _OURS]
        yield Required(f"{where} the SDK's of ours", f"≥ {_LEAST:g}", str(ratio), ratio.median >= _LEAST)


# How late a message is ------------------------------------------------------------------------


def _tell_delays(found: Sequence[Delays], names: Sequence[str], console: Console) -> None:
    told = table("size", "", "p50", "added", "p99", "added")
    for size in SIZES:
        took = {name: [row.took for row in found if (row.size, row.side) == (size, name)] for name in names}
        for name in names:
            cells = [
                _late([one[at] for one in took[name]], [one[at] for one in took[_DIRECT]]) for at in (0, 1)
            ]
            told.add_row(size, name, *cells[0], *cells[1])
    console.print(
        "how late a message from the service is, in µs, at 1,000 a second in 50 sessions:", told, ""
    )


def _late(late: Sequence[float], direct: Sequence[float]) -> tuple[str, str]:
    added = sorted(one - other for one, other in zip(late, direct, strict=True))
    return f"{median(late):.0f}", f"{median(added):+.0f} ({added[0]:+.0f} to {added[-1]:+.0f})"


# Sessions that are there, and that talk -------------------------------------------------------


def _tell_idle(idle: Mapping[str, float], sessions: int, console: Console) -> None:
    told = table(*idle)
    told.add_row(*(f"{kilobytes:.1f}" for kilobytes in idle.values()))
    console.print(f"memory of each of {sessions:,} idle sessions, in kB:", told, "")


def _tell_pace(found: Sequence[Pace], plan: Plan, console: Console) -> Iterator[Required]:
    delays = ("down: p50", "p99", "up: p50", "p99", "sent: p99")
    kept = ("MB at ⅓", "at end", "on the way at ⅓", "at end")
    told = table("", "messages", "lost", "wrong", *delays, "core", *kept)
    for row in found:
        told.add_row(
            row.side,
            *(f"{count:,}" for count in (row.messages, row.lost, row.wrong)),
            *(f"{late / 1000:.2f}" for late in (*row.down, *row.up, row.late)),
            *((f"{row.share:.0%}", *map(_mb, row.kilobytes)) if row.kilobytes[0] else ("", "", "")),
            *map(str, row.waiting),
        )
        if row.side == _OURS:
            yield from _of_pace(row, plan.talking)
    title = f"{plan.talking} sessions with audio both ways for {plan.talk:g} s, 10 messages a second each way"
    console.print(f"{title}; how late they come, and are sent, in ms:", told, "")


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


def _measured(
    plan: Plan, commands: Mapping[str, Command], console: Console
) -> tuple[list[Required], dict[str, Any]]:
    """Everything in turn, each told when it is there."""
    with loading() as load:
        with running(commands, load) as (run, sides, service):
            ways = [Side(_DIRECT, service), *sides]
            costs = run.done(proxy_load.cost, sides, service, 8, plan.rounds, plan.window)
            required = [*_tell_costs(costs, [*commands], console)]
            late = run.done(proxy_load.delays, ways, service, 50, plan.rounds, plan.heard)
            _tell_delays(late, [side.name for side in ways], console)
        with running(commands, load) as (run, sides, service):
            idle = {side.name: run.done(proxy_load.idle, side, service, plan.idle) for side in sides}
            _tell_idle(idle, plan.idle, console)
        talking = {name: command for name, command in commands.items() if name != _SDK}  # it cannot
        with running(talking, load) as (run, sides, service):
            ways = [Side(_DIRECT, service), *sides]
            talked = [run.done(proxy_load.pace, side, service, plan.talking, plan.talk) for side in ways]
            required += _tell_pace(talked, plan, console)
    return required, {"plan": plan, "cost": costs, "delay": late, "idle": idle, "pace": talked}


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
    set_up()
    commands = {**_COMMANDS, **{Path(path).stem: script(path) for path in also}}
    if not shutil.which("haproxy"):
        click.echo("there is no haproxy in the path, so nothing is set beside it")
        del commands[_HAPROXY]
    console = Console(width=170, highlight=False)
    required, results = _measured(_QUICK if quick else _FULL, commands, console)
    tell_required(required, console)
    if save:
        save.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    wrong = sum(row.wrong for row in (*results["cost"], *results["delay"]))
    if wrong:
        click.echo(f"WRONG: {wrong} messages were changed, or came out of turn")
    sys.exit(bool(wrong) or (check and not all(row.is_met for row in required)))


if __name__ == "__main__":
    main()
