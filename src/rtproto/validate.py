"""What the service would refuse beyond the wire's shape is said when asked for, and never imposed.

No constructor and no decoder calls this. The rules are OpenAI's, in one table at the end, with their
sources. Other vendors take more, and some take less.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from types import UnionType
from typing import Any, Literal, NamedTuple, TypeAlias, cast, get_args

from msgspec import UNSET

from rtproto._struct import Struct, Tagged
from rtproto.events import client, translation
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

Rule: TypeAlias = Literal["unknown", "shape", "role", "blank", "range", "length", "count", "missing"]
"""What kind of rule is broken.

``unknown``: a type or kind that this version does not know, so that nothing can be said of it; ``shape``:
a known type of the wrong shape; ``role``: a part that this role may not hold; ``blank``: no text in it;
``range``: a number too small or too large; ``length``: text too long, or of another form; ``count``: too
many, or none; ``missing``: one field of several is needed.
"""


class Problem(NamedTuple):
    """One thing that the service would refuse."""

    path: str
    """Where, as in ``$.item.content[0]``; ``[...]`` stands for a key that the caller chose."""
    rule: Rule
    """Which kind of rule is broken."""
    message: str
    """What is wrong there, without the value."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def validate(event: Struct | Unknown) -> list[Problem]:
    """Every problem of an event, in the order of its fields; ``[]``: the rules here have nothing against it.

    ``event`` is an event or any noun, as decoding makes it or as a type checker lets it be constructed:
    the types of fields are not looked at again. Call it on what a client sent before letting it through::

        problems = rtproto.validate(rtproto.decode_client(frame))

    An ``Unknown`` is a problem too, at the top or inside: what is not known cannot be vouched for. To let
    such pass, leave out those whose ``rule`` is ``"unknown"``.
    """
    return [
        problem._replace(path=path + problem.path)
        for path, part in _parts(event, "$")
        for check in _RULES.get(type(part), ())
        for problem in check(part)
    ]


def _parts(part: object, path: str) -> Iterator[tuple[str, object]]:
    """A noun, and every noun and Unknown in it, each with its path."""
    yield path, part
    for name in getattr(part, "__struct_fields__", ()):
        for step, inner in _nouns(getattr(part, name)):
            yield from _parts(inner, f"{path}.{name}{step}")


def _nouns(value: Any) -> Iterable[tuple[str, object]]:
    """The nouns and Unknowns that a field holds, each with its step; JSON of the caller's own holds none."""
    if isinstance(value, list):
        return ((f"[{index}]", item) for index, item in enumerate(value) if isinstance(item, _NOUN))  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
    if isinstance(value, dict):
        return (("[...]", item) for item in value.values() if isinstance(item, _NOUN))  # pyright: ignore[reportUnknownVariableType]
    return (("", value),) if isinstance(value, _NOUN) else ()


_NOUN = (Struct, Unknown)


# Checks ---------------------------------------------------------------------------------------

Check: TypeAlias = Callable[[Any], Iterable[Problem]]
"""Looks at one value; the paths it gives begin there."""


def _fields(**checks: Check) -> Check:
    """Check these fields of a Struct, where they are neither absent nor null."""

    def check(struct: Struct) -> Iterator[Problem]:
        for name, check_value in checks.items():
            value = getattr(struct, name, None)
            if value is not None and value is not UNSET:
                for problem in check_value(value):
                    yield problem._replace(path=f".{name}{problem.path}")

    return check


def _that(kind: type | UnionType, is_right: Callable[[Any], object], rule: Rule, message: str) -> Check:
    return lambda value: () if isinstance(value, kind) and is_right(value) else (Problem("", rule, message),)


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
    str, re.compile("tunnel_[a-z0-9]{32}").fullmatch, "length", "must be tunnel_ and 32 letters or digits"
)

_few_pairs = _that(dict, lambda pairs: len(pairs) <= 16, "count", "must be an object of at most 16 pairs")
_short_key = _that(str, lambda key: len(key) <= 64, "length", "must have a key of at most 64 characters")
_short_value = _short(512)


def _metadata(metadata: Any) -> Iterator[Problem]:
    yield from _few_pairs(metadata)
    pairs = cast("dict[object, object]", metadata) if isinstance(metadata, dict) else {}
    for key, value in pairs.items():
        for problem in (*_short_key(key), *_short_value(value)):
            yield problem._replace(path="[...]")


_ROLES: dict[str, tuple[type[Tagged], ...]] = {
    "system": (SystemPart,),
    "user": get_args(UserPart),
    "assistant": get_args(AssistantPart),
}


def _role(message: Message) -> Iterator[Problem]:
    kinds = _ROLES.get(str(message.role))
    if kinds is None:
        yield Problem(".role", "role", f"must be one of {', '.join(_ROLES)}")
        return
    names = ", ".join(kind.type for kind in kinds)
    for step, part in _nouns(message.content):
        if not isinstance(part, (*kinds, Unknown)):
            yield Problem(f".content{step}", "role", f"must be one of {names} in a message of this role")


def _server(tool: McpTool) -> Iterator[Problem]:
    if not (tool.server_url or tool.connector_id or tool.tunnel_id):
        yield Problem("", "missing", "needs a server_url, connector_id or tunnel_id")


def _unknown(unknown: Unknown) -> Iterator[Problem]:
    if unknown.error is None:
        yield Problem("", "unknown", "is of a kind that this version does not know")
    else:
        path, _, reason = unknown.error.partition(": ")
        yield Problem(path.removeprefix("$"), "shape", reason)


# Rules ----------------------------------------------------------------------------------------

_MOST_AUDIO = 15 * 2**20 // 3 * 4  # 15 MiB, in base64

_CLIENT_EVENTS = (*get_args(client.ClientEvent), *get_args(translation.ClientEvent))
_event_id = _fields(event_id=_short(512))

# The source is OpenAI's OpenAPI document where no other is noted.
_RULES: dict[type, tuple[Check, ...]] = {
    Unknown: (_unknown,),
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
