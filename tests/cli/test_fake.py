"""As a command it says where it is, does as its options say, tells what is wrong in a line, and stops."""

import asyncio
import base64
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets
from click.testing import CliRunner
from openai import OpenAI

from rtproto import capture
from rtproto.cli import cli
from rtproto.testing import FakeRealtimeServer, tone
from tests.conftest import HERE
from tests.testing.talk import KEY, SECONDS, connected

EXAMPLE = HERE.parent / "examples" / "session.jsonl"
PROMPT = 5  # seconds: what takes longer waited for somebody
WRITTEN: dict[str, Any] = {"type": "response.create", "response": {"output_modalities": ["text"]}}
DELTA = "response.output_text.delta"
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


class Process:
    """A fake service in a process of its own."""

    def __init__(self, *arguments: str | Path, env: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-X", "dev", "-W", "error", "-m", "rtproto", "fake", *map(str, arguments)]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env={**os.environ, **(env or {})}, **pipes)
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.said = ""

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)

    def line(self) -> str:
        line = self._lines.get(timeout=SECONDS)
        self.said += line
        return line.rstrip("\n")

    def opened(self) -> "Process":
        self.url = self.line().removeprefix("listening on ")
        self.base_url = self.line().removeprefix("base URL for the OpenAI SDK: ")
        self.port = int(self.base_url.rpartition(":")[2].removesuffix("/v1"))
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell it to stop, and wait; the exit code."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> int:
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        assert self.process.stderr
        assert self.process.stdout
        self.said += "".join(self._lines.get() for _ in range(self._lines.qsize()))
        self.errors = self.process.stderr.read()
        self.process.stderr.close()
        self.process.stdout.close()
        return code


@contextmanager
def fake(*arguments: str | Path, listen: str = "127.0.0.1:0") -> Iterator[Process]:
    """One that runs, and that has nothing to complain of."""
    process = Process("--listen", listen, *arguments)
    try:
        yield process.opened()
        assert process.stop() == 0
        assert process.errors == ""
    finally:
        if process.process.poll() is None:
            process.process.kill()
            process.end()


def texts(url: str, turns: int = 1, **options: Any) -> list[str]:
    """What it says, turn by turn."""

    async def talk() -> list[str]:
        said = []
        async with connected(url, **options) as client:
            for _ in range(turns):
                await client.send(WRITTEN)
                said.append((await client.until("response.output_text.done"))["text"])
                await client.until("response.done")
        return said

    return asyncio.run(talk())


def seen(url: str, **options: Any) -> tuple[list[str], tuple[int, str]]:
    """Every message of a turn, and the end; 1000: it was ours."""

    async def talk() -> tuple[list[str], tuple[int, str]]:
        messages: list[str] = []
        options.setdefault("additional_headers", KEY)
        async with asyncio.timeout(SECONDS), websockets.connect(url, max_size=None, **options) as socket:
            await socket.send(json.dumps(WRITTEN))
            try:
                while not messages or '"rate_limits.updated"' not in messages[-1]:
                    messages.append(str(await socket.recv()))
            except websockets.ConnectionClosed as end:
                return messages, (end.rcvd.code, end.rcvd.reason) if end.rcvd else (1006, "")
            return messages, (1000, "")

    return asyncio.run(talk())


def type_of(message: str) -> str:
    try:
        return str(json.loads(message)["type"])
    except ValueError:
        return ""


# It runs, and stops ---------------------------------------------------------------------------


def test_it_says_where_it_is_and_the_official_sdk_finds_it() -> None:
    with fake("--speed", "inf") as process:
        port = process.port
        assert process.base_url == f"http://127.0.0.1:{port}/v1"
        assert process.url == f"ws://127.0.0.1:{port}/v1/realtime?model=gpt-realtime"
        openai = OpenAI(api_key="any", base_url=process.base_url)
        with openai, openai.realtime.connect(model="gpt-realtime") as connection:
            connection.response.create(response={"output_modalities": ["text"]})
            done = next(event for event in connection if event.type == "response.done")
            assert done.response.status == "completed"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=SECONDS) as answer:
            assert answer.status == 200
    assert process.said.count("\n") == 2


