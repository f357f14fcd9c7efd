"""Audio comes out of a frame as it went in, or an error says what is wrong; never a sample less."""

import array
import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

import rtproto
from rtproto import (
    ClientFrame,
    InvalidEvent,
    NotAnEvent,
    ServerFrame,
    TranslationServerFrame,
    client,
    pcm,
    server,
    translation,
    types,
)
from rtproto.testing.strategies import json_objects, json_values

from .conftest import CODECS, first_frame
from .json_texts import parse

SOUND = bytes(range(256)) * 3
TEXT = base64.b64encode(SOUND).decode()
CONTENT = rtproto.ResponseEventBuilder("resp_1").for_item("item_1", 0).for_content(0)
DELTA = rtproto.encode(CONTENT.output_audio_delta("event_1", TEXT))
APPEND = rtproto.encode(client.InputAudioBufferAppend(audio=TEXT))
HEARD = rtproto.encode(translation.SessionInputAudioBufferAppend(audio=TEXT))
SPOKEN = rtproto.encode(translation.SessionOutputAudioDelta(event_id="e", delta=TEXT, sample_rate=24000))
FRAMES = [DELTA, APPEND, HEARD, SPOKEN]
each_frame = pytest.mark.parametrize("frame", FRAMES, ids=["delta", "append", "heard", "spoken"])


def sources(raw: bytes) -> list[Any]:
    """The same frame in every way that the lane takes."""
    event = next(e for c in CODECS.values() if isinstance(e := c.decode(raw), rtproto.Event))
    return [
        *(raw, bytearray(raw), memoryview(raw), raw.decode()),
        *(ServerFrame(raw), ClientFrame(raw.decode()), TranslationServerFrame(memoryview(raw)), event),
    ]


# In -------------------------------------------------------------------------------------------


@each_frame
def test_the_audio_of_a_frame(frame: bytes) -> None:
    for source in sources(frame):
        assert pcm.payload(source) == SOUND
        assert bytes(pcm.payload_base64(source)) == TEXT.encode()
        assert pcm.payload_size(source) == len(SOUND)


def test_the_fields_are_those_of_the_audio_events() -> None:
    carried = {
        cls.type: name for cls in AUDIO for name in cls.__struct_fields__ if name in ("audio", "delta")
    }
    assert dict(pcm.FIELDS) == carried
    for codec in CODECS.values():
        for name, cls in codec.types.items():
            assert (name in pcm.FIELDS) == (cls in AUDIO)


AUDIO: tuple[type[msgspec.Struct], ...] = (
    client.InputAudioBufferAppend,
    translation.SessionInputAudioBufferAppend,
    server.ResponseOutputAudioDelta,
    translation.SessionOutputAudioDelta,
)


def test_the_base64_is_a_view_of_the_frame() -> None:
    for data in (DELTA, bytearray(DELTA), SPOKEN):
        assert pcm.payload_base64(data).obj is data
        assert pcm.payload_base64(ServerFrame(data)).obj is data
    assert pcm.payload_base64(DELTA).nbytes == len(TEXT)


@pytest.mark.parametrize("length", [*range(10), 3071, 3072, 3073])
def test_deltas_of_any_length(length: int) -> None:
    frame = CONTENT.output_audio_delta_frame("e", b"\xff" * length)
    assert pcm.payload(frame) == b"\xff" * length
    assert pcm.payload_size(frame) == length


@pytest.mark.parametrize(
    "audio", ["AAA", "AA", "A", "AAAA=", "AA==AAAA", "AAAA\\n", "AA AA", "-_-_", "AAAé", "%%%%"]
)
@pytest.mark.parametrize("after", ["}", ',"x":1}', ',"obfuscation":"o"}', " }"])
@pytest.mark.parametrize("before", ["", '"x":{},', " "])
def test_what_is_no_base64_is_an_error_that_names_the_event(before: str, after: str, audio: str) -> None:
    text = f'{{"type":"response.output_audio.delta",{before}"event_id":"e","delta":"{audio}"{after}'
    for source in (text, text.encode(), ServerFrame(text)):
        with pytest.raises(InvalidEvent) as caught:
            pcm.payload(source)
        assert str(caught.value) == "response.output_audio.delta: $.delta: not base64"
        assert not isinstance(caught.value.__context__, UnicodeError)


