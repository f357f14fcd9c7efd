"""The official SDK believes the fake server: what its users do works, and its models hold what comes."""

import asyncio
import base64
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

import rtproto
from rtproto import client, server
from rtproto.testing import Call, FakeRealtimeServer, Say, Script, Sound, silence, tone

SECONDS = 20
SDK_MODEL: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


@asynccontextmanager
async def sdk(fake: FakeRealtimeServer) -> AsyncIterator[AsyncRealtimeConnection]:
    async with (
        asyncio.timeout(SECONDS),
        AsyncOpenAI(api_key="sk-test", base_url=fake.base_url) as openai,
        openai.realtime.connect(model="gpt-realtime") as connection,
    ):
        created = await connection.recv()
        assert created.type == "session.created"
        yield connection


async def until(connection: AsyncRealtimeConnection, name: str) -> list[Any]:
    events: list[Any] = []
    async for event in connection:
        events.append(event)
        if event.type == name:
            return events
    raise AssertionError(f"no {name}")


def run(fake: FakeRealtimeServer, conversation: Any) -> None:
    async def main() -> None:
        async with fake, sdk(fake) as connection:
            await conversation(connection)

    asyncio.run(main())
    every_frame_is_sound(fake)


def every_frame_is_sound(fake: FakeRealtimeServer) -> None:
    """Every frame sent is typed strictly by us, and by the SDK's models under pydantic's validation."""
    frames = [frame for record in fake.sessions for frame in record.frames if frame.direction == "server"]
    assert frames
    for frame in frames:
        assert not isinstance(rtproto.decode_server(frame.raw, strict=True), rtproto.Unknown)
        SDK_MODEL.validate_json(frame.raw)


def text_of(events: list[Any], name: str) -> str:
    return "".join(event.delta for event in events if event.type == name)


def test_a_text_turn() -> None:
    async def conversation(connection: AsyncRealtimeConnection) -> None:
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]}
        )
        await connection.response.create(response={"metadata": {"turn": "1"}})
        events = await until(connection, "response.done")
        assert text_of(events, "response.output_text.delta") == "Hello, how are you?"
        done = events[-1].response
        assert (done.status, done.metadata) == ("completed", {"turn": "1"})
        assert done.output[0].content[0].text == "Hello, how are you?"
        assert done.usage.output_token_details.audio_tokens == 0
        assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens > 0

    fake = FakeRealtimeServer(Script("Hello, how are you?"), speed=math.inf)
    run(fake, conversation)
    assert [item.item.role for item in fake.received(client.ConversationItemCreate)] == ["user"]  # type: ignore[union-attr]


def test_an_audio_turn_with_server_vad() -> None:
    spoken = tone(730, loudness=0.5)

    async def conversation(connection: AsyncRealtimeConnection) -> None:
        await connection.session.update(
            session={"type": "realtime", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
        )
        for sound in (silence(500), tone(600), silence(400)):
            for chunk in rtproto.pcm.chunks(sound.samples, 50):
                await connection.input_audio_buffer.append(audio=base64.b64encode(chunk).decode())
        events = await until(connection, "response.done")
        types = [event.type for event in events]
        started = events[types.index("input_audio_buffer.speech_started")]
        stopped = events[types.index("input_audio_buffer.speech_stopped")]
        assert (started.audio_start_ms, stopped.audio_end_ms) == (200, 1300)
        assert types.index("input_audio_buffer.committed") < types.index("response.created")
        heard = events[types.index("conversation.item.input_audio_transcription.completed")]
        assert (heard.transcript, heard.item_id) == ("What is the time?", started.item_id)
        assert heard.usage.seconds == pytest.approx(1.1)
        audio = b"".join(base64.b64decode(e.delta) for e in events if e.type == "response.output_audio.delta")
        assert audio == spoken.samples
        assert text_of(events, "response.output_audio_transcript.delta") == "Noon."
        usage = events[-1].response.usage
        assert usage.input_token_details.audio_tokens == 11  # 1100 ms, at 10 tokens a second
        assert usage.output_token_details.audio_tokens == 15  # 730 ms, at 20

    script = Script(Say("Noon.", spoken), transcripts=["What is the time?"])
    run(FakeRealtimeServer(script, speed=math.inf), conversation)


def test_a_tool_round() -> None:
    async def conversation(connection: AsyncRealtimeConnection) -> None:
        tool: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
        await connection.session.update(
            session={"type": "realtime", "output_modalities": ["text"], "tools": [tool]}
        )
        await connection.response.create()
        events = await until(connection, "response.done")
        arguments = text_of(events, "response.function_call_arguments.delta")
        call = events[-1].response.output[0]
        assert (call.type, call.name, call.arguments) == ("function_call", "weather", '{"city": "Oslo"}')
        assert arguments == call.arguments
        await connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": call.call_id, "output": "It is foggy."}
        )
        await connection.response.create()
        events = await until(connection, "response.done")
        assert text_of(events, "response.output_text.delta") == "I hear: It is foggy."

    script = Script(Call("weather", {"city": "Oslo"}), lambda turn: f"I hear: {turn.tool_output}")
    run(FakeRealtimeServer(script, speed=math.inf), conversation)


