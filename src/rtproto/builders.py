"""A context holds the address that a stream's events share; an event costs one typed call, unvalidated.

::

    ResponseEventBuilder(response_id)
    └── .for_item(item_id, output_index)      ItemEventBuilder
        └── .for_content(content_index)       ContentEventBuilder

Contexts are immutable and hashable: make one per response, item or part, keep it for the whole stream,
share it among threads and tasks. A method is named as its event on the wire, and takes what the
context does not hold, in the order of the event's fields; :mod:`rtproto.server` tells what each means.
``event_id`` may be any id of yours, or :func:`rtproto.new_event_id`'s.

The four hottest deltas also have a ``…_frame`` method, which makes the encoded frame at once: the address
is encoded once per context, and spliced between an id and a delta. The bytes are those of the event.

A :class:`ResponseBuilder` makes the response object itself, which ``response.created`` and
``response.done`` carry. Every other event is made by its own constructor.
"""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pybase64
from msgspec import UNSET

from rtproto._encode import to_json
from rtproto._struct import Base64, Event, Maybe
from rtproto.events.server import (
    OutputAudioBufferCleared,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
)
from rtproto.pcm import Buffer
from rtproto.types.audio import ResponseAudio
from rtproto.types.items import ConversationItem
from rtproto.types.open_enums import AudioModality, MaxOutputTokens, ResponseStatus
from rtproto.types.response import Metadata, Response, ResponseContentPart, StatusDetails, Usage

__all__ = ["ContentEventBuilder", "ItemEventBuilder", "ResponseBuilder", "ResponseEventBuilder"]


def _head(event: type[Event]) -> bytes:
    """A frame up to its event id."""
    return b'{"type":%b,"event_id":' % to_json(event.type)


_ARGUMENTS_DELTA = _head(ResponseFunctionCallArgumentsDelta)
_TEXT_DELTA = _head(ResponseOutputTextDelta)
_TRANSCRIPT_DELTA = _head(ResponseOutputAudioTranscriptDelta)
_AUDIO_DELTA = _head(ResponseOutputAudioDelta)


class _Addressed:
    """Keeps a context's address, encoded, in a slot: equality, hash and repr know nothing of it.

    With a dictionary of its own in that place, every method of a context takes a sixth longer.
    """

    __slots__ = ("_address",)
    _address: bytes

    def _keep(self, address: bytes) -> bytes:
        msgspec.structs.force_setattr(cast("msgspec.Struct", self), "_address", address)
        return address


class ResponseEventBuilder(msgspec.Struct, frozen=True, gc=False):
    """Makes the events of one response."""

    response_id: str
    """The response they belong to."""

    def for_item(self, item_id: str, output_index: int) -> "ItemEventBuilder":
        """The context of one of its items; ``output_index`` is the item's place in the output, from 0."""
        return ItemEventBuilder(self.response_id, item_id, output_index)

    def output_audio_buffer_started(self, event_id: str) -> OutputAudioBufferStarted:
        """``output_audio_buffer.started``: the audio begins to play."""
        return OutputAudioBufferStarted(event_id=event_id, response_id=self.response_id)

    def output_audio_buffer_stopped(self, event_id: str) -> OutputAudioBufferStopped:
        """``output_audio_buffer.stopped``: all of the audio has played."""
        return OutputAudioBufferStopped(event_id=event_id, response_id=self.response_id)

    def output_audio_buffer_cleared(self, event_id: str) -> OutputAudioBufferCleared:
        """``output_audio_buffer.cleared``: the audio was cut short."""
        return OutputAudioBufferCleared(event_id=event_id, response_id=self.response_id)


