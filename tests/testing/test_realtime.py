"""The fake server keeps the service's rules: events, order, errors, one by one."""

import asyncio
import base64
import json
import math
from typing import Any

import pytest

from rtproto import client, server, types
from rtproto.capture import load
from rtproto.testing import Call, FakeRealtimeServer, Reply, Say, Script, Turn, silence, tone

from .talk import Client, collapsed, connected, said, talk, update

RESPONSE = {"type": "response.create"}
TEXT = update(output_modalities=["text"])


def append(sound: Any) -> dict[str, Any]:
    return {"type": "input_audio_buffer.append", "audio": base64.b64encode(sound.samples).decode()}


async def done(client: Client) -> dict[str, Any]:
    """The response that ends next."""
    response: dict[str, Any] = (await client.until("response.done"))["response"]
    return response


# The session ----------------------------------------------------------------------------------


def test_a_session_begins_whole() -> None:
    async def conversation(client: Client) -> None:
        pass

    created = talk(conversation).sessions[0].sent(server.SessionCreated)[0].session
    assert isinstance(created, types.SessionCreateResponse)
    assert created.id.startswith("sess_")
    assert (created.object, created.model) == ("realtime.session", "gpt-realtime")
    assert (created.tracing, created.prompt, created.include) == (None, None, None)
    assert created.expires_at
    assert created.audio
    assert created.audio.input
    assert created.audio.input.turn_detection == types.ServerVad(
        threshold=0.5,
        prefix_padding_ms=300,
        silence_duration_ms=200,
        idle_timeout_ms=None,
        create_response=True,
        interrupt_response=True,
    )


def test_an_update_is_a_patch() -> None:
    """Absent stays, null switches off, empty clears; what is new has its defaults."""
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    vad = {"type": "server_vad", "silence_duration_ms": 900}
    hearing = {
        "transcription": {"model": "whisper-1"},
        "noise_reduction": {"type": "near_field", "strength": 2},
    }

    async def conversation(client: Client) -> None:
        def audio(event: dict[str, Any]) -> Any:
            return event["session"]["audio"]["input"]

        first = await client.ask(
            update(
                instructions="Be brief.", tools=[tool], audio={"input": {**hearing, "turn_detection": vad}}
            )
        )
        assert first["session"]["tools"] == [tool]
        assert audio(first)["turn_detection"]["silence_duration_ms"] == 900
        assert audio(first)["turn_detection"]["prefix_padding_ms"] == 300
        assert audio(first)["transcription"] == {"model": "whisper-1", "language": None, "prompt": None}

        second = await client.ask(update(audio={"input": {"noise_reduction": {"type": "far_field"}}}))
        assert audio(second)["noise_reduction"] == {"type": "far_field", "strength": 2}
        assert audio(second)["turn_detection"] == audio(first)["turn_detection"]
        assert second["session"]["instructions"] == "Be brief."

        off = {"transcription": None, "noise_reduction": None, "turn_detection": None}
        third = await client.ask(update(tools=[], instructions="", audio={"input": off}))
        assert third["session"]["tools"] == []
        assert third["session"]["instructions"] not in ("Be brief.", None)  # the service's own again
        assert [audio(third)[name] for name in off] == [None, None, None]
        assert third["session"]["audio"]["output"] == first["session"]["audio"]["output"]

        fourth = await client.ask(update(audio={"input": {"turn_detection": {"type": "semantic_vad"}}}))
        assert audio(fourth)["turn_detection"] == {
            "type": "semantic_vad",
            "eagerness": "auto",
            "create_response": True,
            "interrupt_response": True,
        }

    talk(conversation)


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({"model": "gpt-other"}, "invalid_value", "session.model"),
        ({"bogus_field": 1}, "unknown_parameter", "session.bogus_field"),
        ({"audio": {"input": {"formt": {}}}}, "unknown_parameter", "session.audio.input.formt"),
        ({"tools": "f"}, "invalid_type", "session.tools"),
        ({"output_modalities": ["text", "audio"]}, "invalid_value", "session.output_modalities"),
        (
            {"audio": {"input": {"turn_detection": {"type": "x"}}}},
            "invalid_value",
            "session.audio.input.turn_detection",
        ),
    ],
)
def test_a_wrong_update_changes_nothing(session: dict[str, Any], code: str, param: str) -> None:
    async def conversation(client: Client) -> None:
        before = client.seen[0]["session"]
        event = {**update(instructions="Changed."), "event_id": "mine"}
        event["session"] |= session
        error = (await client.ask(event))["error"]
        assert (error["code"], error["event_id"]) == (code, "mine")
        assert error["param"].startswith(param)
        assert (await client.ask(update()))["session"] == before

    talk(conversation)


