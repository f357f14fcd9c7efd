"""A session changes by patches: absent leaves as it is, null switches off, and empty clears."""

import time
from typing import Any, TypeVar, cast

import msgspec
from msgspec import UNSET

from rtproto._struct import Struct
from rtproto.testing.conversation import new_id
from rtproto.types.audio import (
    AudioConfig,
    AudioInput,
    AudioOutput,
    AudioPcm,
    AudioTranscription,
    CustomVoice,
    SemanticVad,
    ServerVad,
    TranscriptionAudio,
)
from rtproto.types.prompt import Prompt
from rtproto.types.session import SessionCreateResponse, TracingConfig, TranscriptionSessionCreateResponse
from rtproto.types.translation import (
    TranslationAudio,
    TranslationAudioInput,
    TranslationAudioOutput,
    TranslationSession,
)

__all__ = ["patched", "realtime_session", "transcription_session", "translation_session"]

_SECONDS = 3600  # a session lives an hour
_INSTRUCTIONS = (
    "You are a helpful, witty and friendly voice. This is a fake: nobody reads these instructions."
)
_PCM = AudioPcm(rate=24_000)
_SERVER_VAD = ServerVad(
    threshold=0.5,
    prefix_padding_ms=300,
    silence_duration_ms=200,
    idle_timeout_ms=None,
    create_response=True,
    interrupt_response=True,
)

# What a new object of a kind holds where the client says nothing, as in OpenAI's recorded sessions.
_NEW: dict[type[Struct], Struct] = {
    ServerVad: _SERVER_VAD,
    SemanticVad: SemanticVad(eagerness="auto", create_response=True, interrupt_response=True),
    AudioTranscription: AudioTranscription(language=None, prompt=None),
    AudioPcm: _PCM,
}
_WHOLE = (Prompt, CustomVoice, TracingConfig)  # replaced, never merged


def _expiry() -> int:
    return int(time.time()) + _SECONDS


def realtime_session(model: str) -> SessionCreateResponse:
    """A conversation as it begins."""
    hearing = AudioInput(format=_PCM, transcription=None, noise_reduction=None, turn_detection=_SERVER_VAD)
    return SessionCreateResponse(
        object="realtime.session",
        id=new_id("sess"),
        model=model,
        output_modalities=["audio"],
        instructions=_INSTRUCTIONS,
        tools=[],
        tool_choice="auto",
        max_output_tokens="inf",
        tracing=None,
        truncation="auto",
        prompt=None,
        expires_at=_expiry(),
        audio=AudioConfig(input=hearing, output=AudioOutput(format=_PCM, voice="alloy", speed=1.0)),
        include=None,
    )


def transcription_session() -> TranscriptionSessionCreateResponse:
    """A session that only listens, as it begins."""
    vad = ServerVad(threshold=0.5, prefix_padding_ms=300, silence_duration_ms=200)
    hearing = AudioInput(format=_PCM, transcription=None, noise_reduction=None, turn_detection=vad)
    return TranscriptionSessionCreateResponse(
        object="realtime.transcription_session",
        id=new_id("sess"),
        expires_at=_expiry(),
        audio=TranscriptionAudio(input=hearing),
        include=None,
    )


def translation_session(model: str) -> TranslationSession:
    """A translation as it begins."""
    return TranslationSession(
        id=new_id("sess"),
        type="translation",
        model=model,
        expires_at=_expiry(),
        audio=TranslationAudio(
            input=TranslationAudioInput(transcription=None, noise_reduction=None),
            output=TranslationAudioOutput(language="en"),
        ),
    )


S = TypeVar("S", bound=Struct)


def patched(session: S, patch: Struct) -> S:
    """The session after an update. Instructions that are cleared are the service's own again."""
    changed = _merged(session, patch)
    if getattr(patch, "instructions", UNSET) == "":
        return msgspec.structs.replace(changed, instructions=_INSTRUCTIONS)
    return changed


def _merged(whole: S, patch: Struct) -> S:
    changes = {
        name: value for name in patch.__struct_fields__ if (value := getattr(patch, name)) is not UNSET
    }
    merged = {name: _value(getattr(whole, name, UNSET), value) for name, value in changes.items()}
    return msgspec.structs.replace(whole, **merged)


def _value(old: Any, new: Any) -> Any:
    if not isinstance(new, Struct) or isinstance(new, _WHOLE):
        return new
    if type(old) is not type(new):
        old = _NEW.get(type(new))
    return new if old is None else _merged(cast("Struct", old), new)
