"""As a command it does as its options say, tells what is wrong in a line, and stops in order."""

import asyncio
import json
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
import websockets
from click.testing import CliRunner, Result
from openai import AsyncOpenAI
from prometheus_client.parser import text_string_to_metric_families

from rtproto.cli import cli
from rtproto.cli.fanout import fanout
from rtproto.services.fanout import Ended, Limits, Snapshot, read_grants, read_notice
from rtproto.services.proxy import Refused, hash_token
from rtproto.testing import FakeRealtimeServer, Script
from tests.cli.test_fake import without
from tests.cli.test_proxy import NO_KEY, Process, bearer, page
from tests.nats_server import NatsServer
from tests.testing.talk import SECONDS

SECRET = "sk-of-the-service"
ADA, TV, EVE = "rtp_of-ada", "rtp_of-tv", "rtp_of-eve"
WRITTEN = json.dumps({"type": "response.create", "response": {"output_modalities": ["text"]}})
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


class Hub(Process):
    """A hub in a process of its own."""

    name = "fanout"
    was_told = False

    def signal(self, number: int = signal.SIGTERM) -> None:
        super().signal(number)
        self.was_told = True

    def ends_well(self) -> None:
        assert self.end() == 0
        assert not [line for line in self.logged if line["level"] == "error"], self.errors
        warnings = {line["logger"] for line in self.logged if line["level"] == "warning"}
        assert warnings <= {"asyncio"}, self.errors  # its debug mode blames us for a busy machine


@contextmanager
def hub(*arguments: str | Path, env: dict[str, str] | None = None) -> Iterator[Hub]:
    """One that runs, and that logs nothing but JSON."""
    process = Hub("--listen", "127.0.0.1:0", "--drain", "0", *arguments, env=env)
    try:
        yield process
        if not process.was_told:  # a second signal, when it no longer listens to any, would kill it
            process.signal()
        process.ends_well()
    finally:
        if process.process.poll() is None:
            process.process.kill()
            process.end()


