"""The OpenAI Realtime protocol on the wire: events typed, what is not typed kept as bytes, nothing fatal.

``decode_server`` and ``decode_client`` turn a frame into a frozen Struct of :mod:`rtproto.server` or
:mod:`rtproto.client`, or into an :class:`Unknown` that holds its bytes. ``encode`` turns it back. A
field that is ``UNSET`` is not on the wire; one that is ``None`` is null there.

A :class:`ServerFrame` or :class:`ClientFrame` is for what is passed on: the bytes as they came, probed,
typed on demand, edited without re-encoding. :mod:`rtproto.pcm` turns audio into frames and back.

An event is made by its class; those of a stream by a context, :class:`ResponseEventBuilder` and what it
leads to. :mod:`rtproto.items` makes items and content parts in short, ``validate`` tells what the service
would refuse.
"""

from msgspec import UNSET, UnsetType

from rtproto import builders, capture, event_types, items, pcm, types
from rtproto._struct import Event, Struct
from rtproto._version import __version__
from rtproto.builders import ContentEventBuilder, ItemEventBuilder, ResponseBuilder, ResponseEventBuilder
from rtproto.codec import (
    Codec,
    client_codec,
    decode_body,
    decode_client,
    decode_server,
    encode,
    encode_into,
    probe_type,
    server_codec,
    translation_client_codec,
    translation_server_codec,
)
from rtproto.errors import InvalidEvent, NoSuchPath, NotAnEvent, RtprotoError
from rtproto.event_ids import new_event_id
from rtproto.events import client, server, translation
from rtproto.frame import (
    ClientFrame,
    Frame,
    ServerFrame,
    TranslationClientFrame,
    TranslationServerFrame,
)
from rtproto.unknown import Unknown
from rtproto.validate import Problem, validate

__all__ = [
    "UNSET",
    "ClientFrame",
    "Codec",
    "ContentEventBuilder",
    "Event",
    "Frame",
    "InvalidEvent",
    "ItemEventBuilder",
    "NoSuchPath",
    "NotAnEvent",
    "Problem",
    "ResponseBuilder",
    "ResponseEventBuilder",
    "RtprotoError",
    "ServerFrame",
    "Struct",
    "TranslationClientFrame",
    "TranslationServerFrame",
    "Unknown",
    "UnsetType",
    "__version__",
    "builders",
    "capture",
    "client",
    "client_codec",
    "decode_body",
    "decode_client",
    "decode_server",
    "encode",
    "encode_into",
    "event_types",
    "items",
    "new_event_id",
    "pcm",
    "probe_type",
    "server",
    "server_codec",
    "translation",
    "translation_client_codec",
    "translation_server_codec",
    "types",
    "validate",
]
