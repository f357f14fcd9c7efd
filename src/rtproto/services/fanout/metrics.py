"""What a hub counted is told as Prometheus has it; what waits for listeners is added up when it is asked."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric, SummaryMetricFamily

from rtproto.services.fanout.bus import Bus
from rtproto.services.fanout.counts import CLASSES, Counts
from rtproto.services.fanout.listener import Listener
from rtproto.services.metrics import CODES, STATUSES, Counted, Samples, by_name, counters, exposed, within

__all__ = ["exposition", "families"]


def exposition(bus: Bus, listeners: Iterable[Listener], accept: str | None) -> tuple[bytes, str]:
    """The metrics of a hub, and their content type, in the format that an ``Accept`` header asks for."""
    return exposed(families(bus, listeners), accept)


def families(bus: Bus, listeners: Iterable[Listener]) -> Iterator[Metric]:
    """The metrics of a hub, by its bus and those who listen now."""
    for name, (told, value) in _gauges(bus, listeners).items():
        yield GaugeMetricFamily(f"rtproto_fanout_{name}", told, value)
    yield from counters({f"rtproto_fanout_{name}": row for name, row in _rows(bus.counts).items()})
    yield SummaryMetricFamily(
        "rtproto_fanout_snapshot_seconds",
        "What it took to make the snapshots that listeners begin with.",
        count_value=bus.counts.snapshots,
        sum_value=bus.counts.snapshot_seconds,
    )


def _gauges(bus: Bus, listeners: Iterable[Listener]) -> dict[str, tuple[str, float]]:
    """Every gauge: its help, its value."""
    now = bus.counts
    waiting = [(listener.queued_bytes, listener.queued_ms / 1000) for listener in listeners]
    sizes, seconds = zip(*waiting, strict=True) if waiting else ((), ())
    return {
        "sessions": ("Sessions there are now.", now.sessions),
        "listeners": ("Listeners there are now.", now.listeners),
        "listeners_behind": ("Listeners for whom something waits.", now.behind),
        "bus_connected": ("Whether the bus carries: 1 or 0.", bus.is_connected),
        "queued_bytes": ("Bytes that wait for all listeners.", sum(sizes)),
        "queued_bytes_max": ("Bytes that wait for one listener, at most.", max(sizes, default=0)),
        "queued_audio_seconds": ("Audio that waits for all listeners.", sum(seconds)),
        "queued_audio_seconds_max": (
            "Audio that waits for one listener, at most.",
            max(seconds, default=0.0),
        ),
    }


def _rows(now: Counts) -> dict[str, Counted]:
    """Every counter: its labels, its help, its values."""
    by_class = ("class",)
    return {
        "published": (by_class, "Events that came for sessions.", _classes(now.published)),
        "delivered": (by_class, "Messages written to listeners.", _classes(now.delivered)),
        "delivered_bytes": (
            (),
            "Bytes of these messages, as they go over the wire.",
            _one(now.delivered_bytes),
        ),
        "dropped": (
            by_class,
            "Messages that a listener read too slowly for; of class control: it was closed.",
            _classes(now.dropped),
        ),
        "dropped_audio_seconds": ((), "How long the audio of these plays.", _one(now.dropped_ms / 1000)),
        "lags": ((), "Times that a listener was told that something was lost.", _one(now.lags)),
        "bus_lost": (
            by_class,
            "Events that the bus did not bring; they are announced.",
            _classes(now.bus_lost),
        ),
        "bus_unsent": (by_class, "Events that could not be given to the bus.", _classes(now.bus_unsent)),
        "bus_reconnects": ((), "Times that the bus came back.", _one(now.bus_reconnects)),
        "said": ((), "Events of speakers that went to services.", _one(now.said)),
        "refused": (
            ("status",),
            "Listeners that were not let in, by HTTP status.",
            within(STATUSES, now.refused),
        ),
        "closes": (
            ("code",),
            "Listeners that left, by close code; 1006: it vanished.",
            within(CODES, now.closes),
        ),
        "upstream_failures": ((), "Times that a service could not be reached.", _one(now.upstream_failures)),
    }


def _one(count: float) -> Samples:
    return {(): count}


def _classes(counts: Mapping[str, int]) -> Samples:
    return by_name({name: counts.get(name, 0) for name in CLASSES})
