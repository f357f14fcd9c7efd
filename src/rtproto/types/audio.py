"""Audio has one meaning in both directions: a format, what hears it, and what speaks it."""

from typing import TYPE_CHECKING, TypeAlias

from msgspec import UNSET

from rtproto._struct import Maybe, Number, Open, Struct, Tagged
from rtproto.types.open_enums import (
    Eagerness,
    LegacyAudioFormat,
    NoiseReductionType,
    TranscriptionDelay,
    TranscriptionModel,
    VoiceName,
)

__all__ = [
    "AudioConfig",
    "AudioFormat",
    "AudioInput",
    "AudioOutput",
    "AudioPcm",
    "AudioPcma",
    "AudioPcmu",
    "AudioTranscription",
    "CustomVoice",
    "NoiseReduction",
    "ResponseAudio",
    "ResponseAudioOutput",
    "SemanticVad",
    "ServerVad",
    "TranscriptionAudio",
    "TurnDetection",
    "Voice",
]


class AudioPcm(Tagged, kw_only=True, tag="audio/pcm"):
    """16-bit little-endian mono PCM."""

    rate: Maybe[int] = UNSET
    """Samples per second; OpenAI takes 24000 only, xAI 8000 to 48000."""


class AudioPcmu(Tagged, kw_only=True, tag="audio/pcmu"):
    """G.711 µ-law, 8000 samples per second, one byte each."""


class AudioPcma(Tagged, kw_only=True, tag="audio/pcma"):
    """G.711 A-law, 8000 samples per second, one byte each."""


AudioFormat: TypeAlias = AudioPcm | AudioPcmu | AudioPcma | LegacyAudioFormat | Open
"""How audio bytes are to be read; a bare string is the beta's spelling."""


class AudioTranscription(Struct, kw_only=True):
    """How input audio is transcribed, beside the model that answers."""

    model: Maybe[TranscriptionModel] = UNSET
    """Which model transcribes."""
    language: Maybe[str] = UNSET
    """The expected language, ISO-639-1; null in what the service returns when none was set."""
    languages: Maybe[list[str]] = UNSET
    """Languages to choose among, at least one."""
    keywords: Maybe[list[str]] = UNSET
    """Words to expect."""
    prompt: Maybe[str] = UNSET
    """Guidance in free text; null in what the service returns when none was set."""
    delay: Maybe[TranscriptionDelay] = UNSET
    """How long to wait for context before text is sent."""


class NoiseReduction(Struct, kw_only=True):
    """Noise reduction before VAD and the model hear the input."""

    type: Maybe[NoiseReductionType] = UNSET
    """Where the microphone is."""
    strength: Maybe[Number] = UNSET
    """How much, the service's default being 1; absent in an update keeps what is set."""


class ServerVad(Tagged, kw_only=True, tag="server_vad"):
    """A turn ends on silence."""

    threshold: Maybe[Number] = UNSET
    """Loudness that counts as speech, 0 to 1."""
    prefix_padding_ms: Maybe[int] = UNSET
    """Milliseconds of audio kept from before the speech."""
    silence_duration_ms: Maybe[int] = UNSET
    """Milliseconds of silence that end the turn."""
    create_response: Maybe[bool] = UNSET
    """Whether the end of a turn starts a response."""
    interrupt_response: Maybe[bool] = UNSET
    """Whether speech cancels the running response."""
    idle_timeout_ms: Maybe[int] = UNSET
    """Milliseconds of silence, 5000 to 30000, after which the model speaks by itself; null: never."""


class SemanticVad(Tagged, kw_only=True, tag="semantic_vad"):
    """A turn ends when a model judges that the speaker has finished."""

    eagerness: Maybe[Eagerness] = UNSET
    """How soon it judges so."""
    create_response: Maybe[bool] = UNSET
    """Whether the end of a turn starts a response."""
    interrupt_response: Maybe[bool] = UNSET
    """Whether speech cancels the running response."""


TurnDetection: TypeAlias = ServerVad | SemanticVad | Open
"""How the service finds the end of a turn. Where it may be null, null switches it off."""


class CustomVoice(Struct, kw_only=True, forbid_unknown_fields=True):
    """A voice of one's own. The schema closes it: an object with anything more is another kind of voice."""

    id: str
    """Its id, ``voice_…``."""


if TYPE_CHECKING:
    Voice: TypeAlias = VoiceName | CustomVoice | Open
    """A voice by name or by id; an object of another shape, as Azure's, is an ``Unknown``."""
else:
    Voice = VoiceName | CustomVoice  # msgspec takes no second Struct, so no marker, beside one without a tag.


class AudioInput(Struct, kw_only=True):
    """What happens to audio on its way in."""

    format: Maybe[AudioFormat] = UNSET
    """The format of the audio that the client sends."""
    transcription: Maybe[AudioTranscription] = UNSET
    """How it is transcribed; null: not at all."""
    noise_reduction: Maybe[NoiseReduction] = UNSET
    """How it is cleaned; null: not at all."""
    turn_detection: Maybe[TurnDetection] = UNSET
    """How turns are found; null: the client commits and asks for responses itself."""


class ResponseAudioOutput(Struct, kw_only=True):
    """How one response speaks."""

    format: Maybe[AudioFormat] = UNSET
    """The format of the audio that the service sends."""
    voice: Maybe[Voice] = UNSET
    """The voice; fixed for a session once it has spoken."""


class AudioOutput(ResponseAudioOutput, kw_only=True):
    """How a session speaks."""

    speed: Maybe[Number] = UNSET
    """How fast, 0.25 to 1.5, 1 being the voice's own speed."""


class AudioConfig(Struct, kw_only=True):
    """The audio of a session, in and out."""

    input: Maybe[AudioInput] = UNSET
    """What the client sends."""
    output: Maybe[AudioOutput] = UNSET
    """What the service sends."""


class TranscriptionAudio(Struct, kw_only=True):
    """The audio of a transcription session, which only listens."""

    input: Maybe[AudioInput] = UNSET
    """What the client sends."""


class ResponseAudio(Struct, kw_only=True):
    """The audio of one response."""

    output: Maybe[ResponseAudioOutput] = UNSET
    """What the service sends."""
