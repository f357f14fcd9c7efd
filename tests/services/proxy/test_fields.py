"""Forced fields hold and forbidden ones stay out, in updates and in responses, however they are written."""

import json
import logging
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtproto import UNSET, types
from rtproto.services.proxy.fields import SessionFields
from rtproto.services.proxy.policy import Policy
from rtproto.testing import Script
from rtproto.testing.session import FakeSession
from rtproto.testing.strategies import json_objects
from rtproto.testing.transcription import TranscriptionSession
from rtproto.testing.translation import TranslationSession
from tests.services.proxy.shell import Talk
from tests.services.proxy.spelling import events, every_value

TRANSCRIPTION = "/v1/realtime?intent=transcription"
TRANSLATION = "/v1/realtime/translations?model=gpt-realtime-translate"
VOICE = {"audio.output.voice": "marin"}


def sent_by(fields: SessionFields, text: str | dict[str, Any]) -> str:
    talk = Talk(fields)
    (sent,) = talk.send(text)
    assert talk.errors == []
    return sent.decode()


def update(session: str) -> str:
    return f'{{"type":"session.update","session":{session}}}'


def create(response: str) -> str:
    return f'{{"type":"response.create","response":{response}}}'


# Forced


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        ('{"type":"realtime"}', '{"type":"realtime","audio":{"output":{"voice":"marin"}}}'),
        (
            '{"audio":{"output":{"voice":"ash","speed":1.50}},"x":1e0}',
            '{"audio":{"output":{"voice":"marin","speed":1.50}},"x":1e0}',
        ),
        ('{"audio":{"input":null},"x":1}', '{"audio":{"input":null,"output":{"voice":"marin"}},"x":1}'),
        ('{"audio":null}', '{"audio":{"output":{"voice":"marin"}}}'),
        ('{"audio":{"output":["ash"]}}', '{"audio":{"output":{"voice":"marin"}}}'),
        (
            '{"audi\\u006f":{"output":{"voic\\u0065":"ash"}}}',
            '{"audi\\u006f":{"output":{"voic\\u0065":"marin"}}}',
        ),
    ],
)
def test_a_forced_field_is_set_and_the_rest_left_as_it_is_written(session: str, expected: str) -> None:
    assert sent_by(SessionFields(VOICE), update(session)) == update(expected)


def test_forced_fields_share_the_objects_that_are_missing() -> None:
    force = {
        ("audio", "output", "voice"): "marin",
        "audio.output.speed": 1.5,
        "audio.input": types.AudioInput(turn_detection=None),
        "tools": [],
    }
    sent = json.loads(sent_by(SessionFields(force, surfaces={"realtime"}), update("{}")))
    assert sent["session"] == {
        "audio": {"output": {"voice": "marin", "speed": 1.5}, "input": {"turn_detection": None}},
        "tools": [],
    }


def test_forced_fields_hold_from_the_beginning() -> None:
    talk = Talk(SessionFields({**VOICE, "instructions": "Be kind."}))
    (sent,) = map(json.loads, talk.shell.upstream)
    assert sent.pop("event_id")
    assert sent == {
        "type": "session.update",
        "session": {"type": "realtime", "audio": {"output": {"voice": "marin"}}, "instructions": "Be kind."},
    }
    assert talk.shell.hurries == 1


def test_the_update_at_the_beginning_is_of_the_sessions_kind() -> None:
    fields = SessionFields({"audio.input.noise_reduction": None})
    (transcription,) = map(json.loads, Talk(fields, target=TRANSCRIPTION).shell.upstream)
    assert transcription["session"]["type"] == "transcription"
    (translation,) = map(json.loads, Talk(fields, target=TRANSLATION).shell.upstream)
    assert translation["session"] == {"audio": {"input": {"noise_reduction": None}}}


def test_nothing_is_sent_at_the_beginning_without_need() -> None:
    for fields in (SessionFields(VOICE, at_open=False), SessionFields(forbid=["tools"]), SessionFields()):
        assert Talk(fields).shell.upstream == []


def test_sessions_of_other_kinds_are_let_be() -> None:
    fields = SessionFields(VOICE, forbid=["tools"], surfaces={"realtime"})
    text = update('{"tools":[],"audio":{}}')
    for target in (TRANSCRIPTION, TRANSLATION):
        talk = Talk(fields, target=target)
        assert talk.shell.upstream == []
        assert talk.send(text) == [text.encode()]
    assert sent_by(fields, text) == update('{"audio":{"output":{"voice":"marin"}}}')


