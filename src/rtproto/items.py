"""Each conversation item and content part in one short call; what is optional on the wire stays out of it.

A function is named as the kind is on the wire, and takes what the kind cannot do without by place, the rest
by name. ``text_part`` and ``audio_part`` make the parts of a stream, which has names of its own for them.
A message is named by who speaks, and takes only what that role may say: text as a string, other parts as
they are::

    items.user("What is in this picture?", items.input_image(data_uri))
"""

from collections.abc import Callable, Sequence

from msgspec import UNSET

from rtproto._struct import Base64, Maybe, Parts
from rtproto.types.items import (
    AssistantPart,
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    ItemReference,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpError,
    McpListedTool,
    McpListTools,
    Message,
    OutputAudio,
    OutputText,
    SystemPart,
    UserPart,
)
from rtproto.types.open_enums import ImageDetail, ItemStatus, Role
from rtproto.types.response import ResponseContentPart

__all__ = [
    "assistant",
    "audio_part",
    "function_call",
    "function_call_output",
    "input_audio",
    "input_image",
    "input_text",
    "item_reference",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "output_audio",
    "output_text",
    "system",
    "text_part",
    "user",
]

# Messages -------------------------------------------------------------------------------------


def system(*content: str | SystemPart, id: Maybe[str] = UNSET, status: Maybe[ItemStatus] = UNSET) -> Message:
    """A message from the system; a string is an ``input_text``."""
    return _message("system", input_text, content, id, status)


def user(*content: str | UserPart, id: Maybe[str] = UNSET, status: Maybe[ItemStatus] = UNSET) -> Message:
    """A message from the user; a string is an ``input_text``."""
    return _message("user", input_text, content, id, status)


def assistant(
    *content: str | AssistantPart, id: Maybe[str] = UNSET, status: Maybe[ItemStatus] = UNSET
) -> Message:
    """A message from the model; a string is an ``output_text``. Without any content it has yet to begin."""
    return _message("assistant", output_text, content, id, status)


def _message(
    role: Role,
    text: Callable[[str], ContentPart],
    content: Sequence[str | ContentPart],
    id: Maybe[str],
    status: Maybe[ItemStatus],
) -> Message:
    parts = [text(part) if isinstance(part, str) else part for part in content]
    return Message(id=id, status=status, role=role, content=parts)


# Their parts ----------------------------------------------------------------------------------


def input_text(text: str) -> InputText:
    """Text from the system or the user."""
    return InputText(text=text)


def input_audio(audio: Base64, *, transcript: Maybe[str] = UNSET) -> InputAudio:
    """Speech from the user: base64 audio in the session's input format."""
    return InputAudio(audio=audio, transcript=transcript)


def input_image(image_url: Base64, *, detail: Maybe[ImageDetail] = UNSET) -> InputImage:
    """An image from the user: a data URI, PNG or JPEG."""
    return InputImage(image_url=image_url, detail=detail)


def output_text(text: str) -> OutputText:
    """Text from the model."""
    return OutputText(text=text)


def output_audio(transcript: str, *, audio: Maybe[Base64] = UNSET) -> OutputAudio:
    """Speech from the model; the service sends the transcript only, except when asked for the item."""
    return OutputAudio(transcript=transcript, audio=audio)


def text_part(text: str) -> ResponseContentPart:
    """A text part as ``response.content_part.added`` (``""``) and ``.done`` carry it."""
    return ResponseContentPart(type="text", text=text)


def audio_part(transcript: str, *, audio: Maybe[Base64] = UNSET) -> ResponseContentPart:
    """An audio part as ``response.content_part.added`` (``""``) and ``.done`` carry it."""
    return ResponseContentPart(type="audio", transcript=transcript, audio=audio)


# Every other item -----------------------------------------------------------------------------


def function_call(
    call_id: str,
    name: str,
    arguments: str,
    *,
    id: Maybe[str] = UNSET,
    status: Maybe[ItemStatus] = UNSET,
) -> FunctionCall:
    """The model asks the client to run a function; ``arguments`` is JSON text."""
    return FunctionCall(id=id, status=status, name=name, call_id=call_id, arguments=arguments)


def function_call_output(
    call_id: str,
    output: str | Parts | None,
    *,
    id: Maybe[str] = UNSET,
    status: Maybe[ItemStatus] = UNSET,
) -> FunctionCallOutput:
    """What the client's function gave, as text; the service answers it once asked for a response."""
    return FunctionCallOutput(id=id, status=status, call_id=call_id, output=output)


def mcp_approval_request(id: str, server_label: str, name: str, arguments: str) -> McpApprovalRequest:
    """The model wants to call an MCP tool and waits for the client's word; ``arguments`` is JSON text."""
    return McpApprovalRequest(id=id, server_label=server_label, name=name, arguments=arguments)


def mcp_approval_response(
    approval_request_id: str, approve: bool, *, id: Maybe[str] = UNSET, reason: Maybe[str] = UNSET
) -> McpApprovalResponse:
    """The client's word on an MCP call; ``id`` is the new item's own."""
    return McpApprovalResponse(id=id, approval_request_id=approval_request_id, approve=approve, reason=reason)


def mcp_list_tools(
    server_label: str, tools: Sequence[McpListedTool], *, id: Maybe[str] = UNSET
) -> McpListTools:
    """The tools that an MCP server offers."""
    return McpListTools(id=id, server_label=server_label, tools=list(tools))


def mcp_call(  # noqa: PLR0913 - so many fields has it
    id: str,
    server_label: str,
    name: str,
    arguments: str,
    *,
    approval_request_id: Maybe[str] = UNSET,
    output: Maybe[str] = UNSET,
    error: Maybe[McpError] = UNSET,
) -> McpCall:
    """A call of an MCP tool, made by the service; ``arguments`` is JSON text."""
    return McpCall(
        id=id,
        server_label=server_label,
        name=name,
        arguments=arguments,
        approval_request_id=approval_request_id,
        output=output,
        error=error,
    )


def item_reference(id: str) -> ItemReference:
    """An item that the service already has, as one of ``response.create``'s ``input``."""
    return ItemReference(id=id)
