"""``rtproto demo`` shows a proxy at work, and exits with 0 only if all that it says of it is so."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from statistics import median
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rtproto import pcm
from rtproto.capture import Direction
from rtproto.cli._serving import need, speed_option
from rtproto.cli._source import console, shown, table
from rtproto.cli.tally import SIDES

if TYPE_CHECKING:
    from rtproto.cli._demo_session import Held
    from rtproto.services.proxy import Snapshot

__all__ = ["demo"]

_ARROWS = {"client": "client →", "server": "← service"}
_DRAWING_SECONDS = 0.1
_WIDEST = 96  # columns; more would only pull the numbers away from the names
_LABEL = 11
_SPOKEN_LINES = 5
_HEAD_AND_FOOT = 6  # lines of a table beside its rows, and an empty one after it
_SHORTEST_TABLE = 3
_TOKENS = (
    "{input_text:,} text in, {input_audio:,} audio in ({cached_tokens:,} cached), "
    "{output_text:,} text out, {output_audio:,} audio out"
)
_NEXT = """\
Next:  python3 -m rtproto proxy --upstream fake:    this, for a client of yours
       python3 -m rtproto fanout --upstream fake:   many listeners, and a page
       python3 -m rtproto proxy --help              before a real service
       README.md                                    what else there is"""


@click.command(short_help="Watch a voice session go through the proxy; it takes no key and no network.")
@speed_option("1: as fast as it is spoken, 2: twice as fast, inf: as fast as it is read.")
@click.pass_context
def demo(context: click.Context, *, speed: float) -> None:
    """Hold a voice session through the proxy: two spoken turns and a tool call, in about seven seconds.

    A client, the proxy and a fake service talk over real sockets, all on this machine, and three more listen;
    one of these does not read. A terminal shows what passes; in the end you are told what was relayed,
    whether every byte of it arrived, and what each listener got.

    Exit status 1 if anything is not as it should be.
    """
    need("rtproto.services.proxy", "services")
    from rtproto.cli import _demo_session as session  # noqa: PLC0415 - it needs the extra

    out = _unbroken(console())
    try:
        fake = session.service(speed)
    except ValueError as wrong:
        raise click.ClickException(str(wrong)) from None
    try:
        with _View(out) as view:
            held = session.hold(fake, speed=speed, on_news=view.refresh)
    except OSError as refusal:
        raise click.ClickException(f"cannot listen: {refusal.strerror or refusal}") from None
    except session.Ended as end:
        raise click.ClickException(f"the session broke off: {end}") from None
    _sum_up(held, out)
    for problem in held.problems:
        click.echo(f"Error: {problem}", err=True)
    context.exit(1 if held.problems else 0)


# While it runs --------------------------------------------------------------------------------


class _View:
    """Draws the session on a terminal, ten times a second at most; elsewhere, nothing."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._live = Live(console=out, auto_refresh=False, transient=True) if _is_screen(out) else None
        self._due = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def refresh(self, held: "Held") -> None:
        """There is news."""
        now = perf_counter()
        if self._live and now >= self._due:
            self._due = now + _DRAWING_SECONDS
            self._live.update(_picture(held, self._out), refresh=True)


def _is_screen(out: Console) -> bool:
    return out.is_interactive and out.file.isatty()  # rich takes a pipe for a terminal if CI asks for colours


def _unbroken(out: Console) -> Console:
    """Under ``python -u`` a terminal may take half of what is written, and the rest is lost; not here."""
    stdout = sys.stdout
    if _is_screen(out) and isinstance(stdout, TextIOWrapper):
        out.file = open(stdout.fileno(), "w", encoding=stdout.encoding, errors=stdout.errors, closefd=False)  # noqa: SIM115 - it stays
    return out


def _picture(held: "Held", out: Console) -> Group:
    spoken, facts = [*_spoken(held)], [*_facts(held)]
    room = out.height - 1 - len(spoken) - 1 - len(facts)
    return Group(_events(held.counts.snapshot(), out, room), Text(), *spoken, Text(), *facts)


def _spoken(held: "Held") -> Iterator[Text]:
    """What is said, by the demo's own script; always as many lines, so that nothing jumps."""
    lines = [*held.caller.spoken.values()][-_SPOKEN_LINES:]
    for who, text in lines + [("", "")] * (_SPOKEN_LINES - len(lines)):
        yield _line(who, text)


