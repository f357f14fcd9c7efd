"""No message ever holds a payload: an error names the type and the path, not the value.

::

    RtprotoError
    ├── NotAnEvent      (also a ValueError)   not a JSON object with a string "type"
    └── InvalidEvent    (also a ValueError)   strict=True: a known type of the wrong shape
"""

__all__ = ["InvalidEvent", "NotAnEvent", "RtprotoError"]


class RtprotoError(Exception):
    """Every error that this library raises by itself."""


class NotAnEvent(RtprotoError, ValueError):
    """The data is not a JSON object with a string ``type``.

    Broken or truncated JSON, trailing bytes, invalid UTF-8, an array, a missing or non-string
    ``type``, nesting too deep to read, or nothing at all.
    """


class InvalidEvent(RtprotoError, ValueError):
    """With ``strict=True``, an event of a known type and the wrong shape; or such a REST body."""

    type: str
    """The event's wire name; a body's class."""
    path: str
    """Where the first fault is, as in ``$.item.content[0].text``."""
    reason: str
    """What is wrong there, without the value."""

    def __init__(self, type: str, path: str, reason: str) -> None:
        super().__init__(type, path, reason)
        self.type = type
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.type}: {self.path}: {self.reason}"
