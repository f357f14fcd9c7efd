"""A session as the client asks for it (a patch), and as the service returns it (the whole)."""

from typing import TypeAlias

from msgspec import UNSET

from rtproto._struct import Json, Maybe, Number, Open, Secret, Struct, Tagged
from rtproto.types.audio import AudioConfig, TranscriptionAudio
from rtproto.types.open_enums import (
    AudioModality,
    Include,
    MaxOutputTokens,
    RealtimeModel,
    ReasoningEffort,
    TracingMode,
    TruncationMode,
)
from rtproto.types.prompt import Prompt
from rtproto.types.tools import Tool, ToolChoice

__all__ = [
    "ClientSecret",
    "Reasoning",
    "RetentionRatio",
    "ReturnedSession",
    "SessionConfig",
    "SessionCreateRequest",
    "SessionCreateResponse",
    "TokenLimits",
    "Tracing",
    "TracingConfig",
    "TranscriptionSessionCreateRequest",
    "TranscriptionSessionCreateResponse",
    "Truncation",
]


class Reasoning(Struct, kw_only=True):
    """How a reasoning model thinks."""

    effort: Maybe[ReasoningEffort] = UNSET
    """How hard."""


class TokenLimits(Struct, kw_only=True):
    """How much of a conversation survives truncation."""

    post_instructions: Maybe[int] = UNSET
    """Tokens of conversation kept after the instructions and tools, 0 or more."""


class RetentionRatio(Tagged, kw_only=True, tag="retention_ratio"):
    """Truncate to a share of the window, so that the prompt cache lasts longer."""

    retention_ratio: Number
    """The share to keep, 0 to 1."""
    token_limits: Maybe[TokenLimits] = UNSET
    """Limits of one's own in place of the model's window."""


Truncation: TypeAlias = TruncationMode | RetentionRatio | Open
"""What happens when a conversation outgrows the model's window."""


class TracingConfig(Struct, kw_only=True):
    """Tracing with names of one's own."""

    workflow_name: Maybe[str] = UNSET
    """What traces are listed under."""
    group_id: Maybe[str] = UNSET
    """What ties traces together."""
    metadata: Maybe[Json] = UNSET
    """Anything to keep with them: a JSON object."""


Tracing: TypeAlias = TracingMode | TracingConfig
"""Whether and how the service keeps a trace; where it may be null, null switches it off."""


class ClientSecret(Struct, kw_only=True):
    """A key that a browser may hold."""

    value: Secret
    """The key, ``ek_…``."""
    expires_at: int
    """Until when, in Unix seconds."""


class _RealtimeSession(Tagged, kw_only=True):
    model: Maybe[RealtimeModel] = UNSET
    """Which model answers; fixed once connected."""
    output_modalities: Maybe[list[AudioModality]] = UNSET
    """What it answers in: one of text and audio."""
    instructions: Maybe[str] = UNSET
    """The system prompt; empty clears it, whereupon the service returns its own."""
    tools: Maybe[list[Tool]] = UNSET
    """What the model may call; ``[]`` clears them."""
    tool_choice: Maybe[ToolChoice] = UNSET
    """How it picks among them."""
    parallel_tool_calls: Maybe[bool] = UNSET
    """Whether one response may call several."""
    reasoning: Maybe[Reasoning] = UNSET
    """How it thinks."""
    max_output_tokens: Maybe[MaxOutputTokens] = UNSET
    """The most that one response may cost, calls included."""
    tracing: Maybe[Tracing] = UNSET
    """Whether the service keeps a trace; null: no."""
    truncation: Maybe[Truncation] = UNSET
    """What happens when the conversation outgrows the window."""
    prompt: Maybe[Prompt] = UNSET
    """A stored template; null: none."""
    audio: Maybe[AudioConfig] = UNSET
    """Audio in and out."""
    include: Maybe[list[Include]] = UNSET
    """What to send beside the usual; null in what the service returns when nothing was asked for."""


class SessionCreateRequest(_RealtimeSession, kw_only=True, tag="realtime"):
    """A conversation with a model, as asked for.

    In ``session.update`` it is a patch: an absent field stays as it is, null switches off, ``[]`` and
    ``""`` clear.
    """


class SessionCreateResponse(_RealtimeSession, kw_only=True, tag="realtime"):
    """A conversation with a model, as it stands."""

    id: str
    """The session's id, ``sess_…``."""
    object: str
    """``realtime.session``."""
    expires_at: Maybe[int] = UNSET
    """When the service will close it, in Unix seconds; 0 where it has not begun."""
    client_secret: Maybe[ClientSecret] = UNSET
    """A browser's key, in the style of before GA; null: none."""


class _TranscriptionSession(Tagged, kw_only=True):
    audio: Maybe[TranscriptionAudio] = UNSET
    """What is heard, and how it is transcribed."""
    include: Maybe[list[Include]] = UNSET
    """What to send beside the usual; null in what the service returns when nothing was asked for."""


class TranscriptionSessionCreateRequest(_TranscriptionSession, kw_only=True, tag="transcription"):
    """A session that only listens, as asked for; a patch in ``session.update``."""

    model: Maybe[str] = UNSET
    """Only the original crate writes it here; GA has it in ``audio.input.transcription``."""
    language: Maybe[str] = UNSET
    """Only the original crate writes it here; GA has it in ``audio.input.transcription``."""
    prompt: Maybe[str] = UNSET
    """Only the original crate writes it here; GA has it in ``audio.input.transcription``."""


class TranscriptionSessionCreateResponse(_TranscriptionSession, kw_only=True, tag="transcription"):
    """A session that only listens, as it stands."""

    id: str
    """The session's id, ``sess_…``."""
    object: str
    """``realtime.transcription_session``."""
    expires_at: Maybe[int] = UNSET
    """When the service will close it, in Unix seconds; 0 where it has not begun."""


SessionConfig: TypeAlias = SessionCreateRequest | TranscriptionSessionCreateRequest | Open
"""A session as asked for; the beta's flat one, without a ``type``, is an ``Unknown``."""

ReturnedSession: TypeAlias = SessionCreateResponse | TranscriptionSessionCreateResponse | Open
"""A session as it stands; the beta's flat one, without a ``type``, is an ``Unknown``."""
