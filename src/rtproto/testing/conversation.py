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

    data: bytes | memoryview
    """In the format that the session had then."""
    milliseconds: float
    """How long it plays."""

    def until(self, milliseconds: float) -> "Audio":
        """Its beginning."""
        size = round(len(self.data) * milliseconds / self.milliseconds) if self.milliseconds else 0
        return Audio(self.data[: size & ~1], milliseconds)


class Conversation:
    """Items, and the audio of some of them."""

    def __init__(self) -> None:
        self.id: str = new_id("conv")
        self.audio: dict[tuple[str, int], Audio] = {}
        """By item and content part; see :meth:`hear`."""
        self._truncated: set[str] = set()
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
        """An item has changed; one that was deleted or truncated meanwhile stays so."""
        if item_id in self._items and item_id not in self._truncated:
            self._items[item_id] = item

    def hear(self, item_id: str, audio: Audio, content_index: int = 0) -> None:
        """Keep the audio of a part; of an item that was deleted or truncated meanwhile nothing more."""
        if item_id in self._items and item_id not in self._truncated:
            self.audio[item_id, content_index] = audio

    def truncate(self, item_id: str, item: ConversationItem, milliseconds: float) -> None:
        """Put an item in place of one of which no more was heard than its beginning."""
        self.audio[item_id, 0] = self.audio[item_id, 0].until(milliseconds)
        self._items[item_id] = item
        self._truncated.add(item_id)

    def remove(self, item_id: str) -> None:
        """Take an item out."""
        self._order.remove(item_id)
        del self._items[item_id]
        self._truncated.discard(item_id)
        for key in [key for key in self.audio if key[0] == item_id]:
            del self.audio[key]

    def milliseconds(self, item_id: str) -> float:
        """How long an item's audio plays."""
        return sum(audio.milliseconds for key, audio in self.audio.items() if key[0] == item_id)

    def with_audio(self, item_id: str) -> ConversationItem:
        """An item as ``conversation.item.retrieve`` gives it, with its audio."""
        item = self._items[item_id]
        if not isinstance(item, Message):
            return item
        parts = [_with_audio(part, self.audio.get((item_id, at))) for at, part in enumerate(item.content)]
        return msgspec.structs.replace(item, content=parts)


def _with_audio(part: ContentPart, audio: Audio | None) -> ContentPart:
    if audio is not None and isinstance(part, InputAudio | OutputAudio):
        return msgspec.structs.replace(part, audio=pybase64.b64encode(audio.data).decode())
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
        per_token = OUT_MS_PER_TOKEN if getattr(item, "role", "") == "assistant" else IN_MS_PER_TOKEN
        length = conversation.milliseconds(getattr(item, "id", None) or "")
        spoken += math.ceil(length / per_token)
    return InputTokenDetails(text_tokens=written, audio_tokens=spoken, image_tokens=0)


def _texts(item: ConversationItem) -> Iterator[str]:
    if isinstance(item, Message):
        for part in item.content:
            if not isinstance(part, InputAudio):  # its transcript is another model's, for the client to see
                yield getattr(part, "text", None) or getattr(part, "transcript", None) or ""
    elif isinstance(item, FunctionCall):
        yield item.name + item.arguments
    elif isinstance(item, FunctionCallOutput):
        yield item.output if isinstance(item.output, str) else ""
