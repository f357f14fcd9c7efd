"""A proxy that knows the type of every frame, and passes on what no policy asked for as it came."""

from rtproto.services.proxy.counts import Counts, Row, Snapshot
from rtproto.services.proxy.opening import Opening, Refused, Surface
from rtproto.services.proxy.policy import ALL, Outcome, Pipeline, Policy, Session, Shell

__all__ = [
    "ALL",
    "Counts",
    "Opening",
    "Outcome",
    "Pipeline",
    "Policy",
    "Refused",
    "Row",
    "Session",
    "Shell",
    "Snapshot",
    "Surface",
]
