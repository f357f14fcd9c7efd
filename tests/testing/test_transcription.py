"""A transcription session hears, writes, and answers nothing else."""

import base64
from typing import Any

from rtproto import server, types
from rtproto.testing import Script, silence, tone

from .talk import Client, collapsed, talk

COMMIT = {"type": "input_audio_buffer.commit"}


def update(**hearing: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"type": "transcription", "audio": {"input": hearing}}}


def append(sound: Any) -> dict[str, Any]:
    return {"type": "input_audio_buffer.append", "audio": base64.b64encode(sound.samples).decode()}


def test_it_begins_as_a_transcription_session() -> None:
    async def conversation(client: Client) -> None:
        pass

    record = talk(conversation, kind="transcription_url").sessions[0]
    created = record.sent(server.SessionCreated)[0].session
    assert isinstance(created, types.TranscriptionSessionCreateResponse)
    assert created.object == "realtime.transcription_session"
    assert record.frames[0].surface == "transcription"


def test_turns_are_found_and_transcribed_in_order() -> None:
    async def conversation(client: Client) -> None:
        updated = await client.ask(update(transcription={"model": "gpt-4o-mini-transcribe"}))
        assert updated["session"]["audio"]["input"]["transcription"]["language"] is None
        for _ in range(2):
            client.seen.clear()
            await client.send(append(tone(500)), append(silence(300)))
            heard = await client.until("conversation.item.input_audio_transcription.completed")
            assert collapsed(client.types) == [
                "input_audio_buffer.speech_started",
                "input_audio_buffer.speech_stopped",
                "input_audio_buffer.committed",
                "conversation.item.added",
                "conversation.item.done",
                "conversation.item.input_audio_transcription.delta",
                "conversation.item.input_audio_transcription.completed",
            ]
            name = "conversation.item.input_audio_transcription.delta"
            deltas = [event["delta"] for event in client.seen if event["type"] == name]
            assert "".join(deltas) == heard["transcript"]
            assert len(deltas) > 1
            transcripts.append(heard["transcript"])
            assert heard["usage"]["total_tokens"] == (
                heard["usage"]["input_tokens"] + heard["usage"]["output_tokens"]
            )

    transcripts: list[str] = []
    script = Script(transcripts=["The first one.", "And the second."])
    fake = talk(conversation, script=script, kind="transcription_url")
    assert transcripts == ["The first one.", "And the second."]
    assert not {"rate_limits.updated", "response.created"} & {e.type for e in fake.sessions[0].sent()}


def test_probabilities_on_request() -> None:
    async def conversation(client: Client) -> None:
        event = update(transcription={"model": "whisper-1"}, turn_detection=None)
        event["session"]["include"] = ["item.input_audio_transcription.logprobs"]
        await client.ask(event)
        await client.send(append(tone(200)))
        await client.ask(COMMIT)
        heard = await client.until("conversation.item.input_audio_transcription.completed")
        assert [bytes(entry["bytes"]).decode() for entry in heard["logprobs"]] == ["Grüß", " Gott."]
        assert heard["usage"] == {"type": "duration", "seconds": 0.2}

    talk(conversation, script=Script(transcripts=["Grüß Gott."]), kind="transcription_url")


def test_without_transcription_nothing_is_written() -> None:
    async def conversation(client: Client) -> None:
        await client.ask(update(turn_detection=None))
        await client.send(append(tone(200)))
        await client.ask(COMMIT)
        assert (await client.ask(COMMIT))["error"]["code"] == "input_audio_buffer_commit_empty"
        assert not any("transcription" in name for name in client.types)

    talk(conversation, kind="transcription_url")


def test_nobody_answers_and_no_other_session_is_taken() -> None:
    async def conversation(client: Client) -> None:
        error = (await client.ask({"type": "response.create", "event_id": "mine"}))["error"]
        assert (error["code"], error["event_id"]) == ("invalid_value", "mine")
        error = (await client.ask({"type": "session.update", "session": {"type": "realtime"}}))["error"]
        assert error["param"] == "session.type"

    talk(conversation, kind="transcription_url")
