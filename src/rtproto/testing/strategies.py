"""Whatever a wire may carry can be drawn: any event, its frame, and all that may come in a frame's place.

Strategies for `Hypothesis <https://hypothesis.readthedocs.io>`_, read off the annotations, so that no event
and no field is left out::

    @given(strategies.server_events())
    def test_any_event_is_handled(event): ...

    @given(strategies.server_frames(server.ResponseDone) | strategies.unknown_frames())
    def test_any_frame_is_handled(data): ...

======================  ==============================  ======================================
frames                  what they decode to             with ``strict=True``
======================  ==============================  ======================================
``server_frames()`` …   the event                       the same
``unknown_frames()``    ``Unknown``                     the same
``misshapen_frames()``  ``Unknown`` with an ``error``   raises :class:`~rtproto.InvalidEvent`
``malformed_frames()``  raises ``NotAnEvent``           the same
======================  ==============================  ======================================

A string is any text, also where the service has a few words of its own, as for a status: set the one that
you want with ``msgspec.structs.replace``.
"""

import json
from collections.abc import Callable
from functools import cache
from string import ascii_letters
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from msgspec import UNSET, UnsetType

from rtproto._encode import encode
from rtproto._struct import Event, Open
from rtproto.codec import (
    Codec,
    client_codec,
    server_codec,
    translation_client_codec,
    translation_server_codec,
)
from rtproto.events import client, server, translation
from rtproto.unknown import Unknown

__all__ = [
    "client_events",
    "client_frames",
    "json_objects",
    "json_values",
    "malformed_frames",
    "misshapen_frames",
    "server_events",
    "server_frames",
    "translation_client_events",
    "translation_client_frames",
    "translation_server_events",
    "translation_server_frames",
    "unknown_frames",
    "values",
]

T = TypeVar("T")


@st.composite
def _one(draw: DrawFn, strategy: SearchStrategy[T]) -> T:
    """As one branch, however many it has: where ``a | b`` is drawn, each is then as likely."""
    return draw(strategy)


# JSON as anybody might write it ---------------------------------------------------------------

_PIECES = [
    *("a", "é", "漢", "😀", "/", "{", "}", "[", "]", ",", ":", " ", "type", "delta", "response.done"),
    *(r"\"", r"\\", r"\/", r"\n", r"\u0061", r"\u00e9", r"\u001F", r"\u001f", r"\ud83d\ude00", "\\u0022"),
    *(r"\"type\":\"", r"\"delta\":\"", "AAAA", "\x7f"),
]
_NUMBERS = ["0", "-0", "7", "1.0", "1e3", "1E+2", "0.10", "-1.5e-7", "12345678901234567890123"]
_CONSTANTS = ["true", "false", "null", "{ }", "[\n]"]
_NAMES = ['"type"', r'"\u0074ype"', '"event_id"', '"session"', r'"sess\u0069on"', '"delta"', r'"delt\u0061"']

_PART_FORMS = st.sampled_from(["%s", "%s", "%s", " %s", "%s\n", "\t\r%s "])
_MEMBER_FORMS = st.sampled_from(["%s:%s", "%s:%s", "%s:%s", "%s: %s", " %s :%s", "\n%s\t:\r%s ", "%s : %s\n"])
_TYPE_FORMS = st.sampled_from(
    ['"type":%s', '"type":%s', ' "type" : %s\n', r'"\u0074ype":%s', r'"t\u0079p\u0065": %s']
)


def _formed(forms: SearchStrategy[str], values: SearchStrategy[str]) -> SearchStrategy[str]:
    return st.tuples(forms, values).map(lambda drawn: drawn[0] % drawn[1])


def _members(keys: SearchStrategy[str], values: SearchStrategy[str]) -> SearchStrategy[str]:
    return st.tuples(_MEMBER_FORMS, keys, values).map(lambda drawn: drawn[0] % drawn[1:])


def _several(brackets: str, parts: SearchStrategy[str]) -> SearchStrategy[str]:
    return st.lists(parts, max_size=4).map(lambda drawn: f"{brackets[0]}{','.join(drawn)}{brackets[1]}")


# A text is drawn in one go, a list piece by piece: so each piece has a letter.
_LETTERS = dict(zip(ascii_letters, _PIECES, strict=False))
_TO_PIECES = str.maketrans(_LETTERS)
_STRINGS = st.text([*_LETTERS], max_size=4).map(lambda letters: f'"{letters.translate(_TO_PIECES)}"')
_KEYS = _STRINGS | st.sampled_from(_NAMES)
_SCALARS = st.sampled_from([*_NUMBERS, *_CONSTANTS]) | _STRINGS


def _nested(inner: SearchStrategy[str]) -> SearchStrategy[str]:
    return _SCALARS | _several("[]", _formed(_PART_FORMS, inner)) | _several("{}", _members(_KEYS, inner))


