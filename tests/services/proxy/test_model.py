"""No model but an allowed one is ever asked for, in the query or in an update."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtproto.services.proxy.model import ModelLock
from rtproto.services.proxy.opening import Opening, Refused
from tests.services.proxy.shell import Talk
from tests.services.proxy.spelling import events, every_value, first_wins

MINI, FULL, HEARS = "gpt-realtime-mini", "gpt-realtime", "gpt-4o-transcribe"
LOCK = ModelLock({MINI, "gpt-realtime-1.5"}, MINI)
STRICT = ModelLock({MINI}, transcription_models={HEARS})
TRANSCRIPTION = "/v1/realtime?intent=transcription"
TRANSLATION = "/v1/realtime/translations"


def opened(lock: ModelLock, query: str, path: str = "/v1/realtime") -> str:
    return lock.on_opening(Opening(path=path, query=query)).query


def refusal(lock: ModelLock, query: str) -> int:
    with pytest.raises(Refused) as refused:
        opened(lock, query)
    return refused.value.status


def update(kind: str = "session.update", **session: Any) -> dict[str, Any]:
    return {"type": kind, "event_id": "mine", "session": {"type": "realtime", **session}}


def hearing(model: Any) -> dict[str, Any]:
    return {"input": {"transcription": {"model": model, "language": "de"}}}


# In the query


@pytest.mark.parametrize("query", [f"model={MINI}", "x=1&model=gpt%2Drealtime-1.5", f"deployment={MINI}"])
def test_an_allowed_model_is_left_as_it_is_written(query: str) -> None:
    assert opened(LOCK, query) == opened(LOCK, query, TRANSLATION) == query


def test_a_client_that_names_none_gets_the_default() -> None:
    assert opened(LOCK, "") == f"model={MINI}"
    assert opened(LOCK, "x=1&model=") == f"x=1&model={MINI}"
    assert opened(LOCK, "call_id=") == f"call_id=&model={MINI}"
    assert opened(LOCK, "", TRANSLATION) == f"model={MINI}"


def test_without_a_default_a_model_must_be_named() -> None:
    assert refusal(ModelLock({MINI}), "x=1") == 400
    assert refusal(ModelLock({MINI}), "model=") == 400


def test_who_joins_a_call_and_who_is_transcribed_names_none() -> None:
    assert opened(LOCK, "call_id=rtc_1") == "call_id=rtc_1"
    assert opened(LOCK, "intent=transcription") == "intent=transcription"


@pytest.mark.parametrize(
    "query",
    [
        f"model={FULL}",
        "model=gpt%2Drealtime",
        f"deployment={FULL}",
        f"deployment={FULL}&model={MINI}",
        f"model={FULL}&call_id=rtc_1",
        f"model={FULL}&intent=transcription",
        f"model={MINI}%00",
        f"model={MINI},{FULL}",
    ],
)
def test_another_model_is_not_let_in(query: str) -> None:
    assert refusal(LOCK, query) == 403


@pytest.mark.parametrize(
    "query",
    [
        f"model={MINI}&model={FULL}",
        f"model={FULL}&model={MINI}",
        f"model={MINI}&m%6Fdel={FULL}",
        f"Model={FULL}",
    ],
)
def test_a_model_named_twice_or_otherwise_is_not_let_in(query: str) -> None:
    assert refusal(LOCK, query) == 400


def test_a_transcription_session_may_name_a_model_of_either_kind() -> None:
    for model in (MINI, HEARS):
        query = f"intent=transcription&model={model}"
        assert opened(STRICT, query) == query
    assert refusal(STRICT, f"model={HEARS}") == 403


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["model", "mod%65l", "Model", "model ", "+model", "x", "intent", "deployment"]),
            st.sampled_from([MINI, FULL, "gpt%2Drealtime", "", "transcription"]),
        ),
        max_size=4,
    ),
    st.sampled_from("&&&;#"),
)
def test_no_query_names_another_model(pairs: list[tuple[str, str]], separator: str) -> None:
    try:
        query = opened(LOCK, separator.join(f"{name}={value}" for name, value in pairs))
    except Refused:
        return
    for pair in query.replace(";", "&").replace("#", "&").split("&"):
        name, _, value = pair.replace("%65", "e").replace("+", " ").partition("=")
        if name.strip().lower() in {"model", "deployment"}:
            assert value in {MINI, ""}
    assert "transcription" in query or MINI in query


def test_a_lock_is_made_of_models() -> None:
    with pytest.raises(ValueError, match="the default"):
        ModelLock({MINI}, FULL)
    with pytest.raises(TypeError):
        ModelLock(MINI)
    with pytest.raises(TypeError):
        ModelLock({MINI}, transcription_models=HEARS)


# In an update


@pytest.mark.parametrize("lock", [LOCK, STRICT, ModelLock({MINI}, mode="remove")])
def test_an_update_without_a_model_or_with_an_allowed_one_goes_on_as_it_came(lock: ModelLock) -> None:
    talk = Talk(lock, target=f"/v1/realtime?model={MINI}")
    for text in (
        b'{"type":"session.update", "session":{"type":"realtime","audio":{"input":null}}}',
        b'{"type":"session.update","session":{"mod\\u0065l":"gpt-realtime-mini","vendor":1.50}}',
        b'{"type":"session.update","session":null}',
        b'{"type":"session.update"}',
        b'{"type":"response.create","response":{"x":1,"x":2}}',
    ):
        assert talk.send(text) == [text]
    assert talk.errors == []


@pytest.mark.parametrize("model", [FULL, None, 1, [MINI], {"name": MINI}, MINI.upper(), f"{MINI} "])
def test_another_model_in_an_update_is_refused(model: Any) -> None:
    talk = Talk(LOCK, target="/v1/realtime")
    assert talk.send(update(model=model)) == []
    (error,) = talk.errors
    assert (error["code"], error["param"]) == ("model_not_allowed", "session.model")
    assert error["event_id"] == "mine"
    assert talk.send(update("transcription_session.update", model=model)) == []


def test_a_model_may_be_taken_out_instead() -> None:
    lock = ModelLock({MINI}, MINI, transcription_models={HEARS}, mode="remove")
    talk = Talk(lock, target="/v1/realtime")
    text = (
        b'{"type":"session.update","session":{"model":"gpt-realtime","vendor":1.50,'
        b'"audio":{"input":{"transcription":{"language":"de","model":"whisper-1"}}}}}'
    )
    (sent,) = talk.send(text)
    assert sent == (
        b'{"type":"session.update","session":{"vendor":1.50,'
        b'"audio":{"input":{"transcription":{"language":"de"}}}}}'
    )
    assert talk.errors == []


@pytest.mark.parametrize("target", ["/v1/realtime", TRANSCRIPTION, TRANSLATION])
def test_models_that_transcribe_are_locked_apart(target: str) -> None:
    lock = ModelLock({MINI}, MINI, transcription_models={HEARS})
    talk = Talk(lock, target=target)
    assert len(talk.send(update(audio=hearing(HEARS)))) == 1
    assert len(talk.send(update(audio={"input": {"transcription": None}}))) == 1
    assert len(talk.send(update(input_audio_transcription={"model": HEARS}))) == 1
    for session, param in (
        ({"audio": hearing(MINI)}, "session.audio.input.transcription.model"),
        ({"audio": hearing(None)}, "session.audio.input.transcription.model"),
        ({"input_audio_transcription": {"model": "whisper-1"}}, "session.input_audio_transcription.model"),
    ):
        assert talk.send(update(**session)) == []
        assert talk.errors[-1]["param"] == param
    assert len(Talk(LOCK, target=target).send(update(audio=hearing("whisper-1")))) == 1


def test_at_its_models_place_a_transcription_session_may_have_either_kind() -> None:
    assert len(Talk(STRICT, target=TRANSCRIPTION).send(update(model=HEARS))) == 1
    assert len(Talk(STRICT, target=TRANSCRIPTION).send(update(model=MINI))) == 1
    assert Talk(STRICT, target=TRANSCRIPTION).send(update(model=FULL)) == []
    assert Talk(STRICT, target=f"/v1/realtime?model={MINI}").send(update(model=HEARS)) == []


@pytest.mark.parametrize(
    "text",
    [
        b'{"type":"session.update","session":{"model":"gpt-realtime"},"session":{"type":"realtime"}}',
        b'{"type":"session.update","session":{"model":"gpt-realtime"},"session":null}',
        b'{"type":"session.update","session":{"model":"gpt-realtime","mod\\u0065l":"gpt-realtime-mini"}}',
        b'{"type":"session.update","session":{"tools":[{"x":1,"x":1}]}}',
        b'{"type":"session.update","session":{"tools":[%b]}}' % b",".join([b"1"] * 20_002),
        b'{"type":"session.update","session":{"x":%b%b}}' % (b"[" * 100_000, b"]" * 100_000),
        b'{"type":"input_audio_buffer.clear","type":"session.update","session":{"model":"gpt-realtime"}}',
    ],
)
def test_an_update_with_two_readings_is_refused(text: bytes) -> None:
    for mode in ("refuse", "remove"):
        talk = Talk(ModelLock({MINI}, MINI, mode=mode), target="/v1/realtime")
        assert talk.send(text) == []
        assert [error["code"] for error in talk.errors] == ["invalid_event"]
        assert talk.shell.closes == []


@pytest.mark.parametrize("depth", [*range(150, 1100, 50), 10_000])
def test_no_depth_ends_the_session(depth: int) -> None:
    for session in (b"session", b"sessio\\u006e"):
        talk = Talk(ModelLock({MINI}, MINI, mode="remove"), target="/v1/realtime")
        deep = b'{"x":' * depth + b"1" + b"}" * depth
        sent = talk.send(b'{"type":"session.update","%b":{"model":"gpt-realtime","v":%b}}' % (session, deep))
        assert len(sent) + len(talk.errors) == 1
        assert talk.shell.closes == []
        assert b"gpt-realtime" not in b"".join(sent)


TYPES = ["session.update", "transcription_session.update", "response.create"]
VALUES = [MINI, FULL, HEARS]


@given(
    events(TYPES, ["session", "model"], VALUES, ["audio", "event_id"]), st.sampled_from(["refuse", "remove"])
)
def test_no_spelling_of_an_update_asks_for_another_model(data: bytes, mode: Any) -> None:
    talk = Talk(ModelLock({MINI}, MINI, mode=mode), target="/v1/realtime")
    sent = talk.send(data)
    assert len(sent) + len(talk.errors) == 1
    assert talk.shell.closes == []
    for frame in sent:
        if "update" in json.loads(frame)["type"] or "update" in first_wins(frame)["type"]:
            assert set(map(str, every_value(frame, ["session", "model"]))) <= {MINI}


@given(
    events(
        ["session.update"],
        ["session", "audio", "input", "transcription", "model"],
        VALUES,
        ["vendor"],
    ),
    st.sampled_from(["refuse", "remove"]),
)
def test_no_spelling_of_an_update_asks_for_another_ear(data: bytes, mode: Any) -> None:
    lock = ModelLock({MINI}, MINI, transcription_models={HEARS}, mode=mode)
    for frame in Talk(lock, target="/v1/realtime").send(data):
        found = every_value(frame, ["session", "audio", "input", "transcription", "model"])
        assert set(map(str, found)) <= {HEARS}
