"""What a person sees of a replay: an address, a line for each connection, and a line for what is wrong."""

import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect
from websockets.sync.connection import Connection
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as ws_serve

from rtproto import capture
from rtproto.cli import cli
from rtproto.cli.replay import replay
from rtproto.testing import FakeRealtimeServer
from rtproto.testing.replay import PATIENCE
from tests.conftest import HERE

SESSION = HERE.parent / "examples" / "session.jsonl"
BOUND = 60  # seconds that no command takes
KEY = "sk-nobody-must-see-this"
ON_POSIX = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")


def run(*arguments: str | Path, data: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["replay", *map(str, arguments)], input=data)


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "rtproto", "replay", *map(str, arguments)]


def finish(*arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        check=False,
        text=True,
        timeout=BOUND,
        env={name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"} | environment,
    )


class Listener:
    """``rtproto replay --listen`` in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        self.process = process
        self.ready = process.stdout.readline()
        host = r"(?:127\.0\.0\.1|\[::1\])"
        found = re.fullmatch(rf"replaying on (ws://{host}:[1-9]\d*/v1/realtime)\n", self.ready)
        assert found, self.ready
        self.url = found[1]

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=BOUND)
        return self.process.returncode, out, err


@contextmanager
def listening(*arguments: str | Path, at: str = "127.0.0.1:0") -> Iterator[Listener]:
    process = subprocess.Popen(
        command(*arguments, "--listen", at),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONUTF8": "1"},
    )
    watchdog = threading.Timer(BOUND, process.kill)
    watchdog.start()
    try:
        yield Listener(process)
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate(timeout=BOUND)


@contextmanager
def service(handler: Any, **options: Any) -> Iterator[str]:
    with ws_serve(handler, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/v1/realtime"
        finally:
            server.shutdown()
            thread.join(BOUND)


def everything(client: Connection) -> list[bytes]:
    return [message.encode() if isinstance(message, str) else message for message in client]


def raw_of(side: str) -> list[bytes]:
    return [record.raw for record in capture.load(SESSION) if record.direction == side]


def play_client(url: str) -> list[bytes]:
    with connect(url, close_timeout=5) as client:
        for raw in raw_of("client"):
            client.send(raw.decode())
        return everything(client)


# --listen -------------------------------------------------------------------------------------


@ON_POSIX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_listens_until_it_is_told_to_stop(number: signal.Signals) -> None:
    with listening(SESSION, "--speed", "inf") as listener:
        assert [play_client(listener.url) for _ in range(2)] == [raw_of("server")] * 2
        with connect(listener.url) as client:
            client.recv(timeout=BOUND)
            listener.process.send_signal(number)
            assert everything(client) == []
            assert client.close_code == 1001
        status, out, err = listener.end()
    assert (status, out) == (0, "")
    whole = "75 frames sent, 15 received, close code 1000"
    assert err.splitlines() == [whole, whole, "1 frames sent, 0 received, close code 1001; closed early"]


@ON_POSIX
@pytest.mark.parametrize("options", [(), ("--once",)])
def test_it_stops_cleanly_if_nobody_came(options: tuple[str, ...]) -> None:
    with listening(SESSION, *options) as listener:
        listener.process.terminate()
        assert listener.end() == (0, "", "")


def test_once_is_enough() -> None:
    with listening(SESSION, "--speed", "inf", "--once") as listener:
        assert play_client(listener.url) == raw_of("server")
        assert listener.end() == (0, "", "75 frames sent, 15 received, close code 1000\n")


def test_once_counts_the_first_that_ends() -> None:
    with listening(SESSION, "--speed", "inf", "--once") as listener:
        with connect(listener.url) as other:
            other.recv(timeout=BOUND)
            assert play_client(listener.url) == raw_of("server")
            assert everything(other) == []
        status, _, err = listener.end()
    assert status == 0
    assert [line.split(", ")[-1] for line in err.splitlines()] == [
        "close code 1000",
        "close code 1001; closed early",
    ]


def test_a_client_that_breaks_the_protocol_is_one_line() -> None:
    with listening(SESSION, "--once") as listener:
        with connect(listener.url) as client:
            client.recv(timeout=BOUND)
            client.socket.sendall(b"\x83\x80\0\0\0\0")  # there is no opcode 3
            with pytest.raises(ConnectionClosedError):
                client.recv(timeout=BOUND)
        assert listener.end() == (1, "", "1 frames sent, 0 received, close code 1002; closed early\n")


def test_once_may_be_too_early() -> None:
    with listening(SESSION, "--once") as listener:
        with connect(listener.url) as client:
            client.recv(timeout=BOUND)
        assert listener.end() == (1, "", "1 frames sent, 0 received, close code 1000; closed early\n")


def test_once_may_miss_something() -> None:
    with listening(SESSION, "--speed", "inf", "--patience", "0.05", "--once") as listener:
        with connect(listener.url) as client:
            assert everything(client) == raw_of("server")
        status, out, err = listener.end()
    assert (status, out) == (1, "")
    assert err.startswith("75 frames sent, 0 received, close code 1000; missed: session.update × 1, ")


def test_the_port_may_be_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run(SESSION, "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert result.exit_code == 1
    assert re.fullmatch(r"Error: cannot listen: .*in use.*\n", result.stderr)


def test_a_host_may_be_no_name() -> None:
    result = run(SESSION, "--listen", "x..y:0")
    assert result.exit_code == 1
    assert re.fullmatch(r"Error: cannot listen: .+\n", result.stderr)


# --connect ------------------------------------------------------------------------------------


def test_both_sides_play_with_one_another() -> None:
    with listening(SESSION, "--speed", "25", "--once") as listener:
        result = finish(SESSION, "--connect", listener.url, "--speed", "25")
        assert listener.end()[0] == 0
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "15 frames sent, 75 received, close code 1000\n"


def test_the_key_goes_along_and_is_never_shown() -> None:
    keys: list[str | None] = []

    def handler(connection: ServerConnection) -> None:
        assert connection.request
        keys.append(connection.request.headers.get("Authorization"))
        connection.close(1011)

    with service(handler) as url:
        results = [
            finish(SESSION, "--connect", url, **environment)
            for environment in ({"OPENAI_API_KEY": f"{KEY}\n"}, {"OPENAI_API_KEY": ""}, {})
        ]
    assert keys == [f"Bearer {KEY}", None, None]
    for result in results:
        assert (result.returncode, result.stderr) == (1, "")
        assert result.stdout == "0 frames sent, 0 received, close code 1011; closed early\n"


@pytest.mark.parametrize("key", [f"{KEY}\r\nX: y", f"{KEY}é"])
def test_a_key_that_no_header_holds_is_not_shown(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    result = run(SESSION, "--connect", "ws://127.0.0.1:1")
    assert (result.exit_code, result.output) == (1, "Error: OPENAI_API_KEY holds what no header can\n")


def test_what_is_missed_is_told_by_type_and_never_with_a_payload(tmp_path: Path) -> None:
    path = tmp_path / "capture.jsonl"
    odd = {"type": "\x1b[31m" + "x" * 500, "secret": "payload"}
    with capture.create(path) as writer:
        for _ in range(2):
            writer.write("server", json.dumps(odd), timestamp=0)
            writer.write("client", '{"type":"response.create"}', timestamp=0)
    with service(everything) as url:
        result = finish(path, "--connect", url, "--patience", "0.05")
    assert (result.returncode, result.stderr) == (1, "")
    shown = "\\u001b[31m" + "x" * 75
    assert result.stdout == f"2 frames sent, 0 received, close code 1000; missed: {shown}… × 2\n"


def refuse(connection: ServerConnection, _: Any) -> Any:
    return connection.respond(HTTPStatus.FORBIDDEN, "\x1b[31mgo away\n")


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_refusal_is_one_line(scheme: str) -> None:
    with service(everything, process_request=refuse) as url:
        result = finish(SESSION, "--connect", url.replace("ws", scheme, 1), OPENAI_API_KEY=KEY)
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(r"Error: cannot connect: .+\n", result.stderr)
    assert scheme == "wss" or result.stderr.endswith(" HTTP 403 Forbidden\n")


def test_nobody_there_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    result = finish(SESSION, "--connect", f"ws://127.0.0.1:{port}/?key={KEY}", OPENAI_API_KEY=KEY)
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(r"Error: cannot connect: .+\n", result.stderr)
    assert KEY not in result.stderr


# The capture, and the options -----------------------------------------------------------------


def test_a_capture_may_come_by_standard_input_and_gzipped() -> None:
    data = gzip.compress(SESSION.read_bytes() + b"\n")
    result = run("-", "--connect", "http://no-websocket", data=data)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "line 91: skipped: blank",
        "Error: cannot connect: this is no ws:// or wss:// URL",
    ]


@pytest.mark.parametrize(("option", "side"), [("--listen", "server"), ("--connect", "client")])
@pytest.mark.parametrize("data", [b"", b"no capture"])
def test_there_must_be_something_to_play(option: str, side: str, data: bytes) -> None:
    address = "127.0.0.1:0" if option == "--listen" else "ws://127.0.0.1:1"
    foreign = {"direction": "client" if side == "server" else "server", "raw": '{"type":"x"}'}
    for capture_of in (data, json.dumps(foreign).encode()):
        result = run("-", option, address, data=capture_of)
        assert result.exit_code == 1
        assert result.stderr == f"Error: the capture holds no frame of the {side}'s\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "either --listen or --connect is needed"),
        (("--listen", "127.0.0.1:0", "--connect", "ws://x"), "either --listen or --connect is needed"),
        (("--connect", "ws://x", "--once"), "--once goes with --listen"),
        (("--listen", "8080"), "'8080' is no HOST:PORT"),
        (("--listen", ":8080"), "':8080' is no HOST:PORT"),
        (("--listen", "x:65536"), "'x:65536' is no HOST:PORT"),
        (("--listen", "x:-1"), "'x:-1' is no HOST:PORT"),
        (("--listen", "x:²"), "'x:²' is no HOST:PORT"),
        (("--listen", "x:0", "--speed", "0"), "0.0 is not in the range x>0"),
        (("--listen", "x:0", "--speed", "fast"), "'fast' is not a valid float"),
        (("--listen", "x:0", "--patience", "-1"), "-1.0 is not in the range x>=0"),
    ],
)
def test_what_is_asked_wrongly_is_told(arguments: tuple[str, ...], problem: str) -> None:
    result = run(SESSION, *arguments)
    assert result.exit_code == 2
    assert problem in result.stderr


def test_a_speed_that_is_no_number_is_told() -> None:
    result = run(SESSION, "--connect", "ws://127.0.0.1:1", "--speed", "nan")
    assert (result.exit_code, result.stderr) == (1, "Error: speed must be above 0\n")


def test_the_patience_is_the_librarys() -> None:
    defaults = {option.name: option.default for option in replay.params if isinstance(option, click.Option)}
    assert defaults["patience"] == PATIENCE
    assert defaults["speed"] == 1


def without_picows(*arguments: str) -> "subprocess.CompletedProcess[str]":
    code = f"import sys; sys.modules['picows'] = None; from rtproto.cli import cli; cli({[*arguments]!r})"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, text=True, timeout=BOUND
    )


def test_without_its_extra_it_says_what_to_install() -> None:
    result = without_picows("replay", str(SESSION), "--listen", "127.0.0.1:0")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "Error: this needs an extra: pip install 'rtproto[testing]'\n"


@pytest.mark.parametrize("arguments", [("inspect", str(SESSION)), ("--help",), ("replay", "--help")])
def test_nothing_else_needs_it(arguments: tuple[str, ...]) -> None:
    result = without_picows(*arguments)
    assert (result.returncode, result.stderr) == (0, "")


def can_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not can_ipv6(), reason="there is no IPv6 here")
def test_ipv6_has_its_brackets() -> None:
    with listening(SESSION, "--once", at="[::1]:0") as listener:
        assert listener.url.startswith("ws://[::1]:")
        with connect(listener.url) as client:
            assert client.recv(timeout=BOUND)


def test_standard_input_may_be_closed() -> None:
    arguments = ["replay", "-", "--listen", "127.0.0.1:0"]
    code = f"import sys; sys.stdin = None; from rtproto.cli import cli; cli({arguments!r})"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, text=True, timeout=BOUND
    )
    assert result.returncode == 2
    assert "standard input is closed" in result.stderr


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with FakeRealtimeServer() as fake:
        result = run(str(SESSION), "--connect", fake.url)
    assert result.stderr.splitlines() == [
        "Error: cannot connect: HTTP 401 Unauthorized (there is no OPENAI_API_KEY in the environment)"
    ]
