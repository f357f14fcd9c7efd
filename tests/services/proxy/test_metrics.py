"""What a scraper reads is what was counted, whoever counted it, and in a size that no peer can choose."""

import asyncio
import http.client
import math
from collections.abc import Callable, Iterator
from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from rtproto import __version__
from rtproto._sockets import new_loop
from rtproto.services.metrics import MetricsServer
from rtproto.services.proxy.counts import BUCKETS, Counts, Snapshot
from rtproto.services.proxy.metrics import exposition

SECONDS = 20
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
LOOPS = (asyncio.new_event_loop, new_loop)

COUNT = st.integers(0, 2**40)
TIME = st.integers(0, 2**30).map(lambda number: number / 2**10)  # sums of these are exact, in any order
TYPES = st.sampled_from(["session.update", "response.done", "unknown", "malformed", "binary"])


def counted(names: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, int]]:
    return st.dictionaries(names, COUNT, max_size=5)


BY_TYPE = st.dictionaries(st.sampled_from(["client", "server"]), counted(TYPES))
SNAPSHOTS = st.builds(
    Snapshot,
    frames=BY_TYPE,
    bytes=BY_TYPE,
    sessions_open=COUNT,
    sessions=COUNT,
    refused=counted(st.integers(390, 610).map(str)),
    closes=counted(st.integers(990, 4999).map(str)),
    stalled=COUNT,
    backpressure_seconds=st.dictionaries(st.sampled_from(["client", "upstream"]), TIME),
    added=st.just([]) | st.lists(COUNT, min_size=BUCKETS, max_size=BUCKETS),
    added_seconds=TIME,
    added_frames=COUNT,
    policy_errors=counted(st.sampled_from(["ForceModel", 'a "quoted"\nname \\'])),
    tokens=counted(st.sampled_from(["input", "output"])),
    recorded=counted(st.sampled_from(["written", "dropped"])),
)


class Scrape:
    """What a scraper makes of it."""

    def __init__(self, body: bytes, content_type: str = "text/plain") -> None:
        parse: Callable[[str], Iterator[object]] = (
            openmetrics.text_string_to_metric_families
            if "openmetrics" in content_type
            else text_string_to_metric_families
        )
        self.values: dict[str, dict[tuple[str, ...], float]] = {}
        for family in parse(body.decode()):
            for sample in family.samples:
                labels = tuple(sample.labels.values())
                values = self.values.setdefault(sample.name, {})
                assert labels not in values
                values[labels] = sample.value

    def __getitem__(self, name: str) -> dict[tuple[str, ...], float]:
        return self.values.get(f"rtproto_{name}", {})


def nested(counts: dict[str, dict[str, int]]) -> dict[tuple[str, ...], float]:
    return {(side, name): count for side, row in counts.items() for name, count in row.items()}


def flat(counts: dict[str, int]) -> dict[tuple[str, ...], float]:
    return {(name,): count for name, count in counts.items()}


# What is told ---------------------------------------------------------------------------------


@given(SNAPSHOTS, st.sampled_from([None, "", "text/plain", OPENMETRICS]))
def test_what_is_read_is_what_was_counted(now: Snapshot, accept: str | None) -> None:
    scrape = Scrape(*exposition(now, accept))
    assert scrape["sessions_open"] == {(): now.sessions_open}
    assert scrape["sessions_total"] == {(): now.sessions}
    assert scrape["stalled_total"] == {(): now.stalled}
    assert scrape["frames_total"] == nested(now.frames)
    assert scrape["bytes_total"] == nested(now.bytes)
    assert scrape["policy_errors_total"] == flat(now.policy_errors)
    assert scrape["tokens_total"] == flat(now.tokens)
    assert scrape["recorded_total"] == flat(now.recorded)
    for side in ("client", "server"):
        row = now.frames.get(side, {})
        assert scrape["unknown_events_total"][side,] == row.get("unknown", 0)
        assert scrape["malformed_total"][side,] == row.get("malformed", 0)
    for side in ("client", "upstream"):
        assert scrape["backpressure_seconds_total"][side,] == now.backpressure_seconds.get(side, 0)
    assert sum(scrape["closes_total"].values()) == sum(now.closes.values())
    assert sum(scrape["refused_total"].values()) == sum(now.refused.values())


