"""Any JSON object with a string type is an event; anything else is NotAnEvent, and nothing else is raised."""

import gc
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rtproto
from rtproto import NotAnEvent, Unknown, client, server, translation, types
from rtproto.testing import strategies

from .conftest import CODECS, OwnFrame, first_frame, own_frames, same_json

FRAMES = [parameter.values[0] for parameter in own_frames()]
EVENTS = [(codec, cls) for codec in CODECS.values() for cls in codec.types.values()]
DELTA = first_frame("server", "response.output_text.delta")


# Round trips ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "cls"), EVENTS, ids=lambda value: getattr(value, "__name__", ""))
def test_every_event_comes_back_as_it_was(codec: rtproto.Codec[Any], cls: type[msgspec.Struct]) -> None:
    @given(strategies.values(cls))
    def round_trip(event: Any) -> None:
        data = codec.encode(event)
        again = codec.decode(data, strict=True)
        assert again == event
        assert codec.encode(again) == data
        assert same_json(codec.encode(again), json.dumps(json.loads(data)))

    round_trip()


def test_encode_into_reuses_a_buffer() -> None:
    event = rtproto.decode_server(DELTA)
    buffer = bytearray(b"frame: " + b"x" * 1000)
    rtproto.encode_into(event, buffer, offset=7)
    assert buffer == b"frame: " + rtproto.encode(event)
    rtproto.encode_into(event, buffer, -1)
    assert buffer == b"frame: " + rtproto.encode(event) * 2
    rtproto.server_codec.encode_into(Unknown("x", b'{"type":"x"}'), buffer)
    assert buffer == b'{"type":"x"}'


def test_what_has_no_place_in_an_event_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="object has no place in an event"):
        rtproto.encode(client.InputAudioBufferAppend(audio=object()))  # type: ignore[arg-type]


# What is an event -----------------------------------------------------------------------------

