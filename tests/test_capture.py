"""A capture gives back what was written, whole or broken off; and what is to be silent in it is silent."""

import base64
import gzip
import io
import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rtproto
from rtproto import capture, client, items, pcm, server
from rtproto.capture import Direction, Record, Skipped, elide_audio

from .conftest import HERE

FRAME = b'{"type":"response.cancel","response_id":"resp_1"}'


def read(data: bytes) -> list[Record | Skipped]:
    return list(capture.read(capture.open_capture(io.BytesIO(data))))


def record(**fields: Any) -> bytes:
    return json.dumps({"raw": FRAME.decode()} | fields).encode()


def test_a_line_is_a_frame_or_a_record_around_one() -> None:
    lines = [FRAME, record(), record(direction="client", timestamp=1.5, surface="translation", note="x")]
    assert read(b"\n".join(lines)) == [
        Record(1, FRAME),
        Record(2, FRAME),
        Record(3, FRAME, "client", 1.5, "translation"),
    ]


def test_a_frame_inside_a_record_may_be_an_object() -> None:
    assert read(b'{"direction":"server","raw":{"type":"x", "n":1.0}}') == [
        Record(1, b'{"type":"x", "n":1.0}', "server")
    ]


def test_an_event_with_a_field_named_raw_is_a_frame() -> None:
    line = b'{"type":"x","raw":"y"}'
    assert read(line) == [Record(1, line)]


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [
        (1785214080.25, 1785214080.25),
        (1785214080, 1785214080.0),
        (1785214080250, 1785214080.25),
        ("2026-07-28T04:48:00.25Z", 1785214080.25),
        ("2026-07-28T06:48:00.250+02:00", 1785214080.25),
        ("yesterday", None),
        (None, None),
        ([1], None),
        (True, None),
    ],
)
def test_timestamps(timestamp: object, seconds: float | None) -> None:
    (found,) = read(record(timestamp=timestamp))
    assert isinstance(found, Record)
    assert found.timestamp == seconds


@pytest.mark.parametrize("direction", ["up", None, 5, ["client"]])
def test_another_direction_is_none(direction: object) -> None:
    (found,) = read(record(direction=direction))
    assert isinstance(found, Record)
    assert found.direction is None


def test_blank_lines_are_told_and_line_ends_are_no_matter() -> None:
    assert read(FRAME + b"\r\n\r\n \n" + FRAME) == [
        Record(1, FRAME),
        Skipped(2, "blank"),
        Skipped(3, "blank"),
        Record(4, FRAME),
    ]


def test_what_is_no_json_is_left_to_the_codec() -> None:
    lines = [b'{"direction":"server","raw":"{\\"type', b"\xff\xfe", b"[1]"]
    assert read(b"\n".join(lines)) == [Record(number, line) for number, line in enumerate(lines, 1)]


def test_a_gzipped_capture_is_unpacked() -> None:
    assert read(gzip.compress(FRAME + b"\n" + FRAME)) == [Record(1, FRAME), Record(2, FRAME)]


