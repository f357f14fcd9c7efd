"""The page on speaking leaves out no constructor of the crate, no context method, step or short way."""

import ast
import re
from typing import Any, get_args

import pytest

import rtproto
from rtproto import builders, client, items, server, types
from rtproto.validate import Rule

from .conftest import HERE

PAGE = (HERE.parent / "docs" / "speaking.md").read_text("utf-8")

# The original crate's named constructors (openai-protocol 1.7.0) and what each takes.
SERVER = """
session_created event_id session
session_updated event_id session
conversation_created event_id conversation
conversation_item_created event_id previous_item_id item
conversation_item_added event_id previous_item_id item
conversation_item_done event_id previous_item_id item
conversation_item_deleted event_id item_id
conversation_item_retrieved event_id item
conversation_item_truncated event_id item_id content_index audio_end_ms
input_audio_transcription_completed event_id item_id content_index transcript usage
input_audio_transcription_completed_with_logprobs event_id item_id content_index transcript usage logprobs
input_audio_transcription_delta event_id item_id content_index delta logprobs
input_audio_transcription_failed event_id item_id content_index error
input_audio_transcription_segment event_id item_id content_index text id speaker start end
input_audio_buffer_cleared event_id
input_audio_buffer_committed event_id item_id previous_item_id
input_audio_buffer_speech_started event_id audio_start_ms item_id
input_audio_buffer_speech_stopped event_id audio_end_ms item_id
input_audio_buffer_timeout_triggered event_id audio_start_ms audio_end_ms item_id
dtmf_event_received event received_at
mcp_list_tools_in_progress event_id item_id
mcp_list_tools_completed event_id item_id
mcp_list_tools_failed event_id item_id
mcp_call_in_progress event_id item_id output_index
mcp_call_completed event_id item_id output_index
mcp_call_failed event_id item_id output_index
rate_limits_updated event_id rate_limits
response_created event_id response
response_done event_id response
error_event event_id error
"""
CLIENT = """
session_update event_id session
conversation_item_create event_id previous_item_id item
conversation_item_delete event_id item_id
conversation_item_retrieve event_id item_id
conversation_item_truncate event_id item_id content_index audio_end_ms
input_audio_buffer_append event_id audio
input_audio_buffer_clear event_id
input_audio_buffer_commit event_id
output_audio_buffer_clear event_id
response_cancel event_id response_id
response_create event_id response
"""
ARGUMENTS: dict[str, Any] = {
    "conversation": types.Conversation(id="conv_1"),
    "item": items.user("Hi"),
    "usage": types.TranscriptionDurationUsage(seconds=1),
    "logprobs": [types.LogProb(token="Hi", logprob=-0.1, bytes=[72, 105])],
    "rate_limits": [types.RateLimit(name="tokens", limit=1000)],
    "content_index": 0,
    "output_index": 0,
    "audio_start_ms": 0,
    "audio_end_ms": 1500,
    "received_at": 1785214080,
    "start": 0,
    "end": 1.5,
}
OF_A_SIDE: dict[str, dict[str, Any]] = {
    "server": {
        "session": types.SessionCreateResponse(id="sess_1", object="realtime.session"),
        "response": types.Response(id="resp_1"),
        "error": types.Error(type="server_error", message=""),
    },
    "client": {
        "session": types.SessionCreateRequest(model="gpt-realtime"),
        "response": types.ResponseCreateParams(instructions="Be brief."),
    },
}


def _table() -> dict[str, str]:
    rows = PAGE.partition("| in the crate | here |")[2]
    return dict(re.findall(r"^\| `(\w+)` \| `(.+)` \|$", rows, re.MULTILINE))


CONSTRUCTORS = [
    pytest.param(side, *line.partition(" ")[::2], id=line.split()[0])
    for side, lines in (("server", SERVER), ("client", CLIENT))
    for line in lines.strip().splitlines()
]


def test_the_table_has_every_constructor_and_no_other() -> None:
    names = [str(parameter.values[1]) for parameter in CONSTRUCTORS]
    assert len(names) == 30 + 11
    assert [*_table()] == names


@pytest.mark.parametrize(("side", "name", "takes"), CONSTRUCTORS)
def test_a_constructor_of_the_crate_has_its_spelling_here(side: str, name: str, takes: str) -> None:
    call = ast.parse(_table()[name], mode="eval").body
    assert isinstance(call, ast.Call)
    module, _, class_name = ast.unparse(call.func).partition(".")
    assert module == side
    assert [keyword.arg for keyword in call.keywords] == takes.split()

    cls = getattr({"client": client, "server": server}[side], class_name)
    wire = name.removesuffix("_with_logprobs").removesuffix("_event")
    assert cls.type.replace(".", "_").endswith(wire)

    values = ARGUMENTS | OF_A_SIDE[side]
    if name == "input_audio_transcription_failed":
        values |= {"error": types.TranscriptionError(code="audio_unintelligible")}
    event = cls(**{argument: values.get(argument, f"{argument}_1") for argument in takes.split()})
    decode = {"client": rtproto.decode_client, "server": rtproto.decode_server}[side]
    assert decode(rtproto.encode(event), strict=True) == event


def test_it_names_every_context_method_and_step() -> None:
    contexts = (builders.ResponseEventBuilder, builders.ItemEventBuilder, builders.ContentEventBuilder)
    methods = [name for cls in (*contexts, builders.ResponseBuilder) for name in vars(cls) if name[0] != "_"]
    fields = {field for context in contexts for field in context.__struct_fields__}
    for name in {*methods} - fields:
        assert f"`{name}`" in PAGE, name


def test_each_short_way_is_written_as_it_works() -> None:
    names = {"items": items, "base64": "AAAA", "data_uri": "data:image/png;base64,AAAA"}
    names |= {"tool": types.McpListedTool(name="search", input_schema={})}
    written = re.findall(r"`(items\.\w+\(.*?\))`", PAGE.partition("| to make | write |")[2])
    assert {*re.findall(r"items\.(\w+)\(", " ".join(written))} == {*items.__all__}
    for call in written:
        assert rtproto.encode(eval(call, dict(names)))


def test_every_rule_is_told() -> None:
    for rule in get_args(Rule):
        assert f"| `{rule}` |" in PAGE, rule
