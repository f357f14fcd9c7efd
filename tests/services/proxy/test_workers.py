"""Workers come and go, and are killed; what they counted stays, and nothing is left of them in the end."""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtproto._sockets import new_loop
from rtproto.services.proxy.counts import Snapshot
from rtproto.services.proxy.workers import Fleet, Post, Report, Workers, reporting

pytestmark = pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="ports cannot be shared")

SECONDS = 20
LOOPS = (asyncio.new_event_loop, new_loop)

# The books ------------------------------------------------------------------------------------


def report(sessions: int = 0, sessions_open: int = 0, *, is_ready: bool = True) -> Report:
    return Report(counts=Snapshot(sessions=sessions, sessions_open=sessions_open), is_ready=is_ready)


def test_what_the_dead_counted_stays_and_their_sessions_are_gone() -> None:
    fleet = Fleet(2)
    for number in (0, 1):
        fleet.began(number, 0)
        fleet.heard(number, report(10 + number, 3), 1)
    assert (fleet.total().sessions, fleet.total().sessions_open) == (21, 6)
    fleet.died(0, 2)
    assert (fleet.total().sessions, fleet.total().sessions_open) == (21, 3)
    fleet.began(0, 3)
    assert fleet.total().sessions == 21
    fleet.heard(0, report(1, 1), 4)
    assert (fleet.total().sessions, fleet.total().sessions_open) == (22, 4)
    fleet.died(0, 5)
    fleet.died(1, 5)
    assert (fleet.total().sessions, fleet.total().sessions_open) == (22, 0)


def test_a_report_is_what_a_worker_counted_since_it_began_and_not_what_came_since_the_last() -> None:
    fleet = Fleet(1)
    fleet.began(0, 0)
    for sessions in (1, 2, 2, 5):
        fleet.heard(0, report(sessions), 1)
        assert fleet.total().sessions == sessions


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["hear", "die"]), st.integers(0, 9)), max_size=40
)


@given(STEPS)
def test_no_counter_goes_back_and_nothing_reported_is_lost(steps: list[tuple[int, str, int]]) -> None:
    fleet, counted, dead = Fleet(3), [0, 0, 0], 0
    reported = [0, 0, 0]
    for number in range(3):
        fleet.began(number, 0)
    before = 0
    for number, what, sessions in steps:
        if what == "hear":
            counted[number] += sessions
            reported[number] = counted[number]
            fleet.heard(number, report(counted[number], 1), 0)
        else:
            fleet.died(number, 0)
            dead += reported[number]
            counted[number] = reported[number] = 0
            fleet.began(number, 0)
        total = fleet.total().sessions
        assert total == dead + sum(reported) >= before
        before = total


def test_they_are_ready_when_every_one_of_them_is() -> None:
    fleet = Fleet(2)
    assert not fleet.is_ready(0)
    fleet.began(0, 0)
    fleet.heard(0, report(), 0)
    assert not fleet.is_ready(0)
    fleet.began(1, 0)
    assert not fleet.is_ready(0)
    fleet.heard(1, report(is_ready=False), 0)
    assert not fleet.is_ready(0)
    fleet.heard(1, report(), 0)
    assert fleet.is_ready(0)
    fleet.died(0, 1)
    assert not fleet.is_ready(1)
    fleet.began(0, 2)
    assert not fleet.is_ready(2)
    fleet.heard(0, report(), 3)
    assert fleet.is_ready(3)


def test_a_worker_that_falls_silent_is_not_ready() -> None:
    fleet = Fleet(2)
    for number in (0, 1):
        fleet.began(number, 0)
        fleet.heard(number, report(), number)
    assert fleet.is_ready(9.9)
    assert not fleet.is_ready(10)
    fleet.heard(0, report(), 10)
    assert fleet.is_ready(10)


def test_who_dies_again_and_again_waits_longer_and_not_for_ever() -> None:
    fleet, now = Fleet(2), 0.0
    fleet.began(1, 0)
    waits = []
    for _ in range(2000):  # 2.0**1024 is too much for a float
        fleet.began(0, now)
        waits.append(fleet.died(0, now + 59))
        now += 59
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert max(waits) == waits[-1] == pytest.approx(12.8)
    assert fleet.died(1, 1) == 0.1  # each for itself
    fleet.began(0, 0)
    assert fleet.died(0, 60) == 0.1  # it lived long enough


