"""Every wire name is spelled once, here: one enum per family, each member a plain string on the wire.

The last four families name the events of :mod:`rtproto.events`. The first nine name the streaming events
of the Responses API, which gateways meet beside Realtime traffic; a few names are in both. ``ItemType`` is
for either.
"""

from enum import StrEnum
from typing import Final

__all__ = [
    "CodeInterpreterCallEvent",
    "ContentPartEvent",
    "FileSearchCallEvent",
    "FunctionCallEvent",
    "ItemType",
    "McpEvent",
    "OutputItemEvent",
    "OutputTextEvent",
    "RealtimeClientEvent",
    "RealtimeServerEvent",
    "ResponseEvent",
    "TranslationClientEvent",
    "TranslationServerEvent",
    "WebSearchCallEvent",
    "is_function_call_type",
    "is_response_event",
]


class ResponseEvent(StrEnum):
    """Responses API: the life of a response."""

    CREATED = "response.created"
    IN_PROGRESS = "response.in_progress"
    COMPLETED = "response.completed"


class OutputItemEvent(StrEnum):
    """Responses API: the life of an output item."""

    ADDED = "response.output_item.added"
    DONE = "response.output_item.done"
    DELTA = "response.output_item.delta"


class FunctionCallEvent(StrEnum):
    """Responses API: the arguments of a function call."""

    ARGUMENTS_DELTA = "response.function_call_arguments.delta"
    ARGUMENTS_DONE = "response.function_call_arguments.done"


class ContentPartEvent(StrEnum):
    """Responses API: the life of a content part."""

    ADDED = "response.content_part.added"
    DONE = "response.content_part.done"


class OutputTextEvent(StrEnum):
    """Responses API: streamed text."""

    DELTA = "response.output_text.delta"
    DONE = "response.output_text.done"


class McpEvent(StrEnum):
    """Responses API: MCP calls and tool listings.

    The listing events carry a ``response.`` prefix here and none in Realtime, where they are
    ``RealtimeServerEvent.MCP_LIST_TOOLS_*``.
    """

    CALL_ARGUMENTS_DELTA = "response.mcp_call_arguments.delta"
    CALL_ARGUMENTS_DONE = "response.mcp_call_arguments.done"
    CALL_IN_PROGRESS = "response.mcp_call.in_progress"
    CALL_COMPLETED = "response.mcp_call.completed"
    CALL_FAILED = "response.mcp_call.failed"
    LIST_TOOLS_IN_PROGRESS = "response.mcp_list_tools.in_progress"
    LIST_TOOLS_COMPLETED = "response.mcp_list_tools.completed"


class WebSearchCallEvent(StrEnum):
    """Responses API: the life of a web search."""

    IN_PROGRESS = "response.web_search_call.in_progress"
    SEARCHING = "response.web_search_call.searching"
    COMPLETED = "response.web_search_call.completed"


class CodeInterpreterCallEvent(StrEnum):
    """Responses API: the life of a code interpreter call."""

    IN_PROGRESS = "response.code_interpreter_call.in_progress"
    INTERPRETING = "response.code_interpreter_call.interpreting"
    COMPLETED = "response.code_interpreter_call.completed"


class FileSearchCallEvent(StrEnum):
    """Responses API: the life of a file search."""

    IN_PROGRESS = "response.file_search_call.in_progress"
    SEARCHING = "response.file_search_call.searching"
    COMPLETED = "response.file_search_call.completed"


class ItemType(StrEnum):
    """The ``type`` of an output item or of a tool, as both APIs write it."""

    FUNCTION_CALL = "function_call"
    FUNCTION_CALL_OUTPUT = "function_call_output"
    FUNCTION_TOOL_CALL = "function_tool_call"
    MCP_CALL = "mcp_call"
    FUNCTION = "function"
    MCP_LIST_TOOLS = "mcp_list_tools"
    WEB_SEARCH_CALL = "web_search_call"
    CODE_INTERPRETER_CALL = "code_interpreter_call"
    FILE_SEARCH_CALL = "file_search_call"

    def is_function_call(self) -> bool:
        """Whether the item asks for a function of yours: ``function_call`` or ``function_tool_call``."""
        return self in _FUNCTION_CALLS

    def is_builtin_tool_call(self) -> bool:
        """Whether the service runs the tool itself: web search, code interpreter or file search."""
        return self in _BUILTIN_TOOL_CALLS


_FUNCTION_CALLS: Final = frozenset({ItemType.FUNCTION_CALL, ItemType.FUNCTION_TOOL_CALL})
_BUILTIN_TOOL_CALLS: Final = frozenset(
    {ItemType.WEB_SEARCH_CALL, ItemType.CODE_INTERPRETER_CALL, ItemType.FILE_SEARCH_CALL}
)
_RESPONSE_EVENTS: Final = frozenset(ResponseEvent)


class RealtimeClientEvent(StrEnum):
    """Every event a client sends on ``/v1/realtime``."""

    SESSION_UPDATE = "session.update"
    CONVERSATION_ITEM_CREATE = "conversation.item.create"
    CONVERSATION_ITEM_DELETE = "conversation.item.delete"
    CONVERSATION_ITEM_RETRIEVE = "conversation.item.retrieve"
    CONVERSATION_ITEM_TRUNCATE = "conversation.item.truncate"
    INPUT_AUDIO_BUFFER_APPEND = "input_audio_buffer.append"
    INPUT_AUDIO_BUFFER_CLEAR = "input_audio_buffer.clear"
    INPUT_AUDIO_BUFFER_COMMIT = "input_audio_buffer.commit"
    OUTPUT_AUDIO_BUFFER_CLEAR = "output_audio_buffer.clear"
    RESPONSE_CANCEL = "response.cancel"
    RESPONSE_CREATE = "response.create"