@given(SNAPSHOTS)
def test_the_histogram_holds_every_turn(now: Snapshot) -> None:
    scrape = Scrape(*exposition(now, None))
    buckets = scrape["added_latency_seconds_bucket"]
    assert [float(bound) for (bound,) in buckets] == [2**n / 1e6 for n in range(BUCKETS - 1)] + [math.inf]
    counts = [*buckets.values()]
    steps = [one - other for one, other in zip(counts, [0, *counts], strict=False)]
    assert steps == (now.added or [0] * BUCKETS)
    assert scrape["added_latency_seconds_count"] == {(): sum(now.added)}
    assert scrape["added_latency_frames_total"] == {(): now.added_frames}
    assert scrape["added_latency_seconds_sum"] == {(): now.added_seconds}


def test_a_turn_is_in_the_bucket_that_it_took_less_than() -> None:
    added = [0] * BUCKETS
    added[10] += 1  # less than 1,024 µs
    buckets = Scrape(*exposition(Snapshot(added=added), None))["added_latency_seconds_bucket"]
    assert buckets["0.000512",] == 0
    assert buckets["0.001024",] == 1


def test_a_peer_that_makes_up_codes_makes_no_new_series() -> None:
    closes = dict.fromkeys(map(str, range(5000)), 1)
    scrape = Scrape(*exposition(Snapshot(closes=closes, refused=closes), None))
    assert len(scrape["closes_total"]) < 25
    assert sum(scrape["closes_total"].values()) == 5000
    for code in ("1000", "1001", "1006", "1009", "1011", "4000"):
        assert scrape["closes_total"][code,] == 1
    assert ("1004",) not in scrape["closes_total"]
    assert len(scrape["refused_total"]) == 201
    assert scrape["refused_total"]["other",] == 4800


def test_no_other_is_told_of_where_there_is_none() -> None:
    scrape = Scrape(*exposition(Snapshot(closes={"1000": 2}), None))
    assert scrape["closes_total"] == {("1000",): 2}
    assert scrape["refused_total"] == {}


def test_what_runs_is_told() -> None:
    body, _ = exposition(Snapshot(), None)
    assert f'version="{__version__}"' in body.decode()
    assert Scrape(body)["build_info"]


def test_every_metric_is_explained() -> None:
    for family in text_string_to_metric_families(exposition(Snapshot(), None)[0].decode()):
        assert family.name.startswith("rtproto_")
        assert family.documentation.endswith(".")


ACCEPTS = {
    None: "text/plain; version=0.0.4",
    "": "text/plain; version=0.0.4",
    "*/*": "text/plain; version=0.0.4",
    "text/plain;version=x": "text/plain; version=0.0.4",
    "application/json": "text/plain; version=0.0.4",
    OPENMETRICS: "application/openmetrics-text; version=1.0.0",
    "application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.3": "text/plain; version=0.0.4",
}


@pytest.mark.parametrize(("accept", "content_type"), ACCEPTS.items(), ids=map(str, ACCEPTS))
def test_the_format_is_the_one_asked_for_or_the_plain_one(accept: str | None, content_type: str) -> None:
    body, told = exposition(Snapshot(), accept)
    assert told.startswith(content_type)
    assert body.endswith(b"# EOF\n") is ("openmetrics" in content_type)


FORMATS = st.sampled_from(["application/openmetrics-text", "text/plain", "*/*"])
PARAMETERS = st.sampled_from(["version=", "escaping=", "escaping=allow-utf-8", "q=", ",", ""])


@given(
    st.lists(
        st.tuples(FORMATS, PARAMETERS, st.text(max_size=8)).map(lambda parts: ";".join(parts[:2]) + parts[2])
    ).map(",".join)
)
def test_whatever_is_asked_for_something_is_told(accept: str) -> None:
    assert Scrape(*exposition(Snapshot(sessions=7), accept))["sessions_total"] == {(): 7}


# Snapshots add up -----------------------------------------------------------------------------


@given(SNAPSHOTS, SNAPSHOTS)
def test_it_does_not_matter_who_is_added_to_whom(one: Snapshot, other: Snapshot) -> None:
    assert one + other == other + one