def _line(label: str, text: str) -> Text:
    line = Text.assemble((label.ljust(_LABEL), "cyan"), shown(text))
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _events(counts: "Snapshot", out: Console, room: int) -> Table:
    """What passed, the most frequent first: as many types as there is room for, and the rest in one row."""
    rows = [
        _Row(frames, counts.bytes[side][name], side, name)
        for side in SIDES
        for name, frames in counts.frames.get(side, {}).items()
    ]
    rows.sort(key=lambda row: -row.frames)
    most = max(room - _HEAD_AND_FOOT, _SHORTEST_TABLE)
    most = len(rows) if len(rows) <= most else most - 1
    drawn = table("client → proxy → service, over real sockets")
    drawn.width, drawn.show_footer = min(out.width, _WIDEST), True
    drawn.show_edge, drawn.padding = False, (0, 1, 0, 0)
    drawn.add_column("from", min_width=max(map(len, _ARROWS.values())))
    drawn.add_column("type", f"{len(rows)} types", no_wrap=True, overflow="ellipsis", ratio=1)
    for name, total in zip(("frames", "bytes"), _sums(rows), strict=True):
        drawn.add_column(name, total, justify="right", no_wrap=True, min_width=7)
    for row in rows[:most]:
        drawn.add_row(_ARROWS[row.side], row.type, *_sums([row]))
    if rest := rows[most:]:
        drawn.add_row("", f"… {len(rest)} more types", *_sums(rest), style="dim")
    return drawn


class _Row(NamedTuple):
    frames: int
    bytes: int
    side: Direction
    type: str


def _sums(rows: Sequence[_Row]) -> tuple[str, str]:
    return f"{sum(row.frames for row in rows):,}", f"{sum(row.bytes for row in rows):,}"


# What there is to tell ------------------------------------------------------------------------


def _facts(held: "Held") -> Iterator[Text]:
    """What is measured, while it runs and in the end."""
    counts, audio = held.counts.snapshot(), held.caller.tally.audio_seconds
    sizes = {side: sum(counts.bytes.get(side, {}).values()) for side in SIDES}
    looked, added = (1e6 * median(times) for times in zip(*held.times or [(0, 0)], strict=True))
    busy = f"{1e6 * held.busy:.1f} µs if busy, " if held.busy else ""
    yield _line("time", f"a frame in rtproto: {busy}{looked:.0f} µs at this pace; {added:.0f} till sent")
    yield _line("bytes", f"{sizes['client']:,} from the client, {sizes['server']:,} from the service")
    yield _line(
        "audio", f"{audio['client']:.1f} s heard from the client, {audio['server']:.1f} s spoken to it"
    )
    yield _line("tokens", _TOKENS.format_map(Counter(counts.tokens)))


def _listeners(held: "Held") -> Iterator[Text]:
    """What each of them got, when it is over."""
    frames, samples, stalled = held.ears
    seconds = pcm.milliseconds(samples.samples) / 1000
    control = len(stalled.frames) - len(stalled.audio)
    frames_got = f"one got {len(frames.frames):,} frames, one {seconds:.1f} s of sound"
    yield _line("listeners", f"{frames_got}; one that did not read")
    lost = f"{stalled.dropped:,} audio deltas, {stalled.dropped_seconds:.1f} s"
    yield _line("", f"{control:,} events, and was told that it lost {lost}")


def _sum_up(held: "Held", out: Console) -> None:
    total = held.caller.tally.total
    typed = "all typed" if total.typed == total.frames else f"{total.typed:,} of them typed"
    same, sent = held.arrived["server"]
    same_up, sent_up = held.arrived["client"]
    lines = (
        Text.assemble((f"{total.frames:,} frames, {typed}", "bold"), ": two spoken turns and a tool call."),
        _line("unchanged", f"{same:,} of {sent:,} frames that the client heard are, byte for byte,"),
        _line("", f"what the service sent; the other way, {same_up:,} of {sent_up:,}"),
        *_facts(held),
        *_listeners(held),
        Text(),
        *map(Text, _NEXT.splitlines()),
    )
    if _is_screen(out):
        out.print(_events(held.counts.snapshot(), out, out.height - 1 - len(lines)))
        out.print()
    for line in lines:
        out.print(line, soft_wrap=True)
