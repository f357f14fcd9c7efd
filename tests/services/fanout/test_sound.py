"""How long audio plays and what it is follows from the session; what cannot be read harms nothing."""

import base64

import pytest

from rtproto import UNSET
from rtproto.services.fanout.sound import Sound
from tests.services.fanout.outlets import audio

_GA = b'{"type":"session.updated","session":{"audio":{"output":{"format":%b}}}}'
_BETA = b'{"type":"session.created","session":{"output_audio_format":"%b"}}'


def delta(samples: bytes, name: bytes = b"response.output_audio.delta", more: bytes = b"") -> bytes:
    audio = base64.b64encode(samples)
    return b'{"type":"%b","response_id":"r","item_id":"i","content_index":1,%b"delta":"%b"}' % (
        name,
        more,
        audio,
    )


@pytest.mark.parametrize(
    ("session", "milliseconds", "rate"),
    [
        (None, 100, 24_000),
        (_GA % b'{"type":"audio/pcm","rate":24000}', 100, 24_000),
        (_GA % b'{"type":"audio/pcm","rate":48000}', 50, 48_000),
        (_GA % b'{"type":"audio/pcma"}', 600, 8000),
        (_GA % b"null", 100, 24_000),
        (_BETA % b"pcm16", 100, 24_000),
        (_BETA % b"g711_ulaw", 600, 8000),
        (_BETA % b"opus", 100, 24_000),
        (b'{"type":"session.updated","session":7}', 100, 24_000),
        (b"\xff", 100, 24_000),
    ],
)
@pytest.mark.parametrize("name", [b"response.output_audio.delta", b"response.audio.delta"])
def test_the_session_tells_how_long_a_delta_plays(
    session: bytes | None, milliseconds: float, rate: int, name: bytes
) -> None:
    sound = Sound()
    if session is not None:
        sound.note(session)
    assert sound.milliseconds(delta(bytes(4800), name)) == milliseconds
    assert sound.sample_rate == rate


@pytest.mark.parametrize("name", [b"response.output_audio.delta", b"response.audio.delta"])
def test_a_delta_has_an_address_and_samples(name: bytes) -> None:
    found = Sound().read(delta(b"\x01\x02" * 10, name))
    assert found is not None
    address, samples = found
    assert (address.response_id, address.item_id, address.content_index) == ("r", "i", 1)
    assert samples == b"\x01\x02" * 10


@pytest.mark.parametrize(("format", "silence"), [(b"g711_ulaw", b"\xff"), (b"g711_alaw", b"\xd5")])
def test_g711_becomes_16_bits(format: bytes, silence: bytes) -> None:
    sound = Sound()
    sound.note(_BETA % format)
    found = sound.read(delta(silence * 8))
    assert found is not None
    assert len(found[1]) == 16
    assert set(found[1]) <= {0, 8}


def test_a_translation_says_its_rate_itself() -> None:
    data = b'{"type":"session.output_audio.delta","delta":"AAAA","sample_rate":16000,"channels":2}'
    found = Sound().read(data)
    assert found is not None
    assert (found[0].sample_rate, found[0].channels, found[0].item_id) == (16_000, 2, UNSET)


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"response.output_audio.delta","delta":"no base64!"}',
        b'{"type":"response.audio.delta","delta":"no base64!"}',
        b'{"type":"response.output_audio.delta","delta":7}',
        b'{"type":"response.output_audio.delta"}',
        b'{"type":"response.output_audio.delta","delta":"AAAA","item_id":7}',
        b'{"type":"response.output_audio.delta"',
    ],
)
def test_what_cannot_be_read_is_no_sound(data: bytes) -> None:
    sound = Sound()
    assert sound.read(data) is None
    assert sound.milliseconds(data) >= 0


def test_a_frame_of_ours_is_as_long_as_it_says() -> None:
    assert Sound().milliseconds(audio(250)) == 250
