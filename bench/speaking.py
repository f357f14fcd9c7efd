"""What making an event costs: a context beside the Struct by hand; ids and rules beside what they go with."""

import functools
import secrets

import msgspec

import rtproto
from bench.ratios import Ratio, Ratios
from rtproto.bench.peers import ADDRESS

__all__ = ["RATIOS"]

_APPEND = rtproto.client.InputAudioBufferAppend(audio="A" * 8192)
_UPDATE = rtproto.client.SessionUpdate(
    session=rtproto.types.SessionCreateRequest(
        model="gpt-realtime",
        instructions="Answer briefly.",
        output_modalities=["audio"],
        audio=rtproto.types.AudioConfig(
            input=rtproto.types.AudioInput(turn_detection=rtproto.types.ServerVad(threshold=0.5)),
            output=rtproto.types.AudioOutput(voice="marin", speed=1.0),
        ),
    )
)
_NAMES = {
    **ADDRESS,
    "event_id": "event_0a1b2c3d4e5f6g7h8i9j0",
    "delta": " there",
    "context": rtproto.ContentEventBuilder(**ADDRESS),
    "item": rtproto.ItemEventBuilder(ADDRESS["response_id"], ADDRESS["item_id"], ADDRESS["output_index"]),
    "partial": functools.partial(rtproto.server.ResponseOutputTextDelta, **ADDRESS),
    "append": _APPEND,
    "append_frame": rtproto.encode(_APPEND),
    "update": _UPDATE,
    "update_frame": rtproto.encode(_UPDATE),
    "decode": msgspec.json.Decoder(rtproto.client.ClientEvent).decode,
    "token": secrets.token_hex,
    "Struct": rtproto.server.ResponseOutputTextDelta,
    "encode": rtproto.encode,
    "validate": rtproto.validate,
    "new_event_id": rtproto.new_event_id,
}
_CONTEXT = "context.output_text_delta(event_id, delta)"
_STRUCT = (
    "Struct(event_id=event_id, response_id=response_id, item_id=item_id, output_index=output_index, "
    "content_index=content_index, delta=delta)"
)
_PARTIAL = "partial(event_id=event_id, delta=delta)"
_ARGUMENTS = "(event_id, event_id, delta)"

RATIOS = Ratios(
    "making events: this / that",
    _NAMES,
    [
        Ratio("context / Struct by keywords", _CONTEXT, _STRUCT, "≤ 1.5", alike=True),
        Ratio("a functools.partial / Struct by keywords", _PARTIAL, _STRUCT, alike=True),
        Ratio(
            "context, encoded / Struct, encoded",
            f"encode({_CONTEXT})",
            f"encode({_STRUCT})",
            "≤ 1.25",
            alike=True,
        ),
        Ratio(
            "context, encoded / text delta's frame",
            f"encode({_CONTEXT})",
            "context.output_text_delta_frame(event_id, delta)",
            alike=True,
        ),
        Ratio(
            "context, encoded / arguments delta's frame",
            f"encode(item.function_call_arguments_delta{_ARGUMENTS})",
            f"item.function_call_arguments_delta_frame{_ARGUMENTS}",
            alike=True,
        ),
        Ratio("new_event_id / a random one", "new_event_id()", "'event_' + token(10)"),
        Ratio("validate / decode an append, 8 kB", "validate(append)", "decode(append_frame)"),
        Ratio("validate / decode a session.update", "validate(update)", "decode(update_frame)"),
    ],
)
"""What making one costs."""
