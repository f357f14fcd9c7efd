"""Who may listen does, over real sockets; nobody holds up anybody else, and nobody else comes in."""

import asyncio
import http.client
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

from rtproto import _sockets
from rtproto.services.fanout import Fanout, Grant, Limits, LocalBus, Rights, Room, read_notice
from rtproto.services.fanout.notices import AudioHeader, Ended, Lag, Snapshot
from rtproto.services.proxy import hash_token
from tests.services.fanout.outlets import IN_G711, added, audio, control, created
from tests.services.proxy.test_tls import at_the_door, trusting
from tests.wire import PING, SECONDS, TEXT, Raw, answer, asking, closing, frame, raw

LOOPS = (asyncio.new_event_loop, _sockets.new_loop)
Work = Callable[[Fanout, Room], Awaitable[None]]
SPEAKER, LISTENER = {"Authorization": "Bearer speaker"}, {"Authorization": "Bearer listener"}


def grants() -> dict[str, Grant]:
    return {
        "ada": Grant(digest=hash_token("speaker"), right="speak"),
        "tv": Grant(digest=hash_token("listener"), sessions=frozenset({"main"})),
    }


def hub(
    work: Work,
    *,
    limits: Limits | None = None,
    rights: Rights | None = None,
    say: Callable[[bytes], bool] | None = None,
    tls: ssl.SSLContext | None = None,
    loops: Any = LOOPS,
) -> None:
    """A hub with one session, in each kind of loop."""

    async def run() -> None:
        async with (
            asyncio.timeout(SECONDS),
            LocalBus(limits) as bus,
            Fanout(bus, rights=rights, tls=tls) as fanout,
        ):
            await work(fanout, bus.begin("main", say))

    for loop in loops:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(run())


@asynccontextmanager
async def hearing(url: str, **more: Any) -> AsyncIterator[websockets.ClientConnection]:
    """A listener that has its snapshot."""
    async with websockets.connect(url, **more) as client:
        snapshot = read_notice(await client.recv())
        assert isinstance(snapshot, Snapshot)
        for _ in range(snapshot.events):
            await client.recv()
        yield client


def bare(fanout: Fanout, **headers: str) -> AbstractAsyncContextManager[Raw]:
    """A listener that does as it likes."""
    return raw(fanout.port, asking("/listen/main", **headers))


@asynccontextmanager
async def deafened(fanout: Fanout, room: Room, **headers: str) -> AsyncIterator[Raw]:
    """A listener that read nothing until it lost audio, and does not yet."""
    async with bare(fanout, **headers) as deaf:
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: room.audience)
        while not fanout.counts.dropped["audio"]:
            room.publish([audio(1000)])
            await asyncio.sleep(0)
        yield deaf


async def until(is_so: Callable[[], object]) -> None:
    while not is_so():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


async def refused(url: str, **more: Any) -> int:
    with pytest.raises(InvalidStatus) as info:
        await websockets.connect(url, **more)
    return info.value.response.status_code


