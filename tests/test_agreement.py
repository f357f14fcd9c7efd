"""A wire name has one constant and one class, by one law, and the unions hold every class in order."""

from enum import StrEnum
from types import ModuleType, NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
import pytest

from rtproto import client, event_types, server, translation
from rtproto._struct import Event
from rtproto.codec import (
    Codec,
    client_codec,
    server_codec,
    translation_client_codec,
    translation_server_codec,
)

from .conftest import OwnFrame

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