def test_a_damaged_gzip_ends_where_it_breaks() -> None:
    whole = gzip.compress(b"\n".join(record(timestamp=number) for number in range(5000)), mtime=0)
    *records, last = read(whole[: len(whole) // 2])
    assert len(records) > 100
    assert all(isinstance(item, Record) for item in records)
    assert last == Skipped(len(records) + 1, "the compressed file is damaged from here on")


def test_a_line_too_long_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "MAX_LINE_BYTES", 100)
    long = b'{"type":"x","a":"' + b"a" * 1000 + b'"}'
    assert read(FRAME + b"\n" + long + b"\n" + FRAME + b"\n" + long) == [
        Record(1, FRAME),
        Skipped(2, "longer than 100 bytes"),
        Record(3, FRAME),
        Skipped(4, "longer than 100 bytes"),
    ]


def test_a_capture_may_be_empty() -> None:
    assert read(b"") == []


@given(st.binary(max_size=200))
def test_any_bytes_are_lines(data: bytes) -> None:
    lines = read(data)
    assert [line.line for line in lines] == list(range(1, len(lines) + 1))


# Writing --------------------------------------------------------------------------------------

NAMES = ["session.jsonl", "session.jsonl.gz"]
OWN_FRAMES = [
    line
    for name in ("client", "server", "translation_client", "translation_server")
    for line in (HERE / "frames" / f"{name}.jsonl").read_bytes().splitlines()
]
each_name = pytest.mark.parametrize("name", NAMES)
DIRECTIONS: list[Direction] = ["client", "server"]


class Calls:
    """A file that remembers what it is told."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.told: list[str] = []

    def write(self, line: bytes, /) -> None:
        self.lines.append(line)

    def flush(self) -> None:
        self.told.append("flush")

    def close(self) -> None:
        self.told.append("close")


def lines_of(path: Path) -> list[Record | Skipped]:
    return read(path.read_bytes())


def test_a_record_is_one_line_in_one_call() -> None:
    file = Calls()
    writer = capture.Writer(file)
    writer.write("client", b'{"type":"response.cancel"}', 1.5)
    writer.write("server", '{"é":\n"\\u00e9"}', 1785214080.29, "translation")
    writer.write(None, b"", 2)
    assert file.lines == [
        b'{"timestamp":1.5,"direction":"client","raw":"{\\"type\\":\\"response.cancel\\"}"}\n',
        r'{"timestamp":1785214080.29,"direction":"server","surface":"translation","raw":"{\"é\":\n\"\\u00e9\"}"}'.encode()
        + b"\n",
        b'{"timestamp":2,"raw":""}\n',
    ]


def test_a_writer_leaves_its_file_alone_until_told() -> None:
    file = Calls()
    with capture.Writer(file) as writer:
        writer.write("client", FRAME)
        assert file.told == []
        writer.flush()
        assert file.told == ["flush"]
    assert file.told == ["flush", "close"]


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda data: data.decode()])
def test_a_frame_is_any_data(make: Any) -> None:
    file = io.BytesIO()
    capture.Writer(file).write("server", make(FRAME), 1)
    assert read(file.getvalue()) == [Record(1, FRAME, "server", 1.0)]


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"a\xffb\xc3", "a\ufffdb\ufffd"), ("a\ud83d", "a\ufffd\ufffd\ufffd"), (b"\xef\xbb\xbf{}", "\ufeff{}")],
)
def test_what_is_no_unicode_is_written_as_replaced(data: bytes | str, text: str) -> None:
    file = io.BytesIO()
    capture.Writer(file).write("server", data, 1)
    assert read(file.getvalue()) == [Record(1, text.encode(), "server", 1.0)]


def test_the_time_is_now_if_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "time", lambda: 1785214080.25)
    file = io.BytesIO()
    capture.Writer(file).write("server", FRAME)
    assert read(file.getvalue()) == [Record(1, FRAME, "server", 1785214080.25)]


TEXTS = st.text(st.characters(codec="utf-8"), max_size=50)
RECORDS = st.lists(
    st.tuples(
        st.sampled_from([None, *DIRECTIONS]),
        TEXTS | st.sampled_from(OWN_FRAMES).map(bytes.decode),
        st.floats(-1e10, 1e10),
        st.none() | TEXTS.filter(bool),
    ),
    max_size=8,
)


@given(RECORDS, st.booleans())
def test_what_was_written_is_given_back(written: list[Any], is_elided: bool) -> None:
    file = io.BytesIO()
    writer = capture.Writer(file, elide_audio=is_elided)
    for direction, text, timestamp, surface in written:
        writer.write(direction, text, timestamp, surface)
    assert read(file.getvalue()) == [
        Record(
            number, elide_audio(text.encode()) if is_elided else text.encode(), direction, timestamp, surface
        )
        for number, (direction, text, timestamp, surface) in enumerate(written, 1)
    ]


@pytest.mark.parametrize("is_elided", [False, True])
@each_name
def test_a_capture_of_all_frames_is_loaded_as_it_was_written(
    name: str, is_elided: bool, tmp_path: Path
) -> None:
    with capture.create(tmp_path / name, elide_audio=is_elided) as writer:
        for number, frame in enumerate(OWN_FRAMES):
            writer.write(DIRECTIONS[number % 2], frame, number / 8, "realtime")
    expected = [elide_audio(frame) if is_elided else frame for frame in OWN_FRAMES]
    assert (expected != OWN_FRAMES) is is_elided
    assert capture.load(str(tmp_path / name)) == [
        Record(number + 1, frame, DIRECTIONS[number % 2], number / 8, "realtime")
        for number, frame in enumerate(expected)
    ]


@each_name
def test_the_name_says_whether_it_is_gzipped(name: str, tmp_path: Path) -> None:
    with capture.create(tmp_path / name) as writer:
        writer.write("client", FRAME, 1)
    data = (tmp_path / name).read_bytes()
    assert data.startswith(b"\x1f\x8b") is name.endswith(".gz")
    assert (gzip.decompress(data) if name.endswith(".gz") else data).endswith(b"}\n")


@each_name
def test_no_file_is_written_over(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        capture.create(tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"mine"


@each_name
def test_it_may_be_closed_twice_and_takes_no_more(name: str, tmp_path: Path) -> None:
    writer = capture.create(tmp_path / name)
    writer.write("client", FRAME, 1)
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write("client", FRAME)
    with pytest.raises(ValueError, match="closed"):
        writer.flush()
    assert lines_of(tmp_path / name) == [Record(1, FRAME, "client", 1.0)]


def test_threads_may_share_a_writer() -> None:
    class Slow(Calls):
        busy = 0

        def write(self, line: bytes, /) -> None:
            self.busy += 1
            time.sleep(0.002)
            super().write(line * self.busy)
            self.busy -= 1

    file = Slow()
    writer = capture.Writer(file)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: writer.write("server", FRAME, number), range(40)))
    assert sorted(item.timestamp or 0 for item in map(only, file.lines)) == [*range(40)]


def only(line: bytes) -> Record:
    (found,) = read(line)
    assert isinstance(found, Record)
    return found


def test_only_frames_are_loaded(tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    torn = record(direction="server", timestamp=1)[:-9]
    path.write_bytes(
        b"\n".join([FRAME, b"", b"[1]", record(raw="no JSON", timestamp=1), record(), FRAME[:-1], torn])
    )
    assert capture.load(path) == [
        Record(1, FRAME),
        Record(4, b"no JSON", None, 1.0),
        Record(5, FRAME),
    ]
    with pytest.raises(FileNotFoundError):
        capture.load(tmp_path / "none.jsonl")


# Survival -------------------------------------------------------------------------------------


def frames_of(count: int) -> list[bytes]:
    return [b'{"type":"x","n":%d,"text":"%b"}' % (n, b'ab\\n"' * (n % 7)) for n in range(count)]


def records_of(frames: list[bytes]) -> list[Record]:
    return [Record(number, frame, "server", 1.0) for number, frame in enumerate(frames, 1)]


def test_a_plain_line_is_in_the_file_once_it_is_written(tmp_path: Path) -> None:
    path, frames = tmp_path / "a.jsonl", frames_of(20)
    with capture.create(path) as writer:
        for number, frame in enumerate(frames, 1):
            writer.write("server", frame, 1)
            assert lines_of(path) == records_of(frames[:number])


def test_a_plain_file_broken_anywhere_gives_its_whole_lines(tmp_path: Path) -> None:
    path, frames = tmp_path / "a.jsonl", frames_of(12)
    with capture.create(path) as writer:
        for frame in frames:
            writer.write("server", frame, 1)
    data = path.read_bytes()
    for end in range(len(data)):
        path.write_bytes(data[:end])
        # A line that lacks nothing but its end of line is whole.
        assert capture.load(path) == records_of(frames[: data.count(b"\n", 0, end + 1)])


def test_a_gzipped_file_broken_anywhere_gives_what_was_flushed(tmp_path: Path) -> None:
    path, frames = tmp_path / "a.jsonl.gz", frames_of(60)
    flushed = {}
    with capture.create(path) as writer:
        for number, frame in enumerate(frames, 1):
            writer.write("server", frame, 1)
            if number % 7 == 0:
                writer.flush()
                flushed[path.stat().st_size] = number
    data = path.read_bytes()
    assert len(flushed) == 8
    for end in range(len(data)):
        path.write_bytes(data[:end])
        found = capture.load(path)
        assert found == records_of(frames[: len(found)])
        assert len(found) >= max((number for size, number in flushed.items() if size <= end), default=0)


def test_a_gzipped_file_is_flushed_by_the_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(capture, "monotonic", lambda: now)
    path, frames = tmp_path / "a.jsonl.gz", frames_of(100)
    last = 0
    with capture.create(path) as writer:
        for number, frame in enumerate(frames, 1):
            writer.write("server", frame, 1)
            found = capture.load(path)
            assert found == records_of(frames[: len(found)])
            if len(found) > last:
                last, flushed_at = number, now
                assert len(found) == number
            assert now - flushed_at < 1
            now += 0.125
    assert last > 90


def test_a_gzipped_file_is_flushed_by_64_kb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "monotonic", lambda: 0.0)
    path, frames = tmp_path / "a.jsonl.gz", [b'{"type":"x","n":%04d}' % n for n in range(3000)]
    sizes, size = (
        set(),
        len(b'{"timestamp":1,"direction":"server","raw":"{\\"type\\":\\"x\\",\\"n\\":0000}"}\n'),
    )
    with capture.create(path) as writer:
        for frame in frames:
            writer.write("server", frame, 1)
            sizes.add(path.stat().st_size)
    assert len(sizes) <= 2 + 3000 * size // 2**16
    writer = capture.create(tmp_path / "b.jsonl.gz")
    for number, frame in enumerate(frames, 1):
        writer.write("server", frame, 1)
        if number % 100 == 0:
            assert (number - len(capture.load(tmp_path / "b.jsonl.gz"))) * size < 2**16
    writer.close()


CHILD = """
import sys
from rtproto import capture

writer = capture.create(sys.argv[1])
for number in range(3000):
    writer.write("server", b'{"type":"x","n":%d}' % number, 1)
if "flush" in sys.argv:
    writer.flush()
print("written", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("name", "flush", "most_lost"),
    [("a.jsonl", "", 0), ("a.jsonl.gz", "flush", 0), ("a.jsonl.gz", "", 2**16)],
)
def test_what_was_written_survives_a_kill(name: str, flush: str, most_lost: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path / name), flush]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        told = child.stdout.readline()
        child.kill()
    assert told.strip() == b"written"
    assert child.returncode
    frames = [b'{"type":"x","n":%d}' % number for number in range(3000)]
    found = capture.load(tmp_path / name)
    assert found == records_of(frames[: len(found)])
    assert sum(len(frame) for frame in frames[len(found) :]) <= most_lost