def test_cancel() -> None:
    long = Say("One two three four five.", tone(60_000))

    async def conversation(connection: AsyncRealtimeConnection) -> None:
        await connection.response.create()
        await until(connection, "response.output_audio.delta")
        await connection.response.cancel()
        events = await until(connection, "response.done")
        response = events[-1].response
        assert (response.status, response.status_details.reason) == ("cancelled", "client_cancelled")
        assert response.output[0].status == "incomplete"
        await connection.response.cancel()
        error = (await until(connection, "error"))[-1].error
        assert error.code == "response_cancel_not_active"

    fake = FakeRealtimeServer(Script(long))
    run(fake, conversation)
    types = [event.type for event in fake.sessions[0].sent()]
    assert types.count("response.output_audio.delta") < 100  # of 600
    after = types[types.index("response.output_audio.done") :]
    assert after[:6] == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]


def test_an_error_names_the_clients_event_and_ends_nothing() -> None:
    async def conversation(connection: AsyncRealtimeConnection) -> None:
        await connection.send({"type": "conversation.item.delete", "event_id": "mine", "item_id": "none"})
        error = (await until(connection, "error"))[-1].error
        assert (error.type, error.code) == ("invalid_request_error", "item_delete_invalid_item_id")
        assert (error.event_id, error.param) == ("mine", "item_id")
        await connection.response.create()
        assert (await until(connection, "response.done"))[-1].response.status == "completed"

    run(FakeRealtimeServer(speed=math.inf), conversation)


def test_interruption_by_speech() -> None:
    async def conversation(connection: AsyncRealtimeConnection) -> None:
        await connection.response.create()
        await until(connection, "response.output_audio.delta")
        await connection.input_audio_buffer.append(audio=base64.b64encode(tone(300).samples).decode())
        events = await until(connection, "response.done")
        assert "input_audio_buffer.speech_started" in [event.type for event in events]
        details = events[-1].response.status_details
        assert (details.type, details.reason) == ("cancelled", "turn_detected")

    run(FakeRealtimeServer(Script(Say("Long.", tone(60_000)))), conversation)


def test_the_synchronous_client_and_a_server_in_a_thread() -> None:
    with FakeRealtimeServer(Script("Hello!"), speed=math.inf) as fake:
        openai = OpenAI(api_key="sk-test", base_url=fake.base_url)
        with openai, openai.realtime.connect(model="gpt-realtime") as connection:
            connection.response.create(response={"output_modalities": ["text"]})
            text = ""
            for event in connection:
                if event.type == "response.output_text.delta":
                    text += event.delta
                if event.type == "response.done":
                    break
        assert text == "Hello!"
        assert fake.wait_for(client.ResponseCreate)[0].response is not None
    assert fake.sessions[0].end == (1000, "")
    assert len(fake.sessions[0].sent(server.ResponseDone)) == 1


def test_a_sound_is_heard_at_the_rate_of_the_session() -> None:
    """Telephony: 8 kHz in µ-law both ways, whatever the sound was made at."""

    async def conversation(connection: AsyncRealtimeConnection) -> None:
        pcmu: Any = {"format": {"type": "audio/pcmu"}}
        await connection.session.update(
            session={"type": "realtime", "audio": {"input": pcmu, "output": pcmu}}
        )
        hum = rtproto_g711(tone(600, rate=8000)) + b"\xff" * 3200
        await connection.input_audio_buffer.append(audio=base64.b64encode(hum).decode())
        events = await until(connection, "response.done")
        stopped = next(event for event in events if event.type == "input_audio_buffer.speech_stopped")
        assert stopped.audio_end_ms == 800
        audio = b"".join(base64.b64decode(e.delta) for e in events if e.type == "response.output_audio.delta")
        assert abs(len(audio) - 8000) <= 8

    run(FakeRealtimeServer(Script(Say("One.", tone(1000))), speed=math.inf), conversation)


def rtproto_g711(sound: Sound) -> bytes:
    from rtproto import g711  # noqa: PLC0415 - audioop, on Python 3.13 from a package

    return g711.encode(sound.samples, "audio/pcmu")
