"""A context holds an address and nothing else; it makes an event at the cost of one Struct, unvalidated."""

import copy
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pybase64
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import rtproto
from rtproto import (
    UNSET,
    ContentEventBuilder,
    ItemEventBuilder,
    ResponseBuilder,
    ResponseEventBuilder,
    items,
    pcm,
    server,
    types,
)

from .conftest import first_frame

RESPONSE = ResponseEventBuilder("resp_1")
ITEM = RESPONSE.for_item("item_1", 2)
CONTENT = ITEM.for_content(3)
each_context = pytest.mark.parametrize("context", [RESPONSE, ITEM, CONTENT], ids=lambda c: type(c).__name__)


# An address -----------------------------------------------------------------------------------


def test_a_context_is_made_step_by_step_or_at_once() -> None:
    assert ItemEventBuilder("resp_1", "item_1", 2) == ITEM
    assert ContentEventBuilder("resp_1", "item_1", 2, 3) == CONTENT
    assert (
        ContentEventBuilder(response_id="resp_1", item_id="item_1", output_index=2, content_index=3)
        == CONTENT
    )
    assert repr(CONTENT) == (
        "ContentEventBuilder(response_id='resp_1', item_id='item_1', output_index=2, content_index=3)"
    )


def test_leading_on_changes_nothing() -> None:
    first, second = ITEM.for_content(0), ITEM.for_content(1)
    assert (first.content_index, second.content_index) == (0, 1)
    assert ItemEventBuilder("resp_1", "item_1", 2) == ITEM
    assert RESPONSE.for_item("item_2", 0) != ITEM
    assert ResponseEventBuilder("resp_1") == RESPONSE


@each_context
def test_a_context_is_immutable_and_hashable(context: Any) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        context.response_id = "resp_2"
    with pytest.raises(AttributeError):
        context.other = 1
    assert not context.__struct_config__.gc
    assert not hasattr(context, "__dict__")  # It would make every method slower.
    assert {context: "stream"}[copy.copy(context)] == "stream"
    assert pickle.loads(pickle.dumps(context)) == context


def test_what_a_context_keeps_changes_nothing_and_goes_with_it() -> None:
    fresh, used = (ContentEventBuilder("resp_1", "item_1", 0, 0) for _ in range(2))
    frame = used.output_text_delta_frame("event_1", "Hi")
    assert used == fresh
    assert hash(used) == hash(fresh)
    assert repr(used) == repr(fresh)
    for other in (fresh, copy.copy(used), pickle.loads(pickle.dumps(used))):
        assert other.output_text_delta_frame("event_1", "Hi") == frame
    moved = msgspec.structs.replace(used, item_id="item_2")
    assert b'"item_id":"item_2"' in moved.output_text_delta_frame("event_1", "Hi")

    kept: Any = used._address
    references = sys.getrefcount(kept)
    del used
    assert sys.getrefcount(kept) == references - 1


# Frames ---------------------------------------------------------------------------------------

ADDRESSES = st.builds(ContentEventBuilder, st.text(), st.text(), st.integers(0, 2**63), st.integers(0, 2**63))


@settings(max_examples=2000)
@given(ADDRESSES, st.text(), st.text(), st.text())
@example(CONTENT, 'a"b', "\x00\x1f\x7f\u2028é😀\\", "/")
def test_a_text_frame_is_the_event_encoded(
    content: ContentEventBuilder, event_id: str, call_id: str, delta: str
) -> None:
    item = ItemEventBuilder(content.response_id, content.item_id, content.output_index)
    for frame, event in (
        (content.output_text_delta_frame(event_id, delta), content.output_text_delta(event_id, delta)),
        (
            content.output_audio_transcript_delta_frame(event_id, delta),
            content.output_audio_transcript_delta(event_id, delta),
        ),
        (
            item.function_call_arguments_delta_frame(event_id, call_id, delta),
            item.function_call_arguments_delta(event_id, call_id, delta),
        ),
    ):
        assert frame == rtproto.encode(event)
        assert rtproto.decode_server(frame, strict=True) == event


@settings(max_examples=2000)
@given(ADDRESSES, st.text(), st.binary(max_size=60))
def test_an_audio_frame_is_the_event_encoded(
    content: ContentEventBuilder, event_id: str, samples: bytes
) -> None:
    frame = content.output_audio_delta_frame(event_id, samples)
    event = content.output_audio_delta(event_id, pybase64.b64encode_as_string(samples))
    assert frame == rtproto.encode(event)
    assert rtproto.decode_server(frame, strict=True) == event
    assert pcm.payload(frame) == pcm.payload(event) == samples


