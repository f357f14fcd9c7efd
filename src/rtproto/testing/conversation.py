"""A conversation is items in an order of its own; their audio lies beside them, as nobody gets it unasked."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import pybase64
from msgspec import UNSET

from rtproto._struct import Maybe
from rtproto.event_ids import new_event_id
from rtproto.types.items import (
    ContentPart,
    ConversationItem,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    Message,
    OutputAudio,
)
from rtproto.types.response import InputTokenDetails

__all__ = ["Audio", "Conversation", "input_tokens", "new_id", "text_tokens"]


def new_id(prefix: str) -> str:
    """A fresh id, as ``item_`` and 21 letters and digits."""
    return prefix + new_event_id().removeprefix("event")


class Audio(NamedTuple):
    """The audio of an item."""

    data: bytes
    """In the session's format."""
    milliseconds: float
    """How long it plays."""

    def until(self, milliseconds: float) -> "Audio":
        """Its beginning."""
        share = milliseconds / self.milliseconds if self.milliseconds else 0
        return Audio(self.data[: int(len(self.data) * share) & ~1], milliseconds)


class Conversation:
    """Items, and the audio of some of them."""

    def __init__(self) -> None:
        self.id = new_id("conv")
        self.audio: dict[str, Audio] = {}
        self._items: dict[str, ConversationItem] = {}
        self._order: list[str] = []

    def __iter__(self) -> Iterator[ConversationItem]:
        return map(self._items.__getitem__, self._order)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, item_id: str) -> ConversationItem:
        return self._items[item_id]

    @property
    def last_id(self) -> str | None:
        """The newest item; ``None``: there is none."""
        return self._order[-1] if self._order else None

    def add(self, item_id: str, item: ConversationItem, previous_item_id: Maybe[str] = UNSET) -> str | None:
        """Put an item after another (``root``: before all; absent: after all); gives the one before it."""
        at = self._place(previous_item_id)
        self._order.insert(at, item_id)
        self._items[item_id] = item
        return self._order[at - 1] if at else None

    def _place(self, previous_item_id: Maybe[str]) -> int:
        if previous_item_id == "root":
            return 0
        if not previous_item_id:
            return len(self._order)
        return self._order.index(previous_item_id) + 1

    def previous(self, item_id: str) -> str | None:
        """The item before an item; ``None``: it is the first, or gone."""
        at = self._order.index(item_id) if item_id in self._items else 0
        return self._order[at - 1] if at else None

    def put(self, item_id: str, item: ConversationItem) -> None:
        """An item has changed; one that was deleted meanwhile stays so."""
        if item_id in self._items:
            self._items[item_id] = item

    def remove(self, item_id: str) -> None:
        """Take an item out."""
        self._order.remove(item_id)
        del self._items[item_id]
        self.audio.pop(item_id, None)

    def with_audio(self, item_id: str) -> ConversationItem:
        """An item as ``conversation.item.retrieve`` gives it, with its audio."""
        item, audio = self._items[item_id], self.audio.get(item_id)
        if audio is None or not isinstance(item, Message):
            return item
        base64 = pybase64.b64encode(audio.data).decode()
        parts = [_with_audio(part, base64) for part in item.content]
        return msgspec.structs.replace(item, content=parts)


def _with_audio(part: ContentPart, base64: str) -> ContentPart:
    if isinstance(part, InputAudio | OutputAudio):
        return msgspec.structs.replace(part, audio=base64)
    return part


# Tokens ---------------------------------------------------------------------------------------

_CHARACTERS_PER_TOKEN = 4  # of English, as OpenAI's tokenizer page has it
IN_MS_PER_TOKEN, OUT_MS_PER_TOKEN = 100, 50  # OpenAI's pricing of Realtime: 10 and 20 tokens per second


def text_tokens(text: str) -> int:
    """About how many tokens a text takes."""
    return math.ceil(len(text) / _CHARACTERS_PER_TOKEN)


def input_tokens(conversation: Conversation, items: list[ConversationItem], *texts: str) -> InputTokenDetails:
    """What some items and texts take as a model's input, by modality."""
    written = sum(map(text_tokens, [*texts, *(text for item in items for text in _texts(item))]))
    spoken = 0
    for item in items:
        audio = conversation.audio.get(getattr(item, "id", None) or "")
        per_token = OUT_MS_PER_TOKEN if getattr(item, "role", "") == "assistant" else IN_MS_PER_TOKEN
        spoken += math.ceil(audio.milliseconds / per_token) if audio else 0
    return InputTokenDetails(text_tokens=written, audio_tokens=spoken, image_tokens=0)


def _texts(item: ConversationItem) -> Iterator[str]:
    if isinstance(item, Message):
        for part in item.content:
            yield getattr(part, "text", None) or getattr(part, "transcript", None) or ""
    elif isinstance(item, FunctionCall):
        yield item.name + item.arguments
    elif isinstance(item, FunctionCallOutput):
        yield item.output if isinstance(item.output, str) else ""
