"""A type checker sees the three states of a field, the open unions, and a function call that is done."""

from typing import Literal, assert_type

import rtproto
from rtproto import UNSET, Unknown, UnsetType, builders, client, items, pcm, server, types


def three_states(audio: types.AudioInput) -> str:
    detection = audio.turn_detection
    if detection is UNSET:
        assert_type(detection, Literal[UnsetType.UNSET])
        return "as it is"
    if detection is None:
        return "off"
    assert_type(detection, types.ServerVad | types.SemanticVad | Unknown)
    if isinstance(detection, Unknown):
        return detection.type
    return detection.type


def open_unions(part: types.ContentPart) -> str:
    match part:
        case types.InputText(text=str(text)) | types.OutputText(text=str(text)):
            assert_type(text, str)
            return text
        case Unknown():
            return part.raw.decode()
        case _:
            return part.type


def open_enums(response: types.Response) -> bool:
    if response.status == "completed":
        return True
    assert_type(types.ServerVad.type, str)
    return (
        types.ResponseCreateParams(conversation="conv_1", output_modalities=["text"]).conversation == "none"
    )


def function_calls(event: server.ServerEvent | Unknown) -> str:
    if server.is_function_call_done(event):
        assert_type(event, server.ResponseFunctionCallArgumentsDone)
        return event.call_id
    call = server.get_function_call(event)
    return "" if call is None else call.arguments


def states_in_a_match(usage: types.Usage) -> int:
    match usage.total_tokens:
        case None | UnsetType():
            return 0
        case tokens:
            assert_type(tokens, int)
            return tokens or 0


def frames(data: bytes) -> bytes:
    frame = rtproto.ServerFrame(data)
    assert_type(frame.event, server.ServerEvent | Unknown)
    assert_type(frame.type, str)
    if isinstance(frame.event, server.ResponseOutputAudioDelta):
        assert_type(pcm.payload(frame), bytes)
        assert_type(pcm.payload(frame.event), bytes)
    edited = frame.replace(event_id="e").set("item.id", UNSET).edit({"a.b": 1, ("c", "d.e"): None})
    assert_type(edited, rtproto.ServerFrame)
    assert_type(edited.remove("a", ("b", "c")).with_event(edited.event), rtproto.ServerFrame)
    samples = bytearray(2)
    return pcm.append_frame(memoryview(samples), "e") + pcm.Appender(max_bytes=2)(samples)


class MyFrame(rtproto.Frame[client.ClientEvent]):
    codec = rtproto.client_codec


def my_frames(data: str) -> None:
    assert_type(MyFrame(data).event, client.ClientEvent | Unknown)


def contexts(delta: str) -> server.ServerEvent:
    item = rtproto.ResponseEventBuilder("resp_1").for_item("item_1", output_index=0)
    assert_type(item, builders.ItemEventBuilder)
    content = item.for_content(0)
    assert_type(content, rtproto.ContentEventBuilder)
    assert_type(content.output_text_delta("event_1", delta), server.ResponseOutputTextDelta)
    assert_type(item.output_item_added("event_1", items.assistant()), server.ResponseOutputItemAdded)
    return item.function_call_arguments_done(rtproto.new_event_id(), "call_1", UNSET, "{}")


def made_in_short(speech: list[types.UserPart]) -> client.ConversationItemCreate:
    assert_type(items.function_call_output("call_1", "{}"), types.FunctionCallOutput)
    return client.ConversationItemCreate(item=items.user("Hi", *speech, id="item_1"))


def responses(usage: types.Usage) -> types.Response:
    begun = rtproto.ResponseBuilder("resp_1").output([]).usage(None)
    calls = [items.function_call("call_1", "get_weather", "{}")]
    return begun.status("completed").output(calls).add_output(items.user("Hi")).usage(usage).build()


def problems(event: client.ClientEvent | Unknown) -> list[str]:
    assert_type(rtproto.validate(event), list[rtproto.Problem])
    return [problem.path for problem in rtproto.validate(event) if problem.rule != "unknown"]
