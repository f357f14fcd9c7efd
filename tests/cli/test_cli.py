"""What a person sees: tables and JSON of the same facts, told problems, and no traceback."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rtproto.cli import _source, cli
from tests.conftest import HERE

SESSION = HERE.parent / "examples" / "session.jsonl"
DAMAGE = b'\n\nnot json\n[1]\n{"no":"type"}\n{"direction":"server","raw":"{\\"type'


def run(*arguments: str | Path, data: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], input=data)


def report(*arguments: str | Path, data: bytes | None = None) -> Any:
    result = run(*arguments, "--json", data=data)
    return json.loads(result.stdout)


def lines(*frames: Any) -> bytes:
    return "\n".join(frame if isinstance(frame, str) else json.dumps(frame) for frame in frames).encode()


# inspect --------------------------------------------------------------------------------------


def test_inspect_counts_the_example_session() -> None:
    records = [json.loads(line) for line in SESSION.read_text("utf-8").splitlines()]
    found = report("inspect", SESSION)
    assert found["frames"] == len(records)
    assert found["bytes"] == sum(len(record["raw"].encode()) for record in records)
    assert found["unknown"] == 2
    assert found["typed"] + found["unknown"] == found["frames"]
    assert found["malformed"] == found["skipped_lines"] == 0
    assert found["duration_seconds"] == round(records[-1]["timestamp"] - records[0]["timestamp"], 3)
    assert sum(row["frames"] for row in found["events"]) == found["frames"]
    assert [error["type"] for error in found["errors"]] == ["invalid_request_error"]


def test_inspect_sums_tokens_over_response_done() -> None:
    records = [json.loads(json.loads(line)["raw"]) for line in SESSION.read_text("utf-8").splitlines()]
    usages = [event["response"]["usage"] for event in records if event["type"] == "response.done"]
    tokens = report("inspect", SESSION)["tokens"]
    assert tokens["total_tokens"] == sum(usage["total_tokens"] for usage in usages) > 0
    assert tokens["output_token_details.audio_tokens"] == sum(
        usage["output_token_details"]["audio_tokens"] for usage in usages
    )


def response(type: str, **fields: Any) -> dict[str, Any]:
    return {"type": type, "event_id": "e", "response": fields}


def test_inspect_tells_how_responses_ended() -> None:
    assert report("inspect", SESSION)["responses"] == {"begun": 4, "ended": {"completed": 4}}
    capture = lines(
        *[response("response.created", status="in_progress")] * 3,
        response("response.done", status="completed"),
        response("response.done", status="\x1b[2J"),
        response("response.done"),
    )
    ended = {"completed": 1, "\x1b[2J": 1, "without a status": 1}
    assert report("inspect", "-", data=capture)["responses"] == {"begun": 3, "ended": ended}
    shown = run("inspect", "-", data=capture).stdout
    assert "Responses: 3 begun, 1 completed, 1 \\u001b[2J, 1 without a status" in shown
    assert "Responses" not in run("inspect", "-", data=lines(APPEND)).stdout


APPEND = {"type": "input_audio_buffer.append", "audio": "AAAA" * 1600}  # 4,800 bytes
DELTA = {
    "type": "response.output_audio.delta",
    "event_id": "e",
    "response_id": "r",
    "item_id": "i",
    "output_index": 0,
    "content_index": 0,
    "delta": "AAAA" * 1600,
}


def session(input_format: Any, output_format: Any) -> dict[str, Any]:
    audio = {"input": {"format": input_format}, "output": {"format": output_format}}
    return {"type": "session.update", "session": {"type": "realtime", "audio": audio}}


@pytest.mark.parametrize(
    ("input_format", "output_format", "seconds"),
    [
        ({"type": "audio/pcm", "rate": 24000}, {"type": "audio/pcm", "rate": 24000}, (0.1, 0.1)),
        ({"type": "audio/pcm"}, {"type": "audio/pcm", "rate": 48000}, (0.1, 0.05)),
        ({"type": "audio/pcmu"}, {"type": "audio/pcma"}, (0.6, 0.6)),
        ("pcm16", "g711_ulaw", (0.1, 0.6)),
        ({"type": "audio/opus"}, None, (0.1, 0.1)),
        ({"type": "audio/pcm", "rate": 16000.0}, {"type": "audio/pcm", "rate": -1}, (0.15, 0.1)),
    ],
)
def test_inspect_tells_audio_in_seconds(
    input_format: Any, output_format: Any, seconds: tuple[float, float]
) -> None:
    capture = lines(session(input_format, output_format), APPEND, DELTA)
    audio = report("inspect", "-", data=capture)["audio_seconds"]
    assert (audio["client"], audio["server"]) == seconds


def test_inspect_hears_translations_too() -> None:
    capture = lines(
        {"type": "session.input_audio_buffer.append", "audio": "AAAA" * 1600},
        {"type": "session.output_audio.delta", "event_id": "e", "delta": "AAAA" * 1600},
        {"type": "session.output_audio.delta", "event_id": "e", "delta": "AAAA" * 1600, "sample_rate": 8000},
    )
    found = report("inspect", "-", data=capture)
    assert found["typed"] == 3
    assert found["audio_seconds"] == {"client": 0.1, "server": 0.4}


def test_inspect_tells_directions_by_name_where_the_capture_does_not() -> None:
    capture = lines(
        {"type": "response.cancel"}, {"type": "input_audio_buffer.cleared", "event_id": "e"}, {"type": "new"}
    )
    assert [(row["direction"], row["type"]) for row in report("inspect", "-", data=capture)["events"]] == [
        ("client", "response.cancel"),
        ("server", "input_audio_buffer.cleared"),
        ("server", "new"),
    ]


def test_inspect_tells_typed_unknown_and_malformed_apart() -> None:
    capture = lines(
        {"type": "response.cancel"}, {"type": "response.cancel", "response_id": 5}, {"type": "new"}
    )
    found = report("inspect", "-", data=capture)
    assert (found["typed"], found["unknown"], found["malformed"]) == (1, 1, 1)
    shown = run("inspect", "-", data=capture).stdout
    assert "50.0 % typed, 50.0 % malformed" in shown


def test_inspect_reads_translation_sessions_with_their_own_codec() -> None:
    frames = [HERE / "frames" / f"translation_{side}.jsonl" for side in ("client", "server")]
    data = b"".join(path.read_bytes() for path in frames)
    for arguments in ((), ("--surface", "translation")):
        found = report("inspect", "-", *arguments, data=data)
        assert (found["typed"], found["unknown"]) == (len(data.splitlines()), 0)
    assert report("check", "-", data=data)["drift"] == []


def test_check_names_what_a_translation_event_does_not_model() -> None:
    capture = lines(
        {"type": "session.closed", "event_id": "e", "reason": "idle"},
        {"type": "session.update", "session": {"instructions": "flat, as before GA", "audio": {}}},
    )
    assert [(d["type"], d["path"], d["problem"]) for d in report("check", "-", data=capture)["drift"]] == [
        ("session.update", "$.session", "an object without a type"),
        ("session.closed", "$.reason", "not modelled"),
    ]


def test_inspect_shows_a_table() -> None:
    shown = run("inspect", SESSION).stdout
    for text in (
        "response.output_audio.delta",
        "response.output_video.delta",
        "unknown",
        "typed",
        "Duration:",
        "Audio:",
    ):
        assert text in shown
    assert "invalid_request_error" in shown


@pytest.mark.parametrize("command", ["inspect", "check"])
def test_damaged_lines_are_told_by_number_and_skipped(command: str) -> None:
    result = run(command, "-", data=SESSION.read_bytes().rstrip(b"\n") + DAMAGE)
    first = len(SESSION.read_bytes().splitlines()) + 1
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == [
        f"line {number}" for number in range(first, first + 5)
    ]
    assert "blank" in result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_a_great_many_damaged_lines_are_summed_up() -> None:
    result = run("inspect", "-", data=b"x\n" * 1000)
    assert "… and 980 more lines skipped" in result.stderr
    assert len(result.stderr.splitlines()) == 21


@pytest.mark.parametrize("command", ["inspect", "check"])
def test_gzip_is_read_from_files_and_from_standard_input(command: str, tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl.gz"
    path.write_bytes(gzip.compress(SESSION.read_bytes()))
    expected = run(command, SESSION).stdout
    assert run(command, path).stdout == expected
    assert run(command, "-", data=path.read_bytes()).stdout == expected


HUGE = b"9" * 5000
HOSTILE = {
    "a number out of range": b'{"type":"session.closed","event_id":"e","a":1e999}',
    "a huge number": b'{"type":"session.closed","event_id":"e","a":' + HUGE + b"}",
    "a huge timestamp": b'{"timestamp":1' + b"0" * 320 + b',"raw":"{\\"type\\":\\"x\\"}"}',
    "a huge negative timestamp": b'{"timestamp":-1' + b"0" * 320 + b',"raw":"{\\"type\\":\\"x\\"}"}',
    "invalid UTF-8 that no model reads": b'{"type":"input_audio_buffer.cleared","event_id":"e","a":"\xff"}',
    "a huge number that no model reads": b'{"type":"input_audio_buffer.cleared","event_id":"e","a":'
    + HUGE
    + b"}",
    "deep nesting that the model reads": b'{"type":"session.update","session":{"type":"realtime","tools":'
    b'[{"type":"function","parameters":%s}]}}' % (b'{"a":' * 600 + b"1" + b"}" * 600),
    "huge usage": b'{"type":"response.done","event_id":"e","response":{"usage":{"total_tokens":%s}}}'
    % HUGE[:4300],
    "an odd rate": b'{"type":"session.update","session":{"type":"realtime","audio":{"input":{"format":'
    b'{"type":"audio/pcm","rate":-5}}}}}',
    "half a surrogate pair": b'{"type":"error","x":"\\ud83d"}',
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("arguments", [("inspect",), ("inspect", "--json"), ("check",), ("check", "--json")])
def test_a_hostile_line_is_no_traceback(arguments: tuple[str, ...], line: bytes) -> None:
    result = run(*arguments, "-", data=line * 3 + b"\n" + line + b"\n" + line)
    assert result.exit_code in {0, 1}
    assert isinstance(result.exception, SystemExit | None)


def test_no_escape_sequence_reaches_the_terminal() -> None:
    event = {"type": "\x1b[31mred", "\x1b[2J": 1}
    error = {
        "type": "error",
        "event_id": "e",
        "error": {"type": "\x1b]0;x\x07", "code": "[bold]", "message": ""},
    }
    part = {"type": "response.cancel", "\x1b[2J": 1}
    for command in ("inspect", "check"):
        shown = run(command, "-", data=lines(event, error, part)).output
        assert "\x1b" not in shown
        assert "\\u001b[31mred" in shown
    assert "([bold])" in run("inspect", "-", data=lines(error)).stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_may_not_speak_utf_8(encoding: str) -> None:
    data = SESSION.read_bytes() + lines({"type": "日本語.イベント"}) + b"\nx"
    for command in (["inspect"], ["check"], ["inspect", "--json"]):
        result = subprocess.run(
            [sys.executable, "-m", "rtproto", *command, "-"],
            input=data,
            capture_output=True,
            check=False,
            env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        )
        assert result.returncode in {0, 1}
        assert b"Traceback" not in result.stderr
        assert b"\\u65e5" in result.stdout or "日".encode() in result.stdout


def test_standard_input_may_be_closed() -> None:
    code = "import sys; sys.stdin = None; from rtproto.cli import cli; cli(['inspect', '-'])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert result.returncode == 2
    assert "standard input is closed" in result.stderr


def test_a_great_many_names_share_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_source, "_MOST_ROWS", 5)
    data = lines(*({"type": f"new.{number}", f"x{number}": 1} for number in range(20)))
    found = report("inspect", "-", data=data)
    assert found["frames"] == 20
    assert [row["type"] for row in found["events"]] == [*(f"new.{number}" for number in range(5)), "…"]
    assert len(report("check", "-", data=data)["drift"]) == 6


def test_what_is_no_capture_does_not_pass_the_check() -> None:
    result = run("check", "-", data="UTF-16".encode("utf-16"))
    assert result.exit_code == 1
    assert "no line of it holds a frame" in result.stderr


def test_an_empty_capture_is_no_error() -> None:
    assert run("inspect", "-", data=b"").exit_code == 0
    assert run("check", "-", data=b"").exit_code == 0


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = run("inspect", tmp_path / "nothing.jsonl")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


# check ----------------------------------------------------------------------------------------


def test_check_finds_nothing_in_what_is_modelled() -> None:
    for name in ("client", "server"):
        result = run("check", HERE / "frames" / f"{name}.jsonl")
        assert (result.exit_code, result.stderr) == (0, "")
        assert "all modelled, none changed" in result.stdout


def test_check_tells_every_path_that_is_not_modelled() -> None:
    capture = lines(
        DELTA | {"latency": "0.5"},
        DELTA | {"latency": "0.6", "rid": None},
        {"type": "new.event", "x": 1},
        {"type": "response.cancel", "response_id": 5},
        *({"type": "response.create", "response": {"tools": [{"type": "mcp"}] * n}} for n in (1, 2)),
        {
            "type": "response.create",
            "response": {
                "input": [{"type": "message", "role": "user", "content": [{"type": "scent"}], "mood": 1}]
            },
        },
    )
    result = run("check", "-", "--json", data=capture)
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["frames"] == 7
    assert [(d["type"], d["path"], d["problem"], d["frames"]) for d in found["drift"]] == [
        ("response.cancel", "$.response_id", "Expected `str | null`, got `int`", 1),
        ("response.create", "$.response.input[].content[]", "unknown kind 'scent'", 1),
        ("response.create", "$.response.input[].mood", "not modelled", 1),
        ("response.create", "$.response.tools[].server_label", "missing", 2),
        ("new.event", "$.type", "unknown event", 1),
        ("response.output_audio.delta", "$.latency", "not modelled", 2),
        ("response.output_audio.delta", "$.rid", "not modelled", 1),
    ]
    table = run("check", "-", data=capture)
    assert table.exit_code == 1
    assert "$.response.input[].mood" in table.stdout


# The command itself ---------------------------------------------------------------------------


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "rtproto", "inspect", str(SESSION)]
    shown = subprocess.run(command, capture_output=True, check=True, text=True, encoding="utf-8").stdout
    assert shown == run("inspect", SESSION).stdout


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_its_extra_the_command_says_what_to_install(missing: str) -> None:
    code = (
        f"import sys; sys.modules['{missing}'] = None; sys.argv = ['rtproto', 'inspect', {str(SESSION)!r}]; "
        "from rtproto.__main__ import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert result.returncode == 1
    assert result.stderr == "rtproto: the command line needs its extra: pip install 'rtproto[cli]'\n"


@pytest.mark.parametrize(
    "arguments", [(), ("--help",), ("inspect", "--help"), ("check", "-h"), ("--version",)]
)
def test_help_is_there(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == (0 if arguments else 2)
    assert "rtproto, version" in result.output if "--version" in arguments else "Usage: " in result.output
