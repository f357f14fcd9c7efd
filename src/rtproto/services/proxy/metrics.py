"""What a proxy counted is told as Prometheus has it, from a snapshot: of one process, or of many together."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

from rtproto.services.metrics import CODES, STATUSES, Counted, Samples, by_name, counters, exposed, within
from rtproto.services.proxy.counts import BUCKETS, MALFORMED, UNKNOWN, Snapshot

__all__ = ["exposition", "families"]

_DIRECTIONS = ("client", "server")
_SIDES = ("client", "upstream")


def exposition(snapshot: Snapshot, accept: str | None) -> tuple[bytes, str]:
    """The metrics of a snapshot, and their content type, in the format that an ``Accept`` header asks for."""
    return exposed(families(snapshot), accept)


def families(now: Snapshot) -> Iterator[Metric]:
    """The metrics of a snapshot."""
    yield GaugeMetricFamily("rtproto_sessions_open", "Sessions there are now.", now.sessions_open)
    yield from counters(_rows(now))
    yield HistogramMetricFamily(
        "rtproto_added_latency_seconds",
        "For how long the proxy had the frames of a turn of its event loop, one turn in eight.",
        buckets=_buckets(now.added),
        sum_value=now.added_seconds,
    )


def _rows(now: Snapshot) -> dict[str, Counted]:
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
            by_name({**dict.fromkeys(_SIDES, 0.0), **now.backpressure_seconds}),
        ),
        "rtproto_stalled": ((), "Sessions closed because a side did not read.", {(): now.stalled}),
        "rtproto_closes": (
            ("code",),
            "Sessions that ended, by the close code that the client had; 1006: it vanished.",
            within(CODES, now.closes),
        ),
        "rtproto_refused": (
            ("status",),
            "Clients that were not let in, by HTTP status.",
            within(STATUSES, now.refused),
        ),
        "rtproto_added_latency_frames": (
            (),
            "Frames in the turns that rtproto_added_latency_seconds is of.",
            {(): now.added_frames},
        ),
        "rtproto_policy_errors": (("policy",), "Exceptions of policies.", by_name(now.policy_errors)),
        "rtproto_tokens": (("kind",), "Tokens that the service counted.", by_name(now.tokens)),
        "rtproto_recorded": (
            ("outcome",),
            "What became of frames that were to be recorded.",
            by_name(now.recorded),
        ),
    }


def _nested(counts: Mapping[str, Mapping[str, int]]) -> Samples:
    return {(outer, inner): count for outer, row in counts.items() for inner, count in row.items()}


def _of_type(now: Snapshot, name: str) -> Samples:
    return {(side,): now.frames.get(side, {}).get(name, 0) for side in _DIRECTIONS}


def _buckets(added: Sequence[int]) -> list[tuple[str, float]]:
    """How many took no longer than each bound; the last bucket has none."""
    last = BUCKETS - 1
    counts = [*added[:last], *[0] * (last - len(added)), sum(added[last:])]
    bounds = [*(str(2**power / 1e6) for power in range(last)), "+Inf"]
    return [*zip(bounds, accumulate(counts), strict=True)]
