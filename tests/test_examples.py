"""Every example runs, and is what it says it is."""

import asyncio
import json
import subprocess
import sys
from itertools import groupby
from typing import Any

import pytest
from openai import AsyncOpenAI
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

import rtproto
from rtproto import server

from .conftest import HERE

EXAMPLES = HERE.parent / "examples"
ORDER = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]
# Said of every refusal that is answered in full: https://github.com/Kludex/uvicorn/pull/3138
UVICORNS = "ERROR:    ASGI callable returned without completing handshake.\n"


def _run(*command: str, data: bytes = b"") -> bytes:
    run = subprocess.run([sys.executable, *command], input=data, capture_output=True, check=True, timeout=60)
    assert not run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def streamed() -> bytes:
    return _run(str(EXAMPLES / "stream_response.py"))


def test_it_is_one_whole_response_in_the_services_order(streamed: bytes) -> None:
    events: list[Any] = [rtproto.decode_server(line, strict=True) for line in streamed.splitlines()]
    assert list(dict.fromkeys(event.type for event in events)) == ORDER
    deltas = {ORDER[4], ORDER[5]}
    assert all(
        len([*same]) == 1 for name, same in groupby(events, lambda event: event.type) if name not in deltas
    )
    assert len({event.event_id for event in events}) == len(events)
    assert {event.response_id for event in events if hasattr(event, "response_id")} == {"resp_1"}
    assert {event.item_id for event in events if hasattr(event, "item_id")} == {"item_1"}


def test_what_was_streamed_is_what_is_done(streamed: bytes) -> None:
    events: list[Any] = [rtproto.decode_server(line) for line in streamed.splitlines()]
    words = [event.delta for event in events if isinstance(event, server.ResponseOutputAudioTranscriptDelta)]
    (transcript,) = [event.transcript for event in events if event.type == ORDER[7]]
    (item,) = events[-1].response.output
    assert "".join(words) == transcript == item.content[0].transcript == "It is four degrees in Oslo."
    assert (events[0].response.status, events[-1].response.status) == ("in_progress", "completed")
    assert all(rtproto.validate(event) == [] for event in events)


@pytest.mark.parametrize(
    ("name", "told", "answer"),
    [
        ("proxy_websockets.py", "Be brief.", "It is noon."),
        ("proxy_fastapi.py", "Be kind.", 'I hear: {"city":"Oslo","sky":"fog"}'),
    ],
)
def test_a_proxy_serves_a_client_and_ends(name: str, told: str, answer: str) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as example:
        assert example.stdout
        try:
            base_url = example.stdout.readline().strip()
            assert asyncio.run(_refused(f"{base_url}/realtime?model=gpt-other")) == 403
            heard = asyncio.run(_talk(base_url))
            left, complaints = example.communicate(timeout=20)
        finally:
            example.kill()
    assert [event.delta for event in heard if event.type == "response.function_call_arguments.delta"] == []
    (updated,) = (event.session for event in heard if event.type == "session.updated")
    assert updated.instructions == told
    assert [event.text for event in heard if event.type == "response.output_text.done"] == [answer]
    assert (example.returncode, left, complaints.replace(UVICORNS, "")) == (0, "", "")


async def _refused(url: str) -> int:
    """The status that a client is answered which is not let in."""
    with pytest.raises(InvalidStatus) as refused:
        await connect(url.replace("http", "ws", 1), proxy=None)
    return refused.value.response.status_code


async def _talk(base_url: str) -> list[Any]:
    """What the official SDK hears, up to the first answer."""
    heard: list[Any] = []
    openai = AsyncOpenAI(api_key="any", base_url=base_url)
    async with asyncio.timeout(20), openai, openai.realtime.connect(model="gpt-realtime") as connection:
        settings: Any = {"type": "realtime", "output_modalities": ["text"], "instructions": "Be kind."}
        await connection.session.update(session=settings)
        await connection.response.create()
        async for event in connection:
            heard.append(event)
            if event.type == "response.output_text.done":
                break
    return heard


def test_inspect_and_check_read_it(streamed: bytes) -> None:
    found = json.loads(_run("-m", "rtproto", "inspect", "-", "--json", data=streamed))
    assert found["responses"] == {"begun": 1, "ended": {"completed": 1}}
    assert found["typed"] == found["frames"] == len(streamed.splitlines())
    assert found["audio_seconds"]["server"] == 1.2
    assert b"all modelled, none changed" in _run("-m", "rtproto", "check", "-", data=streamed)