def test_a_typed_event_is_read_as_strictly() -> None:
    with pytest.raises(InvalidEvent, match=r"input_audio_buffer.append: \$.audio: not base64"):
        pcm.payload(client.InputAudioBufferAppend(audio="AAA"))
    with pytest.raises(InvalidEvent, match="not base64"):
        pcm.payload(client.InputAudioBufferAppend(audio=APPEND.decode()))
    for take in (pcm.payload, pcm.payload_base64, pcm.payload_size):
        with pytest.raises(InvalidEvent, match=r"input_audio_buffer.append: \$.audio: Expected `str`"):
            take(client.InputAudioBufferAppend(audio=None))  # type: ignore[arg-type]
    with pytest.raises(InvalidEvent, match="not base64"):
        pcm.payload(client.InputAudioBufferAppend(audio="\ud83dAAA"))
    with pytest.raises(InvalidEvent, match=r"response\.done: .*carries no audio"):
        pcm.payload(server.ResponseDone(event_id="e", response=types.Response()))  # type: ignore[arg-type]


@pytest.mark.parametrize("take", [pcm.payload, pcm.payload_base64, pcm.payload_size])
def test_what_holds_no_audio_is_told(take: Callable[[Any], Any]) -> None:
    delta, append = "response.output_audio.delta", "input_audio_buffer.append"
    cases = {
        '{"type":"response.done"}': "response.done: $: carries no audio",
        '{"type":"x.y","delta":"AAAA"}': "x.y: $: carries no audio",
        f'{{"type":"{delta}"}}': f"{delta}: $.delta: missing",
        f'{{"type":"{delta}","delta":null}}': f"{delta}: $.delta: Expected `str`",
        f'{{"type":"{append}","x":{{"audio":"AAAA"}}}}': f"{append}: $.audio: missing",
        f'{{"type":"{append}","x":"\\"audio\\":\\"AAAA"}}': f"{append}: $.audio: missing",
        f'{{"type":"{append}","x\\",\\"audio":"AAAA"}}': f"{append}: $.audio: missing",
    }
    for text, message in cases.items():
        for source in (text, ServerFrame(text.encode())):
            with pytest.raises(InvalidEvent) as caught:
                take(source)
            assert str(caught.value) == message
    long = CONTENT.output_audio_delta_frame("e", bytes(9000))
    for broken in (long[:-1], long[:-2], long[:-3], long[:5000], long + b"}", long.replace(b'"}', b'",}')):
        for source in (broken, broken.decode(), ServerFrame(broken)):
            with pytest.raises(NotAnEvent):
                take(source)
    for broken in (
        "",
        "[]",
        DELTA[:-1],
        DELTA[:-2],
        DELTA[:-20],
        DELTA[:-2] + b',"',
        DELTA.replace(b"BgcI", b'B"cI'),
    ):
        with pytest.raises(NotAnEvent):
            take(broken)


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"response.output_audio.delta","delta":"AAAA"e5}',
        '{"type":"response.output_audio.delta","delta":"AAAA".5}',
        '{"type":"response.output_audio.delta","delta":"AAAA"e5,"obfuscation":"x"}',
        '{"type":"response.output_audio.delta","delta":"AAAA"}}',
        '{"type":"response.output_audio.delta","delta":"AAAA",}',
        '{"type":"response.output_audio.delta","delta":"AAAA" "x":1}',
        '{"type":"response.output_audio.delta","delta": "AAAABBBB"","delta":"CCCC"}',
        '{"type":"response.output_audio.delta","x":{"y":1,"delta":"AAAA"}',
        '{"type":"response.output_audio.delta","x":{},"delta":"\\q"}',
    ],
)
def test_what_follows_the_audio_must_be_sound(text: str) -> None:
    for take in (pcm.payload, pcm.payload_base64, pcm.payload_size):
        for source in (text, text.encode(), ServerFrame(text)):
            with pytest.raises(NotAnEvent):
                take(source)
    with pytest.raises(NotAnEvent, match="invalid UTF-8"):
        pcm.payload(b'{"type":"response.output_audio.delta","x":{},"delta":"\xff"}')


