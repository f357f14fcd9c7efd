"""A session without sockets, on a clock of its own: what a real one would take long to show."""

import base64
import json
import math
from typing import Any

import pytest

from rtproto import types
from rtproto.testing import Call, Reply, Say, Script, Sound, silence, tone
from rtproto.testing.realtime import RealtimeSession
from rtproto.testing.session import FakeSession
from rtproto.testing.transcription import TranscriptionSession
from rtproto.testing.translation import TranslationSession

HUM = Say("One two three.", tone(1000))


class Talk:
    """Sends events, lets time pass, and has what came."""

    def __init__(
        self, *replies: Any, kind: type[FakeSession] = RealtimeSession, speed: float = math.inf
    ) -> None:
        self.session: Any = kind("gpt-realtime", Script(*replies, transcripts=["Hello there."]), speed=speed)
        self.session.open(0.0)
        self.now = 0.0
        self.seen = self.wait(0.0)

    def wait(self, seconds: float) -> list[dict[str, Any]]:
        self.now += seconds
        came = [json.loads(frame) for frame in self.session.frames(self.now)]
        while self.session.due is not None and self.session.due <= self.now:
            came += [json.loads(frame) for frame in self.session.frames(self.now)]
        self.seen = came
        return came

    def send(self, name: str, **fields: Any) -> list[dict[str, Any]]:
        self.session.receive(json.dumps({"type": name, **fields}).encode(), self.now)
        return self.wait(0.0)

    def say(self, *sounds: Sound) -> list[dict[str, Any]]:
        audio = b"".join(sound.samples for sound in sounds)
        return self.send("input_audio_buffer.append", audio=base64.b64encode(audio).decode())

    def update(self, kind: str = "realtime", **session: Any) -> list[dict[str, Any]]:
        return self.send("session.update", session={"type": kind, **session})

    def hear(self, **hearing: Any) -> list[dict[str, Any]]:
        return self.update(audio={"input": hearing})

    def create(self, **item: Any) -> list[dict[str, Any]]:
        return self.send("conversation.item.create", item=item)

    def respond(self, **response: Any) -> dict[str, Any]:
        """The response that ends now."""
        done: dict[str, Any] = one(self.send("response.create", response=response), "response.done")[
            "response"
        ]
        return done

    def audio(self, item_id: str) -> bytes:
        (got,) = self.send("conversation.item.retrieve", item_id=item_id)
        return base64.b64decode(got["item"]["content"][0]["audio"])


