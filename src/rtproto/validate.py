"""What the service would refuse beyond the wire's shape is said when asked for, and never imposed.

No constructor and no decoder calls this. The rules are OpenAI's, in one table at the end, with their
sources. Other vendors take more, and some take less.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from types import UnionType
from typing import Any, Literal, NamedTuple, TypeAlias, cast, get_args

import msgspec
from msgspec import UNSET

from rtproto._struct import Struct, Tagged
from rtproto.events import client, translation
from rtproto.pcm import MAX_APPEND_BYTES
from rtproto.types.audio import AudioOutput, AudioTranscription, ServerVad
from rtproto.types.items import AssistantPart, Message, SystemPart, UserPart
from rtproto.types.response import ResponseCreateParams
from rtproto.types.rest import ExpiresAfter
from rtproto.types.session import (
    RetentionRatio,
    SessionCreateRequest,
    TokenLimits,
    TranscriptionSessionCreateRequest,
)
from rtproto.types.tools import McpTool
from rtproto.types.translation import TranslationSessionCreateRequest, TranslationTranscription
from rtproto.unknown import Unknown

__all__ = ["Problem", "Rule", "validate"]

Rule: TypeAlias = Literal["unknown", "shape", "role", "blank", "range", "length", "form", "count", "missing"]
"""What kind of rule is broken.