NOT_EVENTS = {
    "nothing": b"",
    "white space": b" \n",
    "broken": b'{"type":"error",',
    "cut in a string": b'{"type":"err',
    "trailing bytes": b'{"type":"response.video.delta"} x',
    "trailing comma": b'{"type":"response.video.delta",}',
    "a comment": b'{"type":"response.video.delta"// no\n}',
    "two documents": b'{"type":"error"}{"type":"error"}',
    "an array": b'[{"type":"error"}]',
    "a string": b'"error"',
    "a number": b"1",
    "null": b"null",
    "no type": b"{}",
    "a type that is null": b'{"type":null}',
    "a type that is a number": b'{"type":1}',
    "a type that is an object": b'{"type":{"type":"error"}}',
    "a type only deeper down": b'{"event":{"type":"error"}}',
    "a type in other letters": b'{"Type":"error"}',
    "invalid UTF-8 in the type": b'{"type":"\xff"}',
    "invalid UTF-8 in an unknown event": b'{"type":"response.video.delta","delta":"\xff"}',
    "invalid UTF-8 in a known field": DELTA.replace(b'"delta":"', b'"delta":"\xff', 1),
    "a byte order mark": b'\xef\xbb\xbf{"type":"error"}',
    "UTF-16": '{"type":"error"}'.encode("utf-16"),
    "a control character": b'{"type":"response.video.delta","delta":"\x01"}',
    "NaN": b'{"type":"response.video.delta","delta":NaN}',
    "deep nesting": b'{"type":"response.video.delta","delta":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep nesting in a known event": b'{"type":"error","error":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    "deep nesting, nothing else": b"[" * 100_000,
    "half a surrogate pair and broken": b'{"type":"response.video.delta","delta":"\\ud83d"',
    "half a surrogate pair as the type": b'{"type":"\\ud83d"}',
    "half a surrogate pair and a number": b'{"type":7,"x":"\\ud83d y"}',
    "half a surrogate pair and a list": b'{"type":["\\ud83d"]}',
    "half a surrogate pair and a byte order mark": b'\xef\xbb\xbf{"type":"x","a":"\\ud83d y"}',
    "half a surrogate pair and invalid UTF-8": b'{"type":"x","a":"\xed\xa0\xbd","b":"\\ud83d y"}',
    "half a surrogate pair in UTF-16": '{"type":"x","a":"\\ud83d"}'.encode("utf-16-le"),
    "half a surrogate pair in text and bytes": '{"type":"x","a":"\u755c\u3864"}'.encode("utf-16-le"),
}


@pytest.mark.parametrize("data", NOT_EVENTS.values(), ids=NOT_EVENTS.keys())
@pytest.mark.parametrize("strict", [False, True])
def test_what_is_not_an_event_is_refused(data: bytes, strict: bool) -> None:
    forms: list[Any] = [data, bytearray(data), memoryview(data)]
    for codec in CODECS.values():
        for form in forms:
            with pytest.raises(NotAnEvent):
                codec.decode(form, strict=strict)


def test_text_that_utf_8_cannot_hold_is_refused() -> None:
    for text in ('"delta":"\ud83d"', '"delta":"\ud83d","b":"\\u0041"', '"delta":"\ud83d","b":"\\ud83d y"'):
        with pytest.raises(NotAnEvent, match="invalid UTF-8"):
            rtproto.decode_server(f'{{"type":"response.video.delta",{text}}}')


def test_a_message_tells_what_is_wrong() -> None:
    reasons = {
        b"[]": "not an event: Expected `object`, got `array`",
        b"{}": "not an event: Object missing required field `type`",
        b'{"type":1}': "not an event: Expected `str`, got `int` - at `$.type`",
        b'{"type":"x"}x': "not an event: JSON is malformed: trailing characters (byte 13)",
        NOT_EVENTS["deep nesting"]: "not an event: nested too deeply",
        b'{"type":"x","y":"\xff"}': "not an event: invalid UTF-8",
    }
    for data, reason in reasons.items():
        with pytest.raises(NotAnEvent) as caught:
            rtproto.decode_server(data)
        assert str(caught.value) == reason


@pytest.mark.parametrize("data", [None, 5, ["{}"], {"type": "error"}])
def test_what_is_no_frame_at_all_is_a_type_error(data: Any) -> None:
    with pytest.raises(TypeError):
        rtproto.decode_server(data)


# Unknown, whole -------------------------------------------------------------------------------

UNKNOWN_EVENTS = {
    "plain": b'{"type":"response.video.delta","delta":1.50}',
    "spread out": b' { "delta" : 1e3 ,\n "type" : "response.video.delta" } ',
    "escaped": b'{"type":"response.video.delta","a":"\\u00e9\\/","b":"\xc3\xa9"}',
    "escaped key": b'{"\\u0074ype":"response.video.delta"}',
    "escaped type": b'{"type":"response.vide\\u006f.delta"}',
    "huge number": b'{"type":"response.video.delta","n":' + b"9" * 5000 + b"}",
    "half a surrogate pair": b'{"type":"response.video.delta","delta":"\\ud83d"}',
    "half a surrogate pair, escaped type": b'{"type":"response.vide\\u006f.delta","delta":"\\ud83d y"}',
    "half a surrogate pair, empty type": b'{"type":"","delta":"\\ud83d y"}',
    "half a surrogate pair, huge number": b'{"type":"x","n":' + b"9" * 5000 + b',"delta":"\\ud83d y"}',
    "empty type": b'{"type":""}',
    "another direction's": first_frame("client", "response.cancel"),
    "another surface's": first_frame("translation_server", "session.output_audio.delta"),
    "nested types": b'{"item":{"type":"error"},"type":"response.video.delta"}',
}


@pytest.mark.parametrize("data", UNKNOWN_EVENTS.values(), ids=UNKNOWN_EVENTS.keys())
def test_an_unknown_event_keeps_its_bytes(data: bytes) -> None:
    forms: list[Any] = [data, bytearray(data), memoryview(data), data.decode()]
    for form in forms:
        event = rtproto.decode_server(form)
        assert event == rtproto.decode_server(form, strict=True)
        assert isinstance(event, Unknown)
        assert (event.type, event.raw, event.error) == (json.loads(data, parse_int=str)["type"], data, None)
        assert type(event.raw) is bytes
        assert rtproto.encode(event) == data
        assert rtproto.probe_type(form) == event.type


def test_an_unknown_holds_no_buffer_of_the_caller() -> None:
    for data in (
        UNKNOWN_EVENTS["plain"],
        DELTA.replace(b'"delta":"', b'"delta":5,"x":"', 1),
        _with_unknown_part(),
    ):
        buffer = bytearray(data)
        event = rtproto.decode_server(buffer)
        before = rtproto.encode(event)
        buffer[:] = b"x" * len(buffer)
        assert rtproto.encode(event) == before
        buffer.extend(b"a buffer in use could not grow")


def _with_unknown_part() -> bytes:
    frame = first_frame("server", "conversation.item.added")
    return frame.replace(b'"content":[', b'"content":[{"type":"output_clip","clip":1.0},', 1)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"delta": 5}, "$.delta: Expected `str`, got `int`"),
        ({"item_id": None}, "$.item_id: Expected `str`, got `null`"),
        ({"content_index": "0"}, "$.content_index: Expected `int | float`, got `str`"),
        ({"content_index": 0.5}, "$.content_index: Expected `int`, got a fraction"),
        ({"content_index": 10**5000}, "$.content_index: Integer value out of range"),
    ],
)
def test_a_wrong_shape_is_told_by_its_path(wrong: dict[str, Any], error: str) -> None:
    frame = json.loads(DELTA) | wrong
    data = msgspec.json.encode(frame) if "content_index" not in wrong else _dumps(frame)
    event = rtproto.decode_server(data)
    assert event == Unknown("response.output_text.delta", data, error)
    with pytest.raises(rtproto.InvalidEvent) as caught:
        rtproto.decode_server(data, strict=True)
    assert f"{caught.value.path}: {caught.value.reason}" == error


