"""A conversation is a list of items; a message's content is a list of parts."""

from typing import TypeAlias

from msgspec import UNSET

from rtproto._struct import Base64, Json, Maybe, Open, Parts, Struct, Tagged
from rtproto.types.open_enums import ImageDetail, ItemStatus, LegacyAudioFormat, MessagePhase, Role

__all__ = [
    "AssistantPart",
    "ContentPart",
    "Conversation",
    "ConversationItem",
    "FunctionCall",
    "FunctionCallOutput",
    "InputAudio",
    "InputImage",
    "InputItem",
    "InputText",
    "ItemReference",
    "LegacyAudio",
    "LegacyText",
    "McpApprovalRequest",
    "McpApprovalResponse",
    "McpCall",
    "McpError",
    "McpHttpError",
    "McpListTools",
    "McpListedTool",
    "McpProtocolError",
    "McpToolExecutionError",
    "Message",
    "OutputAudio",
    "OutputText",
    "SystemPart",
    "UserPart",
]


class InputText(Tagged, kw_only=True, tag="input_text"):
    """Text from the system or the user."""

    text: Maybe[str] = UNSET
    """The text."""


class InputAudio(Tagged, kw_only=True, tag="input_audio"):
    """Speech from the user."""

    audio: Maybe[Base64] = UNSET
    """Base64 audio in the session's input format; the service leaves it out of what it sends."""
    transcript: Maybe[str] = UNSET
    """What was said; null until it is transcribed."""


class InputImage(Tagged, kw_only=True, tag="input_image"):
    """An image from the user."""

    image_url: Maybe[Base64] = UNSET
    """A data URI, PNG or JPEG."""
    detail: Maybe[ImageDetail] = UNSET
    """How closely the model looks."""


class OutputText(Tagged, kw_only=True, tag="output_text"):
    """Text from the model."""

    text: Maybe[str] = UNSET
    """The text."""


class OutputAudio(Tagged, kw_only=True, tag="output_audio"):
    """Speech from the model."""

    audio: Maybe[Base64] = UNSET
    """Base64 audio in the session's output format; the service leaves it out of what it sends."""
    transcript: Maybe[str] = UNSET
    """What was said."""


class LegacyText(Tagged, kw_only=True, tag="text"):
    """Text from the model, as the beta and official GA examples write it."""

    text: Maybe[str] = UNSET
    """The text."""


class LegacyAudio(Tagged, kw_only=True, tag="audio"):
    """Speech from the model, as the beta and official GA examples write it."""

    transcript: Maybe[str] = UNSET
    """What was said."""
    audio: Maybe[Base64] = UNSET
    """Base64 audio."""
    format: Maybe[LegacyAudioFormat] = UNSET
    """The audio's format."""


class ItemReference(Tagged, kw_only=True, tag="item_reference"):
    """An item that the service already has; as an input item, and in the beta as a content part."""

    id: str
    """The item's id."""


ContentPart: TypeAlias = (
    InputText
    | InputAudio
    | InputImage
    | OutputText
    | OutputAudio
    | LegacyText
    | LegacyAudio
    | ItemReference
    | Open
)
"""A part of a message. Which role may hold which kind is the service's rule, not the wire's."""

SystemPart: TypeAlias = InputText
"""A part that the service takes from the system."""

UserPart: TypeAlias = InputText | InputAudio | InputImage
"""A part that the service takes from the user."""

AssistantPart: TypeAlias = OutputText | OutputAudio | LegacyText | LegacyAudio
"""A part that the service takes, or makes, as the model's."""


class Message(Tagged, kw_only=True, tag="message"):
    """What the system, the user or the model said."""

    id: Maybe[str] = UNSET
    """The item's id; the client may choose one."""
    object: Maybe[str] = UNSET
    """``realtime.item``; GA leaves it out."""
    status: Maybe[ItemStatus] = UNSET
    """How far it is; says nothing to the model."""
    role: Role
    """Who speaks."""
    content: list[ContentPart]
    """What was said; empty while the model has not begun."""
    phase: Maybe[MessagePhase] = UNSET
    """What an assistant's message is for; reasoning models send it, no schema declares it."""


