"""A conversation with a model that answers by script: GA Realtime, as OpenAI's service speaks it."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, cast

import msgspec
from msgspec import UNSET

from rtproto._struct import Event, Maybe
from rtproto.builders import ResponseBuilder
from rtproto.codec import Codec, client_codec, encode
from rtproto.event_ids import new_event_id
from rtproto.events import client, server
from rtproto.testing.conversation import input_tokens, new_id
from rtproto.testing.conversing import Conversing
from rtproto.testing.refusals import Refused, must_be_objects, must_be_playable
from rtproto.testing.response import ResponseStream, Step
from rtproto.testing.script import Script, Turn
from rtproto.testing.session import Handler
from rtproto.testing.settings import patched, realtime_session
from rtproto.types.audio import (
    AudioConfig,
    AudioInput,
    AudioOutput,
    ResponseAudio,
    ResponseAudioOutput,
    SemanticVad,
    ServerVad,
    Voice,
)
from rtproto.types.faults import RateLimit
from rtproto.types.items import ConversationItem, ItemReference
from rtproto.types.open_enums import StatusReason
from rtproto.types.response import CachedTokensDetails, OutputTokenDetails, ResponseCreateParams, Usage
from rtproto.types.session import SessionCreateRequest, SessionCreateResponse

__all__ = ["RealtimeSession"]

_TOKENS_PER_MINUTE = 15_000_000
_CACHE_BLOCK = 64  # tokens: a prompt is cached by blocks


class RealtimeSession(Conversing):
    """One conversation."""

    surface = "realtime"
    codec: ClassVar[Codec[Any]] = client_codec

    def __init__(self, model: str, script: Script, *, speed: float = 1.0) -> None:
        super().__init__(model, script, speed=speed)
        self.settings: SessionCreateResponse = realtime_session(model)
        """The session as it stands."""
        self._running: dict[str, tuple[ResponseStream, Any]] = {}
        self._active: str | None = None  # the response that belongs to the conversation
        self._asked_again = False
        self._responses = 0
        self._has_spoken = False
        self._cached = 0
        self._spent = 0  # tokens

    def opening(self) -> server.SessionCreated:
        """The session with its defaults."""
        return server.SessionCreated(event_id=new_event_id(), session=self.settings)

    def abandon(self) -> None:
        """The peer has left: no response goes on."""
        super().abandon()
        self._running.clear()

    # The session

    def update(self, event: client.SessionUpdate) -> None:
        """Change the session, or nothing of it."""
        patch = event.session
        if not isinstance(patch, SessionCreateRequest):
            raise Refused(
                "invalid_value", "A realtime session takes a session of type 'realtime'.", "session.type"
            )
        must_be_objects(patch)
        changed = patched(self.settings, patch)
        self._must_be_possible(changed)
        self.expect(_input(changed).format)
        self.settings = changed
        self.emit(server.SessionUpdated(event_id=new_event_id(), session=changed))

    def _must_be_possible(self, changed: SessionCreateResponse) -> None:
        if changed.model != self.settings.model:
            raise Refused("invalid_value", "The model cannot be changed in a session.", "session.model")
        self._must_keep_voice(_output(changed).voice)
        must_be_playable(_output(changed).format, "session.audio.output.format")

    def _must_keep_voice(self, voice: Maybe[Voice]) -> None:
        if self._has_spoken and voice != _output(self.settings).voice:
            raise Refused(
                "cannot_update_voice",
                "Cannot update a conversation's voice if assistant audio is present.",
            )

    def _input(self) -> AudioInput:
        return _input(self.settings)

    def _include(self) -> list[Any]:
        return self.settings.include or []

    # Responses

    def create_response(self, event: client.ResponseCreate) -> None:
        """Answer."""
        params = event.response or ResponseCreateParams()
        joins = params.conversation != "none"
        if joins and self._active is not None:
            raise Refused(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {self._active}. "
                "Wait until the response is finished before creating a new one.",
            )
        self._respond(params, joins=joins)

    def cancel_response(self, event: client.ResponseCancel) -> None:
        """Stop answering."""
        response_id = event.response_id or self._active
        if response_id not in self._running:
            raise Refused("response_cancel_not_active", "Cancellation failed: no active response found")
        self._cancel(response_id, "client_cancelled")

    def _cancel(self, response_id: str, reason: StatusReason) -> None:
        response, stream = self._running[response_id]
        response.cancel(reason)
        stream.hurry(self.now)

    def _respond(self, params: ResponseCreateParams, *, joins: bool) -> None:
        items = self._context(params)
        must_be_playable(_spoken(params).format, "response.audio.output.format")
        self._must_keep_voice(_spoken(params).voice or _output(self.settings).voice)
        turn = Turn(self._responses, items, params, self.settings)
        self._responses += 1
        response = ResponseStream(
            self._response(params, joins=joins),
            self.script.reply(turn),
            conversation=self.conversation if joins else None,
            usage=lambda output: self._usage(items, params, output),
            on_audio=self._speak,
        )
        if joins:
            self._active = response.id
        self._running[response.id] = (response, self.stream(self._until_done(response)))

    def _context(self, params: ResponseCreateParams) -> list[ConversationItem]:
        """What the model sees: the conversation, or what the request gives in its place."""
        if params.input is UNSET or params.input is None:
            return [*self.conversation]
        return [self._resolved(at, item) for at, item in enumerate(params.input)]

    def _resolved(self, at: int, item: Any) -> ConversationItem:
        if not isinstance(item, ItemReference):
            return cast("ConversationItem", item)
        if item.id not in self.conversation:
            raise Refused(
                "item_not_found", f"Item with id '{item.id}' not found.", f"response.input[{at}].id"
            )
        return self.conversation[item.id]

    def _response(self, params: ResponseCreateParams, *, joins: bool) -> ResponseBuilder:
        session = self.settings
        asked, usual = _spoken(params), _output(session)
        output = ResponseAudioOutput(format=asked.format or usual.format, voice=asked.voice or usual.voice)
        return (
            ResponseBuilder(new_id("resp"))
            .conversation_id(self.conversation.id if joins else None)
            .output_modalities(params.output_modalities or session.output_modalities or ["audio"])
            .max_output_tokens(params.max_output_tokens or session.max_output_tokens or "inf")
            .audio(ResponseAudio(output=output))
            .metadata(params.metadata or None)
        )

    def _until_done(self, response: ResponseStream) -> Iterator[Step]:
        yield from response.steps()
        del self._running[response.id]
        if self._active == response.id:
            self._active = None
        limit = RateLimit(
            name="tokens",
            limit=_TOKENS_PER_MINUTE,
            remaining=_TOKENS_PER_MINUTE - self._spent,
            reset_seconds=0.001,
        )
        yield encode(server.RateLimitsUpdated(event_id=new_event_id(), rate_limits=[limit]))
        if self._asked_again and self._active is None:
            self._asked_again = False
            self._respond(ResponseCreateParams(), joins=True)

    def _speak(self) -> None:
        self._has_spoken = True

    def _usage(
        self, items: list[ConversationItem], params: ResponseCreateParams, output: OutputTokenDetails
    ) -> Usage:
        session = self.settings
        tools = msgspec.json.encode(params.tools or session.tools or []).decode()
        details = input_tokens(
            self.conversation, items, params.instructions or session.instructions or "", tools
        )
        text, audio = details.text_tokens or 0, details.audio_tokens or 0
        cached, self._cached = min(self._cached, text), text // _CACHE_BLOCK * _CACHE_BLOCK
        written = (output.text_tokens or 0) + (output.audio_tokens or 0)
        self._spent += text + audio + written
        by_kind = CachedTokensDetails(text_tokens=cached, audio_tokens=0, image_tokens=0)
        return Usage(
            total_tokens=text + audio + written,
            input_tokens=text + audio,
            output_tokens=written,
            input_token_details=msgspec.structs.replace(
                details, cached_tokens=cached, cached_tokens_details=by_kind
            ),
            output_token_details=output,
        )

    # Turns, by voice activity detection

    def _speech_started(self, vad: ServerVad | SemanticVad) -> None:
        if self._active is not None and vad.interrupt_response is not False:
            self._cancel(self._active, "turn_detected")

    def _turn_ended(self, vad: ServerVad | SemanticVad) -> None:
        if vad.create_response is False:
            return
        if self._active is None:
            self._respond(ResponseCreateParams(), joins=True)
        else:
            self._asked_again = True

    def clear_output(self, event: client.OutputAudioBufferClear) -> None:
        """There is no such buffer on a WebSocket: nothing happens but an error."""
        raise Refused("invalid_value", f"'{event.type}' is for WebRTC and SIP only.", "type")

    handlers: ClassVar[Mapping[type[Event], Handler]] = MappingProxyType(
        {
            client.SessionUpdate: update,
            client.ConversationItemCreate: Conversing.create_item,
            client.ConversationItemDelete: Conversing.delete_item,
            client.ConversationItemRetrieve: Conversing.retrieve_item,
            client.ConversationItemTruncate: Conversing.truncate_item,
            client.InputAudioBufferAppend: Conversing.append,
            client.InputAudioBufferClear: Conversing.clear,
            client.InputAudioBufferCommit: Conversing.commit,
            client.OutputAudioBufferClear: clear_output,
            client.ResponseCancel: cancel_response,
            client.ResponseCreate: create_response,
        }
    )


def _input(session: SessionCreateResponse) -> AudioInput:
    return (session.audio or AudioConfig()).input or AudioInput()


def _output(session: SessionCreateResponse) -> AudioOutput:
    return (session.audio or AudioConfig()).output or AudioOutput()


def _spoken(params: ResponseCreateParams) -> ResponseAudioOutput:
    return (params.audio or ResponseAudio()).output or ResponseAudioOutput()
