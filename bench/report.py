"""One run becomes a file of results, a chart, and the pages that show them.

Run it as ``nox -s bench``; ``nox -s bench -- --draw`` writes chart and pages anew from the last run.
"""

from pathlib import Path

import click
import msgspec

from bench.chart import draw
from bench.counts import ROOT
from bench.pages import filled
from rtproto.bench import Report, built_in_tasks, run

__all__ = ["PAGES", "main"]

RESULTS = ROOT / "bench" / "results"
PAGES = (ROOT / "README.md", ROOT / "docs" / "benchmarks.md")


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
    to = to.resolve()
    to.mkdir(parents=True, exist_ok=True)
    latest = to / "latest.json"
    if not only_draw:
        report = run(built_in_tasks(), processes=processes, rounds=rounds, tell=click.echo)
        latest.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    report = msgspec.json.decode(latest.read_bytes(), type=Report)
    draw(report, to)
    for page in PAGES if to == RESULTS else ():
        page.write_text(filled(page.read_text("utf-8"), report), "utf-8")
    click.echo(f"written to {to}")


if __name__ == "__main__":
    main()
