"""A translation session hears speech, speaks another, and ends when it is asked to."""

import base64
from typing import Any

import rtproto
from rtproto import translation
from rtproto.testing import Call, Reply, Say, Script, silence, tone

from .talk import Client, collapsed, talk

CLOSE = {"type": "session.close"}


def append(sound: Any) -> dict[str, Any]:
    return {"type": "session.input_audio_buffer.append", "audio": base64.b64encode(sound.samples).decode()}


def heard(client: Client, name: str) -> str:
    return "".join(event["delta"] for event in client.seen if event["type"] == name)


def test_each_stretch_of_speech_is_translated() -> None:
    async def conversation(client: Client) -> None:
        transcription = {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}
        updated = await client.ask(
            {"type": "session.update", "session": {"audio": {**transcription, "output": {"language": "es"}}}}
        )
        assert updated["session"]["audio"]["output"] == {"language": "es"}
        assert updated["session"]["audio"]["input"]["noise_reduction"] is None
        await client.send(append(tone(300)), append(silence(300)), append(tone(300)), append(silence(300)))
        while heard(client, "session.output_transcript.delta") != "Hola.Adiós.":
            await client.until("session.output_transcript.delta")
        await client.send(CLOSE)
        assert await client.closed() == (1000, "")
        assert heard(client, "session.input_transcript.delta") == "Hello.Goodbye."
        audio = [
            base64.b64decode(e["delta"]) for e in client.seen if e["type"] == "session.output_audio.delta"
        ]
        assert b"".join(audio) == tone(250).samples + tone(400).samples
        assert client.types[-1] == "session.closed"

    script = Script(Say("Hola.", tone(250)), Say("Adiós.", tone(400)), transcripts=["Hello.", "Goodbye."])
    fake = talk(conversation, script=script, kind="translation_url")
    record = fake.sessions[0]
    assert record.frames[0].surface == "translation"
    assert [type(event) for event in record.received()][-1] is translation.SessionClose
    for frame in record.frames:
        if frame.direction == "server":
            event = rtproto.translation_server_codec.decode(frame.raw, strict=True)
            assert not isinstance(event, rtproto.Unknown)


def test_what_is_unspoken_is_spoken_before_the_end() -> None:
    async def conversation(client: Client) -> None:
        await client.send(append(tone(300)), CLOSE)
        assert await client.closed() == (1000, "")
        assert collapsed(client.types) == [
            "session.created",
            "session.output_transcript.delta",
            "session.output_audio.delta",
            "session.closed",
        ]

    talk(conversation, Reply([Say("Sí."), Call("nobody")]), kind="translation_url")


def test_silence_is_not_translated_and_errors_end_nothing() -> None:
    async def conversation(client: Client) -> None:
        await client.send(append(silence(2000)), {"type": "response.create", "event_id": "mine"})
        error = (await client.until("error"))["error"]
        assert (error["code"], error["event_id"]) == ("invalid_value", "mine")
        await client.send({"type": "session.input_audio_buffer.append", "audio": "?"})
        assert (await client.until("error"))["error"]["param"] == "audio"
        await client.send({"type": "session.update", "session": {"model": "other"}})
        assert (await client.until("error"))["error"]["code"] == "unknown_parameter"
        await client.send(CLOSE)
        assert await client.closed() == (1000, "")
        assert [name for name in client.types if name != "error"] == ["session.created", "session.closed"]

    talk(conversation, kind="translation_url")
