"""What is measured is done to frames; the built-in ones are written in the shape of the service's."""

import base64
import json
from itertools import chain, cycle, islice
from typing import Any, NamedTuple

from rtproto.bench.peers import ADDRESS

__all__ = ["Case", "built_in"]

_COPIES = 100


class Case(NamedTuple):
    """Frames that the same is done to."""

    name: str
    """What a table calls them."""
    frames: tuple[bytes, ...]
    """In order; each with an id of its own."""

    @property
    def mean_bytes(self) -> int:
        """The size of one, on average."""
        return round(sum(map(len, self.frames)) / max(1, len(self.frames)))


# The built-in frames --------------------------------------------------------------------------

_FORMAT = {"type": "audio/pcm", "rate": 24000}
_WORDS = "It is going to be a clear and mild day with some wind from the west".split()  # noqa: SIM905 - words
_RESPONSE_ID, _ITEM_ID = ADDRESS["response_id"], ADDRESS["item_id"]
_SESSION = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_0a1b2c3d4e5f6g7h8i9j0",
    "model": "gpt-realtime",
    "output_modalities": ["audio"],
    "instructions": "You are the front desk of a small hotel. Be warm, and brief. Never promise a room.",
    "tools": [
        {
            "type": "function",
            "name": "find_rooms",
            "description": "The rooms that are free in a night.",
            "parameters": {
                "type": "object",
                "properties": {"night": {"type": "string"}},
                "required": ["night"],
            },
        }
    ],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "tracing": None,
    "truncation": "auto",
    "prompt": None,
    "expires_at": 1790726624,
    "audio": {
        "input": {
            "format": _FORMAT,
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 200,
                "idle_timeout_ms": None,
                "create_response": True,
                "interrupt_response": True,
            },
        },
        "output": {"format": _FORMAT, "voice": "marin", "speed": 1.0},
    },
    "include": None,
}
_TRANSCRIPT = "We have two rooms that night, one of them to the garden. Shall I hold it for you until six?"
_MESSAGE = {
    "id": _ITEM_ID,
    "object": "realtime.item",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_audio", "transcript": _TRANSCRIPT}],
}
_USAGE = {
    "total_tokens": 331,
    "input_tokens": 143,
    "output_tokens": 188,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 24,
        "image_tokens": 0,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 43, "audio_tokens": 145},
}
_RESPONSE = {
    "object": "realtime.response",
    "id": _RESPONSE_ID,
    "status": "completed",
    "status_details": None,
    "output": [_MESSAGE],
    "conversation_id": "conv_0a1b2c3d4e5f6g7h8i9j0",
    "output_modalities": ["audio"],
    "max_output_tokens": "inf",
    "audio": {"output": {"format": _FORMAT, "voice": "marin"}},
    "usage": _USAGE,
    "metadata": None,
}
_LIMITS = [
    {"name": "tokens", "limit": 250000, "remaining": 249668, "reset_seconds": 0.08},
    {"name": "requests", "limit": 5000, "remaining": 4999, "reset_seconds": 12.0},
]
_EMPTY = {**_RESPONSE, "status": "in_progress", "output": [], "usage": None}


def _frame(number: int, type: str, **fields: Any) -> bytes:
    event = {"type": type, "event_id": f"event_{number:021}", **fields}
    return json.dumps(event, separators=(",", ":")).encode()


def _copies(type: str, **fields: Any) -> tuple[bytes, ...]:
    return tuple(_frame(number, type, **fields) for number in range(_COPIES))


def _deltas(type: str) -> tuple[bytes, ...]:
    return tuple(
        _frame(number, type, **ADDRESS, delta=f" {word}", obfuscation=f"{number:09}")
        for number, word in enumerate(islice(cycle(_WORDS), _COPIES))
    )


def _audio(kilobytes: float, count: int) -> tuple[bytes, ...]:
    bare = len(_frame(0, "response.output_audio.delta", **ADDRESS, delta=""))
    samples = round((1000 * kilobytes - bare) * 3 / 4) // 6 * 6
    return tuple(
        _frame(
            number,
            "response.output_audio.delta",
            **ADDRESS,
            delta=_base64(samples, number),
        )
        for number in range(count)
    )


