"""Where the wire has any string, the service takes only the words that it knows; the fake does too."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from rtproto.types.tools import FunctionTool

__all__ = ["Wrong", "wrong_words"]

# By field. Models, voices and whatever else is added without notice is not here. OpenAI's OpenAPI document.
_WORDS = {
    "output_modalities": ("text", "audio"),
    "tool_choice": ("none", "auto", "required"),
    "truncation": ("auto", "disabled"),
    "tracing": ("auto",),
    "effort": ("none", "minimal", "low", "medium", "high", "xhigh"),
    "eagerness": ("low", "medium", "high", "auto"),
    "status": ("completed", "incomplete", "in_progress"),
    "detail": ("auto", "low", "high", "original"),
}


class Wrong(NamedTuple):
    """A word that the service does not know, or one that it misses."""

    param: str
    """Where, as in ``session.output_modalities[0]``."""
    words: tuple[str, ...]
    """What it takes there; none: any, but there is none."""


def wrong_words(struct: msgspec.Struct) -> Iterator[Wrong]:
    """Every wrong word of an event; what nobody looks into, as a tool's schema, is left alone."""
    for name in struct.__struct_fields__:
        for step, value in _entries(getattr(struct, name)):
            yield from _wrong(name, name + step, value)
    if isinstance(struct, FunctionTool) and not struct.name:
        yield Wrong("name", ())


def _wrong(name: str, path: str, value: Any) -> Iterator[Wrong]:
    words = _WORDS.get(name, ())
    if isinstance(value, str) and words and value not in words:
        yield Wrong(path, words)
    if isinstance(value, msgspec.Struct):
        yield from (Wrong(f"{path}.{wrong.param}", wrong.words) for wrong in wrong_words(value))


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """A value, or each of a list's."""
    if isinstance(value, list):
        yield from ((f"[{index}]", entry) for index, entry in enumerate(value))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    else:
        yield "", value