# Elision --------------------------------------------------------------------------------------

SAMPLES = bytes(range(7, 250)) * 2
PAYLOADS = [SAMPLES, SAMPLES[:-1], SAMPLES[:-2]]  # padded with none, one and two


def silence(audio: str) -> str:
    kept = audio.rstrip("=")
    return "A" * len(kept) + audio[len(kept) :]


def is_gone(samples: bytes, frame: bytes) -> bool:
    """Whether no part of some audio is left, as it stands in base64."""
    audio = base64.b64encode(samples)
    return not any(audio[at : at + 12] in frame for at in range(len(audio) - 12))


DELTA = '{"type":"%s","event_id":"event_1","item_id":"item_1","delta":"AUDIO"}'
ITEM = '{"id":"item_1","type":"message","role":"user","content":[{"type":"input_audio","audio":"AUDIO"}]}'
WITH_AUDIO = {
    "append": '{"type":"input_audio_buffer.append","audio":"AUDIO"}',
    "append with an id": '{"event_id":"evt_1","type":"input_audio_buffer.append","audio":"AUDIO"}',
    "append to a translation": '{"type":"session.input_audio_buffer.append","audio":"AUDIO"}',
    "delta": DELTA % "response.output_audio.delta",
    "delta of a translation": DELTA % "session.output_audio.delta",
    "delta of the beta": DELTA % "response.audio.delta",
    "delta of a vendor": DELTA % "vendor.AudioChunk",
    "delta that is not last": '{"type":"response.output_audio.delta","delta":"AUDIO","obfuscation":"aGVs"}',
    "delta before its type": '{"delta":"AUDIO","event_id":"delta","type":"response.output_audio.delta"}',
    "delta in a delta": '{"type":"vendor.audio","delta":{"delta":"AUDIO","text":"delta"}}',
    "created": f'{{"type":"conversation.item.create","item":{ITEM}}}',
    "added": f'{{"type":"conversation.item.added","event_id":"e","previous_item_id":null,"item":{ITEM}}}',
    "retrieved": f'{{"type":"conversation.item.retrieved","event_id":"e","item":{ITEM}}}',
    "input": f'{{"type":"response.create","response":{{"input":[{ITEM},{ITEM}],"audio":{{"output":{{}}}}}}}}',
    "output": f'{{"type":"response.done","response":{{"audio":{{"output":{{}}}},"output":[{ITEM}]}}}}',
    "part": '{"type":"response.content_part.done","part":{"type":"audio","transcript":"a","audio":"AUDIO"}}',
    "unknown": '{"type":"vendor.thing","deep":[[{"audio":"AUDIO"}]],"delta":"left","audio":"AUDIO"}',
    "given twice": '{"type":"input_audio_buffer.append","audio":"AUDIO","audio":"AUDIO"}',
    "behind quotes": r'{"type":"x","text":"\"","audio":"AUDIO","t":"\\","audio":"AUDIO","\"":"\\\""}',
    "no event": '[{"type":"response.audio.delta","delta":"AUDIO"},{"audio":"AUDIO"}]',
    "no type": '{"delta":"AUDIO"}',
    "cut off": '{"type":"input_audio_buffer.append","audio":"AUDIO',
    "cut off after": '{"type":"response.output_audio.delta","delta":"AUDIO","a',
    "cut off before": 'e":"response.audio.delta","delta":"AUDIO"}',
    "garbled": '{"type":"input_audio_buffer.append",,"audio":"AUDIO" "x}\x00"audio"  \n:"AUDIO"',
    "type not told": '{"event_id","type":"response.audio.delta","delta":"AUDIO"',
}
SPELLED = {
    "pretty": '{\n  "type" : "input_audio_buffer.append",\r\n\t"audio"\t\n : \r\n "AUDIO"\n}\n',
    "key": r'{"type":"input_audio_buffer.append","\u0061ud\u0069\u006F":"AUDIO"}',
    "delta key": r'{"type":"response.output_audio.delta","d\u0065\u006Ct\u0061":"AUDIO"}',
    "type": r'{"type":"response.output\u005faudio.delt\u0061","delta":"AUDIO"}',
    "type key": r'{"typ\u0065":"response.output_audio.delta","delta":"AUDIO"}',
}


