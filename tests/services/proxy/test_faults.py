"""Whatever goes wrong in one session, the others lose nothing."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import websockets

import rtproto
from rtproto.services.proxy import ALL, Admission, Limits, Policy, Proxy, Upstream
from rtproto.services.proxy.admission import hash_token
from rtproto.services.proxy.recorder import Recorder
from tests.wire import (
    BINARY,
    CLOSE,
    MORE,
    PING,
    SECONDS,
    TEXT,
    Frame,
    Raw,
    Service,
    answer,
    asking,
    closing,
    frame,
    raw,
    said,
    switching,
)

BYSTANDERS = 3
MIB = 2**20


def down(number: int, size: int = 0) -> bytes:
    """What the service says."""
    return b'{"type":"response.output_text.delta","event_id":"event_%d","delta":"%b"}' % (number, b"x" * size)


def up(number: int, size: int = 0) -> bytes:
    """What the client says."""
    return b'{"type":"input_audio_buffer.append","event_id":"%d","audio":"%b"}' % (number, b"A" * size)


def number_of(data: bytes | str) -> int:
    return int(json.loads(data)["event_id"].rpartition("_")[2])


class World:
    """A service, a proxy, and sessions at work that must not notice what happens to another."""

    def __init__(self, proxy: Proxy, service: Service) -> None:
        self.proxy = proxy
        self.service = service
        self.failed = asyncio.Event()
        self.numbers: dict[str, list[int]] = {"up": [], "down": []}


async def _counting(end: Raw) -> None:
    """The service of a bystander: counts down its own numbers, sends back the numbers it heard."""
    for number in range(10_000):
        await end.send(said(TEXT, down(number, 100)), said(TEXT, (await end.next()).data))


async def _bystand(url: str, stop: asyncio.Event) -> int:
    """Sends numbers and gets them back, beside the service's own, all in order, until told to stop."""
    number = 0
    options = {"additional_headers": {"Authorization": "Bearer good"}}
    async with websockets.connect(f"{url}?model=bystander", **options) as socket:
        while not stop.is_set() or number < 20:
            await socket.send(up(number, 100).decode())
            for make in (down, up):
                async with asyncio.timeout(SECONDS):
                    assert await socket.recv(decode=False) == make(number, 100)
            number += 1
    return number


@asynccontextmanager
async def world(
    handler: Callable[[Raw], Awaitable[None]] = _counting, *policies: Policy, **options: Any
) -> AsyncIterator[World]:
    """A proxy with bystanders; on leaving, each of them has seen every number."""
    stop = asyncio.Event()
    async with (
        asyncio.timeout(3 * SECONDS),
        Service(m=handler, bystander=_counting) as service,
        Proxy(Upstream(url=service.url, key="sk-ours"), policies, **options) as proxy,
    ):
        others = [asyncio.create_task(_bystand(proxy.url, stop)) for _ in range(BYSTANDERS)]
        try:
            yield World(proxy, service)
        finally:
            stop.set()
            counts = await asyncio.gather(*others)
        assert min(counts) >= 20


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not is_so():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)


# The service ----------------------------------------------------------------------------------


def test_the_service_dies_in_the_midst_of_a_frame() -> None:
    async def dies(end: Raw) -> None:
        whole, broken = said(TEXT, down(0)), said(TEXT, down(1, 5000))
        await end.send(whole, broken[:-100])
        await asyncio.sleep(0.05)
        end.abort()

    async def run() -> None:
        async with world(dies) as there, raw(there.proxy.port) as client:
            assert (await client.next()).data == down(0)
            assert await client.closed() == (1011, "upstream connection lost")
            await until(lambda: there.proxy.counts.closes["1011"] == 1)

    asyncio.run(run())


@pytest.mark.parametrize(
    "fault",
    [
        said(TEXT | 0x40, b"compressed"),
        said(MORE, b"of what?"),
        said(3, b"?"),
        frame(TEXT, b"masked"),
        said(TEXT, b"x", fin=False) + said(TEXT, b"y"),
    ],
    ids=["compressed", "a continuation of nothing", "an unknown kind", "a mask", "a message in a message"],
)
def test_the_service_breaks_the_protocol(fault: bytes) -> None:
    codes: list[tuple[int, str]] = []

    async def breaks(end: Raw) -> None:
        await end.send(said(TEXT, down(0)))
        await asyncio.sleep(0.05)  # what picows reads with the fault it does not hand over
        await end.send(fault)
        codes.append(await end.closed())

    async def run() -> None:
        async with world(breaks) as there, raw(there.proxy.port) as client:
            assert (await client.next()).data == down(0)
            assert await client.closed() == (1011, "upstream protocol error")

    asyncio.run(run())
    assert codes[0][0] == 1002