# Where it holds


INSTRUCTIONS = SessionFields({"instructions": "Be kind.", "audio.input.noise_reduction": None, **VOICE})


def created(kind: str | None, name: str = "session.created") -> dict[str, Any]:
    session = {"id": "sess_1", "object": "realtime.session", **({} if kind is None else {"type": kind})}
    return {"type": name, "event_id": "event_1", "session": session}


@pytest.mark.parametrize(
    ("target", "kind", "session"),
    [
        (TRANSCRIPTION, TranscriptionSession, {"type": "transcription"}),
        (TRANSLATION, TranslationSession, {}),
    ],
)
def test_a_session_is_forced_to_what_its_model_has_and_no_service_minds(
    target: str, kind: type[FakeSession], session: dict[str, Any]
) -> None:
    talk = Talk(INSTRUCTIONS, target=target)
    (sent,) = talk.shell.upstream
    assert json.loads(sent)["session"] == {**session, "audio": {"input": {"noise_reduction": None}}}
    fake: Any = kind("m", Script(), speed=math.inf)
    fake.open(0.0)
    fake.receive(sent, 0.0)
    answers = [*fake.frames(0.0)]
    assert [json.loads(answer)["type"] for answer in answers] == ["session.created", "session.updated"]
    assert [talk.receive(answer) for answer in answers] == [[answer] for answer in answers]
    assert talk.shell.closes == []


def test_a_session_whose_model_has_none_of_it_is_sent_nothing() -> None:
    for forced in ({"instructions": "Be kind."}, {"model": "m"}, {"prompt": {"id": "pmpt_1"}}):
        assert len(Talk(SessionFields(forced)).shell.upstream) == 1
        assert Talk(SessionFields(forced), target=TRANSCRIPTION).shell.upstream == []


def test_what_its_model_has_not_is_not_the_clients_to_set_either() -> None:
    text = update(
        '{"type":"realtime","instructions":"Be rude.","audio":{"input":{"x":1},"output":null},"y":1}'
    )
    talk = Talk(INSTRUCTIONS, target=TRANSCRIPTION)
    (sent,) = talk.send(text)
    assert sent.decode() == update(
        '{"type":"realtime","audio":{"input":{"x":1,"noise_reduction":null}},"y":1}'
    )


@pytest.mark.parametrize("name", ["session.created", "session.updated"])
@pytest.mark.parametrize("kind", ["realtime", None])
def test_a_service_that_goes_by_no_query_opens_no_session_without_what_is_forced(
    name: str, kind: str | None
) -> None:
    for target in (TRANSCRIPTION, TRANSLATION):
        talk = Talk(INSTRUCTIONS, target=target)
        assert talk.receive(created(kind, name)) == []
        assert talk.shell.closes == [(1011, "the service opened another kind of session")]
        assert talk.send({"type": "response.create"}) == []


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        (INSTRUCTIONS, "/v1/realtime?model=m"),
        (SessionFields({"audio.output.language": "es"}), "/v1/realtime?model=m"),
        (SessionFields({"audio.input.noise_reduction": None}), TRANSCRIPTION),
        (SessionFields(VOICE, surfaces={"realtime"}), TRANSCRIPTION),
        (SessionFields(forbid=["tools"]), TRANSCRIPTION),
    ],
)
def test_what_kind_it_is_matters_only_where_something_is_left_away(
    fields: SessionFields, target: str
) -> None:
    talk = Talk(fields, target=target)
    for kind in ("realtime", None):
        assert len(talk.receive(created(kind))) == 1
    assert talk.shell.closes == []


# The service's answer


def error(**fields: Any) -> dict[str, Any]:
    return {"type": "error", "event_id": "event_1", "error": {"type": "invalid_request_error", **fields}}


def test_a_service_that_refuses_what_is_forced_has_no_session(caplog: pytest.LogCaptureFixture) -> None:
    talk = Talk(SessionFields(VOICE))
    event_id = json.loads(talk.shell.upstream[0])["event_id"]
    refusal = error(code="invalid_value", param="session.audio", message="secret", event_id=event_id)
    with caplog.at_level(logging.WARNING, "rtproto.proxy"):
        assert talk.receive(refusal) == []
    assert talk.shell.closes == [(1011, "the service refused what is forced")]
    (record,) = caplog.records
    expected = {"session": talk.session.id, "code": "invalid_value", "param": "session.audio"}
    assert vars(record)["fields"] == expected
    assert "secret" not in caplog.text


