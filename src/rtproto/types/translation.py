"""A translation session listens in any language and speaks in one."""

from msgspec import UNSET

from rtproto._struct import Maybe, Number, Struct
from rtproto.types.open_enums import NoiseReductionType

__all__ = [
    "TranslationAudio",
    "TranslationAudioInput",
    "TranslationAudioOutput",
    "TranslationNoiseReduction",
    "TranslationSession",
    "TranslationSessionCreateRequest",
    "TranslationSessionUpdateRequest",
    "TranslationTranscription",
]


class TranslationTranscription(Struct, kw_only=True):
    """How the input is transcribed."""

    model: str
    """Which model transcribes."""
    language: Maybe[str] = UNSET
    """The expected language; official examples show it, no schema declares it."""


class TranslationNoiseReduction(Struct, kw_only=True):
    """Noise reduction before the translator hears the input."""

    type: NoiseReductionType
    """Where the microphone is."""
    strength: Maybe[Number] = UNSET
    """How much, the service's default being 1; absent in an update keeps what is set."""


class TranslationAudioInput(Struct, kw_only=True):
    """What happens to audio on its way in."""

    transcription: Maybe[TranslationTranscription] = UNSET
    """How it is transcribed; null: not at all."""
    noise_reduction: Maybe[TranslationNoiseReduction] = UNSET
    """How it is cleaned; null: not at all."""


class TranslationAudioOutput(Struct, kw_only=True):
    """What the service speaks."""

    language: Maybe[str] = UNSET
    """In which language, as ``es``."""


class TranslationAudio(Struct, kw_only=True):
    """The audio of a translation session."""

    input: Maybe[TranslationAudioInput] = UNSET
    """What is heard."""
    output: Maybe[TranslationAudioOutput] = UNSET
    """What is spoken."""


class TranslationSessionUpdateRequest(Struct, kw_only=True):
    """A patch: absent fields stay as they are, null switches off. It has no ``type`` and no model."""

    audio: Maybe[TranslationAudio] = UNSET
    """What is to change."""


class TranslationSessionCreateRequest(Struct, kw_only=True):
    """A translation session as asked for, over REST."""

    model: str
    """Which model translates."""
    audio: Maybe[TranslationAudio] = UNSET
    """What is heard and spoken."""


class TranslationSession(Struct, kw_only=True):
    """A translation session as it stands."""

    id: str
    """Its id, ``sess_…``."""
    type: str
    """``translation``. It tells nothing apart, so it is a field like any other."""
    expires_at: int
    """When the service will close it, in Unix seconds."""
    model: str
    """Which model translates."""
    audio: TranslationAudio
    """What is heard and spoken."""
