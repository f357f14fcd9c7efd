"""Every ratio's statements run, and give the same where they are to."""

from importlib import import_module
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.ratios import TABLES, Ratio, check

ROWS = [
    pytest.param(row, table.names, id=f"{name}: {row.name}")
    for name in TABLES
    for table in [import_module(f"bench.{name}").RATIOS]
    for row in table.rows
]


@pytest.mark.parametrize(("row", "names"), ROWS)
def test_ratio(benchmark: BenchmarkFixture, row: Ratio, names: dict[str, Any]) -> None:
    """What stands over the line."""
    check(row, names)
    namespace = dict(names)
    exec(f"def over():\n    {row.over}", namespace)  # noqa: S102 - a benchmark is a statement
    benchmark(namespace["over"])
