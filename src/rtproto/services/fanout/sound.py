"""What a session's audio is: how long a delta plays, whose it is, and its samples; no delta ends anything."""

import msgspec
import pybase64
from msgspec import UNSET

from rtproto import g711, pcm
from rtproto._salvage import REFUSALS
from rtproto._struct import Maybe
from rtproto.errors import RtprotoError
from rtproto.types.audio import AudioFormat

__all__ = ["Address", "Sound"]


class _Output(msgspec.Struct):
    format: Maybe[AudioFormat] = UNSET


class _Audio(msgspec.Struct):
    output: Maybe[_Output] = UNSET


class _Session(msgspec.Struct):
    audio: Maybe[_Audio] = UNSET
    output_audio_format: Maybe[str] = UNSET  # the beta's


class _OfSession(msgspec.Struct):
    session: _Session


class Address(msgspec.Struct, frozen=True):
    """Whose a delta of audio is."""

    response_id: Maybe[str] = UNSET
    """The response."""
    item_id: Maybe[str] = UNSET
    """The item."""
    content_index: Maybe[int] = UNSET
    """The part of the item."""
    sample_rate: Maybe[int] = UNSET
    """Samples per second, where the delta says so itself, as translations do."""
    channels: Maybe[int] = UNSET
    """How many, as above."""


class _Delta(msgspec.Struct):
    delta: str


_read_session = msgspec.json.Decoder(_OfSession).decode
_read_address = msgspec.json.Decoder(Address).decode
_read_delta = msgspec.json.Decoder(_Delta).decode
_PCM_BYTES = 2


class Sound:
    """The audio of one session, as its own events tell."""

    def __init__(self) -> None:
        self._format: Maybe[pcm.Format] = UNSET
        self._per_second = pcm.bytes_per_second()

    def note(self, data: bytes) -> None:
        """A session was created or updated."""
        try:
            session = _read_session(data).session
            found: Maybe[pcm.Format] = session.output_audio_format
            if session.audio and session.audio.output:
                found = session.audio.output.format
            self._per_second = pcm.bytes_per_second(found)
        except REFUSALS:  # a format that nobody knows: what was so is as good a guess
            return
        self._format = found

    @property
    def is_g711(self) -> bool:
        """Whether it is G.711."""
        return self._per_second == pcm.bytes_per_second("g711_ulaw")

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return self._per_second if self.is_g711 else self._per_second // _PCM_BYTES

    def milliseconds(self, data: bytes) -> float:
        """How long a delta plays; 0: it has no audio that can be read."""
        try:
            size = pcm.payload_size(data)
        except RtprotoError:
            size = _size(data)
        return 1000 * size / self._per_second

    def read(self, data: bytes) -> tuple[Address, bytes] | None:
        """Whose a delta is, and its samples, 16 bits each; ``None``: it cannot be read."""
        try:
            address, samples = _read_address(data), _samples(data)
            if self.is_g711 and self._format is not UNSET and self._format is not None:
                samples = g711.decode(samples, self._format)
        except REFUSALS:
            return None
        return address, samples


def _size(data: bytes) -> int:
    """Of a delta under its name in the beta."""
    try:
        return len(_read_delta(data).delta) * 3 // 4
    except REFUSALS:
        return 0


def _samples(data: bytes) -> bytes:
    try:
        return pcm.payload(data)
    except RtprotoError:
        return pybase64.b64decode(_read_delta(data).delta, validate=True)
