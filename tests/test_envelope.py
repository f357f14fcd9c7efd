"""The probe tells the first type of every event, from the front where it can, and is never wrong."""

import json
import sys
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import rtproto
from rtproto import NotAnEvent
from rtproto.testing.strategies import json_objects, json_values

from .conftest import CODECS, own_frames
from .json_texts import parse
from .test_codec import NOT_EVENTS

FRAMES = [parameter.values[0] for parameter in own_frames()]
NAMES = [name for codec in CODECS.values() for name in codec.types]
SPELLINGS = ['"type":"%s"', '"type": "%s"', '"type" :\t"%s"', r'"\u0074ype":"%s"', r'"t\u0079p\u0065": "%s"']


def ways(text: str) -> list[Any]:
    """The same frame in every kind of buffer."""
    raw = text.encode()
    return [raw, bytearray(raw), memoryview(raw), text]


def test_a_known_type_is_one_interned_string() -> None:
    for frame in FRAMES:
        name = rtproto.probe_type(frame.raw)
        assert name is sys.intern(frame.type)
        assert name is frame.codec.types[name].type
        assert all(name is rtproto.probe_type(data) for data in ways(frame.raw))
        assert name is rtproto.probe_type(frame.raw.replace("{", '{"x":5,', 1))


@pytest.mark.parametrize("name", ["response.done", "response.video.delta", "", "é", "a" * 300])
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("before", ["", '"event_id":"e", ', '"a":"","b" : "x" ,', '"n":1,', '"s":"\\"",'])
@pytest.mark.parametrize("space", ["", " \r\n\t", " " * 300])
def test_every_spelling_is_read(name: str, spelling: str, before: str, space: str) -> None:
    text = f'{space}{{{space}{before}{spelling % name},"type_":{{"type":"error"}}}}'
    assert {rtproto.probe_type(data) for data in ways(text)} == {name}


def test_the_probe_reads_the_front_only() -> None:
    assert rtproto.probe_type(b'{"type":"response.video.delta", whatever') == "response.video.delta"
    assert rtproto.probe_type(b' {\n"type" : "error", whatever') == "error"
    assert rtproto.probe_type(b'{"event_id":"e","type":"error", whatever') == "error"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"type":"error","type":"session.created"}', "error"),
        ('{"event_id":"e","type":"a","type":"b"}', "a"),
        ('{"n":1,"type":"error","x":{"type":"y"},"type":"b"}', "error"),
        (r'{"n":1,"\u0074ype":"a","type":"error"}', "a"),
        (r'{"x":"\"type\":\"error\"","type":"b"}', "b"),
        ('{"x":"\\",","type":"b"}', "b"),
        ('{"x":{"type":"error"},"type":"b"}', "b"),
        (r'{"type":"response.d\u006fne"}', "response.done"),
        ('{"types":"error","type":"b"}', "b"),
        (
            '{"event_id":"a","item":{"id":"b","type":"message"},"type":"conversation.item.added"}',
            "conversation.item.added",
        ),
        ('{"event_id":"a\\",\\"","x":{"y":"z","type":"error"},"type":"b"}', "b"),
        ('{"type ":"error","type":"b"}', "b"),
        ('{"n":1,"type":"a","type":"b","x":"\\ud83d"}', "a"),
        ('{"n":1,"type":"a","x":{"type":"c","y":"\\ud83d"}}', "a"),
    ],
)
def test_the_first_type_of_the_event_itself_counts(text: str, name: str) -> None:
    assert {rtproto.probe_type(data) for data in ways(text)} == {name}


@pytest.mark.parametrize("data", NOT_EVENTS.values(), ids=NOT_EVENTS.keys())
def test_the_probe_raises_nothing_else(data: bytes) -> None:
    with suppress(NotAnEvent):
        assert isinstance(rtproto.probe_type(data), str)


@pytest.mark.parametrize(
    "text",
    [
        'error"',
        '"error"',
        '["type","error"]',
        '{"type" "error"}',
        '{"type":error"}',
        '{"type": error"}',
        '{"type":5,"type":"error"}',
        '{"n":1,"type":5,"type":"error","x":"\\ud83d"}',
        '{"n":NaN,"type":"error","x":"\\ud83d"}',
        '{"type":"error',
        '{"type":"session.update',
        '{"type": "session.update',
        '{"type":"conversation.item.input_audio_transcription.completed',
        '{"x":1,"type":"error"',
        '{"type":"error\n"}',
        "{}",
        '{"type":null}',
        '{"x":{"type":"error"}}',
    ],
)
def test_what_is_no_event_has_no_type(text: str) -> None:
    for data in ways(text):
        with pytest.raises(NotAnEvent):
            rtproto.probe_type(data)


def test_text_that_is_no_unicode_does_no_harm() -> None:
    assert rtproto.probe_type('{"type":"error","x":"\ud83d"}') == "error"
    assert rtproto.probe_type('{"event_id":"\ud83d","type":"error"}') == "error"
    with pytest.raises(NotAnEvent, match="invalid UTF-8"):
        rtproto.probe_type('{"type":"\ud83d"}')
    with pytest.raises(NotAnEvent, match="invalid UTF-8"):
        rtproto.probe_type('{"x":1,"type":"a","y":"\ud83d"}')
    with pytest.raises(NotAnEvent, match="invalid UTF-8"):
        rtproto.probe_type(b'{"type":"\xff"}')


_TYPES = st.sampled_from(SPELLINGS).flatmap(
    lambda spelling: st.sampled_from(["error", "response.done", "x.y", "é", ""]).map(lambda n: spelling % n)
)


@settings(max_examples=2000)
@given(st.tuples(_TYPES, _TYPES | st.just('"x":0')).flatmap(lambda types: json_objects(*types)))
@example('{"type":"a","type":"b"}')
def test_the_probe_tells_the_first_type_of_any_object(text: str) -> None:
    members = parse(text).members or []
    values = [value.text for key, value in members if key == "type"]
    first = msgspec.json.decode(values[0])
    assert {rtproto.probe_type(data) for data in ways(text)} == {first}
    if len({*values}) == 1:
        assert rtproto.decode_server(text).type == first


_NAMES = st.builds(json.dumps, st.sampled_from(NAMES) | st.text(max_size=8), ensure_ascii=st.booleans())


@settings(max_examples=2000)
@given(_NAMES, json_values(), st.booleans())
def test_the_probe_agrees_with_the_decoder(name: str, value: str, is_first: bool) -> None:
    members = [f'"type":{name}', f'"x":{value}']
    text = f"{{{','.join(members if is_first else reversed(members))}}}"
    frame = rtproto.ServerFrame(text)
    assert frame.type == rtproto.probe_type(text.encode()) == rtproto.decode_server(text).type


@pytest.mark.parametrize(
    "text", ['{"type":"%s","event_id":"e"}', '{"type": "%s", "event_id": "e"}', '{"type":"%s"}']
)
@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_told_whatever_others_share_with_it(name: str, text: str) -> None:
    for near in (name, f"{name}s", name[:-1], f"{name[:-1]}x"):
        assert {rtproto.probe_type(data) for data in ways(text % near)} == {near}
    cut = (text % name)[: text.index("%") + len(name)]
    for data in ways(cut):
        with pytest.raises(NotAnEvent):
            rtproto.probe_type(data)