def test_what_is_told_of_a_refusal_is_short_text(caplog: pytest.LogCaptureFixture) -> None:
    talk = Talk(SessionFields(VOICE))
    event_id = json.loads(talk.shell.upstream[0])["event_id"]
    with caplog.at_level(logging.WARNING, "rtproto.proxy"):
        assert talk.receive(error(code={"secret": 1}, param="x" * 1000, event_id=event_id)) == []
    (record,) = caplog.records
    fields = vars(record)["fields"]
    assert fields["code"] is None
    assert len(fields["param"]) < 100


@pytest.mark.parametrize("at_open", [True, False])
def test_every_other_error_is_the_clients(at_open: bool) -> None:
    talk = Talk(SessionFields(VOICE, at_open=at_open))
    others = [error(event_id="mine"), error(event_id=None), error(), {"type": "error", "error": None}]
    for other in (*map(json.dumps, others), '{"type":"error","error":['):
        assert talk.receive(other) == [other.encode()]
    assert talk.shell.closes == []


# In a response


def test_a_response_does_not_say_otherwise() -> None:
    fields = SessionFields({**VOICE, "instructions": "Be kind.", "tools": []}, forbid=["prompt"])
    given = (
        '{"instructions":"Be rude.","audio":{"output":{"voice":"ash","format":{"type":"audio/pcmu"}}},'
        '"tools":[{"type":"function","name":"f"}],"prompt":{"id":"pmpt_1"},"metadata":{"n":"1"}}'
    )
    expected = '{"audio":{"output":{"format":{"type":"audio/pcmu"}}},"metadata":{"n":"1"}}'
    assert sent_by(fields, create(given)) == create(expected)


@pytest.mark.parametrize("audio", ["null", '{"output":null}', '{"output":"ash"}', "[]"])
def test_no_response_takes_away_what_is_forced_by_what_stands_before_it(audio: str) -> None:
    sent = json.loads(
        sent_by(SessionFields({**VOICE, "audio.output.speed": 1}), create(f'{{"audio":{audio}}}'))
    )
    assert sent["response"] in ({}, {"audio": {}})


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"response.create"}',
        create("null"),
        create("{}"),
        create('{"conversation":"none", "input":[]}'),
        create('{"audio":{"output":{}}}'),
    ],
)
def test_a_response_that_says_nothing_of_it_goes_on_as_it_came(text: str) -> None:
    assert sent_by(SessionFields(VOICE, forbid=["tools"]), text) == text


# Forbidden


def test_a_forbidden_field_is_taken_out_and_the_rest_left_as_it_is_written() -> None:
    fields = SessionFields(forbid=["tools", "audio.input.transcription.model", ("x.y",)], vendor_names=True)
    given = (
        '{"tools":[1],"audio":{"input":{"transcription":{"model":"m","prompt":"\\u00e9"}}},"x.y":1,"x":1.0}'
    )
    expected = '{"audio":{"input":{"transcription":{"prompt":"\\u00e9"}}},"x":1.0}'
    assert sent_by(fields, update(given)) == update(expected)
    assert sent_by(fields, create(given)) == create(expected)
    off = update('{"audio":{"input":{"transcription":null}}}')
    assert sent_by(fields, off) == off


def test_an_update_with_a_forbidden_field_may_be_refused() -> None:
    fields = SessionFields(VOICE, forbid=["audio.output.speed"], refuse=True, at_open=False)
    for text, param in (
        (update('{"audio":{"output":{"speed":null}}}'), "session.audio.output.speed"),
        (create('{"audio":{"output":{"speed":1}}}'), "response.audio.output.speed"),
    ):
        talk = Talk(fields)
        assert talk.send(text) == []
        assert [(error["code"], error["param"]) for error in talk.errors] == [("field_not_allowed", param)]
    assert sent_by(fields, create('{"audio":{"output":{"voice":"ash"}}}')) == create(
        '{"audio":{"output":{}}}'
    )


