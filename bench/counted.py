"""What is counted is a statement, of the names here and no others."""

from typing import Any

import msgspec

import rtproto
from rtproto import pcm
from rtproto.bench.cases import built_in
from rtproto.bench.peers import ADDRESS

__all__ = ["BUDGETED", "NAMES"]

_CASES = built_in()
_SIZES = [1000 * 2**power for power in range(10)]


def _first(case: str) -> bytes:
    return _CASES[case].frames[0]


_DELTA = _first("small delta")
_SESSION = _first("session.created")
_CONTEXT = rtproto.ContentEventBuilder(**ADDRESS)
_AUDIO = {size: _CONTEXT.output_audio_delta_frame("event_1", bytes(size)) for size in _SIZES}
_EVENT = rtproto.decode_server(_DELTA, strict=True)

NAMES: dict[str, Any] = {
    **{name: getattr(rtproto, name) for name in rtproto.__all__ if name[0].islower()},
    "append_frame": pcm.append_frame,
    "payload": pcm.payload,
    "payload_size": pcm.payload_size,
    "ServerFrame": rtproto.ServerFrame,
    "user": rtproto.items.user,
    "context": _CONTEXT,
    "buffer": bytearray(),
    "samples": bytes(24_000),
    "event_id": "event_0a1b2c3d4e5f6g7h8i9j0",
    "small_delta": _DELTA,
    "small_delta_text": _DELTA.decode(),
    "transcript_delta": _first("transcript delta"),
    "audio_delta_6kB": _first("audio delta 6.6 kB"),
    "session_created": _SESSION,
    "response_done": _first("response.done"),
    "rate_limits_updated": _first("rate_limits.updated"),
    "unknown": _first("unknown event"),
    "error": b'{"type":"error","event_id":"event_1","error":{"type":"server_error","message":""}}',
    "transcript_done": _DELTA.replace(b"output_text.delta", b"output_audio_transcript.done"),
    "malformed": _first("malformed event"),
    "with_unknown_kind": _SESSION.replace(b"server_vad", b"server_ear"),
    "behind_id": _DELTA.replace(b"{", b'{"event_id":"event_1",', 1),
    "append_6kB": _first("append 6.5 kB"),
    "audio_delta": _AUDIO,
    "audio_delta_text": {size: frame.decode() for size, frame in _AUDIO.items()},
    "session": _CASES["a session"].frames * 16,
    "event": _EVENT,
    "changed": msgspec.structs.replace(_EVENT, delta=" changed"),
    "session_event": rtproto.decode_server(_SESSION, strict=True),
    "frame_small": rtproto.ServerFrame(_DELTA),
    "frame_6kB": rtproto.ServerFrame(_first("audio delta 6.6 kB")),
    "session_frame": rtproto.ServerFrame(_SESSION),
    "update": rtproto.client.SessionUpdate(
        session=rtproto.types.SessionCreateRequest(instructions="Be brief.")
    ),
}
"""The names that a statement may use."""

BUDGETED = (
    "decode_server(small_delta)",
    "decode_server(small_delta_text)",
    "decode_server(transcript_delta)",
    "decode_server(audio_delta_6kB)",
    "decode_server(session_created)",
    "decode_server(response_done)",
    "decode_server(rate_limits_updated)",
    "decode_server(unknown)",
    "decode_server(unknown); decode_server(small_delta)",
    "decode_server(malformed)",
    "decode_server(with_unknown_kind)",
    "decode_client(append_6kB)",
    "encode(event)",
    "encode(session_event)",
    "encode_into(event, buffer)",
    "new_event_id()",
    "user('Good day.')",
    "validate(update)",
    "context.output_text_delta(event_id, 'Hi')",
    "context.output_text_delta_frame(event_id, 'Hi')",
    "context.output_audio_delta_frame(event_id, samples)",
    "append_frame(samples)",
    "payload(audio_delta_6kB)",
    "payload_size(audio_delta_6kB)",
    "probe_type(small_delta)",
    "probe_type(small_delta_text)",
    "probe_type(error)",
    "probe_type(transcript_done)",
    "probe_type(unknown)",
    "probe_type(behind_id)",
    "ServerFrame(small_delta).type",
    "frame_6kB.get('event_id')",
    "frame_6kB.replace(event_id='event_2')",
    "session_frame.set('session.model', 'gpt-realtime')",
    "session_frame.remove('session.audio.input.turn_detection')",
    "frame_small.with_event(changed)",
)
"""The statements that have a budget."""
