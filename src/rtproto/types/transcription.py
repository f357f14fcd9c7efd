"""What the service heard: a transcript's cost, its tokens' probabilities and its languages."""

from typing import TypeAlias

from msgspec import UNSET

from rtproto._struct import Maybe, Number, Open, Struct, Tagged

__all__ = [
    "LogProb",
    "TranscriptionDurationUsage",
    "TranscriptionLanguage",
    "TranscriptionTokenDetails",
    "TranscriptionTokenUsage",
    "TranscriptionUsage",
]


class LogProb(Struct, kw_only=True):
    """How sure the transcription model is of one token."""

    token: str
    """The token."""
    logprob: Number
    """The natural logarithm of its probability. It must be finite: JSON has no infinity."""
    bytes: list[int] | None
    """The token's UTF-8 bytes; null: it has none of its own."""


class TranscriptionLanguage(Struct, kw_only=True):
    """A language that was heard."""

    code: str
    """Which one."""


class TranscriptionTokenDetails(Struct, kw_only=True):
    """Input tokens by modality."""

    text_tokens: Maybe[int] = UNSET
    """Of text."""
    audio_tokens: Maybe[int] = UNSET
    """Of audio."""


class TranscriptionTokenUsage(Tagged, kw_only=True, tag="tokens"):
    """A transcript billed by tokens."""

    total_tokens: int
    """Input and output."""
    input_tokens: int
    """Input."""
    input_token_details: Maybe[TranscriptionTokenDetails] = UNSET
    """Input by modality."""
    output_tokens: int
    """Output."""


class TranscriptionDurationUsage(Tagged, kw_only=True, tag="duration"):
    """A transcript billed by time."""

    seconds: Number
    """Seconds of audio."""


TranscriptionUsage: TypeAlias = TranscriptionTokenUsage | TranscriptionDurationUsage | Open
"""What a transcript cost."""
