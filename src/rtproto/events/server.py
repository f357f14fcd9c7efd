"""What the service sends on ``/v1/realtime``: forty-six events, then their union.

The bases hold the addresses that streams share: a response, an item of it, a part of that item.
"""

from typing import NamedTuple, TypeAlias, TypeGuard

from msgspec import UNSET

from rtproto._struct import Base64, Event, Maybe, Number
from rtproto.event_types import RealtimeServerEvent as Wire
from rtproto.types import faults
from rtproto.types.faults import RateLimit, TranscriptionError
from rtproto.types.items import Conversation, ConversationItem
from rtproto.types.response import Response, ResponseContentPart
from rtproto.types.session import ReturnedSession
from rtproto.types.transcription import LogProb, TranscriptionLanguage, TranscriptionUsage

__all__ = [
    "ConversationCreated",
    "ConversationItemAdded",
    "ConversationItemCreated",
    "ConversationItemDeleted",
    "ConversationItemDone",
    "ConversationItemInputAudioTranscriptionCompleted",
    "ConversationItemInputAudioTranscriptionDelta",
    "ConversationItemInputAudioTranscriptionFailed",
    "ConversationItemInputAudioTranscriptionSegment",
    "ConversationItemRetrieved",
    "ConversationItemTruncated",
    "Error",
    "FunctionCallRequest",
    "InputAudioBufferCleared",
    "InputAudioBufferCommitted",
    "InputAudioBufferDtmfEventReceived",
    "InputAudioBufferSpeechStarted",
    "InputAudioBufferSpeechStopped",
    "InputAudioBufferTimeoutTriggered",
    "McpListToolsCompleted",
    "McpListToolsFailed",
    "McpListToolsInProgress",
    "OutputAudioBufferCleared",
    "OutputAudioBufferStarted",
    "OutputAudioBufferStopped",
    "RateLimitsUpdated",
    "ResponseContentPartAdded",
    "ResponseContentPartDone",
    "ResponseCreated",
    "ResponseDone",
    "ResponseFunctionCallArgumentsDelta",
    "ResponseFunctionCallArgumentsDone",
    "ResponseMcpCallArgumentsDelta",
    "ResponseMcpCallArgumentsDone",
    "ResponseMcpCallCompleted",
    "ResponseMcpCallFailed",
    "ResponseMcpCallInProgress",
    "ResponseOutputAudioDelta",
    "ResponseOutputAudioDone",
    "ResponseOutputAudioTranscriptDelta",
    "ResponseOutputAudioTranscriptDone",
    "ResponseOutputItemAdded",
    "ResponseOutputItemDone",
    "ResponseOutputTextDelta",
    "ResponseOutputTextDone",
    "ServerEvent",
    "SessionCreated",
    "SessionUpdated",
    "get_function_call",
    "is_function_call_done",
]


class _Named(Event, kw_only=True):
    @property
    def event_type(self) -> Wire:
        """The event's name as a member of :class:`rtproto.event_types.RealtimeServerEvent`."""
        return Wire(self.type)


class _ServerEvent(_Named, kw_only=True):
    event_id: str
    """The service's id for the event."""


class _OfItem(_ServerEvent, kw_only=True):
    item_id: str
    """The item it is about."""


class _OfInputPart(_OfItem, kw_only=True):
    content_index: int
    """The item's content part that holds the audio."""


class _WithItem(_ServerEvent, kw_only=True):
    previous_item_id: Maybe[str] = UNSET
    """The item before it; null: it is the first."""
    item: ConversationItem
    """The item."""


class _InResponse(_ServerEvent, kw_only=True):
    response_id: str
    """The response it belongs to."""


class _OutputItem(_InResponse, kw_only=True):
    output_index: int
    """The item's place in the response's output."""
    item: ConversationItem
    """The item."""


class _InItem(_InResponse, kw_only=True):
    item_id: str
    """The item it belongs to."""
    output_index: int
    """That item's place in the response's output."""


class _InContent(_InItem, kw_only=True):
    content_index: int
    """The content part's place in the item."""


class _ContentPart(_InContent, kw_only=True):
    part: ResponseContentPart
    """The part."""
    content: Maybe[ResponseContentPart] = UNSET
    """The part once more: Azure sends it, no schema declares it."""


