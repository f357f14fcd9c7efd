"""A type checker sees the three states of a field, the open unions, and a function call that is done."""

from typing import Literal, assert_type

from rtproto import UNSET, Unknown, UnsetType, server, types


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
