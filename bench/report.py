"""One run becomes a file, a table and a chart; the pages that show them are written here, never by hand.

Run it as ``nox -s bench``. ``--draw`` writes the pages anew from the last run.
"""

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import click
import matplotlib as mpl
import msgspec

from bench.counts import ROOT
from rtproto.bench import Cell, Report, Row, built_in_tasks, run

mpl.use("Agg")
from matplotlib import pyplot as plt

__all__ = ["draw", "headlines", "machine", "table", "told"]

RESULTS = ROOT / "bench" / "results"
SHOWN = (
    ("decode", "small delta"),
    ("decode", "audio delta 6.6 kB"),
    ("decode", "response.done"),
    ("decode", "unknown event"),
    ("encode", "small delta"),
    ("encode", "audio delta 32 kB"),
    ("make and encode a delta", "small delta"),
    ("make and encode a user's item", "a word"),
    ("tell the type", "audio delta 32 kB"),
    ("replace the event id", "audio delta 6.6 kB"),
    ("frame to PCM", "audio delta 32 kB"),
    ("PCM to frame", "append 32 kB"),
    ("hold an event", "small delta"),
    ("import", "–"),
)
INK = "#7d8590"  # as far from white as from black
INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
COLOURS = {
    "json": "#d29922",
    "orjson": "#db6d28",
    "msgspec": "#3f9c53",
    "pydantic": "#4c8fe0",
    "openai": "#d2568c",
}
MARKERS = dict(zip(COLOURS, "osD^v", strict=True))


# The tables -----------------------------------------------------------------------------------


def table(report: Report) -> str:
    """Every row, by operation, in Markdown."""
    lines = [*_heading(report)]
    for operation, rows in groupby(report.rows, lambda row: row.operation):
        lines.append(f"| **{operation}** |{' |' * (2 + len(report.rows[0].peers))}")
        lines += (_line(row.case, row) for row in rows)
    return "\n".join(lines)


def headlines(report: Report) -> str:
    """The rows that the chart shows, in Markdown."""
    return "\n".join((*_heading(report), *(_line(_name(row), row) for row in _shown(report))))


def _heading(report: Report) -> Iterator[str]:
    labels = [*report.rows[0].peers]
    yield f"| | bytes | rtproto | {' | '.join(labels)} |"
    yield f"|---|--:|--:|{'--:|' * len(labels)}"


def _line(name: str, row: Row) -> str:
    size = f"{row.bytes:,}" if row.bytes else ""
    return f"| {name} | {size} | {row.own} | {' | '.join(map(_cell, row.peers.values()))} |"


def _cell(cell: Cell) -> str:
    """In bold where the peer takes less."""
    return f"**{cell.text}**" if cell.ratio and cell.ratio < 1 else cell.text


def _name(row: Row) -> str:
    return row.operation if row.operation == "import" else f"{row.operation}: {row.case}"


def _shown(report: Report) -> Iterator[Row]:
    rows = {(row.operation, row.case): row for row in report.rows}
    return (rows[key] for key in SHOWN)


def told(report: Report) -> str:
    """What each peer does not do, in Markdown."""
    remarks = (f"- **{label}**: {remark}." for label, remark in report.remarks.items())
    notes = (f"- {note}." for note in report.notes())
    return "\n".join((*remarks, "", 'Behind each "no":', "", *notes))


def machine(report: Report) -> str:
    """What it was measured on, in a sentence."""
    on = report.machine
    libraries = ", ".join(f"{name} {version}" for name, version in on.libraries.items())
    rounds = f"{report.processes} processes, {report.rounds} rounds in each"
    return f"{on.python} on {on.system}, {on.processor}; {libraries}; {rounds}."


# The chart ------------------------------------------------------------------------------------


def draw(report: Report, folder: Path) -> None:
    """``chart.svg`` and ``chart.png``: without a background, for light pages and dark."""
    rows = [*_shown(report)]
    with plt.rc_context({**dict.fromkeys(INKED, INK), "svg.hashsalt": "rtproto", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(8.4, 0.36 * len(rows) + 1.2), layout="constrained")
        for number, label in enumerate(COLOURS):
            cells = [(place, row.peers[label].ratio) for place, row in enumerate(rows)]
            places, ratios = zip(*((place, ratio) for place, ratio in cells if ratio), strict=True)
            aside = [place + 0.11 * (number - 2) for place in places]  # none hides another
            axes.scatter(ratios, aside, 30, COLOURS[label], marker=MARKERS[label], label=label, zorder=3)
        _dress(axes, [_name(row) for row in rows])
        figure.legend(ncols=len(COLOURS) + 1, loc="outside upper center", frameon=False)
        figure.savefig(folder / "chart.svg", transparent=True, metadata={"Date": None})
        figure.savefig(folder / "chart.png", transparent=True, dpi=160)
        plt.close(figure)


def _dress(axes: Any, names: list[str]) -> None:
    axes.axvline(1, color=INK, linewidth=1.4, label="rtproto")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g} ×")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    for axis, alpha in (("x", 0.25), ("y", 0.12)):
        axes.grid(visible=True, axis=axis, color=INK, alpha=alpha)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("what the peer takes, in multiples of what rtproto takes; no mark: it does not do it")


# The pages ------------------------------------------------------------------------------------

PARTS = {"table": table, "headlines": headlines, "told": told, "machine": machine}
"""What stands between ``<!-- name -->`` and ``<!-- /name -->`` on a page, by its name."""


def filled(page: str, report: Report) -> str:
    """A page with each of its parts as the report has it."""
    for name, part in PARTS.items():
        text = f"<!-- {name} -->\n{part(report)}\n<!-- /{name} -->"
        page = re.sub(rf"<!-- {name} -->.*<!-- /{name} -->", lambda _, text=text: text, page, flags=re.DOTALL)
    return page


@click.command()
@click.option("--processes", type=click.IntRange(1), default=5, show_default=True, help="Fresh processes.")
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True, help="Rounds in each.")
@click.option("--draw", "only_draw", is_flag=True, help="Measure nothing: use the last run.")
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    default=RESULTS,
    help="Where results go.",
)
def main(processes: int, rounds: int, only_draw: bool, to: Path) -> None:
    """Measure all peers, and write the results, the chart and the pages that show them."""
    to.mkdir(parents=True, exist_ok=True)
    latest = to / "latest.json"
    if not only_draw:
        report = run(built_in_tasks(), processes=processes, rounds=rounds, tell=click.echo)
        latest.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    report = msgspec.json.decode(latest.read_bytes(), type=Report)
    draw(report, to)
    for page in (ROOT / "README.md", ROOT / "docs" / "benchmarks.md") if to == RESULTS else ():
        page.write_text(filled(page.read_text("utf-8"), report), "utf-8")
    click.echo(f"written to {to}")


if __name__ == "__main__":
    main()