class _McpCall(_ServerEvent, kw_only=True):
    output_index: int
    """The call's place in the response's output. These events do not name the response."""
    item_id: str
    """The call's item."""


class SessionCreated(_ServerEvent, kw_only=True, tag=Wire.SESSION_CREATED.value):
    """Sent first on every connection, with the session's defaults."""

    session: ReturnedSession
    """The session as it stands."""


class SessionUpdated(_ServerEvent, kw_only=True, tag=Wire.SESSION_UPDATED.value):
    """Sent when a ``session.update`` took effect."""

    session: ReturnedSession
    """The whole session as it stands."""


class ConversationCreated(_ServerEvent, kw_only=True, tag=Wire.CONVERSATION_CREATED.value):
    """Sent when a conversation begins; xAI sends it, OpenAI was not seen to."""

    conversation: Conversation
    """The conversation."""


class ConversationItemCreated(_WithItem, kw_only=True, tag=Wire.CONVERSATION_ITEM_CREATED.value):
    """Sent before GA, and by vendors still, when an item joined; GA sends ``.added`` and ``.done``."""


class ConversationItemAdded(_WithItem, kw_only=True, tag=Wire.CONVERSATION_ITEM_ADDED.value):
    """Sent when an item joins the conversation; the model's own are empty yet."""


class ConversationItemDone(_WithItem, kw_only=True, tag=Wire.CONVERSATION_ITEM_DONE.value):
    """Sent when an item is complete; its audio is left out."""


class ConversationItemDeleted(_OfItem, kw_only=True, tag=Wire.CONVERSATION_ITEM_DELETED.value, gc=False):
    """Sent when the client's ``conversation.item.delete`` took effect."""


class ConversationItemRetrieved(_ServerEvent, kw_only=True, tag=Wire.CONVERSATION_ITEM_RETRIEVED.value):
    """Sent in answer to ``conversation.item.retrieve``."""

    item: ConversationItem
    """The item, with its audio."""


class ConversationItemTruncated(
    _OfInputPart, kw_only=True, tag=Wire.CONVERSATION_ITEM_TRUNCATED.value, gc=False
):
    """Sent when the client's ``conversation.item.truncate`` took effect; the transcript is cut too."""

    audio_end_ms: int
    """Milliseconds of the audio that remain."""


class ConversationItemInputAudioTranscriptionCompleted(
    _OfInputPart, kw_only=True, tag=Wire.CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_COMPLETED.value
):
    """Sent when the user's audio is transcribed; it may come before or after the model's answer."""

    transcript: str
    """What was said."""
    languages: Maybe[list[TranscriptionLanguage]] = UNSET
    """The languages heard; ``[]``: none detected."""
    logprobs: Maybe[list[LogProb]] = UNSET
    """How sure the model is, token by token; null: not asked for."""
    usage: Maybe[TranscriptionUsage] = UNSET
    """What it cost. The schema requires it; servers and official clients of before do not."""


class ConversationItemInputAudioTranscriptionDelta(
    _OfItem, kw_only=True, tag=Wire.CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_DELTA.value
):
    """Sent as the user's audio is transcribed; the first may come while the user still speaks."""

    content_index: Maybe[int] = UNSET
    """The item's content part that holds the audio."""
    delta: Maybe[str] = UNSET
    """The text to append."""
    logprobs: Maybe[list[LogProb]] = UNSET
    """How sure the model is, token by token; null: not asked for."""
    obfuscation: Maybe[str] = UNSET
    """Random padding that hides the delta's length from eavesdroppers."""


class ConversationItemInputAudioTranscriptionFailed(
    _OfInputPart, kw_only=True, tag=Wire.CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_FAILED.value
):
    """Sent when the user's audio could not be transcribed; the model may answer all the same."""

    error: TranscriptionError
    """Why."""


class ConversationItemInputAudioTranscriptionSegment(
    _OfInputPart,
    kw_only=True,
    tag=Wire.CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_SEGMENT.value,
    gc=False,
):
    """Sent for every stretch of speech when the transcription tells speakers apart."""

    text: str
    """What was said."""
    id: str
    """The segment's id."""
    speaker: str
    """Who said it."""
    start: Number
    """When it begins, in seconds of the audio."""
    end: Number
    """When it ends, in seconds of the audio."""


