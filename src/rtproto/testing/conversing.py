"""A client puts items into the conversation, looks at them, takes them out, cuts short what nobody heard."""

from collections.abc import Iterator
from typing import Any, cast

import msgspec

from rtproto.event_ids import new_event_id
from rtproto.events import client, server
from rtproto.testing.conversation import Audio, new_id
from rtproto.testing.hearing import Hearing
from rtproto.testing.refusals import Refused, audio_of
from rtproto.testing.sound import decoded
from rtproto.types.items import (
    ConversationItem,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    Message,
    OutputAudio,
)

__all__ = ["Conversing"]

_MOST_OF_ID = 32


class Conversing(Hearing):
    """A session with a conversation."""

    def create_item(self, event: client.ConversationItemCreate) -> None:
        """Put an item into the conversation."""
        item, previous_item_id = event.item, event.previous_item_id
        item_id = getattr(item, "id", None) or new_id("item")
        self._must_fit(item_id, item)
        if item_id in self.conversation:
            raise Refused(
                "item_create_duplicate_item_id",
                f"Error adding item: an item with id '{item_id}' already exists.",
                "item.id",
            )
        if previous_item_id and previous_item_id != "root" and previous_item_id not in self.conversation:
            raise Refused(
                "item_create_invalid_previous_item_id",
                f"Error adding item: the previous item with id '{previous_item_id}' does not exist.",
                "previous_item_id",
            )
        sounds = [*self._sounds(item)]
        item = _as_kept(item_id, item)
        previous = self.conversation.add(item_id, item, previous_item_id)
        for at, audio in sounds:
            self.conversation.hear(item_id, audio, at)
        self.join(item, previous)

    def _must_fit(self, item_id: str, item: ConversationItem) -> None:
        for param, id in (("item.id", item_id), ("item.call_id", getattr(item, "call_id", None) or "")):
            if len(id) > _MOST_OF_ID:
                message = (
                    f"Invalid '{param}': string too long. Expected a string with maximum length "
                    f"{_MOST_OF_ID}, but got a string with length {len(id)} instead."
                )
                raise Refused("string_above_max_length", message, param)
        if not isinstance(item, FunctionCallOutput):
            return
        if not isinstance(item.output, str):
            raise Refused("invalid_type", "Invalid type for 'item.output': expected a string.", "item.output")
        if item.call_id not in self._calls():
            raise Refused("invalid_tool_call_id", f"Tool call ID '{item.call_id}' not found in conversation.")

    def _calls(self) -> set[Any]:
        return {item.call_id for item in self.conversation if isinstance(item, FunctionCall)}

    def _sounds(self, item: ConversationItem) -> Iterator[tuple[int, Audio]]:
        """The audio of a client's item, by part."""
        format = self._input().format
        for at, part in enumerate(item.content if isinstance(item, Message) else ()):
            if isinstance(part, InputAudio | OutputAudio) and part.audio:
                data = audio_of(part.audio, f"item.content[{at}].audio")
                yield at, Audio(data, decoded(data, format).milliseconds)

    def retrieve_item(self, event: client.ConversationItemRetrieve) -> None:
        """Show an item, with its audio."""
        self._must_exist(event.item_id, "retrieve", "retrieving")
        item = self.conversation.with_audio(event.item_id)
        self.emit(server.ConversationItemRetrieved(event_id=new_event_id(), item=item))

    def delete_item(self, event: client.ConversationItemDelete) -> None:
        """Take an item out of the conversation."""
        self._must_exist(event.item_id, "delete", "deleting")
        self.conversation.remove(event.item_id)
        self.emit(server.ConversationItemDeleted(event_id=new_event_id(), item_id=event.item_id))

    def truncate_item(self, event: client.ConversationItemTruncate) -> None:
        """Forget what of the model's speech was not heard."""
        self._must_exist(event.item_id, "truncate", "truncating")
        item, audio = self.conversation[event.item_id], self.conversation.audio.get((event.item_id, 0))
        if not isinstance(item, Message) or item.role != "assistant" or audio is None:
            raise Refused("unsupported_content_type", "Only model output audio messages can be truncated")
        if event.content_index != 0:
            raise Refused("invalid_value", "There is no audio at this content_index.", "content_index")
        if not 0 <= event.audio_end_ms <= audio.milliseconds:
            message = (
                f"Audio content of {audio.milliseconds:.0f}ms is already shorter than {event.audio_end_ms}ms"
            )
            raise Refused("invalid_value", message, "audio_end_ms")
        # The text is cleared: none of it may be in the context that was not heard (API reference).
        unheard = msgspec.structs.replace(item, content=[OutputAudio(transcript="")])
        self.conversation.truncate(event.item_id, unheard, event.audio_end_ms)
        self.emit(
            server.ConversationItemTruncated(
                event_id=new_event_id(),
                item_id=event.item_id,
                content_index=event.content_index,
                audio_end_ms=event.audio_end_ms,
            )
        )

    def _must_exist(self, item_id: str, verb: str, doing: str) -> None:
        if item_id not in self.conversation:
            raise Refused(
                f"item_{verb}_invalid_item_id",
                f"Error {doing} item: the item with id '{item_id}' does not exist.",
                "item_id",
            )


def _as_kept(item_id: str, item: ConversationItem) -> ConversationItem:
    """An item as the service sends it: with an id, a message with a status too, and without audio."""
    changes: dict[str, Any] = {"id": item_id}
    if isinstance(item, Message):
        changes |= {"status": item.status or "completed", "content": [*map(_without_audio, item.content)]}
    return cast("ConversationItem", msgspec.structs.replace(cast("Any", item), **changes))


def _without_audio(part: Any) -> Any:
    if isinstance(part, InputAudio):
        return InputAudio(transcript=part.transcript or None)
    if isinstance(part, OutputAudio):
        return OutputAudio(transcript=part.transcript)
    return part
