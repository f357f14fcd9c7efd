"""What it costs to make an event: a context beside the Struct by hand, and beside the official SDK's model.

Run it as ``python bench/speaking.py``; it needs the ``openai`` package (dependency group ``tests``).
"""

import functools
import json
import secrets
import timeit
from typing import Any, NamedTuple

import msgspec
from openai.types.realtime import ResponseTextDeltaEvent
from ratios import print_row, side_by_side

import rtproto

ADDRESS = {
    "response_id": "resp_0a1b2c3d4e5f6g7h8i9j0",
    "item_id": "item_0a1b2c3d4e5f6g7h8i9j0",
    "output_index": 0,
    "content_index": 0,
}
NAMES: dict[str, Any] = {
    **ADDRESS,
    "event_id": "event_0a1b2c3d4e5f6g7h8i9j0",
    "delta": " there",
    "context": rtproto.ContentEventBuilder(**ADDRESS),
    "partial": functools.partial(rtproto.server.ResponseOutputTextDelta, **ADDRESS),
    "append": rtproto.client.InputAudioBufferAppend(audio="A" * 8192),
    "update": rtproto.client.SessionUpdate(
        session=rtproto.types.SessionCreateRequest(
            model="gpt-realtime",
            instructions="Answer briefly.",
            output_modalities=["audio"],
            audio=rtproto.types.AudioConfig(
                input=rtproto.types.AudioInput(turn_detection=rtproto.types.ServerVad(threshold=0.5)),
                output=rtproto.types.AudioOutput(voice="marin", speed=1.0),
            ),
        )
    ),
    "decode": msgspec.json.Decoder(rtproto.client.ClientEvent).decode,
    "token": secrets.token_hex,
    "Sdk": ResponseTextDeltaEvent,
    "Struct": rtproto.server.ResponseOutputTextDelta,
    "encode": rtproto.encode,
    "validate": rtproto.validate,
    "new_event_id": rtproto.new_event_id,
}
NAMES |= {f"{name}_frame": rtproto.encode(NAMES[name]) for name in ("append", "update")}

FIELDS = (
    "event_id=event_id, response_id=response_id, item_id=item_id, output_index=output_index, "
    "content_index=content_index, delta=delta"
)
CONTEXT = "context.output_text_delta(event_id, delta)"
STRUCT = f"Struct({FIELDS})"
PARTIAL = "partial(event_id=event_id, delta=delta)"
SDK = f"Sdk(type='response.output_text.delta', {FIELDS}).model_dump_json()"


class Case(NamedTuple):
    """Two ways to the same end, and how the first should stand to the second."""

    name: str
    ours: str
    theirs: str
    wanted: str = ""
    calls: int = 20_000


CASES = [
    Case("context / Struct by keywords", CONTEXT, STRUCT, "≤ 1.5"),
    Case("a functools.partial / Struct by keywords", PARTIAL, STRUCT),
    Case("context + encode / Struct + encode", f"encode({CONTEXT})", f"encode({STRUCT})", "≤ 1.25"),
    Case("SDK's model + dump / context + encode", SDK, f"encode({CONTEXT})", "≥ 8", 2000),
    Case("new_event_id / a random one", "new_event_id()", "'event_' + token(10)"),
    Case("validate / decode an append, 8 kB", "validate(append)", "decode(append_frame)", "", 2000),
    Case("validate / decode a session.update", "validate(update)", "decode(update_frame)", "", 500),
]


def main() -> None:
    """Print the table, once both ways are seen to make the same event."""
    made = [json.loads(eval(way, NAMES)) for way in (f"encode({CONTEXT})", f"encode({STRUCT})", SDK)]
    assert all(event == made[0] for event in made), "the ways differ"
    print(f"{'this / that':44} median  (lowest, highest round)  wanted")
    for case in CASES:
        ours, theirs = (timeit.Timer(way, globals=NAMES) for way in (case.ours, case.theirs))
        print_row(case.name, side_by_side(ours, theirs, case.calls), case.wanted)


if __name__ == "__main__":
    main()