class InputAudioBufferCleared(
    _ServerEvent, kw_only=True, tag=Wire.INPUT_AUDIO_BUFFER_CLEARED.value, gc=False
):
    """Sent when the client's ``input_audio_buffer.clear`` took effect."""


class InputAudioBufferCommitted(
    _ServerEvent, kw_only=True, tag=Wire.INPUT_AUDIO_BUFFER_COMMITTED.value, gc=False
):
    """Sent when appended audio becomes an item, by the client's commit or by VAD."""

    previous_item_id: Maybe[str] = UNSET
    """The item before it; null: it is the first."""
    item_id: str
    """The item to come."""


class InputAudioBufferSpeechStarted(
    _ServerEvent, kw_only=True, tag=Wire.INPUT_AUDIO_BUFFER_SPEECH_STARTED.value, gc=False
):
    """Sent when VAD hears speech: the moment to stop playing."""

    audio_start_ms: int
    """When, in milliseconds of all audio sent in the session, padding included."""
    item_id: str
    """The item to come."""


class InputAudioBufferSpeechStopped(
    _ServerEvent, kw_only=True, tag=Wire.INPUT_AUDIO_BUFFER_SPEECH_STOPPED.value, gc=False
):
    """Sent when VAD hears the end of speech."""

    audio_end_ms: int
    """When, in milliseconds of all audio sent in the session."""
    item_id: str
    """The item to come."""


class InputAudioBufferTimeoutTriggered(
    _ServerEvent, kw_only=True, tag=Wire.INPUT_AUDIO_BUFFER_TIMEOUT_TRIGGERED.value, gc=False
):
    """Sent when nobody spoke for ``turn_detection.idle_timeout_ms``, before the model does."""

    audio_start_ms: int
    """When the silence began, in milliseconds of all audio sent in the session."""
    audio_end_ms: int
    """When it ran out."""
    item_id: str
    """The item to come."""


class InputAudioBufferDtmfEventReceived(
    _Named, kw_only=True, tag=Wire.INPUT_AUDIO_BUFFER_DTMF_EVENT_RECEIVED.value, gc=False
):
    """Sent over SIP when a key was pressed; the one server event whose ``event_id`` is undeclared."""

    event_id: Maybe[str] = UNSET
    """The service's id for the event, should it send one."""
    event: str
    """The key: 0 to 9, ``*``, ``#``, A to D."""
    received_at: int
    """When, in Unix seconds."""


class OutputAudioBufferStarted(
    _InResponse, kw_only=True, tag=Wire.OUTPUT_AUDIO_BUFFER_STARTED.value, gc=False
):
    """Sent over WebRTC or SIP when the model's audio begins to play."""


class OutputAudioBufferStopped(
    _InResponse, kw_only=True, tag=Wire.OUTPUT_AUDIO_BUFFER_STOPPED.value, gc=False
):
    """Sent over WebRTC or SIP when all of it has played."""


class OutputAudioBufferCleared(
    _InResponse, kw_only=True, tag=Wire.OUTPUT_AUDIO_BUFFER_CLEARED.value, gc=False
):
    """Sent over WebRTC or SIP when it was cut short, by speech or by the client."""


class ResponseCreated(_ServerEvent, kw_only=True, tag=Wire.RESPONSE_CREATED.value):
    """Sent when a response begins."""

    response: Response
    """The response, in progress and empty."""


class ResponseDone(_ServerEvent, kw_only=True, tag=Wire.RESPONSE_DONE.value):
    """Sent when a response ends, always and however it ended."""

    response: Response
    """The response, with its output and its usage; audio is left out."""


class ResponseOutputItemAdded(_OutputItem, kw_only=True, tag=Wire.RESPONSE_OUTPUT_ITEM_ADDED.value):
    """Sent when a response begins an item."""


class ResponseOutputItemDone(_OutputItem, kw_only=True, tag=Wire.RESPONSE_OUTPUT_ITEM_DONE.value):
    """Sent when an item is complete, or cut short."""