def test_what_is_forced_may_be_inside_what_is_forbidden_and_around_it() -> None:
    fields = SessionFields(VOICE, forbid=["audio", "audio.output"])
    assert sent_by(fields, update('{"audio":{"input":{"x":1}}}')) == update(
        '{"audio":{"output":{"voice":"marin"}}}'
    )
    assert sent_by(fields, create('{"audio":{"output":{"voice":"ash"}}}')) == create("{}")
    fields = SessionFields({"audio": {"output": {}}}, forbid=["audio.output.voice"], surfaces={"realtime"})
    assert sent_by(fields, update('{"audio":{"output":{"voice":"ash"}}}')) == update(
        '{"audio":{"output":{}}}'
    )
    assert sent_by(fields, create('{"audio":{"output":{"voice":"ash"}}}')) == create("{}")


@pytest.mark.parametrize("text", [update("null"), update("[]"), '{"type":"session.update"}', create("1")])
def test_what_has_no_fields_is_refused(text: str) -> None:
    talk = Talk(SessionFields(VOICE, at_open=False))
    assert talk.send(text) == []
    assert [error["code"] for error in talk.errors] == ["invalid_type"]


def test_fields_are_well_named() -> None:
    slips: list[dict[Any, Any]] = [
        {"": 1},
        {(): 1},
        {"session.tools": []},
        {"type": "realtime"},
        {"a..b": 1},
        {"a": 1, "a.b": 1},
        {"a.b": 1, "a": 1},
    ]
    for force in slips:
        with pytest.raises(ValueError, match="path"):
            SessionFields(force)
    with pytest.raises(ValueError, match="path"):
        SessionFields(forbid=["session"])
    with pytest.raises(TypeError):
        SessionFields(forbid="tools")
    with pytest.raises(ValueError, match="UNSET"):
        SessionFields({"tools": UNSET})


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"forbid": ["tolls"]}, "tolls"),
        ({"forbid": ["audio.output.voices"]}, "audio.output.voices"),
        ({"forbid": ["instructions.x"]}, "instructions.x"),
        ({"forbid": ["tools.0"]}, "tools.0"),
        ({"forbid": ["audio.input.turn_detection.type.x"]}, "audio.input.turn_detection.type.x"),
        ({"forbid": ["tools"], "surfaces": {"transcription"}}, "tools"),
        ({"force": {"temperature": 0.5}}, "temperature"),
        ({"force": {"instructions": "secret"}, "surfaces": {"translation"}}, "instructions"),
        ({"force": {"model": "secret"}, "surfaces": {"transcription"}}, "model"),
        ({"force": {"audio.output": {"voic": "secret"}}}, "audio.output.voic"),
        (
            {"force": {"audio.input": {"turn_detection": None}}},
            "audio.input.turn_detection: no .* translation",
        ),
        ({"force": {"audio.output.voice": 3}}, "audio.output.voice: Expected"),
        ({"force": {"instructions": None, "tools": {"secret": 1}}}, "tools: Expected"),
        ({"force": {"audio": "secret"}}, "audio: Expected"),
        ({"force": {"audio.output.voice.name": "secret"}}, "audio.output.voice.name"),
        (
            {"force": {"audio.input.transcription.language": "secret"}},
            "audio.input.transcription.model: missing, in a translation",
        ),
    ],
)
def test_what_would_hold_nothing_is_refused_by_its_path(options: dict[str, Any], path: str) -> None:
    with pytest.raises(ValueError, match=f"^{path}") as refused:
        SessionFields(**options)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "path",
    [
        "audio.input.turn_detection.eagerness",
        "audio.input.turn_detection.type",
        "tracing.metadata.any.thing",
        "prompt.variables.name",
        "truncation.token_limits.post_instructions",
        "include",
        "audio.output.language",
        "conversation",
        "metadata.user",
    ],
)
def test_what_a_model_has_at_any_depth_may_be_forbidden(path: str) -> None:
    SessionFields(forbid=[path])


