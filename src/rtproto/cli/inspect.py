"""``rtproto inspect`` shows the tally of a capture."""

from collections.abc import Iterator
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from rtproto.cli._source import (
    Surface,
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
from rtproto.cli.tally import KINDS, SIDES, Row, Tally

__all__ = ["inspect"]

_TOKEN_ROWS = {
    "input": ("input_tokens", "input_token_details.{}_tokens"),
    "of it cached": (
        "input_token_details.cached_tokens",
        "input_token_details.cached_tokens_details.{}_tokens",
    ),
    "output": ("output_tokens", "output_token_details.{}_tokens"),
}
_MODALITIES = ("text", "audio", "image", "reasoning")


def _read_as(row: Row) -> str:
    """``typed``, or the shares where the frames of a type differ."""
    counts = {kind: getattr(row, kind) for kind in KINDS if getattr(row, kind)}
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{100 * count / row.frames:.1f} % {kind}" for kind, count in counts.items())


def _events_table(tally: Tally) -> Table:
    total = tally.total
    events = table("Events")
    events.show_footer = True
    events.add_column("from")
    events.add_column("type", f"{len(tally.rows)} types", overflow="fold")
    events.add_column("frames", f"{total.frames:,}", justify="right", no_wrap=True)
    events.add_column("bytes", f"{total.bytes:,}", justify="right", no_wrap=True)
    events.add_column("read as")
    for (direction, name), row in sorted(tally.rows.items()):
        style = "red" if row.malformed else "yellow" if row.unknown else None
        counts = (f"{row.frames:,}", f"{row.bytes:,}")
        events.add_row(direction, shown(name), *counts, _read_as(row), style=style)
    return events


def _tokens_table(tally: Tally) -> Table:
    tokens = table("Usage, summed over response.done")
    tokens.add_column("tokens")
    for name in (*_MODALITIES, "total"):
        tokens.add_column(name, justify="right", no_wrap=True)
    for label, (total, detail) in _TOKEN_ROWS.items():
        cells = [tally.tokens[detail.format(modality)] for modality in _MODALITIES]
        tokens.add_row(label, *(f"{count:,}" if count else "·" for count in (*cells, tally.tokens[total])))
    return tokens


def _summary(tally: Tally) -> Iterator[Text]:
    total = tally.total
    shares = (f"{100 * getattr(total, kind) / max(total.frames, 1):.1f} % {kind}" for kind in KINDS)
    yield Text.assemble((f"{total.frames:,} frames, {total.bytes:,} bytes", "bold"), ": ", ", ".join(shares))
    if tally.duration is not None:
        yield Text(f"Duration: {tally.duration:,.1f} s")
    yield Text("Audio: " + ", ".join(f"{tally.audio_seconds[side]:,.1f} s from the {side}" for side in SIDES))
    if tally.responses_begun or tally.responses_ended:
        ended = (f", {count:,} {shown(status)}" for status, count in tally.responses_ended.most_common())
        yield Text(f"Responses: {tally.responses_begun:,} begun" + "".join(ended))
    for (name, code), count in tally.errors.most_common():
        yield Text.assemble(
            ("Error", "red"), ": ", shown(f"{name} ({code})" if code else name), f" × {count:,}"
        )


def _problems(tally: Tally) -> Iterator[Text]:
    for problem in tally.problems:
        yield Text(told(problem))
    if tally.skipped > len(tally.problems):
        yield Text(f"… and {tally.skipped - len(tally.problems):,} more lines skipped")


def _show(tally: Tally) -> None:
    out, err = console(), console(stderr=True)
    out.print(_events_table(tally))
    if tally.tokens:
        out.print(_tokens_table(tally))
    for line in _summary(tally):
        out.print(line, soft_wrap=True)
    for line in _problems(tally):
        err.print(line, soft_wrap=True)


@click.command()
@capture_argument
@surface_option
@json_option
def inspect(capture: Path, surface: Surface, as_json: bool) -> None:
    """Count what is in CAPTURE: events by direction and type, audio, tokens, errors.

    CAPTURE is a file of JSON lines, plain or gzipped, or - for standard input. A line is a raw frame or
    a record {"direction": …, "timestamp": …, "raw": …}. A line that holds no event is reported and skipped.
    """
    tally = Tally()
    for frame in frames(capture, surface):
        tally.add(frame)
    if as_json:
        print_json(tally.as_dict())
    else:
        _show(tally)