def one(came: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = (event for event in came if event["type"] == name)
    return found


def names(came: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("input_audio_buffer.") for event in came]


def code(came: list[dict[str, Any]]) -> str:
    (error,) = came
    return str(error["error"]["code"])


@pytest.mark.parametrize("kind", [RealtimeSession, TranscriptionSession, TranslationSession])
def test_every_event_of_a_client_has_its_handler(kind: type[FakeSession]) -> None:
    assert set(kind.handlers) == set(kind.codec.types.values())


# When a response ends -------------------------------------------------------------------------


def test_a_cancelled_response_ends_at_once() -> None:
    talk = Talk(Reply([HUM, Call("f")]), speed=1.0)
    talk.send("response.create")
    talk.wait(0.25)
    response = one(talk.send("response.cancel"), "response.done")["response"]
    assert response["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    assert [item["status"] for item in response["output"]] == ["incomplete"]  # and no call after it
    assert len(talk.audio(response["output"][0]["id"])) == 48 * 200  # what was sent till then
    assert response["usage"]["output_token_details"]["audio_tokens"] == 4


@pytest.mark.parametrize("interrupt", [True, None])
def test_speech_interrupts_at_once(interrupt: bool | None) -> None:
    talk = Talk(HUM, speed=1.0)
    talk.hear(turn_detection={"type": "server_vad", "interrupt_response": interrupt})
    talk.send("response.create")
    talk.wait(0.25)
    response = one(talk.say(tone(40)), "response.done")["response"]
    assert response["status_details"]["reason"] == "turn_detected"


def test_what_waits_for_the_response_is_answered_once() -> None:
    """Not when a response beside the conversation ends, and not again after it was."""
    talk = Talk(HUM, Say("Aside.", tone(100)), "Now.", speed=1.0)
    talk.hear(turn_detection={"type": "server_vad", "interrupt_response": False})
    talk.send("response.create")
    talk.send("response.create", response={"conversation": "none"})
    talk.say(tone(300), silence(300))
    came = talk.wait(0.5)
    assert one(came, "response.done")["response"]["conversation_id"] is None
    assert "response.created" not in names(came)
    assert code(talk.send("response.create")) == "conversation_already_has_active_response"
    came = [*talk.wait(9), *talk.wait(9), *talk.wait(9)]
    assert names(came).count("response.created") == 1


def test_nothing_more_is_sent_once_it_is_over() -> None:
    talk = Talk(HUM, speed=1.0)
    talk.send("response.create")
    talk.session.receive(b"{}", talk.now)
    assert talk.session.due == talk.now
    talk.session.abandon()
    assert talk.session.due is None
    assert talk.wait(9) == []


# Turns ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vad", "milliseconds"),
    [
        ({"type": "semantic_vad"}, 600),
        ({"type": "semantic_vad", "eagerness": None}, 600),
        ({"type": "semantic_vad", "eagerness": "low"}, 1000),
        ({"type": "semantic_vad", "eagerness": "high"}, 300),
        ({"type": "server_vad", "silence_duration_ms": None}, 200),
    ],
)
def test_how_long_a_pause_ends_a_turn(vad: dict[str, Any], milliseconds: int) -> None:
    talk = Talk()
    talk.hear(turn_detection=vad)
    assert names(talk.say(tone(100), silence(milliseconds - 20))) == ["speech_started"]
    assert (
        one(talk.say(silence(20)), "input_audio_buffer.speech_stopped")["audio_end_ms"] == 100 + milliseconds
    )


def test_another_kind_of_turn_detection_takes_nothing_from_the_one_before() -> None:
    talk = Talk()
    (updated,) = talk.hear(turn_detection={"type": "semantic_vad", "eagerness": "low"})
    assert updated["session"]["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "low",
        "create_response": True,
        "interrupt_response": True,
    }


def test_at_a_threshold_of_zero_any_sound_is_speech() -> None:
    talk = Talk()
    talk.hear(turn_detection={"type": "server_vad", "threshold": 0})
    assert names(talk.say(tone(40, loudness=0.001))) == ["speech_started"]


def test_a_commit_in_the_midst_of_speech_ends_its_item() -> None:
    talk = Talk()
    talk.hear(turn_detection={"type": "server_vad", "create_response": False})
    started = one(talk.say(tone(400)), "input_audio_buffer.speech_started")
    assert started["audio_start_ms"] == 0
    assert (
        one(talk.send("input_audio_buffer.commit"), "input_audio_buffer.committed")["item_id"]
        == started["item_id"]
    )
    again = one(talk.say(tone(200)), "input_audio_buffer.speech_started")
    assert again["item_id"] != started["item_id"]
    came = talk.say(silence(200))
    assert one(came, "input_audio_buffer.speech_stopped")["audio_end_ms"] == 800
    assert len(talk.audio(again["item_id"])) == 48 * 400


def test_a_cleared_buffer_forgets_the_speech_in_it() -> None:
    talk = Talk()
    first = one(talk.say(tone(200)), "input_audio_buffer.speech_started")
    talk.send("input_audio_buffer.clear")
    assert talk.say(silence(300)) == []
    assert one(talk.say(tone(40)), "input_audio_buffer.speech_started")["item_id"] != first["item_id"]
    second = one(talk.say(silence(300), tone(40)), "input_audio_buffer.speech_started")
    talk.send("input_audio_buffer.clear")
    talk.hear(turn_detection=None)
    talk.say(tone(100))
    assert (
        one(talk.send("input_audio_buffer.commit"), "input_audio_buffer.committed")["item_id"]
        != second["item_id"]
    )


def test_time_goes_on_while_turn_detection_is_off() -> None:
    talk = Talk()
    talk.hear(turn_detection=None)
    talk.say(tone(1000))
    talk.hear(turn_detection={"type": "server_vad"})
    assert one(talk.say(tone(40)), "input_audio_buffer.speech_started")["audio_start_ms"] == 700


def test_of_silence_only_ten_seconds_are_kept_and_of_speech_all() -> None:
    talk = Talk()
    talk.hear(turn_detection={"type": "server_vad", "create_response": False})
    talk.say(silence(12_000))
    came = talk.send("input_audio_buffer.commit")
    assert len(talk.audio(one(came, "input_audio_buffer.committed")["item_id"])) == 48 * 10_000
    came = talk.say(tone(62_000))
    talk.say(silence(200))
    assert len(talk.audio(one(came, "input_audio_buffer.speech_started")["item_id"])) == 48 * 62_200


def test_a_tenth_of_a_second_can_be_committed_but_no_half_sample() -> None:
    talk = Talk()
    talk.hear(turn_detection=None)
    talk.send("input_audio_buffer.append", audio=base64.b64encode(bytes(4801)).decode())
    committed = one(talk.send("input_audio_buffer.commit"), "input_audio_buffer.committed")
    assert len(talk.audio(committed["item_id"])) == 4800
    talk.send("input_audio_buffer.clear")
    talk.say(tone(100))
    assert names(talk.send("input_audio_buffer.commit"))[0] == "committed"


def test_a_reply_sees_what_was_transcribed() -> None:
    talk = Talk(lambda turn: turn.text)
    talk.update(output_modalities=["text"])
    talk.hear(transcription={"model": "whisper-1"})
    came = talk.say(tone(300), silence(300))
    assert one(came, "response.output_text.done")["text"] == "Hello there."


# Items ----------------------------------------------------------------------------------------


def test_only_the_models_audio_is_truncated_and_not_before_it_began() -> None:
    talk = Talk(HUM)
    audio = base64.b64encode(tone(200).samples).decode()
    talk.create(id="mine", type="message", role="user", content=[{"type": "input_audio", "audio": audio}])
    where = {"content_index": 0, "audio_end_ms": 100}
    assert (
        "Only model output"
        in talk.send("conversation.item.truncate", item_id="mine", **where)[0]["error"]["message"]
    )
    model = talk.respond()["output"][0]["id"]
    where["audio_end_ms"] = -1
    assert names(talk.send("conversation.item.truncate", item_id=model, **where)) == ["error"]


def test_an_item_is_shown_as_it_is_without_its_audio() -> None:
    talk = Talk()
    audio = base64.b64encode(tone(200).samples).decode()
    part = {"type": "output_audio", "audio": audio, "transcript": "Hm."}
    shown = talk.create(id="a", type="message", role="assistant", status="incomplete", content=[part])[0][
        "item"
    ]
    assert (shown["status"], shown["content"]) == (
        "incomplete",
        [{"type": "output_audio", "transcript": "Hm."}],
    )
    assert talk.audio("a") == tone(200).samples
    talk.send("conversation.item.delete", item_id="a")
    talk.create(
        id="a", type="message", role="assistant", content=[{"type": "output_audio", "transcript": "Hm."}]
    )
    (got,) = talk.send("conversation.item.retrieve", item_id="a")
    assert "audio" not in got["item"]["content"][0]


def test_an_item_deleted_while_it_is_streamed_stays_so() -> None:
    talk = Talk(HUM, speed=1.0)
    item_id = one(talk.send("response.create"), "response.output_item.added")["item"]["id"]
    talk.send("conversation.item.delete", item_id=item_id)
    came = talk.wait(9)
    assert "conversation.item.done" not in names(came)
    assert one(came, "response.done")["response"]["output"][0]["id"] == item_id
    assert len(talk.session.conversation) == 0


# Formats and numbers --------------------------------------------------------------------------

UNPLAYABLE = [{"type": "audio/pcm", "rate": 16000}, {"type": "audio/pcm", "rate": 48000}, "pcm16"]


@pytest.mark.parametrize("format", UNPLAYABLE)
def test_a_format_that_cannot_be_played_is_refused(format: Any) -> None:
    codes = {"integer_below_min_value", "integer_above_max_value", "invalid_type"}
    talk = Talk()
    assert code(talk.hear(format=format)) in codes
    assert code(talk.update(audio={"output": {"format": format}})) in codes
    assert code(talk.send("response.create", response={"audio": {"output": {"format": format}}})) in codes
    assert (
        code(Talk(kind=TranscriptionSession).update("transcription", audio={"input": {"format": format}}))
        in codes
    )


def test_what_a_request_leaves_out_is_the_sessions() -> None:
    talk = Talk(lambda turn: str(len(turn.items)))
    talk.update(output_modalities=["text"], max_output_tokens=77)
    talk.create(type="message", role="user", content=[{"type": "input_text", "text": "x"}])
    assert talk.respond(input=[])["output"][0]["content"][0]["text"] == "0"
    response = talk.respond(conversation="auto")
    assert (response["output"][0]["content"][0]["text"], response["max_output_tokens"]) == ("2", 77)
    assert response["conversation_id"]


def test_every_kind_of_input_is_counted() -> None:
    talk = Talk("Yes.")
    talk.update(output_modalities=["text"], instructions="x" * 400)
    details = talk.respond(input=[], conversation="none")["usage"]["input_token_details"]
    assert details["text_tokens"] == 101  # and "[]", the tools
    few = talk.respond(input=[], conversation="none", instructions="x" * 40)["usage"]["input_token_details"]
    assert (few["text_tokens"], few["cached_tokens"]) == (11, 11)
    call = {"type": "function_call", "name": "f" * 4, "call_id": "c", "arguments": "{" * 36}
    output = {"type": "function_call_output", "call_id": "c", "output": "x" * 80}
    more = talk.respond(input=[call, output], conversation="none", instructions="x" * 40)["usage"]
    assert more["input_token_details"]["text_tokens"] == 11 + 10 + 20
    talk.update(instructions="x" * 4, tools=[{"type": "function", "name": "f" * 400}])
    assert talk.respond(input=[], conversation="none")["usage"]["input_tokens"] > 100


def test_the_models_own_audio_is_counted_twice_as_dense() -> None:
    talk = Talk(HUM)
    assert talk.respond()["usage"]["output_token_details"]["audio_tokens"] == 20
    assert talk.respond()["usage"]["input_token_details"]["audio_tokens"] == 20
    assert Talk(Call("f" * 8, "{" * 8)).respond()["usage"]["output_token_details"]["text_tokens"] == 4


def test_a_hum_is_as_long_as_its_words() -> None:
    assert Talk("One two three.").respond()["usage"]["output_token_details"]["audio_tokens"] == 3 * 400 / 50


# Errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "error", "event_id"),
    [
        (b"[1]", "invalid_event", None),
        (b'{"event_id":"mine"}', "missing_required_parameter", "mine"),
        (b'{"type":"nope","event_id":7}', "invalid_value", None),
    ],
)
def test_what_is_no_event(data: bytes, error: str, event_id: str | None) -> None:
    talk = Talk()
    talk.session.receive(data, 0.0)
    (event,) = talk.wait(0.0)
    assert (event["error"]["code"], event["error"]["event_id"]) == (error, event_id)


