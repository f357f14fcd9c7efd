"""A metric is read from a snapshot when it is asked for; what a peer chooses is no label, unless it is known.

``GET /metrics`` answers in the text format of Prometheus, or in OpenMetrics' if the scraper asks for it;
``GET /healthz`` with 200, or with 503 when nobody new should come.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from platform import python_version
from typing import Final, Self, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from rtproto._sockets import Listening, Refusal, Request, listen, page, refuse
from rtproto._version import __version__
from rtproto.services.proxy.counts import BUCKETS, MALFORMED, UNKNOWN, Snapshot

__all__ = ["MetricsServer", "exposition"]

_Samples: TypeAlias = Mapping[tuple[str, ...], float]

_CODES: Final = frozenset(map(str, (*range(1000, 1004), *range(1005, 1016), 3000, 3003, 3008, 4000)))
"""Close codes that mean something to somebody: RFC 6455's, IANA's, and the service's own."""
_STATUSES: Final = frozenset(map(str, range(400, 600)))
_OTHER = "other"
_DIRECTIONS = ("client", "server")
_SIDES = ("client", "upstream")


class _Counted(Collector):
    """The metrics of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        now = self._snapshot
        yield GaugeMetricFamily("rtproto_sessions_open", "Sessions there are now.", now.sessions_open)
        for name, (labels, told, samples) in _counters(now).items():
            family = CounterMetricFamily(name, told, labels=labels)
            for values, count in sorted(samples.items()):
                family.add_metric(values, count)
            yield family
        yield HistogramMetricFamily(
            "rtproto_added_latency_seconds",
            "For how long the proxy had the frames of a turn of its event loop, one turn in eight.",
            buckets=_buckets(now.added),
            sum_value=now.added_seconds,
        )
        build = {"version": __version__, "python": python_version()}
        yield InfoMetricFamily("rtproto_build", "What is running.", build)


def _counters(now: Snapshot) -> dict[str, tuple[Sequence[str], str, _Samples]]:
    """Every counter: its labels, its help, its values."""
    by_type = ("direction", "type")
    return {
        "rtproto_sessions": ((), "Sessions there have been.", {(): now.sessions}),
        "rtproto_frames": (by_type, "Messages that came, by who sent them.", _nested(now.frames)),
        "rtproto_bytes": (by_type, "Bytes of these messages.", _nested(now.bytes)),
        "rtproto_unknown_events": (
            ("direction",),
            "Events of a type that this version does not know; they passed.",
            _of_type(now, UNKNOWN),
        ),
        "rtproto_malformed": (("direction",), "Text messages that are no event.", _of_type(now, MALFORMED)),
        "rtproto_backpressure_seconds": (
            ("side",),
            "For how long sessions waited for a side that did not read.",
            _flat({**dict.fromkeys(_SIDES, 0.0), **now.backpressure_seconds}),
        ),
        "rtproto_stalled": ((), "Sessions closed because a side did not read.", {(): now.stalled}),
        "rtproto_closes": (
            ("code",),
            "Sessions that ended, by the close code that the client had; 1006: it vanished.",
            _within(_CODES, now.closes),
        ),
        "rtproto_refused": (
            ("status",),
            "Clients that were not let in, by HTTP status.",
            _within(_STATUSES, now.refused),
        ),
        "rtproto_added_latency_frames": (
            (),
            "Frames in the turns that rtproto_added_latency_seconds is of.",
            {(): now.added_frames},
        ),
        "rtproto_policy_errors": (("policy",), "Exceptions of policies.", _flat(now.policy_errors)),
        "rtproto_tokens": (("kind",), "Tokens that the service counted.", _flat(now.tokens)),
        "rtproto_recorded": (
            ("outcome",),
            "What became of frames that were to be recorded.",
            _flat(now.recorded),
        ),
    }


def _flat(counts: Mapping[str, float]) -> _Samples:
    return {(name,): count for name, count in counts.items()}


def _nested(counts: Mapping[str, Mapping[str, int]]) -> _Samples:
    return {(outer, inner): count for outer, row in counts.items() for inner, count in row.items()}


def _of_type(now: Snapshot, name: str) -> _Samples:
    return {(side,): now.frames.get(side, {}).get(name, 0) for side in _DIRECTIONS}


def _within(known: frozenset[str], counts: Mapping[str, int]) -> _Samples:
    """What a peer chooses is told by name if it is known, else in one sum."""
    samples: Counter[tuple[str, ...]] = Counter()
    for name, count in counts.items():
        samples[(name if name in known else _OTHER,)] += count
    return samples


def _buckets(added: Sequence[int]) -> list[tuple[str, float]]:
    """How many took no longer than each bound; the last bucket has none."""
    last = BUCKETS - 1
    counts = [*added[:last], *[0] * (last - len(added)), sum(added[last:])]
    bounds = [*(str(2**power / 1e6) for power in range(last)), "+Inf"]
    return [*zip(bounds, accumulate(counts), strict=True)]


def exposition(snapshot: Snapshot, accept: str | None) -> tuple[bytes, str]:
    """The metrics of a snapshot, and their content type, in the format that an ``Accept`` header asks for."""
    registry = CollectorRegistry()
    registry.register(_Counted(snapshot))
    try:
        encode, content_type = choose_encoder(accept or "")
    except (TypeError, ValueError):  # it asks for a version that is no number
        encode, content_type = choose_encoder("")
    return encode(registry), content_type


class MetricsServer:
    """Serves metrics and health on a port of its own, which clients of the proxy need not reach.

    ``async with MetricsServer(…) as server``: open as long as that lasts.

    Raises:
        OSError: on entering: the address cannot be had.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        is_ready: Callable[[], bool],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.host: str = host
        """Where it listens."""
        self.port: int = port
        """The port; 0 becomes the one that was free."""
        self._snapshot = snapshot
        self._is_ready = is_ready
        self._listening: Listening | None = None

    @property
    def url(self) -> str:
        """Where the metrics are."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/metrics"

    async def __aenter__(self) -> Self:
        self._listening = await listen(self._answer, self.host, self.port)
        self.port = self._listening.port
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listening is not None:
            await self._listening.close()

    def _answer(self, request: Request) -> Refusal:  # of GET only: picows takes no other
        match request.path.partition(b"?")[0]:
            case b"/metrics":
                return page(*exposition(self._snapshot(), request.headers.get("Accept")))
            case b"/healthz":
                return page(b"ok\n") if self._is_ready() else refuse(503, b"draining\n")
            case _:
                return refuse(404, b"no such page\n")
