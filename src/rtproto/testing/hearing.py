"""Audio comes in bit by bit, and becomes an item when the speaker, or voice activity detection, says so."""

from abc import abstractmethod
from typing import Any

from msgspec import UNSET

from rtproto import pcm
from rtproto._struct import Maybe
from rtproto.event_ids import new_event_id
from rtproto.events import client, server
from rtproto.testing.conversation import IN_MS_PER_TOKEN, Audio, Conversation, new_id, text_tokens
from rtproto.testing.refusals import Refused, audio_of, must_be_playable
from rtproto.testing.response import pieces
from rtproto.testing.script import Script
from rtproto.testing.session import FakeSession
from rtproto.testing.sound import decoded
from rtproto.testing.vad import Edge, Vad
from rtproto.types.audio import AudioFormat, AudioInput, AudioTranscription, SemanticVad, ServerVad
from rtproto.types.items import ConversationItem, InputAudio, Message
from rtproto.types.transcription import (
    LogProb,
    TranscriptionDurationUsage,
    TranscriptionTokenDetails,
    TranscriptionTokenUsage,
    TranscriptionUsage,
)

__all__ = ["Hearing"]

_LEAST_MS = 100  # the service commits no less
_LOGPROBS = "item.input_audio_transcription.logprobs"
_SEMANTIC_MS = {"low": 1000, "high": 300}  # a model would judge; the fake waits so long, else 600 ms
_KEPT_MS = 10_000  # of what voice activity detection takes for silence