def _id_first(frame: bytes) -> bytes:
    """As Azure Voice Live writes it."""
    event = json.loads(frame)
    return json.dumps({"event_id": event.pop("event_id"), **event}, separators=(",", ":")).encode()


def _audio_not_last(frame: bytes) -> bytes:
    """As xAI writes it."""
    event = json.loads(frame)
    return json.dumps(
        {"type": event["type"], "delta": event["delta"], **event}, separators=(",", ":")
    ).encode()


def _appends(size: int, count: int) -> tuple[bytes, ...]:
    return tuple(
        _frame(number, "input_audio_buffer.append", audio=_base64(size, number)) for number in range(count)
    )


def _base64(size: int, number: int) -> str:
    """Some audio, another for each number."""
    return base64.b64encode(bytes((7 * step + 31 * number) % 251 for step in range(size))).decode()


def _session() -> tuple[bytes, ...]:
    """A spoken turn: what a server sends, in the order that it does."""
    part = {"type": "audio", "transcript": ""}
    begun = {**_MESSAGE, "status": "in_progress", "content": []}
    speech = (_audio(6.6, 10), _deltas("response.output_audio_transcript.delta"))
    return (
        _frame(1, "session.created", session=_SESSION),
        _frame(2, "session.updated", session=_SESSION),
        _frame(3, "input_audio_buffer.speech_started", audio_start_ms=640, item_id="item_user"),
        _frame(4, "input_audio_buffer.speech_stopped", audio_end_ms=2880, item_id="item_user"),
        _frame(5, "input_audio_buffer.committed", previous_item_id=None, item_id="item_user"),
        _frame(6, "response.created", response=_EMPTY),
        _frame(7, "response.output_item.added", response_id=_RESPONSE_ID, output_index=0, item=begun),
        _frame(8, "conversation.item.added", previous_item_id="item_user", item=begun),
        _frame(9, "response.content_part.added", **ADDRESS, part=part),
        *(frame for frames in zip(*speech, strict=False) for frame in frames),
        _frame(10, "response.output_audio.done", **ADDRESS),
        _frame(11, "response.output_audio_transcript.done", **ADDRESS, transcript=_TRANSCRIPT),
        _frame(12, "response.content_part.done", **ADDRESS, part={**part, "transcript": _TRANSCRIPT}),
        _frame(13, "response.output_item.done", response_id=_RESPONSE_ID, output_index=0, item=_MESSAGE),
        _frame(14, "response.done", response=_RESPONSE),
        _frame(15, "rate_limits.updated", rate_limits=_LIMITS),
    )


def built_in() -> dict[str, Case]:
    """The built-in cases by name."""
    bad = {**ADDRESS, "output_index": "first", "delta": " word"}
    deltas, unknown = _deltas("response.output_text.delta"), _deltas("response.output_clip.delta")
    found = [
        Case("small delta", deltas),
        Case("a word", deltas),
        Case("transcript delta", _deltas("response.output_audio_transcript.delta")),
        Case("audio delta 2.8 kB", _audio(2.8, 8)),
        Case("audio delta 6.6 kB", _audio(6.6, 8)),
        Case("audio delta 32 kB", _audio(32, 4)),
        Case("session.created", _copies("session.created", session=_SESSION)),
        Case("response.done", _copies("response.done", response=_RESPONSE)),
        Case("rate_limits.updated", _copies("rate_limits.updated", rate_limits=_LIMITS)),
        Case("unknown event", unknown),
        Case("unknown and known in turn", tuple(chain(*zip(unknown, deltas, strict=True)))),
        Case("small delta, its id first", tuple(map(_id_first, deltas))),
        Case("audio delta 6.6 kB, audio not last", tuple(map(_audio_not_last, _audio(6.6, 8)))),
        Case("malformed event", _copies("response.output_text.delta", **bad)),
        Case("a session", _session()),
        Case("append 6.5 kB", _appends(4800, 8)),
        Case("append 32 kB", _appends(24000, 4)),
    ]
    return {case.name: case for case in found}
