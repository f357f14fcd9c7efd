"""A client puts items into the conversation, looks at them, takes them out, cuts short what nobody heard."""

from typing import Any, cast

import msgspec

from rtproto.event_ids import new_event_id
from rtproto.events import client, server
from rtproto.testing.conversation import Audio, new_id
from rtproto.testing.hearing import Hearing
from rtproto.testing.refusals import Refused
from rtproto.testing.sound import decoded
from rtproto.types.items import ConversationItem, InputAudio, Message, OutputAudio

__all__ = ["Conversing"]


class Conversing(Hearing):
    """A session with a conversation."""

    def create_item(self, event: client.ConversationItemCreate) -> None:
        """Put an item into the conversation."""
        item, previous_item_id = event.item, event.previous_item_id
        item_id = getattr(item, "id", None) or new_id("item")
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
        self._keep_audio(item_id, item)
        item = _as_kept(item_id, item)
        previous = self.conversation.add(item_id, item, previous_item_id)
        for joined in (server.ConversationItemAdded, server.ConversationItemDone):
            self.emit(joined(event_id=new_event_id(), previous_item_id=previous, item=item))

    def _keep_audio(self, item_id: str, item: ConversationItem) -> None:
        format = self._input().format
        for at, part in enumerate(item.content if isinstance(item, Message) else ()):
            if isinstance(part, InputAudio | OutputAudio) and part.audio:
                data = self._audio(part.audio, f"item.content[{at}].audio")
                self.conversation.audio[item_id] = Audio(data, decoded(data, format).milliseconds)

    def retrieve_item(self, event: client.ConversationItemRetrieve) -> None:
        """Show an item, with its audio."""
        self._must_exist(event.item_id, "retriev")
        item = self.conversation.with_audio(event.item_id)
        self.emit(server.ConversationItemRetrieved(event_id=new_event_id(), item=item))

    def delete_item(self, event: client.ConversationItemDelete) -> None:
        """Take an item out of the conversation."""
        self._must_exist(event.item_id, "delet")
        self.conversation.remove(event.item_id)
        self.emit(server.ConversationItemDeleted(event_id=new_event_id(), item_id=event.item_id))

    def truncate_item(self, event: client.ConversationItemTruncate) -> None:
        """Forget what of the model's speech was not heard."""
        self._must_exist(event.item_id, "truncat")
        item, audio = self.conversation[event.item_id], self.conversation.audio.get(event.item_id)
        if not isinstance(item, Message) or item.role != "assistant" or audio is None:
            raise Refused("invalid_value", "Only model output audio messages can be truncated", "item_id")
        if event.content_index != 0:
            raise Refused("invalid_value", "There is no audio at this content_index.", "content_index")
        if not 0 <= event.audio_end_ms <= audio.milliseconds:
            message = (
                f"Audio content of {audio.milliseconds:.0f}ms is already shorter than {event.audio_end_ms}ms"
            )
            raise Refused("invalid_value", message, "audio_end_ms")
        self.conversation.audio[event.item_id] = audio.until(event.audio_end_ms)
        # The text is cleared: none of it may be in the context that was not heard (API reference).
        self.conversation.put(
            event.item_id, msgspec.structs.replace(item, content=[OutputAudio(transcript="")])
        )
        self.emit(
            server.ConversationItemTruncated(
                event_id=new_event_id(),
                item_id=event.item_id,
                content_index=event.content_index,
                audio_end_ms=event.audio_end_ms,
            )
        )

    def _must_exist(self, item_id: str, doing: str) -> None:
        if item_id not in self.conversation:
            raise Refused(
                f"item_{doing}e_invalid_item_id",
                f"Error {doing}ing item: the item with id '{item_id}' does not exist.",
                "item_id",
            )


def _as_kept(item_id: str, item: ConversationItem) -> ConversationItem:
    """An item as the service sends it: with an id and a status, and without audio."""
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
