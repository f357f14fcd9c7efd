"""``rtproto check`` finds what the model does not hold: it decodes, encodes and compares every frame."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from rtproto._drift import drift
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
    for path, problem in drift(frame.event, frame.record.raw):
        yield Drift(frame.direction, frame.event.type, _INDEX.sub("[]", path), problem)


_INDEX = re.compile(r"\[\d+\]")


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
