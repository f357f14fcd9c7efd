"""What it costs to pass frames on: to probe, to read and edit one, to turn audio into frames and back.

Run it as ``python bench/frames.py``. Each row is a ratio taken round by round within one run; both sides of a
row are first seen to give the same.
"""

import base64
import json
import timeit
import tracemalloc
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pybase64
from ratios import print_row, side_by_side

import rtproto
from rtproto import pcm

SIZES = (271, 2_800, 6_600, 32_000)
ID = "event_0a1b2c3d4e5f6g7h8i9j0"
CONTEXT = rtproto.ContentEventBuilder("resp_0a1b2c3d4e5f6g7h8i9j0", "item_0a1b2c3d4e5f6g7h8i9j0", 0, 0)
SAMPLES = bytes(range(250)) * 96


def audio_frame(size: int) -> bytes:
    """A ``response.output_audio.delta`` of about so many bytes."""
    bare = len(CONTEXT.output_audio_delta_frame(ID, b""))
    return CONTEXT.output_audio_delta_frame(ID, SAMPLES[: (size - bare) * 3 // 4])


def session_frame(size: int) -> bytes:
    """A ``session.update`` of about so many bytes, most of them instructions."""
    pcm_24 = {"type": "audio/pcm", "rate": 24_000}
    session = {
        "type": "realtime",
        "model": "gpt-realtime",
        "instructions": "Answer briefly. " * ((size - 360) // 16),
        "audio": {
            "input": {"format": pcm_24, "noise_reduction": None, "turn_detection": {"type": "server_vad"}},
            "output": {"format": pcm_24, "voice": "marin", "speed": 1.0},
        },
    }
    return msgspec.json.encode({"type": "session.update", "event_id": ID, "session": session})


def by_json(data: bytes, value: object, *path: str) -> str:
    """Edit a frame as one does without this library."""
    event = place = json.loads(data)
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(event)


def changed_by_event(data: bytes) -> rtproto.ServerFrame:
    """Edit a frame by its typed event, carrying over what that does not know."""
    frame = rtproto.ServerFrame(data)
    event = frame.event
    assert isinstance(event, rtproto.server.ResponseOutputAudioDelta)
    return frame.with_event(msgspec.structs.replace(event, delta=""))


class TypeOnly(msgspec.Struct):
    """All that a type-only decode looks for."""

    type: str


NAMES: dict[str, Any] = {
    "base64": base64,
    "by_json": by_json,
    "changed_by_event": changed_by_event,
    "context": CONTEXT,
    "decode": rtproto.decode_server,
    "encode": rtproto.encode,
    "Frame": rtproto.ServerFrame,
    "ID": ID,
    "item": rtproto.ItemEventBuilder(CONTEXT.response_id, CONTEXT.item_id, 0),
    "json": json,
    "payload": pcm.payload,
    "append": pcm.append_frame,
    "Append": rtproto.client.InputAudioBufferAppend,
    "probe": rtproto.probe_type,
    "pybase64": pybase64,
    "samples": SAMPLES,
    "type_only": msgspec.json.Decoder(TypeOnly).decode,
    "session_data": session_frame(6_600),
    "session": rtproto.ClientFrame(session_frame(6_600)),
    "text": " there",
    "data_behind_id": audio_frame(271).replace(b"{", b'{"event_id":"%b",' % ID.encode(), 1),
    **{f"data_{size}": audio_frame(size) for size in SIZES},
    **{f"frame_{size}": rtproto.ServerFrame(audio_frame(size)) for size in SIZES},
}


class Case(NamedTuple):
    """Two ways to the same end, and how the first should stand to the second."""

    name: str
    theirs: str
    ours: str
    wanted: str = ""


def cases() -> Iterator[Case]:
    """Every row of the table: what the first way costs, by the second."""
    yield Case("probe at 32 kB / at 271 B", "probe(data_32000)", "probe(data_271)", "≤ 1.3")
    for size in SIZES:
        wanted = "≥ 15" if size == 32_000 else ""
        yield Case(
            f"{size} B: type-only decode / probe",
            f"type_only(data_{size}).type",
            f"probe(data_{size})",
            wanted,
        )
    for size in SIZES:
        stdlib = f"base64.b64decode(json.loads(data_{size})['delta'])"
        typed = f"pybase64.b64decode(decode(data_{size}).delta, validate=True)"
        large = size == 32_000
        yield Case(
            f"{size} B: stdlib / frame to PCM", stdlib, f"payload(data_{size})", "≥ 25" if large else ""
        )
        yield Case(f"{size} B: typed / frame to PCM", typed, f"payload(data_{size})", "≥ 3" if large else "")
    yield Case(
        "24 kB: stdlib / PCM to append",
        "json.dumps({'type': 'input_audio_buffer.append', 'audio': base64.b64encode(samples).decode()})",
        "append(samples)",
        "≥ 40",
    )
    yield Case(
        "24 kB: Struct, encoded / PCM to append",
        "encode(Append(audio=pybase64.b64encode_as_string(samples)))",
        "append(samples)",
        "≥ 6",
    )
    yield Case(
        "24 kB: stdlib / PCM to delta",
        "json.dumps({'type': 'response.output_audio.delta', 'event_id': ID, "
        "'response_id': context.response_id, 'item_id': context.item_id, 'output_index': 0, "
        "'content_index': 0, 'delta': base64.b64encode(samples).decode()})",
        "context.output_audio_delta_frame(ID, samples)",
        "≥ 40",
    )
    yield Case(
        "24 kB: context, encoded / PCM to delta",
        "encode(context.output_audio_delta(ID, pybase64.b64encode_as_string(samples)))",
        "context.output_audio_delta_frame(ID, samples)",
        "≥ 6",
    )
    yield Case(
        "context, encoded / text to delta",
        "encode(context.output_text_delta(ID, text))",
        "context.output_text_delta_frame(ID, text)",
    )
    yield Case(
        "context, encoded / arguments to delta",
        "encode(item.function_call_arguments_delta(ID, ID, text))",
        "item.function_call_arguments_delta_frame(ID, ID, text)",
    )
    for size in SIZES:
        yield Case(
            f"{size} B: json / replace one field",
            f"by_json(data_{size}, 'event_2', 'event_id')",
            f"frame_{size}.replace(event_id='event_2').data",
            "≥ 6" if size == 6_600 else "",
        )
    for path in ("session.model", "session.audio.output", "session.audio.output.voice"):
        keys = path.split(".")
        yield Case(
            f"6600 B: json / set, {len(keys)} keys deep",
            f"by_json(session_data, 'x', *{keys})",
            f"session.set('{path}', 'x').data",
            "≥ 4" if len(keys) < 4 else "",
        )
    yield Case(
        "271 B: json / changed by the typed event",
        "by_json(data_271, '', 'delta')",
        "changed_by_event(data_271).data",
    )
    yield Case(
        "6600 B: json / get event_id", "json.loads(data_6600)['event_id']", "frame_6600.get('event_id')"
    )
    yield Case(
        "6600 B: set one field / replace it",
        "frame_6600.set('event_id', 'event_2').data",
        "frame_6600.replace(event_id='event_2').data",
    )
    yield Case("probe behind an id / at the front", "probe(data_behind_id)", "probe(data_271)")
    yield Case("a frame, made and probed / probe", "Frame(data_6600).type", "probe(data_6600)")


def is_same(theirs: Any, ours: Any) -> bool:
    """Whether two ways gave the same, as JSON if it is JSON."""
    if isinstance(theirs, str | bytes) and theirs[:1] in ("{", b"{"):
        return bool(json.loads(theirs) == json.loads(ours))
    return bool(theirs == ours)


def bytes_per_frame(count: int = 10_000) -> float:
    """What a frame that was only probed holds beyond its data."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    frames = [rtproto.ServerFrame(NAMES["data_271"]) for _ in range(count)]
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return held / len(frames)


def main() -> None:
    """Print the table."""
    print(f"{'this / that':44} median  (lowest, highest round)  wanted")
    for case in cases():
        assert is_same(eval(case.theirs, NAMES), eval(case.ours, NAMES)), case.name
        theirs, ours = (timeit.Timer(way, globals=NAMES) for way in (case.theirs, case.ours))
        print_row(case.name, side_by_side(theirs, ours, 500), case.wanted)
    print(f"{'a frame that was only probed, beyond its data':44} {bytes_per_frame():6.0f} B {'':23} ≤ 120 B")


if __name__ == "__main__":
    main()
