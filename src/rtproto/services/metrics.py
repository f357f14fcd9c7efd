"""Metrics are read when a scraper asks for them; what a peer chooses is no label, unless it is known.

``GET /metrics`` answers in the text format of Prometheus, or in OpenMetrics' if the scraper asks for it;
``GET /healthz`` with 200, or with 503 when nobody new should come.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from platform import python_version
from typing import Final, Self, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from rtproto._sockets import Listening, Refusal, Request, listen, page, refuse
from rtproto._version import __version__

__all__ = [
    "CODES",
    "STATUSES",
    "Counted",
    "Exposition",
    "MetricsServer",
    "Samples",
    "by_name",
    "counters",
    "exposed",
    "within",
]

Samples: TypeAlias = Mapping[tuple[str, ...], float]
"""Values by those of the labels."""
Counted: TypeAlias = tuple[Sequence[str], str, Samples]
"""A counter: its labels, its help, its values."""
Exposition: TypeAlias = Callable[[str | None], tuple[bytes, str]]
"""Makes metrics, and their content type, in the format that an ``Accept`` header asks for."""

CODES: Final = frozenset(map(str, (*range(1000, 1004), *range(1005, 1016), 3000, 3003, 3008, 4000)))
"""Close codes that mean something to somebody: RFC 6455's, IANA's, and the service's own."""
STATUSES: Final = frozenset(map(str, range(400, 600)))
"""HTTP statuses that somebody is refused with."""
_OTHER = "other"


# What is told ---------------------------------------------------------------------------------


def counters(rows: Mapping[str, Counted]) -> Iterator[Metric]:
    """Counters, by name."""
    for name, (labels, told, samples) in rows.items():
        family = CounterMetricFamily(name, told, labels=labels)
        for values, count in sorted(samples.items()):
            family.add_metric(values, count)
        yield family


def by_name(counts: Mapping[str, float]) -> Samples:
    """Values by one label."""
    return {(name,): count for name, count in counts.items()}


def within(known: frozenset[str], counts: Mapping[str, int]) -> Samples:
    """What a peer chooses is told by name if it is known, else in one sum."""
    samples: Counter[tuple[str, ...]] = Counter()
    for name, count in counts.items():
        samples[(name if name in known else _OTHER,)] += count
    return samples


class _Families(Collector):
    """Some metrics, and what runs."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families
        build = {"version": __version__, "python": python_version()}
        yield InfoMetricFamily("rtproto_build", "What is running.", build)


def exposed(families: Iterable[Metric], accept: str | None) -> tuple[bytes, str]:
    """Metrics, and their content type, in the format that an ``Accept`` header asks for."""
    registry = CollectorRegistry()
    registry.register(_Families(families))
    try:
        encode, content_type = choose_encoder(accept or "")
    except (TypeError, ValueError):  # it asks for a version that is no number
        encode, content_type = choose_encoder("")
    return encode(registry), content_type


# Where ----------------------------------------------------------------------------------------


class MetricsServer:
    """Serves metrics and health on a port of its own, which clients need not reach.

    ``async with MetricsServer(…) as server``: open as long as that lasts.

    Raises:
        OSError: on entering: the address cannot be had.
    """

    def __init__(
        self,
        exposition: Exposition,
        is_ready: Callable[[], bool],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.host: str = host
        """Where it listens."""
        self.port: int = port
        """The port; 0 becomes the one that was free."""
        self._exposition = exposition
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
                return page(*self._exposition(request.headers.get("Accept")))
            case b"/healthz":
                return page(b"ok\n") if self._is_ready() else refuse(503, b"not ready\n")
            case _:
                return refuse(404, b"no such page\n")
