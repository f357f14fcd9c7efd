"""A session that hears one language and speaks another: each stretch of speech is answered by script."""

from collections import deque
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import pybase64

from rtproto import pcm, types
from rtproto._struct import Event
from rtproto.codec import Codec, encode, translation_client_codec
from rtproto.event_ids import new_event_id
from rtproto.events import translation
from rtproto.testing.refusals import audio_of, must_be_objects
from rtproto.testing.response import AUDIO_MS, Step, pieces, sound_of
from rtproto.testing.script import Call, Say, Script, Turn
from rtproto.testing.session import Ending, FakeSession, Handler
from rtproto.testing.settings import patched, translation_session
from rtproto.testing.sound import RATE, Sound, encoded
from rtproto.testing.vad import Vad
from rtproto.types.response import ResponseCreateParams

__all__ = ["TranslationSession"]

_THRESHOLD, _SILENCE_MS = 0.5, 200
_CLOSED: Ending = (1000, "")


class TranslationSession(FakeSession):
    """One session of ``/v1/realtime/translations``."""

    surface = "translation"
    codec: ClassVar[Codec[Any]] = translation_client_codec

    def __init__(self, model: str, script: Script, *, speed: float = 1.0) -> None:
        super().__init__(model, script, speed=speed)
        self.settings: types.TranslationSession = translation_session(model)
        """The session as it stands."""
        self._vad = Vad()
        self._turns = 0
        self._waiting: deque[Say] = deque()
        self._is_speaking = False
        self._is_closing = False

    def opening(self) -> translation.SessionCreated:
        """The session with its defaults."""
        return translation.SessionCreated(event_id=new_event_id(), session=self.settings)

    def update(self, event: translation.SessionUpdate) -> None:
        """Change the session."""
        must_be_objects(event.session)
        self.settings = patched(self.settings, event.session)
        self.emit(translation.SessionUpdated(event_id=new_event_id(), session=self.settings))

    def append(self, event: translation.SessionInputAudioBufferAppend) -> None:
        """Hear a bit of audio."""
        sound = Sound(audio_of(event.audio, "audio"))
        for edge in self._vad.hear(sound, _THRESHOLD, _SILENCE_MS):
            if edge.kind == "stopped":
                self._translate()

    def close(self, event: translation.SessionClose) -> None:  # noqa: ARG002 - says nothing but its type
        """Translate what is still unspoken, and end."""
        if self._vad.is_speech:
            self._vad.forget()
            self._translate()
        self._is_closing = True
        self._go_on()

    def _translate(self) -> None:
        turn = Turn(self._turns, (), ResponseCreateParams(), self.settings)
        transcript = self.script.transcript(self._turns)
        self._turns += 1
        audio_input = self.settings.audio.input
        if audio_input and audio_input.transcription:
            for piece in pieces(transcript):
                self.emit(
                    translation.SessionInputTranscriptDelta(
                        event_id=new_event_id(), delta=piece, elapsed_ms=self._elapsed()
                    )
                )
        items = self.script.reply(turn).items
        self._waiting += [item for item in items if not isinstance(item, Call)]
        self._go_on()

    def _go_on(self) -> None:
        if not self._is_speaking:
            self._is_speaking = True
            self.stream(self._until_quiet())

    def _until_quiet(self) -> Iterator[Step]:
        seconds = 0.0
        while self._waiting:
            say = self._waiting.popleft()
            for piece in pieces(say.text):
                yield encode(
                    translation.SessionOutputTranscriptDelta(
                        event_id=new_event_id(), delta=piece, elapsed_ms=self._elapsed()
                    )
                )
            for chunk in pcm.chunks(encoded(sound_of(say)), AUDIO_MS):
                yield encode(self._audio(chunk))
                seconds += AUDIO_MS / 1000
                yield seconds
        self._is_speaking = False
        if self._is_closing:
            self.finish(_CLOSED)
            yield encode(translation.SessionClosed(event_id=new_event_id()))

    def _audio(self, samples: memoryview) -> translation.SessionOutputAudioDelta:
        return translation.SessionOutputAudioDelta(
            event_id=new_event_id(),
            delta=pybase64.b64encode(samples).decode(),
            sample_rate=RATE,
            channels=1,
            format="pcm16",
            elapsed_ms=self._elapsed(),
        )

    def _elapsed(self) -> int:
        return round(self._vad.heard_ms)

    handlers: ClassVar[Mapping[type[Event], Handler]] = MappingProxyType(
        {
            translation.SessionUpdate: update,
            translation.SessionInputAudioBufferAppend: append,
            translation.SessionClose: close,
        }
    )