class Hearing(FakeSession):
    """A session with an input audio buffer."""

    def __init__(self, model: str, script: Script, *, speed: float = 1.0) -> None:
        super().__init__(model, script, speed=speed)
        self.conversation: Conversation = Conversation()
        self._vad = Vad()
        self._buffer = bytearray()
        self._total_ms = 0.0  # of all audio of the session
        self._item_id: str | None = None  # of the speech that goes on
        self._heard = 0

    # What a kind of session says of itself

    @abstractmethod
    def _input(self) -> AudioInput:
        """How audio comes in."""

    @abstractmethod
    def _include(self) -> list[Any]:
        """What was asked for beside the usual."""

    def _speech_started(self, vad: ServerVad | SemanticVad) -> None:
        """Voice activity detection has heard speech."""

    def _turn_ended(self, vad: ServerVad | SemanticVad) -> None:
        """It has heard the end, and the audio is an item."""

    # Events

    def append(self, event: client.InputAudioBufferAppend) -> None:
        """Hear a bit of audio."""
        audio, format = audio_of(event.audio, "audio"), self._input().format
        self._buffer += audio
        self._total_ms += pcm.milliseconds(audio, format)
        vad = self._input().turn_detection
        if not isinstance(vad, ServerVad | SemanticVad):
            self._vad = Vad(self._total_ms)
            return
        for edge in self._vad.hear(decoded(audio, format), *_sensitivity(vad)):
            self._turn(edge, vad)
        if not self._vad.is_speech:
            self._take(self._total_ms - _KEPT_MS)

    def commit(self, event: client.InputAudioBufferCommit) -> None:  # noqa: ARG002 - says nothing but its type
        """Make an item of the buffer."""
        length = self._length()
        if length < _LEAST_MS:
            message = (
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{_LEAST_MS}ms of audio, but buffer only has {length:.2f}ms of audio."
            )
            raise Refused("input_audio_buffer_commit_empty", message)
        self._commit(self._total_ms)

    def clear(self, event: client.InputAudioBufferClear) -> None:  # noqa: ARG002 - says nothing but its type
        """Throw the buffer away."""
        self._buffer.clear()
        self._vad.forget()
        self._item_id = None
        self.emit(server.InputAudioBufferCleared(event_id=new_event_id()))

    def expect(self, format: Maybe[AudioFormat]) -> None:
        """Audio will come in this format: what was heard in another means nothing in it."""
        must_be_playable(format, "session.audio.input.format")
        if format != self._input().format:
            self._buffer.clear()
            self._vad = Vad(self._total_ms)

    # Turns

    def _turn(self, edge: Edge, vad: ServerVad | SemanticVad) -> None:
        if edge.kind == "started":
            self._start(edge, vad)
        elif self._item_id is not None:
            self.emit(
                server.InputAudioBufferSpeechStopped(
                    event_id=new_event_id(), audio_end_ms=round(edge.at_ms), item_id=self._item_id
                )
            )
            self._commit(edge.at_ms)
            self._turn_ended(vad)

    def _start(self, edge: Edge, vad: ServerVad | SemanticVad) -> None:
        self._item_id = new_id("item")
        padding = getattr(vad, "prefix_padding_ms", UNSET) or 0
        oldest = self._total_ms - self._length()
        begin = round(max(edge.at_ms - padding, oldest))
        self._take(begin)
        self.emit(
            server.InputAudioBufferSpeechStarted(
                event_id=new_event_id(), audio_start_ms=begin, item_id=self._item_id
            )
        )
        self._speech_started(vad)

    def _take(self, until_ms: float) -> bytes:
        """Take the buffer's audio up to a time of the session."""
        format = self._input().format
        size = max(until_ms - self._total_ms + self._length(), 0) * pcm.bytes_per_second(format) / 1000
        taken = bytes(self._buffer[: round(size) & ~1])
        del self._buffer[: len(taken)]
        return taken

    def _length(self) -> float:
        return pcm.milliseconds(self._buffer, self._input().format)

    def _commit(self, until_ms: float) -> None:
        item_id, self._item_id = self._item_id or new_id("item"), None
        data = self._take(until_ms)
        self._vad.forget()
        item = _heard(item_id, None)
        previous = self.conversation.add(item_id, item)
        self.conversation.hear(item_id, Audio(data, pcm.milliseconds(data, self._input().format)))
        self.emit(
            server.InputAudioBufferCommitted(
                event_id=new_event_id(), previous_item_id=previous, item_id=item_id
            )
        )
        self.join(item, previous)
        self._transcribe(item_id)

    def join(self, item: ConversationItem, previous: str | None) -> None:
        """Tell of a whole item that joined the conversation, after another."""
        for joined in (server.ConversationItemAdded, server.ConversationItemDone):
            self.emit(joined(event_id=new_event_id(), previous_item_id=previous, item=item))

    # Transcription

    def _transcribe(self, item_id: str) -> None:
        transcription = self._input().transcription
        if not transcription:
            return
        transcript = self.script.transcript(self._heard)
        self._heard += 1
        wanted = _LOGPROBS in self._include()
        for piece in pieces(transcript):
            self.emit(
                server.ConversationItemInputAudioTranscriptionDelta(
                    event_id=new_event_id(),
                    item_id=item_id,
                    content_index=0,
                    delta=piece,
                    logprobs=_logprobs(piece) if wanted else UNSET,
                )
            )
        self.emit(
            server.ConversationItemInputAudioTranscriptionCompleted(
                event_id=new_event_id(),
                item_id=item_id,
                content_index=0,
                transcript=transcript,
                logprobs=_logprobs(transcript) if wanted else UNSET,
                usage=_usage(transcription, transcript, self.conversation.audio[item_id, 0]),
            )
        )
        self.conversation.put(item_id, _heard(item_id, transcript))


def _heard(item_id: str, transcript: str | None) -> Message:
    return Message(id=item_id, status="completed", role="user", content=[InputAudio(transcript=transcript)])


def _sensitivity(vad: ServerVad | SemanticVad) -> tuple[float, float]:
    if isinstance(vad, SemanticVad):
        return 0.5, _SEMANTIC_MS.get(vad.eagerness or "auto", 600)
    threshold, silence_ms = vad.threshold, vad.silence_duration_ms
    return _given(threshold, 0.5), _given(silence_ms, 200)


def _given(value: Maybe[float], otherwise: float) -> float:
    return otherwise if value is UNSET or value is None else value


def _logprobs(text: str) -> list[LogProb]:
    return [LogProb(token=piece, logprob=-0.01, bytes=[*piece.encode()]) for piece in pieces(text)]


def _usage(transcription: AudioTranscription, transcript: str, audio: Audio) -> TranscriptionUsage:
    """By the minute for ``whisper-1``, by tokens for the models after it."""
    if transcription.model == "whisper-1":
        return TranscriptionDurationUsage(seconds=round(audio.milliseconds / 1000, 3))
    heard, written = round(audio.milliseconds / IN_MS_PER_TOKEN), text_tokens(transcript)
    return TranscriptionTokenUsage(
        total_tokens=heard + written,
        input_tokens=heard,
        input_token_details=TranscriptionTokenDetails(text_tokens=0, audio_tokens=heard),
        output_tokens=written,
    )
