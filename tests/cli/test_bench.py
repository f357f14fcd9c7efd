"""``rtproto bench``: what peers take on one's own traffic, with what they cannot do."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rtproto.bench import Cell, peers
from rtproto.cli import _source, cli
from rtproto.cli.bench import _cell
from tests.conftest import HERE

SESSION = HERE.parent / "examples" / "session.jsonl"
QUICK = ("--processes", "1", "--rounds", "1")


def run(*arguments: str | Path, data: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["bench", *QUICK, *map(str, arguments)], input=data)


@pytest.fixture(scope="module")
def report() -> Any:
    return json.loads(run(SESSION, "--json").stdout)


def test_every_event_of_a_capture_is_decoded_by_all(report: Any) -> None:
    records = [json.loads(line) for line in SESSION.read_text("utf-8").splitlines()]
    rows = {(row["operation"], row["case"]): row for row in report["rows"]}
    for operation, case, direction in (
        ("decode", "all from the service", "server"),
        ("decode a client's", "all from the client", "client"),
    ):
        row = rows[operation, case]
        raws = [record["raw"].encode() for record in records if record["direction"] == direction]
        assert row["frames"] == len(raws)
        assert row["bytes"] == round(sum(map(len, raws)) / len(raws))
        assert row["peers"].keys() == {"json", "orjson", "msgspec", "pydantic", "openai"}


def test_what_a_peer_gets_wrong_is_left_out_and_counted(report: Any) -> None:
    (row,) = [
        row
        for row in report["rows"]
        if row["case"] == "all from the service" and row["operation"] == "decode"
    ]
    assert row["peers"]["pydantic"]["wrong"] == row["peers"]["openai"]["wrong"] == 2
    assert row["peers"]["pydantic"]["ratio"] > 0
    assert "wrong" not in row["peers"]["json"]


def test_the_table_names_the_peers_and_what_they_cannot_do() -> None:
    result = run(SESSION, "--events", "20")
    assert result.exit_code == 0
    heading = next(line for line in result.stdout.splitlines() if "rtproto" in line and "json" in line)
    assert heading.split() == ["bytes", "rtproto", "json", "orjson", "msgspec", "pydantic", "openai"]
    assert "– decode a client's: openai: parses server events only" in result.stdout
    assert "the first 20 events\n" in result.stderr


def test_so_many_events_are_taken() -> None:
    found = json.loads(run(SESSION, "--events", "5", "--json").stdout)
    assert (
        sum(
            row["frames"]
            for row in found["rows"]
            if row["case"].startswith("all from") and "decode" in row["operation"]
        )
        == 5
    )


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_the_table_fits(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_source, "_WIDE", columns)
    result = run(SESSION)
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert "…" not in result.stdout
    assert any(line.split()[:2] == ["bytes", "rtproto"] for line in lines) == (columns >= 110)
    assert any(line.startswith("  all from the service") for line in lines)


def test_no_payload_and_no_warning_is_printed() -> None:
    part = {"type": "sekret", "text": "x"}  # which the official SDK's models warn about, and quote
    warning = {"id": "i", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    frames = (
        {
            "type": "response.done",
            "event_id": "e",
            "response": {"id": "r", "status": "sekret", "output": [{}]},
        },
        {"type": "session.created", "event_id": "e", "session": {"type": "realtime", "model": "sekret"}},
        {"type": "response.output_text.delta", "event_id": "e", "delta": "sekret"},
        {"type": "input_audio_buffer.append", "audio": "sekret"},
        {"type": "response.done", "event_id": "e", "response": {"id": "r", "output": [warning]}},
    )
    data = "\n".join(map(json.dumps, frames)).encode()
    result = subprocess.run(
        [sys.executable, "-m", "rtproto", "bench", *QUICK, "-"], input=data, capture_output=True, check=True
    )
    assert b"sekret" not in result.stdout + result.stderr
    assert result.stderr.decode().splitlines() == ["5 events"]


def test_what_is_not_taken_is_counted() -> None:
    lines = (
        '{"type":"session.output_audio.delta","event_id":"e","delta":"AAAA","elapsed_ms":1}',
        "nothing",
        "[1]",
        '{"type":"error","event_id":"e","error":{"type":"x","message":""}}',
    )
    result = run("-", "--json", data="\n".join(lines).encode())
    assert result.stderr == "1 events, 1 of a translation session left out, 2 lines skipped\n"
    assert {row["frames"] for row in json.loads(result.stdout)["rows"]} == {1}


def test_so_many_processes_and_rounds_are_run() -> None:
    arguments = ["bench", str(SESSION), "--events", "2", "--processes", "2", "--rounds", "3", "--json"]
    report = json.loads(CliRunner().invoke(cli, arguments).stdout)
    assert (report["processes"], report["rounds"]) == (2, 3)


def test_a_cell_stands_out_where_the_peer_takes_less() -> None:
    styles = [_cell(Cell(ratio=ratio), is_narrow=True).style for ratio in (0.5, 2.0, None)]
    assert styles == ["yellow", "", "dim"]


def test_what_a_capture_says_is_no_markup() -> None:
    known = '{"type":"error","event_id":"e","error":{"type":"x","message":""}}'
    result = run("-", data=f'{{"type":"[bold red]x[/]"}}\n{known}\n'.encode())
    assert " [bold red]x[/] " in result.stdout  # a row
    assert ", [bold red]x[/]: " in result.stdout  # a note


def test_a_long_name_is_cut() -> None:
    name = "x" * 5000
    result = run("-", data=f'{{"type":"{name}"}}\n'.encode())
    assert "x" * 20 in result.stdout
    assert name not in result.stdout.replace(" ", "").replace("\n", "")


def test_a_capture_without_events_is_refused() -> None:
    result = run("-", data=b"nothing\n")
    assert result.exit_code == 2
    assert "there is no event in the capture" in result.stderr


def test_a_peer_that_is_not_installed_is_told_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "MODULES", ("ours", "stdlib_json", "no_such_library"))
    result = run(SESSION, "--events", "1")
    assert "is not installed, and left out: pip install 'rtproto[bench]'" in result.stderr