class Ears:
    """A listener, past its snapshot."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.snapshot: list[bytes] = []
        self.heard: list[bytes] = []

    async def begin(self) -> None:
        notice = read_notice(await self.socket.recv())
        assert isinstance(notice, Snapshot)
        self.snapshot = [await self.recv() for _ in range(notice.events)]
        if not self.snapshot:  # the session has yet to say its first word
            self.snapshot = [await self.recv()]

    async def recv(self) -> bytes:
        async with asyncio.timeout(SECONDS):
            return await self.socket.recv(decode=False)

    async def until(self, name: str) -> dict[str, Any]:
        """The next event of this type; what comes before it is heard too."""
        while True:
            self.heard.append(await self.recv())
            event: dict[str, Any] = json.loads(self.heard[-1])
            if event["type"] == name:
                return event

    async def closed(self) -> int:
        """Hear all the rest; the close code."""
        try:
            while True:
                self.heard.append(await self.recv())
        except websockets.ConnectionClosed as end:
            return end.rcvd.code if end.rcvd else 1006


@asynccontextmanager
async def listening(url: str, *, open_within: float = SECONDS, **options: Any) -> AsyncIterator[Ears]:
    """A listener; a session may have yet to begin."""
    async with asyncio.timeout(open_within):
        while True:
            try:
                socket = await websockets.connect(url, **options)
                break
            except websockets.InvalidStatus as refused:
                if refused.response.status_code != 404:
                    raise
                await asyncio.sleep(0.02)
    async with socket:
        ears = Ears(socket)
        await ears.begin()
        yield ears


async def refused(url: str, **options: Any) -> int:
    """The status that somebody is refused with."""
    with pytest.raises(websockets.InvalidStatus) as wrong:
        async with asyncio.timeout(SECONDS), websockets.connect(url, **options):
            pass
    return wrong.value.response.status_code


async def comes_in(url: str) -> bool:
    try:
        async with websockets.connect(url, open_timeout=2):
            return True
    except (OSError, websockets.InvalidHandshake):
        return False


# It runs, and stops ---------------------------------------------------------------------------


def test_a_fake_service_talks_by_itself_and_all_hear_the_same_to_the_end() -> None:
    async def listen(url: str, stop: Any) -> list[Ears]:
        async with listening(url) as one, listening(f"{url}?events=all") as other:
            assert b'"session.created"' in one.snapshot[0]
            await asyncio.gather(*(ears.until("response.output_audio.delta") for ears in (one, other)))
            stop()
            assert await asyncio.gather(one.closed(), other.closed()) == [1001, 1001]
            return [one, other]

    with hub("--upstream", "fake:", "--metrics-listen", "127.0.0.1:0") as process:
        metrics = process.line("metrics on ")
        url = process.line("listening on ")
        home = process.line("page: ")
        assert url == home.replace("http:", "ws:") + "listen/main"
        assert page(home).lower().startswith("<!doctype html>")
        told: list[str] = []

        def stop() -> None:
            told.extend((page(f"{home}sessions"), page(metrics)))
            process.signal()

        one, other = asyncio.run(listen(url, stop))
    assert json.loads(told[0]) == {"sessions": [{"name": "main"}]}
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(told[1])
        for sample in family.samples
    }
    assert values["rtproto_fanout_listeners"] == 2
    assert values["rtproto_fanout_sessions"] == 1
    assert one.heard[-len(other.heard) :] == other.heard  # who came second
    assert any(b'"input_text"' in frame for frame in one.snapshot + one.heard)
    ended = read_notice(one.heard[-1])
    assert isinstance(ended, Ended)
    assert ended.reason == "going away"
    assert process.lines.empty()


def test_nobody_new_comes_while_it_drains_and_a_second_signal_ends_it() -> None:
    async def listen(process: Hub, url: str) -> int:
        async with listening(url) as ears:
            process.signal(signal.SIGINT)
            async with asyncio.timeout(SECONDS):
                while await comes_in(url):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
            process.signal()
            return await ears.closed()

    with FakeRealtimeServer() as service:
        upstream = ("--upstream", f"ws://127.0.0.1:{service.port}")
        process = Hub("--listen", "127.0.0.1:0", *upstream, "--drain", "1000", env={"OPENAI_API_KEY": SECRET})
        assert asyncio.run(listen(process, process.line("listening on "))) == 1001
        process.ends_well()
    assert [line["event"] for line in process.logged if line["event"] == "draining"] == ["draining"]


# Whom it lets listen, and to what -------------------------------------------------------------


def test_a_client_of_the_official_sdk_is_listened_to_byte_for_byte() -> None:
    async def talk(base_url: str, url: str) -> None:
        sdk = AsyncOpenAI(api_key="any", base_url=base_url)
        async with sdk, sdk.realtime.connect(model="gpt-realtime", extra_query={"session": "desk"}) as client:
            got = [await client.recv_bytes()]
            async with listening(url.replace("NAME", "desk")) as ears:
                assert ears.snapshot == got
                await client.response.create()
                while b'"rate_limits.updated"' not in got[-1]:
                    got.append(await client.recv_bytes())
                await ears.until("rate_limits.updated")
                assert ears.heard == got[1:]
                assert any(b'"response.output_audio.delta"' in frame for frame in got)
                await client.close()
                assert await ears.closed() == 1000

    metrics = ("--metrics-listen", "127.0.0.1:0")
    with hub("--upstream", "fake:", "--attach", "127.0.0.1:0", *metrics) as process:
        scraped = process.line("metrics on ")
        url = process.line("listening on ")
        base_url = process.line("base URL for the OpenAI SDK: ")
        assert url.endswith("/listen/NAME")
        asyncio.run(talk(base_url, url))
        told = page(scraped)
        assert "\nrtproto_sessions_total 1.0\n" in told
        assert 'rtproto_tokens_total{kind="output_tokens"}' in told
        assert 'rtproto_fanout_delivered_total{class="audio"} 0.0' not in told


def test_who_may_listen_hears_and_who_may_speak_is_answered(tmp_path: Path) -> None:
    lines = (
        f"ada:{hash_token(ADA)} * speak",
        f"tv:{hash_token(TV)} main listen",
        f"eve:{hash_token(EVE)} main speak",
    )
    (tmp_path / "tokens").write_text("\n".join(lines), "utf-8")

    async def talk(url: str, base_url: str) -> None:
        async with listening(url, **bearer(ADA)) as ada, listening(url, **bearer(TV)) as tv:
            await ada.socket.send(WRITTEN)
            for ears in (ada, tv):
                assert (await ears.until("response.output_text.done"))["text"] == "Hello!"
            await tv.socket.send(WRITTEN)
            assert await tv.closed() == 1008
        assert await refused(url) == 401
        assert await refused(url.replace("main", "press"), **bearer(TV)) == 403
        door = base_url.replace("http:", "ws:") + "/realtime?model=m"
        assert [await refused(door, **bearer(token)) for token in ("none", TV, EVE)] == [401] * 3
        async with websockets.connect(door, **bearer(ADA)) as client:
            assert json.loads(await client.recv())["type"] == "session.created"

    with FakeRealtimeServer(Script("Hello!"), keys=[SECRET]) as service:
        upstream = ("--upstream", f"ws://127.0.0.1:{service.port}", "--key-env", "MINE", "--model", "mine")
        entry = ("--tokens", tmp_path / "tokens", "--speak", "--attach", "127.0.0.1:0", "--session", "main")
        with hub(*upstream, *entry, env={"MINE": SECRET}) as process:
            asyncio.run(talk(process.line("listening on "), process.line("base URL for the OpenAI SDK: ")))
        models = {record.session.settings.model for record in service.sessions}
    assert "mine" in models
    assert all(secret not in process.errors for secret in (SECRET, ADA, TV, EVE))


def test_every_name_is_a_session_of_its_own() -> None:
    async def talk(urls: Sequence[str]) -> set[str]:
        async with listening(urls[0]) as one, listening(urls[1]) as other:
            return {json.loads(ears.snapshot[0])["session"]["id"] for ears in (one, other)}

    names = ("--session", "main", "--session", "press", "--session", "main")
    with FakeRealtimeServer() as service:
        upstream = ("--upstream", f"ws://127.0.0.1:{service.port}")
        with hub(*upstream, *names, env={"OPENAI_API_KEY": SECRET}) as process:
            urls = [process.line("listening on "), process.line("listening on ")]
            process.line("page: ")
            assert [url.rpartition("/")[2] for url in urls] == ["main", "press"]
            assert len(asyncio.run(talk(urls))) == 2


def test_an_edge_has_the_sessions_of_a_hub_and_its_speakers_are_heard(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"ada:{hash_token(ADA)} * speak", "utf-8")

    async def talk(edge: Hub, url: str) -> Ears:
        async with listening(url, **bearer(ADA)) as ada:
            await ada.socket.send(WRITTEN)
            assert (await ada.until("response.output_text.done"))["text"] == "Hello!"
            edge.signal()
            assert await ada.closed() == 1001
            return ada

    tokens = ("--tokens", tmp_path / "tokens")
    password = ("--user", "hub", "--pass", SECRET)
    with NatsServer(*password) as nats, FakeRealtimeServer(Script("Hello!")) as service:
        env = {"MINE": SECRET, "BUS": nats.url.replace("//", f"//hub:{SECRET}@")}
        upstream = ("--upstream", f"ws://127.0.0.1:{service.port}", "--key-env", "MINE")
        with (
            hub(*upstream, "--speak", *tokens, "--bus-env", "BUS", env=env) as first,
            hub("--bus-env", "BUS", *tokens, env=env) as edge,
        ):
            first.line("listening on ")
            url = edge.line("listening on ")
            assert url.endswith("/listen/NAME")
            ada = asyncio.run(talk(edge, url.replace("NAME", "main")))
    assert isinstance(read_notice(ada.heard[-1]), Ended)
    assert SECRET not in first.errors + edge.errors


def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "hub.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def talk(url: str) -> list[bytes]:
        async with listening(url, ssl=trusting) as ears:
            return ears.snapshot

    with FakeRealtimeServer() as service:
        upstream = ("--upstream", f"ws://127.0.0.1:{service.port}", "--key-env", "MINE")
        with hub(*upstream, "--tls-certificate", tmp_path / "hub.pem", env={"MINE": SECRET}) as process:
            url = process.line("listening on ")
            assert url.startswith("wss://127.0.0.1:")
            assert process.line("page: ").startswith("https://127.0.0.1:")
            assert asyncio.run(talk(url))


# What is told ---------------------------------------------------------------------------------


def said(*arguments: str | Path, code: int = 0, env: dict[str, str | None] | None = None) -> tuple[str, str]:
    """What it says and does not begin: standard output, and standard error without the usage."""
    result, plans = begun(*arguments, env=env)
    assert result.exit_code == code, result.output
    assert plans == []
    errors = [line for line in result.stderr.splitlines() if line and not line.startswith(("Usage:", "Try "))]
    return result.stdout, "\n".join(errors)


def begun(*arguments: str | Path, env: dict[str, str | None] | None = None) -> tuple[Result, list[Any]]:
    """What it says, and what it would run."""
    plans: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rtproto.cli.fanout._begin", lambda plan, _: plans.append(plan))
        patch.delenv("OPENAI_API_KEY", raising=False)
        result = CliRunner(env=env).invoke(cli, ["fanout", *map(str, arguments)])
    return result, plans


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ((), "/v1/realtime?model=gpt-realtime"),
        (("--model", "my model"), "/v1/realtime?model=my%20model"),
        (("--call-id", "rtc_1", "--session", "call"), "/v1/realtime?call_id=rtc_1"),
    ],
)
def test_what_the_service_is_asked_for(options: tuple[str, ...], target: str) -> None:
    result, (plan,) = begun("--upstream", "fake:", *options)
    assert result.exit_code == 0
    assert plan.opening.target == target


def test_what_holds_is_what_was_said(tmp_path: Path) -> None:
    queue = ("--max-queue-bytes", "1000", "--max-queue-ms", "250")
    _, (plan,) = begun("--upstream", "fake:", *queue, "--listen", "0.0.0.0:1", "--anyone")
    assert plan.bus.limits == Limits(max_queue_bytes=1000, max_queue_ms=250)
    assert plan.names == ["main"]
    _, (plan,) = begun("--upstream", "fake:", "--attach", "[::1]:0")
    assert (plan.names, plan.attach, plan.bus.limits) == ([], ("::1", 0), Limits())
    (tmp_path / "tokens").write_text(f"ada:{hash_token(ADA)} * listen", "utf-8")
    limits = ("--max-listeners", "2", "--max-listeners-per-token", "1")
    _, (plan,) = begun(
        "--upstream", "fake:", "--tokens", tmp_path / "tokens", *limits, "--listen", "0.0.0.0:1"
    )
    plan.rights.enter(ADA, None, "main")
    with pytest.raises(Refused) as full:
        plan.rights.enter(ADA, None, "main")
    assert full.value.status == 429
    _, (plan,) = begun("--upstream", "fake:", "--max-listeners", "1", "--origin", "https://app.example")
    plan.rights.enter(None, "https://app.example", "main")
    with pytest.raises(Refused) as full:
        plan.rights.enter(None, None, "main")
    assert full.value.status == 503


def test_the_help_tells_what_holds_if_nothing_is_said() -> None:
    limits = Limits()
    for option, default in (
        ("--max-queue-bytes", f"{limits.max_queue_bytes // 2**20} MiB"),
        ("--max-queue-ms", f"{limits.max_queue_ms:.0f}"),
    ):
        (parameter,) = (each for each in fanout.params if option in each.opts)
        assert f"[default: {default}]" in str(parameter.to_info_dict()["help"])


@pytest.mark.parametrize(
    ("options", "sessions", "right"),
    [
        ((), None, "listen"),
        (("--for", "main", "--for", "press", "--right", "speak"), frozenset({"main", "press"}), "speak"),
    ],
)
def test_a_new_token_is_a_line_of_the_file(
    tmp_path: Path, options: tuple[str, ...], sessions: frozenset[str] | None, right: str
) -> None:
    line, told = said("--new-token", "ada", *options)
    (tmp_path / "tokens").write_text(line, "utf-8")
    token = told.rpartition(" ")[2]
    grant = read_grants(tmp_path / "tokens")["ada"]
    assert (grant.digest, grant.sessions, grant.right) == (hash_token(token), sessions, right)
    assert token not in line


FAKE = ("--upstream", "fake:")
PASSWORD = f"nats://hub:{SECRET}@127.0.0.1"
WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "no key": (
        ("--upstream", "wss://api.openai.com"),
        f"{NO_KEY} in the environment: wss://api.openai.com needs a key, --upstream fake: none",
    ),
    "a key for a name": (
        ("--upstream", "wss://x.example", "--key-env", SECRET),
        "key_env must be the name of",
    ),
    "no key file": (
        ("--upstream", "wss://x.example", "--key-file", "none"),
        "upstream.key_file: No such file",
    ),
    "two keys": (
        ("--upstream", "wss://x.example", "--key-file", "x", "--key-env", "X"),
        "there is one place",
    ),
    "http": (("--upstream", "https://api.openai.com", "--key-env", "PATH"), "upstream: url must be ws://"),
    "a password": (("--upstream", f"wss://u:{SECRET}@x", "--key-env", "PATH"), "upstream: url must be ws://"),
    "no bus": (("--bus-env", "NO_SUCH"), "--bus-env: there is no such variable in the environment"),
    "a bus for a name": (("--bus-env", PASSWORD), "--bus-env: there is no such variable in the environment"),
    "a bus of another kind": (("--bus", "redis://127.0.0.1"), "--bus: the address of a bus is nats://"),
    "a session": ((*FAKE, "--session", "a b"), "--session: a session's name is of letters"),
    "a token's session": (("--new-token", "ada", "--for", "*"), "--for: a session's name is of letters"),
    "tokens": ((*FAKE, "--tokens", "none"), "--tokens: No such file"),
    "origin": ((*FAKE, "--origin", "null"), "origins must be SCHEME://HOST[:PORT]"),
    "certificate": ((*FAKE, "--tls-certificate", "none"), "listen.tls_certificate: No such"),
}
USAGE: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing": ((), "say where sessions come from: --upstream URL (fake: needs no key), or --bus URL"),
    "speaking without tokens": ((*FAKE, "--speak"), "--speak needs --tokens: --new-token NAME --right speak"),
    "everybody": (
        (*FAKE, "--listen", "0.0.0.0:0"),
        "--listen: other machines may listen: --tokens is needed",
    ),
    "everybody's client": ((*FAKE, "--attach", "[::]:0"), "--attach: other machines may use the key"),
    "a model of a call": ((*FAKE, "--model", "m", "--call-id", "rtc_1"), "--call-id: a call has its model"),
    "two of a call": (
        (*FAKE, "--call-id", "rtc_1", "--session", "a", "--session", "b"),
        "--call-id: a call is one --session",
    ),
    "a client's model": (
        (*FAKE, "--attach", "127.0.0.1:0", "--model", "m"),
        "--model and --call-id are of a",
    ),
    "a session of nobody's": (
        ("--bus", "nats://127.0.0.1", "--session", "main"),
        "--session needs --upstream",
    ),
    "a proxy to nowhere": (
        ("--bus", "nats://127.0.0.1", "--attach", "127.0.0.1:0"),
        "--attach needs --upstream",
    ),
    "a password for all to see": (("--bus", PASSWORD), "--bus: others can read the command line"),
    "speaking at an edge": (
        ("--bus", "nats://127.0.0.1", "--speak"),
        "--speak is for who has the --upstream",
    ),
    "two buses": (("--bus", "nats://127.0.0.1", "--bus-env", "BUS"), "there is one bus"),
    "a key without its certificate": ((*FAKE, "--tls-key", "x"), "--tls-key needs --tls-certificate"),
    "listeners of no token": ((*FAKE, "--max-listeners-per-token", "1"), "--max-listeners-per-token needs"),
    "a right of nobody": ((*FAKE, "--right", "speak"), "--right needs --new-token"),
    "a name": (("--new-token", "a b"), "--new-token: a name is of letters"),
    "a key": ((*FAKE, "--key", SECRET), "No such option"),
    "a port": ((*FAKE, "--listen", "x"), "Invalid value for '--listen'"),
    "drain": ((*FAKE, "--drain", "-1"), "Invalid value for '--drain'"),
}


@pytest.mark.parametrize(
    ("code", "arguments", "told"),
    [*((1, *wrong) for wrong in WRONG.values()), *((2, *wrong) for wrong in USAGE.values())],
    ids=[*WRONG, *USAGE],
)
def test_what_cannot_be_is_told_in_a_line(code: int, arguments: tuple[str, ...], told: str) -> None:
    out, errors = said(*arguments, code=code)
    assert out == ""
    assert errors.startswith(f"Error: {told}")
    assert "\n" not in errors
    assert SECRET not in errors


def test_tokens_that_no_client_could_come_in_with(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(
        f"eve:{hash_token(EVE)} main speak\ntv:{hash_token(TV)} * listen", "utf-8"
    )
    arguments = ("--tokens", tmp_path / "tokens", "--attach", "127.0.0.1:0")
    assert said(*FAKE, *arguments, code=1)[1].startswith("Error: --attach: no token may speak in any session")


@pytest.mark.parametrize(
    ("missing", "extra", "options"),
    [
        ("picows", "services", FAKE),
        ("prometheus_client", "services", FAKE),
        ("nats", "nats", ("--bus", "nats://127.0.0.1")),
    ],
)
def test_a_missing_extra_is_named(tmp_path: Path, missing: str, extra: str, options: tuple[str, ...]) -> None:
    process = Hub(*options, env=without(tmp_path, missing))
    assert process.end() == 1
    assert process.errors == f"Error: this needs an extra: pip install 'rtproto[{extra}]'\n"
    assert process.lines.empty()


def test_an_address_that_cannot_be_had() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        for options in (("--listen", taken), ("--listen", "127.0.0.1:0", "--attach", taken)):
            process = Hub(*FAKE, *options)
            assert process.end() == 1
            assert process.errors.splitlines()[-1].startswith("Error: cannot listen: ")
            assert process.lines.empty()
