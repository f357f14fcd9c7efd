"""A proxy that knows the type of every frame, and passes on what no policy asked for as it came."""

from rtproto.services.proxy.admission import Admission
from rtproto.services.proxy.counts import Counts, Row, Snapshot
from rtproto.services.proxy.limits import Limits
from rtproto.services.proxy.opening import Opening, Refused, Surface
from rtproto.services.proxy.policy import ALL, Outcome, Pipeline, Policy, Session, Shell
from rtproto.services.proxy.server import Proxy
from rtproto.services.proxy.upstream import Upstream

__all__ = [
    "ALL",
    "Admission",
    "Counts",
    "Limits",
    "Opening",
    "Outcome",
    "Pipeline",
    "Policy",
    "Proxy",
    "Refused",
    "Row",
    "Session",
    "Shell",
    "Snapshot",
    "Surface",
    "Upstream",
]
