"""A response is what the model makes of one turn: asked for, streamed, and accounted for."""

from typing import TypeAlias

from msgspec import UNSET

from rtproto._struct import Base64, Maybe, Struct
from rtproto.types.audio import ResponseAudio
from rtproto.types.items import ConversationItem, InputItem
from rtproto.types.open_enums import (
    AudioModality,
    ConversationMode,
    MaxOutputTokens,
    ResponseStatus,
    StatusReason,
)
from rtproto.types.prompt import Prompt
from rtproto.types.session import Reasoning
from rtproto.types.tools import Tool, ToolChoice

__all__ = [
    "CachedTokensDetails",
    "InputTokenDetails",
    "Metadata",
    "OutputTokenDetails",
    "Response",
    "ResponseContentPart",
    "ResponseCreateParams",
    "ResponseError",
    "StatusDetails",
    "Usage",
]

Metadata: TypeAlias = dict[str, str]
"""The caller's own notes: up to 16 pairs, keys to 64 characters, values to 512."""


class ResponseError(Struct, kw_only=True):
    """Why a response failed."""

    type: Maybe[str] = UNSET
    """The kind of error, as ``server_error``."""
    code: Maybe[str] = UNSET
    """The error's code."""
    message: Maybe[str] = UNSET
    """What happened, for people."""


class StatusDetails(Struct, kw_only=True):
    """How a response ended."""

    type: Maybe[ResponseStatus] = UNSET
    """The response's status again."""
    reason: Maybe[StatusReason] = UNSET
    """Why it was cancelled or is incomplete."""
    error: Maybe[ResponseError] = UNSET
    """Why it failed."""


class CachedTokensDetails(Struct, kw_only=True):
    """Cached input tokens by modality."""

    text_tokens: Maybe[int] = UNSET
    """Of text."""
    audio_tokens: Maybe[int] = UNSET
    """Of audio."""
    image_tokens: Maybe[int] = UNSET
    """Of images."""


class InputTokenDetails(Struct, kw_only=True):
    """Input tokens by modality, cached ones included."""

    text_tokens: Maybe[int] = UNSET
    """Of text."""
    audio_tokens: Maybe[int] = UNSET
    """Of audio."""
    image_tokens: Maybe[int] = UNSET
    """Of images."""
    cached_tokens: Maybe[int] = UNSET
    """Of any kind, read from the prompt cache."""
    cached_tokens_details: Maybe[CachedTokensDetails] = UNSET
    """Those by modality."""


class OutputTokenDetails(Struct, kw_only=True):
    """Output tokens by modality."""

    text_tokens: Maybe[int] = UNSET
    """Of text, reasoning included."""
    audio_tokens: Maybe[int] = UNSET
    """Of audio."""
    reasoning_tokens: Maybe[int] = UNSET
    """Spent on reasoning; reasoning models send it, no schema declares it."""


class Usage(Struct, kw_only=True):
    """What a response cost, in tokens. The sums are the service's and need not add up."""

    total_tokens: Maybe[int] = UNSET
    """Input and output."""
    input_tokens: Maybe[int] = UNSET
    """Input."""
    output_tokens: Maybe[int] = UNSET
    """Output."""
    input_token_details: Maybe[InputTokenDetails] = UNSET
    """Input by modality."""
    output_token_details: Maybe[OutputTokenDetails] = UNSET
    """Output by modality."""


class Response(Struct, kw_only=True):
    """A response as it stands, when it begins and when it is done."""

    id: Maybe[str] = UNSET
    """Its id, ``resp_…``."""
    object: Maybe[str] = UNSET
    """``realtime.response``."""
    status: Maybe[ResponseStatus] = UNSET
    """How far it is, or how it ended."""
    status_details: Maybe[StatusDetails | str] = UNSET
    """How it ended, if there is more to say; null while it runs and when it completed; xAI sends a string."""
    output: Maybe[list[ConversationItem]] = UNSET
    """What it made, without audio; empty when it begins."""
    conversation_id: Maybe[str] = UNSET
    """The conversation it joins; null: none."""
    output_modalities: Maybe[list[AudioModality]] = UNSET
    """What it answers in."""
    max_output_tokens: Maybe[MaxOutputTokens] = UNSET
    """The most it may cost."""
    audio: Maybe[ResponseAudio] = UNSET
    """How it speaks."""
    usage: Maybe[Usage] = UNSET
    """What it cost; null when it begins."""
    metadata: Maybe[Metadata] = UNSET
    """The caller's own notes; null: none."""


class ResponseContentPart(Struct, kw_only=True):
    """A content part as it is streamed; an item calls the same parts ``output_text`` and ``output_audio``."""

    type: Maybe[AudioModality] = UNSET
    """``text`` or ``audio``."""
    text: Maybe[str] = UNSET
    """The text of a text part."""
    audio: Maybe[Base64] = UNSET
    """Base64 audio of an audio part."""
    transcript: Maybe[str] = UNSET
    """The transcript of an audio part."""


class ResponseCreateParams(Struct, kw_only=True):
    """How one response differs from what the session says; absent fields follow the session."""

    output_modalities: Maybe[list[AudioModality]] = UNSET
    """What it answers in: one of text and audio."""
    instructions: Maybe[str] = UNSET
    """The system prompt for this response."""
    audio: Maybe[ResponseAudio] = UNSET
    """How it speaks."""
    tools: Maybe[list[Tool]] = UNSET
    """What it may call; ``[]``: nothing."""
    tool_choice: Maybe[ToolChoice] = UNSET
    """How it picks among them."""
    parallel_tool_calls: Maybe[bool] = UNSET
    """Whether it may call several."""
    reasoning: Maybe[Reasoning] = UNSET
    """How it thinks."""
    max_output_tokens: Maybe[MaxOutputTokens] = UNSET
    """The most it may cost."""
    conversation: Maybe[ConversationMode] = UNSET
    """Whether its items join the conversation."""
    metadata: Maybe[Metadata] = UNSET
    """The caller's own notes, returned with the response; null: none."""
    prompt: Maybe[Prompt] = UNSET
    """A stored template; null: none."""
    input: Maybe[list[InputItem]] = UNSET
    """What it sees in place of the conversation; ``[]``: nothing."""
