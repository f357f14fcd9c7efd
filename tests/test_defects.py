"""None of the original crate's known defects, D1 to D10, is here; each has a test that names it."""

import pytest

import rtproto
from rtproto import UNSET, Unknown, client, server, types

from .conftest import first_frame, same_json


def _session(fields: bytes) -> types.SessionCreateRequest:
    event = rtproto.decode_client(
        b'{"type":"session.update","session":{"type":"realtime"%s}}' % fields, strict=True
    )
    assert isinstance(event, client.SessionUpdate)
    assert isinstance(event.session, types.SessionCreateRequest)
    return event.session


@pytest.mark.parametrize(
    ("codec", "event_type"),
    [("client", "session.update"), ("server", "session.created"), ("server", "session.updated")],
)
def test_d1_sessions_decode_and_say_their_type_once(codec: str, event_type: str) -> None:
    raw = first_frame(codec, event_type)
    event = (rtproto.decode_client if codec == "client" else rtproto.decode_server)(raw, strict=True)
    assert not isinstance(event, Unknown)
    assert rtproto.encode(event).count(b'"type":"realtime"') == 1


@pytest.mark.parametrize(("tools", "count"), [(b"[]", 0), (b'[{"type":"function","name":"f"}]', 1)])
def test_d2_tools_are_a_list(tools: bytes, count: int) -> None:
    found = _session(b',"tools":' + tools).tools
    assert isinstance(found, list)
    assert len(found) == count


def test_d3_no_modality_is_injected() -> None:
    session = _session(b',"instructions":"Be brief."')
    assert session.output_modalities is UNSET
    encoded = rtproto.encode(client.SessionUpdate(session=session))
    assert encoded == b'{"type":"session.update","session":{"type":"realtime","instructions":"Be brief."}}'


def test_d4_null_stays_null() -> None:
    raw = (
        b'{"type":"session.update","session":{"type":"realtime","tracing":null,"audio":'
        b'{"input":{"noise_reduction":null,"turn_detection":null}}}}'
    )
    assert rtproto.encode(rtproto.decode_client(raw)) == raw


def test_d5_an_unknown_event_keeps_its_payload() -> None:
    raw = b'{"type":"response.video.delta","delta":"AAAA"}'
    assert rtproto.encode(rtproto.decode_server(raw)) == raw


@pytest.mark.parametrize(
    "limit", [b'{"remaining":-1}', b'{"limit":4294967296}', b'{"remaining":1500.0}', b'{"reset_seconds":60}']
)
def test_d6_numbers_are_neither_bounded_nor_converted(limit: bytes) -> None:
    raw = b'{"type":"rate_limits.updated","event_id":"e","rate_limits":[%s]}' % limit
    event = rtproto.decode_server(raw, strict=True)
    assert isinstance(event, server.RateLimitsUpdated)
    assert rtproto.encode(event) == raw


def test_d6_seconds_keep_their_digits() -> None:
    raw = first_frame("server", "conversation.item.input_audio_transcription.segment")
    start = raw.index(b'"start":') + len(b'"start":')
    raw = raw[:start] + b"12.3456789" + raw[raw.index(b",", start) :]
    event = rtproto.decode_server(raw)
    assert isinstance(event, server.ConversationItemInputAudioTranscriptionSegment)
    assert event.start == 12.3456789
    assert rtproto.encode(event) == raw


@pytest.mark.parametrize(
    "fields",
    [
        b',"output_modalities":["avatar"]',
        b',"include":["file_search_call.results"]',
        b',"reasoning":{"effort":"none"}',
        b',"model":"gpt-realtime-99"',
        b',"audio":{"input":{"noise_reduction":{"type":"mid_field"}},"output":{"voice":"nova"}}',
        b',"audio":{"input":{"turn_detection":{"type":"semantic_vad","eagerness":"instant"}}}',
        b',"tools":[{"type":"mcp","server_label":"m","connector_id":"connector_new","require_approval":"sometimes"}]',
        b',"tool_choice":"maybe","max_output_tokens":"few","tracing":"verbose","truncation":"soon"',
    ],
)
def test_d7_a_new_value_fails_nothing(fields: bytes) -> None:
    assert fields in rtproto.encode(client.SessionUpdate(session=_session(fields)))


def test_d7_a_new_status_fails_nothing() -> None:
    raw = (
        b'{"type":"response.done","event_id":"e","response":{"status":"paused","status_details":'
        b'{"type":"paused","reason":"user_left"},"output":[{"type":"message","status":"paused","role":"tool","content":[]}]}}'
    )
    assert rtproto.encode(rtproto.decode_server(raw, strict=True)) == raw


@pytest.mark.parametrize("kind", ["text", "audio", "item_reference", "hologram"])
def test_d8_any_content_part_is_taken(kind: str) -> None:
    raw = (
        b'{"type":"conversation.item.retrieved","event_id":"e","item":{"type":"message","role":"assistant","content":'
        b'[{"type":"%s","id":"x"}]}}' % kind.encode()
    )
    event = rtproto.decode_server(raw, strict=True)
    assert isinstance(event, server.ConversationItemRetrieved)
    assert isinstance(event.item, types.Message)
    assert event.item.content[0].type == kind


@pytest.mark.parametrize("event_type", ["session.created", "session.updated"])
def test_d9_a_returned_session_keeps_what_it_is(event_type: str) -> None:
    raw = first_frame("server", event_type)
    event = rtproto.decode_server(raw)
    assert isinstance(event, server.SessionCreated | server.SessionUpdated)
    assert isinstance(event.session, types.SessionCreateResponse)
    assert event.session.id.startswith("sess_")
    assert event.session.object == "realtime.session"
    assert isinstance(event.session.expires_at, int)
    assert same_json(rtproto.encode(event), raw)


@pytest.mark.parametrize("event_id", [b"", b'"event_id":"event_1",'])
def test_d10_dtmf_may_have_an_event_id(event_id: bytes) -> None:
    raw = (
        b'{"type":"input_audio_buffer.dtmf_event_received",%s"event":"9","received_at":1763605109}' % event_id
    )
    event = rtproto.decode_server(raw)
    assert isinstance(event, server.InputAudioBufferDtmfEventReceived)
    assert (event.event_id is UNSET) is not bool(event_id)
    assert rtproto.encode(event) == raw