def _dumps(frame: dict[str, Any]) -> bytes:
    digits = frame["content_index"]
    if isinstance(digits, int):
        return json.dumps(frame | {"content_index": "N"}).replace('"N"', "1" + "0" * 5000).encode()
    return json.dumps(frame).encode()


def test_a_missing_field_is_told_by_its_path() -> None:
    frame = json.loads(first_frame("server", "conversation.item.added"))
    frame["item"] = {"type": "message", "content": []}
    event = rtproto.decode_server(json.dumps(frame))
    assert isinstance(event, Unknown)
    assert event.error == "$.item.role: missing"


def test_a_frame_made_to_be_slow_gets_no_second_look() -> None:
    head, tail = (
        b'{"type":"conversation.item.added","event_id":"e","item":{"type":"message","role":"user",',
        b"}}",
    )
    data = head + b'"content":[' + b"{}," * 500_000 + b"{}]" + tail
    event = rtproto.decode_server(data)
    assert event == Unknown(event.type, data, "$.item.content[0].type: missing")
    with pytest.raises(rtproto.InvalidEvent):
        rtproto.decode_server(data, strict=True)
    fewer = head + b'"content":[' + b"{}," * 1000 + b"{}]" + tail
    assert isinstance(rtproto.decode_server(fewer), server.ConversationItemAdded)


def test_a_type_said_twice_differently_is_not_typed() -> None:
    data = b'{"type":"error","type":"response.done","event_id":"e"}'
    event = rtproto.decode_server(data)
    assert isinstance(event, Unknown)
    assert event.raw == data


def test_a_type_said_twice_alike_is_typed() -> None:
    data = DELTA.replace(b"{", b'{"type":"response.output_text.delta",', 1)
    assert rtproto.decode_server(data) == rtproto.decode_server(DELTA)


def test_half_a_surrogate_pair_ends_no_session() -> None:
    data = DELTA.replace(b'"delta":"', b'"delta":"\\ud83d', 1)
    event = rtproto.decode_server(data)
    assert isinstance(event, Unknown)
    assert (event.type, event.raw) == ("response.output_text.delta", data)
    assert event.error == "$: half a surrogate pair"
    assert rtproto.decode_server(b'{"type":"error","x":"\\ud83d"}').error == "$: half a surrogate pair"


# Damage ---------------------------------------------------------------------------------------