@pytest.mark.parametrize("samples", PAYLOADS)
@pytest.mark.parametrize("template", [*WITH_AUDIO.values(), *SPELLED.values()], ids=[*WITH_AUDIO, *SPELLED])
def test_audio_becomes_as_much_silence_and_all_else_stays(template: str, samples: bytes) -> None:
    audio = base64.b64encode(samples).decode()
    frame = template.replace("AUDIO", audio).encode()
    elided = elide_audio(frame)
    assert elided.decode() == template.replace("AUDIO", silence(audio))
    assert elide_audio(elided) == elided
    assert is_gone(samples, elided)
    assert not is_gone(samples, frame)


@pytest.mark.parametrize("samples", [b"", *PAYLOADS])
@pytest.mark.parametrize(("name", "field"), pcm.FIELDS.items())
def test_audio_keeps_its_length(name: str, field: str, samples: bytes) -> None:
    frame = json.dumps({"type": name, field: base64.b64encode(samples).decode()}).encode()
    elided = elide_audio(frame)
    assert pcm.payload(elided) == bytes(len(samples))
    assert pcm.payload_size(elided) == pcm.payload_size(frame) == len(samples)
    assert len(elided) == len(frame)


ESCAPES = {
    "slashes": {"/": r"\/"},
    "plus": {"+": r"\u002B", "=": r"\u003D"},
    "html": {"=": r"\u003d", "/": r"\u002f"},
    "all": {chr(code): rf"\u{code:04x}" for code in range(128)},
}