@POSIX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_the_midst_of_a_response(number: int) -> None:
    async def talk(process: Process) -> tuple[int, str]:
        async with connected(process.url) as client:
            await client.send({"type": "response.create"})
            await client.until("response.output_audio_transcript.delta")
            process.process.send_signal(number)
            return await client.closed()

    process = Process("--listen", "127.0.0.1:0", "--reply", "word " * 1000).opened()
    assert asyncio.run(talk(process)) == (1001, "going away")
    begun = time.monotonic()
    assert process.end() == 0
    assert time.monotonic() - begun < PROMPT
    assert process.errors == ""


@POSIX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_can_be_told_to_stop_as_soon_as_it_says_where_it_is(number: int) -> None:
    for _ in range(3):
        process = Process("--listen", "127.0.0.1:0")
        process.line()
        assert process.stop(number) == 0
        assert process.errors == ""


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="there is no IPv6 here")
def test_ipv6() -> None:
    with fake("--speed", "inf", listen="[::1]:0") as process:
        assert process.url.startswith("ws://[::1]:")
        assert texts(process.url)


# What it answers ------------------------------------------------------------------------------


def test_replies_come_in_order_and_the_last_one_stays() -> None:
    with fake("--reply", "One.", "--reply", "Two.", "--speed", "inf") as process:
        assert texts(process.url, 3) == ["One.", "Two.", "Two."]
        assert texts(process.url) == ["One."]


def test_without_replies_it_greets() -> None:
    with fake("--speed", "inf") as process:
        assert texts(process.url) == ["Hello! I am not a real model."]


def test_a_capture_is_answered_as_it_was_recorded() -> None:
    with fake("--script", EXAMPLE, "--speed", "inf") as process:
        recorded = [
            json.loads(record.raw)["response"]
            for record in capture.load(EXAMPLE)
            if b'"response.done"' in record.raw
        ]
        messages, _ = seen(process.url)
        done = json.loads(next(m for m in messages if type_of(m) == "response.done"))["response"]
        assert [item["type"] for item in done["output"]] == [item["type"] for item in recorded[0]["output"]]


SCRIPT = """
from rtproto.testing import Call, Close, Insert, Script, unknown

SCRIPT = Script(lambda turn: f"You are number {turn.number}.", "Then this.")
FAULTS = [Insert(unknown("x.of_the_script"))]
"""


