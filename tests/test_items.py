"""Every kind of item and content part has a short way, which takes its fields and sets nothing else."""

import inspect
from collections.abc import Sequence
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

import rtproto
from rtproto import UNSET, client, items, types
from rtproto._struct import Maybe, Open

KINDS = {kind.type: kind for kind in (*get_args(types.InputItem), *get_args(types.ContentPart))}
OF_OLD = {"text", "audio"}
"""Kinds that are read, and that nobody should write."""
SERVICE_ONLY = {"object", "phase"}
"""Fields that GA leaves out, or that only the service knows."""
ALWAYS = {"text", "audio", "image_url", "transcript", "call_id"}
"""Fields that the wire may lack, and that a short way may ask for by place."""

each_kind = pytest.mark.parametrize("kind", sorted(KINDS.keys() & {*items.__all__}))


def test_every_kind_has_a_short_way() -> None:
    kinds = KINDS.keys() - {Open.type, "message", *OF_OLD}
    messages, streamed = {"system", "user", "assistant"}, {"text_part", "audio_part"}
    assert set(items.__all__) == kinds | messages | streamed


@each_kind
def test_it_takes_the_fields_of_its_kind(kind: str) -> None:
    make, cls = getattr(items, kind), KINDS[kind]
    fields = {field.name: field for field in msgspec.structs.fields(cls) if field.name not in SERVICE_ONLY}
    hints = get_type_hints(make, include_extras=True)
    assert hints.pop("return") is cls
    assert hints.keys() == fields.keys()
    for name, parameter in inspect.signature(make).parameters.items():
        by_place = parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        assert by_place is (parameter.default is inspect.Parameter.empty), name
        assert fields[name].required <= by_place <= (fields[name].required or name in ALWAYS), name
        assert fields[name].type in (hints[name], Maybe[hints[name]], _as_list(hints[name])), name


def _as_list(annotation: Any) -> Any:
    """A list is written, where any sequence is taken."""
    return list[get_args(annotation)] if get_origin(annotation) is Sequence else annotation


@each_kind
def test_it_puts_each_argument_into_its_own_field(kind: str) -> None:
    arguments = {name: [object()] for name in get_type_hints(getattr(items, kind)) if name != "return"}
    made = getattr(items, kind)(**arguments)
    assert {name: getattr(made, name) for name in arguments} == arguments
    assert all(getattr(made, name) is UNSET for name in SERVICE_ONLY & {*made.__struct_fields__})


IMAGE = "data:image/png;base64,AAAA"


@pytest.mark.parametrize(
    ("made", "wire"),
    [
        (items.user("Hi"), {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}),
        (items.system("Hi"), {"role": "system", "content": [{"type": "input_text", "text": "Hi"}]}),
        (items.assistant("Hi"), {"role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}),
        (
            items.assistant(id="item_1", status="in_progress"),
            {"id": "item_1", "status": "in_progress", "role": "assistant", "content": []},
        ),
        (
            items.user("What is this?", items.input_image(IMAGE, detail="low"), items.input_audio("AAAA")),
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": IMAGE, "detail": "low"},
                    {"type": "input_audio", "audio": "AAAA"},
                ],
            },
        ),
        (
            items.assistant(items.output_audio("A cat."), types.LegacyText(text="A cat.")),
            {
                "role": "assistant",
                "content": [
                    {"type": "output_audio", "transcript": "A cat."},
                    {"type": "text", "text": "A cat."},
                ],
            },
        ),
    ],
)
def test_a_message_takes_strings_and_parts(made: types.Message, wire: dict[str, Any]) -> None:
    assert msgspec.json.decode(rtproto.encode(made)) == {"type": "message", **wire}


@pytest.mark.parametrize(
    ("made", "wire"),
    [
        (items.function_call_output("call_1", "4 °C"), {"call_id": "call_1", "output": "4 °C"}),
        (
            items.mcp_approval_response("mcpr_1", False, id="item_1", reason=None),
            {"id": "item_1", "approval_request_id": "mcpr_1", "approve": False, "reason": None},
        ),
        (
            items.mcp_list_tools("docs", (types.McpListedTool(name="search", input_schema={}),)),
            {"server_label": "docs", "tools": [{"name": "search", "input_schema": {}}]},
        ),
    ],
)
def test_what_is_not_given_is_not_on_the_wire(made: types.InputItem, wire: dict[str, Any]) -> None:
    assert msgspec.json.decode(rtproto.encode(made)) == {"type": made.type, **wire}


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_a_message_takes_an_id_and_a_status(role: str) -> None:
    made = getattr(items, role)("Hi", id="item_1", status="completed")
    assert (made.role, made.id, made.status, len(made.content)) == (role, "item_1", "completed", 1)
    assert (getattr(items, role)().id, getattr(items, role)().content) == (UNSET, [])


def test_a_sequence_stays_the_callers_own() -> None:
    tools = [types.McpListedTool(name="search", input_schema={})]
    made = items.mcp_list_tools("docs", tools)
    tools.clear()
    assert len(made.tools) == 1


def test_streamed_parts_have_the_names_of_the_stream() -> None:
    assert rtproto.encode(items.text_part("")) == b'{"type":"text","text":""}'
    assert rtproto.encode(items.audio_part("")) == b'{"type":"audio","transcript":""}'
    assert items.audio_part("Hi", audio="AAAA").audio == "AAAA"


def test_what_it_makes_is_what_the_service_takes() -> None:
    made = [
        items.system("Be brief."),
        items.user("Hi", items.input_audio("AAAA"), items.input_image("data:image/png;base64,AAAA")),
        items.assistant("Hello", items.output_audio("Hello")),
        items.function_call("call_1", "get_weather", "{}"),
        items.mcp_approval_request("mcpr_1", "docs", "search", "{}"),
        items.mcp_call("mcp_1", "docs", "search", "{}", output="found", error=None),
        items.item_reference("item_1"),
    ]
    event = client.ResponseCreate(response=types.ResponseCreateParams(input=made))
    assert rtproto.validate(event) == []
    assert rtproto.decode_client(rtproto.encode(event), strict=True) == event