def test_a_session_of_no_type_or_another_is_refused() -> None:
    async def conversation(client: Client) -> None:
        error = (await client.ask({"type": "session.update", "session": {"instructions": "x"}}))["error"]
        assert (error["code"], error["param"]) == ("missing_required_parameter", "session.type")
        error = (await client.ask({"type": "session.update", "session": {"type": "transcription"}}))["error"]
        assert (error["code"], error["param"]) == ("invalid_value", "session.type")

    talk(conversation)


def test_the_same_model_is_no_change() -> None:
    async def conversation(client: Client) -> None:
        assert (await client.ask(update(model="gpt-realtime")))["type"] == "session.updated"

    talk(conversation)


def test_the_voice_is_fixed_once_it_has_spoken() -> None:
    def voice(name: str) -> dict[str, Any]:
        return update(audio={"output": {"voice": name}})

    async def conversation(client: Client) -> None:
        assert (await client.ask(voice("marin")))["type"] == "session.updated"
        await client.send(TEXT, RESPONSE)
        await done(client)
        assert (await client.ask(voice("cedar")))["type"] == "session.updated"  # text is no voice
        await client.send(update(output_modalities=["audio"]), RESPONSE)
        assert (await done(client))["audio"]["output"]["voice"] == "cedar"
        error = (await client.ask(voice("ash")))["error"]
        assert error["code"] == "cannot_update_voice"
        assert (await client.ask(voice("cedar")))["type"] == "session.updated"

    talk(conversation)


# Items ----------------------------------------------------------------------------------------


def item(id: str, text: str = "x") -> dict[str, Any]:
    event = said(text)
    event["item"]["id"] = id
    return event


def test_items_have_an_order() -> None:
    async def conversation(client: Client) -> None:
        assert (await client.ask(item("a")))["previous_item_id"] is None
        assert (await client.ask(item("b")))["previous_item_id"] == "a"
        assert (await client.ask({**item("c"), "previous_item_id": "a"}))["previous_item_id"] == "a"
        assert (await client.ask({**item("d"), "previous_item_id": "root"}))["previous_item_id"] is None
        error = (await client.ask({**item("e"), "previous_item_id": "nobody"}))["error"]
        assert error["param"] == "previous_item_id"
        error = (await client.ask(item("a")))["error"]
        assert error["code"] == "item_create_duplicate_item_id"

    fake = talk(conversation)
    assert [item.id for item in fake.sessions[0].session.conversation] == ["d", "a", "c", "b"]  # type: ignore[attr-defined]


def test_an_item_is_added_and_done() -> None:
    async def conversation(client: Client) -> None:
        await client.ask(said("Hello."))
        added, finished = client.seen[-2:]
        assert [added["type"], finished["type"]] == ["conversation.item.added", "conversation.item.done"]
        assert added["item"] == finished["item"]
        assert added["item"]["id"].startswith("item_")
        assert added["item"]["status"] == "completed"
        assert added["item"]["content"] == [{"type": "input_text", "text": "Hello."}]

    talk(conversation)


def test_items_are_retrieved_with_their_audio_and_sent_without() -> None:
    sound = tone(200)
    audio = base64.b64encode(sound.samples).decode()
    part = {"type": "input_audio", "audio": audio, "transcript": "hm"}
    spoken = {"type": "message", "id": "a", "role": "user", "content": [part]}

    async def conversation(client: Client) -> None:
        finished = await client.ask({"type": "conversation.item.create", "item": spoken})
        assert finished["item"]["content"] == [{"type": "input_audio", "transcript": "hm"}]
        got = await client.ask({"type": "conversation.item.retrieve", "item_id": "a"})
        assert got["item"]["content"] == [part]
        await client.send(RESPONSE)
        model = (await done(client))["output"][0]["id"]
        got = await client.ask({"type": "conversation.item.retrieve", "item_id": model})
        assert base64.b64decode(got["item"]["content"][0]["audio"]) == tone(100).samples
        assert got["item"]["content"][0]["transcript"] == "Hi."

    talk(conversation, Say("Hi.", tone(100)))


