"""Whatever the official SDK models is modelled here, and required where it is there, or a reason says why not."""

from collections.abc import Iterable, Iterator
from functools import cache
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeGuard, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from msgspec import UnsetType
from openai.types import realtime as sdk
from openai.types.realtime import translations as sdk_translations
from openai.types.webhooks import RealtimeCallIncomingWebhookEvent
from pydantic import BaseModel
from typing_extensions import Required, is_typeddict

from rtproto import types
from rtproto._struct import Open
from rtproto.events import client, server, translation

EVENTS: dict[str, tuple[Any, Any]] = {
    "server": (sdk.RealtimeServerEvent, server.ServerEvent),
    "client": (sdk.RealtimeClientEvent, client.ClientEvent),
    "client params": (sdk.RealtimeClientEventParam, client.ClientEvent),
    "translation server": (sdk.RealtimeTranslationServerEvent, translation.ServerEvent),
    "translation client": (sdk.RealtimeTranslationClientEvent, translation.ClientEvent),
    "translation client params": (sdk.RealtimeTranslationClientEventParam, translation.ClientEvent),
}

BODIES: dict[str, tuple[Any, Any]] = {
    "response.create": (sdk.ResponseCreateEventWithReferencesParam, client.ResponseCreate),
    "input item": (sdk.ResponseItemReference, types.InputItem),
    "secret": (sdk.ClientSecretCreateParams, types.ClientSecretCreateRequest),
    "secret made": (sdk.ClientSecretCreateResponse, types.ClientSecretCreateResponse),
    "translation secret": (
        sdk_translations.ClientSecretCreateParams,
        types.TranslationClientSecretCreateRequest,
    ),
    "translation secret made": (
        sdk.RealtimeTranslationClientSecretCreateResponse,
        types.TranslationClientSecretCreateResponse,
    ),
    "call": (sdk.CallCreateParams, types.CallCreateRequest),
    "call accepted": (sdk.CallAcceptParams, types.SessionCreateRequest),
    "call referred": (sdk.CallReferParams, types.CallReferRequest),
    "call rejected": (sdk.CallRejectParams, types.CallRejectRequest),
    "call incoming": (RealtimeCallIncomingWebhookEvent, types.IncomingCallEvent),
}

MISSING = "missing here"
REQUIRED_HERE = "required here only"
REQUIRED_THERE = "required there only"
NULL_THERE = "null there only"
ALONE = "compared with nothing"


class Difference(NamedTuple):
    """A class of the SDK's, a class or field of ours, and what differs."""

    theirs: str
    ours: str
    what: str

    def __str__(self) -> str:
        return f"{self.theirs} | {self.ours}: {self.what}"


EXCEPTIONS: dict[str, set[tuple[str, str, str]]] = {}
"""By reason, the differences that it excuses."""


class Field(NamedTuple):
    """A field as either side declares it."""

    annotation: Any
    required: bool

    @property
    def nullable(self) -> bool:
        return not {NoneType, Any, object}.isdisjoint(flatten(self.annotation))


ABSENT = Field(NoneType, required=False)


def flatten(annotation: Any) -> Iterator[Any]:
    """The members of a union, or the type itself, out of their wrappers."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Annotated, Required):
        yield from flatten(args[0])
    elif origin in (Union, UnionType):
        for arg in args:
            yield from flatten(arg)
    else:
        yield annotation


def members(annotation: Any) -> list[Any]:
    """What a value may be, apart from null and absent: those are the field's affair."""
    return [member for member in flatten(annotation) if member not in (NoneType, UnsetType, Open)]


def is_record(member: Any) -> TypeGuard[type]:
    """Whether it is a class of fields: a Struct, a pydantic model or a TypedDict."""
    return is_typeddict(member) or (
        isinstance(member, type) and issubclass(member, (msgspec.Struct, BaseModel))
    )


def fields(record: type) -> dict[str, Field]:
    """Its fields by wire name; a tag is a required one."""
    if issubclass(record, msgspec.Struct):
        tag = {"type": Field(str, required=True)} if record.__struct_config__.tag else {}
        return tag | {f.encode_name: Field(f.type, f.required) for f in msgspec.structs.fields(record)}
    if issubclass(record, BaseModel):
        return {name: Field(f.annotation, f.is_required()) for name, f in record.model_fields.items()}
    hints = get_type_hints(record, include_extras=True)
    return {name: Field(hint, get_origin(hint) is Required) for name, hint in hints.items()}


def tags(record: type) -> set[Any]:
    """Every ``type`` that a class of the SDK's stands for."""
    field = fields(record).get("type")
    kinds = flatten(field.annotation) if field else ()
    return {tag for kind in kinds if get_origin(kind) is Literal for tag in get_args(kind)}


