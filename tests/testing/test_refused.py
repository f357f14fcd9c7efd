"""What the service refuses, the fake refuses too, and lives on."""

import base64
from typing import Any

import pytest

from rtproto.testing import Call, Reply, Say, silence, tone
from rtproto.testing.realtime import RealtimeSession
from rtproto.testing.session import FakeSession
from rtproto.testing.transcription import TranscriptionSession
from rtproto.testing.translation import TranslationSession

from .test_sessions import HUM, Talk, code, names, one


@pytest.mark.parametrize(
    ("kind", "session", "error"),
    [
        (TranscriptionSession, {"type": "transcription", "model": "whisper-1"}, "unknown_parameter"),
        (TranscriptionSession, {"type": "transcription", "audio": None}, "invalid_type"),
        (TranslationSession, {"audio": None}, "invalid_type"),
        (TranslationSession, {"audio": {"output": None}}, "invalid_type"),
        (RealtimeSession, {"type": "realtime", "audio": {"input": None}}, "invalid_type"),
        (
            RealtimeSession,
            {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 0}}}},
            "integer_below_min_value",
        ),
        (
            RealtimeSession,
            {"type": "realtime", "audio": {"output": {"format": {"type": "audio/pcm", "rate": 0}}}},
            "integer_below_min_value",
        ),
    ],
)
def test_a_session_that_cannot_be(kind: type[FakeSession], session: dict[str, Any], error: str) -> None:
    talk = Talk(kind=kind)
    assert code(talk.send("session.update", session=session)) == error
    append = (
        "session.input_audio_buffer.append" if kind is TranslationSession else "input_audio_buffer.append"
    )
    talk.send(append, audio=base64.b64encode(tone(300).samples + silence(300).samples).decode())


def test_a_tools_output_belongs_to_a_call() -> None:
    talk = Talk(Call("f"))
    error = talk.create(type="function_call_output", call_id="call_x", output="1")
    assert code(error) == "invalid_tool_call_id"
    call = talk.respond()["output"][0]
    assert (
        code(talk.create(type="function_call_output", call_id=call["id"], output="1"))
        == "invalid_tool_call_id"
    )
    assert names(talk.create(type="function_call_output", call_id=call["call_id"], output="1"))[-1].endswith(
        "done"
    )


def test_an_id_has_32_characters_at_most() -> None:
    talk = Talk()
    assert names(talk.create(id="a" * 32, type="message", role="user", content=[]))[-1].endswith("done")
    error = talk.create(id="a" * 33, type="message", role="user", content=[])
    assert (code(error), error[0]["error"]["param"]) == ("string_above_max_length", "item.id")


def test_what_is_being_said_is_cut_short() -> None:
    """As by a client that interrupts: it truncates what it plays, then cancels."""
    talk = Talk(HUM, speed=1.0)
    item_id = one(talk.send("response.create"), "response.output_item.added")["item"]["id"]
    where = {"item_id": item_id, "content_index": 0}
    assert (
        code(talk.send("conversation.item.truncate", **where, audio_end_ms=0)) == "unsupported_content_type"
    )
    talk.wait(0.55)
    assert names(talk.send("conversation.item.truncate", **where, audio_end_ms=9_000)) == ["error"]
    assert names(talk.send("conversation.item.truncate", **where, audio_end_ms=250)) == [
        "conversation.item.truncated"
    ]
    talk.send("response.cancel")
    assert len(talk.audio(item_id)) == 48 * 250
    (got,) = talk.send("conversation.item.retrieve", item_id=item_id)
    assert got["item"]["content"][0]["transcript"] == ""


@pytest.mark.parametrize("milliseconds", [0, 79, 350, 700])
def test_what_is_left_is_as_long_as_was_asked_for(milliseconds: int) -> None:
    talk = Talk(Say("Hello there.", tone(700)))
    item_id = talk.respond()["output"][0]["id"]
    talk.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=milliseconds)
    assert len(talk.audio(item_id)) == 48 * milliseconds


def test_speech_starts_where_its_item_does() -> None:
    talk = Talk("Hm.")
    talk.hear(turn_detection={"type": "server_vad", "create_response": False})
    for sounds in ([silence(1000), tone(500), silence(300)], [tone(400), silence(300)]):
        came = talk.say(*sounds)
        begin = one(came, "input_audio_buffer.speech_started")["audio_start_ms"]
        end = one(came, "input_audio_buffer.speech_stopped")["audio_end_ms"]
        item_id = one(came, "input_audio_buffer.committed")["item_id"]
        assert len(talk.audio(item_id)) == 48 * (end - begin)


