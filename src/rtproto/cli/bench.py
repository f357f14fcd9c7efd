"""``rtproto bench`` shows what peers take for the same work, in multiples of what rtproto takes."""

from collections import Counter
from itertools import groupby
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rtproto.bench import Cell, Frame, Report, Task, built_in_tasks, capture_tasks, run
from rtproto.bench.peers import load
from rtproto.capture import Skipped
from rtproto.cli._source import (
    capture_path,
    console,
    frames,
    json_option,
    print_json,
    shown,
    table,
)
from rtproto.codec import server_codec, translation_client_codec, translation_server_codec

__all__ = ["bench"]


@click.command(short_help="Time this library beside others, also on your own traffic.")
@click.argument("capture", type=capture_path, required=False)
@click.option("--processes", type=click.IntRange(1), default=3, show_default=True, help="Fresh processes.")
@click.option(
    "--rounds", type=click.IntRange(1), default=7, show_default=True, help="Rounds in each of them."
)
@click.option(
    "--events", type=click.IntRange(1), default=1000, show_default=True, help="Events to take of CAPTURE."
)
@json_option
def bench(capture: Path | None, processes: int, rounds: int, events: int, as_json: bool) -> None:
    """Do the same work with rtproto and with its peers, on the events of CAPTURE, or on built-in ones.

    A figure is how many times rtproto's time, or memory, a peer takes: the median of all rounds, each of
    which times both in turn, and half the distance of its quartiles. Below 1, the peer takes less.
    """
    for library in load()[1]:
        click.echo(f"{library} is not installed, and left out: pip install 'rtproto[bench]'", err=True)
    tasks = _capture_tasks(capture, events) if capture else built_in_tasks()
    with console(stderr=True).status("") as status:
        report = run(tasks, processes=processes, rounds=rounds, tell=status.update)
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        _print(report, console())


def _capture_tasks(capture: Path, most: int) -> list[Task]:
    """The first events of the capture; it is told how many they are."""
    found: list[Frame] = []
    left_out: Counter[str] = Counter()
    lines = frames(capture, "auto")
    for line in lines:
        if isinstance(line, Skipped):
            left_out["lines skipped"] += 1
        elif isinstance(line.event, _TRANSLATION):
            left_out["of a translation session left out"] += 1
        else:
            found.append(Frame(line.direction, line.event.type, line.record.raw))
            if len(found) == most:
                break
    first = "the first " if next(lines, None) else ""
    rest = "".join(f", {count:,} {what}" for what, count in left_out.items())
    click.echo(f"{first}{len(found):,} events{rest}", err=True)
    if not (tasks := capture_tasks(found)):
        raise click.UsageError("there is no event in the capture")
    return tasks


_TRANSLATION = tuple(
    event
    for codec in (translation_server_codec, translation_client_codec)
    for event in codec.types.values()
    if event not in server_codec.types.values()
)
_LEGEND = (
    "A figure is what the peer takes, in multiples of what rtproto takes: below 1, it takes less. "
    "±: half the quartiles' distance. no: one of the two does not do it, or does it wrong. "
    "*: what one of the two gets wrong is left out for both, so look at no other column."
)
_NARROW = 110


def _print(report: Report, out: Console) -> None:
    out.print(_table(report, is_narrow=out.width < _NARROW))
    out.print(_LEGEND, "")
    for note in report.notes():
        out.print(shown(f"– {note}"))
    out.print("", report.machine.text, sep="\n")


def _table(report: Report, *, is_narrow: bool) -> Table:
    """A narrow one leaves out the sizes and the spread."""
    found = table("What peers take, in multiples of what rtproto takes")
    found.add_column("", overflow="fold", min_width=18)
    labels = [*report.rows[0].peers]
    for heading in ("rtproto", *labels) if is_narrow else ("bytes", "rtproto", *labels):
        found.add_column(heading, justify="right", no_wrap=True)
    for operation, rows in groupby(report.rows, lambda row: row.operation):
        found.add_row(Text(operation, style="bold"))
        for row in rows:
            size = [] if is_narrow else [f"{row.bytes:,}" if row.bytes else ""]
            cells = [_cell(cell, is_narrow=is_narrow) for cell in row.peers.values()]
            found.add_row(shown(f" {row.case}"), *size, row.own, *cells)
    return found


def _cell(cell: Cell, *, is_narrow: bool) -> Text:
    style = "dim" if cell.ratio is None else "yellow" if cell.ratio < 1 else ""
    return Text(cell.short if is_narrow else cell.text, style=style)
