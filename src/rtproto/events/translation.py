"""What is spoken on ``/v1/realtime/translations``: three client and seven server events, then their unions.

Several share a wire name with ``/v1/realtime`` and differ in shape, so they have codecs of their own.
``Error`` is the same class on both, and its ``event_type`` is Realtime's member.
"""

from typing import TypeAlias

from msgspec import UNSET

from rtproto._struct import Base64, Event, Maybe
from rtproto.event_types import TranslationClientEvent, TranslationServerEvent
from rtproto.events.server import Error
from rtproto.types.translation import TranslationSession, TranslationSessionUpdateRequest

__all__ = [
    "ClientEvent",
    "Error",
    "ServerEvent",
    "SessionClose",
    "SessionClosed",
    "SessionCreated",
    "SessionInputAudioBufferAppend",
    "SessionInputTranscriptDelta",
    "SessionOutputAudioDelta",
    "SessionOutputTranscriptDelta",
    "SessionUpdate",
    "SessionUpdated",
]


class _ClientEvent(Event, kw_only=True):
    event_id: Maybe[str] = UNSET
    """The client's own id for the event, 512 characters at most."""

    @property
    def event_type(self) -> TranslationClientEvent:
        """The event's name as a member of :class:`rtproto.event_types.TranslationClientEvent`."""
        return TranslationClientEvent(self.type)


class _ServerEvent(Event, kw_only=True):
    event_id: str
    """The service's id for the event."""

    @property
    def event_type(self) -> TranslationServerEvent:
        """The event's name as a member of :class:`rtproto.event_types.TranslationServerEvent`."""
        return TranslationServerEvent(self.type)


class _Transcript(_ServerEvent, kw_only=True):
    delta: str
    """The text to append."""
    elapsed_ms: Maybe[int] = UNSET
    """Milliseconds since the session began; null: not known."""
    obfuscation: Maybe[str] = UNSET
    """Random padding that hides the delta's length from eavesdroppers."""


class SessionUpdate(_ClientEvent, kw_only=True, tag=TranslationClientEvent.SESSION_UPDATE.value):
    """Sent to change the session; answered by ``session.updated``."""

    session: TranslationSessionUpdateRequest
    """A patch: absent stays as it is, null switches off."""


class SessionInputAudioBufferAppend(
    _ClientEvent,
    kw_only=True,
    tag=TranslationClientEvent.SESSION_INPUT_AUDIO_BUFFER_APPEND.value,
    gc=False,
):
    """Sent for every piece of the speaker's audio; never answered."""

    audio: Base64
    """Base64 audio, 16-bit PCM at 24000 samples per second."""


class SessionClose(_ClientEvent, kw_only=True, tag=TranslationClientEvent.SESSION_CLOSE.value, gc=False):
    """Sent to end the session; answered by ``session.closed`` once all is translated."""


ClientEvent: TypeAlias = SessionUpdate | SessionInputAudioBufferAppend | SessionClose
"""Every event a client sends to a translation session."""


class SessionCreated(_ServerEvent, kw_only=True, tag=TranslationServerEvent.SESSION_CREATED.value):
    """Sent first on every connection."""

    session: TranslationSession
    """The session as it stands."""


class SessionUpdated(_ServerEvent, kw_only=True, tag=TranslationServerEvent.SESSION_UPDATED.value):
    """Sent when a ``session.update`` took effect."""

    session: TranslationSession
    """The whole session as it stands."""


class SessionClosed(_ServerEvent, kw_only=True, tag=TranslationServerEvent.SESSION_CLOSED.value, gc=False):
    """Sent last, when the session has ended."""


class SessionInputTranscriptDelta(
    _Transcript, kw_only=True, tag=TranslationServerEvent.SESSION_INPUT_TRANSCRIPT_DELTA.value, gc=False
):
    """Sent for every piece of what the speaker said."""


class SessionOutputTranscriptDelta(
    _Transcript, kw_only=True, tag=TranslationServerEvent.SESSION_OUTPUT_TRANSCRIPT_DELTA.value, gc=False
):
    """Sent for every piece of the translation, as text."""


class SessionOutputAudioDelta(
    _ServerEvent, kw_only=True, tag=TranslationServerEvent.SESSION_OUTPUT_AUDIO_DELTA.value, gc=False
):
    """Sent for every piece of the translation, as speech."""

    delta: Base64
    """Base64 audio to append."""
    sample_rate: Maybe[int] = UNSET
    """Samples per second; absent: 24000."""
    channels: Maybe[int] = UNSET
    """How many; absent: 1."""
    format: Maybe[str] = UNSET
    """``pcm16``, the one format there is."""
    elapsed_ms: Maybe[int] = UNSET
    """Milliseconds since the session began; null: not known."""
    obfuscation: Maybe[str] = UNSET
    """Random padding that hides the delta's length from eavesdroppers."""


ServerEvent: TypeAlias = (
    Error
    | SessionCreated
    | SessionUpdated
    | SessionClosed
    | SessionInputTranscriptDelta
    | SessionOutputTranscriptDelta
    | SessionOutputAudioDelta
)
"""Every event a translation session sends."""
