"""A response is streamed in the service's order, and closes what it opened however it ends."""

import math
import re
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeAlias, TypeVar

import msgspec

from rtproto import items, pcm
from rtproto._struct import Event
from rtproto.builders import ContentEventBuilder, ItemEventBuilder, ResponseBuilder, ResponseEventBuilder
from rtproto.codec import encode
from rtproto.event_ids import new_event_id
from rtproto.events import server
from rtproto.testing.conversation import OUT_MS_PER_TOKEN, Audio, Conversation, new_id, text_tokens
from rtproto.testing.script import Call, Reply, Say
from rtproto.testing.sound import Sound, encoded, tone
from rtproto.types.items import ConversationItem, FunctionCall, Message
from rtproto.types.open_enums import ResponseStatus, StatusReason
from rtproto.types.response import OutputTokenDetails, Response, StatusDetails, Usage

__all__ = ["AUDIO_MS", "ResponseStream", "Step", "pieces", "sound_of"]

AUDIO_MS = 100
"""Milliseconds of audio in one delta."""
_TEXT_SECONDS = 0.02  # from one piece of text to the next
_WORD_MS = 400  # how long a word is spoken, where no sound is given
_PADDED = 16  # the service pads text deltas to a length that tells nothing
_PADDING = "aK3xQ9mZ7pT1wB5c"

Step: TypeAlias = float | bytes
"""A frame to send, or a number: wait until so many seconds of the stream have passed."""


I = TypeVar("I", FunctionCall, Message)  # noqa: E741 - an item


def pieces(text: str) -> list[str]:
    """A text in the pieces that it is streamed in: words, each with the space before it."""
    return re.findall(r"\s*\S+|\s+$", text)


def sound_of(say: Say) -> Sound:
    """How something is said: as given, or a hum as long as its words take."""
    return say.audio or tone(_WORD_MS * len(say.text.split()))


def _hidden(piece: str) -> str:
    return _PADDING[: max(_PADDED - len(piece), 0)]


