"""The OpenAI Realtime protocol on the wire: events typed, what is not typed kept as bytes, nothing fatal.

``decode_server`` and ``decode_client`` turn a frame into a frozen Struct of :mod:`rtproto.server` or
:mod:`rtproto.client`, or into an :class:`Unknown` that holds its bytes. ``encode`` turns it back. A
field that is ``UNSET`` is not on the wire; one that is ``None`` is null there.
"""

from msgspec import UNSET, UnsetType

from rtproto import capture, event_types, types
from rtproto._version import __version__
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
from rtproto.errors import InvalidEvent, NotAnEvent, RtprotoError
from rtproto.events import client, server, translation
from rtproto.unknown import Unknown

__all__ = [
    "UNSET",
    "Codec",
    "InvalidEvent",
    "NotAnEvent",
    "RtprotoError",
    "Unknown",
    "UnsetType",
    "__version__",
    "capture",
    "client",
    "client_codec",
    "decode_body",
    "decode_client",
    "decode_server",
    "encode",
    "encode_into",
    "event_types",
    "probe_type",
    "server",
    "server_codec",
    "translation",
    "translation_client_codec",
    "translation_server_codec",
    "types",
]
