"""Every wire name is spelled once, and the crate's questions have the crate's answers."""

from enum import StrEnum

import pytest

from rtproto import event_types
from rtproto.event_types import ItemType, is_function_call_type, is_response_event

FAMILIES = [family for name in event_types.__all__ if isinstance(family := getattr(event_types, name), type)]


def test_the_families_are_as_large_as_the_specification() -> None:
    sizes = {family.__name__: len(family) for family in FAMILIES}
    assert sizes == {
        "ResponseEvent": 3,
        "OutputItemEvent": 3,
        "FunctionCallEvent": 2,
        "ContentPartEvent": 2,
        "OutputTextEvent": 2,
        "McpEvent": 7,
        "WebSearchCallEvent": 3,
        "CodeInterpreterCallEvent": 3,
        "FileSearchCallEvent": 3,
        "ItemType": 9,
        "RealtimeClientEvent": 11,
        "RealtimeServerEvent": 46,
        "TranslationClientEvent": 3,
        "TranslationServerEvent": 7,
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_a_member_is_its_wire_name(family: type[StrEnum]) -> None:
    for member in family:
        assert member == member.value == str(member)
        assert family(member.value) is member


def test_mcp_listings_have_another_name_in_each_api() -> None:
    assert event_types.McpEvent.LIST_TOOLS_COMPLETED == "response.mcp_list_tools.completed"
    assert event_types.RealtimeServerEvent.MCP_LIST_TOOLS_COMPLETED == "mcp_list_tools.completed"


@pytest.mark.parametrize("item_type", ItemType)
def test_what_an_item_type_asks_for(item_type: ItemType) -> None:
    is_call = item_type in {"function_call", "function_tool_call"}
    is_builtin = item_type in {"web_search_call", "code_interpreter_call", "file_search_call"}
    assert (item_type.is_function_call(), item_type.is_builtin_tool_call()) == (is_call, is_builtin)
    assert is_function_call_type(item_type.value) is is_call


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("response.created", True),
        ("response.in_progress", True),
        ("response.completed", True),
        ("response.done", False),
        ("response.output_item.added", False),
        ("", False),
    ],
)
def test_response_events(name: str, expected: bool) -> None:
    assert is_response_event(name) is expected