class ItemEventBuilder(_Addressed, msgspec.Struct, frozen=True, gc=False):
    """Makes the events of one item of a response."""

    response_id: str
    """The response they belong to."""
    item_id: str
    """The item they belong to."""
    output_index: int
    """The item's place in the response's output, from 0."""

    def _encoded(self) -> bytes:
        """What stands between the event id and the call id."""
        return getattr(self, "_address", None) or self._keep(b',%b,"call_id":' % to_json(self)[1:-1])

    def for_content(self, content_index: int) -> "ContentEventBuilder":
        """The context of one of its content parts; ``content_index`` is the part's place in it, from 0."""
        return ContentEventBuilder(self.response_id, self.item_id, self.output_index, content_index)

    def output_item_added(self, event_id: str, item: ConversationItem) -> ResponseOutputItemAdded:
        """``response.output_item.added``: the item begins. Its id is the ``item``'s own to say."""
        return ResponseOutputItemAdded(
            event_id=event_id, response_id=self.response_id, output_index=self.output_index, item=item
        )

    def output_item_done(self, event_id: str, item: ConversationItem) -> ResponseOutputItemDone:
        """``response.output_item.done``: the item is complete. Its id is the ``item``'s own to say."""
        return ResponseOutputItemDone(
            event_id=event_id, response_id=self.response_id, output_index=self.output_index, item=item
        )

    def function_call_arguments_delta(
        self, event_id: str, call_id: str, delta: str, obfuscation: Maybe[str] = UNSET
    ) -> ResponseFunctionCallArgumentsDelta:
        """``response.function_call_arguments.delta``: the next piece of a call's arguments."""
        return ResponseFunctionCallArgumentsDelta(
            event_id=event_id,
            response_id=self.response_id,
            item_id=self.item_id,
            output_index=self.output_index,
            call_id=call_id,
            delta=delta,
            obfuscation=obfuscation,
        )

    def function_call_arguments_delta_frame(self, event_id: str, call_id: str, delta: str) -> bytes:
        """:meth:`function_call_arguments_delta`, encoded."""
        id_, call, text = to_json(event_id), to_json(call_id), to_json(delta)
        return b"".join((_ARGUMENTS_DELTA, id_, self._encoded(), call, b',"delta":', text, b"}"))

    def function_call_arguments_done(
        self, event_id: str, call_id: str, name: Maybe[str], arguments: str
    ) -> ResponseFunctionCallArgumentsDone:
        """``response.function_call_arguments.done``: a call's arguments are complete."""
        return ResponseFunctionCallArgumentsDone(
            event_id=event_id,
            response_id=self.response_id,
            item_id=self.item_id,
            output_index=self.output_index,
            call_id=call_id,
            name=name,
            arguments=arguments,
        )

    def mcp_call_arguments_delta(
        self, event_id: str, delta: str, obfuscation: Maybe[str] = UNSET
    ) -> ResponseMcpCallArgumentsDelta:
        """``response.mcp_call_arguments.delta``: the next piece of an MCP call's arguments."""
        return ResponseMcpCallArgumentsDelta(
            event_id=event_id,
            response_id=self.response_id,
            item_id=self.item_id,
            output_index=self.output_index,
            delta=delta,
            obfuscation=obfuscation,
        )

    def mcp_call_arguments_done(self, event_id: str, arguments: str) -> ResponseMcpCallArgumentsDone:
        """``response.mcp_call_arguments.done``: an MCP call's arguments are complete."""
        return ResponseMcpCallArgumentsDone(
            event_id=event_id,
            response_id=self.response_id,
            item_id=self.item_id,
            output_index=self.output_index,
            arguments=arguments,
        )


class ContentEventBuilder(_Addressed, msgspec.Struct, frozen=True, gc=False):
    """Makes the events of one content part of an item."""

    response_id: str
    """The response they belong to."""
    item_id: str
    """The item they belong to."""
    output_index: int
    """The item's place in the response's output, from 0."""
    content_index: int
    """The part's place in the item, from 0."""

    def _encoded(self) -> bytes:
        """What stands between the event id and the delta."""
        return getattr(self, "_address", None) or self._keep(b',%b,"delta":' % to_json(self)[1:-1])

    def content_part_added(
        self, event_id: str, part: ResponseContentPart, content: Maybe[ResponseContentPart] = UNSET
    ) -> ResponseContentPartAdded:
        """``response.content_part.added``: the part begins; ``content`` is Azure's second copy of it."""
        return ResponseContentPartAdded(
            event_id=event_id,
            response_id=self.response_id,
            item_id=self.item_id,
            output_index=self.output_index,
            content_index=self.content_index,
            part=part,
            content=content,
        )

    def content_part_done(
        self, event_id: str, part: ResponseContentPart, content: Maybe[ResponseContentPart] = UNSET
    ) -> ResponseContentPartDone:
        """``response.content_part.done``: the part is complete; ``content`` is Azure's second copy of it."""
        return ResponseContentPartDone(
            event_id=event_id,
            response_id=self.response_id,
            item_id=self.item_id,
            output_index=self.output_index,
            content_index=self.content_index,
            part=part,
            content=content,
        )

    def output_text_delta(
        self, event_id: str, delta: str, obfuscation: Maybe[str] = UNSET
    ) -> ResponseOutputTextDelta:
        """``response.output_text.delta``: the next piece of the text."""
        return ResponseOutputTextDelta(
            event_id=event_id,
            response_id=self.response_id,
            item_id=self.item_id,
            output_index=self.output_index,
            content_index=self.content_index,
            delta=delta,
            obfuscation=obfuscation,
        )

    def output_text_delta_frame(self, event_id: str, delta: str) -> bytes:
        """:meth:`output_text_delta`, encoded."""
        return b"".join((_TEXT_DELTA, to_json(event_id), self._encoded(), to_json(delta), b"}"))

    def output_text_done(self, event_id: str, text: str) -> ResponseOutputTextDone:
        """``response.output_text.done``: all of the text."""
        return ResponseOutputTextDone(
            event_id=event_id,
            response_id=self.response_id,
            item_id=self.item_id,
            output_index=self.output_index,
            content_index=self.content_index,
            text=text,
        )

    def output_audio_delta(
        self, event_id: str, delta: Base64, obfuscation: Maybe[str] = UNSET
    ) -> ResponseOutputAudioDelta:
        """``response.output_audio.delta``: the next piece of the audio, base64."""
        return ResponseOutputAudioDelta(
            event_id=event_id,
            response_id=self.response_id,
            item_id=self.item_id,
            output_index=self.output_index,
            content_index=self.content_index,
            delta=delta,
            obfuscation=obfuscation,
        )

    def output_audio_delta_frame(self, event_id: str, samples: Buffer) -> bytes:
        """:meth:`output_audio_delta` of raw audio in the session's format, as 16-bit PCM; encoded."""
        audio = pybase64.b64encode(samples)
        return b"".join((_AUDIO_DELTA, to_json(event_id), self._encoded(), b'"', audio, b'"}'))

    def output_audio_done(self, event_id: str) -> ResponseOutputAudioDone:
        """``response.output_audio.done``: the audio is complete."""
        return ResponseOutputAudioDone(
            event_id=event_id,
            response_id=self.response_id,
            item_id=self.item_id,
            output_index=self.output_index,
            content_index=self.content_index,
        )

    def output_audio_transcript_delta(
        self, event_id: str, delta: str, obfuscation: Maybe[str] = UNSET
    ) -> ResponseOutputAudioTranscriptDelta:
        """``response.output_audio_transcript.delta``: the next piece of the audio's transcript."""
        return ResponseOutputAudioTranscriptDelta(
            event_id=event_id,
            response_id=self.response_id,
            item_id=self.item_id,
            output_index=self.output_index,
            content_index=self.content_index,
            delta=delta,
            obfuscation=obfuscation,
        )

    def output_audio_transcript_delta_frame(self, event_id: str, delta: str) -> bytes:
        """:meth:`output_audio_transcript_delta`, encoded."""
        return b"".join((_TRANSCRIPT_DELTA, to_json(event_id), self._encoded(), to_json(delta), b"}"))

    def output_audio_transcript_done(
        self, event_id: str, transcript: str
    ) -> ResponseOutputAudioTranscriptDone:
        """``response.output_audio_transcript.done``: all of the audio's transcript."""
        return ResponseOutputAudioTranscriptDone(
            event_id=event_id,
            response_id=self.response_id,
            item_id=self.item_id,
            output_index=self.output_index,
            content_index=self.content_index,
            transcript=transcript,
        )


