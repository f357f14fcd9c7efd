"""The official SDK, by the very methods of its realtime connection; only the socket is left out."""

import base64
from typing import Any, cast, get_args

from openai.resources.realtime.realtime import RealtimeConnection
from openai.types.realtime import ResponseTextDeltaEvent

from rtproto.bench.peers._peer import ADDRESS, EDITED, Peer, cannot

__all__ = ["PEER"]


class _Wire:
    """Stands for the socket: keeps what was sent last."""

    sent: str = ""

    def send(self, data: str) -> None:
        self.sent = data


_wire = _Wire()
_connection = RealtimeConnection(cast("Any", _wire))


def _send(event: Any) -> str:
    _connection.send(event)
    return _wire.sent


def _kind(event: Any) -> str:
    """What users tell events by is the class, and a class says the wire name it stands for."""
    return str(get_args(event.__class__.model_fields["type"].annotation)[0])


def _read(event: Any) -> Any:
    return event.to_dict(mode="json", use_api_names=True, exclude_unset=True)


def _make_delta(new: tuple[str, str]) -> str:
    event_id, delta = new
    return _send(
        ResponseTextDeltaEvent(
            type="response.output_text.delta",
            event_id=event_id,
            response_id=ADDRESS["response_id"],
            item_id=ADDRESS["item_id"],
            output_index=ADDRESS["output_index"],
            content_index=ADDRESS["content_index"],
            delta=delta,
        )
    )


def _make_item(text: str) -> str:
    _connection.conversation.item.create(
        item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    )
    return _wire.sent


def _probe(data: bytes) -> str:
    return _connection.parse_event(data).type


def _forward(data: bytes) -> tuple[str, bytes]:
    return _connection.parse_event(data).type, data


def _replace(data: bytes) -> str:
    event: Any = _connection.parse_event(data)
    event.event_id = EDITED
    return _send(event)


def _set_model(data: bytes) -> str:
    event: Any = _connection.parse_event(data)
    event.session.model = EDITED
    return _send(event)


def _to_pcm(data: bytes) -> bytes:
    event: Any = _connection.parse_event(data)
    return base64.b64decode(event.delta)


def _from_pcm(samples: bytes) -> str:
    _connection.input_audio_buffer.append(audio=base64.b64encode(samples).decode())
    return _wire.sent


PEER = Peer(
    label="openai",
    libraries=("openai", "pydantic"),
    imports="import openai.resources.realtime.realtime",
    remark=(
        "what its union refuses it fills into a model unchecked: an event of an unknown type becomes one "
        "of another; base64 by the standard library, not validated"
    ),
    models=True,
    kind=_kind,
    read=_read,
    decode=_connection.parse_event,
    decode_client=cannot("parses server events only"),
    fault=cannot("fills a model unchecked where validation refuses"),
    encode=_send,
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