_VALUES = _nested(_nested(_SCALARS))  # In a list, st.recursive takes far longer.
_OTHERS = st.lists(_members(_KEYS.filter(lambda key: json.loads(key) != "type"), _VALUES), max_size=3)


@st.composite
def json_values(draw: DrawFn) -> str:
    """Any JSON value, as text in any spelling.

    With white space or without, characters escaped or not, numbers in every form, a key twice, strings that
    look like structure. All of it is sound JSON, and decoders read it.
    """
    return draw(_VALUES)


@st.composite
def json_objects(draw: DrawFn, *members: str) -> str:
    """A JSON object, as text in any spelling: these members, as they are written, among up to three others.

    No other is a ``type``, so ``json_objects('"type":"my.event"')`` is of that type.
    """
    parts = draw(_OTHERS)
    for member in members:
        parts.insert(draw(st.integers(0, len(parts))), member)
    return f"{{{','.join(parts)}}}"


def _escaped(text: str) -> str:
    """A string as JSON, every character of it escaped."""
    units = text.encode("utf-16-be").hex(" ", 2).split()
    return '"' + "".join(rf"\u{unit}" for unit in units) + '"'


_WRITERS: list[Callable[[str], str]] = [
    json.dumps,
    lambda text: json.dumps(text, ensure_ascii=False),
    _escaped,
]


def _typed(name: str) -> SearchStrategy[str]:
    """The member that tells the type."""
    return _formed(_TYPE_FORMS, st.sampled_from(_WRITERS).map(lambda write: write(name)))


# Values ---------------------------------------------------------------------------------------

_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
_INTEGERS = st.integers(-(2**70), 2**70)
_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
_PLAIN_JSON = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | _FLOATS | _TEXT


def _json(inner: SearchStrategy[Any]) -> SearchStrategy[Any]:
    return _PLAIN_JSON | st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3)


_JSON = _json(_json(_PLAIN_JSON))


@st.composite
def _unknown_kinds(draw: DrawFn) -> Unknown:
    """An object of a type that no union lists, or of none."""
    name = draw(_TEXT)
    kind = f"x_{name}" if name else ""
    members = [draw(_typed(kind))] if kind else []
    return Unknown(kind, draw(json_objects(*members)).encode())


_PLAIN: dict[Any, SearchStrategy[Any]] = {
    Any: _JSON,
    str: _TEXT,
    int: _INTEGERS,
    float: _FLOATS,
    bool: st.booleans(),
    NoneType: st.none(),
    UnsetType: st.just(UNSET),
    Open: _unknown_kinds(),
}


@st.composite
def values(draw: DrawFn, annotation: Any) -> Any:
    """Values as a decoder makes them: of an event class, of any noun, of a union, or of a field's annotation.

    Every field holds every kind of value that it may: also null and absent where it is a ``Maybe``, and an
    ``Unknown`` where a union is open. What is drawn comes back from its encoding as it was.
    """
    return draw(_values(annotation))


@cache
def _values(annotation: Any) -> SearchStrategy[Any]:
    return st.one_of(*map(_of_kind, _kinds(annotation)))


def _kinds(annotation: Any) -> list[Any]:
    """What a value of this type may be: the members of a union, or the type itself.

    Beside a Struct that is closed, as a voice, an object with other fields is an ``Unknown``.
    """
    args = get_args(annotation)
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for arg in args for kind in _kinds(arg)]
        return [*kinds, Open] if any(map(_is_closed, kinds)) else kinds
    return _kinds(args[0]) if get_origin(annotation) is Annotated else [annotation]


def _is_closed(kind: Any) -> bool:
    config = getattr(kind, "__struct_config__", None)
    return config is not None and config.forbid_unknown_fields


def _of_kind(kind: Any) -> SearchStrategy[Any]:
    args = get_args(kind)
    if get_origin(kind) is list:
        return st.lists(_values(args[0]), max_size=3)
    if get_origin(kind) is dict:
        return st.dictionaries(_TEXT, _values(args[1]), max_size=3)
    return _PLAIN[kind] if kind in _PLAIN else st.deferred(lambda: st.builds(kind, **_fields(kind)))


def _fields(cls: type[msgspec.Struct]) -> dict[str, SearchStrategy[Any]]:
    return {field.name: _values(field.type) for field in msgspec.structs.fields(cls)}


# What does not fit ----------------------------------------------------------------------------

_JSON_KINDS: dict[Any, SearchStrategy[Any]] = {
    NoneType: st.none(),
    bool: st.booleans(),
    float: _INTEGERS | _FLOATS,
    str: _TEXT,
    list: st.lists(_JSON, max_size=3),
    dict: st.dictionaries(_TEXT, _JSON, max_size=3),
}


