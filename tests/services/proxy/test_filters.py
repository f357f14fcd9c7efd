"""A type that is not allowed does not pass, however it is written."""

import json
from typing import Any

import pytest
from hypothesis import given

from rtproto.services.proxy.filters import AllowTypes, DenyTypes
from rtproto.services.proxy.opening import Refused
from tests.services.proxy.shell import Talk
from tests.services.proxy.spelling import events, first_wins

APPEND = b'{"type":"input_audio_buffer.append","audio":"AAAA"}'
CREATE = b'{"type": "response.create", "event_id": "mine"}'
DELTA = b'{"type":"response.output_text.delta","delta":"secret"}'
DONE = b'{"type":"response.done","response":{}}'
DENY = DenyTypes(client={"response.create"}, server={"response.done"})
ALLOW = AllowTypes(client={"input_audio_buffer.append"}, server={"response.output_text.delta"})


@pytest.mark.parametrize("policy", [DENY, ALLOW])
def test_what_is_allowed_goes_on_as_it_came_and_what_is_not_stays(policy: Any) -> None:
    talk = Talk(policy)
    assert talk.send(APPEND) == [APPEND]
    assert talk.receive(DELTA) == [DELTA]
    assert talk.receive(DONE) == []
    assert talk.errors == []
    assert talk.send(CREATE) == []
    (error,) = talk.errors
    assert error["code"] == "event_not_allowed"
    assert (error["type"], error["param"], error["event_id"]) == ("invalid_request_error", "type", "mine")
    assert "response.create" in error["message"]


@pytest.mark.parametrize("policy", [DENY, ALLOW])
def test_what_is_dropped_is_counted(policy: Any) -> None:
    talk = Talk(policy)
    talk.send(CREATE)
    talk.receive(DONE)
    frames = talk.pipeline.counts.snapshot().frames
    assert frames == {"client": {"response.create": 1}, "server": {"response.done": 1}}


def test_types_that_nobody_knows_are_allowed_only_if_named() -> None:
    vendor = b'{"type":"vendor.ping"}'
    assert Talk(DENY).send(vendor) == [vendor]
    assert Talk(ALLOW).send(vendor) == Talk(ALLOW).receive(vendor) == []
    named = AllowTypes(client={"vendor.ping"}, server={"vendor.ping"}, vendor_names=True)
    assert Talk(named).send(vendor) == Talk(named).receive(vendor) == [vendor]
    denied = DenyTypes(client={"vendor.ping"}, server={"vendor.ping"}, vendor_names=True)
    assert Talk(denied).send(vendor) == Talk(denied).receive(vendor) == []


def test_none_restricts_no_side_and_an_empty_collection_all_of_it() -> None:
    assert Talk(AllowTypes()).send(CREATE) == [CREATE]
    assert Talk(AllowTypes()).receive(DONE) == [DONE]
    assert Talk(AllowTypes(client=())).send(CREATE) == []
    assert Talk(AllowTypes(client=())).send(b"{") == []
    assert Talk(AllowTypes(client=())).receive(DONE) == [DONE]
    assert Talk(AllowTypes(server=())).send(CREATE) == [CREATE]
    assert Talk(AllowTypes(server=())).receive(DONE) == []
    assert Talk(DenyTypes()).send(CREATE) == [CREATE]


def test_what_is_allowed_costs_no_look() -> None:
    rows = Talk(AllowTypes(server={"response.done"})).pipeline.counts.rows["server"]
    assert not rows["response.done"].is_wanted
    assert rows["error"].is_wanted


@pytest.mark.parametrize(
    "text",
    [
        b'{"type":"input_audio_buffer.append","type":"response.create"}',
        b'{"type":"input_audio_buffer.append","audio":"AAAA"',
        b'{"type":"input_audio_buffer.append"}{"type":"response.create"}',
        b'{"type":"input_audio_buffer.append","x":"\xff"}',
        b'["response.create"]',
        b'{"type":["response.create"]}',
        b"response.create",
        b"",
    ],
)
@pytest.mark.parametrize("policy", [DENY, ALLOW])
def test_what_is_no_sound_event_is_refused(policy: Any, text: bytes) -> None:
    talk = Talk(policy)
    assert talk.send(text) == []
    assert [error["code"] for error in talk.errors] == ["invalid_event"]


def test_a_clients_binary_message_is_refused_where_clients_are_restricted() -> None:
    for policy, passes in [
        (DENY, False),
        (ALLOW, False),
        (DenyTypes(server={"error"}), True),
        (AllowTypes(), True),
    ]:
        talk = Talk(policy)
        talk.session.binary("client", b"\x00")
        assert talk.shell.binaries == [("client", b"\x00")] * passes
        assert len(talk.errors) == (not passes)


def test_what_is_no_event_comes_from_the_service_unless_types_are_named() -> None:
    for policy, passes in [(DENY, True), (ALLOW, False), (AllowTypes(client=()), True)]:
        talk = Talk(policy)
        assert talk.receive(b"{") == [b"{"] * passes
        talk.session.binary("server", b"\x00")
        assert talk.shell.binaries == [("server", b"\x00")] * passes


def test_bad_text_of_a_client_goes_on_where_only_the_service_is_restricted() -> None:
    assert Talk(DenyTypes(server={"error"})).send(b"{") == [b"{"]


@pytest.mark.parametrize("policy", [AllowTypes, DenyTypes])
def test_a_name_is_of_its_direction_unless_it_is_a_vendors(policy: Any) -> None:
    with pytest.raises(ValueError, match=r"'response\.creat'"):
        policy(client={"response.creat"})
    with pytest.raises(ValueError, match="the server has no event"):
        policy(server={"response.create"})
    policy(client={"session.close"}, server={"session.closed"})  # translation's
    with pytest.raises(TypeError, match="not one name"):
        policy(client="response.create")


@pytest.mark.parametrize(
    "query",
    [
        "model=a&model=b",
        "model=a&mod%65l=b",
        "model=a&Model=b",
        "MODEL=a",
        "x=1;model=a",
        "model=a#",
        "intent=transcription&intent=realtime",
        "call_id=a&call_id",
        "deployment=a&deployment=a",
        "+model=a",
    ],
)
def test_a_query_with_two_readings_is_refused(query: str) -> None:
    with pytest.raises(Refused) as refused:
        Talk(DENY, target=f"/v1/realtime?{query}")
    assert refused.value.status == 400


def test_a_plain_query_is_left_as_it_is_written() -> None:
    query = "mod%65l=a&x=1&x=2&intent=transcription"
    assert Talk(DENY, target=f"/v1/realtime?{query}").opening.query == query
    assert Talk(DENY, target="/v1/realtime").opening.query == ""


TYPES = ["response.create", "input_audio_buffer.append", "vendor.ping"]


@given(events(TYPES, ["response"], ["response.create", 1], ["typ", "event_id"]))
def test_no_spelling_brings_a_denied_type_through(data: bytes) -> None:
    for policy, is_allowed in [
        (DENY, lambda name: name != "response.create"),
        (ALLOW, lambda name: name == "input_audio_buffer.append"),
    ]:
        talk = Talk(policy)
        for sent in talk.send(data):
            assert sent == data
            assert is_allowed(json.loads(sent)["type"])
            assert is_allowed(first_wins(sent)["type"])
        assert len(talk.errors) == (not talk.shell.upstream)
        assert talk.shell.closes == []
