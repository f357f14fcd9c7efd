"""No message ever holds a payload: an error names the type and the path, not the value.

::

    RtprotoError
    ├── NotAnEvent      (also a ValueError)   not a JSON object with a string "type"
    ├── InvalidEvent    (also a ValueError)   a known type of the wrong shape, or audio that is none
    └── NoSuchPath      (also a KeyError)     a path that a frame does not have

What a caller does wrong, whatever the frame, is a ``TypeError`` or ``ValueError`` as anywhere.
"""

from rtproto._shown import shown

__all__ = ["InvalidEvent", "NoSuchPath", "NotAnEvent", "RtprotoError"]


class RtprotoError(Exception):
    """Every error that data can cause."""


class NotAnEvent(RtprotoError, ValueError):
    """The data is not a JSON object with a string ``type``.

    Broken or truncated JSON, trailing bytes, invalid UTF-8, an array, a missing or non-string
    ``type``, nesting too deep to read, or nothing at all.
    """


class _Located(RtprotoError):
    """What is wrong at a place in an event."""

    type: str
    """The event's wire name; a body's class."""
    path: str
    """Where the fault is, as in ``$.item.content[0].text``."""
    reason: str
    """What is wrong there, without the value."""

    def __init__(self, type: str, path: str, reason: str) -> None:
        super().__init__(type, path, reason)
        self.type = type
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{shown(self.type)}: {self.path}: {self.reason}"


class InvalidEvent(_Located, ValueError):
    """An event, or a REST body, is not what it must be: the first fault.

    With ``strict=True`` an event of a known type and the wrong shape; in the audio lane what holds no
    audio, no base64, or too much; in an edit what would take too long.
    """


class NoSuchPath(_Located, KeyError):
    """A frame has no value at a path: a key is not there, or what should hold it is no object."""