@pytest.mark.parametrize("samples", PAYLOADS)
@pytest.mark.parametrize("escapes", ESCAPES.values(), ids=ESCAPES)
def test_audio_keeps_its_length_however_it_is_escaped(escapes: dict[str, str], samples: bytes) -> None:
    audio = "".join(escapes.get(letter, letter) for letter in base64.b64encode(samples).decode())
    frame = f'{{"type":"response.output_audio.delta","delta":"{audio}","note":"\\/"}}'.encode()
    elided = elide_audio(frame)
    assert json.loads(elided) == json.loads(frame) | {"delta": base64.b64encode(bytes(len(samples))).decode()}
    assert pcm.payload(elided) == bytes(len(samples))
    assert len(elided) == len(frame)
    assert elided.endswith(b',"note":"\\/"}')
    assert elide_audio(elided) == elided


@pytest.mark.parametrize(
    "frame",
    [
        *(
            DELTA.replace("AUDIO", "Hello") % name
            for name in ("response.output_audio_transcript.delta", "x.y")
        ),
        DELTA.replace("AUDIO", "Hello") % "conversation.item.input_audio_transcription.delta",
        DELTA.replace("AUDIO", "Hello") % "session.input_transcript.delta",
        DELTA.replace("AUDIO", "{}") % "response.function_call_arguments.delta",
        '{"type":"session.update","session":{"audio":{"input":{"format":{"type":"audio/pcm"}}},"x":["audio","b"]}}',
        '{"type":"x","tools":[{"parameters":{"properties":{"audio":{"type":"string"}},"required":["audio"]}}]}',
        '{"type":"x","session":{"output_modalities":["audio"],"audio":null,"instructions":"audio"}}',
        '{"type":"error","error":{"param":"audio","message":"\\"audio\\":\\"YWJj\\""}}',
        r'{"type":"x","arguments":"{\"audio\":\"YWJj\",\"a\":[\"audio\" : \"b\"]}"}',
        '{"type":"x","audios":"x","xaudio":"y","Audio":"z","audi\\u0070":"a"}',
        r'{"type":"x","say \"audio":"value","\\\"audio":"value","a":"\"audio"}',
        '{"type":"response.output_audio.done","id":"delta","transcript":"audio","a":["delta"]}',
        '{"type":"x","audio":7,"a":{"audio":["YWJj"]}}',
        "",
        "audio",
        '"audio"',
        '"audio":',
        '{"audio"   ',
    ],
)
def test_what_is_no_audio_is_untouched(frame: str) -> None:
    assert elide_audio(frame.encode()) == frame.encode()