def get(fanout: Fanout, path: str, **headers: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", fanout.port, timeout=SECONDS)
    try:
        connection.request(
            "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type", ""), response.read()
    finally:
        connection.close()


# What is heard --------------------------------------------------------------------------------


def test_every_byte_comes_as_it_was() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        frames = [
            created(),
            b'{ "type" : "vendor.odd",  "n": 1.50 }',
            audio(),
            b"no event at all",
            audio(2000),
            b"",
        ]
        async with hearing(fanout.url("main")) as one, hearing(fanout.url("main")) as other:
            room.publish(frames[:2])
            room.publish(frames[2:])
            for client in (one, other):
                assert [await client.recv(decode=False) for _ in frames] == frames

    hub(work)


def test_who_comes_late_is_told_what_was() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        room.publish([first := created(), audio()])
        async with websockets.connect(fanout.url("main")) as client:
            snapshot = read_notice(await client.recv())
            assert isinstance(snapshot, Snapshot)
            assert (snapshot.session, snapshot.events, snapshot.omitted) == ("main", 1, 0)
            assert await client.recv(decode=False) == first
            room.publish([last := audio()])
            assert await client.recv(decode=False) == last

    hub(work)


def test_a_listener_of_samples_gets_them_behind_a_header() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        room.publish([created()])
        async with hearing(f"{fanout.url('main')}?events=audio&shape=pcm") as one:
            room.publish([audio(100), audio(50)])
            header = read_notice(await one.recv())
            assert isinstance(header, AudioHeader)
            assert (header.item_id, header.content_index) == ("item_1", 0)
            assert (header.format, header.sample_rate, header.channels) == ("pcm16", 24_000, 1)
            assert [len(await one.recv()) for _ in range(2)] == [4800, 2400]
            async with hearing(f"{fanout.url('main')}?events=audio&shape=pcm") as late:
                again = read_notice(await late.recv())
                assert isinstance(again, AudioHeader)
                assert again.item_id == "item_1"
                room.publish([audio(10)])
                assert await late.recv() == await one.recv() == bytes(480)
            room.publish([b'{"type":"response.output_audio.delta","delta":"no base64!"}'])
            assert await one.recv() == '{"type":"response.output_audio.delta","delta":"no base64!"}'

    hub(work)


_ZEROS = (
    b'{"type":"response.output_audio.delta","event_id":"a","response_id":"r","item_id":"i",'
    b'"output_index":0,"content_index":0,"delta":"////"}'
)


def test_a_header_comes_again_when_the_sound_may_be_another() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        async with hearing(f"{fanout.url('main')}?events=audio&shape=pcm") as client:
            for between in (created(), b'{"type":"response.done","event_id":"e","response":{"id":"resp_1"}}'):
                room.publish([audio(10), between, audio(10), audio(10)])
            came = [await client.recv() for _ in range(10)]
            kinds = ["sound" if isinstance(data, bytes) else json.loads(data)["type"] for data in came]
            sound = ["rtproto.audio", "sound"]
            assert kinds == [*sound, "session.created", *sound, "sound", "sound", *sound, "sound"]

    hub(work, loops=LOOPS[1:])


def test_who_comes_when_nobody_listened_is_told_of_no_audio_that_was() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        url = f"{fanout.url('main')}?events=audio&shape=pcm"
        async with hearing(url) as client:
            room.publish([audio(10)])
            await client.recv()
        await until(lambda: not room.audience)
        room.publish([audio(10)])
        async with hearing(url) as client:
            room.publish([control(), error := b'{"type":"error","event_id":"e","error":{}}'])
            assert await client.recv(decode=False) == error

    hub(work, loops=LOOPS[1:])


def test_telephony_is_heard_as_samples_of_16_bits() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        async with hearing(f"{fanout.url('main')}?events=audio&shape=pcm") as client:
            room.publish([IN_G711, _ZEROS])
            await client.recv()
            header = read_notice(await client.recv())
            assert isinstance(header, AudioHeader)
            assert header.sample_rate == 8000
            assert await client.recv() == bytes(6)  # µ-law's zeros

    hub(work)


def test_the_end_is_told() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        async with hearing(fanout.url("main")) as client:
            room.end("the service closed with 1000")
            ended = read_notice(await client.recv())
            assert isinstance(ended, Ended)
            with pytest.raises(ConnectionClosed) as info:
                await client.recv()
            assert info.value.rcvd is not None
            assert (info.value.rcvd.code, info.value.rcvd.reason) == (1000, "the service closed with 1000")
        assert await refused(fanout.url("main")) == 404

    hub(work)


# Who does not read ----------------------------------------------------------------------------


def test_who_reads_nothing_delays_nobody_and_is_told_what_it_lost() -> None:
    limits = Limits(max_queue_ms=2000, socket_bytes=4096)

    async def work(fanout: Fanout, room: Room) -> None:
        async with bare(fanout) as deaf, hearing(fanout.url("main")) as client:
            sent = [audio(200) for _ in range(300)]
            for data in sent:
                room.publish([data])
                assert await client.recv(decode=False) == data
            last = control()
            room.publish([last])
            got: list[bytes] = []
            while not got or got[-1] != last:
                got.append((await deaf.next()).data)
            notices = [notice for data in got if (notice := read_notice(data)) is not None]
            lags = [notice for notice in notices if isinstance(notice, Lag)]
            heard = [data for data in got if data in sent]
            assert lags
            assert sum(lag.audio_deltas for lag in lags) == len(sent) - len(heard)
            assert sum(lag.audio_ms for lag in lags) == 200 * (len(sent) - len(heard))
            assert [data for data in sent if data in heard] == heard

    hub(work, limits=limits)


def test_who_cannot_take_even_control_is_sent_away_with_1013() -> None:
    limits = Limits(max_queue_bytes=100_000, socket_bytes=4096, goodbye_seconds=0.3)

    async def work(fanout: Fanout, room: Room) -> None:
        async with bare(fanout) as deaf, hearing(fanout.url("main")) as client:
            for _ in range(5000):
                room.publish([data := control(1000)])
                assert await client.recv(decode=False) == data
                if room.counts.closes:
                    break
            await until(lambda: room.audience == 1)
            assert fanout.counts.dropped["control"] > 0
            await until(lambda: fanout.counts.closes)
            assert fanout.counts.closes == {"1013": 1}
            assert not deaf.writer.is_closing()
            room.publish([data := control()])
            assert await client.recv(decode=False) == data

    hub(work, limits=limits)


def test_who_answers_no_ping_is_broken_off() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        async with bare(fanout) as silent, hearing(fanout.url("main")) as client:
            assert await silent.closed() == (1006, "")
            room.publish([data := control()])
            assert await client.recv(decode=False) == data
            assert room.audience == 1

    hub(work, limits=Limits(ping_seconds=0.05))


def test_who_does_not_read_is_not_asked_whether_it_is_there() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        async with deafened(fanout, room) as deaf:
            await asyncio.sleep(0.8)  # twice as long as a listener has that reads
            room.publish([last := control()])
            deaf.writer.transport.resume_reading()  # type: ignore[attr-defined]
            while (got := await deaf.next()).data != last:
                assert got.kind in (1, 9)

    hub(work, limits=Limits(ping_seconds=0.1, socket_bytes=4096))


def test_who_reads_again_need_not_have_answered_before() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        async with bare(fanout):
            await until(lambda: room.audience)
            (ear,) = fanout._door.guests
            for _ in range(3):
                ear.look_after(is_due=True)
            ear.writable()
            ear.look_after(is_due=False)
            assert room.audience

    hub(work, loops=LOOPS[1:])


def test_who_asks_and_does_not_read_piles_nothing_up_and_is_answered_when_it_reads() -> None:
    pings = [b"%0125d" % number for number in range(5000)]

    async def work(fanout: Fanout, room: Room) -> None:
        async with deafened(fanout, room, **SPEAKER) as deaf:
            said = fanout.counts.said
            await deaf.send(*(frame(PING, data) for data in pings), frame(TEXT, b'{"type":"vendor.thing"}'))
            await until(lambda: fanout.counts.said > said)
            (ear,) = fanout._door.guests
            assert ear.waiting < 300_000
            deaf.writer.transport.resume_reading()  # type: ignore[attr-defined]
            while (await deaf.next()).data != pings[-1]:
                pass

    hub(work, limits=Limits(socket_bytes=4096), rights=Rights(grants()), say=lambda _: True)


def test_who_does_not_read_when_its_session_ends_is_broken_off() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        async with deafened(fanout, room):
            room.end("enough")
            await until(lambda: not fanout.listeners())
            assert fanout.counts.closes == {"1000": 1}
            assert (room.audience, fanout.counts.behind, fanout.counts.listeners) == (0, 0, 0)

    hub(work, limits=Limits(socket_bytes=4096, goodbye_seconds=0.2), loops=LOOPS[1:])


def test_who_breaks_the_rules_and_does_not_read_is_broken_off() -> None:
    limits = Limits(socket_bytes=4096, ping_seconds=0.2, goodbye_seconds=2 * SECONDS)

    async def work(fanout: Fanout, room: Room) -> None:
        async with deafened(fanout, room) as deaf:
            deaf.writer.write(b"\x83\x80\x01\x02\x03\x04")
            await until(lambda: not fanout.listeners())

    hub(work, limits=limits, loops=LOOPS[1:])


def test_nothing_follows_a_goodbye() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        async with bare(fanout) as client:
            await client.next()
            await client.send(frame(1, b"a word"))
            while (got := await client.next()).kind != 8:
                pass
            assert got.data[:2] == closing(1008)
            room.publish([control()])
            await client.send(frame(8, got.data))
            assert await client.is_over()

    hub(work)


@pytest.mark.parametrize("fault", [b"\xc1\x80\x01\x02\x03\x04", b"\x83\x80\x01\x02\x03\x04"])
@pytest.mark.parametrize("says", [b"", frame(8, closing(1000))])
def test_who_breaks_the_rules_and_stays_is_forgotten(says: bytes, fault: bytes) -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        async with bare(fanout) as client:
            await client.next()
            await client.send(fault, says)
            await until(lambda: not room.audience)
            room.publish([control()])

    hub(work)


@pytest.mark.parametrize(
    "fault", [b"\xc1\x80\x01\x02\x03\x04", b"\x80\x80\x01\x02\x03\x04", b"\x83\x80\x01\x02\x03\x04"]
)
def test_what_is_no_websocket_ends_with_1002_and_is_forgotten(fault: bytes) -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        async with bare(fanout) as client:
            await client.next()
            await client.send(fault)
            code, _ = await client.closed()
            assert code in (1002, 1006)
            await until(lambda: not room.audience)
            room.publish([control()])

    hub(work)


# Who speaks -----------------------------------------------------------------------------------


def test_who_may_speak_does() -> None:
    said: list[bytes] = []

    def say(data: bytes) -> bool:
        said.append(data)
        return len(said) == 1

    async def work(fanout: Fanout, room: Room) -> None:
        said.clear()
        async with hearing(fanout.url("main"), additional_headers=SPEAKER) as client:
            event = '{"type": "response.create",  "event_id":"mine"}'
            await client.send(event)
            for bad in (b"no event", b'{"type":"response.create","by":"\xff"}', event.encode()):
                await client.send(bad, text=True)
            errors = [json.loads(await client.recv())["error"]["code"] for _ in range(3)]
            assert errors == ["invalid_event", "invalid_event", "overloaded"]
            assert said == [event.encode()] * 2
            assert fanout.counts.said == 1
            await client.send(b"binary")
            with pytest.raises(ConnectionClosed) as info:
                await client.recv()
            assert info.value.rcvd is not None
            assert info.value.rcvd.code == 1003

    hub(work, rights=Rights(grants()), say=say)


def test_a_fault_of_a_speaker_is_not_told_in_the_midst_of_a_snapshot() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        said = fanout.counts.said
        room.publish(items := [added(number, 30_000) for number in range(40)])
        async with bare(fanout, **SPEAKER) as client:
            await client.send(frame(TEXT, b"no event"), frame(TEXT, b'{"type":"vendor.thing"}'))
            await until(lambda: fanout.counts.said > said)
            assert isinstance(read_notice((await client.next()).data), Snapshot)
            assert [(await client.next()).data for _ in items] == items
            assert json.loads((await client.next()).data)["error"]["code"] == "invalid_event"

    hub(work, limits=Limits(socket_bytes=4096), rights=Rights(grants()), say=lambda _: True)


def test_nobody_speaks_to_who_does_not_listen() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        async with hearing(fanout.url("main"), additional_headers=SPEAKER) as client:
            await client.send('{"type":"response.create"}')
            assert json.loads(await client.recv())["error"]["code"] == "nobody_listens"

    hub(work, rights=Rights(grants()))


@pytest.mark.parametrize("rights", [Rights(grants()), Rights()])
def test_who_may_only_listen_is_sent_away_when_it_speaks(rights: Rights) -> None:
    said: list[bytes] = []

    async def work(fanout: Fanout, room: Room) -> None:
        async with hearing(fanout.url("main"), additional_headers=LISTENER) as client:
            await client.send('{"type":"response.create"}')
            with pytest.raises(ConnectionClosed) as info:
                await client.recv()
            assert info.value.rcvd is not None
            assert info.value.rcvd.code == 1008
        assert said == []

    hub(work, rights=rights, say=lambda data: bool(said.append(data)), loops=LOOPS[1:])


# Who comes in ---------------------------------------------------------------------------------


def test_a_token_is_for_its_sessions() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        fanout.bus.begin("other")
        assert await refused(fanout.url("main")) == 401
        assert await refused(fanout.url("main"), additional_headers={"Authorization": "Bearer nobody"}) == 401
        assert await refused(fanout.url("other"), additional_headers=LISTENER) == 403
        assert await refused(fanout.url("nowhere"), additional_headers=SPEAKER) == 404
        browser = ["realtime", "openai-insecure-api-key.listener"]
        async with hearing(fanout.url("main"), subprotocols=browser) as client:
            assert client.subprotocol == "realtime"
        for who, names in (("listener", ["main"]), ("speaker", ["main", "other"])):
            _, _, body = await asyncio.to_thread(get, fanout, "/sessions", Authorization=f"Bearer {who}")
            assert [each["name"] for each in json.loads(body)["sessions"]] == names
        assert (await asyncio.to_thread(get, fanout, "/sessions"))[0] == 401
        assert fanout.counts.refused == {"401": 3, "403": 1, "404": 1}

    hub(work, rights=Rights(grants()), loops=LOOPS[1:])


def test_a_page_of_others_may_not_listen_without_tokens() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        for host in (f"127.0.0.1:{fanout.port}", "192.0.2.7:80", "[2001:db8::7]:80", "localhost:8080"):
            async with bare(fanout, Host=host, Origin=f"http://{host}"):
                pass
        assert await refused(fanout.url("main"), origin="https://elsewhere.example") == 403
        for host in ("elsewhere.example", "localhost.elsewhere.example", "", "[", "1.2.3.4.example"):
            rebound = asking("/listen/main", Host=host, Origin=f"http://{host}")
            status, _ = await answer(fanout.port, rebound)
            assert status == 403, "a name that leads here may be anybody's"

    hub(work, loops=LOOPS[1:])


def test_with_tokens_the_own_page_may_have_any_name() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        headers = {"Host": "hub.example", **LISTENER}
        async with bare(fanout, Origin="http://hub.example", **headers):
            pass
        assert (
            await refused(fanout.url("main"), origin="https://other.example", additional_headers=LISTENER)
            == 403
        )
        async with hearing(fanout.url("main"), origin="https://app.example", additional_headers=LISTENER):
            pass

    hub(work, rights=Rights(grants(), ["https://app.example"]), loops=LOOPS[1:])


def test_there_is_room_for_so_many() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        async with hearing(fanout.url("main")):
            assert await refused(fanout.url("main")) == 503
        await until(lambda: not room.audience)
        async with hearing(fanout.url("main")):
            pass

    hub(work, rights=Rights(max_listeners=1))


def test_what_is_refused_or_no_listener_takes_nobodys_place() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        sessions = b"GET /sessions HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        for _ in range(2):
            assert await refused(fanout.url("nowhere")) == 404
            assert (await answer(fanout.port, sessions))[0] == 200
        async with hearing(fanout.url("main")):
            assert (await answer(fanout.port, sessions))[0] == 200

    hub(work, rights=Rights(max_listeners=1), loops=LOOPS[1:])


def test_what_is_asked_for_is_answered_in_the_way_of_the_web() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        def ask() -> None:
            assert get(fanout, "/sessions") == (200, "application/json", b'{"sessions":[{"name":"main"}]}')
            status, kind, body = get(fanout, "/")
            assert (status, kind) == (200, "text/html; charset=utf-8")
            assert b"<title>" in body
            assert [get(fanout, path)[0] for path in ("/listen/main", "/elsewhere", "/listen/")] == [
                426,
                404,
                426,
            ]

        await asyncio.to_thread(ask)
        for query in ("events=everything", "shape=square"):
            assert await refused(f"{fanout.url('main')}?{query}") == 400
        assert await refused(fanout.url("ma%2Fin")) == 404
        assert room.audience == 0

    hub(work, loops=LOOPS[1:])


def test_a_handshake_that_is_none_counts_for_nothing() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        status, _ = await answer(fanout.port, asking("/listen/main", Sec_WebSocket_Key="short"))
        assert status == 400
        assert room.audience == 0
        async with hearing(fanout.url("main")):
            pass

    hub(work, rights=Rights(max_listeners=1))


# The end --------------------------------------------------------------------------------------


def test_leaving_says_goodbye_to_all() -> None:
    async def run() -> None:
        async with asyncio.timeout(SECONDS), LocalBus() as bus:
            bus.begin("main")
            async with Fanout(bus) as fanout:
                client = await websockets.connect(fanout.url("main"))
            last = [message async for message in client][-1]
            assert isinstance(read_notice(last), Ended)
            assert client.close_code == 1001

    asyncio.run(run())


@pytest.mark.parametrize(
    ("who", "size", "codes"),
    [  # a frame that is too long is not read to its end, so that a reset may come before the goodbye
        (SPEAKER, 5000, set()),
        (SPEAKER, 40_000, {1009, 1006}),
        (LISTENER, 4000, {1008}),
        (LISTENER, 20_000, {1008, 1009}),  # by the piece that is too much, or by the whole
    ],
)
@pytest.mark.parametrize("pieces", [1, 4])
def test_nobody_says_more_than_it_may(who: dict[str, str], size: int, codes: set[int], pieces: int) -> None:
    heard: list[bytes] = []

    async def work(fanout: Fanout, room: Room) -> None:
        heard.clear()
        async with hearing(fanout.url("main"), additional_headers=who) as client:
            event = f'{{"type":"vendor.thing","x":"{"x" * (size - 30)}"}}'
            each = -(-len(event) // pieces)
            if pieces == 1:
                await client.send(event)
            else:
                await client.send([event[at : at + each] for at in range(0, len(event), each)])
            if not codes:
                await until(lambda: heard)
                assert heard == [event.encode()]
                return
            await client.wait_closed()
            assert client.close_code in codes
            assert heard == []

    limits = Limits(max_said_bytes=30_000)
    hub(
        work, rights=Rights(grants()), say=lambda data: not heard.append(data), limits=limits, loops=LOOPS[1:]
    )


def test_where_nobody_may_speak_no_long_frame_is_even_read() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        async with bare(fanout) as client:
            await client.next()
            await client.send(frame(1, b"x" * 5000)[:100])
            code, _ = await client.closed()
            assert code == 1009

    hub(work)


def test_draining_takes_nobody_new_and_waits_for_the_last() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        async with hearing(fanout.url("main")) as client:
            draining = asyncio.create_task(fanout.drain(SECONDS))
            await asyncio.sleep(0)
            assert not fanout.is_ready
            with pytest.raises((OSError, InvalidStatus)):
                await websockets.connect(fanout.url("main"))
            room.publish([data := control()])
            assert await client.recv(decode=False) == data
            assert not draining.done()
        await draining

    hub(work)


def test_who_was_connected_before_draining_and_asks_now_is_refused() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", fanout.port)
        async with hearing(fanout.url("main")):  # so the other was let in, too
            draining = asyncio.create_task(fanout.drain(SECONDS))
            await asyncio.sleep(0)
            writer.write(asking("/listen/main"))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
        await draining
        writer.close()

    hub(work, loops=LOOPS[1:])


def test_it_may_be_encrypted() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        url = f"wss://localhost:{fanout.port}/listen/main"
        async with hearing(url, ssl=trusting()) as client:
            frames = [audio(1000) for _ in range(9)]
            room.publish(frames)
            assert [await client.recv(decode=False) for _ in frames] == frames

    hub(work, tls=at_the_door("localhost"))


def test_nothing_of_what_was_said_is_shown() -> None:
    async def work(fanout: Fanout, room: Room) -> None:
        async with hearing(fanout.url("main"), additional_headers=SPEAKER):
            shown = [repr(each) for each in (fanout, room, room.listeners()[0], *grants().values())]
            assert not any("speaker" in text or hash_token("speaker") in text for text in shown)

    hub(work, rights=Rights(grants()), loops=LOOPS[1:])
