"""A session that only listens: audio in, transcripts out, by script."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from msgspec import UNSET

from rtproto._struct import Event
from rtproto.codec import Codec, client_codec
from rtproto.event_ids import new_event_id
from rtproto.events import client, server
from rtproto.testing.hearing import Hearing
from rtproto.testing.refusals import Refused, must_be_objects
from rtproto.testing.script import Script
from rtproto.testing.session import Handler
from rtproto.testing.settings import patched, transcription_session
from rtproto.types.audio import AudioInput, TranscriptionAudio
from rtproto.types.session import TranscriptionSessionCreateRequest, TranscriptionSessionCreateResponse

__all__ = ["TranscriptionSession"]


class TranscriptionSession(Hearing):
    """One session of ``?intent=transcription``."""

    surface = "transcription"
    needs_model = False
    codec: ClassVar[Codec[Any]] = client_codec

    def __init__(self, model: str, script: Script, *, speed: float = 1.0) -> None:
        super().__init__(model, script, speed=speed)
        self.settings: TranscriptionSessionCreateResponse = transcription_session()
        """The session as it stands."""

    def opening(self) -> server.SessionCreated:
        """The session with its defaults."""
        return server.SessionCreated(event_id=new_event_id(), session=self.settings)

    def update(self, event: client.SessionUpdate) -> None:
        """Change the session."""
        patch = event.session
        if not isinstance(patch, TranscriptionSessionCreateRequest):
            raise Refused(
                "invalid_value",
                "A transcription session takes a session of type 'transcription'.",
                "session.type",
            )
        for name in ("model", "language", "prompt"):  # of audio.input.transcription, not of the session
            if getattr(patch, name) is not UNSET:
                raise Refused("unknown_parameter", f"Unknown parameter: 'session.{name}'.", f"session.{name}")
        must_be_objects(patch)
        changed = patched(self.settings, patch)
        self.expect(_input(changed).format)
        self.settings = changed
        self.emit(server.SessionUpdated(event_id=new_event_id(), session=self.settings))

    def answer_not(self, event: Event) -> None:
        """Nobody answers here."""
        raise Refused("invalid_value", f"A transcription session does not take '{event.type}'.", "type")

    def _input(self) -> AudioInput:
        return _input(self.settings)

    def _include(self) -> list[Any]:
        return self.settings.include or []

    handlers: ClassVar[Mapping[type[Event], Handler]] = MappingProxyType(
        {
            **dict.fromkeys(client_codec.types.values(), answer_not),
            client.SessionUpdate: update,
            client.InputAudioBufferAppend: Hearing.append,
            client.InputAudioBufferClear: Hearing.clear,
            client.InputAudioBufferCommit: Hearing.commit,
        }
    )


def _input(session: TranscriptionSessionCreateResponse) -> AudioInput:
    return (session.audio or TranscriptionAudio()).input or AudioInput()
