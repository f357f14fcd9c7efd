"""What a page says of a run is taken from its results: between two marks, never by hand."""

import re
from collections.abc import Iterator
from itertools import groupby

from rtproto.bench import Cell, Report, Row

__all__ = ["PARTS", "filled", "row_name", "shown_rows"]

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
"""The rows that the README and the chart show."""


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
    return "\n".join((*_heading(report), *(_line(row_name(row), row) for row in shown_rows(report))))


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


def row_name(row: Row) -> str:
    """An operation and its case."""
    return row.operation if row.operation == "import" else f"{row.operation}: {row.case}"


def shown_rows(report: Report) -> Iterator[Row]:
    """The rows of ``SHOWN``."""
    rows = {(row.operation, row.case): row for row in report.rows}
    return (rows[key] for key in SHOWN)


def remarks(report: Report) -> str:
    """What each peer does not do, in Markdown: a list inside another."""
    return "\n".join(f"  - `{label}`: {remark}." for label, remark in report.remarks.items())


def notes(report: Report) -> str:
    """What is behind each "no" and each star, in Markdown."""
    return "\n".join(f"- {note}." for note in report.notes())


def machine(report: Report) -> str:
    """What it was measured on, in a sentence."""
    return f"{report.machine.text}; {report.processes} processes, {report.rounds} rounds in each."


# The pages ------------------------------------------------------------------------------------

PARTS = {"table": table, "headlines": headlines, "remarks": remarks, "notes": notes, "machine": machine}
"""What stands between ``<!-- name -->`` and ``<!-- /name -->`` on a page, by its name."""


def filled(page: str, report: Report) -> str:
    """A page with each of its parts as the report has it."""
    for name, part in PARTS.items():
        text = f"<!-- {name} -->\n{part(report)}\n<!-- /{name} -->"
        page = re.sub(rf"<!-- {name} -->.*<!-- /{name} -->", lambda _, text=text: text, page, flags=re.DOTALL)
    return page
