"""A script gives the reply of its turn, in short or whole, and can be read off a recorded session."""

import json
from pathlib import Path
from typing import Any

import pytest

from rtproto import types
from rtproto.testing import Call, Drop, FakeRealtimeServer, Recording, Reply, Say, Script, Sound, Turn, tone

from .talk import Client, said, talk, update

EXAMPLE = Path(__file__).parents[2] / "examples" / "session.jsonl"
SESSION = types.SessionCreateResponse(id="sess_1", object="realtime.session")


def turn(number: int = 0, *items: types.ConversationItem) -> Turn:
    return Turn(number, items, types.ResponseCreateParams(), SESSION)


def test_a_reply_in_short() -> None:
    assert Script("Hi.").reply(turn()) == Reply((Say("Hi."),))
    assert Script(Call("f")).reply(turn()) == Reply((Call("f"),))
    assert Script(Say("Hi.", tone(1))).reply(turn()) == Reply((Say("Hi.", tone(1)),))
    whole = Reply([Say("Hi.")], "incomplete", "content_filter")
    assert Script(lambda _: whole).reply(turn()) is whole


def test_a_script_of_nothing_answers_all_the_same() -> None:
    (said_,) = Script().reply(turn()).outputs
    assert isinstance(said_, Say)
    assert said_.text


def test_turns_and_transcripts_come_in_order_and_the_last_again() -> None:
    script = Script("a", lambda at: str(at.number), transcripts=["x", "y"])
    assert [script.reply(turn(n)).outputs[0].text for n in range(4)] == ["a", "1", "2", "3"]
    assert [script.transcript(n) for n in range(3)] == ["x", "y", "y"]


def test_what_a_turn_answers() -> None:
    user = types.Message(
        role="user", content=[types.InputText(text="What"), types.InputAudio(transcript="now?")]
    )
    model = types.Message(role="assistant", content=[types.OutputText(text="Hm.")])
    output = types.FunctionCallOutput(call_id="call_1", output="42")
    assert (turn(0, user, model).text, turn(0, user, model).tool_output) == ("What now?", None)
    assert (turn(0, user, output).tool_output, turn(0, output, user).tool_output) == ("42", None)
    assert (turn().text, turn().tool_output) == ("", None)


def test_arguments_are_json_text_in_the_end() -> None:
    assert json.loads(Call("f", {"a": ["b"]}).text) == {"a": ["b"]}
    assert Call("f", "{ }").text == "{ }"


def test_no_sound_is_shown() -> None:
    assert "<100 ms>" in repr(Say("Hi.", tone(100)))
    assert len(repr(Sound(bytes(10**6)))) < 80


def test_a_recorded_session_is_played_again_and_recorded_alike(tmp_path: Path) -> None:
    """Replies, audio, calls and transcripts come back as they were."""
    script = Script(
        Say("Good day.", tone(330)), Call("f", {"a": 1}), Reply([], "failed"), transcripts=["Morning."]
    )

    async def conversation(client: Client) -> None:
        await client.ask(update(audio={"input": {"transcription": {"model": "whisper-1"}}}))
        await client.send(said("x"), {"type": "response.create"})
        for _ in range(2):
            await client.until("response.done")
            await client.send({"type": "response.create"})
        await client.until("response.done")

    path = tmp_path / "session.jsonl.gz"
    talk(conversation, script=script).sessions[0].save(path)
    again = Script.from_capture(path)
    (call,) = again.replies[1].outputs  # type: ignore[union-attr]
    assert call.call_id.startswith("call_")
    assert [*again.replies] == [
        Reply([Say("Good day.", tone(330))]),
        Reply([Call("f", '{"a": 1}', call.call_id)]),
        Reply([], "failed"),
    ]


def test_the_example_session_is_a_script() -> None:
    script = Script.from_capture(EXAMPLE)
    done = Recording.load(EXAMPLE).sent("response.done")
    assert len(script.replies) == len(done) > 1


def test_a_capture_without_a_response_is_none(tmp_path: Path) -> None:
    path = tmp_path / "nothing.jsonl"
    path.write_text('{"type":"session.created"}\nnonsense\n')
    with pytest.raises(ValueError, match=r"no response\.done"):
        Script.from_capture(path)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Script(["Hi."]),  # type: ignore[arg-type]
        lambda: Script(Reply("Hi.")),
        lambda: Script(Reply([Reply()])),  # type: ignore[list-item]
        lambda: Script(Say("Hi.", "hello.wav")),  # type: ignore[arg-type]
        lambda: Script(transcripts="Hi."),
        lambda: FakeRealtimeServer("Hi."),  # type: ignore[arg-type]
        lambda: FakeRealtimeServer(faults=Drop()),  # type: ignore[arg-type]
        lambda: FakeRealtimeServer(keys="sk-1"),
    ],
)
def test_a_slip_is_told_at_once(wrong: Any) -> None:
    with pytest.raises(TypeError):
        wrong()


def test_a_text_in_a_reply_is_said() -> None:
    assert Script(Reply(["Hi.", Call("f")])).reply(turn()).items == [Say("Hi."), Call("f")]
    with pytest.raises(ValueError, match="speed"):
        FakeRealtimeServer(speed=0)
