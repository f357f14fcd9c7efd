"""The bodies of the REST calls around a session: client secrets, calls, and the incoming-call webhook.

Read one with ``rtproto.decode_body(data, ClientSecretCreateResponse)``, write one with ``rtproto.encode``.
"""

from msgspec import UNSET

from rtproto._struct import Maybe, Secret, Struct
from rtproto.types.session import ReturnedSession, SessionConfig, SessionCreateRequest
from rtproto.types.translation import TranslationSession, TranslationSessionCreateRequest

__all__ = [
    "CallCreateRequest",
    "CallReferRequest",
    "CallRejectRequest",
    "ClientSecretCreateRequest",
    "ClientSecretCreateResponse",
    "ExpiresAfter",
    "IncomingCall",
    "IncomingCallEvent",
    "SipHeader",
    "TranslationClientSecretCreateRequest",
    "TranslationClientSecretCreateResponse",
]


class ExpiresAfter(Struct, kw_only=True):
    """How long a client secret lasts."""

    anchor: Maybe[str] = UNSET
    """Counted from ``created_at``."""
    seconds: Maybe[int] = UNSET
    """For how many seconds, 10 to 7200; the service's default is 600."""


class ClientSecretCreateRequest(Struct, kw_only=True):
    """``POST /v1/realtime/client_secrets``."""

    expires_after: Maybe[ExpiresAfter] = UNSET
    """How long it lasts."""
    session: Maybe[SessionConfig] = UNSET
    """The session that it opens."""


class ClientSecretCreateResponse(Struct, kw_only=True):
    """The answer to ``POST /v1/realtime/client_secrets``."""

    value: Secret
    """The key, ``ek_…``."""
    expires_at: int
    """Until when, in Unix seconds."""
    session: ReturnedSession
    """The session that it opens; its ``expires_at`` is 0."""


class TranslationClientSecretCreateRequest(Struct, kw_only=True):
    """``POST /v1/realtime/translations/client_secrets``."""

    expires_after: Maybe[ExpiresAfter] = UNSET
    """How long it lasts."""
    session: TranslationSessionCreateRequest
    """The session that it opens."""


class TranslationClientSecretCreateResponse(Struct, kw_only=True):
    """The answer to ``POST /v1/realtime/translations/client_secrets``."""

    value: Secret
    """The key, ``ek_…``."""
    expires_at: int
    """Until when, in Unix seconds."""
    session: TranslationSession
    """The session that it opens."""


class CallCreateRequest(Struct, kw_only=True):
    """``POST /v1/realtime/calls``, a multipart form; ``…/accept`` takes a bare session."""

    sdp: Secret
    """The WebRTC offer; it holds a password."""
    session: Maybe[SessionCreateRequest] = UNSET
    """The session that it opens."""


class CallReferRequest(Struct, kw_only=True):
    """``POST /v1/realtime/calls/{id}/refer``."""

    target_uri: str
    """Whereto, as ``tel:…`` or ``sip:…``."""


class CallRejectRequest(Struct, kw_only=True):
    """``POST /v1/realtime/calls/{id}/reject``."""

    status_code: Maybe[int] = UNSET
    """The SIP status to answer with; the service's default is 603."""


class SipHeader(Struct, kw_only=True):
    """A header of a SIP call."""

    name: str
    """Its name."""
    value: Secret
    """Its value."""


class IncomingCall(Struct, kw_only=True):
    """A SIP call that waits to be accepted."""

    call_id: str
    """Its id, ``rtc_…``."""
    sip_headers: list[SipHeader]
    """Its headers."""
    sip_media_security: Maybe[str] = UNSET
    """How its media are protected."""


class IncomingCallEvent(Struct, kw_only=True):
    """The webhook ``realtime.call.incoming``."""

    id: str
    """The webhook event's id."""
    type: str
    """``realtime.call.incoming``."""
    created_at: int
    """When, in Unix seconds."""
    object: Maybe[str] = UNSET
    """``event``."""
    data: IncomingCall
    """The call."""