@given(st.integers(1, 50), st.integers(0, 5000))
def test_the_parts_of_a_limit_are_the_limit(count: int, more: int) -> None:
    limit = count + more
    parts = [Post(fd=3, number=number, count=count, port=1).share(limit) for number in range(count)]
    assert sum(parts) == limit
    assert max(parts) - min(parts) <= 1
    with pytest.raises(ValueError, match=f"{count - 1} cannot be divided among {count} workers"):
        Post(fd=3, number=0, count=count, port=1).share(count - 1)


def test_a_post_is_had_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Post.taken() is None
    monkeypatch.setenv("RTPROTO_WORKER", '{"fd":7,"number":1,"count":2,"port":8080}')
    assert Post.taken() == Post(fd=7, number=1, count=2, port=8080)
    assert Post.taken() is None  # nor is it for any process that this one starts


# Processes ------------------------------------------------------------------------------------

WORKER = """
import asyncio, os, signal, socket, sys, time
from rtproto.services.proxy.counts import Counts
from rtproto.services.proxy.workers import Post, reporting

how, post, counts = sys.argv[1], Post.taken(), Counts()

async def main():
    stops, stop, clients = [], asyncio.Event(), set()

    def told():
        counts.sessions += how == "slow"
        stops.append(None)
        if how != "slow" or len(stops) == 2:
            stop.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told)

    async def serve(reader, writer):
        clients.add(writer)
        counts.sessions += 1
        counts.sessions_open += 1
        writer.write(b"%d %d\\n" % (post.number, os.getpid()))
        await reader.read()
        counts.sessions_open -= 1
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", post.port, reuse_port=True)
    async with server, reporting(post, counts.snapshot, lambda: not stops, stop.set):
        await stop.wait()
        server.close()
        for client in clients:
            client.close()
            await asyncio.wait([asyncio.ensure_future(client.wait_closed())])
        counts.stalled += 1  # what happens at the very end counts, too

if how == "crash":
    sys.exit(3)
if how in ("stubborn", "unprepared", "hangup", "half", "babble"):
    if how != "unprepared":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.socket(fileno=post.fd) as line:
        if how == "babble":
            line.sendall(b'{"counts":\\n')
        if how == "half":
            line.sendall(b'{"counts":')
        if how in ("stubborn", "unprepared"):
            line.sendall(b'{"counts":{"sessions":1},"is_ready":true}\\n')
        if how not in ("hangup", "half"):
            time.sleep(60)
    time.sleep(60)
asyncio.run(main())
"""


def command(how: str = "well") -> list[str]:
    return [sys.executable, "-X", "dev", "-W", "error", "-c", WORKER, how]


