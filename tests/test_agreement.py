"""A wire name has one constant and one class, by one law, and the unions hold every class in order."""

from collections.abc import Iterator
from enum import StrEnum
from types import ModuleType, NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
import pytest

from rtproto import client, event_types, server, translation, types
from rtproto._struct import Event, Open, Tagged, _elided_fields
from rtproto.codec import (
    Codec,
    client_codec,
    server_codec,
    translation_client_codec,
    translation_server_codec,
)

from .conftest import CODECS, OwnFrame, own_frames

SURFACES = [
    pytest.param(client, client.ClientEvent, event_types.RealtimeClientEvent, client_codec, id="client"),
    pytest.param(server, server.ServerEvent, event_types.RealtimeServerEvent, server_codec, id="server"),
    pytest.param(
        translation,
        translation.ClientEvent,
        event_types.TranslationClientEvent,
        translation_client_codec,
        id="translation client",
    ),
    pytest.param(
        translation,
        translation.ServerEvent,
        event_types.TranslationServerEvent,
        translation_server_codec,
        id="translation server",
    ),
]
each_surface = pytest.mark.parametrize(("module", "union", "family", "codec"), SURFACES)


def constant(wire: str) -> str:
    return wire.replace(".", "_").upper()


def class_name(wire: str) -> str:
    return "".join(word.capitalize() for word in wire.replace(".", "_").split("_"))


@each_surface
def test_one_name_one_constant_one_class(
    module: ModuleType, union: Any, family: type[StrEnum], codec: Codec[Any]
) -> None:
    for member, cls in zip(family, get_args(union), strict=True):
        assert member.name == constant(member.value)
        assert cls.__name__ == class_name(member.value)
        assert cls.type == cls.__struct_config__.tag == member.value
        assert getattr(module, cls.__name__) is cls
        assert codec.types[member.value] is cls


def test_the_member_for_an_event(own_frame: OwnFrame) -> None:
    event = own_frame.codec.decode(own_frame.raw)
    assert isinstance(event.event_type, StrEnum)
    assert event.event_type == event.type == own_frame.type


@pytest.mark.parametrize("module", [client, server, translation])
def test_the_unions_hold_every_class_in_the_order_of_definition(module: ModuleType) -> None:
    classes = [
        cls for name, cls in vars(module).items() if isinstance(cls, type) and not name.startswith("_")
    ]
    defined = [cls for cls in classes if issubclass(cls, Event) and cls.__module__ == module.__name__]
    unions = [getattr(module, name) for name in ("ClientEvent", "ServerEvent") if hasattr(module, name)]
    in_unions = [cls for union in unions for cls in get_args(union) if cls.__module__ == module.__name__]
    assert in_unions == defined


@each_surface
def test_the_garbage_collector_passes_over_leaves_only(
    module: ModuleType, union: Any, family: type[StrEnum], codec: Codec[Any]
) -> None:
    for cls in get_args(union):
        is_leaf = all(map(_is_scalar, msgspec.structs.fields(cls)))
        assert cls.__struct_config__.gc is not is_leaf, cls


def _is_scalar(field: msgspec.structs.FieldInfo) -> bool:
    """Whether a field holds nothing that could hold the event in turn."""
    members = get_args(field.type) if get_origin(field.type) in (Union, UnionType) else (field.type,)
    return all(getattr(m, "__origin__", m) in (str, int, float, NoneType, msgspec.UnsetType) for m in members)


@each_surface
def test_our_own_frames_cover_every_event(
    module: ModuleType, union: Any, family: type[StrEnum], codec: Codec[Any]
) -> None:
    frames = [parameter.values[0] for parameter in own_frames()]
    assert {frame.type for frame in frames if frame.codec is codec} == {*codec.types}


def _within(annotation: Any) -> Iterator[Any]:
    """An annotation, and all that it is made of."""
    yield annotation
    for argument in get_args(annotation):
        yield from _within(argument)


STRUCTS: list[type[msgspec.Struct]] = [
    cls
    for cls in (
        *vars(types).values(),
        *(event for codec in CODECS.values() for event in codec.types.values()),
    )
    if isinstance(cls, type) and issubclass(cls, msgspec.Struct)
]
FIELDS = [(struct, field) for struct in STRUCTS for field in msgspec.structs.fields(struct)]
MEDIA_OR_SECRET = {"audio", "image_url", "file_data", "file_url", "authorization", "headers", "sdp"}


def test_every_union_of_kinds_is_open() -> None:
    unions = [
        (struct, field.name, get_args(annotation))
        for struct, field in FIELDS
        for annotation in _within(field.type)
        if get_origin(annotation) in (Union, UnionType)
    ]
    for struct, name, members in unions:
        kinds = [member for member in members if isinstance(member, type) and issubclass(member, Tagged)]
        assert len(kinds) < 2 or Open in members, (struct, name)


def test_a_field_that_holds_media_or_a_secret_is_elided() -> None:
    for struct, field in FIELDS:
        if field.name in MEDIA_OR_SECRET and str in list(_within(field.type)):
            assert _elided_fields(struct)[field.name], (struct, field.name)
