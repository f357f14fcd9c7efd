"""A frame gives its bytes back untouched, and an edit touches nothing but the value it is for."""

import copy
import json
import pickle
import random
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Raw

import rtproto
from rtproto import (
    ClientFrame,
    NoSuchPath,
    NotAnEvent,
    ServerFrame,
    Unknown,
    _members,
    client,
    server,
    types,
)
from rtproto.testing import strategies

from .conftest import CODECS, FRAMES, OwnFrame, first_frame, same_json
from .json_texts import Node, meant, parse

DELTA = first_frame("server", "response.output_text.delta")
WRITTEN = (
    b'{"type": "session.updated", "event_id":"e\\/1", "x\\u0041" :1e3,"session": {"id" : "s", "n":1.0,\n'
    b' "a":{"keep": [1.50, null , {"b":"\\u00e9"}], "model":"m","model":"n"}}, "n":1, "n": 2,"z":null}'
)


def frame_class(frame: OwnFrame) -> type[rtproto.Frame[Any]]:
    return next(FRAMES[name] for name, codec in CODECS.items() if codec is frame.codec)


@pytest.fixture(params=["as they come", "long strings lifted"])
def lifting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test twice: the second time every string of eight characters counts as long."""
    if request.param == "long strings lifted":
        monkeypatch.setattr(_members, "_WORTH_LIFTING", 0)
        monkeypatch.setattr(_members, "_LONG", 8)


# Looking --------------------------------------------------------------------------------------


def test_a_frame_is_what_its_codec_makes_of_it(own_frame: OwnFrame) -> None:
    for data in (own_frame.raw, own_frame.raw.encode(), bytearray(own_frame.raw.encode())):
        frame = frame_class(own_frame)(data)
        assert frame.data is data
        assert frame.type == own_frame.type
        assert frame.event == own_frame.codec.decode(data)
        assert frame.event is frame.event
        assert frame.codec is own_frame.codec


def test_a_frame_holds_any_buffer_and_any_event() -> None:
    view = memoryview(DELTA)
    assert ServerFrame(view).data is view
    unknown = ServerFrame(b'{"type":"response.clip.delta","event_id":"event_1"}')
    assert unknown.event == Unknown(
        "response.clip.delta", b'{"type":"response.clip.delta","event_id":"event_1"}'
    )
    assert unknown.get("event_id") == "event_1"


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"type":1}', b'{"type":"error"', "nothing", b"\xff"])
def test_what_is_no_event_is_refused_at_once_or_when_looked_into(data: bytes | str) -> None:
    with pytest.raises(NotAnEvent):
        _ = ServerFrame(data).event
    with pytest.raises(NotAnEvent):
        ServerFrame(data).replace(event_id="e")
    with pytest.raises(NotAnEvent):
        ServerFrame(data).get("event_id")
    with pytest.raises(NotAnEvent):
        ServerFrame(data).get("event_id", None)


def test_an_event_of_two_types_is_neither() -> None:
    data = b'{"type":"input_audio_buffer.commit","type":"session.update","session":{"type":"realtime"}}'
    frame = ClientFrame(data)
    assert frame.event == Unknown("input_audio_buffer.commit", data, "$.type: given twice")
    assert frame.replace(type="session.update").event == client.SessionUpdate(
        session=types.SessionCreateRequest()
    )


def test_no_byte_of_the_payload_is_shown() -> None:
    assert (
        repr(ServerFrame(DELTA))
        == f"ServerFrame(type='response.output_text.delta', data=<{len(DELTA)} bytes>)"
    )
    assert repr(ClientFrame('{"type":"x"}')) == "ClientFrame(type='x', data=<12 characters>)"


def test_a_long_type_is_not_shown_whole() -> None:
    frame = ServerFrame(b'{"type":"%b"}' % (b"a" * 100_000))
    assert len(frame.type) == 100_000
    with pytest.raises(NoSuchPath) as caught:
        frame.get("x")
    for shown in (repr(frame), repr(frame.event), str(caught.value)):
        assert "a" * 80 + "…" in shown
        assert len(shown) < 150


def test_a_frame_is_sent_as_bytes_or_as_text() -> None:
    for data in (DELTA, bytearray(DELTA), memoryview(DELTA), DELTA.decode()):
        assert bytes(ServerFrame(data)) == DELTA
        assert ServerFrame(data).text() == DELTA.decode()


def test_a_frame_is_small_slotted_and_copied() -> None:
    frame = ServerFrame(DELTA)
    assert not hasattr(frame, "__dict__")
    for twin in (copy.copy(frame), pickle.loads(pickle.dumps(frame))):
        assert (twin.data, twin.type, twin.event) == (frame.data, frame.type, frame.event)


def test_a_frame_that_was_only_probed_costs_120_bytes_at_most() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        frames = [ServerFrame(DELTA) for _ in range(10_000)]
        cost = (tracemalloc.get_traced_memory()[0] - before) / len(frames)
    finally:
        tracemalloc.stop()
    assert 40 < cost <= 120


def test_get_reads_one_value() -> None:
    frame = ServerFrame(WRITTEN)
    assert frame.get("event_id") == "e/1"
    assert frame.get("session.a.model") == "n"
    assert frame.get("n") == 2
    assert frame.get("xA") == 1000.0
    assert frame.get("z") is None
    assert frame.get(("session", "a", "keep")) == [1.5, None, {"b": "é"}]
    assert frame.get("session.nope", None) is None
    assert frame.get("session.id.x", UNSET) is UNSET
    assert ServerFrame(b'{"type":"x","m":{"a.b":{"c":1}}}').get(("m", "a.b", "c")) == 1


WRONG_PATHS = [
    ("nope", "$.nope: not there"),
    ("session.nope", "$.session.nope: not there"),
    ("session.nope.x", "$.session.nope: not there"),
    ("session.id.x", "$.session.id: Expected `object`, got `str`"),
    ("session.a.keep.0", "$.session.a.keep: Expected `object`, got `array`"),
    ("z.x", "$.z: Expected `object`, got `null`"),
    ("", "$.: not there"),
]


@pytest.mark.usefixtures("lifting")
@pytest.mark.parametrize(("path", "message"), WRONG_PATHS)
@pytest.mark.parametrize(
    "data", [WRITTEN, json.dumps(json.loads(WRITTEN)).encode()], ids=["spelled", "spaced"]
)
def test_a_path_that_leads_nowhere_is_told(data: bytes, path: str, message: str) -> None:
    frame = ServerFrame(data)
    for edit in (frame.get, frame.remove, lambda path: frame.set(f"{path}.x.y", 1)):
        with pytest.raises(NoSuchPath) as caught:
            edit(path)
        assert str(caught.value) == f"session.updated: {message}"
        assert isinstance(caught.value, KeyError)
        assert isinstance(caught.value, rtproto.RtprotoError)
    assert (caught.value.type, caught.value.path) == ("session.updated", message.partition(": ")[0])


# Editing --------------------------------------------------------------------------------------


HEAD = b'{"type": "session.updated","event_id":"e\\/1","x\\u0041" :1e3,"session": {"id" : "s","n":1.0,'
TAIL = b'"n":1,"n": 2,"z":null}'


@pytest.mark.parametrize(
    ("edited", "expected"),
    [
        (
            ServerFrame(WRITTEN).set("session.a.new", {"x": [1.0]}).data,
            HEAD
            + b'"a":{"keep": [1.50, null , {"b":"\\u00e9"}],"model":"m","model":"n","new":{"x":[1.0]}}},'
            + TAIL,
        ),
        (
            ServerFrame(WRITTEN).remove("session.a", "z").data,
            HEAD[:-1] + b"}," + TAIL[:-10] + b"}",
        ),
        (
            ServerFrame(WRITTEN).replace(n=3, xA=UNSET, session=None).data,
            b'{"type": "session.updated","event_id":"e\\/1","session": null,"n": 3,"z":null}',
        ),
        (
            ServerFrame(b'{"type": "x", "n": 1e3, "o": {"a": [1, 2]}}').replace(m=1).data,
            b'{"type":"x","n":1e3,"o":{"a": [1, 2]},"m":1}',
        ),
    ],
)
def test_what_is_not_edited_stays_as_it_was_written(edited: bytes, expected: bytes) -> None:
    assert edited == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('a"b', b'"a\\"b"'),
        (1.0, b"1.0"),
        (None, b"null"),
        ([1, {"a": None}], b'[1,{"a":null}]'),
        (types.ServerVad(threshold=0.5), b'{"type":"server_vad","threshold":0.5}'),
        (Raw(b"1e3"), b"1e3"),
        (Unknown("x", b'{"type": "x"}'), b'{"type": "x"}'),
    ],
)
def test_a_new_value_may_be_anything_that_encodes(value: Any, text: bytes) -> None:
    frame = ClientFrame(b'{"type":"session.update","session":{"a":true}}')
    assert frame.set("session.a", value).data == b'{"type":"session.update","session":{"a":%b}}' % text
    assert frame.replace(session=value).data == b'{"type":"session.update","session":%b}' % text
    assert frame.edit({("b",): value}).data == b'{"type":"session.update","session":{"a":true},"b":%b}' % text


def test_unset_takes_out_what_may_be_absent() -> None:
    frame = ClientFrame(b'{"type":"session.update","event_id":"e","session":{"a":{"b":1}}}')
    assert (
        frame.replace(event_id=UNSET, nope=UNSET).data == b'{"type":"session.update","session":{"a":{"b":1}}}'
    )
    assert frame.set("session.a", UNSET).data == b'{"type":"session.update","event_id":"e","session":{}}'
    assert frame.set("session.nope", UNSET).data == frame.data
    for path in ("nope.x", "session.a.b.c", "event_id.x", "session.a.b.c.d"):
        for data in (frame.data, b'{"\\u0065vent_id":"e",%b' % bytes(frame)[1:]):
            assert ClientFrame(data).set(path, UNSET).data == data
            both = ClientFrame(data).edit({path: UNSET, "session.a.b": 2})
            assert both.data == data.replace(b"1", b"2")
    assert frame.remove("session.a.b").get("session") == {"a": {}}


def test_an_edit_makes_a_new_frame_of_the_same_kind_of_data() -> None:
    for data in (DELTA, bytearray(DELTA), memoryview(DELTA), DELTA.decode()):
        frame = ServerFrame(data)
        event = frame.event
        edited = frame.replace(delta="€")
        assert type(edited) is ServerFrame
        assert frame.data is data
        assert frame.event is event
        assert type(edited.data) is (str if isinstance(data, str) else bytes)
        assert edited.event == msgspec.structs.replace(event, delta="€")
        assert edited.type == frame.type


def test_an_edited_type_is_told_and_must_be_one() -> None:
    frame = ServerFrame(DELTA)
    assert frame.replace(type="response.video.delta").type == "response.video.delta"
    assert isinstance(frame.set("type", "error").event, Unknown)
    for edit in (
        lambda: frame.remove("type"),
        lambda: frame.replace(type=None),
        lambda: frame.set("type", 1),
    ):
        with pytest.raises(NotAnEvent):
            edit()


def test_several_edits_are_one() -> None:
    frame = ClientFrame(b'{"type":"session.update","session":{"model":"a","audio":{"input":{"x":1},"y":2}}}')
    edited = frame.edit(
        {"session.model": "b", "session.audio.input.x": UNSET, ("session", "audio", "z"): 3, "event_id": "e"}
    )
    assert edited.data == (
        b'{"type":"session.update","session":{"model":"b","audio":{"input":{},"y":2,"z":3}},"event_id":"e"}'
    )
    assert frame.edit({}).data == frame.replace().data == frame.remove().data == frame.data


@pytest.mark.parametrize("spelling", [b'"session"', b'"s\\u0065ssion"'])
@pytest.mark.parametrize(
    "paths",
    [
        ("session", "session.a"),
        ("session.a.b", "session.a"),
        ("session.a", ("session", "a")),
        ("new", ("new",)),
    ],
)
def test_a_path_into_another_is_refused(paths: tuple[Any, ...], spelling: bytes) -> None:
    frame = ClientFrame(b'{"type":"session.update",%b:{"a":{"b":1}}}' % spelling)
    for order in (paths, paths[::-1]):
        with pytest.raises(ValueError, match="leads into another"):
            frame.edit({path: {"b": 2} for path in order})


def test_a_path_is_not_given_twice_to_remove() -> None:
    for data in (b'{"type":"x","a":1}', b'{"type":"x","\\u0061":1}'):
        with pytest.raises(ValueError, match="given twice"):
            ServerFrame(data).remove("a", "a")


def test_a_path_has_a_key() -> None:
    with pytest.raises(ValueError, match="one key at least"):
        ServerFrame(DELTA).get(())


def test_a_value_that_cannot_be_encoded_is_the_callers_error() -> None:
    with pytest.raises(NotImplementedError, match="object has no place in an event"):
        ServerFrame(DELTA).replace(delta=object())
    with pytest.raises(UnicodeEncodeError):
        ServerFrame(DELTA).replace(delta="\ud83d")


@pytest.mark.usefixtures("lifting")
@pytest.mark.parametrize("key", ["long", "short", "deep.long", "deep.short"])
@pytest.mark.parametrize(
    "long", ["A" * 9000, "\\n" + "b c " * 3000 + "\\n", "x" * 9000 + "\\\\", '\\"' + "y" * 9000]
)
@pytest.mark.parametrize(
    "shape",
    [
        '{"type":"x","short":1e3,"deep":{"short":1.0,"long":"%s"},"long":""}',
        '{"type":"x","short":1e3,"deep":{"long":"","short":1.0},"long":"%s"}',
        '{"type":"x","long":"%s","short":1e3,"deep":{"long":"","short":1.0}}',
        '{"type": "x", "long": "%s", "short": 1e3, "deep": {"long": "", "short": 1.0}}',
        '{"type":"x","%s":1,"deep":{"short":1,"long":[]},"long":"","short":2}',
        '{"type":"x","%s" : 1,"deep":{"short":1,"long":[]},"long":"","short":2}',
        '{"type":"x","deep":{"short":1,"long":["%s",1.0]},"long":"","short":2}',
    ],
)
def test_long_strings_make_no_difference(shape: str, long: str, key: str) -> None:
    text = shape % long
    frame = ServerFrame(text)
    expected, inside = json.loads(text), json.loads(text)
    *outer, last = key.split(".")
    place = inside[outer[0]] if outer else inside
    assert frame.get(key) == place[last]
    place[last] = [None]
    edited = frame.set(key, [None])
    assert json.loads(str(edited.data)) == inside
    assert "1e3" in str(edited.data) or key == "short" or "1e3" not in text
    assert json.loads(str(frame.replace(new=1).data)) == expected | {"new": 1}
    assert frame.get((*outer, "nope"), None) is None


def test_a_gap_between_strings_is_not_taken_for_a_string() -> None:
    numbers = ",".join(map(str, range(9000)))
    for text in (f'{{"type":"x","n":[{numbers}],"m":"a"}}', f'{{"type":"x","n":[{numbers}]}}'):
        frame = ServerFrame(text)
        assert frame.replace(m="b").get("n") == list(range(9000))
        assert frame.set("m", "b").get("m") == "b"
        assert frame.get("n") == list(range(9000))


def test_half_a_surrogate_pair_is_edited_around() -> None:
    data = (
        b'{"type":"response.output_text.delta","event_id":"a","delta":"\\ud83d","o":{"k\\udc00":"\\ud83d"}}'
    )
    frame = ServerFrame(data)
    assert frame.replace(event_id="b").data == data.replace(b'"a"', b'"b"')
    assert frame.set("o.x", 1).data == data[:-2] + b',"x":1}}'
    assert frame.get("delta") == "\ud83d"
    assert frame.get("event_id") == "a"
    assert frame.set("o.x", 1).get("o") == {"k\udc00": "\ud83d", "x": 1}
    assert frame.remove("delta").event.type == frame.type


@pytest.mark.parametrize(
    "data",
    [
        b'{"type": "x", "s": "\\ud83d", "a": {"b": 1}, "n": 12}',
        b'{"type":"x","s":"\\ud83d","a":{"b":1,"c":"\\ud83d"},"n":1,"n":12}',
        b'{"type":"x","s":1e400,"a":{"b":1},"n":12}',
        b'{"type":"x","s":%b,"a":{"b":1},"n":12}' % (b"1" * 5000),
        b'{"type":"x","\\u0073":%b,"a":{"b":1},"n":12}' % (b"1" * 5000),
    ],
    ids=["spaced half pair", "half pairs", "beyond floats", "beyond int()", "beyond int(), spelled"],
)
def test_what_msgspec_cannot_read_is_edited_around(data: bytes) -> None:
    frame = ServerFrame(data)
    old = parse(data.decode())
    check_edit(old, parse(bytes(frame.set("a.b", 2).data).decode()), ("a", "b"), 2)
    check_edit(old, parse(bytes(frame.replace(n=3).data).decode()), ("n",), 3)
    check_edit(old, parse(bytes(frame.remove("a").data).decode()), ("a",), UNSET)
    assert frame.get("n") == 12
    assert type(frame.get("n")) is int
    assert frame.get("a")["b"] == 1
    assert frame.get("s") in ("\ud83d", float("inf"))
    changed = Unknown("x", bytes(frame.set("a.b", 2).data))
    assert frame.with_event(changed).get("a.b") == 2
    listed = ServerFrame(data).set("a.b", [Raw(b'{"x":"\\ud83d"}'), 1])
    changed = Unknown("x", bytes(listed.set("a.b", [1, Raw(b'{"x":"\\ud83d","y":1}')]).data))
    assert listed.with_event(changed).get("a.b") == [1, {"x": "\ud83d", "y": 1}]


def test_a_path_through_a_list_with_half_a_surrogate_pair() -> None:
    with pytest.raises(NoSuchPath, match="got `array`"):
        ServerFrame(b'{"type":"x","a":["\\ud83d"]}').get("a.b")


SOUND = {
    "delta": DELTA,
    "spelled": b'{"type":"response.done","a":{"b":"\\ud83d"},"b":{"c":1,"c":2}}',
    "long last": b'{"type":"x","a":"%b"}' % (b"A" * 9000),
    "long in the middle": b'{"type":"x","a":"%b","b":{"c":1}}' % (b"A" * 9000),
}


@pytest.mark.usefixtures("lifting")
@pytest.mark.parametrize("sound", SOUND.values(), ids=SOUND)
def test_a_frame_that_is_cut_or_damaged_raises_nothing_else(sound: bytes) -> None:
    def looks(data: bytes) -> Iterator[Any]:
        frame = ServerFrame(data)
        yield lambda: frame.event
        yield lambda: frame.get("a")
        yield lambda: frame.get("b.c")
        yield lambda: frame.replace(a=1)
        yield lambda: frame.set("b.c", 1)
        yield lambda: frame.remove("a")
        yield lambda: frame.with_event(frame.event)

    for at in {*range(min(len(sound), 200)), *range(len(sound) - 40, len(sound))}:
        for damage in (b"\xff", b"\\q", b'"', b"\\ud83d"):
            for data in (sound[:at], sound[:at] + damage + sound[at:]):
                with suppress(NotAnEvent):
                    for look in looks(data):
                        with suppress(NotAnEvent, NoSuchPath):
                            look()


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"x","a":"private\xff"}',
        b'{"type":"x","a":"%b private \\q"}' % (b"A" * 9000),
        b'{"type":"x","a":"%b private \\ud83d \\q"}' % (b"A" * 9000),
    ],
)
def test_no_error_holds_the_payload(data: bytes) -> None:
    with pytest.raises(NotAnEvent) as caught:
        ServerFrame(data).get("a")
    error: BaseException | None = caught.value
    while error:
        assert "private" not in f"{error!r} {vars(error)}"
        assert not isinstance(error, UnicodeError | json.JSONDecodeError)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("members", [b',"n":1', b',"\\u006e":1'])
def test_what_takes_too_long_is_refused(members: bytes) -> None:
    frame = ServerFrame(b'{"type":"x","a":1%b}' % (members * 30_000))
    assert frame.get("a") == 1
    for edit in (lambda: frame.replace(a=2), lambda: frame.set("a", 2), lambda: frame.remove("a")):
        with pytest.raises(rtproto.InvalidEvent, match=r"x: \$: too many values to edit one by one"):
            edit()
    inside = ServerFrame(b'{"type":"x","n\\u0061":{"a":1,"s":"\\ud83d"%b}}' % (members * 30_000))
    with pytest.raises(rtproto.InvalidEvent, match="too many values"):
        inside.get("na.a")
    many = ServerFrame(b'{"type":"x","a":[1%b]}' % (b",1" * 30_000))
    assert many.replace(b=2).get("b") == 2


def test_bytes_that_are_no_utf8_are_no_text() -> None:
    for work in (
        lambda: ServerFrame('{"type":"x","a":1}').set("a", Raw(b'"\xff"')),
        lambda: ServerFrame(b'{"type":"x","a":"\xff"}').text(),
        lambda: bytes(ServerFrame('{"type":"x","a":"\ud83d"}')),
    ):
        with pytest.raises(NotAnEvent, match="invalid UTF-8") as caught:
            work()
        assert not isinstance(caught.value.__cause__ or caught.value.__context__, UnicodeError)


def test_bytes_that_are_no_utf8_are_edited_around() -> None:
    data = b'{"type":"response.output_text.delta","event_id":"a","x\\u0041":"\xff\xfe"}'
    assert ServerFrame(data).replace(event_id="b").data == data.replace(b'"a"', b'"b"')
    assert ServerFrame(data).replace(x=1).data == data[:-1] + b',"x":1}'


def test_text_that_is_no_unicode_is_no_event() -> None:
    frame = ServerFrame('{"type":"error","x":"\ud83d"}')
    for look in (lambda: frame.event, lambda: frame.get("x"), lambda: frame.replace(x=1)):
        with pytest.raises(NotAnEvent, match="invalid UTF-8") as caught:
            look()
        assert not isinstance(caught.value.__cause__ or caught.value.__context__, UnicodeError)


def test_deep_nesting_is_no_harm() -> None:
    def nested(depth: int) -> bytes:
        return b'{"type":"error","x\\u0041":%b,"y":1}' % (b'{"a":' * depth + b"1" + b"}" * depth)

    assert ServerFrame(nested(200)).replace(y=2).data == nested(200)[:-2] + b"2}"
    for depth in (300, *range(800, 1000), 100_000):
        with suppress(NotAnEvent):
            assert ServerFrame(nested(depth)).replace(y=2).data == nested(depth)[:-2] + b"2}"
    with pytest.raises(NotAnEvent, match="nested too deeply"):
        ServerFrame(nested(100_000)).replace(y=2)


# Any object, any edit -------------------------------------------------------------------------

CHANCE = random.Random(0)  # noqa: S311


def paths(node: Node, limit: int = 3) -> Iterator[tuple[str, ...]]:
    """The path of every member, and of one that is not there, at every depth."""
    for key, _ in node.members or ():
        inside = node.last(key)
        yield (key,)
        if inside and limit > 1:
            yield from ((key, *path) for path in paths(inside, limit - 1))
    if node.members is not None:
        yield ("not there",)


def check_edit(old: Node, new: Node, path: tuple[str, ...], value: Any) -> None:
    """That nothing else changed: the reference, member by member."""
    key, *rest = path
    assert new.members is not None
    kept = [pair for pair in zip(old.keys, old.members or (), strict=True) if pair[1][0] != key]
    new_kept = [pair for pair in zip(new.keys, new.members, strict=True) if pair[1][0] != key]
    assert [(k, m[0], m[1].text) for k, m in new_kept] == [(k, m[0], m[1].text) for k, m in kept]
    found = [node for name, node in new.members if name == key]
    was = old.last(key)
    if rest:
        assert was is not None
        check_edit(was, found[0], tuple(rest), value)
    elif value is UNSET:
        assert not found
    else:
        assert json.loads(found[0].text) == value
    assert len(found) == (value is not UNSET or bool(rest))
    if found and was is None:
        assert new.members[-1][0] == key
    elif found:
        order = [name for name, _ in new.members]
        last = max(place for place, (name, _) in enumerate(old.members or ()) if name == key)
        assert order.index(key) == sum(name != key for name, _ in (old.members or ())[:last])


@pytest.mark.usefixtures("lifting")
def test_an_edit_changes_nothing_else() -> None:
    @settings(max_examples=2000)
    @given(
        strategies.unknown_frames(),
        st.randoms(use_true_random=False),
        st.sampled_from([UNSET, 1.5, {"n": ["v"]}]),
    )
    @example(b'{"type":"x.y","a\\u001F":1,"b":2}', CHANCE, 1.5)
    @example(b'{"type":"x.y","b":1,"b":{"c":1},"b":2}', CHANCE, UNSET)
    def check(data: bytes, chance: random.Random, value: Any) -> None:
        old = parse(data.decode())
        path = chance.choice(list(paths(old)))
        if path[0] == "type":
            return
        frame = ServerFrame(data)
        check_edit(old, parse(bytes(frame.set(path, value).data).decode()), path, value)
        if len(path) == 1:
            check_edit(old, parse(bytes(frame.replace(**{path[0]: value}).data).decode()), path, value)
        if path[-1] == "not there":
            with pytest.raises(NoSuchPath):
                frame.remove(path)
        else:
            check_edit(old, parse(bytes(frame.remove(path).data).decode()), path, UNSET)
            node = old
            for key in path:
                node = node.last(key) or node
            assert frame.get(path) == json.loads(node.text)

    check()


@pytest.mark.usefixtures("lifting")
@settings(max_examples=500)
@given(strategies.unknown_frames(), st.randoms(use_true_random=False))
def test_several_edits_are_the_same_one_by_one(data: bytes, chance: random.Random) -> None:
    frame = ServerFrame(data)
    found = [path for path in paths(parse(data.decode())) if path[0] != "type"]
    some = chance.sample(found, min(3, len(found)))
    apart = [p for p in some if not any(p != q and p[: len(q)] == q for q in some)]
    one_by_one = frame
    for path in apart:
        one_by_one = one_by_one.set(path, 5)
    together = frame.edit(dict.fromkeys(apart, 5))
    assert meant(bytes(together.data).decode()) == meant(bytes(one_by_one.data).decode())


# By the event ---------------------------------------------------------------------------------

RESPONSE = (
    b'{"type":"response.done","event_id":"e","vendor":{"a":1e3},"response":{"id":"r","status":"completed",'
    b'"x_r":null,"output":[{"type":"message","id":"i1","role":"assistant","x_i":1.50,"content":'
    b'[{"type":"output_text","text":"a\\/b","x_p":"\\u00e9"},{"type":"output_text","text":"c","x_p":2}]},'
    b'{"type":"message","id":"i2","role":"assistant","x_i":2.50,"content":[]},{"type":"hologram","z":1e1}],'
    b'"usage":{"total_tokens":7,"x_u":1E2}}}'
)


def response(*output: Any) -> server.ResponseDone:
    event = ServerFrame(RESPONSE).event
    assert isinstance(event, server.ResponseDone)
    changed = msgspec.structs.replace(event.response, output=list(output)) if output else event.response
    return msgspec.structs.replace(event, response=changed)


ONE, TWO, UNKNOWN = response().response.output or ()
assert isinstance(ONE, types.Message)
assert isinstance(TWO, types.Message)


def test_the_same_event_is_the_same_frame(own_frame: OwnFrame) -> None:
    data = own_frame.raw.replace("{", '{"x_new": 1e3, ', 1)
    frame = frame_class(own_frame)(data)
    assert frame.with_event(frame.event).data == data
    assert ServerFrame(RESPONSE).with_event(response()).data == RESPONSE


def test_a_changed_event_keeps_what_the_model_does_not_know() -> None:
    frame = ServerFrame(RESPONSE)
    event = response()
    changed = msgspec.structs.replace(
        event,
        event_id="e2",
        response=msgspec.structs.replace(event.response, status="failed", usage=UNSET, metadata={"k": "v"}),
    )
    assert frame.with_event(changed).data == RESPONSE.replace(b'"e"', b'"e2"', 1).replace(
        b'"completed"', b'"failed"'
    ).replace(b',"usage":{"total_tokens":7,"x_u":1E2}', b',"metadata":{"k":"v"}')


def test_a_list_that_was_changed_in_place_is_a_change() -> None:
    frame = ServerFrame(RESPONSE)
    event = frame.event
    assert isinstance(event, server.ResponseDone)
    (event.response.output or []).pop(0)
    changed = frame.with_event(event).get("response.output")
    assert [(item.get("id"), item.get("x_i")) for item in changed] == [("i2", 2.5), (None, None)]


PARTS = ONE.content
CALL = types.FunctionCall(call_id="c", name="f", arguments="{}")
FIRST = RESPONSE[
    RESPONSE.index(b'{"type":"message","id":"i1"') : RESPONSE.index(b'{"type":"message","id":"i2"')
]


@pytest.mark.parametrize(
    ("output", "old", "new"),
    [
        ([TWO, UNKNOWN], FIRST, b""),
        ([TWO, ONE, UNKNOWN], b"", b""),
        (
            [ONE, msgspec.structs.replace(TWO, status="completed"), UNKNOWN],
            b'"x_i":2.50,"content":[]',
            b'"x_i":2.50,"content":[],"status":"completed"',
        ),
        ([msgspec.structs.replace(ONE, id="j1"), TWO, UNKNOWN], b'"i1"', b'"j1"'),
        (
            [msgspec.structs.replace(ONE, content=PARTS[1:]), TWO, UNKNOWN],
            b'{"type":"output_text","text":"a\\/b","x_p":"\\u00e9"},',
            b"",
        ),
        (
            [msgspec.structs.replace(ONE, content=[types.OutputText(text="d"), *PARTS[1:]]), TWO, UNKNOWN],
            b'"a\\/b"',
            b'"d"',
        ),
        (
            [ONE, TWO, CALL, UNKNOWN],
            b',{"type":"hologram"',
            b",%b,%b" % (rtproto.encode(CALL), b'{"type":"hologram"'),
        ),
    ],
    ids=["one less", "moved", "changed", "renamed", "a part less", "a part made anew", "one more"],
)
def test_an_element_of_a_list_is_known_again(output: list[Any], old: bytes, new: bytes) -> None:
    data = ServerFrame(RESPONSE).with_event(response(*output)).data
    if old or new:
        assert data == RESPONSE.replace(old, new, 1)
    else:
        items = json.loads(data)["response"]["output"]
        assert [item.get("x_i") for item in items] == [2.5, 1.5, None]
        assert b"1.50" in bytes(data)


OUTPUTS = (
    b'{"type":"response.create","response":{"input":['
    b'{"type":"function_call_output","call_id":"a","output":"1","x":"of a"},'
    b'{"type":"function_call_output","call_id":"b","output":"2","x":"of b"}]}}'
)


def _tools(*names: str) -> bytes:
    tools = ",".join(f'{{"type":"function","name":"{name}","x":"of {name}"}}' for name in names)
    return f'{{"type":"response.create","response":{{"tools":[{tools}]}}}}'.encode()


@pytest.mark.parametrize(
    ("calls", "found"),
    [
        (["b3"], [("b", "3", "of b")]),
        (["b2"], [("b", "2", "of b")]),
        (["c3"], [("c", "3", None)]),
        (["c3", "b2"], [("c", "3", "of a"), ("b", "2", "of b")]),
        (["b3", "a1"], [("b", "3", "of b"), ("a", "1", "of a")]),
        (["b3", "a4"], [("b", "3", "of b"), ("a", "4", "of a")]),
        (["a1", "b2", "c3"], [("a", "1", "of a"), ("b", "2", "of b"), ("c", "3", None)]),
        (["c3", "a4", "b2"], [("c", "3", None), ("a", "4", "of a"), ("b", "2", "of b")]),
    ],
)
def test_no_field_goes_over_to_another_item(
    calls: list[str], found: list[tuple[str, str, str | None]]
) -> None:
    outputs: list[Any] = [types.FunctionCallOutput(call_id=call[0], output=call[1]) for call in calls]
    event = client.ResponseCreate(response=types.ResponseCreateParams(input=outputs))
    items = ClientFrame(OUTPUTS).with_event(event).get("response.input")
    assert [(item["call_id"], item["output"], item.get("x")) for item in items] == found


def test_an_item_is_known_by_its_id() -> None:
    changed = response(msgspec.structs.replace(TWO, status="completed"), UNKNOWN)
    found = ServerFrame(RESPONSE).with_event(changed).get("response.output")
    assert [(item.get("id"), item.get("x_i")) for item in found] == [("i2", 2.5), (None, None)]


def test_a_tool_is_known_by_its_name() -> None:
    tools: list[Any] = [types.FunctionTool(name="b", description="new"), types.FunctionTool(name="c")]
    event = client.ResponseCreate(response=types.ResponseCreateParams(tools=tools))
    found = ClientFrame(_tools("a", "b", "c")).with_event(event).get("response.tools")
    assert [(tool["name"], tool["x"]) for tool in found] == [("b", "of b"), ("c", "of c")]


def test_parts_without_a_name_are_known_by_their_place_unless_some_are_gone() -> None:
    def text(*texts: str) -> types.Message:
        return msgspec.structs.replace(ONE, content=[types.OutputText(text=text) for text in texts])

    for texts, known in (
        (("d", "e"), ["\u00e9", 2]),
        (("d", "e", "f"), ["\u00e9", 2, None]),
        (("a/b", "x", "c"), ["\u00e9", None, 2]),
        (("d",), [None]),
        (("c",), [2]),
        (("c", "x"), [2, None]),
    ):
        frame = ServerFrame(RESPONSE).with_event(response(text(*texts), TWO, UNKNOWN))
        parts = frame.get("response.output")[0]["content"]
        assert [(part["text"], part.get("x_p")) for part in parts] == list(zip(texts, known, strict=True))


def test_another_kind_in_its_place_takes_nothing_over() -> None:
    frame = ClientFrame(
        b'{"type":"session.update","session":{"type":"realtime","audio":{"input":{"turn_detection":'
        b'{"type":"server_vad","threshold":0.5,"x_vad":1},"x_in":2}}}}'
    )
    event = frame.event
    assert isinstance(event, client.SessionUpdate)

    def turned(detection: Any) -> bytes | Any:
        audio = types.AudioConfig(input=types.AudioInput(turn_detection=detection))
        return frame.with_event(client.SessionUpdate(session=types.SessionCreateRequest(audio=audio))).data

    assert b'"turn_detection":{"type":"server_vad","threshold":0.9,"x_vad":1},"x_in":2' in turned(
        types.ServerVad(threshold=0.9)
    )
    assert b'"turn_detection":{"type":"semantic_vad","eagerness":"low"},"x_in":2' in turned(
        types.SemanticVad(eagerness="low")
    )
    assert b'"turn_detection":null,"x_in":2' in turned(None)
    assert b'"input":{"x_in":2}' in turned(UNSET)


def test_an_event_of_another_class_is_refused() -> None:
    frame = ServerFrame(DELTA)
    with pytest.raises(TypeError, match="this frame's event is ResponseOutputTextDelta, not ResponseDone"):
        frame.with_event(response())
    with pytest.raises(TypeError, match="not Unknown"):
        frame.with_event(Unknown("x", b'{"type":"x"}'))


def test_an_unknown_event_is_changed_by_its_text() -> None:
    frame = ServerFrame(b'{"type":"x", "a": 1e3, "b": 2}')
    assert (
        frame.with_event(Unknown("x", b'{"type":"x","a": 1e3,"c":3}')).data == b'{"type":"x","a": 1e3,"c":3}'
    )
    assert frame.with_event(Unknown("y", b'{"type":"y"}')).type == "y"


EVENTS = [(name, cls) for name, codec in CODECS.items() for cls in codec.types.values()]


def _with_unknown_fields(value: Any) -> Any:
    """The same with a field of its own in every object; but a voice is known by having no other."""
    if isinstance(value, dict):
        inside = {key: _with_unknown_fields(item) for key, item in value.items()}
        return inside if set(value) == {"id"} else inside | {"x_unknown": 1.0}
    return [_with_unknown_fields(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("name", "cls"), EVENTS, ids=lambda value: getattr(value, "__name__", ""))
def test_decode_change_encode_loses_nothing(name: str, cls: type[msgspec.Struct]) -> None:
    @settings(max_examples=40)
    @given(strategies.values(cls), strategies.values(cls), st.sampled_from(cls.__struct_fields__ or ("",)))
    def check(event: Any, other: Any, field: str) -> None:
        data = json.dumps(
            _with_unknown_fields(json.loads(rtproto.encode(event))), ensure_ascii=False
        ).encode()
        frame = FRAMES[name](data)
        known = frame.event
        assert frame.with_event(known).data == data
        if type(known) is not cls or not field:
            return
        changed = msgspec.structs.replace(known, **{field: getattr(other, field)})
        new = frame.with_event(changed)
        assert new.get("x_unknown") == 1.0
        again = msgspec.structs.asdict(new.event)  # type: ignore[arg-type]
        for key, value in msgspec.structs.asdict(changed).items():
            if key != field:
                assert again[key] == value
        old, now = json.loads(data), json.loads(bytes(new.data))
        assert {k: v for k, v in now.items() if k != field} == {k: v for k, v in old.items() if k != field}
        merged = rtproto.encode(changed)
        assert same_json(
            json.dumps(_known_only(now.get(field), json.loads(merged).get(field))),
            json.dumps(json.loads(merged).get(field)),
        )

    check()


def _known_only(now: Any, model: Any) -> Any:
    """What a changed field holds, without what was carried over."""
    if isinstance(now, dict) and isinstance(model, dict):
        return {key: _known_only(now[key], model[key]) for key in model if key in now}
    if isinstance(now, list) and isinstance(model, list) and len(now) == len(model):
        return [_known_only(a, b) for a, b in zip(now, model, strict=True)]
    return now