class RealtimeServerEvent(StrEnum):
    """Every event the service sends on ``/v1/realtime``."""

    SESSION_CREATED = "session.created"
    SESSION_UPDATED = "session.updated"
    CONVERSATION_CREATED = "conversation.created"
    CONVERSATION_ITEM_CREATED = "conversation.item.created"
    CONVERSATION_ITEM_ADDED = "conversation.item.added"
    CONVERSATION_ITEM_DONE = "conversation.item.done"
    CONVERSATION_ITEM_DELETED = "conversation.item.deleted"
    CONVERSATION_ITEM_RETRIEVED = "conversation.item.retrieved"
    CONVERSATION_ITEM_TRUNCATED = "conversation.item.truncated"
    CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_COMPLETED = (
        "conversation.item.input_audio_transcription.completed"
    )
    CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_DELTA = "conversation.item.input_audio_transcription.delta"
    CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_FAILED = "conversation.item.input_audio_transcription.failed"
    CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_SEGMENT = (
        "conversation.item.input_audio_transcription.segment"
    )
    INPUT_AUDIO_BUFFER_CLEARED = "input_audio_buffer.cleared"
    INPUT_AUDIO_BUFFER_COMMITTED = "input_audio_buffer.committed"
    INPUT_AUDIO_BUFFER_SPEECH_STARTED = "input_audio_buffer.speech_started"
    INPUT_AUDIO_BUFFER_SPEECH_STOPPED = "input_audio_buffer.speech_stopped"
    INPUT_AUDIO_BUFFER_TIMEOUT_TRIGGERED = "input_audio_buffer.timeout_triggered"
    INPUT_AUDIO_BUFFER_DTMF_EVENT_RECEIVED = "input_audio_buffer.dtmf_event_received"
    OUTPUT_AUDIO_BUFFER_STARTED = "output_audio_buffer.started"
    OUTPUT_AUDIO_BUFFER_STOPPED = "output_audio_buffer.stopped"
    OUTPUT_AUDIO_BUFFER_CLEARED = "output_audio_buffer.cleared"
    RESPONSE_CREATED = "response.created"
    RESPONSE_DONE = "response.done"
    RESPONSE_OUTPUT_ITEM_ADDED = "response.output_item.added"
    RESPONSE_OUTPUT_ITEM_DONE = "response.output_item.done"
    RESPONSE_CONTENT_PART_ADDED = "response.content_part.added"
    RESPONSE_CONTENT_PART_DONE = "response.content_part.done"
    RESPONSE_OUTPUT_TEXT_DELTA = "response.output_text.delta"
    RESPONSE_OUTPUT_TEXT_DONE = "response.output_text.done"
    RESPONSE_OUTPUT_AUDIO_DELTA = "response.output_audio.delta"
    RESPONSE_OUTPUT_AUDIO_DONE = "response.output_audio.done"
    RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DELTA = "response.output_audio_transcript.delta"
    RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DONE = "response.output_audio_transcript.done"
    RESPONSE_FUNCTION_CALL_ARGUMENTS_DELTA = "response.function_call_arguments.delta"
    RESPONSE_FUNCTION_CALL_ARGUMENTS_DONE = "response.function_call_arguments.done"
    RESPONSE_MCP_CALL_ARGUMENTS_DELTA = "response.mcp_call_arguments.delta"
    RESPONSE_MCP_CALL_ARGUMENTS_DONE = "response.mcp_call_arguments.done"
    RESPONSE_MCP_CALL_IN_PROGRESS = "response.mcp_call.in_progress"
    RESPONSE_MCP_CALL_COMPLETED = "response.mcp_call.completed"
    RESPONSE_MCP_CALL_FAILED = "response.mcp_call.failed"
    MCP_LIST_TOOLS_IN_PROGRESS = "mcp_list_tools.in_progress"
    MCP_LIST_TOOLS_COMPLETED = "mcp_list_tools.completed"
    MCP_LIST_TOOLS_FAILED = "mcp_list_tools.failed"
    RATE_LIMITS_UPDATED = "rate_limits.updated"
    ERROR = "error"


class TranslationClientEvent(StrEnum):
    """Every event a client sends on ``/v1/realtime/translations``."""

    SESSION_UPDATE = "session.update"
    SESSION_INPUT_AUDIO_BUFFER_APPEND = "session.input_audio_buffer.append"
    SESSION_CLOSE = "session.close"


class TranslationServerEvent(StrEnum):
    """Every event the service sends on ``/v1/realtime/translations``."""

    ERROR = "error"
    SESSION_CREATED = "session.created"
    SESSION_UPDATED = "session.updated"
    SESSION_CLOSED = "session.closed"
    SESSION_INPUT_TRANSCRIPT_DELTA = "session.input_transcript.delta"
    SESSION_OUTPUT_TRANSCRIPT_DELTA = "session.output_transcript.delta"
    SESSION_OUTPUT_AUDIO_DELTA = "session.output_audio.delta"


def is_response_event(event_type: str) -> bool:
    """Whether a wire name is one of the three :class:`ResponseEvent` names."""
    return event_type in _RESPONSE_EVENTS


def is_function_call_type(item_type: str) -> bool:
    """Whether an item's ``type`` is ``function_call`` or ``function_tool_call``."""
    return item_type in _FUNCTION_CALLS