def test_the_service_is_flooded_and_does_not_read() -> None:
    async def is_deaf(end: Raw) -> None:
        await asyncio.sleep(1.5)

    async def run() -> None:
        limits = Limits(stall_seconds=0.3)
        async with world(is_deaf, limits=limits) as there, raw(there.proxy.port) as client:
            flood = asyncio.create_task(_flood(client, up))
            assert await client.closed() == (1013, "upstream does not read")
            flood.cancel()
            await until(lambda: there.proxy.counts.closes["1013"] == 1)
            assert there.proxy.counts.stalled == 1
            assert there.proxy.counts.backpressure_seconds["upstream"] > 0.2

    asyncio.run(run())


async def _flood(end: Raw, make: Callable[[int, int], bytes]) -> None:
    number = 0
    while True:
        await end.send(frame(TEXT, make(number, 100_000)))
        number += 1


# The client -----------------------------------------------------------------------------------


def test_the_client_vanishes_without_a_close() -> None:
    ends: list[tuple[int, str]] = []

    async def service(end: Raw) -> None:
        await end.send(said(TEXT, down(0)))
        ends.append(await end.closed())

    async def by_reset(client: Raw) -> None:
        client.abort()

    async def by_eof(client: Raw) -> None:
        client.writer.write_eof()

    async def amid_a_frame(client: Raw) -> None:
        await client.send(frame(TEXT, up(0, 1000))[:-1])
        client.abort()

    async def run() -> None:
        for vanish in (by_reset, by_eof, amid_a_frame):
            async with world(service) as there, raw(there.proxy.port) as client:
                assert (await client.next()).data == down(0)
                await vanish(client)
                await until(lambda: there.proxy.counts.closes["1006"] == 1)

    asyncio.run(run())
    assert ends == [(1001, "client went away")] * 3


def test_a_stalled_client_holds_the_service_back_and_is_closed() -> None:
    """What waits for it is bounded: the service is not read any further."""
    sent = 0

    async def floods(end: Raw) -> None:
        nonlocal sent
        for number in range(400):
            await end.send(said(TEXT, down(number, 100_000)))
            sent = number

    async def run() -> None:
        limits = Limits(stall_seconds=0.5)
        async with world(floods, limits=limits) as there:
            request = asking()
            reader, writer = await asyncio.open_connection("127.0.0.1", there.proxy.port, limit=1024)
            writer.write(request)  # and never read
            await until(lambda: there.proxy.counts.stalled == 1)
            assert sent < 399
            await until(lambda: there.proxy.counts.closes["1013"] == 1)
            assert 0.4 < there.proxy.counts.backpressure_seconds["client"] < 5
            writer.transport.abort()
            del reader

    asyncio.run(run())


def test_a_slow_client_loses_nothing() -> None:
    many = 300

    async def service(end: Raw) -> None:
        for number in range(many):
            await end.send(said(TEXT, down(number, 50_000)))
        await end.send(said(CLOSE, closing(1000)))

    async def run() -> None:
        async with world(service, limits=Limits(stall_seconds=5)) as there, raw(there.proxy.port) as client:
            for number in range(many):
                if number % 30 == 0:
                    await asyncio.sleep(0.02)
                assert (await client.next()).data == down(number, 50_000)
            assert await client.closed() == (1000, "")
            assert there.proxy.counts.backpressure_seconds["client"] > 0

    asyncio.run(run())


def test_what_waits_for_a_client_that_does_not_read_is_bounded_whatever_a_policy_sends() -> None:
    class Talkative(Policy):
        client_types = ALL

        def on_client_frame(self, session: Any, frame: Any) -> Any:
            for _ in range(100):
                session.send_to_client(frame)
            return frame

    async def listens(end: Raw) -> None:
        while True:
            await end.next()

    async def run() -> None:
        limits = Limits(max_session_bytes=2 * MIB, stall_seconds=SECONDS)
        async with (
            Service(m=listens) as service,
            Proxy(Upstream(url=service.url, key="k"), [Talkative()], limits=limits) as proxy,
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=1024)
            writer.write(asking() + frame(TEXT, up(0, 100_000)))
            await until(lambda: proxy.counts.closes["1013"] == 1)
            writer.transport.abort()
            del reader

    asyncio.run(run())


