"""A wire name has one constant and one class, by one law, and the unions hold every class in order."""

import inspect
from collections.abc import Iterator
from enum import StrEnum
from types import ModuleType, NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from rtproto import UNSET, client, event_types, pcm, server, translation, types
from rtproto._struct import Event, Open, Tagged, _elided_fields
from rtproto.builders import ContentEventBuilder, ItemEventBuilder, ResponseEventBuilder
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


# Contexts -------------------------------------------------------------------------------------

CONTEXTS = (ResponseEventBuilder, ItemEventBuilder, ContentEventBuilder)
ADDRESSES = {frozenset(context.__struct_fields__): context for context in CONTEXTS}
# An output item's event does not name the item by a field of its own; a server that streams it has the
# item's context in hand, so that is where the original crate has it, too.
ADDRESSES[frozenset({"response_id", "output_index"})] = ItemEventBuilder
ADDRESS = ContentEventBuilder.__struct_fields__


def _context(event: type[Event]) -> type[msgspec.Struct] | None:
    """The context that holds all of an event's address; an event that names no response has none."""
    address = frozenset(event.__struct_fields__) & {*ADDRESS}
    return ADDRESSES[address] if "response_id" in address else None


def method_name(wire: str) -> str:
    return wire.removeprefix("response.").replace(".", "_")


def _methods(context: type[msgspec.Struct]) -> list[str]:
    return [name for name, value in vars(context).items() if inspect.isfunction(value) and name[0] != "_"]


FRAMES = {
    f"{method_name(event.type)}_frame": event
    for event in (
        server.ResponseOutputTextDelta,
        server.ResponseOutputAudioTranscriptDelta,
        server.ResponseOutputAudioDelta,
        server.ResponseFunctionCallArgumentsDelta,
    )
}

IN_CONTEXT = [
    pytest.param(_context(event), event, id=f"{_context(event).__name__}.{method_name(event.type)}")
    for event in get_args(server.ServerEvent)
    if _context(event)
]
each_in_context = pytest.mark.parametrize(("context", "event"), IN_CONTEXT)


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_context_has_a_method_for_each_event_at_its_address(context: type[msgspec.Struct]) -> None:
    events = [method_name(event.type) for event in get_args(server.ServerEvent) if _context(event) is context]
    assert len(events) == {ResponseEventBuilder: 3, ItemEventBuilder: 6, ContentEventBuilder: 8}[context]
    made = [name for name in _methods(context) if not name.startswith("for_") and name not in FRAMES]
    assert made == events


@each_in_context
def test_its_parameters_are_the_events_remaining_fields(
    context: type[msgspec.Struct], event: type[Event]
) -> None:
    method = getattr(context, method_name(event.type))
    remaining = [field for field in msgspec.structs.fields(event) if field.name not in ADDRESS]
    hints = get_type_hints(method, include_extras=True)
    assert hints.pop("return") is event
    assert list(hints.items()) == [(field.name, field.type) for field in remaining]

    parameters = list(inspect.signature(method).parameters.values())[1:]
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    last_required = max(place for place, field in enumerate(remaining) if field.required)
    empty = inspect.Parameter.empty
    defaults = [empty if place <= last_required else UNSET for place in range(len(remaining))]
    assert [parameter.default for parameter in parameters] == defaults


@each_in_context
def test_each_argument_lands_in_its_own_field(context: type[msgspec.Struct], event: type[Event]) -> None:
    address = {name: object() for name in context.__struct_fields__}
    remaining = {name: object() for name in event.__struct_fields__ if name not in ADDRESS}
    made = getattr(context(*address.values()), method_name(event.type))(*remaining.values())
    assert type(made) is event
    for name in event.__struct_fields__:
        assert getattr(made, name) is {**address, **remaining}[name], name


@pytest.mark.parametrize(("name", "event"), FRAMES.items(), ids=FRAMES)
def test_a_hot_delta_has_a_method_for_its_frame_too(name: str, event: type[Event]) -> None:
    context = _context(event)
    assert context
    methods = _methods(context)
    assert methods[methods.index(name) - 1] == name.removesuffix("_frame")
    hints = get_type_hints(getattr(context, name), include_extras=True)
    assert hints.pop("return") is bytes
    remaining = {
        field.name: field.type for field in msgspec.structs.fields(event) if field.name not in ADDRESS
    }
    del remaining["obfuscation"]
    if event is server.ResponseOutputAudioDelta:
        del remaining["delta"]
        remaining["samples"] = pcm.Buffer
    assert list(hints.items()) == list(remaining.items())
    parameters = list(inspect.signature(getattr(context, name)).parameters.values())[1:]
    assert all(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)


def test_a_context_leads_to_the_next_and_adds_what_it_is_told() -> None:
    response_id, item_id, output_index, content_index = (object() for _ in range(4))
    item: Any = ResponseEventBuilder(response_id).for_item(item_id, output_index)  # type: ignore[arg-type]
    assert type(item) is ItemEventBuilder
    assert [getattr(item, name) for name in ADDRESS[:3]] == [response_id, item_id, output_index]
    content = item.for_content(content_index)
    assert type(content) is ContentEventBuilder
    assert [getattr(content, name) for name in ADDRESS] == [response_id, item_id, output_index, content_index]
