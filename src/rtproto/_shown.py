"""A wire name may be anything, and of any length: what is shown of it is short."""

__all__ = ["shown"]

_MOST = 80


def shown(name: str) -> str:
    """A wire name for a message or a repr; the protocol's own are 53 characters at most."""
    return name if len(name) <= _MOST else f"{name[:_MOST]}…"