def test_an_event_that_was_not_typed_still_carries_its_audio() -> None:
    event = rtproto.decode_server(b'{"type":"response.output_audio.delta","event_id":5,"delta":"AAAA"}')
    assert isinstance(event, rtproto.Unknown)
    assert pcm.payload(event) == bytes(pcm.payload_size(event)) == b"\0\0\0"
    with pytest.raises(InvalidEvent, match="carries no audio"):
        pcm.payload(rtproto.Unknown("x.y", b'{"type":"x.y"}'))


def test_the_audio_is_never_cut_short() -> None:
    """A quote or brace in the middle ends neither the string nor the search."""
    for at in range(DELTA.index(b'"delta":"') + 9, len(DELTA) - 2, 4):
        for damage in (b'"', b'"}', b'","x":"', b'"} {"delta":"', b"\\", b'\\"', b"\x00", b" "):
            broken = DELTA[:at] + damage + DELTA[at:]
            for take in (pcm.payload, pcm.payload_base64):
                try:
                    found = bytes(take(broken))
                except (InvalidEvent, NotAnEvent):
                    continue
                value = json.loads(broken, strict=False)[
                    "delta"
                ].encode()  # A control character passes unseen.
                assert value in (found, base64.b64encode(found))


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"response.output_audio.delta","delta":"AAAA","delta":"%s"}',
        '{"type":"response.output_audio.delta","delta":"AAAA","x":1,"delt\\u0061":"%s"}',
        '{"type":"response.output_audio.delta","x":{"delta":"AAAA"},"delta":"%s"}',
        '{"type":"response.output_audio.delta","x":"{,","delta":"%s"}',
        '{"type":"response.output_audio.delta","x":"\\",\\"delta\\":\\"AAAA","delta":"%s"}',
        '{"type":"response.output_audio.delta","delta":"%s","x":{"delta":"AAAA"}}',
        '{"type":"response.output_audio.delta","delta":"%s","x":"\\"delta\\""}',
        '{"delta":"%s","type":"response.output_audio.delta"}',
        '{"event_id":"e","type":"response.output_audio.delta","delta":"%s"}',
        '{"type": "response.output_audio.delta", "delta": "%s"}',
        '{"type": "response.output_audio.delta", "delta": "%s", "obfuscation": "abc"}',
        '\n{\n  "type" : "response.output_audio.delta",\n  "delta" : "%s"\n}\n',
        '{"type":"response.output_audio.delta","x":' + "1" * 2000 + ',"delta":"%s"}',
        '{"type":"response.output_audio.delta","x":"\\ud83d","delta":"%s"}',
    ],
)
def test_every_spelling_of_the_frame_is_read(text: str) -> None:
    for audio in (TEXT, TEXT.replace("/", "\\/"), TEXT.replace("A", "\\u0041"), ""):
        written = text % audio
        expected = base64.b64decode(json.loads(written)["delta"])
        for source in (written, written.encode(), ServerFrame(written)):
            assert pcm.payload(source) == expected
            assert pcm.payload_base64(source) == base64.b64encode(expected)


_NAMES = st.sampled_from(list(pcm.FIELDS))
_AUDIO = st.binary(max_size=40).map(lambda sound: base64.b64encode(sound).decode())
_MAYBE_AUDIO = _AUDIO | st.sampled_from(["AAA", "\\u0041AAA", "AA\\/A", "A\\nAA", "é"])


