"""With workers it is one proxy still: one port, one page of metrics, one end; and it outlives any of them."""

import asyncio
import json
import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import websockets
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.test_proxy import MODEL, SECONDS, Process
from tests.testing.talk import Client, connected

pytestmark = pytest.mark.skipif(
    not (hasattr(socket, "SO_REUSEPORT") and Path("/proc/self/stat").exists()),
    reason="ports cannot be shared, or processes not be listed",
)
MANY = 16  # that one of two workers gets all of them happens once in 2¹⁵ times


@contextmanager
def workers(*arguments: str) -> Iterator[Process]:
    """Two of them, and where their metrics are."""
    given = ("--workers", "2", "--upstream", "fake:", "--metrics-listen", "127.0.0.1:0", *arguments)
    process = Process("--listen", "127.0.0.1:0", *given)
    try:
        process.metrics = process.line("metrics on ")
        yield process.opened()
    finally:
        if process.process.poll() is None:
            process.process.kill()
            process.end()


def asked(process: Process, path: str) -> tuple[int, str]:
    """The status and the body of a page beside the proxy."""
    url = process.metrics.replace("/metrics", path)
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 - of ours
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def scraped(process: Process) -> dict[str, dict[tuple[str, ...], float]]:
    """Every sample, by name and labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(asked(process, "/metrics")[1]):
        for sample in family.samples:
            found.setdefault(sample.name, {})[*sample.labels.values(),] = sample.value
    return found


def children(process: Process) -> list[int]:
    """The processes that it has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text("utf-8").rpartition(")")[2].split()[:2]
        except OSError:  # it has ended
            continue
        if int(parent) == process.process.pid and state != "Z":
            found.append(int(path.parent.name))
    return found


async def eventually(is_so: Callable[[], bool]) -> None:
    """Wait until it is so; reports come twice a second."""
    async with asyncio.timeout(SECONDS):
        while not await asyncio.to_thread(is_so):  # noqa: ASYNC110 - of other processes there is no event
            await asyncio.sleep(0.02)


async def until(process: Process, name: str, value: float, *labels: str) -> None:
    await eventually(lambda: scraped(process).get(name, {}).get(labels) == value)


async def until_health(process: Process, status: int) -> None:
    await eventually(lambda: asked(process, "/healthz")[0] == status)


async def nobody_comes(process: Process) -> None:
    async with asyncio.timeout(SECONDS):
        with suppress(OSError, websockets.InvalidHandshake):
            while True:  # until both have heard that it is the end
                async with connected(process.url + MODEL):
                    pass


@asynccontextmanager
async def sessions(process: Process, count: int) -> AsyncIterator[list[Client]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connected(process.url + MODEL)) for _ in range(count)]


WRITTEN: dict[str, Any] = {"type": "response.create", "response": {"output_modalities": ["text"]}}


def test_sessions_of_all_workers_are_counted_together_and_outlive_the_death_of_one() -> None:
    async def talk(process: Process) -> None:
        async with sessions(process, MANY) as clients:
            for client in clients:
                await client.send(WRITTEN)
                await client.until("response.done")
            await until(process, "rtproto_sessions_open", MANY)
            await until(process, "rtproto_frames_total", MANY, "client", "response.create")
            await until(process, "rtproto_frames_total", MANY, "server", "rate_limits.updated")  # the last
            before = scraped(process)
            assert before["rtproto_sessions_total"] == {(): MANY}
            one, _ = children(process)
            os.kill(one, signal.SIGKILL)
            await until_health(process, 503)
            await until_health(process, 200)
            now = scraped(process)
            assert 0 < now["rtproto_sessions_open"][()] < MANY  # both had some
            for name, values in before.items():
                if name.endswith(("_total", "_count", "_bucket")):
                    assert all(now[name][labels] >= value for labels, value in values.items())
            assert now["rtproto_frames_total"] == before["rtproto_frames_total"]
        assert len(children(process)) == 2
        async with connected(process.url + MODEL) as client:
            await client.send(WRITTEN)
            await client.until("response.done")
            await until(process, "rtproto_sessions_total", MANY + 1)

    with workers("--drain", "0") as process:
        asyncio.run(talk(process))
        process.signal()
        assert process.end() == 0
    events = [line["event"] for line in process.logged]
    assert events.count("worker started") == 3
    assert events.count("worker died") == 1
    assert events.count("worker ended") == 2


def test_all_of_them_drain_and_who_is_still_there_is_told() -> None:
    async def talk(process: Process) -> None:
        async with sessions(process, MANY) as clients:
            await until(process, "rtproto_sessions_open", MANY)
            process.signal()
            await until_health(process, 503)
            await clients[0].send(WRITTEN)  # a session goes on
            await clients[0].until("response.done")
            await nobody_comes(process)
            for client in clients:
                assert await client.closed() == (1001, "going away")

    with workers("--drain", "2") as process:
        asyncio.run(talk(process))
        assert process.end() == 0
    ended = [line for line in process.logged if line["event"] == "worker ended"]
    assert [line["code"] for line in ended] == [0, 0]


def test_a_second_signal_ends_the_drain_of_all() -> None:
    async def talk(process: Process) -> None:
        async with sessions(process, 4) as clients:
            process.signal()
            await until_health(process, 503)
            process.signal()
            for client in clients:
                assert await client.closed() == (1001, "going away")

    with workers("--drain", "600") as process:
        asyncio.run(talk(process))
        assert process.end() == 0


def test_the_room_is_divided() -> None:
    async def talk(process: Process) -> None:
        async with AsyncExitStack() as stack:
            for _ in range(40):
                with suppress(websockets.InvalidStatus):
                    await stack.enter_async_context(connected(process.url + MODEL))
            await until(process, "rtproto_refused_total", 37, "503")
            await until(process, "rtproto_sessions_open", 3)

    with workers("--drain", "0", "--max-sessions", "3") as process:
        asyncio.run(talk(process))
        process.signal()
        assert process.end() == 0


def test_when_it_is_killed_nothing_is_left_of_it() -> None:
    async def talk(process: Process) -> list[int]:
        async with sessions(process, 4) as clients:
            left = children(process)
            process.signal(signal.SIGKILL)
            for client in clients:
                assert (await client.closed())[0] == 1001
            return left

    with workers("--drain", "0.1") as process:
        left = asyncio.run(talk(process))
        assert len(left) == 2
        assert process.end() == -signal.SIGKILL  # its pipes are at their end: nobody has them any more
        with pytest.raises(urllib.error.URLError):
            asked(process, "/healthz")


def test_what_runs_tells_no_key_in_the_list_of_processes() -> None:
    with workers("--drain", "0") as process:
        for pid in children(process):
            said = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            assert b"proxy" in said
            told = dict(
                pair.split(b"=", 1) for pair in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if pair
            )
            assert {*json.loads(told[b"RTPROTO_WORKER"])} == {"fd", "number", "count", "port"}
        process.signal()
        assert process.end() == 0


def test_a_port_that_is_taken_is_told_in_a_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        process = Process(
            "--listen", f"127.0.0.1:{other.getsockname()[1]}", "--workers", "2", "--upstream", "fake:"
        )
        assert process.end() == 1
    assert process.errors == "Error: cannot listen: Address already in use\n"
