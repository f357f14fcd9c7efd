"""What passing frames on costs: a probe, an edit, a turn to PCM and back, beside the same by other means."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pybase64

import rtproto
from bench.ratios import Ratio, Ratios
from rtproto import pcm
from rtproto.bench.peers import ADDRESS

__all__ = ["RATIOS"]

SIZES = (271, 2_800, 6_600, 32_000)
ID = "event_0a1b2c3d4e5f6g7h8i9j0"
CONTEXT = rtproto.ContentEventBuilder(**ADDRESS)
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
    "behind_id": audio_frame(271).replace(b"{", b'{"event_id":"%b",' % ID.encode(), 1),
    "data": {size: audio_frame(size) for size in SIZES},
    "frame": {size: rtproto.ServerFrame(audio_frame(size)) for size in SIZES},
}


def _rows() -> Iterator[Ratio]:
    yield Ratio("probe at 32 kB / at 271 B", "probe(data[32000])", "probe(data[271])", "≤ 1.3", alike=True)
    yield Ratio("probe behind an id / at the front", "probe(behind_id)", "probe(data[271])", alike=True)
    yield Ratio("a frame, made and probed / probe", "Frame(data[6600]).type", "probe(data[6600])", alike=True)
    for size in SIZES:
        data, is_large = f"data[{size}]", size == 32_000
        stdlib = f"base64.b64decode(json.loads({data})['delta'])"
        typed = f"pybase64.b64decode(decode({data}).delta, validate=True)"
        by_json = f"by_json({data}, 'event_2', 'event_id')"
        replaced = f"frame[{size}].replace(event_id='event_2').data"
        yield Ratio(
            f"{size} B: type-only decode / probe",
            f"type_only({data}).type",
            f"probe({data})",
            "≥ 15" * is_large,
            alike=True,
        )
        yield Ratio(
            f"{size} B: stdlib / frame to PCM", stdlib, f"payload({data})", "≥ 25" * is_large, alike=True
        )
        yield Ratio(
            f"{size} B: typed / frame to PCM", typed, f"payload({data})", "≥ 3" * is_large, alike=True
        )
        yield Ratio(
            f"{size} B: json / replace one field", by_json, replaced, "≥ 6" * (size == 6_600), alike=True
        )
    yield from _to_frames()
    for path in ("session.model", "session.audio.output", "session.audio.output.voice"):
        keys = path.split(".")
        yield Ratio(
            f"6600 B: json / set, {len(keys)} keys deep",
            f"by_json(session_data, 'x', *{keys})",
            f"session.set('{path}', 'x').data",
            "≥ 4",
            alike=True,
        )
    yield Ratio(
        "271 B: json / changed by the typed event",
        "by_json(data[271], '', 'delta')",
        "changed_by_event(data[271]).data",
        alike=True,
    )
    yield Ratio(
        "6600 B: json / get event_id",
        "json.loads(data[6600])['event_id']",
        "frame[6600].get('event_id')",
        alike=True,
    )


def _to_frames() -> Iterator[Ratio]:
    append, delta = "append(samples)", "context.output_audio_delta_frame(ID, samples)"
    yield Ratio(
        "24 kB: stdlib / PCM to append",
        "json.dumps({'type': 'input_audio_buffer.append', 'audio': base64.b64encode(samples).decode()})",
        append,
        "≥ 40",
        alike=True,
    )
    yield Ratio(
        "24 kB: Struct, encoded / PCM to append",
        "encode(Append(audio=pybase64.b64encode_as_string(samples)))",
        append,
        "≥ 6",
        alike=True,
    )
    yield Ratio(
        "24 kB: stdlib / PCM to delta",
        "json.dumps({'type': 'response.output_audio.delta', 'event_id': ID, "
        "'response_id': context.response_id, 'item_id': context.item_id, 'output_index': 0, "
        "'content_index': 0, 'delta': base64.b64encode(samples).decode()})",
        delta,
        "≥ 40",
        alike=True,
    )
    yield Ratio(
        "24 kB: context, encoded / PCM to delta",
        "encode(context.output_audio_delta(ID, pybase64.b64encode_as_string(samples)))",
        delta,
        "≥ 6",
        alike=True,
    )


RATIOS = Ratios("passing frames on: this / that", NAMES, [*_rows()])
"""What it costs."""
