"""An unknown kind costs its own place: in every open union the event stays typed and loses nothing."""

import json
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rtproto
from rtproto import Unknown, client, server, types
from rtproto._struct import Open

from .conftest import CODECS, OwnFrame, first_frame, own_frames, same_json

Path: TypeAlias = tuple[Any, ...]
FRAMES: list[OwnFrame] = [parameter.values[0] for parameter in own_frames()]
NEW = b'{ "type" : "new_kind", "n" : 1.50, "big" : 123456789012345678901234567890, "e" : "\\u00e9" }'


def _open_places(annotation: Any, path: Path = ()) -> Iterator[Path]:
    """Every path from an event to a union that takes unknown kinds."""
    args = get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        for field in msgspec.structs.fields(annotation):
            yield from _open_places(field.type, (*path, field.name))
    elif get_origin(annotation) in (Union, UnionType):
        if Open in args or types.CustomVoice in args:
            yield path
        for arg in args:
            yield from _open_places(arg, path) if arg is not Open else ()
    elif get_origin(annotation) in (list, dict):
        yield from _open_places(args[-1], (*path, "[]" if len(args) == 1 else "{}"))


PLACES = sorted(
    {
        (name, cls.type, path)
        for name, codec in CODECS.items()
        for cls in codec.types.values()
        for path in _open_places(cls)
    }
)


def _concrete(value: Any, path: Path) -> Iterator[Path]:
    """Every place in a frame that a path leads to, its ``[]`` and ``{}`` made into indices and keys."""
    if not path:
        yield ()
    elif path[0] in ("[]", "{}"):
        for key in range(len(value)) if path[0] == "[]" and isinstance(value, list) else value or ():
            yield from ((key, *rest) for rest in _concrete(value[key], path[1:]))
    elif isinstance(value, dict) and path[0] in value:
        yield from ((path[0], *rest) for rest in _concrete(value[path[0]], path[1:]))


_LEAST: dict[Any, Any] = {str: "x", int: 1, float: 1.0, bool: True, Any: {}, NoneType: None}


def _least(annotation: Any, path: Path = ()) -> Any:
    """The least JSON of a type that has something at a path."""
    args = get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        tag = annotation.__struct_config__.tag
        fields = [f for f in msgspec.structs.fields(annotation) if f.required or f.name in path[:1]]
        found = {f.name: _least(f.type, path[1:] if f.name in path[:1] else ()) for f in fields}
        return {"type": tag, **found} if tag else found
    if get_origin(annotation) in (Union, UnionType):
        return _least(next(arg for arg in args if _leads_along(arg, path)), path)
    if get_origin(annotation) is list:
        return [_least(args[0], path[1:])] if path else []
    if get_origin(annotation) is dict:
        return {"key": _least(args[1], path[1:])} if path else {}
    return _LEAST[getattr(annotation, "__origin__", annotation)]


def _leads_along(annotation: Any, path: Path) -> bool:
    if not path:
        return annotation is not Open
    steps = {list: ("[]",), dict: ("{}",)}.get(get_origin(annotation) or annotation)
    return path[0] in (steps or getattr(annotation, "__struct_fields__", ()))


def _with_placeholder(event: Any, path: Path) -> bytes:
    holder = event = json.loads(json.dumps(event))
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = "@"
    return json.dumps(event).encode()


def _look_up(value: Any, path: Path) -> Any:
    for step in path:
        value = getattr(value, step) if isinstance(value, msgspec.Struct) else value[step]
    return value


def test_there_are_open_places_of_every_sort() -> None:
    ends = {".".join(path[-2:]) for _, _, path in PLACES}
    whole = {"session", "item", "usage", "session.truncation"}
    inside = {"input.turn_detection", "input.format", "output.format", "output.voice", "response.tool_choice"}
    listed = {"content.[]", "tools.[]", "output.[]", "input.[]", "variables.{}", "item.error"}
    assert whole | inside | listed <= ends


@pytest.mark.parametrize(
    ("codec", "event_type", "path"), [pytest.param(*p, id=f"{p[0]}:{p[1]}:{'.'.join(p[2])}") for p in PLACES]
)
def test_an_unknown_kind_keeps_its_place(codec: str, event_type: str, path: Path) -> None:
    frames = [json.loads(f.raw) for f in FRAMES if f.codec is CODECS[codec] and f.type == event_type]
    frames.append(_least(CODECS[codec].types[event_type], path))
    for frame, place in [(found, place) for found in frames for place in _concrete(found, path)]:
        data = _with_placeholder(frame, place).replace(b'"@"', NEW, 1)
        event = CODECS[codec].decode(data, strict=True)
        assert type(event) is CODECS[codec].types[event_type]
        assert _look_up(event, place) == Unknown("new_kind", NEW)
        encoded = rtproto.encode(event)
        assert same_json(encoded, data)
        assert NEW in encoded
        assert CODECS[codec].decode(encoded) == event


