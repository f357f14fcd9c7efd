"""Every example runs, and is what it says it is."""

import json
import subprocess
import sys
from itertools import groupby
from typing import Any

import pytest

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


def test_inspect_and_check_read_it(streamed: bytes) -> None:
    found = json.loads(_run("-m", "rtproto", "inspect", "-", "--json", data=streamed))
    assert found["responses"] == {"begun": 1, "ended": {"completed": 1}}
    assert found["typed"] == found["frames"] == len(streamed.splitlines())
    assert found["audio_seconds"]["server"] == 1.2
    assert b"all modelled, none changed" in _run("-m", "rtproto", "check", "-", data=streamed)
