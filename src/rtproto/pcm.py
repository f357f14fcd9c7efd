"""Audio goes between PCM and frame by slices: no JSON scan of the payload, and never a sample less.

Out::

    pcm.append_frame(samples)                   # input_audio_buffer.append; in a loop, an Appender
    context.output_audio_delta_frame(event_id, samples)     # response.output_audio.delta; see builders

In: :func:`payload` gives the decoded audio of a frame, :func:`payload_base64` a view of it as it stands,
:func:`payload_size` its length. *Samples* means audio bytes in the session's format: 16-bit little-endian
PCM, mono, or a byte per sample of G.711, which :mod:`rtproto.g711` makes PCM of.
"""

import binascii
import sys
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import pybase64
from msgspec import UNSET

from rtproto._encode import to_json
from rtproto._envelope import Data, probe_type
from rtproto._members import read_members
from rtproto._salvage import Misfit
from rtproto._struct import Event, Maybe
from rtproto.errors import InvalidEvent, NoSuchPath
from rtproto.events import client, server, translation
from rtproto.frame import Frame
from rtproto.types.audio import AudioFormat, AudioPcm, AudioPcma, AudioPcmu
from rtproto.unknown import Unknown

if TYPE_CHECKING:
    from typing_extensions import Buffer
else:
    Buffer = bytes | bytearray | memoryview
    """Anything that lends contiguous memory: ``bytes``, ``memoryview``, ``array.array``, a NumPy array …"""

__all__ = [
    "FIELDS",
    "MAX_APPEND_BYTES",
    "AppendEvent",
    "Appender",
    "AudioEvent",
    "Buffer",
    "Format",
    "Source",
    "append_frame",
    "bytes_per_second",
    "chunks",
    "milliseconds",
    "payload",
    "payload_base64",
    "payload_size",
]

MAX_APPEND_BYTES: Final = 15 * 2**20
"""The most audio that the service takes in one append, in bytes before base64: 15 MiB (API reference)."""

AppendEvent: TypeAlias = client.InputAudioBufferAppend | translation.SessionInputAudioBufferAppend
"""The events that carry a user's audio, one in each dialect."""
AudioEvent: TypeAlias = AppendEvent | server.ResponseOutputAudioDelta | translation.SessionOutputAudioDelta
"""The events that carry audio."""

FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        client.InputAudioBufferAppend.type: "audio",
        translation.SessionInputAudioBufferAppend.type: "audio",
        server.ResponseOutputAudioDelta.type: "delta",
        translation.SessionOutputAudioDelta.type: "delta",
    }
)
"""The wire names of the events that carry audio, each with the field it is in."""


# Out ------------------------------------------------------------------------------------------


class Appender(msgspec.Struct, frozen=True):
    """Makes append frames of a microphone's buffers: ``append = Appender()``, then ``append(samples)``.

    For a translation session: ``Appender(translation.SessionInputAudioBufferAppend)``.
    """

    event: type[client.InputAudioBufferAppend] | type[translation.SessionInputAudioBufferAppend] = (
        client.InputAudioBufferAppend
    )
    """Which dialect's append."""
    max_bytes: int = MAX_APPEND_BYTES
    """The most audio in one append, in bytes before base64."""

    def __call__(self, samples: Buffer, event_id: Maybe[str] = UNSET) -> bytes:
        """The frame of some samples; ``event_id`` as in the event: ``UNSET`` is none.

        Raises:
            InvalidEvent: there are more samples than ``max_bytes``.
        """
        return _append_frame(self.event.type, samples, event_id, self.max_bytes)


def append_frame(
    samples: Buffer, event_id: Maybe[str] = UNSET, *, max_bytes: int = MAX_APPEND_BYTES
) -> bytes:
    """The frame of an ``input_audio_buffer.append`` of some samples; ``event_id`` as in the event.

    Raises:
        InvalidEvent: there are more samples than ``max_bytes``.
    """
    return _append_frame(client.InputAudioBufferAppend.type, samples, event_id, max_bytes)


_APPENDS = {name: b'{"type":"%b"' % name.encode() for name, field in FIELDS.items() if field == "audio"}


def _append_frame(name: str, samples: Buffer, event_id: Maybe[str], max_bytes: int) -> bytes:
    audio = pybase64.b64encode(samples)
    if len(audio) * 3 > max_bytes * 4:  # almost never: then count more exactly
        _check_size(name, memoryview(samples).nbytes, max_bytes)
    if event_id is UNSET:
        return b"".join((_APPENDS[name], b',"audio":"', audio, b'"}'))
    return b"".join((_APPENDS[name], b',"event_id":', to_json(event_id), b',"audio":"', audio, b'"}'))


