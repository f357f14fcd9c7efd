"""An event is of one family, by its name; and only audio itself, the deltas, may ever be lost.

The beta's names, which vendors still speak, stand beside those of today.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, get_args

from rtproto.event_types import RealtimeServerEvent as Wire
from rtproto.event_types import TranslationServerEvent as Translation

__all__ = ["ALWAYS", "AUDIO_DELTAS", "FAMILIES", "Family", "family_of", "read_families"]

Family: TypeAlias = Literal["session", "audio", "transcript", "text", "items", "other"]
"""``session``: sessions, errors, and what the hub itself tells; ``other``: everything that is in none."""

FAMILIES: Final[tuple[Family, ...]] = get_args(Family)
"""All of them."""
ALWAYS: Final[frozenset[Family]] = frozenset({"session"})
"""What every listener hears, whatever it asks for."""

AUDIO_DELTAS: Final[frozenset[str]] = frozenset(
    {Wire.RESPONSE_OUTPUT_AUDIO_DELTA, "response.audio.delta", Translation.SESSION_OUTPUT_AUDIO_DELTA}
)
"""The events that carry audio: the one class that may be lost. All else is control."""

_BY_FAMILY: Mapping[Family, Iterable[str]] = {
    "audio": (*AUDIO_DELTAS, Wire.RESPONSE_OUTPUT_AUDIO_DONE, "response.audio.done"),
    "transcript": (
        *(name for name in Wire if ".input_audio_transcription." in name),
        Wire.RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DELTA,
        Wire.RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DONE,
        "response.audio_transcript.delta",
        "response.audio_transcript.done",
        Translation.SESSION_INPUT_TRANSCRIPT_DELTA,
        Translation.SESSION_OUTPUT_TRANSCRIPT_DELTA,
    ),
    "text": (
        Wire.RESPONSE_OUTPUT_TEXT_DELTA,
        Wire.RESPONSE_OUTPUT_TEXT_DONE,
        "response.text.delta",
        "response.text.done",
    ),
    "items": (
        *(name for name in Wire if name.startswith("conversation.") and "transcription" not in name),
        Wire.RESPONSE_CREATED,
        Wire.RESPONSE_DONE,
        *(name for name in Wire if name.startswith(("response.output_item.", "response.content_part."))),
        *(name for name in Wire if name.startswith(("response.function_call_", "response.mcp_call"))),
        *(name for name in Wire if name.startswith("mcp_list_tools.")),
    ),
    "session": (
        Wire.SESSION_CREATED,
        Wire.SESSION_UPDATED,
        Wire.ERROR,
        Translation.SESSION_CLOSED,
        "transcription_session.created",
        "transcription_session.updated",
    ),
}
_FAMILY: Mapping[str, Family] = MappingProxyType(
    {str(name): family for family, names in _BY_FAMILY.items() for name in names}
)


def family_of(name: str) -> Family:
    """The family of an event's type."""
    return _FAMILY.get(name, "other")


def read_families(text: str) -> frozenset[Family]:
    """What a listener asks for: families with commas between, or ``all``; and always ``session``.

    Raises:
        ValueError: one of them is none.
    """
    names = {name.strip() for name in text.split(",") if name.strip()}
    if "all" in names or not names:
        return frozenset(FAMILIES)
    found: set[Family] = {family for family in FAMILIES if family in names}
    if len(found) != len(names):
        raise ValueError(f"a family is {', '.join(FAMILIES)} or all")
    return ALWAYS | found