class ResponseContentPartAdded(_ContentPart, kw_only=True, tag=Wire.RESPONSE_CONTENT_PART_ADDED.value):
    """Sent when an item begins a content part, which is empty yet."""


class ResponseContentPartDone(_ContentPart, kw_only=True, tag=Wire.RESPONSE_CONTENT_PART_DONE.value):
    """Sent when a content part is complete, or cut short."""


class ResponseOutputTextDelta(_InContent, kw_only=True, tag=Wire.RESPONSE_OUTPUT_TEXT_DELTA.value, gc=False):
    """Sent for every piece of a text part."""

    delta: str
    """The text to append."""
    obfuscation: Maybe[str] = UNSET
    """Random padding that hides the delta's length from eavesdroppers."""


class ResponseOutputTextDone(_InContent, kw_only=True, tag=Wire.RESPONSE_OUTPUT_TEXT_DONE.value, gc=False):
    """Sent when a text part is complete, or cut short."""

    text: str
    """All of the text."""


class ResponseOutputAudioDelta(
    _InContent, kw_only=True, tag=Wire.RESPONSE_OUTPUT_AUDIO_DELTA.value, gc=False
):
    """Sent for every piece of an audio part."""

    delta: Base64
    """Base64 audio in the session's output format, to append; of any length."""
    obfuscation: Maybe[str] = UNSET
    """Random padding that hides the delta's length from eavesdroppers."""


class ResponseOutputAudioDone(_InContent, kw_only=True, tag=Wire.RESPONSE_OUTPUT_AUDIO_DONE.value, gc=False):
    """Sent when an audio part is complete, or cut short."""


class ResponseOutputAudioTranscriptDelta(
    _InContent, kw_only=True, tag=Wire.RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DELTA.value, gc=False
):
    """Sent for every piece of an audio part's transcript, ahead of the audio."""

    delta: str
    """The text to append."""
    obfuscation: Maybe[str] = UNSET
    """Random padding that hides the delta's length from eavesdroppers."""


class ResponseOutputAudioTranscriptDone(
    _InContent, kw_only=True, tag=Wire.RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DONE.value, gc=False
):
    """Sent when an audio part's transcript is complete, or cut short."""

    transcript: str
    """All of the transcript."""


class ResponseFunctionCallArgumentsDelta(
    _InItem, kw_only=True, tag=Wire.RESPONSE_FUNCTION_CALL_ARGUMENTS_DELTA.value, gc=False
):
    """Sent for every piece of a function call's arguments."""

    call_id: str
    """The call."""
    delta: str
    """JSON text to append; not JSON by itself."""
    obfuscation: Maybe[str] = UNSET
    """Random padding that hides the delta's length from eavesdroppers."""


class ResponseFunctionCallArgumentsDone(
    _InItem, kw_only=True, tag=Wire.RESPONSE_FUNCTION_CALL_ARGUMENTS_DONE.value, gc=False
):
    """Sent when a function call's arguments are complete: the moment to run it."""

    call_id: str
    """The call; the output must name it."""
    name: Maybe[str] = UNSET
    """The function. The schema requires it; servers and official clients of before GA do not."""
    arguments: str
    """The arguments as JSON text."""


class ResponseMcpCallArgumentsDelta(
    _InItem, kw_only=True, tag=Wire.RESPONSE_MCP_CALL_ARGUMENTS_DELTA.value, gc=False
):
    """Sent for every piece of an MCP call's arguments."""

    delta: str
    """JSON text to append; not JSON by itself."""
    obfuscation: Maybe[str] = UNSET
    """Random padding that hides the delta's length from eavesdroppers; null: none."""


class ResponseMcpCallArgumentsDone(
    _InItem, kw_only=True, tag=Wire.RESPONSE_MCP_CALL_ARGUMENTS_DONE.value, gc=False
):
    """Sent when an MCP call's arguments are complete."""

    arguments: str
    """The arguments as JSON text."""


class ResponseMcpCallInProgress(
    _McpCall, kw_only=True, tag=Wire.RESPONSE_MCP_CALL_IN_PROGRESS.value, gc=False
):
    """Sent when the service begins an MCP call."""


