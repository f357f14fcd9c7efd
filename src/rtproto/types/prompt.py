"""A prompt is a template kept by the service, named by id and filled in with variables."""

from typing import TypeAlias

from msgspec import UNSET

from rtproto._struct import Base64, Maybe, Open, Struct, Tagged
from rtproto.types.open_enums import FileDetail, ImageDetail

__all__ = ["Prompt", "PromptCacheBreakpoint", "PromptFile", "PromptImage", "PromptText", "PromptVariable"]


class PromptCacheBreakpoint(Struct, kw_only=True):
    """Everything up to here is worth caching."""

    mode: str
    """``explicit``."""
    ttl: Maybe[str] = UNSET
    """How long: ``30m`` or ``12h``."""


class PromptText(Tagged, kw_only=True, tag="input_text"):
    """A text to fill in."""

    text: str
    """The text."""
    prompt_cache_breakpoint: Maybe[PromptCacheBreakpoint] = UNSET
    """Set to end a cached prefix here."""


class PromptImage(Tagged, kw_only=True, tag="input_image"):
    """An image to fill in, by URL or by file id."""

    detail: Maybe[ImageDetail] = UNSET
    """How closely the model looks; the schema requires it, the original crate does not."""
    image_url: Maybe[Base64] = UNSET
    """A URL or a data URI; null: see ``file_id``."""
    file_id: Maybe[str] = UNSET
    """An uploaded file; null: see ``image_url``."""
    prompt_cache_breakpoint: Maybe[PromptCacheBreakpoint] = UNSET
    """Set to end a cached prefix here."""


class PromptFile(Tagged, kw_only=True, tag="input_file"):
    """A file to fill in, by id, URL or content."""

    file_id: Maybe[str] = UNSET
    """An uploaded file."""
    filename: Maybe[str] = UNSET
    """Its name."""
    file_data: Maybe[Base64] = UNSET
    """Its content, base64."""
    file_url: Maybe[Base64] = UNSET
    """Where it is: a URL or a data URI."""
    detail: Maybe[FileDetail] = UNSET
    """How closely the model looks at its pages."""
    prompt_cache_breakpoint: Maybe[PromptCacheBreakpoint] = UNSET
    """Set to end a cached prefix here."""


PromptVariable: TypeAlias = str | PromptText | PromptImage | PromptFile | Open
"""What a placeholder in a template becomes."""


class Prompt(Struct, kw_only=True):
    """A stored template and what to fill in."""

    id: str
    """Which template."""
    version: Maybe[str] = UNSET
    """Which version; null: the current one."""
    variables: Maybe[dict[str, PromptVariable]] = UNSET
    """What to fill in, by placeholder; null: nothing."""