def plain(member: Any) -> tuple[Any, Any]:
    """What JSON kind a member is that is no record, and what is inside of it."""
    origin, args = get_origin(member), get_args(member)
    if origin is None:
        return Any if member is object else member, None
    if origin is Literal:
        return type(args[0]), None
    return dict if origin is dict else list, args[-1]


def name(record: type) -> str:
    """A class of the SDK's as ``Module.Class``, or short where both are one; a ``…Param`` is named as its model."""
    module = record.__module__.rpartition(".")[2].title().replace("_", "").removesuffix("Param")
    own = record.__name__.removesuffix("Param")
    return own if own == module else f"{module}.{own}"


class Comparison:
    """One walk over both models side by side: the differences found, and the classes compared."""

    def __init__(self, roots: dict[str, tuple[Any, Any]]) -> None:
        self.differences: set[Difference] = set()
        self.pairs: set[tuple[type, tuple[type, ...]]] = set()
        for label, (theirs, ours) in roots.items():
            self._values(theirs, ours, ("openai", label))

    @property
    def classes(self) -> set[type]:
        return {record for theirs, group in self.pairs for record in (theirs, *group)}

    def _values(self, theirs: Any, ours: Any, at: tuple[str, str]) -> None:
        """Compare two annotations: whatever theirs takes, ours must."""
        here = members(ours)
        kinds = dict(plain(member) for member in here if not is_record(member))
        if Any in kinds:
            return
        for member in members(theirs):
            if is_record(member):
                self._record(member, filter(is_record, here), at)
            else:
                self._plain(plain(member), kinds, at)

    def _plain(self, theirs: tuple[Any, Any], kinds: dict[Any, Any], at: tuple[str, str]) -> None:
        kind, inside = theirs
        if kind not in kinds:
            self.differences.add(Difference(*at, f"takes {kind.__name__} there only"))
        elif inside is not None:
            self._values(inside, kinds[kind], at)

    def _record(self, theirs: type, structs: Iterable[type], at: tuple[str, str]) -> None:
        """Find whom a class of the SDK's stands beside: it may be one of ours for each of its tags."""
        by_tag = {struct.__struct_config__.tag: struct for struct in structs}
        kinds = {None} if None in by_tag else tags(theirs) or by_tag.keys() or {name(theirs)}
        self.differences |= {Difference(*at, f"takes {kind!r} there only") for kind in kinds - by_tag.keys()}
        group = tuple(by_tag[kind] for kind in by_tag if kind in kinds)
        if (theirs, group) not in self.pairs:
            self.pairs.add((theirs, group))
            self._fields(theirs, group)

    def _fields(self, theirs: type, group: tuple[type, ...]) -> None:
        there, found = fields(theirs), set()
        for struct in group:
            for field, here in fields(struct).items():
                found.add(field)
                self._field(there.get(field, ABSENT), here, (name(theirs), f"{struct.__name__}.{field}"))
        ours = "/".join(struct.__name__ for struct in group)
        self.differences |= {
            Difference(name(theirs), f"{ours}.{field}", MISSING) for field in there.keys() - found
        }

    def _field(self, there: Field, here: Field, at: tuple[str, str]) -> None:
        if here.required != there.required:
            self.differences.add(Difference(*at, REQUIRED_HERE if here.required else REQUIRED_THERE))
        elif there.nullable and not here.nullable:
            self.differences.add(Difference(*at, NULL_THERE))
        self._values(there.annotation, here.annotation, at)


def exported(*modules: ModuleType) -> set[type]:
    """The classes of fields that some modules offer."""
    return {
        value
        for module in modules
        for key in getattr(module, "__all__", vars(module))
        if is_record(value := getattr(module, key))
    }


@cache
def differences() -> set[Difference]:
    """All there are, classes that the walk did not meet among them."""
    comparison = Comparison(EVENTS | BODIES)
    theirs = exported(sdk, sdk_translations) - comparison.classes
    ours = exported(client, server, translation, types) - comparison.classes
    return (
        comparison.differences
        | {Difference(name(record), "rtproto", ALONE) for record in theirs}
        | {Difference("openai", struct.__name__, ALONE) for struct in ours}
    )


def excused() -> set[Difference]:
    return {Difference(*key) for keys in EXCEPTIONS.values() for key in keys}


def listed(found: set[Difference]) -> str:
    return "\n".join(map(str, sorted(found)))


@pytest.mark.parametrize(("theirs", "ours"), EVENTS.values(), ids=EVENTS)
def test_both_name_the_same_events(theirs: Any, ours: Any) -> None:
    assert {tag for event in members(theirs) for tag in tags(event)} == {event.type for event in members(ours)}


def test_every_difference_has_a_reason() -> None:
    assert not (unexplained := differences() - excused()), listed(unexplained)


def test_every_reason_has_a_difference() -> None:
    assert not (stale := excused() - differences()), listed(stale)