@pytest.mark.parametrize("is_cut", [False, True], ids=["in one frame", "in fragments"])
def test_a_message_of_20_mib_is_too_big(is_cut: bool) -> None:
    ends: list[tuple[int, str]] = []

    async def service(end: Raw) -> None:
        assert (await end.next()).data == up(0)
        ends.append(await end.closed())

    async def run() -> None:
        big = up(1, 20 * MIB)
        pieces = [
            frame(MORE if at else TEXT, big[at : at + MIB], fin=False, mask=bytes(4))
            for at in range(0, len(big), MIB)
        ]
        async with world(service) as there, raw(there.proxy.port) as client:
            await client.send(frame(TEXT, up(0)))
            await asyncio.sleep(0.05)
            writing = asyncio.create_task(
                client.send(*(pieces if is_cut else [frame(TEXT, big, mask=bytes(4))]))
            )
            code, _ = await client.closed()
            assert code in (1009, 1006)  # a reset may overtake the close while the client still writes
            await asyncio.wait([writing])
            await until(lambda: there.proxy.counts.closes["1009"] == 1)

    asyncio.run(run())
    assert ends == [(1001, "client went away")]


def test_a_message_just_below_the_limit_passes_both_ways() -> None:
    async def echoes(end: Raw) -> None:
        await end.send(said(TEXT, (await end.next()).data))
        await end.closed()

    async def run() -> None:
        big = up(1, 16 * MIB - 100)
        async with world(echoes) as there, raw(there.proxy.port) as client:
            await client.send(frame(TEXT, big, mask=bytes(4)))
            assert (await client.next()).data == big
            await client.send(frame(CLOSE, closing(1000)))
            assert await client.closed() == (1000, "")

    asyncio.run(run())


def test_text_that_is_no_utf_8_ends_with_1007() -> None:
    ends: list[tuple[int, str]] = []

    async def service(end: Raw) -> None:
        assert [await end.next() for _ in range(2)] == [Frame(PING, b""), Frame(TEXT, "ü".encode())]
        ends.append(await end.closed())

    async def run() -> None:
        async with world(service) as there, raw(there.proxy.port) as client:
            await client.send(frame(TEXT, b"\xc3", fin=False), frame(PING), frame(MORE, b"\xbc"))
            await client.send(frame(TEXT, b'{"type":"response.create","x":"\xff"}'))
            assert (await client.closed())[0] == 1007

    asyncio.run(run())
    assert ends == [(1001, "client went away")]


@pytest.mark.parametrize(
    "fault",
    [
        frame(TEXT | 0x40, b"compressed"),
        frame(MORE, b"of what?"),
        said(TEXT, b"bare"),
        frame(PING, b"x" * 126),
    ],
    ids=["compressed", "a continuation of nothing", "no mask", "a long ping"],
)
def test_the_client_breaks_the_protocol(fault: bytes) -> None:
    async def run() -> None:
        async with world() as there, raw(there.proxy.port) as client:
            await client.send(frame(TEXT, up(0)))
            assert (await client.next()).data == down(0, 100)
            await client.send(fault)
            assert (await client.closed())[0] == 1002

    asyncio.run(run())


# The door -------------------------------------------------------------------------------------


def test_who_may_not_come_in_is_told_by_http() -> None:
    async def run() -> None:
        admission = Admission({"ada": hash_token("good")}, {"https://app.example"}, 50, 20)
        async with world(admission=admission) as there:
            port = there.proxy.port
            statuses = [
                (await answer(port, asking(Authorization="Bearer wrong")))[0],
                (await answer(port, asking(Authorization="")))[0],
                (await answer(port, asking(Authorization="Bearer good", Origin="https://evil.example")))[0],
                (await answer(port, asking("/v1/chat", Authorization="Bearer good")))[0],
                (await answer(port, asking("/v1/../x/realtime?model=m", Authorization="Bearer good")))[0],
                (await answer(port, asking(Authorization="Bearer good", Sec_WebSocket_Key="short")))[0],
            ]
            assert statuses == [401, 401, 403, 404, 404, 400]
            assert there.proxy.counts.refused == {"401": 2, "403": 1, "404": 2}
            good = asking(Authorization="Bearer good", Origin="https://app.example")
            async with raw(port, good) as client:
                await client.send(frame(TEXT, up(0)))
                assert (await client.next()).data == down(0, 100)
            await until(lambda: admission._sessions["ada"] == BYSTANDERS)  # no trace of what was no session
            assert not any(b"good" in request for request in there.service.requests)

    asyncio.run(run())


