"""What a session costs is what its service says, and each answer and each transcript costs once.

::

    ledger = UsageLedger(on_usage=lambda session, usage: print(session.opening.client, usage.total_tokens))
    Proxy(upstream, [..., ledger])      # last: next to the service, where no other policy hides an event

    ledger.of(session).input_audio, ledger.total.cached_audio, ledger.by_client["mobile"].output_tokens

Nothing is added up that the service did not: sums and parts are kept as they come, each by itself, because
they need not agree (one vendor leaves out a part, another counts more cached tokens than input).
"""

from collections import OrderedDict
from collections.abc import Callable, Container, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple, cast
from weakref import WeakValueDictionary

import msgspec

from rtproto.errors import RtprotoError
from rtproto.event_types import RealtimeServerEvent as Wire
from rtproto.frame import Frame
from rtproto.services.proxy.policy import Outcome, Policy, Session

__all__ = ["OTHERS", "Usage", "UsageLedger"]

OTHERS = "…"
"""The name under which ``by_client`` has all clients that came after the most it holds."""

_MOST = 2**53
_REMEMBERED = 4096


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What was used: of one response, or of many. Two add up with ``+``."""

    responses: int = 0
    """Responses that ended, however they ended and whether or not the service said what they cost."""
    total_tokens: int = 0
    """Input and output of responses, as the service sums them; and so are the next two."""
    input_tokens: int = 0
    """Input, cached tokens included."""
    output_tokens: int = 0
    """Output."""
    input_text: int = 0
    """Input tokens of text, cached ones included; and so are the next two."""
    input_audio: int = 0
    """Input tokens of audio."""
    input_image: int = 0
    """Input tokens of images."""
    cached_tokens: int = 0
    """Input tokens of any kind from the prompt cache, whether or not the service splits them."""
    cached_text: int = 0
    """Those of text."""
    cached_audio: int = 0
    """Those of audio."""
    cached_image: int = 0
    """Those of images."""
    output_text: int = 0
    """Output tokens of text, reasoning included."""
    output_audio: int = 0
    """Output tokens of audio."""
    reasoning: int = 0
    """Output tokens spent on reasoning."""
    transcriptions: int = 0
    """Transcripts of the user's audio. A model of their own makes them: they are in none of the above."""
    transcription_total_tokens: int = 0
    """Input and output of transcripts billed by tokens, as the service sums them."""
    transcription_input_tokens: int = 0
    """Their input."""
    transcription_output_tokens: int = 0
    """Their output."""
    transcription_input_text: int = 0
    """Their input tokens of text."""
    transcription_input_audio: int = 0
    """Their input tokens of audio."""
    transcription_seconds: float = 0.0
    """Seconds of audio of transcripts billed by time."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in _FIELDS})

    @property
    def tokens(self) -> dict[str, int]:
        """The counts of tokens by field, those that are none left out."""
        return {name: count for name in _TOKENS if (count := getattr(self, name))}


_FIELDS = Usage.__struct_fields__
_NO_TOKENS = {"responses", "transcriptions", "transcription_seconds"}
_TOKENS = tuple(name for name in _FIELDS if name not in _NO_TOKENS)


class _Kind(NamedTuple):
    """How events of one type are read."""

    counter: str
    """The field that counts them."""
    identities: tuple[tuple[str, ...], ...]
    """What tells one from another: the first of these whose first path holds a string."""
    usages: tuple[str, ...]
    """Where the usage is: the first of these that holds any count."""
    parts: Mapping[str, tuple[str, ...]]
    """Where in it each field is."""


_KINDS: Mapping[str, _Kind] = {
    Wire.RESPONSE_DONE.value: _Kind(
        counter="responses",
        identities=(("response.id",), ("response_id",), ("event_id",)),
        usages=("response.usage", "usage"),  # xAI: an empty one in the response, and one beside it
        parts={
            "total_tokens": ("total_tokens",),
            "input_tokens": ("input_tokens",),
            "output_tokens": ("output_tokens",),
            "input_text": ("input_token_details", "text_tokens"),
            "input_audio": ("input_token_details", "audio_tokens"),
            "input_image": ("input_token_details", "image_tokens"),
            "cached_tokens": ("input_token_details", "cached_tokens"),
            "cached_text": ("input_token_details", "cached_tokens_details", "text_tokens"),
            "cached_audio": ("input_token_details", "cached_tokens_details", "audio_tokens"),
            "cached_image": ("input_token_details", "cached_tokens_details", "image_tokens"),
            "output_text": ("output_token_details", "text_tokens"),
            "output_audio": ("output_token_details", "audio_tokens"),
            "reasoning": ("output_token_details", "reasoning_tokens"),
        },
    ),
    Wire.CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_COMPLETED.value: _Kind(
        counter="transcriptions",
        identities=(("item_id", "content_index"), ("event_id",)),
        usages=("usage",),
        parts={
            "transcription_total_tokens": ("total_tokens",),
            "transcription_input_tokens": ("input_tokens",),
            "transcription_output_tokens": ("output_tokens",),
            "transcription_input_text": ("input_token_details", "text_tokens"),
            "transcription_input_audio": ("input_token_details", "audio_tokens"),
            "transcription_seconds": ("seconds",),
        },
    ),
}


class UsageLedger(Policy):
    """Keeps account of tokens: per session, per client and in total. It changes no frame.

    Counted are ``response.done``, whatever its status, and a completed transcription of the user's audio, as
    far as the service says what they cost: also if it leaves out what makes the event typed. Of the numbers,
    whole ones from 0 to 2⁵³ count (a transcript's seconds may be fractions); any other is passed over.

    An event that comes again does not count again, but for a usage that only its repetition tells. A response
    is known by its id, a transcript by its item and part, both by the ``event_id`` if that is missing, and if
    that is missing too, each counts. A session's last 4,096 are remembered. Sessions that join one call
    (``call_id``) remember together, because the service tells each of them of every response.

    Put it last in the row. What another policy injects costs nothing, so it is not counted.
    """

    server_types: Container[str] = frozenset(_KINDS)

    def __init__(
        self, on_usage: Callable[[Session, Usage], None] | None = None, *, max_clients: int = 10_000
    ) -> None:
        """Make an empty one.

        Args:
            on_usage: Called with the session and what was used just now, for billing; what it raises closes
                the session, as what a hook raises.
            max_clients: Names in ``by_client``; who comes later is one of :data:`OTHERS`.
        """
        self.total: Usage = Usage()
        """Of all sessions."""
        self._on_usage = on_usage
        self._max_clients = max_clients
        self._by_client: dict[str | None, Usage] = {}
        self._calls: WeakValueDictionary[str, _Remembered] = WeakValueDictionary()

    def of(self, session: Session) -> Usage:
        """Of one session, so far."""
        account = session.state.get(self)
        return account.usage if account else Usage()

    @property
    def by_client(self) -> dict[str | None, Usage]:
        """By the names of clients' tokens, ``None`` for those without; together they are the total."""
        return {**self._by_client}

    def on_server_frame(self, session: Session, frame: Frame[Any]) -> Outcome:
        """Count a response, or a transcript."""
        try:
            bill = _read(frame)
        except RtprotoError:  # no JSON behind its type: nobody can tell what it costs
            return frame
        account: _Account = session.state.get(self) or self._open_account(session)
        usage = account.remembered.new_part(bill)
        if usage:
            self._book(session, account, usage)
        return frame

    def _open_account(self, session: Session) -> "_Account":
        call = session.opening.call_id
        remembered = self._calls.setdefault(call, _Remembered()) if call else _Remembered()
        account = session.state[self] = _Account(remembered)
        return account

    def _book(self, session: Session, account: "_Account", usage: Usage) -> None:
        account.usage += usage
        self.total += usage
        client = session.opening.client
        if client not in self._by_client and len(self._by_client) >= self._max_clients:
            client = OTHERS
        self._by_client[client] = self._by_client.get(client, Usage()) + usage
        session.counts.tokens.update(usage.tokens)
        if self._on_usage:
            self._on_usage(session, usage)


class _Bill(NamedTuple):
    """What an event says."""

    key: bytes | None
    """What tells it from others; ``None``: nothing."""
    counter: str
    """The field that counts it."""
    counts: dict[str, Any]
    """The other fields, as far as they are told."""


class _Remembered:
    """What was counted, as far back as there is room: by the digest of its name, and whether with a usage."""

    def __init__(self) -> None:
        self._has_usage: OrderedDict[bytes, bool] = OrderedDict()

    def new_part(self, bill: _Bill) -> Usage | None:
        """What of a bill was not there before; ``None``: nothing."""
        had = self._has_usage.get(bill.key) if bill.key else None
        if had or (had is False and not bill.counts):
            return None
        if bill.key:
            self._has_usage[bill.key] = bool(bill.counts)
            if len(self._has_usage) > _REMEMBERED:
                self._has_usage.popitem(last=False)
        return Usage(**{bill.counter: int(had is None)}, **bill.counts)


class _Account:
    """What a ledger remembers of a session."""

    __slots__ = ("remembered", "usage")

    def __init__(self, remembered: _Remembered) -> None:
        self.remembered = remembered
        self.usage = Usage()


# Reading --------------------------------------------------------------------------------------
# By paths, and not through the event: so a vendor's event that is not typed is read like any other.


def _read(frame: Frame[Any]) -> _Bill:
    kind = _KINDS[frame.type]
    usages = (_counts(frame.get(path, None), kind.parts) for path in kind.usages)
    counts = next((counts for counts in usages if counts), dict[str, Any]())
    return _Bill(_key(frame, kind), kind.counter, counts)


def _key(frame: Frame[Any], kind: _Kind) -> bytes | None:
    """A digest, since a name may be of any length; ``repr`` spells out what is no Unicode."""
    for paths in kind.identities:
        name, *rest = (frame.get(path, None) for path in paths)
        if name and isinstance(name, str):
            text = repr((frame.type, paths, name, [_number(index) for index in rest]))
            return blake2b(text.encode(), digest_size=16).digest()
    return None


def _counts(usage: object, parts: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    found = ((name, _READERS.get(name, _number)(_at(usage, path))) for name, path in parts.items())
    return {name: number for name, number in found if number is not None}


def _at(value: object, path: tuple[str, ...]) -> object:
    for key in path:
        value = cast("dict[str, object]", value).get(key) if isinstance(value, dict) else None
    return value


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < _MOST else None


def _number(value: object) -> int | None:
    """A whole number, however it is written; ``None``: it is none, or nothing that one can have used."""
    seconds = _seconds(value)
    return int(seconds) if seconds is not None and seconds.is_integer() else None


_READERS: Mapping[str, Callable[[object], float | None]] = {"transcription_seconds": _seconds}