``unknown``: a type or kind that this version does not know there, so that nothing can be said of it;
``shape``: a known type of the wrong shape; ``role``: a part that this role may not hold; ``blank``: no
text in it; ``range``: a number too small or too large; ``length``: text too long; ``form``: text of
another form; ``count``: too many, or none; ``missing``: one field of several is needed.
"""


class Problem(NamedTuple):
    """One thing that the service would refuse."""

    path: str
    """Where, as in ``$.item.content[0]``; ``[...]`` stands for a key that the caller chose."""
    rule: Rule
    """Which kind of rule is broken."""
    message: str
    """What is wrong there, without the value."""

    @property
    def param(self) -> str | None:
        """The path as ``error.param`` has it, as in ``item.content[0]``; ``None``: the event itself."""
        return self.path[2:] or None

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def validate(event: Struct | Unknown, *, most: int | None = None) -> list[Problem]:
    """Every problem of an event, an object's own before those inside it; ``[]``: no rule here is broken.

    ``event`` is an event or any noun, as decoding makes it or as a type checker lets it be constructed; it
    does not look for wrong types as such. Call it on what a client sent before letting it through::

        problems = rtproto.validate(rtproto.decode_client(frame))

    An ``Unknown`` is a problem too, at the top or inside: what is not known cannot be vouched for, and the
    rules do not reach into it. ``most`` ends the search after so many problems; a large frame made to
    break rules may hold a hundred thousand.

    Raises:
        TypeError: it is no Struct of this library and no ``Unknown``, as a frame not yet decoded.
    """
    # A gateway that forgot to decode must not let everything through.
    if not isinstance(event, _NOUN):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"validate takes an event, not {type(event).__name__}")
    return list(islice(_problems(event, "$"), most))


_NOUN = (Struct, Unknown)


def _problems(part: Struct | Unknown, path: str) -> Iterator[Problem]:
    if isinstance(part, Unknown):
        yield _unknown(part, path)
        return
    checks, names = _plan(type(part))
    for check in checks:
        for step, rule, message in check(part):
            yield Problem(path + step, rule, message)
    for name in names:
        for step, inner in _nouns(getattr(part, name)):
            yield from _problems(inner, f"{path}.{name}{step}")


def _unknown(part: Unknown, path: str) -> Problem:
    if part.error is not None:
        below, _, reason = part.error.partition(": ")
        return Problem(path + below[1:], "shape", reason)
    return Problem(path, "unknown", "is none of the kinds known here" if part.type else "has no type")


@cache
def _plan(cls: type[Struct]) -> tuple[tuple["Check", ...], tuple[str, ...]]:
    """The checks of a class and of its bases, and its fields that may hold nouns."""
    checks = (check for base in cls.__mro__ for check in _RULES.get(base, ()))
    fields = (field.name for field in msgspec.structs.fields(cls) if _holds_nouns(field.type))
    return tuple(checks), tuple(fields)


def _holds_nouns(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return True
    return any(map(_holds_nouns, get_args(annotation)))


def _nouns(value: Any) -> Iterable[tuple[str, Struct | Unknown]]:
    """The nouns that a field holds, each with its step."""
    if isinstance(value, list):
        items = cast("list[object]", value)
        return ((f"[{index}]", item) for index, item in enumerate(items) if isinstance(item, _NOUN))
    if isinstance(value, dict):
        values = cast("dict[str, object]", value).values()
        return (("[...]", item) for item in values if isinstance(item, _NOUN))
    return (("", value),) if isinstance(value, _NOUN) else ()


# Checks ---------------------------------------------------------------------------------------

Finding: TypeAlias = tuple[str, Rule, str]
"""The step from the value to the fault, the rule, and the message."""

Check: TypeAlias = Callable[[Any], Iterable[Finding]]
"""Looks at one value."""


def _fields(**checks: Check) -> Check:
    """Check these fields of a Struct, where they are neither absent nor null."""

    def check(struct: Struct) -> Iterator[Finding]:
        for name, check_value in checks.items():
            value = getattr(struct, name)
            if value is not None and value is not UNSET:
                for step, rule, message in check_value(value):
                    yield f".{name}{step}", rule, message

    return check


def _that(kind: type | UnionType, is_right: Callable[[Any], object], rule: Rule, message: str) -> Check:
    """Check that a value is of a kind, and right; a constructor may have let through another kind."""
    finding: Finding = ("", rule, message)
    return lambda value: () if isinstance(value, kind) and is_right(value) else (finding,)


def _between(low: float, high: float) -> Check:
    return _that(
        int | float, lambda value: low <= value <= high, "range", f"must be a number from {low} to {high}"
    )


def _short(most: int) -> Check:
    return _that(
        str, lambda text: len(text) <= most, "length", f"must be text of at most {most:,} characters"
    )


_spoken = _that(str, str.strip, "blank", "must not be blank")
_one_at_most = _that(list, lambda entries: len(entries) <= 1, "count", "must have at most one entry")
_one_at_least = _that(list, bool, "count", "must have at least one entry")
_not_negative = _that(int | float, lambda number: number >= 0, "range", "must be 0 or more")
_tokens = _that(
    int | float | str,
    lambda tokens: tokens == "inf" if isinstance(tokens, str) else 1 <= tokens <= 4096,
    "range",
    'must be a number from 1 to 4096, or "inf"',
)
_tunnel = _that(
    str,
    re.compile("tunnel_[a-z0-9]{32}").fullmatch,
    "form",
    "must be tunnel_ and 32 lower-case letters or digits",
)

_few_pairs = _that(dict, lambda pairs: len(pairs) <= 16, "count", "must be an object of at most 16 pairs")
_short_key = _that(str, lambda key: len(key) <= 64, "length", "must have a key of at most 64 characters")
_short_value = _short(512)


def _metadata(metadata: Any) -> Iterator[Finding]:
    yield from _few_pairs(metadata)
    pairs = cast("dict[object, object]", metadata) if isinstance(metadata, dict) else {}
    for key, value in pairs.items():
        for _, rule, message in (*_short_key(key), *_short_value(value)):
            yield "[...]", rule, message


def _holds(role: str, *kinds: type[Tagged]) -> tuple[tuple[type, ...], str]:
    *others, last = (kind.type for kind in kinds)
    names = f"{', '.join(others)} or {last}" if others else last
    return (*kinds, Unknown), f"must be {names} in a message of role {role}"


_ROLES = {
    "system": _holds("system", SystemPart),
    "user": _holds("user", *get_args(UserPart)),
    "assistant": _holds("assistant", *get_args(AssistantPart)),
}


def _role(message: Message) -> Iterator[Finding]:
    found = _ROLES.get(str(message.role))
    if found is None:
        yield ".role", "role", "must be system, user or assistant"
        return
    kinds, refusal = found
    for step, part in _nouns(message.content):
        if not isinstance(part, kinds):
            yield f".content{step}", "role", refusal


def _server(tool: McpTool) -> Iterator[Finding]:
    if not (tool.server_url or tool.connector_id or tool.tunnel_id):
        yield "", "missing", "needs a server_url, connector_id or tunnel_id"


# Rules ----------------------------------------------------------------------------------------

_MOST_AUDIO = MAX_APPEND_BYTES // 3 * 4  # as base64

_CLIENT_EVENTS = (*get_args(client.ClientEvent), *get_args(translation.ClientEvent))
_event_id = _fields(event_id=_short(512))  # of all but output_audio_buffer.clear, where it says nothing

# A class's rules are its subclasses' too. The source is OpenAI's OpenAPI document where no other is noted.
_RULES: dict[type, tuple[Check, ...]] = {
    **dict.fromkeys(_CLIENT_EVENTS, (_event_id,)),
    client.InputAudioBufferAppend: (_event_id, _fields(audio=_short(_MOST_AUDIO))),
    Message: (_role,),
    # A blank model: the original crate's validator. One modality: the session reference.
    SessionCreateRequest: (
        _fields(model=_spoken, output_modalities=_one_at_most, max_output_tokens=_tokens),
    ),
    ResponseCreateParams: (
        _fields(output_modalities=_one_at_most, max_output_tokens=_tokens, metadata=_metadata),
    ),
    TranscriptionSessionCreateRequest: (_fields(model=_spoken),),
    TranslationSessionCreateRequest: (_fields(model=_spoken),),
    AudioTranscription: (_fields(model=_spoken, languages=_one_at_least),),
    TranslationTranscription: (_fields(model=_spoken),),
    AudioOutput: (_fields(speed=_between(0.25, 1.5)),),
    ServerVad: (_fields(threshold=_between(0, 1), idle_timeout_ms=_between(5000, 30000)),),
    RetentionRatio: (_fields(retention_ratio=_between(0, 1)),),
    TokenLimits: (_fields(post_instructions=_not_negative),),
    McpTool: (_server, _fields(tunnel_id=_tunnel, allowed_callers=_one_at_least)),
    ExpiresAfter: (_fields(seconds=_between(10, 7200)),),
}