def test_a_frame_without_audio_is_the_very_same() -> None:
    assert elide_audio(FRAME) is FRAME


@pytest.mark.parametrize("template", [*WITH_AUDIO.values(), *SPELLED.values()], ids=[*WITH_AUDIO, *SPELLED])
def test_a_frame_cut_anywhere_holds_no_audio(template: str) -> None:
    frame = template.replace("AUDIO", base64.b64encode(SAMPLES).decode()).encode()
    for end in range(len(frame)):
        elided = elide_audio(frame[:end])
        assert len(elided) == end
        assert is_gone(SAMPLES, elided)


def silenced(value: Any, keys: set[str]) -> Any:
    if isinstance(value, list):
        return [silenced(item, keys) for item in value]
    if isinstance(value, dict):
        return {
            key: silence(item) if key in keys and isinstance(item, str) else silenced(item, keys)
            for key, item in value.items()
        }
    return value


def test_every_own_frame_stays_the_same_event() -> None:
    changed = set()
    for frame in OWN_FRAMES:
        elided, event = elide_audio(frame), json.loads(frame)
        name = event["type"]
        keys = {"audio", "delta"} if pcm.FIELDS.get(name) == "delta" else {"audio"}
        assert json.loads(elided) == silenced(event, keys)
        assert len(elided) == len(frame)
        changed |= {name} if elided != frame else set()
    assert pcm.FIELDS.keys() <= changed
    assert changed - pcm.FIELDS.keys() == {
        "conversation.item.create",
        "conversation.item.retrieved",
        "response.content_part.done",
    }


BASE64 = st.binary(max_size=60).map(lambda samples: base64.b64encode(samples).decode())


@st.composite
def events(draw: st.DrawFn) -> tuple[rtproto.Event, rtproto.Event]:
    """An event, and the same with silence for its audio; one text may stand in all its other fields."""
    audio, text = draw(BASE64), draw(TEXTS | BASE64)
    address = {"event_id": text, "response_id": text, "item_id": text, "output_index": 0, "content_index": 0}

    def event(kind: int, audio: str) -> rtproto.Event:
        content = [
            items.input_audio(audio, transcript=text),
            items.input_text(text),
            items.input_audio(audio),
        ]
        return (
            client.InputAudioBufferAppend(audio=audio, event_id=text),
            client.ConversationItemCreate(item=items.user(*content, id=text)),
            server.ConversationItemRetrieved(event_id=text, item=items.user(*content)),
            server.ResponseOutputAudioDelta(delta=audio, obfuscation=text, **address),
            server.ResponseOutputAudioTranscriptDelta(delta=text, **address),
            server.ResponseContentPartDone(part=items.audio_part(text, audio=audio), **address),
        )[kind]

    kind = draw(st.integers(0, 5))
    return event(kind, audio), event(kind, silence(audio))


