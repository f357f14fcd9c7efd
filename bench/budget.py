"""A change that costs instructions says so: every operation has a budget, and going over it fails.

Run it as ``nox -s budget``, and ``nox -s budget -- --update`` to write what was counted as the new budget.
"""

import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import click
import tomli_w
from rich.console import Console
from rich.table import Table

from bench.counted import BUDGETED, NAMES
from bench.counts import ROOT, NoValgrindError, count

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
@click.argument("operations", nargs=-1, type=click.Choice(BUDGETED), metavar="[OPERATION]...")
@click.option("--update", is_flag=True, help="Make what is counted the budget, where it is not within it.")
@click.option(
    "--budget",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=ROOT / "bench" / "budget.toml",
    help="Another file: your own budget, on a machine of other builds.",
)
@click.option(
    "--source",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=ROOT / "src",
    help="The folder that the package is in.",
)
def main(operations: tuple[str, ...], update: bool, file: Path, source: Path) -> None:
    """Count the instructions of every OPERATION, or of all, and compare them with the budget."""
    for operation in operations or BUDGETED:
        _try(operation)
    try:
        builds = count((), source=source, layouts=1).builds
    except NoValgrindError as missing:
        click.echo(f"budget skipped: {missing}")
        return
    if not (file.exists() or update):
        raise click.UsageError(f"there is no {file.name}: --update counts one")
    recorded: dict[str, Any] = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
    others = other_builds(recorded.get("builds", {}), builds)
    if others and (operations or not update):
        click.echo(
            "budget skipped: it was counted with other builds; --update, of all, counts one for these."
        )
        click.echo("\n".join(f"  {line}" for line in others))
        return
    budget: dict[str, int] = {} if others else recorded["instructions"]
    found = count(operations or BUDGETED, source=source).instructions
    findings = judge({name: budget[name] for name in operations or budget if name in budget}, found)
    _print(findings)
    if update:
        _write(file, builds, budget, findings)
    elif failing := sum(finding.fails for finding in findings):
        click.echo(f"{failing} over budget. Worth it? nox -s budget -- --update, and say what it buys.")
        sys.exit(1)


def _try(operation: str) -> None:
    """Run it once, so that a slip in it is told without valgrind around it."""
    try:
        exec(operation, dict(NAMES))  # noqa: S102 - an operation is a statement
    except Exception as slip:  # noqa: BLE001 - whatever it is
        raise click.ClickException(f"{operation}: {type(slip).__name__}: {slip}") from None


def _write(file: Path, builds: dict[str, str], budget: dict[str, int], findings: list[Finding]) -> None:
    """What is within its budget keeps it: so a change shows what it changed."""
    new = {finding.operation: finding.measured for finding in findings if finding.verdict}
    kept = {**budget, **new}
    instructions = {name: kept[name] for name in [*BUDGETED, *kept] if kept.get(name) is not None}
    file.write_text(_HEAD + tomli_w.dumps({"builds": builds, "instructions": instructions}), "utf-8")
    click.echo(f"written to {file.name}: {len(new)} of {len(instructions)} changed")


def _print(findings: list[Finding]) -> None:
    table = Table("operation", box=None, pad_edge=False)
    for name in ("budget", "measured", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column()
    for finding in sorted(findings, key=lambda finding: finding.change):
        figures = (
            f"{figure:,}" if figure is not None else "–" for figure in (finding.budget, finding.measured)
        )
        change = f"{finding.change:+.1%}" if finding.budget and finding.measured else "–"
        style = "red" if finding.fails else "yellow" if finding.verdict else None
        table.add_row(finding.operation, *figures, change, finding.verdict, style=style)
    console = Console(highlight=False)
    (console if console.is_terminal else Console(width=140, highlight=False)).print(table)


if __name__ == "__main__":
    main()
