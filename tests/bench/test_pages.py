"""What the pages say is what the last run found."""

import msgspec
import pytest
from bench.pages import PARTS, SHOWN, filled, table

from rtproto.bench import Report, built_in_tasks
from rtproto.bench.peers import load
from tests.conftest import HERE

ROOT = HERE.parent
LATEST = msgspec.json.decode((ROOT / "bench" / "results" / "latest.json").read_bytes(), type=Report)
PAGES = [ROOT / "README.md", ROOT / "docs" / "benchmarks.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_the_last_run(page: object) -> None:
    text = page.read_text("utf-8")  # type: ignore[attr-defined]
    assert filled(text, LATEST) == text
    assert "bench/results/chart.svg" in text


def test_every_shown_row_is_measured() -> None:
    measured = {(task.operation, task.case.name) for task in built_in_tasks()}
    assert {*SHOWN} <= measured


def test_every_part_is_on_a_page() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    for name in PARTS:
        assert f"<!-- {name} -->" in text


def test_the_last_run_is_of_what_is_measured_now() -> None:
    """Else ``nox -s bench`` is due."""
    assert [(row.operation, row.case) for row in LATEST.rows] == [
        (task.operation, task.case.name) for task in built_in_tasks()
    ]
    peers, _ = load()
    assert LATEST.remarks == {peer.label: peer.remark for peer in peers}


def test_a_figure_is_bold_where_the_peer_takes_less() -> None:
    cells = {text for row in LATEST.rows for text in (cell.text for cell in row.peers.values() if cell.ratio)}
    shown = {cell.strip() for line in table(LATEST).splitlines() for cell in line.split("|")}
    assert cells & shown == {cell for cell in cells if float(cell.split()[0]) >= 1}
    assert {f"**{cell}**" for cell in cells} & shown == {
        f"**{cell}**" for cell in cells if float(cell.split()[0]) < 1
    }


def test_a_part_is_put_between_its_marks_and_nowhere_else() -> None:
    page = "a <!-- machine -->old<!-- /machine --> b"
    found = filled(page, LATEST)
    assert found.startswith("a <!-- machine -->\n")
    assert found.endswith("\n<!-- /machine --> b")
    assert "old" not in found
    assert filled(found, LATEST) == found
