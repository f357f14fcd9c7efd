"""The README tells the truth: its code runs, its commands are CI's, and its files are there."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import CODECS, HERE

ROOT = HERE.parent
README = (ROOT / "README.md").read_text("utf-8")


def _blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TESTING = ROOT / "docs" / "testing.md"
PYTHON = [
    pytest.param(code, id=page.name)
    for page in PAGES
    if page != TESTING
    for code in _blocks("python", page.read_text("utf-8"))
]


@pytest.mark.parametrize("code", PYTHON)
def test_its_code_runs_and_prints_what_it_says(code: str) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    said = re.findall("^ *# (.*)$", code, re.MULTILINE)
    assert said
    assert printed.getvalue().splitlines() == said


def test_the_page_on_testing_is_a_test_module(tmp_path: Path) -> None:
    """Its blocks, one after another, are run by a pytest of their own: fixtures, markers and all."""
    blocks = _blocks("python", TESTING.read_text("utf-8"))
    (tmp_path / "test_page.py").write_text("\n\n".join(blocks), "utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--strict-markers",
        "-p",
        "no:cacheprovider",
        str(tmp_path),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout
    assert f"{''.join(blocks).count('def test_')} passed" in ran.stdout


def test_ci_runs_its_second_command() -> None:
    first, second = _blocks("console")
    assert first.strip().endswith("rtproto demo")
    assert (ROOT / ".ci" / "run").read_text("utf-8").splitlines()[-1] == second.strip()


def test_it_counts_right() -> None:
    unions = [codec.types for codec in CODECS.values()]
    words = {3: "three", 7: "seven", 11: "Eleven"}
    counts = [len(types) for types in unions]
    client, server, translation_client, translation_server = counts
    assert f"{words[client]} client and {server} server events of" in README
    assert (
        f"{words[translation_client]} and {words[translation_server]} of `/v1/realtime/translations`"
        in README
    )
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"{client}, {server} and {translation_client} + {translation_server} events" in changelog


def test_its_links_lead_somewhere() -> None:
    for page in (*PAGES, ROOT / "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)h#][^)#]*)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), target


def test_contributing_draws_the_house_as_it_is() -> None:
    drawn = re.search(
        r"```\nsrc/rtproto/\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.DOTALL
    )
    assert drawn
    names = set(re.findall(r"[├└]── (\w+\.py|\w+/)", drawn[1]))
    package = ROOT / "src" / "rtproto"
    there = {
        path.name + ("/" if path.is_dir() else "") for path in package.iterdir() if path.name != "__pycache__"
    }
    assert names == {name for name in there if name.endswith(("/", ".py"))} - {"_version.py"}