MESSAGE = {"type": "conversation.item.create"}
OUTPUT = {"type": "output_text", "text": "x"}


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"type": "conversation.item.retrieve", "item_id": "no"}, "item_retrieve_invalid_item_id"),
        ({"type": "conversation.item.delete", "item_id": "no"}, "item_delete_invalid_item_id"),
        (
            {"type": "conversation.item.truncate", "item_id": "no", "content_index": 0, "audio_end_ms": 1},
            "item_truncate_invalid_item_id",
        ),
        ({"type": "conversation.item.delete"}, "missing_required_parameter"),
        ({"type": "conversation.item.delete", "item_id": 1}, "invalid_type"),
        ({"type": "conversation.item.create", "item": {"type": "strange"}}, "invalid_value"),
        (
            {
                "type": "conversation.item.create",
                "item": {"type": "message", "role": "user", "content": [], "x": 1},
            },
            "unknown_parameter",
        ),
        (
            {
                "type": "conversation.item.create",
                "item": {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "output_text", "text": "x"}],
                },
            },
            "invalid_value",
        ),
        ({"type": "input_audio_buffer.append", "audio": "not base64!"}, "invalid_value"),
        ({"type": "output_audio_buffer.clear"}, "invalid_value"),
        ({"type": "response.done"}, "invalid_value"),
        ({"type": "nope"}, "invalid_value"),
    ],
)
def test_a_wrong_event_is_an_error_and_the_session_lives(event: dict[str, Any], code: str) -> None:
    async def conversation(client: Client) -> None:
        await client.send({**event, "event_id": "mine"})
        answer = await client.until("error")
        assert answer["error"]["type"] == "invalid_request_error"
        assert (answer["error"]["code"], answer["error"]["event_id"]) == (code, "mine")
        assert answer["event_id"] != "mine"
        await client.ask(said("Still there?"))

    talk(conversation)


def test_an_item_is_deleted() -> None:
    async def conversation(client: Client) -> None:
        await client.ask(item("a"))
        await client.ask(item("b"))
        assert (await client.ask({"type": "conversation.item.delete", "item_id": "a"}))["item_id"] == "a"
        assert (await client.ask({"type": "conversation.item.delete", "item_id": "a"}))["type"] == "error"
        assert (await client.ask(item("c")))["previous_item_id"] == "b"

    talk(conversation)


def test_the_models_speech_is_truncated() -> None:
    def truncate(item_id: str, end: int, index: int = 0) -> dict[str, Any]:
        return {
            "type": "conversation.item.truncate",
            "item_id": item_id,
            "content_index": index,
            "audio_end_ms": end,
        }

    async def conversation(client: Client) -> None:
        await client.ask(item("mine"))
        assert (await client.ask(truncate("mine", 0)))["error"]["message"].startswith(
            "Only model output audio"
        )
        await client.send(RESPONSE)
        model = (await done(client))["output"][0]["id"]
        too_long = (await client.ask(truncate(model, 701)))["error"]
        assert too_long["message"] == "Audio content of 700ms is already shorter than 701ms"
        assert (await client.ask(truncate(model, 1, 1)))["type"] == "error"
        assert (await client.ask(truncate(model, 250)))["audio_end_ms"] == 250
        got = await client.ask({"type": "conversation.item.retrieve", "item_id": model})
        assert base64.b64decode(got["item"]["content"][0]["audio"]) == tone(250).samples
        assert got["item"]["content"][0]["transcript"] == ""
        assert (await client.ask(truncate(model, 251)))["type"] == "error"

    talk(conversation, Say("Hello there.", tone(700)))


# The input audio buffer -----------------------------------------------------------------------

TRANSCRIBED = {"transcription": {"model": "gpt-4o-transcribe"}}
PUSH_TO_TALK = update(audio={"input": {"turn_detection": None, **TRANSCRIBED}})


def vad(**settings: Any) -> dict[str, Any]:
    return update(audio={"input": {"turn_detection": {"type": "server_vad", **settings}}})


