"""A strategy keeps its promise with all that it draws, and leaves out nothing that it could draw."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

import rtproto
from rtproto import InvalidEvent, NotAnEvent, Unknown, client, server, translation, types
from rtproto._struct import Open
from rtproto.testing import strategies
from tests.conftest import CODECS
from tests.json_texts import Node, parse

Drawn = st.SearchStrategy[Any]
EVENTS: dict[str, Callable[..., Drawn]] = {
    "client": strategies.client_events,
    "server": strategies.server_events,
    "translation_client": strategies.translation_client_events,
    "translation_server": strategies.translation_server_events,
}
FRAMES: dict[str, Callable[..., Drawn]] = {
    "client": strategies.client_frames,
    "server": strategies.server_frames,
    "translation_client": strategies.translation_client_frames,
    "translation_server": strategies.translation_server_frames,
}
REACH = settings(max_examples=4000, phases=[Phase.generate], derandomize=True, database=None)
each_dialect = pytest.mark.parametrize("dialect", CODECS)


def check_all(strategy: Drawn, check: Callable[[Any], None], examples: int = 200) -> None:
    """That a check holds for whatever is drawn."""

    @settings(max_examples=examples)
    @given(strategy)
    def holds(value: Any) -> None:
        check(value)

    holds()


def check_reach(strategy: Drawn, expected: set[Any], seen: Callable[[Any], set[Any]]) -> None:
    """That all of this is seen in what is drawn."""
    missing = set(expected)

    def completes(value: Any) -> bool:
        missing.difference_update(seen(value))
        return not missing

    try:
        find(strategy, completes, settings=REACH)
    except NoSuchExample:
        pytest.fail(f"never drawn: {missing}")


def check_sorts(strategy: Drawn, sorts: dict[str, Callable[[Any], bool]]) -> None:
    """That something of each sort is drawn."""
    check_reach(strategy, set(sorts), lambda value: {sort for sort, is_one in sorts.items() if is_one(value)})


# Events and their frames ----------------------------------------------------------------------


@each_dialect
def test_an_event_comes_back_from_its_frame(dialect: str) -> None:
    decode = CODECS[dialect].decode

    def check(event: Any) -> None:
        data = rtproto.encode(event)
        assert decode(data, strict=True) == decode(data) == event
        assert rtproto.encode(decode(data)) == data

    check_all(EVENTS[dialect](), check)


@each_dialect
def test_a_frame_is_of_a_known_event(dialect: str) -> None:
    codec = CODECS[dialect]

    def check(data: bytes) -> None:
        event = codec.decode(data, strict=True)
        assert type(event) in codec.types.values()
        assert rtproto.encode(event) == data

    check_all(FRAMES[dialect](), check)


@each_dialect
def test_every_event_is_drawn(dialect: str) -> None:
    codec = CODECS[dialect]
    for events in (EVENTS[dialect](), FRAMES[dialect]().map(codec.decode)):
        check_reach(events, set(codec.types.values()), lambda event: {type(event)})


@pytest.mark.parametrize(
    ("dialect", "classes"),
    [
        ("client", [client.SessionUpdate]),
        ("server", [server.ResponseDone, server.Error]),
        ("translation_client", [translation.SessionClose]),
        ("translation_server", [translation.Error, translation.SessionClosed]),
    ],
)
def test_one_may_ask_for_some_events(dialect: str, classes: list[type[rtproto.Event]]) -> None:
    def check(event: Any) -> None:
        assert type(event) in classes

    frames = FRAMES[dialect](*classes)
    for events in (EVENTS[dialect](*classes), frames.map(CODECS[dialect].decode)):
        check_all(events, check)
        check_reach(events, set(classes), lambda event: {type(event)})


@each_dialect
def test_the_events_of_another_direction_are_refused(dialect: str) -> None:
    other = {"client": server.Error, "server": client.SessionUpdate}.get(dialect, server.ResponseDone)
    for strategy in (EVENTS[dialect], FRAMES[dialect]):
        with pytest.raises(TypeError, match=f"{other.__name__} is no event of this direction"):
            strategy(other)


def test_of_two_sorts_of_frame_neither_is_rare() -> None:
    drawn: list[bool] = []
    either = strategies.server_events() | strategies.unknown_frames()
    check_all(either, lambda value: drawn.append(isinstance(value, bytes)))
    assert 30 < sum(drawn) < 170


# Every kind of value --------------------------------------------------------------------------

JSON_TYPES = {NoneType, bool, int, float, str, list, dict}


def kinds(annotation: Any) -> set[Any]:
    """The types of the values that may stand here."""
    if get_origin(annotation) in (Union, UnionType):
        return {kind for arg in get_args(annotation) for kind in kinds(arg)}
    if get_origin(annotation) is Annotated:
        return kinds(get_args(annotation)[0])
    wider = {Any: JSON_TYPES, Open: {Unknown}, types.CustomVoice: {types.CustomVoice, Unknown}}
    return wider.get(annotation) or {get_origin(annotation) or annotation}


def places(annotation: Any, name: str) -> Iterator[tuple[str, Any]]:
    """A field, and what its lists and dicts hold, by name."""
    yield name, annotation
    args = getattr(annotation, "__args__", ())
    if get_origin(annotation) in (list, dict):
        yield from places(args[-1], f"{name}[]")
    else:
        yield from (place for arg in args for place in places(arg, name))


def kinds_drawn(value: Any, name: str) -> Iterator[tuple[str, type]]:
    """The kinds of value that a field holds, and those in its lists and dicts."""
    yield name, type(value)
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inside:
        yield from kinds_drawn(item, f"{name}[]")


def nouns(annotation: Any) -> Iterator[type[msgspec.Struct]]:
    """Every Struct that a value of this type may hold."""
    for arg in get_args(annotation):
        yield from nouns(arg)
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct) and annotation is not Open:
        yield annotation
        for field in msgspec.structs.fields(annotation):
            yield from nouns(field.type)


BODIES = [getattr(types.rest, name) for name in types.rest.__all__]
NOUNS = {noun: None for codec in CODECS.values() for cls in codec.types.values() for noun in nouns(cls)}
NOUNS |= {noun: None for body in BODIES for noun in nouns(body)}


def test_the_nouns_are_many() -> None:
    assert len(NOUNS) > 120
    assert {types.CustomVoice, types.McpHttpError, server.Error, types.PromptFile} <= NOUNS.keys()


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: f"{noun.__module__}.{noun.__name__}")
def test_every_field_holds_every_kind_of_value(noun: type[msgspec.Struct]) -> None:
    fields = msgspec.structs.fields(noun)
    found = [place for field in fields for place in places(field.type, field.name)]
    expected = {(name, kind) for name, annotation in found for kind in kinds(annotation)}

    def seen(value: Any) -> set[Any]:
        return {pair for field in fields for pair in kinds_drawn(getattr(value, field.name), field.name)}

    check_reach(strategies.values(noun), expected, seen)


def test_an_unknown_kind_is_of_a_type_or_of_none() -> None:
    sorts: dict[str, Callable[[Any], bool]] = {
        "of a type": lambda tool: tool.type.startswith("x_"),
        "of none": lambda tool: tool.type == "" and b"type" not in tool.raw,
        "written with spaces": lambda tool: b" : " in tool.raw,
        "of an escaped type": lambda tool: b"\\u0078\\u005f" in tool.raw,
    }
    check_sorts(strategies.values(types.Tool).filter(lambda tool: isinstance(tool, Unknown)), sorts)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_a_body_comes_back_from_its_encoding(body: type[rtproto.Struct]) -> None:
    def check(value: Any) -> None:
        assert rtproto.decode_body(rtproto.encode(value), body) == value

    check_all(strategies.values(body), check)


# JSON in any spelling -------------------------------------------------------------------------


def test_any_json_value_is_sound() -> None:
    def check(text: str) -> None:
        json.loads(text)
        msgspec.json.decode(text)

    check_all(strategies.json_values(), check)


def test_any_json_object_holds_what_is_asked_for() -> None:
    def check(text: str) -> None:
        node = parse(text)
        assert node.members is not None
        written = {(key, value.text) for key, (_, value) in zip(node.keys, node.members, strict=True)}
        assert {('"type"', '"x"'), (r'"\u0061"', "1e3")} <= written
        assert [name for name, _ in node.members].count("type") == 1

    check_all(strategies.json_objects('"type":"x"', r'"\u0061": 1e3'), check)
    check_sorts(strategies.json_objects(), {"nothing": lambda text: text == "{}", "much": is_long})


def is_long(text: str) -> bool:
    return len(parse(text).keys) > 2


def is_repeated(node: Node) -> bool:
    return len({key for key, _ in node.members or ()}) < len(node.keys)


def test_json_is_drawn_in_every_spelling() -> None:
    sorts: dict[str, Callable[[str], bool]] = {
        "compact": lambda text: " " not in text and len(parse(text).keys) > 1,
        "spread out": lambda text: " :" in text and "\n" in text,
        "an escaped key": lambda text: any("\\" in key for key in parse(text).keys),
        "a key twice": lambda text: is_repeated(parse(text)),
        "a number with an exponent": lambda text: "1E+2" in text,
        "a number that needs its zero": lambda text: "1.0" in text,
        "a number beyond 64 bits": lambda text: "12345678901234567890123" in text,
        "what looks like structure": lambda text: r"\"type\":\"" in text,
        "a pair of surrogates": lambda text: r"\ud83d\ude00" in text,
        "beyond ASCII": lambda text: not text.isascii(),
        "a type further in": lambda text: '{"type":' in text,
        "an object in a list": lambda text: bool(re.match(r'\[\s*\{\s*"', text)),
        "a list in an object": lambda text: bool(re.match(r'\{\s*""\s*:\s*\[\s*["\d]', text)),
    }
    check_sorts(strategies.json_values(), sorts)


# Frames that are no event that is known -------------------------------------------------------


def test_an_unknown_frame_is_unknown_to_all() -> None:
    def check(data: bytes) -> None:
        for codec in CODECS.values():
            event = codec.decode(data)
            assert event == codec.decode(data, strict=True) == Unknown(event.type, data)
            assert event.type == rtproto.probe_type(data)

    check_all(strategies.unknown_frames(), check)


def test_unknown_frames_are_of_many_sorts() -> None:
    sorts: dict[str, Callable[[bytes], bool]] = {
        "nothing beside the type": lambda data: len(parse(data.decode()).keys) == 1,
        "the type first": lambda data: data.startswith(b'{"type":"'),
        "the type last": lambda data: parse(data.decode()).members[-1][0] == "type",  # type: ignore[index]
        "an escaped type": lambda data: b"\\u0070" in data,
        "an escaped key": lambda data: b'"\\u0074ype"' in data,
        "a type of the beta": lambda data: rtproto.probe_type(data) == "response.audio.delta",
        "an empty type": lambda data: rtproto.probe_type(data) == "",
        "a type beyond ASCII": lambda data: not rtproto.probe_type(data).isascii(),
        "white space around": lambda data: data != data.strip(),
        "half a surrogate pair": lambda data: b'"\\ud83d y"' in data,
    }
    check_sorts(strategies.unknown_frames(), sorts)


@each_dialect
def test_a_misshapen_frame_is_refused_by_its_path(dialect: str) -> None:
    codec = CODECS[dialect]

    def check(data: bytes) -> None:
        event = codec.decode(data)
        assert isinstance(event, Unknown)
        assert event.type in codec.types
        assert event.raw == data
        with pytest.raises(InvalidEvent) as caught:
            codec.decode(data, strict=True)
        assert event.error == f"{caught.value.path}: {caught.value.reason}"

    check_all(strategies.misshapen_frames(codec), check)


@each_dialect
def test_any_field_of_any_event_may_be_misshapen(dialect: str) -> None:
    codec = CODECS[dialect]

    def seen(data: bytes) -> set[Any]:
        event = codec.decode(data)
        return {(event.type, *re.findall(r"\w+", event.error.partition(":")[0])[:1])}

    for name, cls in codec.types.items():
        fields = {(name, field) for field in cls.__struct_fields__}
        check_reach(strategies.misshapen_frames(codec, cls), fields | {(name,)}, seen)
    check_reach(strategies.misshapen_frames(codec), set(codec.types), lambda data: {codec.decode(data).type})


@pytest.mark.parametrize(
    ("cls", "error"),
    [
        (server.Error, r"\$\.error: missing"),
        (server.Error, r"\$\.error\.message: missing"),
        (server.Error, r"\$\.event_id: Expected `str`, got `null`"),
        (server.Error, r"\$\.error: Expected `object`, got `array`"),
        (server.Error, r"\$\.error\.code: Expected `str \| null`, got `object`"),
        (server.RateLimitsUpdated, r"\$\.rate_limits\[\d\]: Expected `object`, got"),
        (server.RateLimitsUpdated, r"\$\.rate_limits\[\d\]\.\w+: Expected"),
        (server.ConversationItemAdded, r"\$\.item\.\w+: missing"),
        (server.ResponseDone, r"\$\.response\.\w+\.\w+: Expected"),
        (server.ResponseDone, r"\$: half a surrogate pair"),
    ],
)
def test_misshapen_frames_are_of_many_sorts(cls: Any, error: str) -> None:
    def seen(data: bytes) -> set[str]:
        event = rtproto.decode_server(data)
        assert isinstance(event, Unknown)
        return {error} if re.match(error, event.error or "") else set()

    check_reach(strategies.misshapen_frames(rtproto.server_codec, cls), {error}, seen)


class Noted(rtproto.Event, kw_only=True, tag="noted"):
    notes: dict[str, list[int]]
    anything: Any
    things: list[Any]
    voice: types.Voice
    loudness: int = 7


class Ticked(rtproto.Event, kw_only=True, tag="ticked"):
    pass


def test_the_events_of_a_codec_of_ones_own_may_be_misshapen() -> None:
    codec: rtproto.Codec[Noted | Ticked] = rtproto.Codec(Noted | Ticked)
    expected = {
        *("noted $.notes: missing", "noted $.notes: Expected `object`, got `array`"),
        *("noted $.notes[...]: Expected `array`", "noted $.notes[...][0]: Expected `int`"),
        *("noted $.anything: missing", "noted $.loudness: Expected", "noted $.things: missing"),
        *("noted $.voice: Expected `str | object`, got `array`", "noted $.voice: missing"),
        *("noted $: half a surrogate pair", "ticked $: half a surrogate pair"),
    }

    def seen(data: bytes) -> set[str]:
        event = codec.decode(data)
        assert isinstance(event, Unknown)
        return {start for start in expected if f"{event.type} {event.error}".startswith(start)}

    check_reach(strategies.misshapen_frames(codec), expected, seen)
    check_all(strategies.values(Noted | Ticked), lambda event: codec.decode(codec.encode(event), strict=True))


def test_one_may_ask_for_misshapen_frames_of_some_events() -> None:
    def check(data: bytes) -> None:
        assert rtproto.probe_type(data) in ("error", "response.done")

    check_all(strategies.misshapen_frames(rtproto.server_codec, server.Error, server.ResponseDone), check)


def test_what_is_malformed_is_an_event_to_none() -> None:
    def check(data: bytes) -> None:
        for codec in CODECS.values():
            for strict in (False, True):
                with pytest.raises(NotAnEvent):
                    codec.decode(data, strict=strict)

    check_all(strategies.malformed_frames(), check, examples=800)


def test_malformed_frames_are_of_many_sorts() -> None:
    sorts = {
        "nothing": r"Input data was truncated\n\Z",
        "noise": r"invalid character .*\n[^{]",
        "a known event cut off": r"""truncated\n\{"type":"response\.[^}]*\Z""",
        "an unknown event cut off": r"truncated\n\s+\{",
        "more behind a known event": r"""trailing characters .*\n\{"type":"response\.""",
        "a list": r"Expected `object`, got `array`",
        "a number": r"Expected `object`, got `(int|float)`",
        "a string": r"Expected `object`, got `str`",
        "no type": r"missing required field `type`",
        "a type that is a number": r"Expected `str`, got `(int|float)` - at `\$\.type`",
        "a type that is an object": r"Expected `str`, got `object` - at `\$\.type`",
        "a constant that is none": r":(NaN|-Infinity|True|undefined)",
        "a comma too many": r",[]}]",
        "a byte order mark": r"\n\xef\xbb\xbf\{",
        "UTF-16": r"\n\xff\xfe",
        "invalid UTF-8": r"invalid UTF-8\n",
        "invalid UTF-8 in a known event": r"""\n\{"type":"[\w.]+","event_id":"\xff"\}\Z""",
        "deep nesting in an unknown event": r"""nested too deeply\n\{"type":"x\.y""",
        "deep nesting in a known event": r"""nested too deeply\n\{"type":"(?!x\.y)""",
    }

    def seen(data: bytes) -> set[str]:
        with pytest.raises(NotAnEvent) as caught:
            rtproto.decode_server(data)
        told = f"{caught.value}\n{data[:1000].decode('latin-1')}"
        return {sort for sort, pattern in sorts.items() if re.search(pattern, told)}

    check_reach(strategies.malformed_frames(), set(sorts), seen)


# For all --------------------------------------------------------------------------------------


def test_it_needs_no_pytest() -> None:
    code = "import sys, rtproto.testing.strategies; sys.exit('pytest' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