def in_every_loop(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(SECONDS):
            await work()

    for loop in LOOPS:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(bounded())


@asynccontextmanager
async def at_work(count: int = 2, how: str = "well", **options: Any) -> AsyncIterator[Workers]:
    async with Workers(count, command(how), **options) as workers:
        await workers.ready()
        yield workers


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not is_so():  # noqa: ASYNC110 - of other processes there is no event
            await asyncio.sleep(0.01)


class Client:
    """A session with whichever worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, told: bytes) -> None:
        self.reader, self.writer = reader, writer
        self.number, self.pid = map(int, told.split())

    @classmethod
    async def of(cls, port: int) -> "Client":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        return cls(reader, writer, await reader.readline())

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


async def clients_of_each(workers: Workers) -> dict[int, Client]:
    """A client of every worker, and no other."""
    found: dict[int, Client] = {}
    while len(found) < workers.fleet.count:  # it is the system that chooses
        client = await Client.of(workers.port)
        if client.number in found:
            await client.close()
        else:
            found[client.number] = client
    return found


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()]) if Path("/proc/self/fd").exists() else 0


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    return [
        (record.getMessage(), record.__dict__["fields"])
        for record in caplog.records
        if record.name.startswith("rtproto")
    ]


def test_workers_share_a_port_and_their_parent_adds_up() -> None:
    async def work() -> None:
        before = open_files()
        async with at_work() as workers:
            clients = await clients_of_each(workers)
            assert {*clients} == {0, 1}
            await until(lambda: workers.snapshot().sessions_open == 2)
            sessions = workers.snapshot().sessions
            assert sessions >= 2
            for client in clients.values():
                assert os.getsid(client.pid) != os.getsid(0)  # control-C is for the parent
                await client.close()
            await until(lambda: workers.snapshot().sessions_open == 0)
            assert workers.snapshot().sessions == sessions
        assert workers.is_clean
        assert not workers.is_ready
        assert workers.snapshot().stalled == 2  # the last reports, too
        assert open_files() <= before + 1  # a loop may keep one of its own

    in_every_loop(work)


def test_who_is_killed_is_replaced_and_what_it_counted_stays() -> None:
    async def work() -> None:
        async with at_work() as workers:
            clients = await clients_of_each(workers)
            await until(lambda: workers.snapshot().sessions_open == 2)
            before = workers.snapshot()
            os.kill(clients[0].pid, signal.SIGKILL)
            await until(lambda: not workers.is_ready)
            assert workers.snapshot() == before + Snapshot(sessions_open=-1)
            await workers.ready()
            assert workers.snapshot().sessions >= before.sessions
            later = await clients_of_each(workers)
            assert later[0].pid != clients[0].pid
            assert later[1].pid == clients[1].pid
            await until(lambda: workers.snapshot().sessions >= before.sessions + 2)
            for client in (*clients.values(), *later.values()):
                await client.close()
        assert workers.is_clean  # to be killed by somebody else is another matter

    in_every_loop(work)


def test_who_ends_unasked_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with at_work(1) as workers:
            client = await Client.of(workers.port)
            os.kill(client.pid, signal.SIGTERM)
            await until(lambda: not workers.is_ready)
            await workers.ready()
            again = await Client.of(workers.port)
            assert again.pid != client.pid
            await client.close()
            await again.close()

    in_every_loop(work)
    assert [fields["code"] for event, fields in events(caplog) if event == "worker died"] == [0, 0]


def test_who_does_not_stop_is_killed_in_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with at_work(2, "stubborn", drain_seconds=0.1, grace_seconds=0.1) as workers:
            assert workers.snapshot().sessions == 2
        assert not workers.is_clean
        assert workers.snapshot().sessions == 2

    in_every_loop(work)
    assert ("workers killed", {"workers": 2}) in events(caplog)


def test_who_does_not_listen_to_signals_does_not_end_well() -> None:
    async def work() -> None:
        async with at_work(1, "unprepared") as workers:
            pass
        assert not workers.is_clean

    in_every_loop(work)


def test_who_dies_at_once_is_started_again_and_not_at_once(caplog: pytest.LogCaptureFixture) -> None:
    def deaths() -> list[Any]:
        return [fields for event, fields in events(caplog) if event == "worker died"]

    async def work() -> None:
        caplog.clear()
        async with Workers(1, command("crash")) as workers:
            await until(lambda: len(deaths()) == 3)
            assert not workers.is_ready
        assert [fields["restart_in"] for fields in deaths()] == [0.1, 0.2, 0.4]
        assert {fields["code"] for fields in deaths()} == {3}
        assert workers.is_clean  # there was none to be told to stop

    in_every_loop(work)


@pytest.mark.parametrize("how", ["hangup", "half", "babble"])
def test_who_says_no_more_is_killed_and_replaced(how: str, caplog: pytest.LogCaptureFixture) -> None:
    def deaths() -> list[Any]:
        return [fields for event, fields in events(caplog) if event == "worker died"]

    async def work() -> None:
        caplog.clear()
        async with Workers(1, command(how), grace_seconds=0.1) as workers:
            await until(lambda: len(deaths()) == 1)
            assert workers.snapshot().sessions == 0
        assert deaths()[0]["code"] == -signal.SIGKILL
        not_understood = [event for event, _ in events(caplog) if event == "worker not understood"]
        assert bool(not_understood) is (how == "babble")

    in_every_loop(work)


def test_a_command_that_there_is_not_is_told(caplog: pytest.LogCaptureFixture) -> None:
    def deaths() -> list[Any]:
        return [fields for event, fields in events(caplog) if event == "worker died"]

    async def work() -> None:
        caplog.clear()
        async with Workers(1, ["/nowhere/python"]):
            await until(lambda: len(deaths()) == 2)
        assert deaths()[0] == {"worker": 0, "error": "No such file or directory", "restart_in": 0.1}

    in_every_loop(work)


def test_to_stop_before_they_have_begun_is_clean() -> None:
    async def work() -> None:
        for turns in range(6):  # of the event loop: it may be in the midst of starting them
            async with Workers(2, command(), drain_seconds=60) as workers:
                for _ in range(turns):
                    await asyncio.sleep(0)
            assert workers.is_clean
        async with Workers(2, command()) as workers:
            await asyncio.sleep(0.05)  # they are, and do not listen to signals yet
        assert workers.is_clean

    in_every_loop(work)


def test_a_port_that_another_has_is_told_before_anything_starts(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as other, pytest.raises(OSError, match="in use"):
            await Workers(1, command(), port=other.getsockname()[1]).__aenter__()

    in_every_loop(work)
    assert events(caplog) == []


def test_the_port_is_free_in_the_end() -> None:
    async def work() -> None:
        async with at_work(1) as workers:
            with pytest.raises(OSError, match="in use"):
                socket.create_server(("127.0.0.1", workers.port)).close()
        socket.create_server(("127.0.0.1", workers.port)).close()

    in_every_loop(work)


def test_who_is_told_twice_to_stop_does_not_drain(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        workers = Workers(2, command("slow"), drain_seconds=60)
        await workers.__aenter__()
        await workers.ready()
        leaving = asyncio.create_task(workers.__aexit__())
        await asyncio.sleep(0)
        assert not workers.is_ready  # before they say so themselves
        await until(lambda: workers.snapshot().sessions == 2)  # both have heard it once
        leaving.cancel()
        await asyncio.wait([leaving])
        assert leaving.cancelled()
        assert workers.is_clean
        assert workers.snapshot().sessions == 4

    in_every_loop(work)


# The parent as a process ----------------------------------------------------------------------

PARENT = """
import asyncio, json, signal, sys
from rtproto._sockets import new_loop
from rtproto.services.proxy.workers import Workers

async def main():
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Workers(2, json.loads(sys.argv[1]), drain_seconds=5) as workers:
        await workers.ready()
        print(workers.port, flush=True)
        await stop.wait()
    return workers.is_clean

with asyncio.Runner(loop_factory=new_loop) as runner:
    sys.exit(0 if runner.run(main()) else 1)
"""


@pytest.fixture
def parent() -> Any:
    arguments = [sys.executable, "-X", "dev", "-W", "error", "-c", PARENT, json.dumps(command())]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate(timeout=SECONDS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_when_the_parent_goes_its_workers_go(
    parent: "subprocess.Popen[bytes]", number: signal.Signals
) -> None:
    assert parent.stdout is not None
    port = int(parent.stdout.readline())

    async def work() -> None:
        client = await Client.of(port)
        parent.send_signal(number)
        assert await client.reader.read() == b""
        await client.close()

    asyncio.run(work())
    _, errors = parent.communicate(timeout=SECONDS)  # ends when the last that has inherited it is gone
    assert parent.returncode == (-number if number == signal.SIGKILL else 0)
    assert errors == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()


# A worker's end of the line -------------------------------------------------------------------


class Line:
    """The parent's end of a line, and what it reads there."""

    def __init__(self) -> None:
        self.ours, its = socket.socketpair()
        self.post = Post(fd=its.detach(), number=0, count=1, port=1)

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_unix_connection(sock=self.ours)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def read(self) -> Report:
        return msgspec.json.decode(await self.reader.readline(), type=Report)


def test_a_worker_reports_what_there_is_at_once_then_now_and_then_and_at_the_end() -> None:
    async def work() -> None:
        now, is_ready, stop = Snapshot(), False, asyncio.Event()
        async with Line() as line:
            async with reporting(line.post, lambda: now, lambda: is_ready, stop.set):
                assert await line.read() == Report(counts=now, is_ready=False)
                now, is_ready = Snapshot(sessions=5), True
                assert await line.read() == Report(counts=now, is_ready=True)
                now = Snapshot(sessions=6)
            assert (await line.read()).counts == now
            assert await line.reader.read() == b""
            assert not stop.is_set()

    in_every_loop(work)


def test_a_worker_whose_parent_is_gone_is_told_to_stop() -> None:
    async def work() -> None:
        stop = asyncio.Event()
        async with Line() as line, reporting(line.post, Snapshot, bool, stop.set):
            line.writer.close()
            await stop.wait()

    in_every_loop(work)


def test_a_parent_that_does_not_read_holds_nobody_up() -> None:
    async def work() -> None:
        much = Snapshot(tokens={str(number): number for number in range(100_000)})
        stop = asyncio.Event()
        line = Line()
        with closing(line.ours):
            async with asyncio.timeout(5), reporting(line.post, lambda: much, bool, stop.set):
                await asyncio.sleep(0.1)
        assert not stop.is_set()

    in_every_loop(work)


def test_what_raises_inside_gets_out() -> None:
    async def work() -> None:
        async with Line() as line:
            with pytest.raises(KeyError):
                async with reporting(line.post, Snapshot, bool, logging.shutdown):
                    raise KeyError
            assert (await line.read()).counts == Snapshot()

    in_every_loop(work)
