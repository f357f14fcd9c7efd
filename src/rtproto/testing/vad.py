"""Speech begins where a window is loud, and ends where windows have been quiet for long enough."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from rtproto.g711 import audioop
from rtproto.testing.sound import Sound

__all__ = ["Edge", "Vad"]

WINDOW_MS = 20
_LOUDEST = 32768
_LOUD = 0.02  # of full scale, at a threshold of 1: half of it, the default's, is a quiet voice


class Edge(NamedTuple):
    """Where speech begins or ends."""

    kind: Literal["started", "stopped"]
    at_ms: float
    """Milliseconds of all audio heard so far in the session."""


class Vad:
    """Finds speech in audio that comes bit by bit."""

    def __init__(self, heard_ms: float = 0.0) -> None:
        self.heard_ms: float = heard_ms
        """Milliseconds of all audio so far."""
        self.is_speech: bool = False
        self._rest = b""
        self._quiet_ms = 0.0

    def hear(self, sound: Sound, threshold: float, silence_ms: float) -> Iterator[Edge]:
        """The edges in the next bit; ``threshold`` and ``silence_ms`` are those of ``turn_detection``."""
        size = 2 * (sound.rate * WINDOW_MS // 1000)
        samples = self._rest + sound.samples
        whole = len(samples) - len(samples) % size
        self._rest = samples[whole:]
        for begin in range(0, whole, size):
            is_loud = _loudness(samples[begin : begin + size]) > threshold * _LOUD
            yield from self._window(is_loud, silence_ms)

    def forget(self) -> None:
        """Begin anew, as after a commit; the clock goes on."""
        self.is_speech = False

    def _window(self, is_loud: bool, silence_ms: float) -> Iterator[Edge]:
        begin = self.heard_ms
        self.heard_ms += WINDOW_MS
        self._quiet_ms = 0.0 if is_loud else self._quiet_ms + WINDOW_MS
        if is_loud and not self.is_speech:
            self.is_speech = True
            yield Edge("started", begin)
        elif self.is_speech and self._quiet_ms >= silence_ms:
            self.is_speech = False
            yield Edge("stopped", self.heard_ms)


def _loudness(window: bytes) -> float:
    """The root mean square, as a share of full scale."""
    return audioop.rms(window, 2) / _LOUDEST
