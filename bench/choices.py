"""Why the code is as it is: what other ways of doing it would cost, beside a bare decode of a small delta."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import msgspec

import rtproto
from bench.decoding import NAMES
from bench.ratios import Ratio, Ratios

__all__ = ["RATIOS"]

_bare: Callable[[bytes], Any] = NAMES["bare"]
_encoder = msgspec.json.Encoder()


class _Envelope(msgspec.Struct, gc=False):
    """The least that tells an event's type."""

    type: str


class _Method:
    """A decoder as one would write it first."""

    __slots__ = ("_decode",)

    def __init__(self) -> None:
        self._decode = _bare

    def decode(self, data: bytes, *, strict: bool = False) -> Any:
        """Decode, and look again if that fails."""
        try:
            return self._decode(data)
        except msgspec.DecodeError:
            return strict


def _closures(decode: Callable[[bytes], Any]) -> tuple[Callable[[bytes], Any], Callable[[bytes], Any]]:
    """The same as closures: with the signature that checkers see, and with the one that is called fastest."""

    def keyword_only(data: bytes, *, strict: bool = False) -> Any:
        try:
            return decode(data)
        except msgspec.DecodeError:
            return strict

    def plain_default(data: bytes, strict: bool = False) -> Any:
        try:
            return decode(data)
        except msgspec.DecodeError:
            return strict

    return keyword_only, plain_default


def _wrapped_encode(event: Any) -> bytes:
    """A ``def`` around the encoder."""
    return _encoder.encode(event)


class _Named:
    """A wire name as a property."""

    @property
    def type(self) -> str:
        """The wire name."""
        return str(rtproto.server.ResponseOutputTextDelta.__struct_config__.tag)


def _type_of(event: Any) -> str:
    """Read the wire name."""
    return str(event.type)


def _up_to_a_quote(data: bytes) -> str | None:
    """A probe that looks for the end of the name."""
    begin = 9 if data[:9] == b'{"type":"' else 0
    name, quote, _ = data[begin:75].partition(b'"')
    return _WIRE_NAMES.get(name) if begin and quote else None


class _Slim(msgspec.Struct, frozen=True):
    """A context without a dictionary of its own."""

    item_id: str

    def event(self) -> str:
        """The least that a method does."""
        return self.item_id


class _Wide(msgspec.Struct, frozen=True, dict=True):
    """The same, with one."""

    item_id: str

    @cached_property
    def address(self) -> str:
        """What it keeps there."""
        return self.item_id

    def event(self) -> str:
        """The least that a method does."""
        return self.item_id


_WIRE_NAMES = {name.encode(): name for name in rtproto.server_codec.types}
_wide = _Wide("item_1")
assert _wide.address
_HEAD = b'{"type":"conversation.item.added","event_id":"e","item":{"type":"message","role":"user","content":['
_keyword_only, _plain_default = _closures(_bare)
_NAMES = {
    **NAMES,
    "envelope": msgspec.json.Decoder(_Envelope).decode,
    "method": _Method().decode,
    "keyword_only": _keyword_only,
    "plain_default": _plain_default,
    "type_of": _type_of,
    "named": _Named(),
    "wrapped_encode": _wrapped_encode,
    "probe": rtproto.probe_type,
    "up_to_a_quote": _up_to_a_quote,
    "slim": _Slim("item_1"),
    "wide": _wide,
    "bare_encode": _encoder.encode,
    "parts": _HEAD + b",".join([b'{"type":"input_text","text":"a"}'] * 90) + b"]}}",
    "holes": _HEAD + b",".join([b"{}"] * 990) + b"]}}",
}

RATIOS = Ratios(
    "times a bare decode of a small delta",
    _NAMES,
    [
        Ratio("refuse an unknown event, nothing more", "plain_default(unknown)", "bare(delta)"),
        Ratio("read the type: a Struct with one field", "envelope(delta)", "bare(delta)"),
        Ratio("read the type: a slice up to the quote", "delta[9 : delta.index(b'\"', 9)]", "bare(delta)"),
        Ratio("decode by a method", "method(delta)", "bare(delta)", alike=True),
        Ratio("decode by a closure, strict keyword-only", "keyword_only(delta)", "bare(delta)", alike=True),
        Ratio(
            "decode by a closure, strict a plain default", "plain_default(delta)", "bare(delta)", alike=True
        ),
        Ratio("read .type by a property", "type_of(named)", "bare(delta)"),
        Ratio("read .type as it is", "type_of(event)", "bare(delta)"),
        Ratio(
            "probe by looking for the quote / as it is", "up_to_a_quote(delta)", "probe(delta)", alike=True
        ),
        Ratio("a method beside a used dictionary / none", "wide.event()", "slim.event()", alike=True),
        Ratio("encode through a def, beside none", "wrapped_encode(event)", "bare_encode(event)", alike=True),
        Ratio("3 kB of {}, beside 3 kB of typed parts", "decode(holes)", "bare(parts)"),
    ],
)
"""What was not chosen, and what was."""
