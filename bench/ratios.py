"""What rtproto adds to msgspec: ratios to a bare decoder of the same union, round by round in one run.

Run it as ``python bench/ratios.py``. Absolute times on a shared machine say little; a ratio taken within
one round, and the median of many rounds, says more.
"""

import subprocess
import sys
import timeit
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import msgspec

import rtproto

ROUNDS = 41

DELTA = (
    b'{"type":"response.output_text.delta","event_id":"event_0a1b2c3d4e5f6g7h8i9j0","response_id":'
    b'"resp_0a1b2c3d4e5f6g7h8i9j0","item_id":"item_0a1b2c3d4e5f6g7h8i9j0","output_index":0,"content_index":0,'
    b'"delta":" there","obfuscation":"x7Kd02LmQp1"}'
)
UNKNOWN = DELTA.replace(b"output_text", b"output_clip")
SMALL_UNKNOWN = b'{"type":"response.clip.delta","event_id":"event_1","delta":"AAAA"}'
ITEM = (
    b'{"type":"conversation.item.done","event_id":"event_1","previous_item_id":null,"item":{"id":"item_1","type":'
    b'"message","status":"completed","role":"assistant","content":[{"type":"output_audio","transcript":"%s"},'
    b'{"type":"output_text","text":"Good day."}]}}' % (b"All is well. " * 58)
)
SESSION = (
    b'{"type":"session.updated","event_id":"event_1","session":{"type":"realtime","object":"realtime.session",'
    b'"id":"sess_1","model":"gpt-realtime","output_modalities":["audio"],"instructions":"Answer briefly.",'
    b'"tools":[{"type":"function","name":"get_weather","description":"Look it up.","parameters":{"type":'
    b'"object","properties":{"city":{"type":"string"}},"required":["city"]}}],"tool_choice":"auto",'
    b'"max_output_tokens":"inf","tracing":null,"truncation":"auto","prompt":null,"expires_at":1790726624,'
    b'"audio":{"input":{"format":'
    b'{"type":"audio/pcm","rate":24000},"transcription":{"model":"gpt-realtime-whisper","language":null,'
    b'"prompt":null},"noise_reduction":null,"turn_detection":{"type":"server_vad","threshold":0.5,'
    b'"prefix_padding_ms":300,"silence_duration_ms":200,"idle_timeout_ms":null,"create_response":true,'
    b'"interrupt_response":true}},"output":{"format":{"type":"audio/pcm","rate":24000},"voice":"marin","speed":1.0}},'
    b'"include":null}}'
)
EVENT = rtproto.decode_server(DELTA)
bare = msgspec.json.Decoder(rtproto.server.ServerEvent).decode


def both(decode: Callable[[Any], Any]) -> Callable[[tuple[bytes, bytes]], None]:
    """Decode two frames in turn: neither profits from its like before it."""

    def decode_both(frames: tuple[bytes, bytes]) -> None:
        first, second = frames
        decode(first)
        decode(second)

    return decode_both


class Case(NamedTuple):
    """One operation, and the peer it is measured against."""

    name: str
    call: Callable[[Any], Any]
    data: Any
    peer: Callable[[Any], Any]
    peer_data: Any
    at_most: float | None = None
    calls: int = 5_000


CASES = [
    Case("decode a small delta", rtproto.decode_server, DELTA, bare, DELTA, 1.35),
    Case("decode an unknown event, 66 B", rtproto.decode_server, SMALL_UNKNOWN, bare, DELTA, 4),
    Case("decode an unknown event, 252 B", rtproto.decode_server, UNKNOWN, bare, DELTA, 4),
    Case(
        "decode an unknown event and a delta in turn",
        both(rtproto.decode_server),
        (UNKNOWN, DELTA),
        both(bare),
        (DELTA, DELTA),
        4,
    ),
    Case(
        "decode 1 kB with an unknown part",
        rtproto.decode_server,
        ITEM.replace(b"output_text", b"output_clip"),
        bare,
        ITEM,
        20,
    ),
    Case(
        "decode 1 kB with an unknown turn detection",
        rtproto.decode_server,
        SESSION.replace(b"server_vad", b"server_ear"),
        bare,
        SESSION,
        20,
    ),
    Case("encode a small delta", rtproto.encode, EVENT, msgspec.json.Encoder().encode, EVENT, 1.35),
]


def ratios(case: Case) -> list[float]:
    """Our time by the peer's, round by round."""
    ours = timeit.Timer("call(data)", globals={"call": case.call, "data": case.data})
    theirs = timeit.Timer("call(data)", globals={"call": case.peer, "data": case.peer_data})
    return side_by_side(ours, theirs, case.calls)


def side_by_side(ours: timeit.Timer, theirs: timeit.Timer, calls: int) -> list[float]:
    """Our time by theirs, a round each, in alternating order."""
    found: list[float] = []
    for round_number in range(ROUNDS):
        pair = (ours, theirs) if round_number % 2 else (theirs, ours)
        times = {timer: timer.timeit(calls) for timer in pair}
        found.append(times[ours] / times[theirs])
    return found


def print_row(name: str, found: list[float], wanted: str) -> None:
    """The median of the rounds, with its spread."""
    spread = f"({min(found):.2f}, {max(found):.2f})"
    print(f"{name:44} {median(found):6.2f}  {spread:25} {wanted}")


def import_milliseconds() -> float:
    """What ``import rtproto`` takes beyond ``import msgspec``: the median of fresh interpreters."""
    code = "import msgspec, time; t = time.perf_counter(); import rtproto; print(time.perf_counter() - t)"
    runs = (subprocess.run([sys.executable, "-c", code], capture_output=True, check=True) for _ in range(9))  # noqa: S603
    return 1000 * median(float(run.stdout) for run in runs)


def main() -> None:
    """Print the table."""
    print(f"{'times a bare union decoder, or encoder':44} median  (lowest, highest round)  wanted")
    for case in CASES:
        print_row(case.name, ratios(case), f"≤ {case.at_most}")
    print(f"{'import rtproto after import msgspec':44} {import_milliseconds():6.1f} ms {'':22} ≤ 60 ms")


if __name__ == "__main__":
    main()
