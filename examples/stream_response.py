"""Streams one spoken response as a realtime server does, one event a line, in the service's order.

See what it holds with ``python examples/stream_response.py | rtproto inspect -``.
"""

import math
import sys
from array import array
from collections.abc import Iterator

import pybase64

import rtproto
from rtproto import items, server, types
from rtproto import new_event_id as new_id

RATE = 24_000
WORDS = ("It", " is", " four", " degrees", " in", " Oslo.")
USAGE = types.Usage(
    total_tokens=98,
    input_tokens=70,
    output_tokens=28,
    input_token_details=types.InputTokenDetails(text_tokens=70, audio_tokens=0, cached_tokens=0),
    output_token_details=types.OutputTokenDetails(text_tokens=10, audio_tokens=18),
)


def tone(milliseconds: int) -> str:
    """A soft tone, as base64 of 16-bit mono PCM; it stands for speech."""
    samples = (math.sin(2 * math.pi * 220 * n / RATE) for n in range(RATE * milliseconds // 1000))
    pcm = array("h", (round(8000 * sample) for sample in samples))
    if sys.byteorder == "big":
        pcm.byteswap()
    return pybase64.b64encode_as_string(pcm.tobytes())


def respond(response_id: str, item_id: str) -> Iterator[server.ServerEvent]:
    """Every event of one response. Three contexts hold the addresses; only what is new is said."""
    in_response = rtproto.ResponseEventBuilder(response_id)
    in_item = in_response.for_item(item_id, output_index=0)
    in_part = in_item.for_content(content_index=0)
    response = rtproto.ResponseBuilder(response_id).output_modalities(["audio"]).status_details(None)
    begun = items.assistant(id=item_id, status="in_progress")
    transcript = "".join(WORDS)
    done = items.assistant(items.output_audio(transcript), id=item_id, status="completed")

    yield server.ResponseCreated(event_id=new_id(), response=response.output([]).usage(None).build())
    yield in_item.output_item_added(new_id(), begun)
    yield server.ConversationItemAdded(event_id=new_id(), previous_item_id=None, item=begun)
    yield in_part.content_part_added(new_id(), items.audio_part(""))
    for word in WORDS:
        yield in_part.output_audio_transcript_delta(new_id(), word)
        yield in_part.output_audio_delta(new_id(), tone(200))
    yield in_part.output_audio_done(new_id())
    yield in_part.output_audio_transcript_done(new_id(), transcript)
    yield in_part.content_part_done(new_id(), items.audio_part(transcript))
    yield server.ConversationItemDone(event_id=new_id(), previous_item_id=None, item=done)
    yield in_item.output_item_done(new_id(), done)
    response = response.status("completed").add_output(done).usage(USAGE)
    yield server.ResponseDone(event_id=new_id(), response=response.build())


def main() -> None:
    """Write the events to standard output."""
    for event in respond("resp_1", "item_1"):
        sys.stdout.buffer.write(rtproto.encode(event) + b"\n")


if __name__ == "__main__":
    main()
