"""``msgspec`` without types makes dicts, and a Struct of one field reads the type; ``pybase64`` the audio."""

from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pybase64

from rtproto.bench.peers._dicts import peer_of_dicts
from rtproto.bench.peers._peer import EDITED

__all__ = ["PEER"]


class _TypeOnly(msgspec.Struct, gc=False):
    type: str


_encoder = msgspec.json.Encoder()
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_type = msgspec.json.Decoder(_TypeOnly).decode
_buffer = bytearray()


def _type_of(data: bytes) -> str:
    return _decode_type(data).type


def _encode_into(event: Any) -> bytearray:
    _encoder.encode_into(event, _buffer)
    return _buffer


def _replace(data: bytes) -> bytes:
    members: dict[str, Any] = _decode_members(data)
    members["event_id"] = EDITED
    return _encoder.encode(members)


def _set_model(data: bytes) -> bytes:
    members: dict[str, Any] = _decode_members(data)
    session: dict[str, Any] = _decode_members(members["session"])
    session["model"] = EDITED
    members["session"] = session
    return _encoder.encode(members)


_DICTS = peer_of_dicts(
    label="msgspec",
    libraries=("msgspec", "pybase64"),
    imports="import msgspec, pybase64",
    remark=(
        "dicts, as of json; the type is read by a Struct of one field; edits on a dict of raw values; "
        "base64 by pybase64, validated"
    ),
    loads=msgspec.json.Decoder().decode,
    dumps=_encoder.encode,
    encode_into=_encode_into,
    type_of=_type_of,
    to_base64=pybase64.b64encode_as_string,
    from_base64=partial(pybase64.b64decode, validate=True),
)
PEER = replace(_DICTS, replace=_replace, set_model=_set_model)
"""Its work, under the same names as the others'."""
