"""A change that costs instructions says so: every operation has a budget, and going over it fails.

Run it as ``nox -s budget``, and ``nox -s budget -- --update`` to write what was counted as the new budget.
"""

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import tomli_w
from rich.console import Console
from rich.table import Table

from bench.counted import BUDGETED
from bench.counts import ROOT, Counts, NoValgrindError, count

__all__ = ["Finding", "judge", "main", "other_builds"]

TOLERANCE = 0.02
_HEAD = """\
# Instructions per call: `nox -s budget` counts and compares, `nox -s budget -- --update` writes this file.
# They hold for these builds only. An operation is the statement that is counted; its names are in counted.py.
"""


class Finding(NamedTuple):
    """An operation, its budget and its count."""

    operation: str
    budget: int | None
    """``None``: it has none."""
    measured: int | None
    """``None``: it is not counted any more."""

    @property
    def change(self) -> float:
        """What it takes more than its budget, as a share of it."""
        return (
            (self.measured - self.budget) / self.budget if self.budget and self.measured is not None else 0.0
        )

    @property
    def verdict(self) -> str:
        """What is to be done about it; nothing, if it is within its budget."""
        if self.budget is None:
            return "has no budget: --update"
        if self.measured is None:
            return "is not counted any more: --update"
        if self.change > TOLERANCE:
            return "OVER BUDGET"
        return "under budget, lower it: --update" if self.change < -TOLERANCE else ""

    @property
    def fails(self) -> bool:
        """Whether the gate closes."""
        return self.budget is None or self.measured is None or self.change > TOLERANCE


def judge(budget: dict[str, int], measured: dict[str, int]) -> list[Finding]:
    """Every operation that has a budget or was counted."""
    return [Finding(name, budget.get(name), measured.get(name)) for name in {**budget, **measured}]


def other_builds(recorded: dict[str, str], here: dict[str, str]) -> list[str]:
    """What the budget was counted with that is not the same here."""
    return [
        f"{name}: {recorded.get(name)} there, {here.get(name)} here"
        for name in {**recorded, **here}
        if recorded.get(name) != here.get(name)
    ]


@click.command()
@click.argument("operations", nargs=-1)
@click.option("--update", is_flag=True, help="Write what is counted as the new budget.")
@click.option(
    "--budget",
    "file",
    type=click.Path(path_type=Path),
    default=ROOT / "bench" / "budget.toml",
    help="The file.",
)
@click.option(
    "--source",
    type=click.Path(exists=True, path_type=Path),
    default=ROOT / "src",
    help="Where the package is.",
)
def main(operations: Sequence[str], update: bool, file: Path, source: Path) -> None:
    """Count the instructions of every OPERATION, or of all, and compare them with the budget."""
    recorded: dict[str, Any] = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
    budget: dict[str, int] = recorded.get("instructions", {})
    try:
        found = count(operations or BUDGETED, source=source)
    except NoValgrindError as missing:
        click.echo(f"budget skipped: {missing}")
        return
    if update:
        _write(file, found, kept=budget if operations else {})
        return
    others = other_builds(recorded.get("builds", {}), found.builds)
    if others:
        click.echo("budget skipped: it was counted with other builds; --update counts one for these.")
        click.echo("\n".join(f"  {line}" for line in others))
        return
    named = {name: budget[name] for name in operations if name in budget} if operations else budget
    findings = judge(named, found.instructions)
    _print(findings)
    sys.exit(any(finding.fails for finding in findings))


def _write(file: Path, found: Counts, kept: dict[str, int]) -> None:
    table = {"builds": found.builds, "instructions": {**kept, **found.instructions}}
    file.write_text(_HEAD + tomli_w.dumps(table), "utf-8")
    click.echo(f"{len(found.instructions)} budgets written to {file.name}")


def _print(findings: list[Finding]) -> None:
    table = Table("operation", box=None, pad_edge=False)
    for name in ("budget", "measured", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column()
    for finding in sorted(findings, key=lambda finding: finding.change):
        figures = (
            f"{figure:,}" if figure is not None else "–" for figure in (finding.budget, finding.measured)
        )
        style = "red" if finding.fails else "yellow" if finding.verdict else None
        table.add_row(finding.operation, *figures, f"{finding.change:+.1%}", finding.verdict, style=style)
    console = Console(highlight=False)
    (console if console.is_terminal else Console(width=140, highlight=False)).print(table)


if __name__ == "__main__":
    main()
