"""A set of strings that will grow is ``str``: a new value never fails, an editor completes the known.

A type checker and an editor see the known values; at run time each of these is plain ``str``. The
values are those of openai-python 3.51 and of recorded GA traffic.
"""

from typing import TYPE_CHECKING, Literal, TypeAlias

__all__ = [
    "ApprovalPolicy",
    "AudioModality",
    "CallerKind",
    "ConnectorId",
    "ConversationMode",
    "Eagerness",
    "FileDetail",
    "ImageDetail",
    "Include",
    "ItemStatus",
    "LegacyAudioFormat",
    "MaxOutputTokens",
    "MessagePhase",
    "NoiseReductionType",
    "RateLimitName",
    "RealtimeModel",
    "ReasoningEffort",
    "ResponseStatus",
    "Role",
    "StatusReason",
    "ToolChoiceMode",
    "TracingMode",
    "TranscriptionDelay",
    "TranscriptionModel",
    "TruncationMode",
    "VoiceName",
]

if TYPE_CHECKING:
    RealtimeModel: TypeAlias = (
        Literal[
            "gpt-realtime",
            "gpt-realtime-1.5",
            "gpt-realtime-2",
            "gpt-realtime-2.1",
            "gpt-realtime-2.1-mini",
            "gpt-realtime-2025-08-28",
            "gpt-realtime-mini",
            "gpt-realtime-mini-2025-10-06",
            "gpt-realtime-mini-2025-12-15",
            "gpt-4o-realtime-preview",
            "gpt-4o-realtime-preview-2024-10-01",
            "gpt-4o-realtime-preview-2024-12-17",
            "gpt-4o-realtime-preview-2025-06-03",
            "gpt-4o-mini-realtime-preview",
            "gpt-4o-mini-realtime-preview-2024-12-17",
            "gpt-audio-1.5",
            "gpt-audio-mini",
            "gpt-audio-mini-2025-10-06",
            "gpt-audio-mini-2025-12-15",
        ]
        | str
    )
    """A model that speaks Realtime; on Azure a deployment's name."""

    TranscriptionModel: TypeAlias = (
        Literal[
            "whisper-1",
            "gpt-transcribe",
            "gpt-live-transcribe",
            "gpt-4o-mini-transcribe",
            "gpt-4o-mini-transcribe-2025-12-15",
            "gpt-4o-transcribe",
            "gpt-4o-transcribe-diarize",
            "gpt-realtime-whisper",
        ]
        | str
    )
    """A model that transcribes input audio; on Azure a deployment's name."""

    VoiceName: TypeAlias = (
        Literal["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"] | str
    )
    """A voice that the service ships."""

    AudioModality: TypeAlias = Literal["text", "audio"] | str
    """What a model answers in; audio always comes with its transcript."""

    Include: TypeAlias = Literal["item.input_audio_transcription.logprobs"] | str
    """Something extra to send, by its path."""

    MaxOutputTokens: TypeAlias = int | Literal["inf"] | str
    """A limit in tokens, 1 to 4096, or ``"inf"`` for the model's own."""

    ToolChoiceMode: TypeAlias = Literal["none", "auto", "required"] | str
    """How the model picks a tool when none is named."""

    TruncationMode: TypeAlias = Literal["auto", "disabled"] | str
    """What happens when a conversation outgrows the model's window."""

    TracingMode: TypeAlias = Literal["auto"] | str
    """Tracing with the service's own names."""

    ReasoningEffort: TypeAlias = Literal["minimal", "low", "medium", "high", "xhigh"] | str
    """How hard a reasoning model thinks; xAI and Azure also write ``"none"``."""

    NoiseReductionType: TypeAlias = Literal["near_field", "far_field"] | str
    """Where the microphone is: a headset, or across the room."""

    Eagerness: TypeAlias = Literal["low", "medium", "high", "auto"] | str
    """How soon semantic VAD takes the turn."""

    TranscriptionDelay: TypeAlias = Literal["minimal", "low", "medium", "high", "xhigh"] | str
    """How long transcription may wait for context."""

    LegacyAudioFormat: TypeAlias = Literal["pcm16", "g711_ulaw", "g711_alaw"] | str
    """The beta's name of an audio format, which official GA examples still show."""

    Role: TypeAlias = Literal["system", "user", "assistant"] | str
    """Who speaks in a message."""

    ItemStatus: TypeAlias = Literal["completed", "incomplete", "in_progress"] | str
    """How far an item is."""

    MessagePhase: TypeAlias = Literal["commentary", "final_answer"] | str
    """What an assistant message is for, as reasoning models mark it."""

    ImageDetail: TypeAlias = Literal["auto", "low", "high", "original"] | str
    """How closely the model looks at an image."""

    FileDetail: TypeAlias = Literal["auto", "low", "high"] | str
    """How closely the model looks at a file's pages."""

    ResponseStatus: TypeAlias = Literal["in_progress", "completed", "cancelled", "incomplete", "failed"] | str
    """How far a response is, or how it ended."""

    StatusReason: TypeAlias = (
        Literal["turn_detected", "client_cancelled", "max_output_tokens", "content_filter"] | str
    )
    """Why a response was cancelled or is incomplete."""

    ConversationMode: TypeAlias = Literal["auto", "none"] | str
    """Whether a response's items join the conversation; other strings are conversation ids."""

    ApprovalPolicy: TypeAlias = Literal["always", "never"] | str
    """Whether an MCP tool's calls need the client's approval."""

    CallerKind: TypeAlias = Literal["direct", "programmatic"] | str
    """Who may call an MCP tool."""

    ConnectorId: TypeAlias = (
        Literal[
            "connector_dropbox",
            "connector_gmail",
            "connector_googlecalendar",
            "connector_googledrive",
            "connector_microsoftteams",
            "connector_outlookcalendar",
            "connector_outlookemail",
            "connector_sharepoint",
        ]
        | str
    )
    """A connector that the service ships."""

    RateLimitName: TypeAlias = Literal["requests", "tokens"] | str
    """What a rate limit counts."""
else:
    RealtimeModel = TranscriptionModel = VoiceName = AudioModality = Include = ToolChoiceMode = str
    TruncationMode = TracingMode = ReasoningEffort = NoiseReductionType = Eagerness = str
    TranscriptionDelay = LegacyAudioFormat = Role = ItemStatus = MessagePhase = ImageDetail = str
    FileDetail = ResponseStatus = StatusReason = ConversationMode = ApprovalPolicy = CallerKind = str
    ConnectorId = RateLimitName = str
    MaxOutputTokens = int | str
