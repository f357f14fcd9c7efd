"""What rtproto adds to msgspec: decoding and encoding beside a bare decoder of the same union."""

import msgspec

import rtproto
from bench.ratios import Ratio, Ratios
from rtproto.bench.cases import built_in

__all__ = ["NAMES", "RATIOS"]

_CASES = {name: case.frames[0] for name, case in built_in().items()}
_DELTA, _SESSION = _CASES["small delta"], _CASES["session.created"]
_ITEM = (
    b'{"type":"conversation.item.done","event_id":"event_1","previous_item_id":null,"item":{"id":"item_1","type":'
    b'"message","status":"completed","role":"assistant","content":[{"type":"output_audio","transcript":"%s"},'
    b'{"type":"output_text","text":"Good day."}]}}' % (b"All is well. " * 58)
)

NAMES = {
    "bare": msgspec.json.Decoder(rtproto.server.ServerEvent).decode,
    "bare_encode": msgspec.json.Encoder().encode,
    "decode": rtproto.decode_server,
    "encode": rtproto.encode,
    "delta": _DELTA,
    "event": rtproto.decode_server(_DELTA),
    "unknown": _CASES["unknown event"],
    "small_unknown": b'{"type":"response.clip.delta","event_id":"event_1","delta":"AAAA"}',
    "item": _ITEM,
    "item_with_unknown": _ITEM.replace(b"output_text", b"output_clip"),
    "session": _SESSION,
    "session_with_unknown": _SESSION.replace(b"server_vad", b"server_ear"),
}
"""What the statements use; ``choices`` too."""

RATIOS = Ratios(
    "times a bare union decoder, or encoder",
    NAMES,
    [
        Ratio("decode a small delta", "decode(delta)", "bare(delta)", "≤ 1.35", alike=True),
        Ratio("decode an unknown event, 66 B", "decode(small_unknown)", "bare(delta)", "≤ 4"),
        Ratio("decode an unknown event, 236 B", "decode(unknown)", "bare(delta)", "≤ 4"),
        Ratio(
            "decode an unknown event and a delta in turn",
            "decode(unknown); decode(delta)",
            "bare(delta); bare(delta)",
            "≤ 4",
        ),
        Ratio("decode 1 kB with an unknown part", "decode(item_with_unknown)", "bare(item)", "≤ 20"),
        Ratio(
            "decode 1 kB with an unknown turn detection",
            "decode(session_with_unknown)",
            "bare(session)",
            "≤ 20",
        ),
        Ratio("encode a small delta", "encode(event)", "bare_encode(event)", "≤ 1.35", alike=True),
    ],
)
"""What the code costs."""