class ResponseBuilder:
    """Makes a :class:`rtproto.types.Response`, step by step: each step gives a new builder, none changes one.

    It begins with ``id``, ``object="realtime.response"`` and ``status="in_progress"``, and injects nothing
    else: a field that no step has set is not on the wire, and ``None`` is null there. So one builder
    serves both ends of a response::

        response = ResponseBuilder("resp_1").output([]).usage(None)
        server.ResponseCreated(event_id=…, response=response.build())
        server.ResponseDone(event_id=…, response=response.status("completed").add_output(item).build())
    """

    __slots__ = ("_response",)

    _response: Response

    def __init__(self, id: str) -> None:
        self._response = Response(id=id, object="realtime.response", status="in_progress")

    def __repr__(self) -> str:
        return f"ResponseBuilder({self._response!r})"

    def _with(self, **changes: Any) -> "ResponseBuilder":
        builder = ResponseBuilder.__new__(ResponseBuilder)
        builder._response = msgspec.structs.replace(self._response, **changes)  # noqa: SLF001 - a builder's own
        return builder

    def status(self, status: ResponseStatus) -> "ResponseBuilder":
        """How far it is, or how it ended."""
        return self._with(status=status)

    def status_details(self, status_details: StatusDetails | None) -> "ResponseBuilder":
        """How it ended; ``None``: there is no more to say."""
        return self._with(status_details=status_details)

    def output(self, output: Sequence[ConversationItem]) -> "ResponseBuilder":
        """What it made, in place of what was there; the service sends ``[]`` when it begins."""
        return self._with(output=list(output))

    def add_output(self, item: ConversationItem) -> "ResponseBuilder":
        """One more item that it made."""
        return self._with(output=[*(self._response.output or ()), item])

    def metadata(self, metadata: Metadata | None) -> "ResponseBuilder":
        """The caller's own notes; ``None``: none."""
        return self._with(metadata=None if metadata is None else dict(metadata))

    def audio(self, audio: ResponseAudio) -> "ResponseBuilder":
        """How it speaks."""
        return self._with(audio=audio)

    def usage(self, usage: Usage | None) -> "ResponseBuilder":
        """What it cost; ``None``: not known yet, as when it begins."""
        return self._with(usage=usage)

    def conversation_id(self, conversation_id: str | None) -> "ResponseBuilder":
        """The conversation that it joins; ``None``: none."""
        return self._with(conversation_id=conversation_id)

    def output_modalities(self, output_modalities: list[AudioModality]) -> "ResponseBuilder":
        """What it answers in: one of text and audio."""
        return self._with(output_modalities=list(output_modalities))

    def max_output_tokens(self, max_output_tokens: MaxOutputTokens) -> "ResponseBuilder":
        """The most it may cost, in tokens, or ``"inf"``."""
        return self._with(max_output_tokens=max_output_tokens)

    def build(self) -> Response:
        """The response as it stands: a value, whose lists are not to be changed."""
        return self._response
