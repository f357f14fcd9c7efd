"""One way beside another: statements, first seen to give the same, then timed in turn within one run.

``python -m bench.ratios`` prints every table, ``python -m bench.ratios frames`` one of them. They are behind
the figures of CONTRIBUTING's "Speed"; how rtproto stands beside other libraries is ``nox -s bench``.
"""

import json
import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from statistics import quantiles
from timeit import Timer
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.table import Table

from rtproto.bench.measure import SECONDS, side_by_side

__all__ = ["TABLES", "Ratio", "Ratios", "check", "measure"]

TABLES = ("decoding", "choices", "speaking", "frames")
"""The modules that have a table: each in its ``RATIOS``."""


class Ratio(NamedTuple):
    """What one statement takes, by what another does."""

    name: str
    over: str
    under: str
    wanted: str = ""
    """What it is to be, if an issue asks for it."""
    alike: bool = False
    """Whether both are to give the same."""


class Ratios(NamedTuple):
    """A table, with the names that its statements use."""

    title: str
    names: Mapping[str, Any]
    rows: Sequence[Ratio]


def check(row: Ratio, names: Mapping[str, Any]) -> None:
    """Both statements run, and give the same where they are to."""
    for statement in (row.over, row.under):
        exec(statement, dict(names))  # noqa: S102 - a benchmark is a statement
    if row.alike:
        assert _plain(eval(row.over, dict(names))) == _plain(eval(row.under, dict(names))), row.name


def _plain(result: Any) -> Any:
    """JSON as what it says, whatever its spelling."""
    is_json = isinstance(result, str | bytes) and result[:1] in ("{", b"{")
    return json.loads(result) if is_json else result


def measure(row: Ratio, names: Mapping[str, Any], rounds: int) -> list[float]:
    """The ratio, round by round."""
    over, under = (_timer(statement, names) for statement in (row.over, row.under))
    return [pair.ours / pair.theirs for pair in side_by_side(over, under, rounds)]


def _timer(statement: str, names: Mapping[str, Any]) -> Any:
    timer = Timer(statement, globals=dict(names))
    timer.timeit(3)
    calls = max(1, math.ceil(SECONDS / timer.timeit(1)))
    return lambda: timer.timeit(calls) / calls


@click.command()
@click.argument("tables", nargs=-1, type=click.Choice(TABLES))
@click.option("--rounds", type=click.IntRange(2), default=41, show_default=True)
def main(tables: Sequence[str], rounds: int) -> None:
    """Print the TABLES, or all: of each ratio the median round and the quartiles."""
    for name in tables or TABLES:
        ratios: Ratios = import_module(f"bench.{name}").RATIOS
        table = Table(ratios.title, box=None, pad_edge=False)
        for heading in ("median", "quartiles", "wanted"):
            table.add_column(heading, justify="right", no_wrap=True)
        for row in ratios.rows:
            check(row, ratios.names)
            low, middle, high = quantiles(measure(row, ratios.names, rounds), n=4)
            table.add_row(row.name, f"{middle:.2f}", f"{low:.2f} – {high:.2f}", row.wanted)
        Console(width=110, highlight=False).print(table, "")


if __name__ == "__main__":
    main()