def _json_kind(kind: Any) -> Any:
    kind = get_origin(kind) or kind
    return kind if kind in _JSON_KINDS else float if kind is int else dict


@cache
def _misfits(annotation: Any) -> SearchStrategy[Any]:
    """What cannot stand where this type does: JSON of another kind, or what holds such a misfit."""
    kinds = [kind for kind in _kinds(annotation) if kind is not UnsetType]
    if Any in kinds:
        return st.nothing()
    taken = set(map(_json_kind, kinds))
    others = [drawn for kind, drawn in _JSON_KINDS.items() if kind not in taken]
    return st.one_of(_one(st.one_of(*others)), *map(_misfits_inside, kinds))


def _misfits_inside(kind: Any) -> SearchStrategy[Any]:
    args = get_args(kind)
    if get_origin(kind) is list:
        lists = st.tuples(_values(kind), _misfits(args[0]))
        return lists.map(lambda drawn: [*drawn[0], drawn[1]])
    if get_origin(kind) is dict:
        dicts = st.tuples(_values(kind), _TEXT, _misfits(args[1]))
        return dicts.map(lambda drawn: {**drawn[0], drawn[1]: drawn[2]})
    return st.nothing() if kind in _PLAIN or _is_closed(kind) else _misshapen(kind)


@cache
def _misshapen(cls: type[msgspec.Struct]) -> SearchStrategy[Any]:
    """Structs of a class, with a misfit in a field, or without a field that is required."""
    fields = msgspec.structs.fields(cls)
    wrong = [(field.name, _misfits(field.type)) for field in fields if Any not in _kinds(field.type)]
    missing = [(field.name, _PLAIN[UnsetType]) for field in fields if field.required]
    return st.one_of([st.builds(cls, **_fields(cls) | {name: drawn}) for name, drawn in wrong + missing])


# Events ---------------------------------------------------------------------------------------


def _events(union: Any, classes: tuple[type[Event], ...]) -> SearchStrategy[Any]:
    for cls in classes:
        if cls not in get_args(union):
            raise TypeError(f"{cls.__name__} is no event of this direction")
    return values(Union[classes] if classes else union)


def client_events(*classes: type[client.ClientEvent]) -> SearchStrategy[client.ClientEvent]:
    """Any event that a client sends, or any of these classes, with :func:`values` of every kind."""
    return _events(client.ClientEvent, classes)


def server_events(*classes: type[server.ServerEvent]) -> SearchStrategy[server.ServerEvent]:
    """Any event that the service sends, or any of these classes, with :func:`values` of every kind."""
    return _events(server.ServerEvent, classes)


def translation_client_events(
    *classes: type[translation.ClientEvent],
) -> SearchStrategy[translation.ClientEvent]:
    """As :func:`client_events`, for translation sessions."""
    return _events(translation.ClientEvent, classes)


def translation_server_events(
    *classes: type[translation.ServerEvent],
) -> SearchStrategy[translation.ServerEvent]:
    """As :func:`server_events`, for translation sessions."""
    return _events(translation.ServerEvent, classes)


# Frames ---------------------------------------------------------------------------------------


def client_frames(*classes: type[client.ClientEvent]) -> SearchStrategy[bytes]:
    """The frames of :func:`client_events`, as ``encode`` writes them; each decodes to its event."""
    return client_events(*classes).map(encode)


def server_frames(*classes: type[server.ServerEvent]) -> SearchStrategy[bytes]:
    """The frames of :func:`server_events`, as ``encode`` writes them; each decodes to its event."""
    return server_events(*classes).map(encode)


def translation_client_frames(*classes: type[translation.ClientEvent]) -> SearchStrategy[bytes]:
    """As :func:`client_frames`, for translation sessions."""
    return translation_client_events(*classes).map(encode)


def translation_server_frames(*classes: type[translation.ServerEvent]) -> SearchStrategy[bytes]:
    """As :func:`server_frames`, for translation sessions."""
    return translation_server_events(*classes).map(encode)


_CODECS: list[Codec[Any]] = [client_codec, server_codec, translation_client_codec, translation_server_codec]
_KNOWN = [name for codec in _CODECS for name in codec.types]
_STRANGE = ["x.y", "response.video.delta", "response.audio.delta", "ping", "Error", "error ", ""]
_UNKNOWN_NAMES = st.sampled_from(_STRANGE) | _TEXT.filter(lambda text: text not in _KNOWN)
_HALF_A_PAIR = r'"x":"\ud83d y"'
_RARELY = st.sampled_from([False, False, False, True])


