"""A proxy that knows the type of every frame, and passes on as it came what no policy asked for.

:class:`Proxy` owns the sockets. A :class:`Pipeline` of policies does no I/O: :mod:`.websockets` and
:mod:`.starlette` join it to servers of your own.
"""

from rtproto.services.proxy.admission import Admission, hash_token, new_token, read_tokens
from rtproto.services.proxy.counts import Counts, Row, Snapshot
from rtproto.services.proxy.fields import SessionFields
from rtproto.services.proxy.filters import AllowTypes, DenyTypes
from rtproto.services.proxy.guarding import Guard
from rtproto.services.proxy.ledger import Usage, UsageLedger
from rtproto.services.proxy.limits import Limits
from rtproto.services.proxy.metrics import exposition
from rtproto.services.proxy.model import ModelLock
from rtproto.services.proxy.opening import Opening, Refused, Surface
from rtproto.services.proxy.policy import ALL, Outcome, Pipeline, Policy, Sent, Session, Shell
from rtproto.services.proxy.recorder import Recorder
from rtproto.services.proxy.server import Proxy
from rtproto.services.proxy.tools import Tools
from rtproto.services.proxy.upstream import Upstream
from rtproto.services.proxy.validation import Validation

__all__ = [
    "ALL",
    "Admission",
    "AllowTypes",
    "Counts",
    "DenyTypes",
    "Guard",
    "Limits",
    "ModelLock",
    "Opening",
    "Outcome",
    "Pipeline",
    "Policy",
    "Proxy",
    "Recorder",
    "Refused",
    "Row",
    "Sent",
    "Session",
    "SessionFields",
    "Shell",
    "Snapshot",
    "Surface",
    "Tools",
    "Upstream",
    "Usage",
    "UsageLedger",
    "Validation",
    "exposition",
    "hash_token",
    "new_token",
    "read_tokens",
]
