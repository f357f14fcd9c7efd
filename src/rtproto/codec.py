"""Bytes become events in one pass, events become bytes in one pass, and no frame ends a session.

A :class:`Codec` knows one dialect in one direction. What its union refuses is looked at again, slowly:
an event of an unknown type, or of a known type and the wrong shape, is an :class:`~rtproto.Unknown`
that holds its bytes; an unknown kind inside an event is an ``Unknown`` in its place.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar, get_args

import msgspec

from rtproto._encode import encode, encode_into
from rtproto._envelope import Data, as_bytes, envelope, probe_type, read_envelope
from rtproto._salvage import REFUSALS, Misfit, salvage
from rtproto._struct import Event, Struct
from rtproto.errors import InvalidEvent
from rtproto.events import client, server, translation
from rtproto.unknown import Unknown

__all__ = [
    "Codec",
    "Data",
    "client_codec",
    "decode_body",
    "decode_client",
    "decode_server",
    "encode",
    "encode_into",
    "probe_type",
    "server_codec",
    "translation_client_codec",
    "translation_server_codec",
]

E_co = TypeVar("E_co", covariant=True)
S = TypeVar("S", bound=Struct)


class _Decode(Protocol[E_co]):
    """The event in a frame, typed in one pass, or an :class:`~rtproto.Unknown` that holds its bytes.

    ``data`` may be ``bytes``, ``bytearray``, ``memoryview`` or ``str``; no event views it.
    Without ``strict`` any JSON object with a string ``type`` is an event: of a type this codec does
    not know, an ``Unknown`` with ``error=None``; of a known type and the wrong shape, an ``Unknown``
    whose ``error`` names the path. With ``strict`` the latter raises. An unknown kind of item, part,
    tool … inside an event is an ``Unknown`` in its place, strict or not.

    Fields that the model does not know are passed over: keep the frame if you are to send them on.
    An ``int`` field takes ``1500.0`` too, and holds that float, so that it is sent on as it came.

    Raises:
        NotAnEvent: the data is not a JSON object with a string ``type``. Invalid UTF-8 passes unseen
            inside a field that a typed event does not model.
        InvalidEvent: with ``strict``, a known type of the wrong shape.
    """

    def __call__(self, data: Data, *, strict: bool = ...) -> E_co | Unknown: ...


class _EncodeInto(Protocol):
    """:func:`encode_into`'s signature."""

    def __call__(self, event: Struct | Unknown, buffer: bytearray, offset: int = 0) -> None: ...


# Codecs ---------------------------------------------------------------------------------------


class Codec(Generic[E_co]):
    """The events of one dialect in one direction, from and to bytes. Share one among threads and tasks.

    The four that the protocol needs are there already. For a union of your own, say its type too, which
    checkers cannot infer: ``codec: Codec[MyEvent] = Codec(MyEvent)``.

    Raises:
        TypeError: what is given is not a union of two event classes or more.
    """

    __slots__ = ("decode", "encode", "encode_into", "probe", "types")

    decode: _Decode[E_co]
    """``decode(data, *, strict=False)``: a frame's event; see ``help(rtproto.decode_server)``."""

    types: Mapping[str, type[Event]]
    """The event classes by wire name, in the order of the union."""

    encode: Callable[[Struct | Unknown], bytes]
    """:func:`rtproto.encode`: it is the same for every codec."""

    encode_into: _EncodeInto
    """:func:`rtproto.encode_into`: it is the same for every codec."""

    probe: Callable[[Data], str]
    """:func:`rtproto.probe_type`: it is the same for every codec."""

    def __init__(self, union: Any) -> None:
        if len(get_args(union)) < 2:
            raise TypeError("a Codec takes a union of event classes")
        self.types = MappingProxyType({cls.type: cls for cls in get_args(union)})
        self.decode = _decoder(union, self.types)
        self.encode, self.encode_into, self.probe = encode, encode_into, probe_type


def _decoder(union: Any, types: Mapping[str, type[Event]]) -> _Decode[Any]:
    decode_union, known = msgspec.json.Decoder(union).decode, frozenset(types)
    unknown_so_far = 0  # how many unknown events came last, without a known one between

    def unknown(data: Data) -> Unknown | None:
        try:
            name, raw = envelope(data)
        except REFUSALS:
            return None
        return None if name in known else Unknown(name, raw)

    # A closure, and a plain default: either is a good part of what a small event costs. Unknown events
    # come in runs, and in a run looking first is cheaper than being refused first (CONTRIBUTING, "Speed").
    def decode(data: Data, strict: bool = False) -> Any:
        nonlocal unknown_so_far
        before = unknown_so_far
        if before:
            if before > 1 and (event := unknown(data)):
                return event
            unknown_so_far = 0
        try:
            return decode_union(data)
        except REFUSALS:
            event = unknown(data)
        if event is None:
            return _second_look(data, types, strict)
        unknown_so_far = before + 1
        return event

    decode.__doc__ = _Decode.__doc__
    return decode


def _second_look(data: Data, types: Mapping[str, type[Event]], strict: bool) -> Any:
    """What an event is that the union refused."""
    name, raw, flaw = read_envelope(data)
    if name not in types:
        return Unknown(name, raw)
    fault = Misfit("", flaw or "")
    if flaw is None:
        try:
            return salvage(types[name], raw)
        except Misfit as misfit:
            fault = misfit.bare()
    if strict:
        raise InvalidEvent(name, f"${fault.path}", fault.reason)
    return Unknown(name, raw, f"${fault.path}: {fault.reason}")


server_codec: Codec[server.ServerEvent] = Codec(server.ServerEvent)
"""What the service sends on ``/v1/realtime``."""
client_codec: Codec[client.ClientEvent] = Codec(client.ClientEvent)
"""What a client sends on ``/v1/realtime``."""
translation_server_codec: Codec[translation.ServerEvent] = Codec(translation.ServerEvent)
"""What the service sends on ``/v1/realtime/translations``."""
translation_client_codec: Codec[translation.ClientEvent] = Codec(translation.ClientEvent)
"""What a client sends on ``/v1/realtime/translations``."""

decode_server: _Decode[server.ServerEvent] = server_codec.decode
"""``decode_server(data, *, strict=False)``: the event in a frame from the service, or an ``Unknown``.

Raises :class:`NotAnEvent`, and with ``strict`` :class:`InvalidEvent`; ``help()`` on it tells all.
"""
decode_client: _Decode[client.ClientEvent] = client_codec.decode
"""``decode_client(data, *, strict=False)``: the event in a frame from a client, or an ``Unknown``.

Raises :class:`NotAnEvent`, and with ``strict`` :class:`InvalidEvent`; ``help()`` on it tells all.
"""


def decode_body(data: Data, body: type[S]) -> S:
    """A REST body of :mod:`rtproto.types`, as ``ClientSecretCreateResponse``, or any other noun by itself.

    It is open inside as events are: an unknown kind of tool, session … is an ``Unknown`` in its place.

    Raises:
        InvalidEvent: the data is not such a body; its ``type`` is the class's name.
    """
    try:
        return msgspec.json.decode(data, type=body)
    except REFUSALS as refusal:
        fault = Misfit.of(refusal)
    try:
        return salvage(body, as_bytes(data))
    except Misfit as misfit:
        fault = misfit.bare()
    except UnicodeError:
        pass
    raise InvalidEvent(body.__name__, f"${fault.path}", fault.reason)
