"""Why the code is as it is: what other ways of doing it cost, as ratios to a bare decoder of the same union.

Run it as ``python bench/choices.py``. CONTRIBUTING, "Speed", tells what was made of these figures.
"""

from collections.abc import Callable
from statistics import median
from typing import Any

import msgspec
from ratios import DELTA, EVENT, UNKNOWN, Case, bare, both, ratios

import rtproto


class Envelope(msgspec.Struct, gc=False):
    """The least that tells an event's type."""

    type: str


class Method:
    """A decoder as one would write it first."""

    __slots__ = ("_decode",)

    def __init__(self) -> None:
        self._decode = bare

    def decode(self, data: bytes, *, strict: bool = False) -> Any:
        """Decode, and look again if that fails."""
        try:
            return self._decode(data)
        except msgspec.DecodeError:
            return strict


def closures(decode: Callable[[bytes], Any]) -> tuple[Callable[[bytes], Any], Callable[[bytes], Any]]:
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


def up_to_the_quote(data: bytes) -> bytes:
    """The type of an event that begins with it."""
    return data[9 : data.index(b'"', 9)]


def wrapped_encode(event: Any) -> bytes:
    """A ``def`` around the encoder."""
    return encoder.encode(event)


class Named:
    """A wire name as a property."""

    @property
    def type(self) -> str:
        """The wire name."""
        return str(rtproto.server.ResponseOutputTextDelta.__struct_config__.tag)


def type_of(event: Any) -> str:
    """Read the wire name."""
    return str(event.type)


encoder = msgspec.json.Encoder()
keyword_only, plain_default = closures(bare)
envelope = msgspec.json.Decoder(Envelope).decode
HEAD = b'{"type":"conversation.item.added","event_id":"e","item":{"type":"message","role":"user","content":['
PARTS = HEAD + b",".join([b'{"type":"input_text","text":"a"}'] * 90) + b"]}}"
HOLES = HEAD + b",".join([b"{}"] * 990) + b"]}}"


def case(name: str, call: Callable[[Any], Any], data: Any, peer: Callable[[Any], Any] = bare) -> Case:
    """One way of doing it, beside a small delta's decode, or another peer on the same data."""
    return Case(name, call, data, peer, DELTA if peer is bare else data)


CHOICES = [
    case("refuse an unknown event, nothing more", plain_default, UNKNOWN),
    case("read the type: a Struct with one field", envelope, DELTA),
    case("read the type: a slice up to the quote", up_to_the_quote, DELTA),
    case("decode by a method", Method().decode, DELTA),
    case("decode by a closure, strict keyword-only", keyword_only, DELTA),
    case("decode by a closure, strict a plain default", plain_default, DELTA),
    case("read .type by a property", type_of, Named()),
    case("read .type as it is", type_of, EVENT),
    case("encode through a def, beside none", wrapped_encode, EVENT, encoder.encode),
    Case("3 kB of {}, beside 3 kB of typed parts", rtproto.decode_server, HOLES, bare, PARTS, calls=50),
]


def main() -> None:
    """Print the table."""
    for choice in CHOICES:
        print(f"{choice.name:46} {median(ratios(choice)):7.2f}")
    known = median(ratios(case("", rtproto.decode_server, DELTA)))
    pair = Case("", both(rtproto.decode_server), (UNKNOWN, DELTA), both(bare), (DELTA, DELTA))
    print(f"{'decode a lone unknown event (a pair less a delta)':46} {2 * median(ratios(pair)) - known:7.2f}")


if __name__ == "__main__":
    main()