class FunctionCall(Tagged, kw_only=True, tag="function_call"):
    """The model asks the client to run a function."""

    id: Maybe[str] = UNSET
    """The item's id."""
    object: Maybe[str] = UNSET
    """``realtime.item``; GA leaves it out."""
    status: Maybe[ItemStatus] = UNSET
    """How far it is; says nothing to the model."""
    name: str
    """The function's name."""
    call_id: Maybe[str] = UNSET
    """What the output must name."""
    arguments: str
    """The arguments as JSON text; empty while the model writes them."""


class FunctionCallOutput(Tagged, kw_only=True, tag="function_call_output"):
    """What the client's function gave."""

    id: Maybe[str] = UNSET
    """The item's id."""
    object: Maybe[str] = UNSET
    """``realtime.item``; GA leaves it out."""
    status: Maybe[ItemStatus] = UNSET
    """How far it is; says nothing to the model."""
    call_id: str
    """Which call this answers."""
    output: str | Parts | None
    """The result as text; some servers take a list of parts, or null."""


class McpApprovalRequest(Tagged, kw_only=True, tag="mcp_approval_request"):
    """The model wants to call an MCP tool and waits for the client's word."""

    id: str
    """The request's id."""
    server_label: str
    """Whose tool."""
    name: str
    """Which tool."""
    arguments: str
    """The arguments as JSON text."""


class McpApprovalResponse(Tagged, kw_only=True, tag="mcp_approval_response"):
    """The client's word on an MCP call."""

    id: Maybe[str] = UNSET
    """The item's id; clients of OpenAI's send none."""
    approval_request_id: str
    """Which request this answers."""
    approve: bool
    """Whether the call may go on."""
    reason: Maybe[str] = UNSET
    """Why; null: not said."""


class McpListedTool(Struct, kw_only=True):
    """A tool that an MCP server offers."""

    name: str
    """Its name."""
    description: Maybe[str] = UNSET
    """What it does; null: not said."""
    input_schema: Json
    """The JSON Schema of its arguments."""
    annotations: Maybe[Json] = UNSET
    """What else the server says of it; null: nothing."""


class McpListTools(Tagged, kw_only=True, tag="mcp_list_tools"):
    """The tools that an MCP server offers."""

    id: Maybe[str] = UNSET
    """The item's id."""
    server_label: str
    """Whose tools."""
    tools: list[McpListedTool]
    """The tools."""


class McpProtocolError(Tagged, kw_only=True, tag="protocol_error"):
    """The MCP server broke the protocol."""

    code: int
    """The JSON-RPC error code."""
    message: str
    """What it said."""


class McpToolExecutionError(Tagged, kw_only=True, tag="tool_execution_error"):
    """The tool ran and failed."""

    message: str
    """What it said."""


class McpHttpError(Tagged, kw_only=True, tag="http_error"):
    """The MCP server answered with an HTTP error."""

    code: int
    """The HTTP status."""
    message: str
    """What it said."""


McpError: TypeAlias = McpProtocolError | McpToolExecutionError | McpHttpError | Open
"""Why an MCP call failed."""


class McpCall(Tagged, kw_only=True, tag="mcp_call"):
    """A call of an MCP tool, made by the service."""

    id: str
    """The item's id."""
    server_label: str
    """Whose tool."""
    name: str
    """Which tool."""
    arguments: str
    """The arguments as JSON text."""
    approval_request_id: Maybe[str] = UNSET
    """The request that was approved; null: none was needed."""
    output: Maybe[str] = UNSET
    """The result as text; null: none, or none yet."""
    error: Maybe[McpError] = UNSET
    """Why it failed; null: it did not."""


ConversationItem: TypeAlias = (
    Message
    | FunctionCall
    | FunctionCallOutput
    | McpApprovalRequest
    | McpApprovalResponse
    | McpListTools
    | McpCall
    | Open
)
"""Anything that a conversation holds."""

InputItem: TypeAlias = ConversationItem | ItemReference
"""Anything that ``response.create`` takes as input: an item, or a reference to one."""


class Conversation(Struct, kw_only=True):
    """A conversation, by name."""

    id: Maybe[str] = UNSET
    """Its id, ``conv_…``."""
    object: Maybe[str] = UNSET
    """``realtime.conversation``."""
