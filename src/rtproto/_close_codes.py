"""A close code that goes over the wire is one that RFC 6455 §7.4 lets a peer say."""

__all__ = ["ABNORMAL", "NO_STATUS", "SAYABLE"]

SAYABLE = frozenset((*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)))
"""Those."""
NO_STATUS = 1005
"""There was a close frame, without a code."""
ABNORMAL = 1006
"""There was no close frame."""
