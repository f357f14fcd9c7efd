"""rtproto, as its documentation tells to use it."""

import json
from typing import Any

import rtproto
from rtproto import client, items, pcm
from rtproto.bench.peers._peer import ADDRESS, EDITED, Peer
from rtproto.codec import Data

__all__ = ["PEER"]

_context = rtproto.ContentEventBuilder(**ADDRESS)
_buffer = bytearray()


def _fault(data: bytes) -> str | None:
    event = rtproto.decode_server(data)
    return event.error if isinstance(event, rtproto.Unknown) else None


def _encode_into(event: Any) -> bytearray:
    rtproto.encode_into(event, _buffer)
    return _buffer


def _make_delta(new: tuple[str, str]) -> bytes:
    event_id, delta = new
    return rtproto.encode(_context.output_text_delta(event_id, delta))


def _make_item(text: str) -> bytes:
    return rtproto.encode(client.ConversationItemCreate(item=items.user(text)))


def _forward(data: bytes) -> tuple[str, Data]:
    frame = rtproto.ServerFrame(data)
    return frame.type, frame.data


def _replace(data: bytes) -> Data:
    return rtproto.ServerFrame(data).replace(event_id=EDITED).data


def _set_model(data: bytes) -> Data:
    return rtproto.ServerFrame(data).set("session.model", EDITED).data


PEER = Peer(
    label="rtproto",
    libraries=("rtproto", "msgspec", "pybase64"),
    imports="import rtproto",
    remark="fields that its model does not know are in the frame, not in the typed event",
    models=True,
    kind=lambda event: event.type,
    read=lambda event: json.loads(rtproto.encode(event)),
    decode=rtproto.decode_server,
    decode_client=rtproto.decode_client,
    fault=_fault,
    encode=rtproto.encode,
    encode_into=_encode_into,
    make_delta=_make_delta,
    make_item=_make_item,
    probe=rtproto.probe_type,
    forward=_forward,
    replace=_replace,
    set_model=_set_model,
    to_pcm=pcm.payload,
    from_pcm=pcm.append_frame,
)
"""Its work, under the same names as the others'."""
