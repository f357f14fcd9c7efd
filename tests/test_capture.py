"""A capture is read as a stream: every line is a frame or a reason, and none is fatal."""

import gzip
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtproto import capture
from rtproto.capture import Record, Skipped

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