def test_more_sessions_than_there_may_be_are_sent_away() -> None:
    async def run() -> None:
        admission = Admission({"ada": hash_token("good")}, max_sessions_per_client=BYSTANDERS + 1)
        async with world(admission=admission) as there:
            good = asking(Authorization="Bearer good")
            await until(lambda: admission._sessions["ada"] == BYSTANDERS)
            async with raw(there.proxy.port, good):
                assert (await answer(there.proxy.port, good))[0] == 429
            await until(lambda: admission._sessions["ada"] == BYSTANDERS)
            async with raw(there.proxy.port, good):
                pass

    asyncio.run(run())


def test_who_never_asks_is_sent_away() -> None:
    async def run() -> None:
        async with world(limits=Limits(handshake_seconds=0.2)) as there:
            reader, writer = await asyncio.open_connection("127.0.0.1", there.proxy.port)
            writer.write(b"GET /v1/realtime HTTP/1.1\r\n")
            async with asyncio.timeout(SECONDS):
                assert await reader.read() == b""
            writer.close()

    asyncio.run(run())


def test_an_idle_session_is_closed() -> None:
    async def waits(end: Raw) -> None:
        await end.closed()

    async def run() -> None:
        async with world(waits, limits=Limits(idle_seconds=0.4)) as there, raw(there.proxy.port) as client:
            assert await client.closed() == (1001, "idle")

    asyncio.run(run())


# Policies -------------------------------------------------------------------------------------


class Fragile(Policy):
    """Raises at a word, which must not be told."""

    client_types = frozenset({"response.create"})

    def on_client_frame(self, session: Any, frame: Any) -> Any:
        raise ValueError(f"this is not for logs: {frame.text()}")


def test_a_policy_that_raises_ends_its_session_only(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with world(_counting, Fragile()) as there, raw(there.proxy.port) as client:
            await client.send(frame(TEXT, up(0)), frame(TEXT, b'{"type":"response.create","secret":1}'))
            assert await client.closed() == (1011, "Fragile failed")
            assert there.proxy.counts.policy_errors == {"Fragile": 1}

    asyncio.run(run())
    (record,) = [each for each in caplog.records if each.getMessage() == "policy failed"]
    fields = record.__dict__["fields"]
    assert (fields["policy"], fields["at"], fields["error"]) == ("Fragile", "response.create", "ValueError")
    assert fields["file"] == __file__
    assert "secret" not in str(record.__dict__)


def test_a_full_disk_stops_the_recording_and_nothing_else(tmp_path: Path) -> None:
    async def run() -> None:
        with Recorder(tmp_path, opener=lambda _: open("/dev/full", "wb", buffering=0)) as recorder:
            async with world(_counting, recorder) as there, raw(there.proxy.port) as client:
                for number in range(50):
                    await client.send(frame(TEXT, up(number)))
                    assert (await client.next()).data == down(number, 100)
                    assert (await client.next()).data == up(number)
                await until(lambda: there.proxy.counts.recorded["dropped"] > 0)
            assert there.proxy.counts.recorded["written"] == 0

    asyncio.run(run())


# Stopping -------------------------------------------------------------------------------------


def test_draining_takes_nobody_new_and_lets_others_finish() -> None:
    async def run() -> None:
        async with world() as there:
            port = there.proxy.port
            async with raw(port) as client:
                draining = asyncio.create_task(there.proxy.drain(0.3))
                await asyncio.sleep(0.05)
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.0.1", port)
                await client.send(frame(TEXT, up(0)))
                assert (await client.next()).data == down(0, 100)
                await client.send(frame(CLOSE, closing(1000)))
                assert await client.closed() == (1000, "")
            await draining

    asyncio.run(run())


def test_leaving_closes_everybody_with_1001() -> None:
    async def run() -> list[tuple[int, str]]:
        async with asyncio.timeout(SECONDS), Service(m=_counting) as service, AsyncExitStack() as stack:
            async with Proxy(Upstream(url=service.url, key="k")) as proxy:
                clients = [await stack.enter_async_context(raw(proxy.port)) for _ in range(5)]
                for client in clients:
                    await client.send(frame(TEXT, up(0)))
                    await client.next()
            return [await client.closed() for client in clients]

    assert asyncio.run(run()) == [(1001, "going away")] * 5


def test_sigterm_under_load_loses_nothing() -> None:
    """Sessions at work go on to their end; then the process ends, and well."""

    async def run() -> None:
        stop = asyncio.Event()
        async with asyncio.timeout(3 * SECONDS), Service(bystander=_counting) as service:
            command = (sys.executable, "-m", "rtproto", "proxy", "--listen", "127.0.0.1:0", "--drain", "30")
            process = await asyncio.create_subprocess_exec(
                *(*command, "--upstream", service.url, "--log-level", "error"),
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "OPENAI_API_KEY": "sk-ours"},
            )
            assert process.stdout
            url = (await process.stdout.readline()).decode().split()[-1]
            others = [asyncio.create_task(_bystand(url, stop)) for _ in range(20)]
            await until(lambda: len(service.requests) == len(others))
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.5)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0]))
            assert process.returncode is None
            stop.set()
            assert min(await asyncio.gather(*others)) >= 20
            assert await process.wait() == 0
            await process.stdout.read()

    asyncio.run(run())


