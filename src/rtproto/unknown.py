"""What this version does not know keeps its bytes, and says why it is not typed."""

from typing import final

from rtproto._shown import shown

__all__ = ["Unknown"]


@final
class Unknown:
    """A JSON object that this version does not type: a whole event, or one object inside an event.

    It encodes to its own bytes, so that nothing is lost. It never views the caller's buffer: ``raw``
    is a copy unless ``bytes`` came in. Treat it as a value: it is hashable, so do not assign to it.
    """

    __slots__ = ("error", "raw", "type")

    type: str
    """The ``type`` on the wire; empty where an object inside an event has none, or none that is a string."""
    raw: bytes
    """The JSON text of the object, byte for byte as it came."""
    error: str | None
    """Why an event of a known type is not typed: the path, then the reason, never the value.
    ``None``: the type, or kind, is one this version does not know."""

    def __init__(self, type: str, raw: bytes, error: str | None = None) -> None:
        self.type = type
        self.raw = raw
        self.error = error

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Unknown):
            return NotImplemented
        return (self.type, self.raw, self.error) == (other.type, other.raw, other.error)

    def __hash__(self) -> int:
        return hash((self.type, self.raw, self.error))

    def __repr__(self) -> str:
        return f"Unknown(type={shown(self.type)!r}, raw=<{len(self.raw)} bytes>, error={self.error!r})"