@given(events())
def test_an_event_stays_the_same_but_for_its_audio(pair: tuple[rtproto.Event, rtproto.Event]) -> None:
    loud, silent = map(rtproto.encode, pair)
    assert elide_audio(loud) == elide_audio(silent) == silent


PIECES = [
    *("a", "audio", "delta", "YWJj", "YQ==", "=", "é", "😀", "{", "}", ":", ",", " "),
    *(r"\"", r"\\", r"\/", r"\n", r"\u0061", r"\u003D", r"\ud83d", r"\"audio\":\""),
]
STRINGS = st.lists(st.sampled_from(PIECES), max_size=5).map(lambda parts: f'"{"".join(parts)}"')
KEYS = STRINGS | st.sampled_from(['"audio"', '"delta"', r'"\u0061ud\u0069o"', r'"d\u0065lta"', r'"\"audio"'])
SPACES = st.sampled_from(["", "", " ", "\n\t"])


def listed(brackets: str, parts: st.SearchStrategy[str], *first: str) -> st.SearchStrategy[str]:
    parted = st.tuples(SPACES, parts, SPACES).map("".join)
    listed = st.lists(parted, max_size=4).flatmap(lambda parts: st.permutations([*parts, *first]))
    return listed.map(lambda parts: brackets[0] + ",".join(parts) + brackets[1])


def objects(values: st.SearchStrategy[str], *first: str) -> st.SearchStrategy[str]:
    return listed("{}", st.tuples(KEYS, SPACES, st.just(":"), SPACES, values).map("".join), *first)


VALUES = st.recursive(
    STRINGS | st.sampled_from(["1.0", "null"]),
    lambda inner: objects(inner) | listed("[]", inner),
    max_leaves=8,
)
TYPES = {"vendor.audio.delta": {"audio", "delta"}, "vendor.delta": {"audio"}, "x.audio_transcript": {"audio"}}


def expected(text: str, keys: set[str]) -> str:
    """What elision should make of sound JSON, told by its tokens."""
    tokens = re.split(r'("(?:[^"\\]|\\.)*")', text)
    for at in range(3, len(tokens), 2):
        if tokens[at - 1].strip() == ":" and json.loads(tokens[at - 2]) in keys:
            plain = re.sub(
                r"\\(u....|.)", lambda found: "=" if found[1] == "u003D" else "A", tokens[at][1:-1]
            )
            size = len(tokens[at].encode())
            silent = silence("".join(letter * len(letter.encode()) for letter in plain))
            tokens[at] = f'"{silent}"'.ljust(size)
    return "".join(tokens)


@pytest.mark.parametrize(("name", "keys"), TYPES.items())
@given(data=st.data())
def test_in_json_of_any_spelling_it_finds_audio_and_nothing_else(
    name: str, keys: set[str], data: st.DataObject
) -> None:
    frame = data.draw(objects(VALUES, f'"type": "{name}"'))
    assert elide_audio(frame.encode()).decode() == expected(frame, keys)


GARBAGE = [piece.encode() for piece in (*PIECES, '"', '"audio"', '"audio":"', '"delta":"', '"type":"x"')]


@given(st.lists(st.sampled_from(GARBAGE) | st.binary(max_size=3), max_size=20).map(b"".join))
def test_whatever_it_is_given_keeps_its_length_and_is_elided_once(data: bytes) -> None:
    elided = elide_audio(data)
    assert len(elided) == len(data)
    assert elide_audio(elided) == elided


@pytest.mark.parametrize(
    "part",
    [
        b'"audio":"',
        b'"audio" ',
        b'"audio"' + b" " * 999,
        rb'"audio":"\"',
        rb"\"",
        b"\\",
        b'"audio":"AAAA",',
        b"{",
    ],
)
@pytest.mark.parametrize("head", [b'{"type":"vendor.audio",', b'{"type":"vendor.audio","audio":"', b"{"])
def test_no_frame_takes_long(head: bytes, part: bytes) -> None:
    frame = head + part * (1_000_000 // len(part))
    began = time.process_time()
    assert len(elide_audio(frame)) == len(frame)
    assert time.process_time() - began < 2  # a hundred times what it takes
