"""Nothing passes that the model does not know, or finds a fault with."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtproto import client_codec, decode_client, encode, validate
from rtproto.services.proxy.validation import Validation
from rtproto.testing.strategies import client_frames, json_objects, translation_client_frames, unknown_frames
from tests.conftest import HERE
from tests.services.proxy.shell import Talk
from tests.services.proxy.spelling import events, every_value

TRANSLATION = "/v1/realtime/translations?model=gpt-realtime-translate"
OWN = (HERE / "frames" / "client.jsonl").read_text("utf-8").splitlines()
DELTA = (
    '{"type":"response.output_text.delta","event_id":"e","response_id":"r","item_id":"i","output_index":0,'
    '"content_index":0,"delta":"Hi"}'
)
MCP = '{"type":"mcp","server_label":"x"}'


def update(session: str) -> str:
    return f'{{"type":"session.update","event_id":"mine","session":{session}}}'


def session(members: str) -> str:
    return f'{{"type":"realtime",{members}}}'


def refusal(text: bytes | str, **options: Any) -> dict[str, Any]:
    talk = Talk(Validation(**options))
    assert talk.send(text) == []
    (error,) = talk.errors
    return error


@pytest.mark.parametrize("text", OWN)
def test_our_own_frames_go_on_as_they_came_or_have_a_problem(text: str) -> None:
    talk = Talk(Validation())
    problems = validate(decode_client(text))
    assert talk.send(text) == [text.encode()] * (not problems)
    assert [error["param"] for error in talk.errors] == [problem.param or "type" for problem in problems[:1]]


def test_most_of_our_own_frames_have_none() -> None:
    assert sum(not validate(decode_client(text)) for text in OWN) > len(OWN) / 2


@pytest.mark.parametrize(
    ("text", "code", "param"),
    [
        (update(session('"audio":{"output":{"speed":9}}')), "invalid_value", "session.audio.output.speed"),
        (update(session('"model":1')), "invalid_type", "session.model"),
        (update('{"model":"gpt-realtime"}'), "invalid_value", "session"),
        (update(session('"tools":[{"type":"x"}]')), "invalid_value", "session.tools[0]"),
        (update(session(f'"tools":[{MCP}]')), "missing_required_parameter", "session.tools[0]"),
        ('{"type":"session.update","event_id":"mine"}', "invalid_type", "session"),
        ('{"type":"response.creat","event_id":"mine"}', "invalid_value", "type"),
        ('{"type":"session.created","event_id":"mine"}', "invalid_value", "type"),
    ],
)
def test_the_first_problem_is_named(text: str, code: str, param: str) -> None:
    for rewrite in (False, True):
        error = refusal(text, rewrite=rewrite)
        assert (error["code"], error["param"], error["event_id"]) == (code, param, "mine")
        assert error["message"].startswith("Invalid ")


def test_too_long_an_event_id_is_refused() -> None:
    assert (
        refusal(json.dumps({"type": "response.cancel", "event_id": "x" * 513}))["code"]
        == "string_above_max_length"
    )


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"type":"response.create"',
        b'{"type":"response.create","x":"\xff"}',
        b'{"type":"response.create","type":"session.update"}',
        b'{"type":1}',
    ],
)
def test_what_is_no_event_is_refused(text: bytes) -> None:
    assert refusal(text)["code"] == refusal(text, rewrite=True)["code"] == "invalid_event"


def test_binary_messages_of_a_client_are_refused() -> None:
    talk = Talk(Validation())
    talk.session.binary("client", b"\x00")
    talk.session.binary("server", b"\x00")
    assert talk.shell.binaries == [("server", b"\x00")]
    assert [error["code"] for error in talk.errors] == ["invalid_event"]


def test_a_refusal_holds_nothing_of_the_event() -> None:
    secret = '{"type":"realtime","instructions":["secret"],"metadata":{"secret":"secret"}}'
    assert "secret" not in json.dumps([refusal(update(secret)), refusal(b'{"secret":"secret"')])


def test_what_is_rewritten_has_only_what_is_modelled() -> None:
    text = (
        '{"type":"session.update", "Type":"x", '
        '"session":{"type":"realtime","Model":"m","vendor":1,"tools":[]},"x":1}'
    )
    assert Talk(Validation()).send(text) == [text.encode()]
    (sent,) = Talk(Validation(rewrite=True)).send(text)
    assert sent == b'{"type":"session.update","session":{"type":"realtime","tools":[]}}'


def test_a_translation_session_speaks_its_own_dialect() -> None:
    text = '{"type":"session.update","session":{"audio":{"output":{"language":"es"}}}}'
    for rewrite in (False, True):
        assert Talk(Validation(rewrite=rewrite), target=TRANSLATION).send(text) == [text.encode()]
        assert Talk(Validation(rewrite=rewrite)).send(text) == []
        assert Talk(Validation(rewrite=rewrite), target=TRANSLATION).send('{"type":"response.create"}') == []


def test_the_services_events_pass_unless_held_to_it_too() -> None:
    odd = [b'{"type":"vendor.pong"}', b'{"type":"error"}', b"{", b'{"type":"response.done",']
    for held in (False, True):
        talk = Talk(Validation(server=held, rewrite=True))
        assert talk.receive(DELTA) == [DELTA.encode()]
        for text in odd:
            assert talk.receive(text) == [text] * (not held)
        talk.session.binary("server", b"\x00")
        assert len(talk.shell.binaries) == (not held)
        assert talk.shell.upstream == talk.shell.closes == []


@given(
    client_frames() | json_objects('"type":"session.update"', '"session":{"type":"realtime"}').map(str.encode)
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_what_goes_on_has_no_problem_and_is_refused_else(data: bytes) -> None:
    for rewrite in (False, True):
        talk = Talk(Validation(rewrite=rewrite))
        sent = talk.send(data)
        assert len(sent) + len(talk.errors) == 1
        assert talk.shell.closes == []
        for frame in sent:
            assert validate(decode_client(frame)) == []
            assert frame == (encode(decode_client(data)) if rewrite else data)


@given(translation_client_frames())
def test_translation_events_pass_or_are_refused(data: bytes) -> None:
    talk = Talk(Validation(rewrite=True), target=TRANSLATION)
    assert len(talk.send(data)) + len(talk.errors) == 1


@given(unknown_frames())
def test_no_unknown_type_passes(data: bytes) -> None:
    for sent in Talk(Validation()).send(data):
        assert json.loads(sent)["type"] in client_codec.types


@given(
    events(["session.update", "response.create"], ["session", "type"], ["realtime", "x"], ["y"]),
    st.booleans(),
)
def test_no_key_passes_twice(data: bytes, rewrite: bool) -> None:
    for sent in Talk(Validation(rewrite=rewrite)).send(data):
        for path in (["type"], ["session"], ["session", "type"]):
            assert len(every_value(sent, path)) <= 1
        assert not rewrite or every_value(sent, ["y"]) == []