# Found by a review ----------------------------------------------------------------------------


async def _answering(how: bytes, *, reset: bool = False) -> asyncio.Server:
    """A service that ends in the midst of its handshake."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(how)
        (writer.transport.abort if reset else writer.close)()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("how", [b"", b"HTTP/1.1 101 Switching"])
def test_a_service_that_hangs_up_in_its_handshake_leaves_nothing_behind(how: bytes, reset: bool) -> None:
    async def run() -> None:
        listening = await _answering(how, reset=reset)
        url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(SECONDS), listening, Proxy(Upstream(url=url, key="k")) as proxy:
            async with raw(proxy.port) as client:
                assert (await client.closed())[0] == 1011
            await until(lambda: proxy.counts.sessions_open == 0)

    asyncio.run(run())


@pytest.mark.parametrize(
    "target", ["/v1/realtime?model=m#x", "/v1/realtime?model=m\x01", "/v1/realtime?a\tb"]
)
def test_what_is_no_url_is_refused(target: str) -> None:
    async def run() -> None:
        async with world() as there:
            assert (await answer(there.proxy.port, asking(target)))[0] == 400

    asyncio.run(run())


def test_a_token_becomes_no_header_of_its_own() -> None:
    async def run() -> None:
        async with Service(m=_counting) as service, Proxy(Upstream(url=service.url)) as proxy:
            target = "/v1/realtime?model=m&api-key=x%0d%0aX-Evil:%20y"
            assert (await answer(proxy.port, asking(target, Authorization="")))[0] == 401
            assert service.requests == []

    asyncio.run(run())


def test_a_token_of_ours_goes_to_no_service() -> None:
    """Also where each client's own key goes on."""

    async def run() -> None:
        admission = Admission({"ada": hash_token("good")})
        async with (
            Service(m=_counting) as service,
            Proxy(Upstream(url=service.url), admission=admission) as proxy,
            raw(proxy.port, asking(Authorization="Bearer good")) as client,
        ):
            await client.send(frame(TEXT, up(0)))
            await client.next()
            assert b"good" not in service.requests[0]

    asyncio.run(run())


def test_a_redirect_is_not_followed() -> None:
    """The key is for this service only."""

    async def run() -> None:
        async with Service(m=_counting) as elsewhere:
            told = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere.url}/?model=m\r\n\r\n"
            listening = await _answering(told.encode())
            url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            async with listening, Proxy(Upstream(url=url, key="k")) as proxy, raw(proxy.port) as client:
                assert await client.closed() == (1011, "upstream refused: HTTP 302")
            assert elsewhere.requests == []

    asyncio.run(run())