@pytest.mark.parametrize(
    "kind", [b"{}", b'{"type":null}', b'{"type":7,"x":1}', b'{"type":{"a":[]}}', b'{"type":""}']
)
def test_an_object_without_a_kind_keeps_its_place(kind: bytes) -> None:
    data = first_frame("server", "conversation.item.added").replace(
        b'"content":[', b'"content":[' + kind + b",", 1
    )
    event = rtproto.decode_server(data)
    assert isinstance(event, server.ConversationItemAdded)
    assert isinstance(event.item, types.Message)
    assert event.item.content[0] == Unknown("", kind)
    assert same_json(rtproto.encode(event), data)


def test_many_unknown_kinds_keep_their_places() -> None:
    part = b'{"type":"output_clip","clip":[1,2.0]}'
    item = b'{"type":"message","role":"tool","content":[%s,{"type":"text","text":"a"},%s]}' % (part, part)
    data = (
        b'{"type":"response.done","event_id":"e","response":{"output":[%s,{"type":"search","q":1e3},%s]}}'
        % (item, item)
    )
    event = rtproto.decode_server(data)
    assert isinstance(event, server.ResponseDone)
    assert isinstance(event.response.output, list)
    first, second, third = event.response.output
    assert second == Unknown("search", b'{"type":"search","q":1e3}')
    assert first == third
    assert isinstance(first, types.Message)
    assert first.content == [
        Unknown("output_clip", part),
        types.LegacyText(text="a"),
        Unknown("output_clip", part),
    ]
    assert rtproto.encode(event) == data


def test_a_known_kind_of_the_wrong_shape_is_told_by_its_path() -> None:
    data = (
        b'{"type":"response.done","event_id":"e","response":{"output":[{"type":"new"},'
        b'{"type":"message","role":"user","content":[{"type":"new"},{"type":"input_text","text":5}]}]}}'
    )
    event = rtproto.decode_server(data)
    assert event == Unknown(
        "response.done", data, "$.response.output[1].content[1].text: Expected `str | null`, got `int`"
    )


@pytest.mark.parametrize(
    ("tool_choice", "error"),
    [(b"7", "$.response.tool_choice: Expected `str | object | null`, got `int`"), (b"[]", None)],
)
def test_a_value_of_another_json_kind_is_a_wrong_shape(tool_choice: bytes, error: str | None) -> None:
    event = rtproto.decode_client(b'{"type":"response.create","response":{"tool_choice":%s}}' % tool_choice)
    assert isinstance(event, Unknown)
    assert event.error == error or error is None
    assert event.error
    assert event.error.startswith("$.response.tool_choice: ")


VOICES: dict[bytes, object] = {
    b'"nova"': "nova",
    b'{"id":"voice_1"}': types.CustomVoice(id="voice_1"),
    b"null": None,
    b'{"type":"azure-custom","id":"x","name":"y"}': Unknown(
        "azure-custom", b'{"type":"azure-custom","id":"x","name":"y"}'
    ),
    b'{"name":"y"}': Unknown("", b'{"name":"y"}'),
}


@pytest.mark.parametrize(("raw", "voice"), VOICES.items())
def test_a_voice_of_another_shape_is_unknown(raw: bytes, voice: object) -> None:
    data = b'{"type":"response.create","response":{"audio":{"output":{"voice":%s}}}}' % raw
    event = rtproto.decode_client(data)
    assert isinstance(event, client.ResponseCreate)
    assert _look_up(event, ("response", "audio", "output", "voice")) == voice
    assert rtproto.encode(event) == data


# Integers that come as floats -----------------------------------------------------------------


def _integer_places(event: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = event.items() if isinstance(event, dict) else enumerate(event) if isinstance(event, list) else ()
    for key, value in items:
        if type(value) is int:
            yield (*path, key)
        yield from _integer_places(value, (*path, key))


def test_any_integer_may_come_as_a_whole_float(own_frame: OwnFrame) -> None:
    for path in _integer_places(json.loads(own_frame.raw)):
        event = json.loads(own_frame.raw)
        holder = event
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = float(holder[path[-1]])
        data = json.dumps(event)
        decoded = own_frame.codec.decode(data, strict=True)
        assert not isinstance(decoded, Unknown), path
        assert same_json(rtproto.encode(decoded), data), path


# No cliff -------------------------------------------------------------------------------------


def test_nothing_is_built_per_event(monkeypatch: pytest.MonkeyPatch) -> None:
    data = first_frame("server", "conversation.item.added").replace(
        b'"content":[', b'"content":[{"type":"new"},', 1
    )
    first = rtproto.decode_server(data)
    monkeypatch.delattr(msgspec, "defstruct")
    monkeypatch.delattr(msgspec.json, "Decoder")
    assert rtproto.decode_server(data) == first


@given(st.integers(1, 60))
def test_sound_parts_beside_an_unknown_one_are_typed(count: int) -> None:
    parts = [b'{"type":"input_text","text":"%d"}' % number for number in range(count)]
    item = b'{"type":"message","role":"user","content":[%s,{"type":"new"}]}' % b",".join(parts)
    event = rtproto.decode_client(b'{"type":"conversation.item.create","item":%s}' % item)
    assert isinstance(event, client.ConversationItemCreate)
    assert isinstance(event.item, types.Message)
    assert [type(part) for part in event.item.content] == [types.InputText] * count + [Unknown]
