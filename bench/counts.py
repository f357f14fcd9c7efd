"""A count is exact: instructions per call, by valgrind, which no load on the machine changes."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median_low
from typing import NamedTuple

__all__ = ["ROOT", "Counts", "NoValgrindError", "count"]

ROOT = Path(__file__).parent.parent
_TOOL = ("--tool=cachegrind", "--cache-sim=no", "--log-file=/dev/null")
_KEPT = ("LD_LIBRARY_PATH", "VALGRIND_LIB")


class NoValgrindError(Exception):
    """There is nothing to count with; the message says where to get it."""


class Counts(NamedTuple):
    """What was counted."""

    builds: dict[str, str]
    """What the counts depend on besides the code."""
    instructions: dict[str, int]
    """Per call of each statement."""


def count(
    statements: Sequence[str], *, source: Path = ROOT / "src", calls: int = 500, layouts: int = 3
) -> Counts:
    """Count statements of ``counted.NAMES``, with the package that is in ``source``.

    The length of a path moves what lies in memory, which may change a count by more than the tolerance: so
    the same path is spelled in several ways, and the median taken.

    Raises:
        NoValgrindError: valgrind is not installed.
    """
    program = shutil.which("valgrind")
    if not program:
        raise NoValgrindError(
            "valgrind counts instructions, and is not here; on Debian: apt-get install valgrind"
        )
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        paths = [f"{source}{'/.' * 7 * layout}" for layout in range(layouts)]
        found = [*pool.map(lambda path: _count(program, statements, path, calls), paths)]
    middle = {name: median_low([one.instructions[name] for one in found]) for name in statements}
    return Counts(found[0].builds, middle)


def _count(program: str, statements: Sequence[str], source: str, calls: int) -> Counts:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    repeat = [sys.executable, str(ROOT / "bench" / "repeat.py"), str(calls), _version(program), source]
    with tempfile.TemporaryDirectory() as folder:
        builds, *processes = subprocess.run(  # noqa: S603
            [program, *_TOOL, f"--cachegrind-out-file={folder}/%p", *repeat],
            input=json.dumps(statements),
            env={**kept, "PYTHONHASHSEED": "0", "PYTHONPATH": source},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.splitlines()
        totals = [[_total(Path(folder, process)) for process in pair.split()] for pair in processes]
    per_call = [round((twice - once) / calls) for once, twice in totals]
    return Counts(json.loads(builds), dict(zip(statements, per_call, strict=True)))


def _version(program: str) -> str:
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    return shown.stdout.strip()


def _total(file: Path) -> int:
    found = re.search(r"^summary: (\d+)", file.read_text("utf-8"), re.MULTILINE)
    assert found, "cachegrind wrote no summary"
    return int(found[1])