@pytest.mark.parametrize("is_congested", [False, True])
def test_who_breaks_the_protocol_and_does_not_read_is_let_go(is_congested: bool) -> None:
    size = 10_000_000 if is_congested else 3_000_000  # in the system's buffers, or in ours too

    async def says(end: Raw) -> None:
        await end.send(said(TEXT, down(0, size)))
        await end.closed()

    async def run() -> None:
        limits = Limits(stall_seconds=0.5, high_water_bytes=8 * MIB)
        async with world(says, limits=limits) as there:
            reader, writer = await asyncio.open_connection("127.0.0.1", there.proxy.port, limit=1024)
            writer.write(asking())
            await asyncio.sleep(0.2)
            writer.write(frame(3, b"no such kind"))
            await until(lambda: there.proxy.counts.sessions == BYSTANDERS + 1)
            await until(lambda: there.proxy.counts.sessions_open == BYSTANDERS)
            writer.transport.abort()
            del reader

    asyncio.run(run())


def test_a_slow_client_that_goes_on_speaking_gets_all_that_was_said_before_the_end() -> None:
    many, size = 20, 100_000

    async def service(end: Raw) -> None:
        await end.send(
            *(said(TEXT, down(number, size)) for number in range(many)), said(CLOSE, closing(1000))
        )
        await end.closed()

    async def run() -> None:
        async with world(service, limits=Limits(stall_seconds=8)) as there:
            reader, writer = await asyncio.open_connection("127.0.0.1", there.proxy.port, limit=1024)
            writer.write(asking())
            await reader.readuntil(b"\r\n\r\n")
            client = Raw(reader, writer)
            for number in range(15):  # it is busy for so long, but alive
                await asyncio.sleep(0.1)
                await client.send(frame(TEXT, up(number)))
            assert [(await client.next()).data for _ in range(many)] == [down(at, size) for at in range(many)]
            assert await client.closed() == (1000, "")
            writer.close()
            await writer.wait_closed()

    asyncio.run(run())


@pytest.mark.parametrize("bits", [0x40, 0x20, 0x10])
def test_no_extension_was_agreed_on(bits: int) -> None:
    heard: list[bytes] = []

    async def service(end: Raw) -> None:
        heard.append((await end.next()).data)
        heard.append((await end.next()).data[:2])

    async def run() -> None:
        async with world(service) as there, raw(there.proxy.port) as client:
            await client.send(frame(TEXT, up(0)), frame(TEXT | bits, up(1)), frame(TEXT, up(2)))
            assert (await client.closed())[0] == 1002

    asyncio.run(run())
    assert heard == [up(0), closing(1001)]


def test_what_is_too_long_does_not_go_on_even_if_it_is_all_there() -> None:
    heard: list[int] = []

    async def service(end: Raw) -> None:
        heard.append((await end.next()).kind)

    async def run() -> None:
        limits = Limits(max_message_bytes=65_000)
        async with world(service, limits=limits) as there, raw(there.proxy.port) as client:
            await client.send(frame(TEXT, up(0, 66_000)))
            assert (await client.closed())[0] == 1009

    asyncio.run(run())
    assert heard == [CLOSE]


def test_who_reads_steadily_is_not_stalled_however_long_it_takes() -> None:
    many, size = 3, 12 * MIB  # more than all buffers on the way take

    async def service(end: Raw) -> None:
        for number in range(many):
            await end.send(said(TEXT, down(number, size)))
        await end.closed()

    async def run() -> None:
        limits = Limits(stall_seconds=0.3)
        async with world(service, limits=limits) as there:
            reader, writer = await asyncio.open_connection("127.0.0.1", there.proxy.port, limit=2**16)
            writer.write(asking())
            await reader.readuntil(b"\r\n\r\n")
            got = 0
            while got < many * size:  # some 2 s
                data = await reader.read(2**18)
                assert data
                got += len(data)
                await asyncio.sleep(0.01)
            assert there.proxy.counts.backpressure_seconds["client"] > 0.3
            assert there.proxy.counts.stalled == 0
            writer.close()
            await writer.wait_closed()

    asyncio.run(run())


def test_from_how_much_on_a_side_holds_up_the_other_is_as_it_was_said() -> None:
    async def run() -> None:
        limits = Limits(high_water_bytes=3 * MIB)
        async with (
            Service(m=_counting) as service,
            Proxy(Upstream(url=service.url, key="k"), limits=limits) as proxy,
            raw(proxy.port) as client,
        ):
            await client.send(frame(TEXT, up(0)))
            await client.next()
            (relay,) = proxy._door.guests
            for side in (relay.client, relay.service):
                _, high = side._transport.underlying_transport.get_write_buffer_limits()
                assert high == 3 * MIB
            sock = relay.client._transport.underlying_transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 2 * 128 * 1024  # Linux doubles it

    asyncio.run(run())


