"""``rtproto check`` finds what the model does not hold: it decodes, encodes and compares every frame."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import click
import msgspec

from rtproto.capture import Direction, Skipped
from rtproto.cli._source import (
    Line,
    Surface,
    bounded,
    capture_argument,
    console,
    frames,
    json_option,
    print_json,
    shown,
    surface_option,
    table,
    told,
)
from rtproto.codec import encode
from rtproto.unknown import Unknown

__all__ = ["Drift", "check", "drifts"]


class Drift(NamedTuple):
    """A place where the wire and the model differ."""

    direction: Direction
    type: str
    """The event's wire name."""
    path: str
    """Where in it, ``[]`` standing for any index."""
    problem: str
    """What differs, without the values."""


def drifts(frame: Line) -> Iterator[Drift]:
    """Where the model and this frame differ."""
    for path, problem in _problems(frame.event, frame.record.raw):
        yield Drift(frame.direction, frame.event.type, path, problem)


def _problems(event: Any, raw: bytes) -> Iterator[tuple[str, str]]:
    if isinstance(event, Unknown):
        path, _, reason = (event.error or "$.type: unknown event").partition(": ")
        yield re.sub(r"\[\d+\]", "[]", path), reason
        return
    yield from _unknown_kinds(event, "$")
    try:
        found = list(_differences(_json(raw), _json(encode(event)), "$"))
    except RecursionError:
        found = [("$", "nested too deeply to compare")]
    yield from found


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
        for item in value:
            yield from _unknown_kinds(item, f"{path}[]")
    elif _is_dict(value):
        for item in value.values():
            yield from _unknown_kinds(item, f"{path}[]")


def _differences(wire: Any, model: Any, path: str) -> Iterator[tuple[str, str]]:
    if _is_dict(wire) and _is_dict(model):
        for name in wire.keys() | model.keys():
            yield from _member(wire, model, name, f"{path}.{name}")
    elif _is_list(wire) and _is_list(model) and len(wire) == len(model):
        for wire_item, model_item in zip(wire, model, strict=True):
            yield from _differences(wire_item, model_item, f"{path}[]")
    elif wire != model or type(wire) is not type(model):
        yield path, "changed"


def _member(wire: dict[str, Any], model: dict[str, Any], name: str, path: str) -> Iterator[tuple[str, str]]:
    if name not in model:
        yield path, "not modelled"
    elif name not in wire:
        yield path, "invented"
    else:
        yield from _differences(wire[name], model[name], path)


def _is_dict(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


@click.command()
@capture_argument
@surface_option
@json_option
@click.pass_context
def check(context: click.Context, capture: Path, surface: Surface, as_json: bool) -> None:
    """Find what this version does not model in CAPTURE, or changes: spec drift.

    Decodes and encodes every frame and compares; prints every path that differs. Exit status 1 if any does.
    """
    found: Counter[Drift] = Counter()
    read = skipped = 0
    for frame in frames(capture, surface):
        if isinstance(frame, Skipped):
            skipped += 1
            click.echo(told(frame), err=True)
        else:
            read += 1
            found.update({bounded(found, drift, _MORE) for drift in drifts(frame)})
    if skipped and not read:
        raise click.ClickException("no line of it holds a frame")
    _print_json(found, read) if as_json else _print_table(found, read)
    context.exit(1 if found else 0)


_MORE = Drift("server", "…", "…", "more, on either side, than can be listed")


def _print_json(found: Counter[Drift], frames_read: int) -> None:
    drift = [{**place._asdict(), "frames": count} for place, count in sorted(found.items())]
    print_json({"frames": frames_read, "drift": drift})


def _print_table(found: Counter[Drift], frames_read: int) -> None:
    out = console()
    if not found:
        out.print(f"{frames_read:,} frames: all modelled, none changed")
        return
    rows = table(f"Drift in {frames_read:,} frames")
    for header in ("from", "type", "path", "problem"):
        rows.add_column(header, overflow="fold")
    rows.add_column("frames", justify="right", no_wrap=True)
    for place, count in sorted(found.items()):
        rows.add_row(*map(shown, place), f"{count:,}")
    out.print(rows)
