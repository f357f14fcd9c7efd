"""Whatever the official SDK models is here, and is required here if it is there, or a reason says why not."""

from collections.abc import Iterable, Iterator
from functools import cache
from types import ModuleType, NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Required,
    TypeAlias,
    TypeGuard,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
import pytest
from msgspec import UnsetType
from openai.types import realtime as sdk
from openai.types.realtime import translations as sdk_translations
from openai.types.webhooks import RealtimeCallIncomingWebhookEvent
from pydantic import BaseModel
from typing_extensions import is_typeddict

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

# What no event leads to; all else is found by walking down from here.
BODIES: dict[str, tuple[Any, Any]] = {
    "response with references": (sdk.ResponseCreateEventWithReferencesParam, client.ResponseCreate),
    "reference": (sdk.ResponseItemReference, types.InputItem),
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
ALONE = "beside nothing"

EXCEPTIONS: dict[str, set[tuple[str, str, str]]] = {
    "Kinds are told apart by type alone, so an object without one is an Unknown; the SDK guesses.": {
        ("RealtimeAudioFormats.AudioPCM", "AudioPcm.type", REQUIRED_HERE),
        ("RealtimeAudioFormats.AudioPCMA", "AudioPcma.type", REQUIRED_HERE),
        ("RealtimeAudioFormats.AudioPCMU", "AudioPcmu.type", REQUIRED_HERE),
        ("RealtimeConversationItemAssistantMessage.Content", "OutputAudio.type", REQUIRED_HERE),
        ("RealtimeConversationItemAssistantMessage.Content", "OutputText.type", REQUIRED_HERE),
        ("RealtimeConversationItemSystemMessage.Content", "InputText.type", REQUIRED_HERE),
        ("RealtimeConversationItemUserMessage.Content", "InputAudio.type", REQUIRED_HERE),
        ("RealtimeConversationItemUserMessage.Content", "InputImage.type", REQUIRED_HERE),
        ("RealtimeConversationItemUserMessage.Content", "InputText.type", REQUIRED_HERE),
        ("RealtimeFunctionTool", "FunctionTool.type", REQUIRED_HERE),
        ("RealtimeTranscriptionSessionTurnDetection", "SemanticVad.type", REQUIRED_HERE),
        ("RealtimeTranscriptionSessionTurnDetection", "ServerVad.type", REQUIRED_HERE),
    },
    "Session events carry the session as returned; the SDK reads it as the one asked for.": {
        ("RealtimeSessionCreateRequest", "SessionCreateResponse.id", REQUIRED_HERE),
        ("RealtimeSessionCreateRequest", "SessionCreateResponse.object", REQUIRED_HERE),
        ("RealtimeTranscriptionSessionCreateRequest", "TranscriptionSessionCreateResponse.id", REQUIRED_HERE),
        (
            "RealtimeTranscriptionSessionCreateRequest",
            "TranscriptionSessionCreateResponse.object",
            REQUIRED_HERE,
        ),
    },
    "New in GA, and left out by servers and official clients of before.": {
        (
            "ConversationItemInputAudioTranscriptionCompletedEvent",
            "ConversationItemInputAudioTranscriptionCompleted.usage",
            REQUIRED_THERE,
        ),
        (
            "ResponseFunctionCallArgumentsDoneEvent",
            "ResponseFunctionCallArgumentsDone.name",
            REQUIRED_THERE,
        ),
    },
    "OpenAI's own clients in JavaScript leave it out.": {
        ("RealtimeMcpApprovalResponse", "McpApprovalResponse.id", REQUIRED_THERE),
    },
    "The original crate leaves it optional.": {
        ("ResponseInputImage", "PromptImage.detail", REQUIRED_THERE),
    },
    "The beta's: servers and official examples still write it, the SDK has dropped it.": {
        ("openai", "ClientSecret", ALONE),
        ("openai", "LegacyAudio", ALONE),
        ("openai", "LegacyText", ALONE),
    },
    "A query string is no message.": {
        ("RealtimeConnectParams", "rtproto", ALONE),
    },
}
"""Every difference that is meant to be, by its reason."""

Place: TypeAlias = tuple[str, str]


class Difference(NamedTuple):
    """A class of the SDK's, a class or field of ours, and what differs."""

    theirs: str
    ours: str
    what: str

    def __str__(self) -> str:
        return f"{self.theirs} | {self.ours}: {self.what}"


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
    is_model = isinstance(member, type) and issubclass(member, (msgspec.Struct, BaseModel))
    return is_model or is_typeddict(member)


def fields(record: type) -> dict[str, Field]:
    """Its fields by wire name; a tag is a required one."""
    if issubclass(record, msgspec.Struct):
        tag = {"type": Field(str, required=True)} if record.__struct_config__.tag else {}
        return tag | {f.encode_name: Field(f.type, f.required) for f in msgspec.structs.fields(record)}
    if issubclass(record, BaseModel):
        return {key: Field(f.annotation, f.is_required()) for key, f in record.model_fields.items()}
    hints = get_type_hints(record, include_extras=True)
    return {key: Field(hint, get_origin(hint) is Required) for key, hint in hints.items()}


def tags(record: type) -> set[Any]:
    """Every ``type`` that a class of the SDK's stands for."""
    kinds = flatten(fields(record).get("type", ABSENT).annotation)
    return {tag for kind in kinds if get_origin(kind) is Literal for tag in get_args(kind)}


def plain(member: Any) -> tuple[Any, Any]:
    """The JSON kind of what is no record, and what is inside of it."""
    origin, args = get_origin(member), get_args(member)
    if origin is None:
        return Any if member is object else member, None
    if origin is Literal:
        return type(args[0]), None
    return dict if origin is dict else list, args[-1]


def name(record: type) -> str:
    """``Class``, or ``Module.Class`` where the module is named otherwise; a ``…Param`` is as its model."""
    module = record.__module__.rpartition(".")[2].title().replace("_", "").removesuffix("Param")
    own = record.__name__.removesuffix("Param")
    return own if own == module else f"{module}.{own}"


class Comparison:
    """One walk down both models side by side: the differences met, and the classes compared."""

    def __init__(self, roots: dict[str, tuple[Any, Any]]) -> None:
        self.differences: set[Difference] = set()
        self.pairs: set[tuple[type, tuple[type, ...]]] = set()
        for label, (theirs, ours) in roots.items():
            self._values(theirs, ours, ("openai", label))

    @property
    def classes(self) -> set[type]:
        return {record for theirs, group in self.pairs for record in (theirs, *group)}

    def _note(self, at: Place, what: str) -> None:
        self.differences.add(Difference(*at, what))

    def _values(self, theirs: Any, ours: Any, at: Place) -> None:
        """Whatever may stand there may stand here."""
        here = members(ours)
        kinds = dict(plain(member) for member in here if not is_record(member))
        if Any in kinds:
            return
        for member in members(theirs):
            if is_record(member):
                self._record(member, filter(is_record, here), at)
            else:
                self._plain(*plain(member), kinds, at)

    def _plain(self, kind: Any, inside: Any, kinds: dict[Any, Any], at: Place) -> None:
        if kind not in kinds:
            self._note(at, f"takes {kind.__name__} there only")
        elif inside is not None:
            self._values(inside, kinds[kind], at)

    def _record(self, theirs: type, structs: Iterable[Any], at: Place) -> None:
        """Put a class beside ours of the same tag, or tags: the SDK has one class for several of ours."""
        by_tag = {struct.__struct_config__.tag: struct for struct in structs}
        kinds = {None} if None in by_tag else tags(theirs) or by_tag.keys() or {name(theirs)}
        for kind in kinds - by_tag.keys():
            self._note(at, f"takes {kind} there only")
        group = tuple(struct for tag, struct in by_tag.items() if tag in kinds)
        if group and (theirs, group) not in self.pairs:
            self.pairs.add((theirs, group))
            self._fields(theirs, group)

    def _fields(self, theirs: type, group: tuple[type, ...]) -> None:
        there, here = fields(theirs), {struct.__name__: fields(struct) for struct in group}
        for key in there.keys() - set().union(*here.values()):
            self._note((name(theirs), f"{'/'.join(here)}.{key}"), MISSING)
        for struct, ours in here.items():
            for key, field in ours.items():
                self._field(there.get(key, ABSENT), field, (name(theirs), f"{struct}.{key}"))

    def _field(self, there: Field, here: Field, at: Place) -> None:
        if here.required != there.required:
            self._note(at, REQUIRED_HERE if here.required else REQUIRED_THERE)
        elif there.nullable and not here.nullable:
            self._note(at, NULL_THERE)
        self._values(there.annotation, here.annotation, at)


def exported(*modules: ModuleType) -> set[type]:
    """The classes of fields that some modules offer."""
    offered = (vars(module)[key] for module in modules for key in getattr(module, "__all__", vars(module)))
    return set(filter(is_record, offered))


@cache
def differences() -> set[Difference]:
    """Those met by the walk, and the classes that it did not meet."""
    comparison = Comparison(EVENTS | BODIES)
    theirs = exported(sdk, sdk_translations) - comparison.classes
    ours = exported(client, server, translation, types) - comparison.classes
    alone = [(name(record), "rtproto") for record in theirs] + [
        ("openai", struct.__name__) for struct in ours
    ]
    return comparison.differences | {Difference(*at, ALONE) for at in alone}


def excused() -> set[Difference]:
    return {Difference(*key) for keys in EXCEPTIONS.values() for key in keys}


def listed(found: set[Difference]) -> str:
    return "\n".join(map(str, sorted(found)))


@pytest.mark.parametrize(("theirs", "ours"), EVENTS.values(), ids=EVENTS)
def test_both_name_the_same_events(theirs: Any, ours: Any) -> None:
    excused_here = {event.type for event in members(ours) if ("openai", event.__name__, ALONE) in excused()}
    assert {event.type for event in members(ours)} - excused_here == set().union(*map(tags, members(theirs)))


def test_every_difference_has_a_reason() -> None:
    unexplained = differences() - excused()
    assert not unexplained, listed(unexplained)


def test_every_reason_has_a_difference() -> None:
    stale = excused() - differences()
    assert not stale, listed(stale)
