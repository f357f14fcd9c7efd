"""G.711 comes back as the PCM it stands for; the reference values are ITU-T G.711's."""

import array

import pytest

from rtproto import g711, types

RAMP = array.array("h", range(-32768, 32768, 64))


@pytest.mark.parametrize(("law", "silence", "loudest"), [("pcmu", 0xFF, -32124), ("pcma", 0xD5, -32256)])
def test_each_law(law: str, silence: int, loudest: int) -> None:
    name = f"audio/{law}"
    format = types.AudioPcmu() if law == "pcmu" else types.AudioPcma()
    coded = g711.encode(RAMP, format)
    assert len(coded) == len(RAMP)
    assert g711.encode(RAMP.tobytes(), name) == coded
    again = array.array("h", g711.decode(coded, name))
    assert g711.encode(again, name) == coded
    assert min(again) == loudest
    for old, new in zip(RAMP, again, strict=True):
        assert abs(old - new) <= max(abs(old) / 16, 644)
    assert g711.encode(b"\0\0", name) == bytes([silence])
    assert abs(array.array("h", g711.decode(bytes([silence]), format))[0]) <= 8


def test_every_code_is_its_own() -> None:
    codes = bytes(range(256))
    assert g711.encode(g711.decode(codes, "audio/pcma"), "audio/pcma") == codes
    same = g711.encode(g711.decode(codes, "g711_ulaw"), "g711_ulaw")
    assert same.replace(b"\xff", b"\x7f") == codes.replace(b"\xff", b"\x7f")  # µ-law has two zeros


def test_what_is_not_g711_is_refused() -> None:
    for use in (g711.encode, g711.decode):
        with pytest.raises(ValueError, match="is audio/pcmu or audio/pcma"):
            use(b"", "audio/pcm")
    with pytest.raises(ValueError, match="two bytes for every sample"):
        g711.encode(b"abc", "audio/pcmu")
    assert g711.decode(b"", "g711_alaw") == b""