@st.composite
def audio_frames(draw: st.DrawFn) -> str:
    name = draw(_NAMES)
    field = pcm.FIELDS[name]
    keys = st.sampled_from([f'"{field}"', f'"\\u{ord(field[0]):04x}{field[1:]}"', '"obfuscation"'])
    others = st.tuples(keys, json_values() | _AUDIO.map('"{}"'.format)).map(":".join)
    members = [f'"{field}"{draw(st.sampled_from([":", ": "]))}"{draw(_MAYBE_AUDIO)}"']
    rest = draw(json_objects(*members, *draw(st.lists(others, max_size=2))))
    return f'{{"type":"{name}",{rest[1:]}'


@settings(max_examples=2000)
@given(audio_frames())
@example('{"type":"input_audio_buffer.append","audio":"AAAA","audio":"BBBB"}')
def test_the_audio_is_that_of_the_full_decode(text: str) -> None:
    node = parse(text).last(pcm.FIELDS[json.loads(text)["type"]])
    assert node
    value = json.loads(node.text)
    for source in (text, text.encode(), ServerFrame(text)):
        if not isinstance(value, str):
            with pytest.raises(InvalidEvent, match="Expected `str`"):
                pcm.payload_base64(source)
            continue
        assert bytes(pcm.payload_base64(source)) == value.encode()
        try:
            expected = base64.b64decode(value, validate=True)
        except ValueError:
            with pytest.raises(InvalidEvent, match="not base64"):
                pcm.payload(source)
        else:
            assert pcm.payload(source) == expected
            assert pcm.payload_size(source) == len(expected)


# Out ------------------------------------------------------------------------------------------


@settings(max_examples=2000)
@given(st.binary(max_size=60), st.text() | st.none() | st.just(UNSET))
@example(b"", 'a"b\\c\n\x00é')
def test_an_append_frame_is_the_event_encoded(sound: bytes, event_id: Any) -> None:
    audio = base64.b64encode(sound).decode()
    expected = rtproto.encode(client.InputAudioBufferAppend(event_id=event_id, audio=audio))
    assert pcm.append_frame(sound, event_id) == pcm.Appender()(sound, event_id=event_id) == expected
    translated = rtproto.encode(translation.SessionInputAudioBufferAppend(event_id=event_id, audio=audio))
    assert pcm.Appender(translation.SessionInputAudioBufferAppend)(sound, event_id) == translated
    assert pcm.payload(expected) == pcm.payload(translated) == sound


def test_any_buffer_is_taken() -> None:
    expected = pcm.append_frame(b"\x01\x00\x02\x00")
    for samples in (
        bytearray(b"\x01\x00\x02\x00"),
        memoryview(b"\x01\x00\x02\x00"),
        array.array("h", [1, 2]),
    ):
        assert pcm.append_frame(samples) == expected
        assert CONTENT.output_audio_delta_frame("e", samples) == CONTENT.output_audio_delta_frame(
            "e", b"\1\0\2\0"
        )
    with pytest.raises(TypeError):
        pcm.append_frame("AQACAA==")  # type: ignore[arg-type]
    with pytest.raises(BufferError):
        pcm.append_frame(memoryview(b"abcd")[::2])


def test_an_append_holds_15_mib_at_most() -> None:
    most = bytes(pcm.MAX_APPEND_BYTES)
    assert pcm.payload(pcm.append_frame(most)) == most
    assert not rtproto.validate(rtproto.decode_client(pcm.append_frame(most)))
    message = r"input_audio_buffer.append: \$.audio: 15,728,641 bytes of audio, more than 15,728,640"
    with pytest.raises(InvalidEvent, match=message):
        pcm.append_frame(most + b"\0")
    with pytest.raises(InvalidEvent, match=message):
        pcm.payload(pcm.append_frame(most + b"\0", max_bytes=2**24))
    assert len(pcm.payload(pcm.append_frame(most + b"\0", max_bytes=2**24), max_bytes=2**24)) == len(most) + 1
    assert pcm.payload(CONTENT.output_audio_delta_frame("e", most + b"\0")) == most + b"\0"