def test_a_url_that_is_none_ends_the_session() -> None:
    """Whoever made it."""

    class Astray(Policy):
        def on_opening(self, opening: Any) -> Any:
            return msgspec.structs.replace(opening, path="/v1/realtime#x")

    async def run() -> None:
        async with (
            asyncio.timeout(SECONDS),
            Proxy(Upstream(url="ws://127.0.0.1:9", key="k"), [Astray()]) as proxy,
            raw(proxy.port) as client,
        ):
            assert await client.closed() == (1011, "upstream unreachable")
            await until(lambda: proxy.counts.sessions_open == 0)

    asyncio.run(run())


def test_who_was_hasty_is_held_up_too() -> None:
    """The service is behind with what a policy says at the beginning: the client is not read yet."""

    class Eloquent(Policy):
        def on_open(self, session: Any) -> None:
            for number in range(120):
                session.send_to_upstream(rtproto.ClientFrame(up(number, 100_000)))

    async def is_deaf(end: Raw) -> None:
        await asyncio.sleep(1.0)

    async def run() -> None:
        limits = Limits(max_session_bytes=14 * MIB, stall_seconds=SECONDS)
        async with (
            Service(m=is_deaf) as service,
            Proxy(Upstream(url=service.url, key="k"), [Eloquent()], limits=limits) as proxy,
            raw(proxy.port, asking() + frame(BINARY, b"x")) as client,
        ):
            flood = asyncio.create_task(_flood(client, up))
            await asyncio.sleep(0.7)
            assert proxy.counts.stalled == 0  # as too much would be
            flood.cancel()
            client.abort()

    asyncio.run(run())


@pytest.mark.parametrize("code", [999, 1004, 1006, 1015, 2000, 5000])
def test_a_code_that_nobody_may_say_is_carried_nowhere(code: int) -> None:
    heard: list[tuple[int, str]] = []

    async def service(end: Raw) -> None:
        heard.append(await end.closed())

    async def run() -> None:
        async with world(service) as there, raw(there.proxy.port) as client:
            await client.send(frame(CLOSE, closing(code)))
            assert (await client.closed())[0] == 1002
            await until(lambda: there.proxy.counts.closes["1002"] == 1)

    asyncio.run(run())
    assert heard[0][0] in (1001, 1002)


def test_a_reason_that_is_no_unicode_or_too_long_is_said_as_far_as_it_goes() -> None:
    class Closing(Policy):
        client_types = frozenset({"response.create", "response.cancel"})

        def on_client_frame(self, session: Any, frame: Any) -> None:
            session.close(4000, "\ud800" if frame.type == "response.create" else "ü" * 200)

    async def run() -> None:
        for name, reason in (("response.create", "?"), ("response.cancel", "ü" * 61)):
            async with world(_counting, Closing()) as there, raw(there.proxy.port) as client:
                await client.send(frame(TEXT, b'{"type":"%b"}' % name.encode()))
                assert await client.closed() == (4000, reason)

    asyncio.run(run())


def test_what_is_said_with_a_close_arrives_before_it() -> None:
    class Parting(Policy):
        client_types = ALL

        def on_client_frame(self, session: Any, frame: Any) -> None:
            for _ in range(2):
                session.send_to_client(frame)
            session.close(4001, "enough")
            session.send_to_client(frame)

    async def run() -> None:
        async with (
            Service(m=_counting) as service,
            Proxy(Upstream(url=service.url, key="k"), [Parting()]) as proxy,
            raw(proxy.port) as client,
        ):
            await client.send(frame(TEXT, up(0)))
            assert [(await client.next()).data for _ in range(2)] == [up(0)] * 2
            assert await client.closed() == (4001, "enough")

    asyncio.run(run())


def test_what_runs_beside_a_session_ends_with_it() -> None:
    ended: list[str] = []

    class Busy(Policy):
        def on_open(self, session: Any) -> None:
            session.start(self.work())

        async def work(self) -> None:
            try:
                await asyncio.sleep(SECONDS)
            finally:
                ended.append("work")

        def on_closed(self, session: Any) -> None:
            ended.append("closed")

    async def run() -> None:
        async with (
            Service(m=_counting) as service,
            Proxy(Upstream(url=service.url, key="k"), [Busy()]) as proxy,
            raw(proxy.port) as client,
        ):
            await client.send(frame(CLOSE, closing(1000)))
            assert await client.closed() == (1000, "")
            await until(lambda: len(ended) == 2)

    asyncio.run(run())
    assert ended == ["closed", "work"]