@given(SNAPSHOTS, SNAPSHOTS, SNAPSHOTS)
def test_it_does_not_matter_who_is_added_first(one: Snapshot, two: Snapshot, three: Snapshot) -> None:
    assert (one + two) + three == one + (two + three)


@given(SNAPSHOTS)
def test_nothing_added_is_nothing(one: Snapshot) -> None:
    before = msgspec.json.encode(one)
    assert one + Snapshot() == Snapshot() + one == one
    assert (one + one).sessions == 2 * one.sessions
    assert msgspec.json.encode(one) == before
    assert Snapshot() == Snapshot(frames={}, added=[])  # adding has put nothing into the defaults


@given(SNAPSHOTS, SNAPSHOTS)
def test_what_is_read_of_a_sum_is_the_sum_of_what_is_read(one: Snapshot, other: Snapshot) -> None:
    both, *each = [Scrape(*exposition(now, None)).values for now in (one + other, one, other)]
    for name, values in both.items():
        if name != "rtproto_build_info":
            for labels, value in values.items():
                assert value == sum(part.get(name, {}).get(labels, 0) for part in each)


@given(SNAPSHOTS)
def test_a_snapshot_comes_through_a_pipe(now: Snapshot) -> None:
    assert msgspec.json.decode(msgspec.json.encode(now), type=Snapshot) == now


# Over the wire --------------------------------------------------------------------------------


class Answer:
    def __init__(self, port: int, path: str, headers: dict[str, str], method: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        self.status = answer.status
        self.headers = answer.headers
        self.body = answer.read()
        connection.close()


class Served:
    """A server, and what is asked of it."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.is_ready = True

    def _exposition(self, accept: str | None) -> tuple[bytes, str]:
        return exposition(self.counts.snapshot(), accept)

    def ask(self, path: str, method: str = "GET", **headers: str) -> list[Answer]:
        """In each of the event loops that there are."""

        async def asked() -> Answer:
            async with MetricsServer(self._exposition, lambda: self.is_ready) as server:
                assert server.url == f"http://127.0.0.1:{server.port}/metrics"
                return await asyncio.to_thread(Answer, server.port, path, headers, method)

        answers = []
        for loop in LOOPS:
            with asyncio.Runner(loop_factory=loop) as runner:
                answers.append(runner.run(asked()))
        return answers


def test_the_metrics_are_read_when_they_are_asked_for() -> None:
    served = Served()
    for sessions, path in product((1, 2), ("/metrics", "/metrics?name=x")):
        served.counts.sessions = sessions
        for answer in served.ask(path):
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert Scrape(answer.body)["sessions_total"] == {(): sessions}


def test_a_scraper_has_the_format_that_it_asks_for() -> None:
    for answer in Served().ask("/metrics", Accept=OPENMETRICS):
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert answer.body.endswith(b"# EOF\n")


def test_health_is_whether_clients_may_come() -> None:
    served = Served()
    assert [(answer.status, answer.body) for answer in served.ask("/healthz")] == [(200, b"ok\n")] * 2
    served.is_ready = False
    assert [(answer.status, answer.body) for answer in served.ask("/healthz")] == [(503, b"not ready\n")] * 2
    assert {answer.status for answer in served.ask("/metrics")} == {200}


@pytest.mark.parametrize("path", ["/", "/metrics/", "/healthzz", "/v1/realtime?model=m"])
def test_there_is_nothing_else(path: str) -> None:
    assert {answer.status for answer in Served().ask(path)} == {404}


def test_nothing_is_taken() -> None:
    assert {answer.status // 100 for answer in Served().ask("/metrics", "POST")} == {4}


def test_nobody_comes_in_by_a_websocket() -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    assert {answer.status for answer in Served().ask("/metrics", **headers)} == {200}


def nothing(_: str | None) -> tuple[bytes, str]:
    return b"", "text/plain"


def test_an_address_that_is_taken_is_told() -> None:
    async def twice() -> None:
        async with MetricsServer(nothing, bool) as one:
            with pytest.raises(OSError, match="in use"):
                async with MetricsServer(nothing, bool, port=one.port):
                    pass

    asyncio.run(twice())


def test_an_address_with_colons_is_told_in_brackets() -> None:
    assert MetricsServer(nothing, bool, host="::1", port=9000).url == "http://[::1]:9000/metrics"
