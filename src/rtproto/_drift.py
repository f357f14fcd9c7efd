"""Where a frame and its event differ is told by paths, and never by values."""

import json
from collections.abc import Iterator
from typing import Any, TypeGuard

import msgspec

from rtproto._struct import Struct
from rtproto.codec import encode
from rtproto.unknown import Unknown

__all__ = ["NOT_MODELLED", "drift"]

NOT_MODELLED = "not modelled"


def drift(event: Struct | Unknown, raw: bytes) -> list[tuple[str, str]]:
    """Every path, as ``$.item.content[0].text``, where the event does not hold what its frame does."""
    if isinstance(event, Unknown):
        path, _, reason = (event.error or "$.type: unknown event").partition(": ")
        return [(path, reason)]
    try:
        return [*_unknown_kinds(event, "$"), *_differences(_json(raw), _json(encode(event)), "$")]
    except RecursionError:
        return [("$", "nested too deeply to compare")]


def _json(raw: bytes) -> Any:
    """As Python objects; invalid UTF-8 and endless digits, which no model reads, are no matter."""
    return json.loads(raw.decode(errors="replace"), parse_int=_integer)


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) < _MOST_DIGITS else digits


_MOST_DIGITS = 4000  # Python turns no longer text into an int.


def _unknown_kinds(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Unknown):
        yield path, f"unknown kind {value.type!r}" if value.type else "an object without a type"
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _unknown_kinds(getattr(value, name), f"{path}.{name}")
    elif _is_list(value):
        for index, item in enumerate(value):
            yield from _unknown_kinds(item, f"{path}[{index}]")
    elif _is_dict(value):
        for item in value.values():
            yield from _unknown_kinds(item, f"{path}[]")


def _differences(wire: Any, model: Any, path: str) -> Iterator[tuple[str, str]]:
    if _is_dict(wire) and _is_dict(model):
        for name in {**wire, **model}:
            yield from _member(wire, model, name, f"{path}.{name}")
    elif _is_list(wire) and _is_list(model) and len(wire) == len(model):
        for index, (wire_item, model_item) in enumerate(zip(wire, model, strict=True)):
            yield from _differences(wire_item, model_item, f"{path}[{index}]")
    elif wire != model or type(wire) is not type(model):
        yield path, "changed"


def _member(wire: dict[str, Any], model: dict[str, Any], name: str, path: str) -> Iterator[tuple[str, str]]:
    if name not in model:
        yield path, NOT_MODELLED
    elif name not in wire:
        yield path, "invented"
    else:
        yield from _differences(wire[name], model[name], path)


def _is_dict(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
