"""Other clients believe the fake server too: a browser, and OpenAI's agents SDK."""

import asyncio
import json
import math
from typing import Any

import websockets
from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner

from rtproto import client
from rtproto.testing import Call, FakeRealtimeServer, Say, Script, silence, tone

SECONDS = 20


def test_what_a_browser_sends() -> None:
    """No headers of its own but Origin: the key is a subprotocol, and compression is offered."""

    async def main() -> None:
        async with (
            FakeRealtimeServer(Script("Hello!"), speed=math.inf) as fake,
            asyncio.timeout(SECONDS),
            websockets.connect(
                fake.url,
                subprotocols=[
                    websockets.Subprotocol("realtime"),
                    websockets.Subprotocol("openai-insecure-api-key.ek_test"),
                ],
                origin=websockets.Origin("http://localhost:3000"),
                compression="deflate",
                user_agent_header="Mozilla/5.0",
            ) as socket,
        ):
            assert socket.subprotocol == "realtime"
            await socket.send('{"type":"response.create","response":{"output_modalities":["text"]}}')
            text = ""
            async for message in socket:
                assert isinstance(message, str)  # a text frame
                event = json.loads(message)
                text += event["delta"] if event["type"] == "response.output_text.delta" else ""
                if event["type"] == "response.done":
                    break
            assert text == "Hello!"

    asyncio.run(main())


def test_the_agents_sdk() -> None:
    """A realtime session of it: a tool round after a written word, then a turn that is spoken."""
    asked: list[str] = []

    @function_tool
    def get_weather(city: str) -> str:
        """Tell the weather."""
        asked.append(city)
        return f"Fog in {city}."

    script = Script(
        Call("get_weather", {"city": "London"}),
        lambda turn: Say(f"I hear: {turn.tool_output}", tone(300)),
        Say("Goodbye.", tone(200)),
        transcripts=["And goodbye."],
    )
    heard: list[bytes] = []

    async def main(fake: FakeRealtimeServer) -> list[str]:
        agent = RealtimeAgent(name="Test", instructions="Be brief.", tools=[get_weather])
        settings: Any = {
            "model_name": "gpt-realtime",  # as the URL says: a session keeps its model
            "modalities": ["audio"],
            "input_audio_transcription": {"model": "gpt-4o-mini-transcribe"},
            "turn_detection": {"type": "server_vad"},
        }
        runner = RealtimeRunner(agent, config={"model_settings": settings})
        model_config: Any = {"url": fake.url, "api_key": "sk-test"}
        errors: list[str] = []
        async with asyncio.timeout(SECONDS), await runner.run(model_config=model_config) as session:
            await session.send_message("What is the weather in London?")
            ended = 0
            async for event in session:
                if event.type == "audio":
                    heard.append(event.audio.data)
                elif event.type == "error":
                    errors.append(str(event.error))
                elif event.type == "audio_end":
                    ended += 1
                    if ended == 2:
                        break
                    for sound in (tone(400), silence(600)):
                        await session.send_audio(sound.samples)
        return errors

    with FakeRealtimeServer(script, speed=math.inf) as fake:
        assert asyncio.run(main(fake)) == []
        assert asked == ["London"]
        assert b"".join(heard) == tone(300).samples + tone(200).samples
        (update, *_) = fake.received(client.SessionUpdate)
        assert "get_weather" in repr(update)
        types = [event.type for event in fake.sessions[0].sent()]
        assert "conversation.item.input_audio_transcription.completed" in types
        assert "error" not in types
