"""Every event that a service may send is of a family, and only audio deltas may be lost."""

import pytest

from rtproto.event_types import RealtimeServerEvent, TranslationServerEvent
from rtproto.services.fanout.families import AUDIO_DELTAS, FAMILIES, family_of, read_families


def test_what_carries_audio_is_told_from_all_else() -> None:
    assert {
        "response.output_audio.delta",
        "response.audio.delta",
        "session.output_audio.delta",
    } == AUDIO_DELTAS
    assert {family_of(name) for name in AUDIO_DELTAS} == {"audio"}


@pytest.mark.parametrize(
    ("family", "names"),
    {
        "session": ["session.created", "session.updated", "session.closed", "error"],
        "transcript": [
            "conversation.item.input_audio_transcription.completed",
            "response.output_audio_transcript.delta",
            "response.audio_transcript.delta",
            "session.input_transcript.delta",
        ],
        "text": ["response.output_text.delta", "response.text.done"],
        "items": [
            "conversation.item.added",
            "conversation.item.created",
            "conversation.item.truncated",
            "response.created",
            "response.done",
            "response.output_item.done",
            "response.content_part.added",
            "response.function_call_arguments.delta",
            "mcp_list_tools.completed",
        ],
        "other": ["vendor.thing", "", "rate_limits.updated", "input_audio_buffer.speech_started"],
    }.items(),
)
def test_a_family_has_what_its_name_says(family: str, names: list[str]) -> None:
    assert {name: family_of(name) for name in names} == dict.fromkeys(names, family)


def test_only_what_is_about_the_connection_is_in_no_family_of_the_conversation() -> None:
    others = {name for name in (*RealtimeServerEvent, *TranslationServerEvent) if family_of(name) == "other"}
    assert {name.split(".")[0] for name in others} == {
        "input_audio_buffer",
        "output_audio_buffer",
        "rate_limits",
    }


@pytest.mark.parametrize(
    ("asked", "families"),
    [
        ("", set(FAMILIES)),
        ("all", set(FAMILIES)),
        ("audio,all", set(FAMILIES)),
        ("audio", {"audio", "session"}),
        ("text, transcript", {"text", "transcript", "session"}),
    ],
)
def test_a_listener_asks_for_families(asked: str, families: set[str]) -> None:
    assert read_families(asked) == families


@pytest.mark.parametrize("asked", ["sound", "audio,sound", "Audio"])
def test_a_family_that_is_none_is_refused(asked: str) -> None:
    with pytest.raises(ValueError, match="audio, transcript, text, items"):
        read_families(asked)
