"""``rtproto bench`` shows what peers take for the same work, in multiples of what rtproto takes."""

from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path

import click
import msgspec
from rich.table import Table
from rich.text import Text

from rtproto.bench import Cell, Frame, Report, built_in_tasks, capture_tasks, run
from rtproto.bench.peers import load
from rtproto.capture import Skipped
from rtproto.cli._source import (
    Surface,
    capture_path,
    console,
    frames,
    json_option,
    print_json,
    shown,
    surface_option,
    table,
)

__all__ = ["bench"]


@click.command(short_help="Time this library beside others, also on your own traffic.")
@click.argument("capture", type=capture_path, required=False)
@click.option("--processes", type=click.IntRange(1), default=3, show_default=True, help="Fresh processes.")
@click.option(
    "--rounds", type=click.IntRange(1), default=7, show_default=True, help="Rounds in each of them."
)
@click.option("--events", type=click.IntRange(1), default=1000, show_default=True, help="Events to take.")
@surface_option
@json_option
def bench(  # noqa: PLR0913, PLR0917 - click passes each option
    capture: Path | None, processes: int, rounds: int, events: int, surface: Surface, as_json: bool
) -> None:
    """Do the same work with rtproto and with its peers, on the events of CAPTURE, or on built-in ones.

    A figure is how many times rtproto's time, or memory, a peer takes: the median of all rounds, each of
    which times both in turn, and half the distance of its quartiles. Below 1, the peer takes less.
    """
    for library in load()[1]:
        click.echo(f"{library} is not installed, and left out: pip install 'rtproto[bench]'", err=True)
    tasks = capture_tasks(_events(capture, surface, events)) if capture else built_in_tasks()
    if not tasks:
        raise click.UsageError("there is no event in the capture")
    with console(stderr=True).status("") as status:
        report = run(tasks, processes=processes, rounds=rounds, tell=status.update)
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        _print(report)


def _events(capture: Path, surface: Surface, most: int) -> Iterator[Frame]:
    lines = (line for line in frames(capture, surface) if not isinstance(line, Skipped))
    for line in islice(lines, most):
        yield Frame(line.direction, line.event.type, line.record.raw)


def _print(report: Report) -> None:
    out = console()
    out.print(_table(report))
    for note in report.notes():
        out.print(shown(f"* {note}"))
    machine = report.machine
    libraries = ", ".join(f"{name} {version}" for name, version in machine.libraries.items())
    out.print(f"{machine.python}, {machine.system}, {machine.processor}; {libraries}", soft_wrap=True)


def _table(report: Report) -> Table:
    found = table("Times what rtproto takes")
    found.add_column("", overflow="fold")
    found.add_column("bytes", justify="right", no_wrap=True)
    found.add_column("rtproto", justify="right", no_wrap=True)
    for label in report.rows[0].peers:
        found.add_column(label, justify="right", no_wrap=True)
    for operation, rows in groupby(report.rows, lambda row: row.operation):
        found.add_row(Text(operation, style="bold"))
        for row in rows:
            size = f"{row.bytes:,}" if row.bytes else ""
            found.add_row(shown(f"  {row.case}"), size, row.own, *map(_cell, row.peers.values()))
    return found


def _cell(cell: Cell) -> Text:
    style = "dim" if cell.ratio is None else "yellow" if cell.ratio < 1 else ""
    return Text(cell.text, style=style)
