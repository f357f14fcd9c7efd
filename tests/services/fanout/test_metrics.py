"""What a scraper reads of a hub is what it counted, and what waits in it when it is asked."""

import asyncio
from collections import Counter
from functools import partial

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rtproto.services.fanout import Asked, Counts, Limits, LocalBus
from rtproto.services.fanout.metrics import exposition
from rtproto.services.metrics import MetricsServer
from tests.services.fanout.outlets import Ear, audio, control, created
from tests.services.proxy.test_metrics import OPENMETRICS, Answer, Scrape


class Broken(LocalBus):
    """A bus that carries nothing now."""

    @property
    def is_connected(self) -> bool:
        return False


def told(bus: LocalBus, accept: str | None = None) -> tuple[bytes, str]:
    rooms = filter(None, map(bus.find, bus.names()))
    return exposition(bus, (listener for room in rooms for listener in room.listeners()), accept)


class Read:
    """What is read of a hub, over HTTP."""

    def __init__(self, bus: LocalBus, **headers: str) -> None:
        async def asked() -> Answer:
            async with MetricsServer(partial(told, bus), bool) as server:
                return await asyncio.to_thread(Answer, server.port, "/metrics", headers, "GET")

        answer = asyncio.run(asked())
        assert answer.status == 200
        self._scrape = Scrape(answer.body, answer.headers["Content-Type"])

    def __getitem__(self, name: str) -> dict[tuple[str, ...], float]:
        return self._scrape[f"fanout_{name}"]

    def one(self, name: str) -> float:
        return self[name][()]


def test_what_happened_is_told_by_class() -> None:
    bus = LocalBus()
    room = bus.begin("main")
    quick, slow = Ear().join(room), Ear(room=0).join(room)
    room.publish([created(), audio(), audio(), control()])
    read = Read(bus)
    assert read["published_total"] == {("audio",): 2, ("control",): 2}
    assert read["delivered_total"] == {("audio",): 2, ("control",): 2}
    assert read.one("delivered_bytes_total") == bus.counts.delivered_bytes > 0
    assert [read.one(name) for name in ("sessions", "listeners", "listeners_behind")] == [1, 2, 1]
    assert read.one("snapshot_seconds_count") == bus.counts.snapshots == 1
    assert read.one("snapshot_seconds_sum") == pytest.approx(bus.counts.snapshot_seconds)
    for ear in (quick, slow):
        room.leave(ear.listener)
    room.end("enough")
    read = Read(bus)
    assert [read.one(name) for name in ("sessions", "listeners", "listeners_behind")] == [0, 0, 0]


def test_what_waits_is_added_up_and_the_most_is_told() -> None:
    bus = LocalBus()
    one, other = bus.begin("main"), bus.begin("press")
    read = Read(bus)
    assert read.one("queued_bytes") == read.one("queued_bytes_max") == 0
    assert read.one("queued_audio_seconds") == read.one("queued_audio_seconds_max") == 0
    ears = [Ear(room=0).join(one), Ear(room=0).join(one, Asked(shape="pcm")), Ear(room=0).join(other)]
    one.publish([audio(100), audio(400)])
    other.publish([audio(2000), control(100)])
    sizes = [ear.listener.queued_bytes for ear in ears]
    read = Read(bus)
    assert read.one("queued_bytes") == sum(sizes)
    assert read.one("queued_bytes_max") == max(sizes) > 2 * min(sizes) > 0
    assert read.one("queued_audio_seconds") == pytest.approx(3.0)
    assert read.one("queued_audio_seconds_max") == pytest.approx(2.0)
    ears[2].read_all()
    assert Read(bus).one("queued_audio_seconds_max") == pytest.approx(0.5)


def test_what_is_lost_is_told_in_seconds_too() -> None:
    bus = LocalBus(Limits(max_queue_ms=1000))
    room = bus.begin("main")
    ear = Ear(room=0).join(room)
    room.publish([audio(600) for _ in range(3)])
    ear.read_all()
    read = Read(bus)
    assert read["dropped_total"] == {("audio",): 2, ("control",): 0}
    assert read.one("dropped_audio_seconds_total") == pytest.approx(1.2)
    assert read.one("lags_total") == 1


def test_what_only_others_count_is_told() -> None:
    counts = Counts(
        bus_lost=Counter(audio=3, control=1),
        bus_unsent=Counter(control=5),
        bus_reconnects=7,
        said=11,
        upstream_failures=13,
    )
    for bus, is_connected in ((LocalBus(counts=counts), 1), (Broken(counts=counts), 0)):
        read = Read(bus)
        assert read.one("bus_connected") == is_connected
        assert read["bus_lost_total"] == {("audio",): 3, ("control",): 1}
        assert read["bus_unsent_total"] == {("audio",): 0, ("control",): 5}
        assert read.one("bus_reconnects_total") == 7
        assert read.one("said_total") == 11
        assert read.one("upstream_failures_total") == 13


def test_a_listener_that_makes_up_codes_makes_no_new_series() -> None:
    made_up = Counter(dict.fromkeys(map(str, range(5000)), 1))
    read = Read(LocalBus(counts=Counts(closes=made_up, refused=made_up)))
    assert len(read["closes_total"]) < 25
    assert sum(read["closes_total"].values()) == sum(read["refused_total"].values()) == 5000
    for code in ("1000", "1001", "1006", "1008", "1013"):
        assert read["closes_total"][code,] == 1
    assert read["refused_total"]["401",] == 1


def test_every_metric_is_explained_and_tells_no_name() -> None:
    bus = LocalBus()
    bus.begin("of-somebody")
    body, content_type = told(bus)
    assert content_type.startswith("text/plain; version=0.0.4")
    assert "of-somebody" not in body.decode()
    found = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert "rtproto_build" in " ".join(found)
    for name, family in found.items():
        assert name.startswith(("rtproto_fanout_", "rtproto_build"))
        assert family.documentation.endswith(".")
        assert {label for sample in family.samples for label in sample.labels} <= {
            "class",
            "code",
            "python",
            "status",
            "version",
        }


def test_a_scraper_has_the_format_that_it_asks_for() -> None:
    bus = LocalBus()
    bus.begin("main")
    assert Read(bus, Accept=OPENMETRICS).one("sessions") == 1