def test_a_python_file_says_what_is_answered_and_what_goes_wrong(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(SCRIPT, "utf-8")
    with fake("--script", path, "--speed", "inf", "--close", "4321", "--after", ".done") as process:
        messages, end = seen(process.url)
        types = [*map(type_of, messages)]
        assert types[types.index(DELTA) + 1] == "x.of_the_script"
        assert (types[-1], end) == ("response.output_text.done", (4321, ""))
        assert json.loads(messages[-1])["text"] == "You are number 0."


def test_a_python_file_needs_no_faults(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from rtproto.testing import Script\nSCRIPT = Script('Mine.')\n", "utf-8")
    with fake("--script", path, "--speed", "inf") as process:
        assert texts(process.url) == ["Mine."]


def test_a_python_file_imports_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("TEXT = 'Beside.'\n", "utf-8")
    path = tmp_path / "mine.py"
    path.write_text(
        "import beside\nfrom rtproto.testing import Script\nSCRIPT = Script(beside.TEXT)\n", "utf-8"
    )
    with fake("--script", path, "--speed", "inf") as process:
        assert texts(process.url) == ["Beside."]


def test_transcripts_are_heard_turn_by_turn() -> None:
    async def talk(url: str) -> list[str]:
        heard = []
        async with connected(url) as client:
            audio = {"input": {"transcription": {"model": "whisper-1"}, "turn_detection": None}}
            await client.ask({"type": "session.update", "session": {"type": "realtime", "audio": audio}})
            append = base64.b64encode(tone(300).samples).decode()
            for _ in range(3):
                await client.send({"type": "input_audio_buffer.append", "audio": append})
                await client.send({"type": "input_audio_buffer.commit"})
                completed = await client.until("conversation.item.input_audio_transcription.completed")
                heard.append(completed["transcript"])
        return heard

    with fake("--transcript", "Hi there.", "--transcript", "And you?", "--speed", "inf") as process:
        assert asyncio.run(talk(process.url)) == ["Hi there.", "And you?", "And you?"]


def test_speed() -> None:
    ten = " ".join(["word"] * 10)  # 0.2 s as written, 4 s as spoken
    with fake("--reply", ten, "--speed", "0.2") as process:
        begun = time.monotonic()
        texts(process.url)
        assert time.monotonic() - begun >= 0.9
    with fake("--reply", " ".join([ten] * 10), "--speed", "inf") as process:

        async def run() -> None:
            async with connected(process.url) as client:
                await client.send({"type": "response.create"})
                await client.until("response.done")

        begun = time.monotonic()
        asyncio.run(run())
        assert time.monotonic() - begun < 20  # of 40


def test_keys_are_kept_to_and_kept_secret(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b"sk-first\n\n  sk-second  \n\xff\xfe\n")
    with fake("--keys", path, "--speed", "inf") as process:
        for key in ("sk-first", "sk-second"):
            assert texts(process.url, additional_headers={"Authorization": f"Bearer {key}"})
        for key in ("sk-third", "sk-", "sk-first,sk-second", ""):
            with pytest.raises(websockets.InvalidStatus):
                texts(process.url, additional_headers={"Authorization": f"Bearer {key}"})
    assert "sk-" not in process.said


def test_a_file_without_keys_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "keys").touch()
    with fake("--keys", tmp_path / "keys") as process, pytest.raises(websockets.InvalidStatus):
        texts(process.url)


def test_a_script_that_fails_is_told_of_and_ends_its_session_only(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from rtproto.testing import Script\nSCRIPT = Script(lambda turn: 1 / turn.number)\n", "utf-8"
    )
    process = Process("--listen", "127.0.0.1:0", "--script", path).opened()
    for _ in range(2):
        assert seen(process.url)[1][0] == 1011
    assert process.stop() == 0
    assert process.errors.count('mine.py", line 2') == 2
    assert process.errors.count("ZeroDivisionError: division by zero\n") == 2


def test_a_client_that_breaks_the_protocol_is_not_told_of() -> None:
    with fake() as process, socket.create_connection(("127.0.0.1", process.port), timeout=SECONDS) as peer:
        names = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", **KEY}
        names["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
        lines = ["GET /v1/realtime?model=m HTTP/1.1", *map(": ".join, names.items()), "", ""]
        peer.sendall("\r\n".join(lines).encode() + b"\x83\x80\0\0\0\0")
        assert b"\x03\xea" in b"".join(iter(lambda: peer.recv(65536), b""))  # 1002


# What goes wrong ------------------------------------------------------------------------------


def faulty(*arguments: str) -> tuple[list[str], list[str], tuple[int, str]]:
    """Messages, their types and the end of a turn with a fault."""
    with fake("--reply", "one two three four", "--speed", "inf", *arguments) as process:
        messages, end = seen(process.url)
        assert len({json.dumps(seen(process.url)[1]), json.dumps(end)}) == 1  # on every connection
        return messages, [*map(type_of, messages)], end


@pytest.mark.parametrize(
    ("name", "type"), [("unknown", "x.unheard_of"), ("malformed", ""), ("huge", "x.huge")]
)
def test_insert(name: str, type: str) -> None:
    messages, types, end = faulty("--insert", name)
    assert types.count(type) == 1
    at = types.index(type)
    assert (types[at - 1], types[:at].count(DELTA)) == (DELTA, 1)
    assert (len(messages[at]) == 2**20) == (name == "huge")
    assert end == (1000, "")


def test_drop() -> None:
    _, types, end = faulty("--drop")
    assert (types[-1], types.count(DELTA), end) == (DELTA, 1, (1006, ""))


def test_close_after_an_event() -> None:
    _, types, end = faulty("--close", "4567", "--after", "response.created")
    assert (types[-1], end) == ("response.created", (4567, ""))


def test_insert_and_drop_after_an_event() -> None:
    _, types, end = faulty("--insert", "unknown", "--drop", "--after", "response.created")
    assert (types[-2:], end) == (["response.created", "x.unheard_of"], (1006, ""))


@pytest.mark.parametrize("after", [DELTA, "response.created"])
def test_half_open(after: str) -> None:
    async def talk(url: str) -> None:
        async with connected(url, ping_interval=None, close_timeout=0.1) as client:
            await client.send(WRITTEN)
            await client.until(after)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.socket.recv()

    with fake("--reply", "one two", "--speed", "inf", "--half-open", "--after", after) as process:
        asyncio.run(talk(process.url))


def test_delay_jitter_and_fragments() -> None:
    async def talk(url: str) -> tuple[float, list[str]]:
        async with connected(url) as client:
            begun = time.monotonic()
            await client.send(WRITTEN)
            async with asyncio.timeout(SECONDS):
                pieces = [piece async for piece in client.socket.recv_streaming(decode=True)]
            took = time.monotonic() - begun
            await client.until("rate_limits.updated")
            return took, [str(piece) for piece in pieces]

    with fake("--speed", "inf", "--delay", "150", "--jitter", "20", "--fragment", "10") as process:
        took, pieces = asyncio.run(talk(process.url))
    assert took >= 0.15
    assert {len(piece) for piece in pieces[:-1]} == {10}
    assert type_of("".join(pieces)) == "response.created"


def test_jitter_alone() -> None:
    async def talk(url: str) -> float:
        async with connected(url) as client:
            begun = time.monotonic()
            for _ in range(5):
                await client.send({"type": "nonsense"})
                await client.until("error")
            return time.monotonic() - begun

    with fake("--speed", "inf", "--jitter", "400") as process:
        assert asyncio.run(talk(process.url)) > 0.05  # it would take luck of one in millions to be less


# What is told ---------------------------------------------------------------------------------


def refusal(*arguments: str | Path, listen: str = "127.0.0.1:0") -> str:
    """What is said of what cannot be: the last line, and no traceback."""

    async def at_once(_: asyncio.Event) -> None:
        """What does run, by mistake, stops."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rtproto.cli.fake.until", at_once)
        result = CliRunner().invoke(cli, ["fake", "--listen", listen, *map(str, arguments)])
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code in {1, 2}
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line and not line.startswith(("Usage:", "Try "))]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    "listen", ["", "x", "127.0.0.1", ":8765", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "h:-1", "h:１"]
)
def test_an_address_that_is_none(listen: str) -> None:
    assert "is no HOST:PORT" in refusal(listen=listen)


@pytest.mark.parametrize("listen", ["192.0.2.1:0", "a..b:0"])
def test_an_address_that_cannot_be_had(listen: str) -> None:
    assert refusal(listen=listen).startswith("Error: cannot listen: ")


def test_a_port_in_use() -> None:
    with FakeRealtimeServer() as other:
        told = refusal(listen=f"127.0.0.1:{other.port}")
    assert told.startswith("Error: cannot listen: ")
    assert "in use" in told


SCRIPTS = {
    "nothing": ("", "mine.py defines no SCRIPT = rtproto.testing.Script(…)"),
    "something else": ("SCRIPT = 'Hello!'", "mine.py defines no SCRIPT = rtproto.testing.Script(…)"),
    "an exception": ("\n1 / 0", "mine.py, line 2: ZeroDivisionError: division by zero"),
    "elsewhere": ("import json\n\njson.loads('{')", "mine.py, line 3: JSONDecodeError: "),
    "a function of its own": ("def f():\n    1 / 0\n\nf()", "mine.py, line 2: ZeroDivisionError: "),
    "a missing module": ("import no_such_module", "mine.py, line 1: ModuleNotFoundError: No module named "),
    "no Python": ("def (", "mine.py: SyntaxError: "),
    "no text": (b"\xff\xfe\x00", "mine.py: "),
    "a lone fault": (
        "from rtproto.testing import *\nSCRIPT, FAULTS = Script(), Drop()",
        "mine.py: FAULTS is a list of faults of rtproto.testing",
    ),
    "a fault that is none": (
        "from rtproto.testing import *\nSCRIPT, FAULTS = Script(), [Drop(), 'drop']",
        "mine.py: FAULTS is a list of faults of rtproto.testing",
    ),
}


@pytest.mark.parametrize(("text", "told"), SCRIPTS.values(), ids=SCRIPTS)
def test_a_python_file_that_says_nothing(tmp_path: Path, text: str | bytes, told: str) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    assert refusal("--script", path).startswith(f"Error: {told}")


CAPTURES = {
    "empty": b"",
    "no capture": b"\x00\xff\x17" * 100,
    "no response": b'{"type":"session.created"}\n',
    "half a gzip": b"\x1f\x8b\x08\x00\x00",
}


@pytest.mark.parametrize("data", CAPTURES.values(), ids=CAPTURES)
def test_a_capture_without_answers(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "session.jsonl"
    path.write_bytes(data)
    assert refusal("--script", path) == "Error: session.jsonl: the capture holds no response.done"


WRONG: dict[str, tuple[str, ...]] = {
    "no such script": ("--script", "none.jsonl"),
    "a folder": ("--script", "."),
    "two scripts": ("--script", str(EXAMPLE), "--reply", "x"),
    "a script and a transcript": ("--script", str(EXAMPLE), "--transcript", "x"),
    "no such keys": ("--keys", "none"),
    "speed 0": ("--speed", "0"),
    "speed nan": ("--speed", "nan"),
    "speed -1": ("--speed", "-1"),
    "speed": ("--speed", "fast"),
    "delay": ("--delay", "-1"),
    "jitter": ("--jitter", "-1"),
    "fragment": ("--fragment", "0"),
    "insert": ("--insert", "nothing"),
    "close": ("--close", "999"),
    "close beyond": ("--close", "5000"),
    "an argument": ("session.jsonl",),
    "an option": ("--nonsense",),
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG)
def test_a_wrong_option(arguments: tuple[str, ...]) -> None:
    assert refusal(*arguments).startswith("Error: ")


BLOCK = """
import sys

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Gone())
"""


def without(folder: Path, *names: str) -> dict[str, str]:
    """An environment where these packages are not installed."""
    (folder / "sitecustomize.py").write_text(BLOCK.format(names=set(names)), "utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    process = Process(env=without(tmp_path, "picows"))
    assert process.end() == 1
    assert process.errors == "Error: this needs an extra: pip install 'rtproto[testing]'\n"
    assert process.said == ""


def test_what_is_not_needed_need_not_be_there(tmp_path: Path) -> None:
    """Of the extra, hypothesis is for strategies, and uvloop is faster but no must."""
    gone = without(tmp_path, "hypothesis", "uvloop", "openai", "websockets", "pytest", "pydantic", "numpy")
    process = Process("--listen", "127.0.0.1:0", "--speed", "inf", env=gone).opened()
    assert texts(process.url)
    assert process.stop() == 0
    assert process.errors == ""


def test_what_is_said_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would grow as long as it runs."""

    def made(**options: Any) -> Any:
        found.update(options)
        raise UnicodeError

    found: dict[str, Any] = {}
    monkeypatch.setattr("rtproto.testing.FakeRealtimeServer", made)
    CliRunner().invoke(cli, ["fake"])
    assert found["record"] is False
    assert (found["host"], found["port"], found["speed"], found["keys"]) == ("127.0.0.1", 8765, 1.0, None)


def test_help_says_what_there_is() -> None:
    result = CliRunner().invoke(cli, ["fake", "--help"])
    assert result.exit_code == 0
    for option in ("--listen HOST:PORT", "--after TYPE", "[unknown|malformed|huge]", "127.0.0.1:8765"):
        assert option in result.stdout