class ResponseMcpCallCompleted(_McpCall, kw_only=True, tag=Wire.RESPONSE_MCP_CALL_COMPLETED.value, gc=False):
    """Sent when an MCP call gave a result."""


class ResponseMcpCallFailed(_McpCall, kw_only=True, tag=Wire.RESPONSE_MCP_CALL_FAILED.value, gc=False):
    """Sent when an MCP call failed; its item says why."""


class McpListToolsInProgress(_OfItem, kw_only=True, tag=Wire.MCP_LIST_TOOLS_IN_PROGRESS.value, gc=False):
    """Sent when the service begins to list an MCP server's tools."""


class McpListToolsCompleted(_OfItem, kw_only=True, tag=Wire.MCP_LIST_TOOLS_COMPLETED.value, gc=False):
    """Sent when the listing is complete; its item holds it."""


class McpListToolsFailed(_OfItem, kw_only=True, tag=Wire.MCP_LIST_TOOLS_FAILED.value, gc=False):
    """Sent when the listing failed."""


class RateLimitsUpdated(_ServerEvent, kw_only=True, tag=Wire.RATE_LIMITS_UPDATED.value):
    """Sent when a response begins, with its output reserved, and when it ends, with what it took."""

    rate_limits: list[RateLimit]
    """The limits as they stand."""


class Error(_ServerEvent, kw_only=True, tag=Wire.ERROR.value):
    """Sent when something went wrong; most errors leave the session alive."""

    error: faults.Error
    """What went wrong; its own ``event_id`` is the client's."""


ServerEvent: TypeAlias = (
    SessionCreated
    | SessionUpdated
    | ConversationCreated
    | ConversationItemCreated
    | ConversationItemAdded
    | ConversationItemDone
    | ConversationItemDeleted
    | ConversationItemRetrieved
    | ConversationItemTruncated
    | ConversationItemInputAudioTranscriptionCompleted
    | ConversationItemInputAudioTranscriptionDelta
    | ConversationItemInputAudioTranscriptionFailed
    | ConversationItemInputAudioTranscriptionSegment
    | InputAudioBufferCleared
    | InputAudioBufferCommitted
    | InputAudioBufferSpeechStarted
    | InputAudioBufferSpeechStopped
    | InputAudioBufferTimeoutTriggered
    | InputAudioBufferDtmfEventReceived
    | OutputAudioBufferStarted
    | OutputAudioBufferStopped
    | OutputAudioBufferCleared
    | ResponseCreated
    | ResponseDone
    | ResponseOutputItemAdded
    | ResponseOutputItemDone
    | ResponseContentPartAdded
    | ResponseContentPartDone
    | ResponseOutputTextDelta
    | ResponseOutputTextDone
    | ResponseOutputAudioDelta
    | ResponseOutputAudioDone
    | ResponseOutputAudioTranscriptDelta
    | ResponseOutputAudioTranscriptDone
    | ResponseFunctionCallArgumentsDelta
    | ResponseFunctionCallArgumentsDone
    | ResponseMcpCallArgumentsDelta
    | ResponseMcpCallArgumentsDone
    | ResponseMcpCallInProgress
    | ResponseMcpCallCompleted
    | ResponseMcpCallFailed
    | McpListToolsInProgress
    | McpListToolsCompleted
    | McpListToolsFailed
    | RateLimitsUpdated
    | Error
)
"""Every event the service sends."""


class FunctionCallRequest(NamedTuple):
    """What a client needs to answer a function call; the function's name is on the event, if it is sent."""

    call_id: str
    """What the output must name."""
    item_id: str
    """The call's item."""
    arguments: str
    """The arguments as JSON text."""


def is_function_call_done(event: object) -> TypeGuard[ResponseFunctionCallArgumentsDone]:
    """Whether the event completes a function call, so that the client may run it."""
    return isinstance(event, ResponseFunctionCallArgumentsDone)


def get_function_call(event: object) -> FunctionCallRequest | None:
    """The function call that the event completes; ``None`` if it completes none."""
    if not is_function_call_done(event):
        return None
    return FunctionCallRequest(event.call_id, event.item_id, event.arguments)