class ResponseStream:
    """One response, from ``response.created`` to ``response.done``."""

    def __init__(
        self,
        response: ResponseBuilder,
        reply: Reply,
        *,
        conversation: Conversation | None,
        usage: Callable[[OutputTokenDetails], Usage],
        on_audio: Callable[[], None],
    ) -> None:
        built = response.build()
        self.id: str = str(built.id)
        self._builder = response
        self._context = ResponseEventBuilder(self.id)
        self._reply = reply
        self._conversation = conversation
        self._usage = usage
        self._on_audio = on_audio
        self._is_spoken = "audio" in (built.output_modalities or ())
        self._format = _format(built)
        self._cancelled: StatusReason | None = None
        self._output: list[ConversationItem] = []
        self._tokens = {"text_tokens": 0, "audio_tokens": 0}
        self._seconds = 0.0

    def cancel(self, reason: StatusReason) -> None:
        """End at the next step: what is open is closed, and ``response.done`` tells why."""
        self._cancelled = reason

    def steps(self) -> Iterator[Step]:
        """All of it, in order."""
        begun = self._builder.status_details(None).output([]).usage(None).build()
        yield encode(server.ResponseCreated(event_id=new_event_id(), response=begun))
        for index, output in enumerate(self._reply.items):
            if self._cancelled is None:
                yield from self._item(index, output)
        yield encode(server.ResponseDone(event_id=new_event_id(), response=self._done()))

    def _done(self) -> Response:
        status: ResponseStatus = self._reply.status
        details = self._reply.details
        if self._cancelled is not None:
            status, details = "cancelled", StatusDetails(type="cancelled", reason=self._cancelled)
        ended = self._builder.status(status).status_details(details).output(self._output)
        return ended.usage(self._usage(OutputTokenDetails(**self._tokens))).build()

    # Items

    def _item(self, index: int, output: Say | Call) -> Iterator[Step]:
        item_id = new_id("item")
        context = self._context.for_item(item_id, index)
        if isinstance(output, Call):
            call_id = output.call_id or new_id("call")
            call = FunctionCall(
                id=item_id, status="in_progress", name=output.name, call_id=call_id, arguments=""
            )
            yield from self._whole(context, call, self._arguments(context, call, output.text))
        else:
            item = Message(id=item_id, status="in_progress", role="assistant", content=[])
            say = self._speech if self._is_spoken else self._text
            yield from self._whole(context, item, say(context, item, output))

    def _whole(self, context: ItemEventBuilder, item: I, made: Generator[Step, None, I]) -> Iterator[Step]:
        """An item's beginning, what is made of it, and its end."""
        yield encode(context.output_item_added(new_event_id(), item))
        if self._conversation is not None:
            self._conversation.add(str(item.id), item)
        yield from self._joined(server.ConversationItemAdded, item)
        ended = yield from made
        is_last = context.output_index == len(self._reply.outputs) - 1
        is_cut = self._cancelled is not None or (is_last and self._reply.status != "completed")
        ended = msgspec.structs.replace(ended, status="incomplete" if is_cut else "completed")
        self._output.append(ended)
        yield from self._joined(server.ConversationItemDone, ended)
        yield encode(context.output_item_done(new_event_id(), ended))

    def _joined(self, event: type[Any], item: Any) -> Iterator[bytes]:
        """The item in the conversation, if the response belongs to one."""
        conversation = self._conversation
        if conversation is None:
            return
        conversation.put(item.id, item)
        if item.id in conversation:
            previous = conversation.previous(item.id)
            yield encode(event(event_id=new_event_id(), previous_item_id=previous, item=item))

    def _arguments(
        self, context: ItemEventBuilder, item: FunctionCall, arguments: str
    ) -> Generator[Step, None, FunctionCall]:
        call_id, sent = str(item.call_id), ""
        for piece in pieces(arguments):
            yield from self._paced(_TEXT_SECONDS)
            if self._cancelled is not None:
                break
            sent += piece
            yield encode(
                context.function_call_arguments_delta(new_event_id(), call_id, piece, _hidden(piece))
            )
        self._tokens["text_tokens"] += text_tokens(item.name + sent)
        yield encode(context.function_call_arguments_done(new_event_id(), call_id, item.name, sent))
        return msgspec.structs.replace(item, arguments=sent)

    def _text(self, context: ItemEventBuilder, item: Message, say: Say) -> Generator[Step, None, Message]:
        part = context.for_content(0)
        yield encode(part.content_part_added(new_event_id(), items.text_part("")))
        text = yield from self._written(part.output_text_delta, say.text)
        yield encode(part.output_text_done(new_event_id(), text))
        yield encode(part.content_part_done(new_event_id(), items.text_part(text)))
        return msgspec.structs.replace(item, content=[items.output_text(text)])

    def _speech(self, context: ItemEventBuilder, item: Message, say: Say) -> Generator[Step, None, Message]:
        part = context.for_content(0)
        yield encode(part.content_part_added(new_event_id(), items.audio_part("")))
        transcript = yield from self._written(part.output_audio_transcript_delta, say.text)
        yield from self._spoken(part, str(item.id), say)
        yield encode(part.output_audio_done(new_event_id()))
        yield encode(part.output_audio_transcript_done(new_event_id(), transcript))
        yield encode(part.content_part_done(new_event_id(), items.audio_part(transcript)))
        return msgspec.structs.replace(item, content=[items.output_audio(transcript=transcript)])

    # Deltas

    def _written(self, delta: Callable[[str, str, str], Event], text: str) -> Generator[Step, None, str]:
        """Streams a text; gives what of it was sent."""
        sent = ""
        for piece in pieces(text):
            yield from self._paced(_TEXT_SECONDS)
            if self._cancelled is not None:
                break
            sent += piece
            yield encode(delta(new_event_id(), piece, _hidden(piece)))
        self._tokens["text_tokens"] += text_tokens(sent)
        return sent

    def _spoken(self, part: ContentEventBuilder, item_id: str, say: Say) -> Iterator[Step]:
        """Streams audio, each piece when the one before it has played."""
        data = encoded(sound_of(say), self._format)
        sent, length = 0, 0.0
        for chunk in pcm.chunks(data, AUDIO_MS, self._format):
            if self._cancelled is not None:
                break
            self._on_audio()
            sent += len(chunk)
            length = pcm.milliseconds(sent, self._format)
            if self._conversation is not None:
                self._conversation.hear(item_id, Audio(memoryview(data)[:sent], length))
            yield part.output_audio_delta_frame(new_event_id(), chunk)
            yield from self._paced(AUDIO_MS / 1000)
        self._tokens["audio_tokens"] += math.ceil(length / OUT_MS_PER_TOKEN)

    def _paced(self, seconds: float) -> Iterator[float]:
        self._seconds += seconds
        yield self._seconds


def _format(response: Response) -> Any:
    output = response.audio.output if response.audio else None
    return output.format if output else None
