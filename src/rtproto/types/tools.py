"""A tool is declared by the session and called by the model: functions of the client's, and MCP servers."""

from typing import TypeAlias

from msgspec import UNSET

from rtproto._struct import Json, Maybe, Open, Secret, Struct, Tagged
from rtproto.types.open_enums import ApprovalPolicy, CallerKind, ConnectorId, ToolChoiceMode

__all__ = [
    "FunctionTool",
    "McpTool",
    "McpToolApproval",
    "McpToolFilter",
    "Tool",
    "ToolChoice",
    "ToolChoiceFunction",
    "ToolChoiceMcp",
]


class FunctionTool(Tagged, kw_only=True, tag="function"):
    """A function that the client runs."""

    name: Maybe[str] = UNSET
    """What the model calls it by."""
    description: Maybe[str] = UNSET
    """What the model is told of it."""
    parameters: Maybe[Json] = UNSET
    """The JSON Schema of its arguments."""


class McpToolFilter(Struct, kw_only=True):
    """Some of an MCP server's tools."""

    tool_names: Maybe[list[str]] = UNSET
    """By name."""
    read_only: Maybe[bool] = UNSET
    """By the ``readOnlyHint`` that the server gives them."""


class McpToolApproval(Struct, kw_only=True):
    """Which of an MCP server's tools need the client's approval."""

    always: Maybe[McpToolFilter] = UNSET
    """These do."""
    never: Maybe[McpToolFilter] = UNSET
    """These do not."""


class McpTool(Tagged, kw_only=True, tag="mcp"):
    """An MCP server that the service talks to itself; one of url, connector or tunnel names it."""

    server_label: str
    """What calls and events name it by."""
    server_url: Maybe[str] = UNSET
    """Where it is."""
    connector_id: Maybe[ConnectorId] = UNSET
    """Or: a connector of the service's own."""
    tunnel_id: Maybe[str] = UNSET
    """Or: a tunnel, ``tunnel_…``."""
    authorization: Maybe[Secret] = UNSET
    """The OAuth token to show it."""
    server_description: Maybe[str] = UNSET
    """What the model is told of it."""
    headers: Maybe[dict[str, Secret]] = UNSET
    """HTTP headers to send it; null: none."""
    allowed_tools: Maybe[list[str] | McpToolFilter] = UNSET
    """Which of its tools the model may call; null: all."""
    allowed_callers: Maybe[list[CallerKind]] = UNSET
    """Who may call them; null: anyone."""
    require_approval: Maybe[ApprovalPolicy | McpToolApproval] = UNSET
    """Whether calls wait for the client; absent or null: the service's default, always."""
    defer_loading: Maybe[bool] = UNSET
    """Whether its tools are listed only once they are needed."""


Tool: TypeAlias = FunctionTool | McpTool | Open
"""Anything that a model may call."""


class ToolChoiceFunction(Tagged, kw_only=True, tag="function"):
    """The model must call this function."""

    name: str
    """The function's name."""


class ToolChoiceMcp(Tagged, kw_only=True, tag="mcp"):
    """The model must call a tool of this MCP server."""

    server_label: str
    """The server's label."""
    name: Maybe[str] = UNSET
    """The tool's name; null: any of the server's."""


ToolChoice: TypeAlias = ToolChoiceMode | ToolChoiceFunction | ToolChoiceMcp | Open
"""How the model picks a tool."""
