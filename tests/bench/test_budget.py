"""The gate closes on what costs more, opens on what does not, and says which is which."""

import math
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import tomli_w
from bench import budget
from bench.budget import Finding
from bench.counts import Counts, NoValgrindError, count
from click.testing import CliRunner, Result

from tests.conftest import HERE

DECODE, ID = "decode_server(small_delta)", "new_event_id()"
BUILDS = {"python": "3.11.7", "msgspec": "0.22.0 abc"}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(budget.main, [str(argument) for argument in arguments])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "budget.toml"


def record(file: Path, instructions: dict[str, int], builds: dict[str, str] = BUILDS) -> None:
    file.write_text(tomli_w.dumps({"builds": builds, "instructions": instructions}))


def counting(monkeypatch: pytest.MonkeyPatch, instructions: dict[str, int]) -> None:
    """Count without valgrind: so many instructions, by these builds."""
    monkeypatch.setattr(budget, "count", lambda *_, **__: Counts(BUILDS, instructions))


# What it says ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "measured", "verdict", "fails"),
    [
        (1000, 1000, "", False),
        (1000, 1020, "", False),
        (1000, 1021, "OVER BUDGET", True),
        (1000, 980, "", False),
        (1000, 979, "under budget, lower it: --update", False),
        (None, 1000, "has no budget: --update", True),
        (1000, None, "is not counted any more: --update", True),
    ],
)
def test_a_count_is_judged_by_its_budget(
    allowed: int | None, measured: int | None, verdict: str, fails: bool
) -> None:
    finding = Finding("decode", allowed, measured)
    assert (finding.verdict, finding.fails) == (verdict, fails)


