"""What the hub says is an event as any, is typed, and is mistaken for none of the service's."""

from typing import Any

import pytest

import rtproto
from rtproto._encode import to_json
from rtproto.services.fanout import AudioHeader, Ended, Lag, Notice, Snapshot, read_notice
from tests.conftest import own_frames

_COMMON: dict[str, Any] = {"event_id": "event_1", "session": "main"}
NOTICES = [
    Snapshot(**_COMMON, events=3, omitted=1),
    Lag(**_COMMON, cause="bus", audio_deltas=2, audio_bytes=13_000, audio_ms=200.5, control_events=1),
    AudioHeader(**_COMMON, response_id="resp_1", item_id="item_1", content_index=0, sample_rate=24_000),
    AudioHeader(**_COMMON, sample_rate=24_000),
    Ended(**_COMMON, reason="going away"),
]


@pytest.mark.parametrize("notice", NOTICES, ids=lambda notice: type(notice).__name__)
def test_a_notice_comes_back_as_it_was(notice: Notice) -> None:
    data = to_json(notice)
    assert read_notice(data) == read_notice(data.decode()) == notice
    event = rtproto.decode_server(data)
    assert isinstance(event, rtproto.Unknown)
    assert event.type.startswith("rtproto.")


@pytest.mark.parametrize("frame", [*own_frames()])
def test_no_event_of_a_service_is_a_notice(frame: Any) -> None:
    assert read_notice(frame.raw) is None


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"type":"rtproto.lag"}', b'{"type":"rtproto.new"}'])
def test_what_cannot_be_read_is_none(data: bytes) -> None:
    assert read_notice(data) is None
