"""Laws that hold for every frame of every capture: no exception, nothing lost, nothing invented."""

import contextlib
import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import rtproto
from rtproto import NotAnEvent, Unknown

from .conftest import CODECS, FRAMES, OwnFrame, kinds, same_json
from .json_texts import parse


class Captured(NamedTuple):
    """A line of a capture, as far as it says what it is."""

    where: str
    raw: str
    surface: str
    direction: str
    is_ga: bool
    is_documentation: bool

    @property
    def side(self) -> str:
        return ("translation_" if self.surface == "translation" else "") + self.direction

    @property
    def codec(self) -> rtproto.Codec[Any]:
        return CODECS[self.side]


def captured_frames(capture: Path) -> Iterator[Captured]:
    """Every line of a capture that holds an event; what holds none is no matter here."""
    opener = gzip.open if capture.suffix == ".gz" else open
    with opener(capture, "rb") as file:
        for number, line in enumerate(file, 1):
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                yield _captured(f"{capture.name}:{number}", line.decode())


def _captured(where: str, line: str) -> Captured:
    record = json.loads(line)
    found = record if "raw" in record and "type" not in record else {"raw": line.strip()}
    raw = found["raw"] if isinstance(found["raw"], str) else json.dumps(found["raw"])
    name = json.loads(raw)["type"]
    if not isinstance(name, str):
        raise TypeError(name)
    return Captured(
        where,
        raw,
        found.get("surface", "realtime"),
        found.get("direction") or ("client" if name in rtproto.client_codec.types else "server"),
        found.get("dialect") == "ga",
        found.get("origin") == "docs",
    )


def _is_part_of(model: Any, wire: Any) -> bool:
    """Whether the model holds nothing that the wire does not: no value invented, none changed."""
    if isinstance(model, dict) and isinstance(wire, dict):
        return all(key in wire and _is_part_of(value, wire[key]) for key, value in model.items())
    if isinstance(model, list) and isinstance(wire, list):
        return len(model) == len(wire) and all(map(_is_part_of, model, wire))
    return bool(kinds(model) == kinds(wire))


def test_our_own_frames_are_typed_whole(own_frame: OwnFrame) -> None:
    event = own_frame.codec.decode(own_frame.raw, strict=True)
    assert not isinstance(event, Unknown)
    assert same_json(rtproto.encode(event), own_frame.raw)


def test_a_capture_holds_events(capture: Path) -> None:
    assert next(captured_frames(capture), None), "no line of it holds an event"


def test_nothing_is_invented_or_changed(capture: Path) -> None:
    for frame in captured_frames(capture):
        event = frame.codec.decode(frame.raw)
        encoded = rtproto.encode(event)
        if isinstance(event, Unknown):
            assert encoded == event.raw == frame.raw.encode(), frame.where
        assert _is_part_of(json.loads(encoded), json.loads(frame.raw)), frame.where
        assert frame.codec.decode(encoded) == event, frame.where


def test_ga_frames_are_typed_whole(capture: Path) -> None:
    ga_frames = [frame for frame in captured_frames(capture) if frame.is_ga]
    if not ga_frames:
        pytest.skip("the capture does not say that it is GA")
    for frame in ga_frames:
        event = frame.codec.decode(frame.raw)
        if frame.is_documentation and event.type != event.type.strip():
            continue  # A typo of the documentation: a type with a space before it.
        assert not isinstance(event, Unknown), frame.where
        assert same_json(rtproto.encode(event), frame.raw), frame.where


def test_every_input_type_decodes_alike(capture: Path) -> None:
    for frame in captured_frames(capture):
        data = frame.raw.encode()
        event = frame.codec.decode(data)
        for form in (frame.raw, bytearray(data), memoryview(data)):
            assert frame.codec.decode(form) == event, frame.where
            assert frame.codec.probe(form) == event.type, frame.where


def test_a_frame_is_edited_without_a_trace_elsewhere(capture: Path) -> None:
    for captured in captured_frames(capture):
        frame = FRAMES[captured.side](captured.raw)
        assert frame.event.type == frame.type, captured.where
        assert frame.with_event(frame.event).data == captured.raw, captured.where
        old = parse(captured.raw)
        assert old.members
        for key, value in old.members:
            if key == "type":
                continue
            new = parse(str(frame.replace(**{key: None}).data))
            assert new.members
            for (old_key, old_value), (new_key, new_value) in zip(old.members, new.members, strict=True):
                expected = "null" if key == old_key else old_value.text
                assert (new_key, new_value.text) == (old_key, expected), captured.where
            if value.members:
                inside = (key, value.members[-1][0])
                edited = frame.set(inside, None)
                assert json.loads(parse(str(edited.data)).last(key).text)[inside[1]] is None  # type: ignore[union-attr]
                assert frame.get(inside) == json.loads(value.members[-1][1].text), captured.where


def test_no_frame_cut_short_is_an_event(capture: Path) -> None:
    for frame in islice(captured_frames(capture), 20):
        data = frame.raw.rstrip().encode()
        for end in range(0, len(data), max(1, len(data) // 40)):
            with pytest.raises(NotAnEvent):
                frame.codec.decode(data[:end])