@pytest.mark.parametrize("max_bytes", range(8))
@pytest.mark.parametrize("size", range(8))
def test_the_limit_is_a_parameter(size: int, max_bytes: int) -> None:
    append = pcm.Appender(max_bytes=max_bytes)
    typed = rtproto.decode_client(pcm.append_frame(bytes(size)))
    ways = (
        lambda: append(bytes(size)),
        lambda: pcm.append_frame(bytes(size), max_bytes=max_bytes),
        lambda: pcm.payload(pcm.append_frame(bytes(size)), max_bytes=max_bytes),
        lambda: pcm.payload(typed, max_bytes=max_bytes),  # type: ignore[arg-type]
    )
    for way in ways:
        if size <= max_bytes:
            assert way() in (pcm.append_frame(bytes(size)), bytes(size))
        else:
            with pytest.raises(InvalidEvent, match=f"{size} bytes of audio, more than {max_bytes}"):
                way()


# Time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "per_second"),
    [
        ("audio/pcm", 48_000),
        ("pcm16", 48_000),
        (types.AudioPcm(), 48_000),
        (UNSET, 48_000),
        (None, 48_000),
        (types.AudioPcm(rate=None), 48_000),
        (types.AudioPcm(rate=24_000), 48_000),
        (types.AudioPcm(rate=8000), 16_000),
        ("audio/pcmu", 8000),
        ("audio/pcma", 8000),
        (types.AudioPcmu(), 8000),
        (types.AudioPcma(), 8000),
        ("g711_ulaw", 8000),
        ("g711_alaw", 8000),
    ],
)
def test_how_long_audio_plays(format: Any, per_second: int) -> None:
    assert pcm.bytes_per_second(format) == per_second
    assert pcm.milliseconds(bytes(per_second), format) == pcm.milliseconds(per_second, format) == 1000
    assert pcm.milliseconds(array.array("h", [0] * 8), format) == 16_000 / per_second
    pieces = list(pcm.chunks(bytes(per_second), 20, format))
    assert {len(piece) for piece in pieces} == {per_second // 50}
    assert len(pieces) == 50


@pytest.mark.parametrize(
    "format",
    ["audio/opus", *(types.AudioPcm(rate=rate) for rate in (0, -1, 10**9, float("inf"), float("nan")))],  # type: ignore[arg-type]
)
def test_a_format_that_is_not_known_is_refused(format: Any) -> None:
    for use in (pcm.bytes_per_second, lambda f: pcm.milliseconds(b"", f), lambda f: pcm.chunks(b"", 20, f)):
        with pytest.raises(ValueError, match="neither audio/pcm at a rate"):
            use(format)
    unknown = rtproto.Unknown("audio/opus", b'{"type":"audio/opus"}')
    with pytest.raises(ValueError, match="neither"):
        pcm.bytes_per_second(unknown)


@given(
    st.binary(max_size=2000),
    st.floats(1, 100),
    st.sampled_from(["audio/pcm", "audio/pcmu", types.AudioPcm(rate=11025)]),
)
def test_chunks_lose_nothing(sound: bytes, length: float, format: Any) -> None:
    pieces = list(pcm.chunks(sound, length, format))
    assert b"".join(pieces) == sound
    width = 1 if format == "audio/pcmu" else 2
    for piece in pieces[:-1]:
        assert len(piece) % width == 0
        assert 0 <= length - pcm.milliseconds(piece, format) < 1000 * width / pcm.bytes_per_second(format)


def test_chunks_view_the_samples() -> None:
    sound = bytearray(SOUND)
    piece = next(pcm.chunks(sound, 1))
    sound[0] = 77
    assert piece[0] == 77
    assert b"".join(pcm.chunks(array.array("h", [1, 2, 3]), 1000)) == array.array("h", [1, 2, 3]).tobytes()
    assert [len(piece) for piece in pcm.chunks(sound, float("inf"))] == [len(sound)]
    for length in (float("nan"), 0, -1):
        with pytest.raises(ValueError, match=r"no sample|NaN"):
            pcm.chunks(sound, length)
    with pytest.raises(ValueError, match=r"no sample is as short as 0\.01 ms"):
        pcm.chunks(sound, 0.01)
    assert first_frame("client", "input_audio_buffer.append")
