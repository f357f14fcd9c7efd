"""pydantic: a discriminated union of the same events, each model made field by field from our Struct."""

import base64
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, create_model

from rtproto import UnsetType, client, server, types
from rtproto._struct import Open, Tagged
from rtproto.bench.peers._peer import ADDRESS, EDITED, Peer, cannot

__all__ = ["PEER"]


_LEFT_OUT: tuple[Any, ...] = (Open, UnsetType)


# The models -----------------------------------------------------------------------------------


@cache
def _model(struct: type[msgspec.Struct]) -> Any:
    """The model that a pydantic user writes for an object; an optional field that is absent is ``None``."""
    fields: dict[str, Any] = {
        field.name: (_annotation(field.type), ... if field.required else None)
        for field in msgspec.structs.fields(struct)
    }
    if issubclass(struct, Tagged):
        fields["type"] = (Literal[struct.type], ...)  # pyright: ignore[reportInvalidTypeForm]
    return create_model(struct.__name__, **fields)


def _annotation(annotation: Any) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return _union(arguments)
    if origin is Annotated:
        return _annotation(arguments[0])
    if origin is list:
        return list[_annotation(arguments[0])]  # type: ignore[misc]
    if origin is dict:
        return dict[str, _annotation(arguments[1])]  # type: ignore[misc]
    return _model(annotation) if _is_struct(annotation) else annotation


def _union(members: tuple[Any, ...]) -> Any:
    """What is absent is ``None``, and a kind that is not known has no place."""
    kept = [member for member in members if member not in _LEFT_OUT]
    tagged = [_model(member) for member in kept if _is_struct(member, Tagged)]
    others = [_annotation(member) for member in kept if not _is_struct(member, Tagged)]
    if len(tagged) > 1:
        tagged = [Annotated[Union[tuple(tagged)], Field(discriminator="type")]]
    return Union[(*tagged, *others)]


def _is_struct(annotation: Any, kind: type[msgspec.Struct] = msgspec.Struct) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, kind)


class _TypeOnly(BaseModel):
    type: str


_server: TypeAdapter[Any] = TypeAdapter(_union(get_args(server.ServerEvent)))
_client: TypeAdapter[Any] = TypeAdapter(_union(get_args(client.ClientEvent)))
_decode = _server.validate_json
_Delta = _model(server.ResponseOutputTextDelta)
_Item, _Message, _Text = map(_model, (client.ConversationItemCreate, types.Message, types.InputText))
_Append = _model(client.InputAudioBufferAppend)


# The work -------------------------------------------------------------------------------------


def _fault(data: bytes) -> str | None:
    try:
        _decode(data)
    except ValidationError as refusal:
        return str(refusal)
    return None


def _encode(event: Any) -> str:
    text: str = event.model_dump_json(exclude_unset=True)
    return text


def _make_delta(new: tuple[str, str]) -> str:
    event_id, delta = new
    return _encode(_Delta(type="response.output_text.delta", event_id=event_id, **ADDRESS, delta=delta))


def _make_item(text: str) -> str:
    content = [_Text(type="input_text", text=text)]
    item = _Message(type="message", role="user", content=content)
    return _encode(_Item(type="conversation.item.create", item=item))


def _probe(data: bytes) -> str:
    return _TypeOnly.model_validate_json(data).type


def _forward(data: bytes) -> tuple[str, bytes]:
    return _TypeOnly.model_validate_json(data).type, data


def _replace(data: bytes) -> str:
    event = _decode(data)
    event.event_id = EDITED
    return _encode(event)


def _set_model(data: bytes) -> str:
    event = _decode(data)
    event.session.model = EDITED
    return _encode(event)


def _to_pcm(data: bytes) -> bytes:
    return base64.b64decode(_decode(data).delta)


def _from_pcm(samples: bytes) -> str:
    return _encode(_Append(type="input_audio_buffer.append", audio=base64.b64encode(samples).decode()))


PEER = Peer(
    label="pydantic",
    libraries=("pydantic",),
    imports="from pydantic import BaseModel, TypeAdapter",
    remark=(
        "a discriminated union of models made of rtproto's Structs; refuses an event of an unknown type; "
        "the type is read by a model of one field; base64 by the standard library, not validated"
    ),
    models=True,
    kind=lambda event: event.type,
    read=lambda event: event.model_dump(mode="json", exclude_unset=True),
    decode=_decode,
    decode_client=_client.validate_json,
    fault=_fault,
    encode=_encode,
    encode_into=cannot("makes a new str"),
    make_delta=_make_delta,
    make_item=_make_item,
    probe=_probe,
    forward=_forward,
    replace=_replace,
    set_model=_set_model,
    to_pcm=_to_pcm,
    from_pcm=_from_pcm,
)
"""Its work, under the same names as the others'."""
