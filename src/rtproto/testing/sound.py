"""Speech is 16-bit mono samples at a rate; a session hears and speaks it in a format of its own."""

import math
import struct
import wave
from os import PathLike
from typing import NamedTuple

from msgspec import UNSET

from rtproto import g711, pcm
from rtproto._struct import Maybe
from rtproto.g711 import audioop
from rtproto.types.audio import AudioPcm

__all__ = ["RATE", "Sound", "decoded", "encoded", "silence", "tone", "wav"]

RATE = 24_000
"""Samples per second of a session's PCM, if nothing else was agreed."""

_HZ = 200  # a whole number of samples per period, at 24 kHz and at 8 kHz


class Sound(NamedTuple):
    """Audio: what a user says, or the fake server answers."""

    samples: bytes
    """16-bit PCM, mono."""
    rate: int = RATE
    """Samples per second."""

    @property
    def milliseconds(self) -> float:
        """How long it plays."""
        return 1000 * len(self.samples) / (2 * self.rate)

    def at(self, rate: int) -> "Sound":
        """The same sound at another rate: what a session hears is at 24,000."""
        if rate == self.rate:
            return self
        return Sound(audioop.ratecv(self.samples, 2, 1, self.rate, rate, None)[0], rate)

    def __add__(self, after: object) -> "Sound":
        """One sound after another, at the rate of the first."""
        if not isinstance(after, Sound):
            return NotImplemented
        return Sound(self.samples + after.at(self.rate).samples, self.rate)

    def __repr__(self) -> str:
        return f"Sound(<{self.milliseconds:.0f} ms>, rate={self.rate})"


def tone(milliseconds: float, *, loudness: float = 0.3, rate: int = RATE) -> Sound:
    """A hum that voice activity detection takes for speech; ``loudness`` from 0 to 1."""
    period = rate // _HZ
    wave_ = [round(32767 * loudness * math.sin(2 * math.pi * at / period)) for at in range(period)]
    count = round(rate * milliseconds / 1000)
    once = struct.pack(f"<{period}h", *wave_)
    return Sound((once * (count // period + 1))[: 2 * count], rate)


def silence(milliseconds: float, *, rate: int = RATE) -> Sound:
    """Nothing at all, for as long."""
    return Sound(bytes(2 * round(rate * milliseconds / 1000)), rate)


def wav(path: str | PathLike[str]) -> Sound:
    """The sound of a WAV file, of any rate, mono or stereo, 8 to 32 bits.

    Raises:
        OSError: it cannot be read.
        wave.Error: it is no WAV file of PCM.
    """
    with wave.open(str(path), "rb") as file:
        width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
        samples = file.readframes(file.getnframes())
    if width == 1:
        samples = audioop.bias(samples, 1, -128)  # 8-bit WAV is unsigned
    samples = audioop.lin2lin(samples, width, 2)
    return Sound(audioop.tomono(samples, 2, 0.5, 0.5) if channels == 2 else samples, rate)


def encoded(sound: Sound, format: Maybe[pcm.Format] = UNSET) -> bytes:
    """A sound as the bytes of a session's format.

    Raises:
        ValueError: the format is none that is known.
    """
    law, samples = _law(format), sound.at(_rate(format)).samples
    return g711.encode(samples, law) if law else samples


def decoded(audio: bytes, format: Maybe[pcm.Format] = UNSET) -> Sound:
    """The sound that a session's bytes mean.

    Raises:
        ValueError: the format is none that is known.
    """
    law = _law(format)
    return Sound(g711.decode(audio, law) if law else audio[: len(audio) & ~1], _rate(format))


def _law(format: Maybe[pcm.Format]) -> pcm.Format | None:
    """The format, if it is G.711."""
    if format is UNSET or format is None or isinstance(format, AudioPcm):
        return None
    return None if format in {"audio/pcm", "pcm16"} else format


def _rate(format: Maybe[pcm.Format]) -> int:
    return pcm.bytes_per_second(format) // (1 if _law(format) else 2)