def test_names_of_a_vendor_are_let_through_and_are_for_all() -> None:
    voice = {"type": "azure-standard", "name": "en-US-AvaNeural"}
    force = {"temperature": 0.5, "audio.output.voice": voice}
    fields = SessionFields(force, forbid=["tolls"], vendor_names=True)
    for target, expected in (
        (
            "/v1/realtime?model=m",
            {"type": "realtime", "temperature": 0.5, "audio": {"output": {"voice": voice}}},
        ),
        (TRANSCRIPTION, {"type": "transcription", "temperature": 0.5}),
        (TRANSLATION, {"temperature": 0.5}),
    ):
        talk = Talk(fields, target=target)
        assert [json.loads(sent)["session"] for sent in talk.shell.upstream] == [expected]
    assert sent_by(SessionFields(forbid=["tolls"], vendor_names=True), update('{"tolls":1}')) == update("{}")
    with pytest.raises(ValueError, match=r"audio\.output\.speed"):
        SessionFields({"audio.output.speed": "fast"}, vendor_names=True)


def test_there_is_no_other_surface() -> None:
    surfaces: Any
    for surfaces in ({"realtime", "speech"}, ()):
        with pytest.raises(ValueError, match="surfaces"):
            SessionFields(VOICE, surfaces=surfaces)


def test_no_field_is_in_a_repr_or_an_error() -> None:
    fields = SessionFields({"instructions": "secret"}, forbid=["tools"], refuse=True)
    talk = Talk(fields)
    talk.send(update('{"tools":["secret"]}'))
    assert "secret" not in repr(fields) + json.dumps(talk.errors)


@pytest.mark.parametrize("depth", [*range(150, 1100, 50), 10_000])
def test_no_depth_ends_the_session(depth: int) -> None:
    for key, voice in (("session", "voice"), ("sessio\\u006e", "voic\\u0065")):
        talk = Talk(SessionFields(VOICE, forbid=["tools"], at_open=False))
        deep = '{"x":' * depth + "1" + "}" * depth
        fields = f'{{"audio":{{"output":{{"{voice}":"ash","vendor":{deep}}}}},"tools":{deep}}}'
        sent = talk.send(f'{{"type":"session.update","{key}":{fields}}}')
        assert len(sent) + len(talk.errors) == 1
        assert talk.shell.closes == []
        assert b"ash" not in b"".join(sent)


class Watches(Policy):
    """One that looks at what others have edited."""

    client_types = frozenset({"session.update"})

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_client_frame(self, session: Any, frame: Any) -> Any:
        self.seen.append(frame.event.session.audio.output.voice)
        return frame


def test_policies_behind_it_see_what_is_forced() -> None:
    watches = Watches()
    Talk(SessionFields(VOICE), watches).send(update('{"type":"realtime"}'))
    assert watches.seen == ["marin"]


PATH = ["audio", "output", "voice"]


@given(events(["session.update", "response.create"], ["session", *PATH], ["marin", "ash"], ["x"]))
def test_no_spelling_of_an_update_sets_a_forced_field(data: bytes) -> None:
    talk = Talk(SessionFields(VOICE, forbid=["x"], at_open=False, vendor_names=True))
    sent = talk.send(data)
    assert len(sent) + len(talk.errors) == 1
    for frame in sent:
        if "session.update" in every_value(frame, ["type"]):
            assert every_value(frame, ["session", *PATH]) == ["marin"]
            assert every_value(frame, ["session", "x"]) == []


@given(events(["session.update", "response.create"], ["response", *PATH], ["marin", "ash"], ["x"]))
def test_no_spelling_of_a_response_sets_a_forced_or_a_forbidden_field(data: bytes) -> None:
    talk = Talk(SessionFields(VOICE, forbid=["x"], at_open=False, vendor_names=True))
    sent = talk.send(data)
    assert len(sent) + len(talk.errors) == 1
    for frame in sent:
        if "response.create" in every_value(frame, ["type"]):
            assert every_value(frame, ["response", *PATH]) == []
            assert every_value(frame, ["response", "x"]) == []
            assert not {"marin", "ash"} & {str(value) for value in every_value(frame, ["response", "audio"])}


@given(
    json_objects('"session":{"audio":{"output":{"voice":"ash"}}}'),
    st.sampled_from(["session.update", "response.create"]),
)
def test_whatever_else_a_client_writes_the_session_goes_on(members: str, name: str) -> None:
    talk = Talk(SessionFields(VOICE, forbid=["tools"], at_open=False))
    sent = talk.send(f'{{"type":"{name}","response":{members},{members[1:]}')
    assert len(sent) + len(talk.errors) == 1
    assert talk.shell.closes == []