def test_push_to_talk() -> None:
    async def conversation(client: Client) -> None:
        await client.ask(PUSH_TO_TALK)
        await client.send(append(tone(300)), append(silence(700)), append(tone(250)))
        committed = await client.ask({"type": "input_audio_buffer.commit"})
        assert committed["item"]["content"] == [{"type": "input_audio", "transcript": None}]
        heard = await client.until("conversation.item.input_audio_transcription.completed")
        assert heard["usage"]["input_token_details"] == {"text_tokens": 0, "audio_tokens": 12}
        assert not {"response.created", "input_audio_buffer.speech_started"} & {*client.types}
        error = (await client.ask({"type": "input_audio_buffer.commit"}))["error"]
        assert error["code"] == "input_audio_buffer_commit_empty"
        assert "only has 0.00ms" in error["message"]
        await client.send(RESPONSE)
        assert (await done(client))["status"] == "completed"
        assert collapsed(client.types[2:])[:6] == [
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "conversation.item.input_audio_transcription.delta",
            "conversation.item.input_audio_transcription.completed",
            "error",
        ]

    talk(conversation, lambda turn: f"You said: {turn.text}")


def test_too_little_is_no_commit_and_a_cleared_buffer_is_empty() -> None:
    async def conversation(client: Client) -> None:
        await client.ask(PUSH_TO_TALK)
        await client.send(append(tone(60)))
        error = (await client.ask({"type": "input_audio_buffer.commit"}))["error"]
        assert "only has 60.00ms" in error["message"]
        await client.send(append(tone(60)))
        await client.ask({"type": "input_audio_buffer.clear"})
        assert (await client.ask({"type": "input_audio_buffer.commit"}))["type"] == "error"
        await client.send(append(tone(120)))
        assert (await client.ask({"type": "input_audio_buffer.commit"}))["type"] == "conversation.item.done"

    talk(conversation)


def test_voice_activity_detection_finds_every_turn_and_its_audio() -> None:
    """However the audio is cut; each turn's item holds what was said, with the padding before it."""
    spoken = [silence(1000), tone(500), silence(300), tone(400), silence(300)]
    whole = b"".join(sound.samples for sound in spoken)

    def conversation(size: int) -> Any:
        async def run(client: Client) -> None:
            await client.ask(vad(create_response=False))
            for begin in range(0, len(whole), size):
                audio = base64.b64encode(whole[begin : begin + size]).decode()
                await client.send({"type": "input_audio_buffer.append", "audio": audio})
            for _ in range(2):
                await client.until("conversation.item.done")
            # From 300 ms before the speech, or the end of the turn before it, to 200 ms after it.
            starts = [e["audio_start_ms"] for e in client.seen if e["type"].endswith("speech_started")]
            stops = [e["audio_end_ms"] for e in client.seen if e["type"].endswith("speech_stopped")]
            assert (starts, stops) == ([700, 1700], [1700, 2400])
            items = [e["item"]["id"] for e in client.seen if e["type"] == "conversation.item.done"]
            for item_id, begin, end in zip(items, starts, stops, strict=True):
                got = await client.ask({"type": "conversation.item.retrieve", "item_id": item_id})
                audio = base64.b64decode(got["item"]["content"][0]["audio"])
                assert audio == whole[begin * 48 : end * 48]
            assert "response.created" not in client.types

        return run

    for size in (960, 4800, 7002, len(whole)):
        talk(conversation(size))


def test_a_quiet_hum_is_speech_only_at_a_low_threshold() -> None:
    quiet = append(tone(300, loudness=0.01))

    async def conversation(client: Client) -> None:
        await client.send(quiet)
        await client.ask(vad(threshold=0.1))
        assert "input_audio_buffer.speech_started" not in client.types
        await client.send(quiet)
        await client.until("input_audio_buffer.speech_started")

    talk(conversation)


def test_speech_while_it_answers_waits_where_it_may_not_interrupt() -> None:
    async def conversation(client: Client) -> None:
        await client.ask(vad(interrupt_response=False))
        await client.ask(RESPONSE)
        await client.send(append(tone(300)), append(silence(300)))
        assert (await done(client))["status"] == "completed"
        assert "input_audio_buffer.committed" in client.types
        assert client.types.count("response.created") == 1
        assert (await done(client))["status"] == "completed"

    talk(conversation, Say("One.", tone(300)), speed=1.0)


# Responses ------------------------------------------------------------------------------------