def test_where_a_response_breaks_off_its_last_item_is_incomplete() -> None:
    reply = Reply([Say("One.", tone(100)), Say("Two", tone(100))], "incomplete", "max_output_tokens")
    assert [item["status"] for item in Talk(reply).respond()["output"]] == ["completed", "incomplete"]


def test_a_users_transcript_is_no_input() -> None:
    talk = Talk("Hm.")
    talk.update(output_modalities=["text"])
    talk.hear(transcription={"model": "whisper-1"}, turn_detection=None)
    before = talk.respond(conversation="none")["usage"]["input_token_details"]["text_tokens"]
    talk.say(tone(500))
    talk.send("input_audio_buffer.commit")
    details = talk.respond(conversation="none")["usage"]["input_token_details"]
    assert (details["text_tokens"], details["audio_tokens"]) == (before, 5)


def test_nothing_is_sent_after_a_session_is_closed() -> None:
    talk = Talk(kind=TranslationSession)
    assert names(talk.send("session.close")) == ["session.closed"]
    assert talk.send("session.close") == []
    assert talk.send("session.update", session={}) == []


def test_no_audio_is_kept_of_what_was_deleted() -> None:
    talk = Talk(HUM, speed=1.0)
    item_id = one(talk.send("response.create"), "response.output_item.added")["item"]["id"]
    talk.send("conversation.item.delete", item_id=item_id)
    talk.wait(9)
    assert not talk.session.conversation.audio


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"output_modalities": ["txt"]}, "session.output_modalities[0]"),
        ({"tool_choice": "any"}, "session.tool_choice"),
        ({"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "x"}}}}, "eagerness"),
        ({"tools": [{"type": "function", "name": "f"}, {"type": "function"}]}, "session.tools[1].name"),
    ],
)
def test_a_word_that_the_service_does_not_know(session: dict[str, Any], param: str) -> None:
    talk = Talk()
    (event,) = talk.update(**session)
    assert event["error"]["code"] in {"invalid_value", "missing_required_parameter"}
    assert event["error"]["param"].endswith(param)


def test_a_schema_may_hold_any_word() -> None:
    schema = {"type": "object", "properties": {"status": {"enum": ["x"], "default": "x"}}, "status": "x"}
    (event,) = Talk().update(tools=[{"type": "function", "name": "f", "parameters": schema}])
    assert event["type"] == "session.updated"


def test_a_tools_output_is_text() -> None:
    talk = Talk(Call("f", call_id="call_1"))
    talk.respond()
    assert code(talk.create(type="function_call_output", call_id="call_1", output=None)) == "invalid_type"
    assert talk.create(type="function_call_output", call_id="call_1", output="1")[-1]["type"].endswith("done")


def test_the_voice_of_a_request_is_the_sessions_once_it_has_spoken() -> None:
    talk = Talk(HUM)
    assert talk.respond(audio={"output": {"voice": "alloy"}})["audio"]["output"]["voice"] == "alloy"
    assert code(talk.send("response.create", response={"audio": {"output": {"voice": "ash"}}})) == (
        "cannot_update_voice"
    )


def test_audio_of_another_format_is_not_mixed() -> None:
    talk = Talk()
    talk.hear(turn_detection=None)
    talk.say(tone(300))
    talk.hear(format={"type": "audio/pcmu"})
    assert code(talk.send("input_audio_buffer.commit")) == "input_audio_buffer_commit_empty"


def test_each_part_has_its_own_audio() -> None:
    talk = Talk()
    sounds = [base64.b64encode(tone(length).samples).decode() for length in (100, 200)]
    content = [{"type": "input_audio", "audio": audio} for audio in sounds]
    talk.create(id="a", type="message", role="user", content=content)
    (got,) = talk.send("conversation.item.retrieve", item_id="a")
    assert [part["audio"] for part in got["item"]["content"]] == sounds
    wrong = [content[0], {"type": "input_audio", "audio": "?"}]
    error = talk.create(id="b", type="message", role="user", content=wrong)
    assert error[0]["error"]["param"] == "item.content[1].audio"
