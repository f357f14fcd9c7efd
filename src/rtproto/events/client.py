"""What a client sends on ``/v1/realtime``: eleven events, then their union.

Every client event may carry an ``event_id``; the service names it in ``error.event_id``.
"""

from typing import TypeAlias

from msgspec import UNSET

from rtproto._struct import Base64, Event, Maybe
from rtproto.event_types import RealtimeClientEvent as Wire
from rtproto.types.items import ConversationItem
from rtproto.types.response import ResponseCreateParams
from rtproto.types.session import SessionConfig

__all__ = [
    "ClientEvent",
    "ConversationItemCreate",
    "ConversationItemDelete",
    "ConversationItemRetrieve",
    "ConversationItemTruncate",
    "InputAudioBufferAppend",
    "InputAudioBufferClear",
    "InputAudioBufferCommit",
    "OutputAudioBufferClear",
    "ResponseCancel",
    "ResponseCreate",
    "SessionUpdate",
]


class _ClientEvent(Event, kw_only=True):
    event_id: Maybe[str] = UNSET
    """The client's own id for the event, 512 characters at most."""

    @property
    def event_type(self) -> Wire:
        """The event's name as a member of :class:`rtproto.event_types.RealtimeClientEvent`."""
        return Wire(self.type)


class SessionUpdate(_ClientEvent, kw_only=True, tag=Wire.SESSION_UPDATE.value):
    """Sent to change the session; answered by ``session.updated`` with the whole of it."""

    session: SessionConfig
    """A patch: absent stays as it is, null switches off, ``[]`` and ``""`` clear."""


class ConversationItemCreate(_ClientEvent, kw_only=True, tag=Wire.CONVERSATION_ITEM_CREATE.value):
    """Sent to put an item into the conversation; answered by ``conversation.item.added`` and ``.done``."""

    previous_item_id: Maybe[str] = UNSET
    """The item to put it after; ``root``: before all; absent: after all."""
    item: ConversationItem
    """The item."""


class ConversationItemDelete(_ClientEvent, kw_only=True, tag=Wire.CONVERSATION_ITEM_DELETE.value, gc=False):
    """Sent to take an item out of the conversation; answered by ``conversation.item.deleted``."""

    item_id: str
    """The item."""


class ConversationItemRetrieve(
    _ClientEvent, kw_only=True, tag=Wire.CONVERSATION_ITEM_RETRIEVE.value, gc=False
):
    """Sent to see an item as the service has it; answered by ``conversation.item.retrieved``."""

    item_id: str
    """The item."""


class ConversationItemTruncate(
    _ClientEvent, kw_only=True, tag=Wire.CONVERSATION_ITEM_TRUNCATE.value, gc=False
):
    """Sent when the user cut the model short, to tell how much was heard; answered by ``….truncated``."""

    item_id: str
    """The assistant's message."""
    content_index: int
    """The audio part; always 0."""
    audio_end_ms: int
    """Milliseconds of it that were heard."""


class InputAudioBufferAppend(_ClientEvent, kw_only=True, tag=Wire.INPUT_AUDIO_BUFFER_APPEND.value, gc=False):
    """Sent for every piece of the user's audio; never answered."""

    audio: Base64
    """Base64 audio in the session's input format, 15 MiB at most."""


class InputAudioBufferClear(_ClientEvent, kw_only=True, tag=Wire.INPUT_AUDIO_BUFFER_CLEAR.value, gc=False):
    """Sent to throw away what was appended; answered by ``input_audio_buffer.cleared``."""


class InputAudioBufferCommit(_ClientEvent, kw_only=True, tag=Wire.INPUT_AUDIO_BUFFER_COMMIT.value, gc=False):
    """Sent without VAD when the user has spoken; answered by ``input_audio_buffer.committed``."""


class OutputAudioBufferClear(_ClientEvent, kw_only=True, tag=Wire.OUTPUT_AUDIO_BUFFER_CLEAR.value, gc=False):
    """Sent over WebRTC or SIP to fall silent at once; answered by ``output_audio_buffer.cleared``."""


class ResponseCancel(_ClientEvent, kw_only=True, tag=Wire.RESPONSE_CANCEL.value, gc=False):
    """Sent to stop a response; answered by ``response.done`` with status ``cancelled``."""

    response_id: Maybe[str] = UNSET
    """Which response; absent: the one in the conversation."""


class ResponseCreate(_ClientEvent, kw_only=True, tag=Wire.RESPONSE_CREATE.value):
    """Sent to have the model answer; answered by ``response.created`` and all that follows."""

    response: Maybe[ResponseCreateParams] = UNSET
    """How it differs from the session."""


ClientEvent: TypeAlias = (
    SessionUpdate
    | ConversationItemCreate
    | ConversationItemDelete
    | ConversationItemRetrieve
    | ConversationItemTruncate
    | InputAudioBufferAppend
    | InputAudioBufferClear
    | InputAudioBufferCommit
    | OutputAudioBufferClear
    | ResponseCancel
    | ResponseCreate
)
"""Every event a client sends."""