OPENING = ["conversation.item.added", "conversation.item.done", "response.created"]
ITEM = ["response.output_item.added", "conversation.item.added"]
END = ["conversation.item.done", "response.output_item.done", "response.done", "rate_limits.updated"]
SPEECH = [
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
]
WRITING = [
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
]
CALL = ["response.function_call_arguments.delta", "response.function_call_arguments.done"]


@pytest.mark.parametrize(
    ("modality", "reply", "middle"),
    [
        ("audio", Say("Hello there."), SPEECH),
        ("text", Say("Hello there."), WRITING),
        ("audio", Call("f", {"a": 1}), CALL),
        ("text", Call("f", {"a": 1}), CALL),
    ],
)
def test_the_order_of_a_turn(modality: str, reply: Any, middle: list[str]) -> None:
    async def conversation(client: Client) -> None:
        await client.ask(update(output_modalities=[modality]))
        client.seen.clear()
        await client.send(said("Hi."), RESPONSE)
        await client.until("rate_limits.updated")
        assert collapsed(client.types) == [*OPENING, *ITEM, *middle, *END]

    talk(conversation, reply)


def test_the_order_is_that_of_openais_recorded_sessions(capture: Any) -> None:
    """Played against the fake, a recorded client sees what it saw then, apart from the number of deltas."""
    if not capture.name.startswith("openai_ws"):
        pytest.skip("no recording of OpenAI's")
    records = load(capture)
    recorded = [json.loads(r.raw)["type"] for r in records if r.direction == "server"]
    mine = [json.loads(r.raw) for r in records if r.direction == "client"]

    async def conversation(client: Client) -> None:
        for event, after in zip(mine, _answered(records), strict=True):
            if after is not None:
                while client.types.count(after[0]) < after[1]:
                    await client.until(after[0])
            await client.send(event)
        while client.types.count("response.done") < recorded.count("response.done"):
            await client.until("response.done")
        seen = [name for name in client.types if name != "rate_limits.updated"]  # after what was recorded
        begin = 0 if recorded[0] == "session.created" else 1  # a sideband joins later
        assert collapsed(seen[begin:]) == collapsed(recorded)

    talk(conversation, script=Script.from_capture(capture))


def _answered(records: list[Any]) -> list[tuple[str, int] | None]:
    """For each client's frame the server's that it waited for, and how many of its type came till then."""
    answers: list[tuple[str, int] | None] = []
    names: list[str] = []
    for record in records:
        if record.direction == "server":
            names.append(json.loads(record.raw)["type"])
        else:
            answers.append((names[-1], names.count(names[-1])) if names else None)
    return answers


def test_several_outputs_in_one_response() -> None:
    async def conversation(client: Client) -> None:
        await client.ask(TEXT)
        await client.send(RESPONSE)
        response = await done(client)
        assert [item["type"] for item in response["output"]] == ["message", "function_call", "function_call"]
        indexes = [e["output_index"] for e in client.seen if e["type"] == "response.output_item.done"]
        assert indexes == [0, 1, 2]
        assert response["output"][2]["arguments"] == "{}"

    talk(conversation, Reply([Say("Let me see."), Call("f", '{"a":  1}'), Call("g")]))


@pytest.mark.parametrize(
    ("reply", "status", "details"),
    [
        (
            Reply([Say("Half a")], "incomplete", "max_output_tokens"),
            "incomplete",
            {"type": "incomplete", "reason": "max_output_tokens"},
        ),
        (
            Reply([], "failed", error=types.ResponseError(type="server_error", code="x", message="m")),
            "failed",
            {"type": "failed", "error": {"type": "server_error", "code": "x", "message": "m"}},
        ),
    ],
)
def test_a_response_that_does_not_complete(reply: Reply, status: str, details: dict[str, Any]) -> None:
    async def conversation(client: Client) -> None:
        await client.send(RESPONSE)
        response = await done(client)
        assert (response["status"], response["status_details"]) == (status, details)

    talk(conversation, reply)


def test_one_response_at_a_time() -> None:
    async def conversation(client: Client) -> None:
        running = (await client.ask(RESPONSE))["response"]["id"]
        error = (await client.ask({**RESPONSE, "event_id": "second"}))["error"]
        assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", "second")
        assert running in error["message"]
        assert (await client.ask({"type": "response.cancel", "response_id": "resp_other"}))["type"] == "error"
        cancelled = await client.ask({"type": "response.cancel", "response_id": running})
        assert cancelled["response"]["status"] == "cancelled"
        assert (await client.ask(RESPONSE))["type"] == "response.created"

    talk(conversation, Say("Long.", tone(60_000)), speed=1.0)