def test_a_frame_is_made_by_a_copy_and_by_name_too() -> None:
    frame = CONTENT.output_text_delta_frame(event_id="e", delta="d")
    for twin in (copy.copy(CONTENT), pickle.loads(pickle.dumps(CONTENT))):
        assert twin.output_text_delta_frame("e", "d") == frame
        assert twin == CONTENT
        assert hash(twin) == hash(CONTENT)
        assert repr(twin) == repr(CONTENT)


def test_threads_share_a_context() -> None:
    def stream(thread: int) -> list[server.ResponseOutputTextDelta]:
        return [CONTENT.output_text_delta(f"event_{thread}_{n}", f"{thread} {n}") for n in range(5000)]

    with ThreadPoolExecutor(4) as pool:
        streams = list(pool.map(stream, range(4)))
    for thread, events in enumerate(streams):
        for n, event in enumerate(events):
            assert (event.event_id, event.delta, event.item_id) == (
                f"event_{thread}_{n}",
                f"{thread} {n}",
                "item_1",
            )


# Events ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        RESPONSE.output_audio_buffer_started("event_1"),
        ITEM.output_item_added("event_1", items.assistant(id="item_1", status="in_progress")),
        ITEM.function_call_arguments_delta("event_1", "call_1", '{"ci'),
        ITEM.function_call_arguments_done("event_1", "call_1", "get_weather", '{"city":"Oslo"}'),
        ITEM.function_call_arguments_done("event_1", "call_1", UNSET, "{}"),
        ITEM.mcp_call_arguments_delta("event_1", "{", None),
        CONTENT.content_part_added("event_1", items.audio_part("")),
        CONTENT.content_part_done("event_1", items.text_part("Hi"), items.text_part("Hi")),
        CONTENT.output_text_delta("event_1", "Hi", obfuscation="x7Kd"),
        CONTENT.output_audio_delta("event_1", "AAAA"),
        CONTENT.output_audio_transcript_done("event_1", "Hi"),
    ],
    ids=lambda event: event.type,
)
def test_it_is_on_the_wire_what_it_is_in_the_hand(event: server.ServerEvent) -> None:
    assert rtproto.decode_server(rtproto.encode(event), strict=True) == event


def test_it_writes_what_the_service_writes() -> None:
    theirs = first_frame("server", "response.output_text.delta")
    event = msgspec.json.decode(theirs)
    context = ContentEventBuilder(
        event["response_id"], event["item_id"], event["output_index"], event["content_index"]
    )
    ours = context.output_text_delta(event["event_id"], event["delta"], event.get("obfuscation", UNSET))
    assert msgspec.json.decode(rtproto.encode(ours)) == event


def test_what_was_not_given_is_not_on_the_wire() -> None:
    assert msgspec.json.decode(rtproto.encode(CONTENT.output_text_delta("event_1", "Hi"))) == {
        "type": "response.output_text.delta",
        "event_id": "event_1",
        "response_id": "resp_1",
        "item_id": "item_1",
        "output_index": 2,
        "content_index": 3,
        "delta": "Hi",
    }


# Wrong use ------------------------------------------------------------------------------------


def test_a_missing_argument_is_a_type_error_at_the_call() -> None:
    with pytest.raises(
        TypeError, match=r"output_text_delta\(\) missing 1 required positional argument: 'delta'"
    ):
        CONTENT.output_text_delta("event_1")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"function_call_arguments_done\(\) missing .* 'arguments'"):
        ITEM.function_call_arguments_done("event_1", "call_1", "get_weather")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Missing required argument 'output_index'"):
        ItemEventBuilder("resp_1", "item_1")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'text'"):
        CONTENT.output_text_delta("event_1", text="Hi")  # type: ignore[call-arg]


def test_nothing_is_validated_at_the_call() -> None:
    wrong: Any = object()
    assert CONTENT.output_text_delta(wrong, wrong).delta is wrong
    assert ItemEventBuilder(wrong, wrong, wrong).item_id is wrong