def test_a_prompt_is_replaced_and_never_merged() -> None:
    talk = Talk()
    talk.update(prompt={"id": "a", "variables": {"name": "x"}})
    (updated,) = talk.update(prompt={"id": "b"})
    assert updated["session"]["prompt"] == {"id": "b"}


# Translation ----------------------------------------------------------------------------------


def test_a_translation_comes_as_it_is_spoken_and_tells_how_far_it_was_heard() -> None:
    talk = Talk(Say("Hola.", tone(1000)), kind=TranslationSession, speed=1.0)
    audio = base64.b64encode(tone(300).samples + silence(300).samples).decode()
    came = talk.send("session.input_audio_buffer.append", audio=audio)
    assert {event["elapsed_ms"] for event in came} == {600}
    assert names(came).count("session.output_audio.delta") == 1
    assert names(talk.wait(0.5)).count("session.output_audio.delta") == 5
    talk.send("session.close")
    assert names(talk.wait(9))[-1] == "session.closed"


def test_what_was_translated_at_the_close_is_not_again() -> None:
    talk = Talk(Say("Hola.", tone(1000)), kind=TranslationSession, speed=1.0)
    talk.send("session.input_audio_buffer.append", audio=base64.b64encode(tone(300).samples).decode())
    talk.send("session.close")
    talk.send("session.input_audio_buffer.append", audio=base64.b64encode(silence(300).samples).decode())
    assert names(talk.wait(9)).count("session.output_audio.delta") == 9


def test_a_recording_in_another_format_is_read_in_it(tmp_path: Any) -> None:
    talk = Talk(Reply([Say("Hm.", tone(200))], "failed", error=types.ResponseError(code="x")))
    path = tmp_path / "session.jsonl"
    frames: list[bytes] = []
    talk.session.witness = lambda direction, frame: frames.append(frame) if direction == "server" else None
    talk.update(audio={"output": {"format": {"type": "audio/pcmu"}}})
    talk.send("response.create")
    path.write_bytes(b"\n".join(frames))
    (reply,) = Script.from_capture(path).replies
    assert isinstance(reply, Reply)
    (said,) = reply.outputs
    assert isinstance(said, Say)
    assert said.audio
    assert (said.audio.rate, round(said.audio.milliseconds)) == (8000, 200)
    assert reply.error == types.ResponseError(code="x")
