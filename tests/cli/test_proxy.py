"""As a command it does as its options and its file say, tells what is wrong in a line, and stops in order."""

import asyncio
import json
import os
import queue
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
import websockets
from click.testing import CliRunner
from openai import OpenAI

from rtproto import capture
from rtproto.cli import cli
from rtproto.cli.proxy import proxy as command
from rtproto.services.proxy.admission import hash_token, read_tokens
from rtproto.services.proxy.config import Config
from rtproto.testing import FakeRealtimeServer, Script
from tests.conftest import HERE
from tests.testing.talk import SECONDS, connected

EXAMPLE = HERE.parent / "examples" / "proxy.toml"
SECRET = "sk-of-the-service"
ADA = "rtp_of-ada"
NO_KEY = "upstream.key_env: there is no OPENAI_API_KEY"
WRITTEN: dict[str, Any] = {"type": "response.create", "response": {"output_modalities": ["text"]}}
MODEL = "?model=gpt-realtime"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


class Process:
    """A proxy in a process of its own."""

    name = "proxy"

    def __init__(self, *arguments: str | Path, env: dict[str, str] | None = None) -> None:
        python = [sys.executable, "-X", "dev", "-W", "error"]
        command = [*python, "-m", "rtproto", self.name, *map(str, arguments)]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env={**os.environ, **(env or {})}, **pipes)
        self.lines: queue.Queue[str] = queue.Queue()
        self.errors = self.metrics = ""
        self._readers = [
            threading.Thread(target=read, daemon=True) for read in (self._hear, self._hear_errors)
        ]
        for reader in self._readers:
            reader.start()

    def _hear(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def _hear_errors(self) -> None:
        assert self.process.stderr
        self.errors = self.process.stderr.read()

    def line(self, begin: str) -> str:
        line = self.lines.get(timeout=SECONDS)
        assert line.startswith(begin)
        return line.removeprefix(begin)

    def opened(self) -> "Process":
        self.url = self.line("listening on ")
        self.base_url = self.line("base URL for the OpenAI SDK: ")
        return self

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for the end; the exit code."""
        code = self.process.wait(SECONDS)
        for reader in self._readers:
            reader.join(SECONDS)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe
            pipe.close()
        return code

    @property
    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.errors.splitlines()]


@contextmanager
def proxy(
    *arguments: str | Path, env: dict[str, str] | None = None, measured: bool = False
) -> Iterator[Process]:
    """One that runs, and that logs nothing but JSON."""
    process = Process("--listen", "127.0.0.1:0", "--drain", "0", *arguments, env=env)
    try:
        if measured:
            process.metrics = process.line("metrics on ")
        yield process.opened()
        process.signal()
        assert process.end() == 0
        told = {(line["logger"], line["level"]) for line in process.logged if line["level"] != "info"}
        assert told <= {("asyncio", "warning")}, process.errors  # its debug mode blames us for a busy machine
    finally:
        if process.process.poll() is None:
            process.process.kill()
            process.end()


def texts(url: str, model: str = "gpt-realtime", **options: Any) -> str:
    """What is answered in a turn."""

    async def talk() -> str:
        async with connected(f"{url}?model={model}", **options) as client:
            await client.send(WRITTEN)
            return str((await client.until("response.output_text.done"))["text"])

    return asyncio.run(talk())


def refused(url: str, **options: Any) -> int:
    """The status that a client is refused with."""
    with pytest.raises(websockets.InvalidStatus) as wrong:
        texts(url, **options)
    return wrong.value.response.status_code


def bearer(token: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


async def nobody_comes(url: str) -> None:
    """Wait until no new session is taken."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                async with connected(url + MODEL):
                    await asyncio.sleep(0.01)
            except (OSError, websockets.InvalidHandshake):
                return


# It runs, and stops ---------------------------------------------------------------------------


def test_it_says_where_it_is_and_the_official_sdk_finds_it() -> None:
    with proxy("--upstream", "fake:") as process:
        openai = OpenAI(api_key="any", base_url=process.base_url)
        with openai, openai.realtime.connect(model="gpt-realtime") as connection:
            connection.response.create(response={"output_modalities": ["text"]})
            done = next(event for event in connection if event.type == "response.done")
            assert done.response.status == "completed"
        assert process.url == process.base_url.replace("http:", "ws:") + "/realtime"
    assert process.lines.empty()


def test_the_service_gets_the_key_of_the_environment_and_no_other() -> None:
    with FakeRealtimeServer(Script("Hello!"), keys=[SECRET]) as service:
        upstream = ("--upstream", f"ws://127.0.0.1:{service.port}")
        with proxy(*upstream, env={"OPENAI_API_KEY": SECRET}) as process:
            assert texts(process.url) == "Hello!"
            assert texts(process.url, additional_headers={}) == "Hello!"
        with proxy(*upstream, "--key-env", "MINE", env={"MINE": f" {SECRET}\n"}) as process:
            assert texts(process.url) == "Hello!"
        assert SECRET not in process.errors


def test_a_key_of_a_file_and_keys_of_clients(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n", "utf-8")
    with FakeRealtimeServer(Script("Hello!"), keys=[SECRET]) as service:
        upstream = ("--upstream", f"ws://127.0.0.1:{service.port}")
        with proxy(*upstream, "--key-file", tmp_path / "key") as process:
            assert texts(process.url) == "Hello!"
        with proxy(*upstream, "--pass-key") as process:
            assert texts(process.url, **bearer(SECRET)) == "Hello!"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_sessions_may_go_on_for_a_while_and_nobody_new_comes(number: int) -> None:
    async def talk(process: Process) -> str:
        async with connected(process.url + MODEL) as client:
            process.signal(number)
            await nobody_comes(process.url)
            await client.send(WRITTEN)
            return str((await client.until("response.output_text.done"))["text"])

    process = Process("--listen", "127.0.0.1:0", "--upstream", "fake:", "--drain", "20").opened()
    begun = time.monotonic()
    assert asyncio.run(talk(process))
    assert process.end() == 0
    assert time.monotonic() - begun < 20  # it ends with its last session
    assert [line["event"] for line in process.logged if line["event"] == "draining"] == ["draining"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_terminal_that_closes_says_so_more_than_once_and_is_in_no_hurry(workers: str) -> None:
    async def talk(process: Process) -> str:
        async with connected(process.url + MODEL) as client:
            process.signal(signal.SIGHUP)
            await nobody_comes(process.url)
            process.signal(signal.SIGHUP)
            await client.send(WRITTEN)
            return str((await client.until("response.output_text.done"))["text"])

    arguments = ("--listen", "127.0.0.1:0", "--upstream", "fake:", "--workers", workers, "--drain", "20")
    process = Process(*arguments).opened()
    assert asyncio.run(talk(process))
    assert process.end() == 0


def test_one_that_shall_outlive_its_terminal_does() -> None:
    """As by nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = Process("--listen", "127.0.0.1:0", "--upstream", "fake:").opened()
    finally:
        signal.signal(signal.SIGHUP, before)
    process.signal(signal.SIGHUP)
    assert texts(process.url)
    process.signal()
    assert process.end() == 0


@pytest.mark.parametrize("drain", ["0", "1000"])
def test_a_second_signal_and_the_end_of_patience_end_it_at_once(drain: str) -> None:
    async def talk(process: Process) -> tuple[int, str]:
        async with connected(process.url + MODEL) as client:
            process.signal()
            if drain != "0":
                await nobody_comes(process.url)
                process.signal()
            return await client.closed()

    process = Process("--listen", "127.0.0.1:0", "--upstream", "fake:", "--drain", drain).opened()
    assert asyncio.run(talk(process)) == (1001, "going away")
    assert process.end() == 0


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 - it is ours
        return str(answer.read().decode())


def test_metrics_and_health() -> None:
    with proxy("--upstream", "fake:", "--metrics-listen", "127.0.0.1:0", measured=True) as process:
        texts(process.url)
        assert "\nrtproto_sessions_total 1.0\n" in page(process.metrics)
        assert 'rtproto_tokens_total{kind="output_tokens"}' in page(process.metrics)
        assert page(process.metrics.replace("metrics", "healthz")) == "ok\n"


def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "proxy.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with proxy("--upstream", "fake:", "--tls-certificate", tmp_path / "proxy.pem") as process:
        assert process.url.startswith("wss://127.0.0.1:")
        assert process.base_url.startswith("https://127.0.0.1:")
        assert texts(process.url, ssl=trusting)


def test_workers_share_the_port_and_what_they_count() -> None:
    arguments = ("--upstream", "fake:", "--workers", "2", "--metrics-listen", "127.0.0.1:0")
    with proxy(*arguments, measured=True) as process:
        for _ in range(4):
            texts(process.url)
        deadline = time.monotonic() + SECONDS
        while "\nrtproto_sessions_total 4.0\n" not in page(process.metrics):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert sum(line["event"] == "worker ended" for line in process.logged) == 2


def test_a_second_signal_ends_workers_too() -> None:
    async def talk(process: Process) -> int:
        async with connected(process.url + MODEL) as client:
            process.signal()
            await nobody_comes(process.url)
            process.signal()
            return (await client.closed())[0]

    arguments = ("--listen", "127.0.0.1:0", "--upstream", "fake:", "--workers", "2", "--drain", "1000")
    process = Process(*arguments).opened()
    assert asyncio.run(talk(process)) == 1001
    assert process.end() == 0
    assert sum(line["event"] == "worker ended" for line in process.logged) == 2


# What it does ---------------------------------------------------------------------------------


def test_tokens_and_origins(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"ada:{hash_token(ADA)}\n", "utf-8")
    page = "https://app.example"
    with proxy("--upstream", "fake:", "--tokens", tmp_path / "tokens", "--origin", page) as process:
        assert texts(process.url, **bearer(ADA))
        assert texts(process.url, **bearer(ADA), origin=page)
        assert refused(process.url) == 401
        assert refused(process.url, **bearer(ADA), origin="https://evil.example") == 403
    assert ADA not in process.errors


def test_room() -> None:
    async def talk(url: str) -> int:
        async with connected(url + MODEL):
            with pytest.raises(websockets.InvalidStatus) as wrong:
                async with connected(url + MODEL):
                    pass
            return wrong.value.response.status_code

    with proxy("--upstream", "fake:", "--max-sessions", "1") as process:
        assert asyncio.run(talk(process.url)) == 503


def test_models() -> None:
    with proxy("--upstream", "fake:", "--model", "gpt-realtime", "--model", "other") as process:
        assert texts(process.url)
        assert refused(process.url, model="dear") == 403


@pytest.mark.parametrize(
    "options",
    [
        ("--allow-client", "session.update", "--allow-client", "response.create"),
        ("--deny-client", "input_audio_buffer.clear", "--deny-client", "response.cancel"),
        ("--validate",),
    ],
)
def test_types_of_events(options: tuple[str, ...]) -> None:
    async def talk(url: str) -> str:
        async with connected(url + MODEL) as client:
            await client.send({"type": "response.cancel", "response_id": 1})
            error = (await client.until("error"))["error"]
            await client.send(WRITTEN)
            await client.until("response.done")
            return str(error["code"])

    with proxy("--upstream", "fake:", *options) as process:
        code = "invalid_type" if options == ("--validate",) else "event_not_allowed"
        assert asyncio.run(talk(process.url)) == code


def test_what_is_recorded_is_whole_when_it_has_stopped(tmp_path: Path) -> None:
    with proxy("--upstream", "fake:", "--record", tmp_path, "--elide-audio") as process:
        said = texts(process.url)
    (path,) = tmp_path.iterdir()
    records = [*capture.load(path)]
    assert any(said.encode() in record.raw for record in records)
    assert {record.direction for record in records} == {"client", "server"}


def test_a_policy_of_yours_is_entered_and_left(tmp_path: Path) -> None:
    (tmp_path / "proxy.toml").write_text('policies.custom = ["mine:Mine"]\n', "utf-8")
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\n"
        "from rtproto.services.proxy import Policy\n\n"
        "class Mine(Policy):\n"
        "    def __enter__(self):\n"
        "        Path(__file__).with_name('entered').touch()\n\n"
        "    def on_closed(self, session):\n"
        "        Path(__file__).with_name('entered').rename(Path(__file__).with_name('closed'))\n\n"
        "    def __exit__(self, *_):\n"
        "        Path(__file__).with_name('closed').rename(Path(__file__).with_name('left'))\n",
        "utf-8",
    )
    with proxy("--config", tmp_path / "proxy.toml", "--upstream", "fake:") as process:
        texts(process.url)
    assert (tmp_path / "left").exists()


def test_an_option_goes_before_the_file_and_a_path_is_from_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"ada:{hash_token(ADA)}\n", "utf-8")
    (tmp_path / "proxy.toml").write_text(
        'upstream.url = "wss://nowhere.invalid"\n'
        'entry.tokens_file = "tokens"\n'
        'policies.custom = ["mine:Mine"]\n',
        "utf-8",
    )
    (tmp_path / "mine.py").write_text(
        "from rtproto.services.proxy import Policy, Refused\n\n"
        "class Mine(Policy):\n"
        "    def on_opening(self, opening):\n"
        "        raise Refused(418, opening.client)\n",
        "utf-8",
    )
    with proxy("--config", tmp_path / "proxy.toml", "--upstream", "fake:") as process:
        assert refused(process.url, **bearer(ADA)) == 418


# What is told ---------------------------------------------------------------------------------


def said(*arguments: str | Path, code: int = 0, env: dict[str, str | None] | None = None) -> tuple[str, str]:
    """What it says and does not begin: standard output, and standard error without the usage."""

    def never(_: object) -> None:
        raise AssertionError("it begins")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rtproto.cli.proxy._begin", never)
        patch.delenv("OPENAI_API_KEY", raising=False)
        result = CliRunner(env=env).invoke(cli, ["proxy", *map(str, arguments)])
    assert result.exit_code == code, result.output
    errors = [line for line in result.stderr.splitlines() if line and not line.startswith(("Usage:", "Try "))]
    return result.stdout, "\n".join(errors)


def test_the_example_is_a_configuration() -> None:
    out, errors = said("--config", EXAMPLE, "--check-config", env={"OPENAI_API_KEY": SECRET})
    assert errors == ""
    assert out.splitlines() == [
        "all is well",
        "listen:   127.0.0.1:8080",
        "upstream: api.openai.com",
        "key:      $OPENAI_API_KEY",
        "policies: DenyTypes, Validation, ModelLock, SessionFields, UsageLedger",
        "metrics:  nowhere",
    ]


def test_what_it_would_start_as(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET, "utf-8")
    options = ("--key-file", tmp_path / "key", "--listen", "[::1]:0", "--metrics-listen", "127.0.0.1:9")
    out, errors = said("--upstream", "wss://x.example:444/openai", *options, "--check-config")
    assert errors == ""
    assert out.splitlines() == [
        "all is well",
        "listen:   [::1]:0",
        "upstream: x.example:444",
        f"key:      {tmp_path / 'key'}",
        "policies: UsageLedger",
        "metrics:  127.0.0.1:9",
    ]
    out, _ = said("--upstream", "fake:", "--check-config")
    assert out.splitlines()[2:5] == [
        "upstream: fake:",
        "key:      none, the service is a fake",
        "policies: none",
    ]


def test_a_file_may_say_where_silence_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "proxy.toml").write_text('policies.record.directory = "."', "utf-8")
    out, _ = said(
        "--upstream", "fake:", "--config", tmp_path / "proxy.toml", "--elide-audio", "--check-config"
    )
    assert "policies: Recorder\n" in out


def test_the_help_tells_what_holds_if_nothing_is_said() -> None:
    config = Config()
    for option, default in (
        ("--listen", config.listen.address),
        ("--upstream", config.upstream.url),
        ("--workers", f"{config.workers}"),
        ("--drain", f"{config.drain_seconds:g}"),
        ("--log-level", config.log.level),
    ):
        (parameter,) = (each for each in command.params if option in each.opts)
        assert f"[default: {default}]" in str(parameter.to_info_dict()["help"])


def test_the_example_has_all_there_is(tmp_path: Path) -> None:
    """Also what it leaves out can be said."""
    text = EXAMPLE.read_text("utf-8")
    for name in ("tls_certificate", "tls_key", "key_file", "ca_file", "tokens_file", "directory", "address"):
        assert f"\n# {name} = " in text
    authority = trustme.CA()
    certificate = authority.issue_cert("proxy.example")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "proxy.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "proxy.key")
    authority.cert_pem.write_to_path(tmp_path / "authorities.pem")
    (tmp_path / "tokens").write_text(f"ada:{hash_token(ADA)}\n", "utf-8")
    (tmp_path / "captures").mkdir()
    lines = [line.removeprefix("# ") if is_left_out(line) else line for line in text.splitlines()]
    (tmp_path / "proxy.toml").write_text("\n".join(lines), "utf-8")
    arguments = ("--config", tmp_path / "proxy.toml", "--check-config", "--key-env", "MINE")
    out, errors = said(*arguments, env={"MINE": SECRET})
    assert out.startswith("all is well\n")
    assert "policies: Recorder, AllowTypes, DenyTypes, " in out
    assert errors == ""


def is_left_out(line: str) -> bool:
    name = line.removeprefix("# ").partition(" ")[0]
    return line.startswith("# ") and (" = " in line or name.startswith("[")) and name != "pass_key"


def test_a_new_token_comes_in(tmp_path: Path) -> None:
    line, told = said("--new-token", "ada")
    (tmp_path / "tokens").write_text(line, "utf-8")
    token = told.rpartition(" ")[2]
    assert read_tokens(tmp_path / "tokens") == {"ada": hash_token(token)}
    assert token not in line


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing": (
        (),
        f"{NO_KEY} in the environment: wss://api.openai.com needs a key, --upstream fake: none",
    ),
    "no key": (("--upstream", "wss://x.example"), NO_KEY),
    "a key for a name": (("--key-env", SECRET), "upstream: key_env must be the name of a variable"),
    "v1": (("--upstream", "wss://api.openai.com/v1", "--pass-key"), "upstream: url must be without /v1"),
    "no model": (("--upstream", "fake:", "--model", ""), "policies.model: a model must have a name"),
    "two at once": (
        ("--upstream", "fake:", "--listen", "127.0.0.1:9", "--metrics-listen", "127.0.0.1:9"),
        "metrics.address: clients come in there",
    ),
    "a type": (("--upstream", "fake:", "--deny-client", "x"), "policies.deny: the client has no event 'x'"),
    "no such variable": (
        ("--key-env", "NO_SUCH"),
        "upstream.key_env: there is no NO_SUCH in the environment",
    ),
    "no such file": (("--key-file", "none"), "upstream.key_file: No such file or directory"),
    "two keys": (("--key-env", "X", "--pass-key"), "upstream: there is one place for a key"),
    "http": (("--upstream", "https://api.openai.com", "--pass-key"), "upstream: url must be ws://"),
    "a port": (("--upstream", "fake:", "--listen", "127.0.0.1:65536"), "listen: address must be HOST:PORT"),
    "no port": (("--upstream", "fake:", "--metrics-listen", "x"), "metrics: address must be HOST:PORT"),
    "origin": (("--upstream", "fake:", "--origin", "null"), "entry: origins must be SCHEME://HOST[:PORT]"),
    "tokens": (("--upstream", "fake:", "--tokens", "none"), "entry.tokens_file: No such file"),
    "directory": (("--upstream", "fake:", "--record", "none"), "policies.record: the directory to record to"),
    "rooms": (
        ("--upstream", "fake:", "--workers", "3", "--max-sessions", "2"),
        "entry.max_sessions: must be",
    ),
    "certificate": (("--upstream", "fake:", "--tls-certificate", "none"), "listen.tls_certificate: No such"),
    "everybody": (("--listen", "0.0.0.0:8080", "--key-env", "PATH"), "entry: other machines may use the key"),
}
USAGE: dict[str, tuple[tuple[str, ...], str]] = {
    "no directory": (("--upstream", "fake:", "--elide-audio"), "--elide-audio needs --record"),
    "names": (("--new-token", "a b"), "--new-token: a name is of letters"),
    "a key": (("--key", SECRET), "No such option"),
    "a short key": ((f"--key={SECRET}",), "No such option"),
    "no such config": (("--config", "none"), "Invalid value for '--config'"),
    "workers": (("--workers", "0"), "Invalid value for '--workers'"),
    "drain": (("--drain", "-1"), "Invalid value for '--drain'"),
    "level": (("--log-level", "all"), "Invalid value for '--log-level'"),
}


@pytest.mark.parametrize(
    ("code", "arguments", "told"),
    [*((1, *wrong) for wrong in WRONG.values()), *((2, *wrong) for wrong in USAGE.values())],
    ids=[*WRONG, *USAGE],
)
def test_what_cannot_be_is_told_in_a_line(code: int, arguments: tuple[str, ...], told: str) -> None:
    for check in ((), ("--check-config",)):
        out, errors = said(*arguments, *check, code=code)
        assert out == ""
        assert errors.startswith(f"Error: {told}")
        assert "\n" not in errors
        assert SECRET not in errors


def test_an_address_that_cannot_be_had() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for workers in ("1", "2"):
            process = Process("--upstream", "fake:", "--listen", f"127.0.0.1:{port}", "--workers", workers)
            assert process.end() == 1
            assert process.errors.startswith("Error: cannot listen: ")
            assert process.errors.count("\n") == 1
            assert process.lines.empty()