@st.composite
def unknown_frames(draw: DrawFn) -> bytes:
    """A frame of a type that no codec knows, with any JSON beside it, in any spelling.

    Some hold half a surrogate pair, which msgspec does not read. Strict or not, every codec makes an
    ``Unknown`` of it: its ``raw`` is the frame, its ``error`` is ``None``.
    """
    members = [draw(_typed(draw(_UNKNOWN_NAMES))), *([_HALF_A_PAIR] if draw(_RARELY) else [])]
    return (draw(_PART_FORMS) % draw(json_objects(*members))).encode()


@st.composite
def misshapen_frames(draw: DrawFn, codec: Codec[Any], *classes: type[Event]) -> bytes:
    """A frame of a type that the codec knows, or of any of these classes, in a shape that it refuses.

    At any depth a value is missing, or of another kind; or there is half a surrogate pair, which no typed
    event holds. The codec makes an ``Unknown`` of it: its ``raw`` is the frame, its ``error`` tells the path.
    With ``strict`` it raises ``InvalidEvent``.
    """
    cls = draw(st.sampled_from(classes or tuple(codec.types.values())))
    if not cls.__struct_fields__ or draw(_RARELY):
        return b"%b,%b}" % (encode(draw(_values(cls)))[:-1], _HALF_A_PAIR.encode())
    return encode(draw(_misshapen(cls)))


_AROUND = [b"[%b]", b"%b x", b"%b,", b"%b}", b"%b{}", b"%b\0", b"\xef\xbb\xbf%b", b"// no\n%b", b"'%b'"]
_NO_JSON = [
    *("", "NaN", "-Infinity", "01", "1.", ".5", "+1", "1e", "0x10", "True", "undefined", "'a'", "/* no */ 1"),
    *('"\x01"', '"\n"', r'"\q"', r'"\u12"', r'"\x41"', '"a', "1]", "[1,]", "[1 2]", '{"a":1,}', "{a:1}"),
]
_NO_UTF_8 = [b"\xff", b"\xc3", b"\xed\xa0\xbd"]
_TOO_DEEP = 100_000


@st.composite
def malformed_frames(draw: DrawFn) -> bytes:
    """What is no event, however near it comes to one: strict or not, every codec raises ``NotAnEvent``.

    Noise; what is not quite JSON; a frame cut off, or with something around it; JSON that is no object, or
    has no ``type``, or one that is no string; invalid UTF-8; nesting too deep to read.
    """
    return draw(_malformed_frames())


@cache
def _malformed_frames() -> SearchStrategy[bytes]:
    known = client_frames(), server_frames(), translation_client_frames(), translation_server_frames()
    any_frames = _one(st.one_of(*known, unknown_frames()))
    sorts = [
        st.binary(max_size=40).filter(lambda noise: b"{" not in noise),
        *(texts.map(str.encode) for texts in _no_events()),
        any_frames.flatmap(_cut),
        any_frames.flatmap(_surrounded),
        any_frames.map(lambda frame: frame.decode().encode("utf-16")),
        unknown_frames().flatmap(_with_no_utf_8),
        st.sampled_from(_KNOWN).map(lambda name: b'{"type":"%b","event_id":"\xff"}' % name.encode()),
        st.sampled_from(["x.y", *_KNOWN]).flatmap(_too_deep),
    ]
    return st.one_of(*sorts)


def _no_events() -> list[SearchStrategy[str]]:
    """Text that is not quite JSON, and JSON that is no object with a string type."""
    no_strings = json_values().filter(lambda text: text[0] != '"')
    return [
        st.sampled_from(_NO_JSON).flatmap(lambda value: json_objects('"type":"x.y"', f'"x":{value}')),
        json_values().filter(lambda text: text[0] != "{"),
        json_objects(),
        _formed(_TYPE_FORMS, no_strings).flatmap(json_objects),
    ]


def _cut(frame: bytes) -> SearchStrategy[bytes]:
    end = frame.rindex(b"}")
    return st.integers(0, end).map(lambda lost: frame[: end - lost])


def _surrounded(frame: bytes) -> SearchStrategy[bytes]:
    return st.sampled_from(_AROUND).map(lambda around: around % frame)


def _with_no_utf_8(frame: bytes) -> SearchStrategy[bytes]:
    places = st.tuples(st.integers(0, len(frame)), st.sampled_from(_NO_UTF_8))
    return places.map(lambda drawn: frame[: drawn[0]] + drawn[1] + frame[drawn[0] :])


def _too_deep(name: str) -> SearchStrategy[bytes]:
    brackets = st.sampled_from([(b"[", b"]"), (b'{"a":', b"}")])
    nested = brackets.map(lambda drawn: b"%b1%b" % (drawn[0] * _TOO_DEEP, drawn[1] * _TOO_DEEP))
    return nested.map(lambda value: b'{"type":"%b","x":%b}' % (name.encode(), value))