def test_what_is_over_is_told_with_its_figures(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(file, {"a()": 1000, "b()": 1000})
    counting(monkeypatch, {"a()": 1000, "b()": 1534})
    result = run("--budget", file)
    assert result.exit_code == 1
    (line,) = [line.split() for line in result.stdout.splitlines() if "OVER" in line]
    assert line == ["b()", "1,000", "1,534", "+53.4%", "OVER", "BUDGET"]
    assert "1 over budget. Worth it?" in result.stdout


def test_what_is_within_passes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(file, {"a()": 1000, "b()": 1000})
    counting(monkeypatch, {"a()": 1019, "b()": 700})
    result = run("--budget", file)
    assert result.exit_code == 0
    assert "OVER" not in result.stdout
    assert "lower it" in result.stdout


def test_any_build_that_differs_is_told() -> None:
    for name in BUILDS:
        less = {key: value for key, value in BUILDS.items() if key != name}
        for there, here in ((BUILDS, {**BUILDS, name: "x"}), (BUILDS, less), (less, BUILDS)):
            assert [line.partition(":")[0] for line in budget.other_builds(there, here)] == [name]
    assert budget.other_builds(BUILDS, dict(BUILDS)) == []


def test_other_builds_are_told_and_judge_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(file, {"a()": 1}, {**BUILDS, "python": "3.13.0"})
    counting(monkeypatch, {"a()": 1000})
    result = run("--budget", file)
    assert result.exit_code == 0
    assert "skipped" in result.stdout
    assert "python: 3.13.0 there, 3.11.7 here" in result.stdout
    assert "msgspec" not in result.stdout


def test_without_valgrind_it_says_how_to_get_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    result = run("--budget", file, "--update")
    assert result.exit_code == 0
    assert "skipped" in result.stdout
    assert "apt-get install valgrind" in result.stdout
    with pytest.raises(NoValgrindError):
        count([DECODE])


def test_an_update_writes_what_is_not_within_its_budget(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(file, {"over()": 900, "within()": 1001, "under()": 1100, "gone()": 2})
    counting(monkeypatch, {"over()": 1000, "within()": 1000, "under()": 1000, "new()": 1000})
    result = run("--budget", file, "--update")
    assert result.exit_code == 0
    assert "OVER BUDGET" in result.stdout  # It is shown before it is accepted.
    assert tomllib.loads(file.read_text()) == {
        "builds": BUILDS,
        "instructions": {"over()": 1000, "within()": 1001, "under()": 1000, "new()": 1000},
    }


def test_an_update_of_some_keeps_the_others(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(file, {ID: 1, "other()": 2})
    counting(monkeypatch, {ID: 1000})
    run("--budget", file, "--update", ID)
    assert tomllib.loads(file.read_text())["instructions"] == {ID: 1000, "other()": 2}


def test_a_budget_is_of_one_build(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else some counts would be of this build, and be judged with the others by another's."""
    record(file, {ID: 1, "other()": 2}, {**BUILDS, "python": "3.13.0"})
    before = file.read_text()
    counting(monkeypatch, {ID: 1000})
    assert "skipped" in run("--budget", file, "--update", ID).stdout
    assert file.read_text() == before
    run("--budget", file, "--update")
    assert tomllib.loads(file.read_text()) == {"builds": BUILDS, "instructions": {ID: 1000}}


def test_a_budget_of_ones_own_begins_with_an_update(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counting(monkeypatch, {ID: 1000})
    result = run("--budget", file)
    assert result.exit_code == 2
    assert "there is no budget.toml: --update counts one" in result.output
    run("--budget", file, "--update")
    assert run("--budget", file).exit_code == 0


def test_an_operation_is_one_of_those_that_have_a_budget(file: Path) -> None:
    result = run("--budget", file, "--update", "1 + 1")
    assert result.exit_code == 2
    assert not file.exists()


@pytest.mark.parametrize(
    ("operation", "slip"),
    [("no_such()", "NameError"), ("encode(", "SyntaxError"), ("1 / 0", "ZeroDivisionError")],
)
def test_a_slip_in_an_operation_is_told(
    file: Path, monkeypatch: pytest.MonkeyPatch, operation: str, slip: str
) -> None:
    monkeypatch.setattr(budget, "BUDGETED", (operation,))
    result = run("--budget", file, "--update")
    assert result.exit_code == 1
    assert f"{operation}: {slip}" in result.output


def test_every_operation_has_a_budget() -> None:
    recorded = tomllib.loads((HERE.parent / "bench" / "budget.toml").read_text())
    assert recorded["instructions"].keys() == {*budget.BUDGETED}


# What it sees ---------------------------------------------------------------------------------


def slowed(folder: Path, steps: int) -> Path:
    """The package, with so many steps of work that nobody needs in ``decode_server``."""
    source = folder / f"slowed_{steps}"
    shutil.copytree(HERE.parent / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    codec = source / "rtproto" / "codec.py"
    first = "        nonlocal unknown_so_far\n"
    text = codec.read_text()
    assert text.count(first) == 1
    codec.write_text(text.replace(first, first + "        data = data\n" * steps))
    return source


needs_valgrind = pytest.mark.skipif(
    not shutil.which("valgrind"), reason="valgrind counts, and is not installed"
)


@needs_valgrind
def test_a_count_is_per_call_and_says_what_it_holds_for() -> None:
    few, many = (count([DECODE, ID], calls=calls, layouts=1) for calls in (250, 1000))
    assert few.builds == many.builds
    assert few.builds.keys() == {"python", "machine", "valgrind", "libc", "msgspec", "pybase64"}
    assert few.instructions == pytest.approx(many.instructions, rel=0.02)
    recorded = tomllib.loads((HERE.parent / "bench" / "budget.toml").read_text())
    if recorded["builds"] == many.builds:
        allowed = {name: recorded["instructions"][name] for name in (DECODE, ID)}
        assert many.instructions == pytest.approx(allowed, rel=0.05)


@needs_valgrind
def test_only_the_package_that_is_meant_is_counted(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        count([DECODE], source=tmp_path, layouts=1)


@needs_valgrind
def test_what_fails_when_it_is_repeated_is_not_counted() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        count(["buffer.append(0); 1 / (len(buffer) < 300)"], layouts=1)


@needs_valgrind
def test_a_slowdown_of_five_percent_in_decode_server_closes_it(tmp_path: Path, file: Path) -> None:
    as_it_is, builds = (
        (found := count([DECODE], source=slowed(tmp_path, 0))).instructions[DECODE],
        found.builds,
    )
    many = count([DECODE], source=slowed(tmp_path, 100)).instructions[DECODE]
    five_percent = math.ceil(0.05 * as_it_is / ((many - as_it_is) / 100))
    record(file, {DECODE: as_it_is}, builds)

    unchanged = run("--budget", file, DECODE)
    assert unchanged.exit_code == 0, unchanged.output
    result = run("--budget", file, "--source", slowed(tmp_path, five_percent), DECODE)
    assert result.exit_code == 1
    (line,) = [line.split() for line in result.stdout.splitlines() if "OVER" in line]
    assert line[0] == DECODE
    assert 4 < float(line[3].strip("+%")) < 7