def _is_event(data: bytes) -> bool:
    """What the standard library thinks; it is laxer in NaN, and stricter in nothing that matters here."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        event = json.loads(data.decode(), parse_constant=refuse)
        return (
            isinstance(event, dict)
            and isinstance(event.get("type"), str)
            and event["type"].encode() is not None
        )
    except (ValueError, RecursionError):
        return False


@given(
    st.sampled_from(FRAMES),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=6)), min_size=1, max_size=3),
)
def test_damage_never_raises_anything_else(frame: OwnFrame, cuts: list[tuple[float, int, bytes]]) -> None:
    data = frame.raw.encode()
    for where, length, patch in cuts:
        start = int(where * len(data))
        data = data[:start] + patch + data[start + length :]
    try:
        event = frame.codec.decode(data)
    except NotAnEvent:
        assert not _is_event(data)
        return
    if isinstance(event, Unknown):
        assert event.raw == frame.codec.encode(event) == data
        assert _is_event(data)
    else:
        json.loads(frame.codec.encode(event))


@given(st.binary(max_size=40))
def test_noise_never_raises_anything_else(data: bytes) -> None:
    with suppress(NotAnEvent):
        assert isinstance(rtproto.decode_server(data).type, str)


# One for all ----------------------------------------------------------------------------------


def test_a_codec_is_shared_among_threads() -> None:
    frames = [frame for frame in FRAMES if frame.codec is rtproto.server_codec]
    data = [frame.raw.encode() for frame in frames] + list(UNKNOWN_EVENTS.values()) + [_with_unknown_part()]
    expected = [rtproto.decode_server(item) for item in data]
    results: list[bool] = []

    def decode_all() -> None:
        results.append(all([rtproto.decode_server(item) for item in data] == expected for _ in range(20)))

    threads = [threading.Thread(target=decode_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 8


@given(st.lists(st.sampled_from([DELTA, *UNKNOWN_EVENTS.values(), *NOT_EVENTS.values()]), max_size=12))
def test_what_came_before_is_no_matter(stream: list[bytes]) -> None:
    def outcome(data: bytes) -> object:
        try:
            return rtproto.decode_server(data)
        except NotAnEvent as error:
            return str(error)

    alone = {}
    for data in stream:
        rtproto.decode_server(DELTA)
        alone[data] = outcome(data)
    assert [outcome(data) for data in stream] == [alone[data] for data in stream]


def test_a_codec_says_what_it_knows() -> None:
    assert list(rtproto.server_codec.types) == [cls.type for cls in get_args(server.ServerEvent)]
    assert rtproto.translation_client_codec.types["session.close"] is translation.SessionClose


def test_a_codec_takes_a_union() -> None:
    mine: rtproto.Codec[server.Error | server.ResponseDone] = rtproto.Codec(
        server.Error | server.ResponseDone
    )
    assert set(mine.types) == {"error", "response.done"}
    with pytest.raises(TypeError, match="a union of event classes"):
        rtproto.Codec(server.Error)


def test_each_surface_has_its_own_session() -> None:
    raw = first_frame("translation_server", "session.created")
    translated = rtproto.translation_server_codec.decode(raw)
    assert isinstance(translated, translation.SessionCreated)
    assert isinstance(translated.session, types.TranslationSession)
    foreign = rtproto.decode_server(raw)
    assert isinstance(foreign, server.SessionCreated)
    assert isinstance(foreign.session, Unknown)
    assert foreign.session.type == "translation"
    assert same_json(rtproto.encode(foreign), raw)


# The crate's conveniences ---------------------------------------------------------------------


def test_a_function_call_is_found_when_it_is_done() -> None:
    done = rtproto.decode_server(first_frame("server", "response.function_call_arguments.done"))
    assert server.is_function_call_done(done)
    assert server.get_function_call(done) == (done.call_id, done.item_id, done.arguments)
    for event in (rtproto.decode_server(DELTA), rtproto.decode_server(UNKNOWN_EVENTS["plain"])):
        assert not server.is_function_call_done(event)
        assert server.get_function_call(event) is None


# What is left behind --------------------------------------------------------------------------


BAD = b'{"type":"response.output_text.delta","event_id":5}'


def _refused(call: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    with suppress(rtproto.RtprotoError):
        call(*arguments, **options)


@pytest.mark.parametrize(
    ("call", "data", "options"),
    [
        (rtproto.decode_server, BAD, {}),
        (rtproto.decode_server, BAD, {"strict": True}),
        (rtproto.decode_server, b'{"type":"x"}', {}),
        (rtproto.decode_server, b"{", {}),
        (rtproto.decode_server, b'{"type":"error","x":"\\ud83d"}', {}),
        (rtproto.decode_server, b'{"type":"error","event_id":"\xff"}', {}),
        (rtproto.decode_body, BAD, {"body": rtproto.types.ClientSecretCreateResponse}),
        (rtproto.probe_type, b"{", {}),
        (rtproto.probe_type, b'{"type":"\xff"}', {}),
        (rtproto.ServerFrame, b"{", {}),
    ],
)
def test_a_refusal_leaves_no_garbage_that_holds_the_frame(
    call: Callable[..., Any], data: bytes, options: dict[str, Any]
) -> None:
    """A cycle would keep a frame, of any size, until the collector comes by."""
    _refused(call, data, **options)
    gc.collect()
    gc.disable()
    try:
        _refused(call, data, **options)
        assert gc.collect() == 0
    finally:
        gc.enable()