def test_a_context_is_no_event() -> None:
    assert not isinstance(CONTENT, rtproto.Struct)
    with pytest.raises(TypeError, match="not ContentEventBuilder"):
        rtproto.validate(CONTENT)  # type: ignore[arg-type]


# A response -----------------------------------------------------------------------------------


def test_a_response_begins_with_three_fields() -> None:
    assert rtproto.encode(ResponseBuilder("resp_1").build()) == (
        b'{"id":"resp_1","object":"realtime.response","status":"in_progress"}'
    )


def test_each_step_sets_its_own_field() -> None:
    steps: dict[str, Any] = {
        "status": "incomplete",
        "status_details": types.StatusDetails(type="incomplete", reason="max_output_tokens"),
        "output": [items.assistant("Hi", id="item_1")],
        "metadata": {"topic": "weather"},
        "audio": types.ResponseAudio(output=types.ResponseAudioOutput(voice="marin")),
        "usage": types.Usage(total_tokens=3),
        "conversation_id": "conv_1",
        "output_modalities": ["audio"],
        "max_output_tokens": 4096,
    }
    assert steps.keys() | {"id", "object"} == {*types.Response.__struct_fields__}
    whole = ResponseBuilder("resp_1")
    for name, value in steps.items():
        one = getattr(ResponseBuilder("resp_1"), name)(value)
        assert one.build() == msgspec.structs.replace(ResponseBuilder("resp_1").build(), **{name: value})
        whole = getattr(whole, name)(value)
    assert whole.build() == types.Response(id="resp_1", object="realtime.response", **steps)


def test_null_is_said_where_the_service_says_it() -> None:
    begun = (
        ResponseBuilder("resp_1")
        .output([])
        .usage(None)
        .status_details(None)
        .metadata(None)
        .conversation_id(None)
    )
    assert msgspec.json.decode(rtproto.encode(begun.build())) == {
        "id": "resp_1",
        "object": "realtime.response",
        "status": "in_progress",
        "status_details": None,
        "output": [],
        "conversation_id": None,
        "usage": None,
        "metadata": None,
    }


def test_a_step_leaves_the_builder_and_what_it_built_as_they_were() -> None:
    begun = ResponseBuilder("resp_1").output([])
    built = begun.build()
    done = begun.add_output(items.user("a")).add_output(items.user("b")).status("completed")
    assert (
        built
        == begun.build()
        == types.Response(id="resp_1", object="realtime.response", status="in_progress", output=[])
    )
    assert done.build().output == [items.user("a"), items.user("b")]


def test_what_is_given_to_a_builder_stays_the_callers_own() -> None:
    output, modalities, metadata = [items.user("a")], ["text"], {"topic": "weather"}
    builder = ResponseBuilder("resp_1").output(output).output_modalities(modalities).metadata(metadata)
    output.append(items.user("b"))
    modalities.append("audio")
    metadata.clear()
    built = builder.build()
    assert (built.output, built.output_modalities, built.metadata) == (
        [items.user("a")],
        ["text"],
        {"topic": "weather"},
    )


def test_a_builder_needs_an_id_and_takes_no_field_of_its_own() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'id'"):
        ResponseBuilder()  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        ResponseBuilder("resp_1").usage_ = 1  # type: ignore[attr-defined]


def test_a_builder_shows_no_audio() -> None:
    speaking = ResponseBuilder("resp_1").add_output(
        items.assistant(items.output_audio("Hi", audio="UklGR" * 9))
    )
    assert "UklGR" not in repr(speaking)
    assert "<45 characters>" in repr(speaking)


# A long stream --------------------------------------------------------------------------------

MILLION = """
import gc, resource, sys
from rtproto import ResponseEventBuilder, encode, new_event_id
context = ResponseEventBuilder("resp_1").for_item("item_1", 0).for_content(0)
gc.disable()
def stream(deltas):
    for _ in range(deltas):
        encode(context.output_text_delta(new_event_id(), " there"))
def held():
    return sys.getallocatedblocks(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
stream(10_000)
before = held()
stream(1_000_000)
print(*(now - then for now, then in zip(held(), before)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module there")
def test_a_million_deltas_run_in_constant_memory() -> None:
    run = subprocess.run(
        [sys.executable, "-c", MILLION], capture_output=True, text=True, check=True, timeout=120
    )
    blocks, kibibytes = map(int, run.stdout.split())
    assert blocks < 100
    assert kibibytes < 1024