def test_out_of_band() -> None:
    """``conversation: none``: beside a running response, and nothing of it in the conversation."""
    aside = {
        "conversation": "none",
        "metadata": {"topic": "aside"},
        "output_modalities": ["text"],
        "input": [{"type": "item_reference", "id": "a"}, said("And this?")["item"]],
    }

    async def conversation(client: Client) -> None:
        await client.ask(item("a", "What is this?"))
        running = (await client.ask(RESPONSE))["response"]["id"]
        client.seen.clear()
        created = (await client.ask({**RESPONSE, "response": aside}))["response"]
        assert (created["conversation_id"], created["metadata"]) == (None, {"topic": "aside"})
        response = await done(client)
        while response["id"] == running:
            response = await done(client)
        assert response["metadata"] == {"topic": "aside"}
        assert response["output"][0]["content"][0]["text"] == "2: And this?"
        mine = response["output"][0]["id"]
        assert (await client.ask({"type": "conversation.item.retrieve", "item_id": mine}))["type"] == "error"
        wrong = {**aside, "input": [{"type": "item_reference", "id": "gone"}]}
        assert (await client.ask({**RESPONSE, "response": wrong}))["error"]["param"] == "response.input[0].id"

    def answer(turn: Turn) -> Any:
        return Say("Long.", tone(3000)) if turn.number == 0 else f"{len(turn.items)}: {turn.text}"

    talk(conversation, answer, speed=1.0)


def test_a_request_may_differ_from_its_session() -> None:
    asked = {
        "output_modalities": ["audio"],
        "max_output_tokens": 64,
        "audio": {"output": {"voice": "cedar", "format": {"type": "audio/pcmu"}}},
    }

    async def conversation(client: Client) -> None:
        await client.ask(TEXT)
        await client.send({**RESPONSE, "response": asked})
        response = await done(client)
        for name, value in asked.items():
            assert response[name] == value
        audio = b"".join(
            base64.b64decode(e["delta"]) for e in client.seen if e["type"] == "response.output_audio.delta"
        )
        assert len(audio) == 8 * 500
        await client.send(RESPONSE)
        assert (await done(client))["output_modalities"] == ["text"]

    talk(conversation, Say("Hm.", tone(500)))


def test_usage_grows_with_the_conversation_and_the_cache() -> None:
    async def conversation(client: Client) -> None:
        await client.ask(TEXT)
        await client.ask(said("word " * 200))
        await client.send(RESPONSE)
        first = (await done(client))["usage"]
        await client.send(RESPONSE)
        second = (await done(client))["usage"]
        details = [usage["input_token_details"] for usage in (first, second)]
        assert details[0]["cached_tokens"] == 0
        assert 0 < details[1]["cached_tokens"] <= details[0]["text_tokens"]
        assert details[1]["cached_tokens"] % 64 == 0
        assert second["input_tokens"] == first["input_tokens"] + first["output_tokens"]
        await client.until("rate_limits.updated")
        limits = [e["rate_limits"][0]["remaining"] for e in client.seen if e["type"] == "rate_limits.updated"]
        assert limits[0] - limits[1] == second["total_tokens"]

    talk(conversation, "Yes.")


def test_replies_come_in_order_and_the_last_again() -> None:
    async def conversation(client: Client) -> None:
        await client.ask(TEXT)
        texts = []
        for _ in range(3):
            await client.send(RESPONSE)
            texts.append((await done(client))["output"][0]["content"][0]["text"])
        assert texts == ["One.", "Two.", "Two."]

    talk(conversation, "One.", "Two.")


def test_every_session_begins_with_the_first_reply() -> None:
    async def main() -> None:
        async with FakeRealtimeServer(Script("One.", "Two."), speed=math.inf) as fake:
            for _ in range(2):
                async with connected(fake.url) as one:
                    await one.send(TEXT, RESPONSE)
                    assert (await done(one))["output"][0]["content"][0]["text"] == "One."
            assert len(fake.received(client.ResponseCreate)) == 2

    asyncio.run(main())
