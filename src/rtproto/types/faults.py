"""What goes wrong, and what is about to: errors and rate limits."""

from msgspec import UNSET

from rtproto._struct import Maybe, Number, Struct
from rtproto.types.open_enums import RateLimitName

__all__ = ["Error", "RateLimit", "TranscriptionError"]


class Error(Struct, kw_only=True):
    """What the service could not do."""

    type: str
    """The kind of error, as ``invalid_request_error``."""
    code: Maybe[str] = UNSET
    """The error's code; null: none."""
    message: str
    """What happened, for people."""
    param: Maybe[str] = UNSET
    """Which parameter is to blame; null: none."""
    event_id: Maybe[str] = UNSET
    """The ``event_id`` of the client's event that is to blame; null: it had none."""


class TranscriptionError(Struct, kw_only=True):
    """Why an input could not be transcribed."""

    type: Maybe[str] = UNSET
    """The kind of error."""
    code: Maybe[str] = UNSET
    """The error's code."""
    message: Maybe[str] = UNSET
    """What happened, for people."""
    param: Maybe[str] = UNSET
    """Which parameter is to blame; null: none."""


class RateLimit(Struct, kw_only=True):
    """How much is left of one limit."""

    name: Maybe[RateLimitName] = UNSET
    """What is counted."""
    limit: Maybe[int] = UNSET
    """How much there is in all."""
    remaining: Maybe[int] = UNSET
    """How much is left."""
    reset_seconds: Maybe[Number] = UNSET
    """Seconds until it is full again."""