def _check_size(name: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise InvalidEvent(name, "$.audio", f"{size:,} bytes of audio, more than {max_bytes:,}")


# In -------------------------------------------------------------------------------------------

_b64decode, _NOT_BASE64 = pybase64.b64decode, binascii.Error

Source: TypeAlias = Frame[Any] | Data | AudioEvent | Unknown
"""An event that carries audio: as a frame, as its data, as decoding made it."""


def payload(source: Source, *, max_bytes: int = MAX_APPEND_BYTES) -> bytes:
    """The decoded audio of an event; of an append at most ``max_bytes``.

    The base64 must be whole, padded, and of the standard alphabet. What stands around it in a frame is
    looked at only as far as it takes to be sure of it.

    Raises:
        InvalidEvent: the event carries no audio, or what is no base64, or too much.
        NotAnEvent: the data is no event.
    """
    data: bytes | bytearray
    if type(source) is bytes:
        data = source
    elif isinstance(source, Event):
        return _checked(source.type, _decoded(source.type, _text(source)), max_bytes)
    else:
        data = _data(source)
    begin, audio = _begin(data), None
    if begin and data[-2:] == b'"}':
        # Base64 holds no quote: where this much is base64, it is the whole string, and the last.
        try:  # noqa: SIM105 - contextlib.suppress is slow
            audio = _b64decode(memoryview(data)[begin:-2], None, True)
        except _NOT_BASE64:
            pass
    if audio is None:
        audio = _decoded(probe_type(data), _base64(data, begin))
    return audio if len(audio) <= max_bytes else _checked(probe_type(data), audio, max_bytes)


def payload_base64(source: Source) -> memoryview:
    """The audio of an event as it stands there, to pass on: base64 in ASCII, not validated.

    It views the frame's own data if that is ``bytes`` or ``bytearray`` and escapes nothing in the audio.

    Raises:
        InvalidEvent: the event carries no audio.
        NotAnEvent: the data is no event.
    """
    if isinstance(source, Event):
        return memoryview(_text(source))
    data = _data(source)
    return _base64(data, _begin(data))


def payload_size(source: Source) -> int:
    """How many bytes :func:`payload` gives, without decoding; raises as :func:`payload_base64`."""
    base64 = payload_base64(source)
    return len(base64) * 3 // 4 - bytes(base64[-2:]).count(b"=")


def _data(source: Frame[Any] | Unknown | Data) -> bytes | bytearray:
    if isinstance(source, Frame):
        source = source.data
    elif isinstance(source, Unknown):
        source = source.raw
    if isinstance(source, str):
        return _as_ascii(source)
    return bytes(source) if isinstance(source, memoryview) else source


def _as_ascii(text: str) -> bytes:
    """Text that should be ASCII; what is none stays none."""
    return text.encode("utf-8", "surrogatepass")


def _field(name: str) -> str:
    if name not in FIELDS:
        raise InvalidEvent(name, "$", "carries no audio")
    return FIELDS[name]


def _text(event: Event) -> bytes:
    return _as_ascii(_must_be_text(event.type, getattr(event, _field(event.type))))


def _must_be_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidEvent(name, f"$.{FIELDS[name]}", "Expected `str`")
    return value


_FRONT = 1024


def _spelled(field: str) -> tuple[bytes, bytes, bytes]:
    """A field's key, and all that stands before its text, as services write it and as Python does."""
    key = b'"%b"' % field.encode()
    return key, b',%b:"' % key, b', %b: "' % key


_DELTA = _spelled("delta")
_SPELLINGS = {name: _spelled(field) for name, field in FIELDS.items()}
_DELTA_HEADS = tuple(
    b'{"type":%b"%b"' % (space, name.encode())
    for space in (b"", b" ")
    for name, field in FIELDS.items()
    if field == "delta"
)  # how the hottest events begin: told apart in one step, where a probe would take five


def _begin(data: bytes | bytearray) -> int:
    """Where the audio begins, where that is plain to see; else 0.

    A quote after a comma begins or ends a string, and only one that begins can be followed by a name, a
    quote and a colon: so this is a key. Without a brace before it, it is the event's own.
    """
    spelling = _DELTA if data.startswith(_DELTA_HEADS) else _SPELLINGS.get(probe_type(data))
    if not spelling:
        return 0
    key, tight, spaced = spelling
    at = data.find(key, 0, _FRONT)
    if at < 2 or data.find(b"{", 1, at) > 0:
        return 0
    begin = at - 1 + len(tight)
    if data[at - 1 : begin] == tight:
        return begin
    begin = at - 2 + len(spaced)
    return begin if data[at - 2 : begin] == spaced else 0


def _base64(data: bytes | bytearray, begin: int) -> memoryview:
    """The audio up to the next quote, where it is plain that it is all; else what reading the frame gives."""
    name = probe_type(data)
    field = _field(name)
    end = data.find(b'"', begin) if begin else -1
    if end >= 0 and data.find(b"\\", begin, end) < 0 and not _may_hold(field, data[end + 1 :]):
        return memoryview(data)[begin:end]
    try:
        text = Frame[Event](bytes(data)).get(field)
    except NoSuchPath as refusal:
        raise InvalidEvent(name, refusal.path, "missing") from None
    return memoryview(_as_ascii(_must_be_text(name, text)))


def _may_hold(field: str, rest: bytes | bytearray) -> bool:
    """Whether an object's rest, after a value, holds a field, or is no object's rest at all."""
    if rest == b"}":
        return False
    try:
        return field in read_members(b'{"":""' + rest)
    except Misfit:
        return True


def _decoded(name: str, base64: bytes | memoryview) -> bytes:
    try:
        return _b64decode(base64, None, True)
    except _NOT_BASE64:
        raise InvalidEvent(name, f"$.{FIELDS[name]}", "not base64") from None


def _checked(name: str, audio: bytes, max_bytes: int) -> bytes:
    if name in _APPENDS:
        _check_size(name, len(audio), max_bytes)
    return audio


# Time -----------------------------------------------------------------------------------------

Format: TypeAlias = AudioFormat | str
"""A session's audio format, or its name: ``audio/pcm``, ``audio/pcmu``, ``audio/pcma``, or the beta's
``pcm16``, ``g711_ulaw``, ``g711_alaw``. Left out or null it is the service's own: PCM at 24 kHz."""

_PCM, _G711 = (24_000, 2), (8_000, 1)  # samples per second, bytes per sample
_FORMATS = {
    AudioPcm.type: _PCM,
    "pcm16": _PCM,
    **dict.fromkeys((AudioPcmu.type, AudioPcma.type, "g711_ulaw", "g711_alaw"), _G711),
}
_MOST_SAMPLES = 1_000_000


def bytes_per_second(format: Maybe[Format] = UNSET) -> int:
    """How many bytes of audio a second takes: 48,000 of PCM at 24 kHz, 8,000 of G.711.

    Raises:
        ValueError: the format, or its rate, is none that is known.
    """
    samples, width = _rate(format)
    return samples * width


def _rate(format: Maybe[Format]) -> tuple[int, int]:
    if format is UNSET or format is None:
        return _PCM
    samples, width = _FORMATS.get(format if isinstance(format, str) else format.type, (0, 0))
    if isinstance(format, AudioPcm) and format.rate is not UNSET and format.rate is not None:
        samples = format.rate
    if not 1 <= samples <= _MOST_SAMPLES:
        raise ValueError("neither audio/pcm at a rate from 1 to 1,000,000, nor audio/pcmu, nor audio/pcma")
    return int(samples), width


def milliseconds(samples: Buffer | int, format: Maybe[Format] = UNSET) -> float:
    """How long some audio plays, given as samples or as their size in bytes, as :func:`payload_size` has it.

    Raises:
        ValueError: as :func:`bytes_per_second`.
    """
    size = samples if isinstance(samples, int) else memoryview(samples).nbytes
    return 1000 * size / bytes_per_second(format)


def chunks(samples: Buffer, milliseconds: float, format: Maybe[Format] = UNSET) -> Iterator[memoryview]:
    """Views of the samples, each so many milliseconds long, in whole samples; the last may be shorter.

    Raises:
        ValueError: there is no sample in so short a time; or as :func:`bytes_per_second`.
    """
    rate, width = _rate(format)
    size = int(min(rate * milliseconds / 1000, sys.maxsize // 2)) * width
    if size <= 0:
        raise ValueError(f"no sample is as short as {milliseconds} ms")
    view = memoryview(samples).cast("B")
    return (view[begin : begin + size] for begin in range(0, len(view), size))
