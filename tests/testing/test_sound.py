"""Sounds are what they say they are, in every format, and speech is found in them to the window."""

import itertools
import struct
import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtproto import types
from rtproto.testing import silence, tone, wav
from rtproto.testing.sound import Sound, decoded, encoded
from rtproto.testing.vad import WINDOW_MS, Vad


def peak(sound: Sound) -> int:
    return max(map(abs, memoryview(sound.samples).cast("h")), default=0)


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_a_tone_is_as_long_and_as_loud_as_asked(rate: int) -> None:
    sound = tone(123, loudness=0.5, rate=rate)
    assert (sound.milliseconds, sound.rate) == (123, rate)
    assert peak(sound) == pytest.approx(16384, rel=0.01)
    assert silence(50, rate=rate).samples == bytes(2 * rate // 20)


@pytest.mark.parametrize(
    ("width", "channels", "rate"), [*itertools.product((1, 2, 3, 4), (1, 2), (8000, 44100))]
)
def test_a_wav_file_of_any_kind(tmp_path: Path, width: int, channels: int, rate: int) -> None:
    """Half of full scale, in every width, from one channel, or from two of which one is silent."""
    value = 2 ** (8 * width - 2)
    sample = struct.pack("B", 128 + value) if width == 1 else value.to_bytes(4, "little", signed=True)[:width]
    path = tmp_path / "sound.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        nothing = b"\x80" if width == 1 else bytes(width)
        file.writeframes((sample + nothing * (channels - 1)) * (rate // 10))
    sound = wav(path)
    assert (sound.rate, sound.milliseconds) == (rate, 100)
    assert memoryview(sound.samples).cast("h")[0] == pytest.approx(16384 / channels, rel=0.01)
    at_home = Sound(encoded(sound))
    assert at_home.milliseconds == pytest.approx(100, abs=1)
    assert peak(at_home) == pytest.approx(16384 / channels, rel=0.02)


def test_what_is_no_wav_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"not RIFF at all")
    with pytest.raises(wave.Error):
        wav(tmp_path / "x.wav")


@pytest.mark.parametrize(
    ("format", "rate", "per_sample"),
    [
        (None, 24000, 2),
        (types.AudioPcm(rate=16000), 16000, 2),
        ("pcm16", 24000, 2),
        (types.AudioPcmu(), 8000, 1),
        (types.AudioPcma(), 8000, 1),
        ("g711_alaw", 8000, 1),
    ],
)
def test_a_sound_in_a_sessions_format_and_back(format: object, rate: int, per_sample: int) -> None:
    sound = tone(200, rate=rate)
    audio = encoded(sound, format)  # type: ignore[arg-type]
    assert len(audio) == per_sample * rate // 5
    again = decoded(audio, format)  # type: ignore[arg-type]
    assert (again.rate, again.milliseconds) == (rate, 200)
    assert peak(again) == pytest.approx(peak(sound), rel=0.05)


def test_half_a_sample_is_left_out() -> None:
    assert decoded(b"abc").samples == b"ab"


def edges(
    sound: Sound, size: int, threshold: float = 0.5, silence_ms: float = 200
) -> list[tuple[str, float]]:
    vad = Vad()
    chunks = [sound.samples[at : at + size] for at in range(0, len(sound.samples), size)]
    return [
        (edge.kind, edge.at_ms)
        for chunk in chunks
        for edge in vad.hear(Sound(chunk, sound.rate), threshold, silence_ms)
    ]


@given(
    st.integers(0, 400),
    st.integers(60, 800),
    st.integers(60, 400),
    st.sampled_from([8000, 24000]),
    st.integers(1, 20_000),
)
def test_speech_is_found_wherever_it_is_and_however_it_is_cut(
    before: int, spoken: int, silence_ms: int, rate: int, size: int
) -> None:
    parts = (silence(before, rate=rate), tone(spoken, rate=rate), silence(silence_ms + 100, rate=rate))
    sound = Sound(b"".join(part.samples for part in parts), rate)
    (began, start), (ended, stop) = edges(sound, size, silence_ms=silence_ms)
    assert (began, ended) == ("started", "stopped")
    assert before - WINDOW_MS <= start <= before + WINDOW_MS
    assert 0 <= stop - (before + spoken + silence_ms) <= 2 * WINDOW_MS


def test_a_pause_shorter_than_the_silence_ends_nothing() -> None:
    parts = (tone(200), silence(180), tone(200), silence(220))
    sound = Sound(b"".join(part.samples for part in parts))
    assert edges(sound, 4800) == [("started", 0), ("stopped", 780)]


def test_how_loud_is_loud() -> None:
    sound = Sound(tone(100, loudness=0.01).samples + silence(300).samples)
    assert edges(sound, 4800, threshold=0.5) == []
    assert edges(sound, 4800, threshold=0.1) == [("started", 0), ("stopped", 300)]
    assert edges(Sound(tone(300, loudness=1).samples), 4800, threshold=0) == [("started", 0)]


def test_sounds_are_joined_at_the_rate_of_the_first() -> None:
    both = tone(100, rate=8000) + silence(300, rate=24000)
    assert (both.rate, round(both.milliseconds)) == (8000, 400)
    assert tone(100, rate=8000).at(24000).milliseconds == pytest.approx(100, abs=1)
    assert tone(100).at(24000) == tone(100)
    with pytest.raises(TypeError):
        tone(100) + b"x"  # type: ignore[operator]
