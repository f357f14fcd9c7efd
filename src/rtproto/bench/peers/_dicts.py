"""What a user of plain dicts writes is the same whatever parser makes them; only that is given here."""

from collections.abc import Callable
from typing import Any

from rtproto.bench.peers._peer import ADDRESS, EDITED, Peer, Text, Work, cannot

__all__ = ["peer_of_dicts"]

_UNTYPED = cannot("a dict has no shape to be wrong")


def peer_of_dicts(  # noqa: PLR0913 - by name
    *,
    label: str,
    libraries: tuple[str, ...],
    imports: str,
    remark: str,
    loads: Callable[[Any], Any],
    dumps: Callable[[Any], Text],
    encode_into: Work,
    type_of: Callable[[bytes], str] | None = None,
    to_base64: Callable[[bytes], str],
    from_base64: Callable[[str], bytes],
) -> Peer:
    """The peer that a parser and a base64 make; ``type_of``: if it has a shorter way to an event's type."""

    def probe(data: bytes) -> str:
        name: str = loads(data)["type"]
        return name

    type_of = type_of or probe

    def forward(data: bytes) -> tuple[str, bytes]:
        return type_of(data), data

    def make_delta(new: tuple[str, str]) -> Text:
        event_id, delta = new
        return dumps(
            {"type": "response.output_text.delta", "event_id": event_id, **ADDRESS, "delta": delta},
        )

    def make_item(text: str) -> Text:
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        return dumps({"type": "conversation.item.create", "item": item})

    def replace(data: bytes) -> Text:
        event = loads(data)
        event["event_id"] = EDITED
        return dumps(event)

    def set_model(data: bytes) -> Text:
        event = loads(data)
        event["session"]["model"] = EDITED
        return dumps(event)

    def to_pcm(data: bytes) -> bytes:
        return from_base64(loads(data)["delta"])

    def from_pcm(samples: bytes) -> Text:
        return dumps({"type": "input_audio_buffer.append", "audio": to_base64(samples)})

    return Peer(
        label=label,
        libraries=libraries,
        imports=imports,
        remark=remark,
        models=False,
        kind=lambda event: event["type"],
        read=lambda event: event,
        decode=loads,
        decode_client=loads,
        fault=_UNTYPED,
        encode=dumps,
        encode_into=encode_into,
        make_delta=make_delta,
        make_item=make_item,
        probe=type_of,
        forward=forward,
        replace=replace,
        set_model=set_model,
        to_pcm=to_pcm,
        from_pcm=from_pcm,
    )