def test_a_coroutine_sends_when_nothing_else_comes() -> None:
    class Later(Policy):
        def on_open(self, session: Any) -> None:
            session.start(self.work(session))

        async def work(self, session: Any) -> None:
            for number in range(3):
                await asyncio.sleep(0.01)
                session.send_to_client(rtproto.ServerFrame(down(number)))

    async def run() -> None:
        async with (
            Service(m=_counting) as service,
            Proxy(Upstream(url=service.url, key="k"), [Later()]) as proxy,
            raw(proxy.port) as client,
        ):
            assert [(await client.next()).data for _ in range(3)] == [down(number) for number in range(3)]

    asyncio.run(run())


@asynccontextmanager
async def slow_to_answer(seconds: float) -> AsyncIterator[tuple[str, list[tuple[int, str]]]]:
    """The URL of a service that thinks before its 101, and what it is told at the end."""
    told: list[tuple[int, str]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(seconds)
        writer.write(switching(request))
        told.append(await Raw(reader, writer, is_client=False).closed())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}", told


def test_a_client_that_left_while_the_service_was_called_is_not_served() -> None:
    async def run() -> None:
        async with slow_to_answer(0.3) as (url, told), Proxy(Upstream(url=url, key="k")) as proxy:
            async with raw(proxy.port) as client:
                await client.send(frame(CLOSE, closing(1000)))
                client.abort()
            await until(lambda: told)
            await until(lambda: proxy.counts.sessions_open == 0)
            assert told[0][0] in (1000, 1001)  # its own words, if they were read

    asyncio.run(run())


def test_a_client_that_was_sent_away_while_the_service_was_called_is_not_served() -> None:
    async def run() -> None:
        limits = Limits(idle_seconds=0.1)
        async with (
            slow_to_answer(0.6) as (url, told),
            Proxy(Upstream(url=url, key="k"), limits=limits) as proxy,
        ):
            async with raw(proxy.port) as client:
                assert await client.closed() == (1001, "idle")
            await until(lambda: told)
            assert told == [(1001, "client went away")]

    asyncio.run(run())


def test_draining_waits_for_the_service_too() -> None:
    told: list[bytes] = []

    async def parts_slowly(end: Raw) -> None:
        got = await end.next()
        await asyncio.sleep(0.3)
        told.append(got.data)
        await end.send(said(CLOSE, got.data))

    async def run() -> None:
        async with (
            Service(m=parts_slowly) as service,
            Proxy(Upstream(url=service.url, key="k")) as proxy,
            raw(proxy.port) as client,
        ):
            await client.send(frame(CLOSE, closing(1000)))
            assert await client.closed() == (1000, "")
            await proxy.drain(SECONDS)
            assert told == [closing(1000)]

    asyncio.run(run())


def test_a_proxy_opens_again_and_drains_when_there_is_nothing_to_drain() -> None:
    async def run() -> None:
        async with Service(m=_counting) as service:
            proxy = Proxy(Upstream(url=service.url, key="k"))
            async with asyncio.timeout(SECONDS):
                await proxy.drain(10 * SECONDS)
            for _ in range(2):
                async with proxy:
                    assert proxy.is_ready
                    with pytest.raises(RuntimeError, match="open already"):
                        await proxy.__aenter__()
                    async with raw(proxy.port) as client:
                        await client.send(frame(TEXT, up(0)))
                        assert (await client.next()).data == down(0, 100)
                        assert not client.writer.is_closing()
                assert not proxy.is_ready

    asyncio.run(run())


def test_a_request_that_came_before_draining_and_asks_during_it_is_sent_away() -> None:
    async def run() -> None:
        async with world() as there:
            reader, writer = await asyncio.open_connection("127.0.0.1", there.proxy.port)
            await asyncio.sleep(0.05)
            draining = asyncio.create_task(there.proxy.drain(0.3))
            await asyncio.sleep(0.05)
            writer.write(asking())
            async with asyncio.timeout(SECONDS):
                told = await reader.readuntil(b"\r\n\r\n")
            assert told.split()[1] == b"503"
            assert b"application/json" in told
            writer.close()
            await writer.wait_closed()
            await draining

    asyncio.run(run())
