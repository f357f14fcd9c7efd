"""``rtproto fake`` runs the fake server until it is told to stop."""

import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rtproto.cli._serving import Address, address, need, run, speed_option, told_to_stop, until

if TYPE_CHECKING:
    from rtproto.testing import Fault, Script

__all__ = ["fake"]

F = TypeVar("F", bound=Callable[..., Any])

_HUGE = 2**20


def _fault(name: str, *, help: str, **kind: Any) -> Callable[[F], F]:
    """An option that asks for a fault."""
    return click.option(name, help=f"Fault: {help}", **kind)


@click.command(short_help="Run a fake Realtime service that answers by script.")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    callback=address,
    default="127.0.0.1:8765",
    show_default=True,
    help="Where. Port 0 is any free one.",
)
@click.option(
    "--reply", "replies", metavar="TEXT", multiple=True, help="What is answered; again: the next reply."
)
@click.option(
    "--script",
    "source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What is answered: a capture, or a Python file that defines SCRIPT and, if it likes, FAULTS.",
)
@click.option(
    "--transcript",
    "transcripts",
    metavar="TEXT",
    multiple=True,
    help="What is heard in the user's audio; again: in the next turn.",
)
@speed_option("1: as fast as it is spoken, 2: twice as fast, inf: as fast as it is read.")
@click.option(
    "--keys",
    type=click.File(errors="replace"),
    help="A file with the API keys that are let in, one a line; without it any key is.",
)
@_fault("--delay", metavar="MS", type=click.FloatRange(0), default=0.0, help="Frames come so late.")
@_fault("--jitter", metavar="MS", type=click.FloatRange(0), default=0.0, help="And up to so much later.")
@_fault("--fragment", metavar="BYTES", type=click.IntRange(1), help="Messages come in fragments.")
@_fault("--insert", type=click.Choice(["unknown", "malformed", "huge"]), help="Such a frame comes.")
@_fault("--drop", is_flag=True, help="The connection breaks off.")
@_fault("--close", metavar="CODE", type=click.IntRange(1000, 4999), help="The server closes.")
@_fault("--half-open", is_flag=True, help="The server falls silent for ever.")
@click.option(
    "--after",
    metavar="TYPE",
    default=".delta",
    show_default=True,
    help="When these four come: after the first event whose type ends so.",
)
@click.option(
    "--connections",
    metavar="NUMBER",
    type=click.IntRange(1),
    help="These four come on the first so many connections only.",
)
def fake(*, listen: Address, source: Path | None, **options: Any) -> None:
    """Run a fake Realtime service: GA conversations, transcription and translation, answered by script.

    It answers at ws://HOST:PORT/v1/realtime, lets in any API key, and tells GET /healthz that it is well.
    It stops at SIGINT and SIGTERM.
    """
    need("rtproto.testing")
    script, faults = _script(source, options["replies"], options["transcripts"])
    keys = None if options["keys"] is None else options["keys"].read().split()
    try:
        faults = [*faults, *_faults(options)]
    except ValueError as wrong:
        raise click.UsageError(str(wrong)) from None
    run(_serve(listen, script=script, faults=faults, speed=options["speed"], keys=keys))


def _script(
    source: Path | None, replies: tuple[str, ...], transcripts: tuple[str, ...]
) -> "tuple[Script, list[Fault]]":
    from rtproto.testing import Script  # noqa: PLC0415 - it needs the extra

    if source is None:
        return Script(*replies, transcripts=transcripts), []
    if replies or transcripts:
        raise click.UsageError("--script says it all: without --reply and --transcript")
    if source.suffix == ".py":
        return _defined(source)
    try:
        return Script.from_capture(source), []
    except ValueError as wrong:
        raise click.ClickException(f"{source.name}: {wrong}") from None


def _defined(source: Path) -> "tuple[Script, list[Fault]]":
    from rtproto.testing import Fault, Script  # noqa: PLC0415 - as above

    sys.path.insert(0, str(source.parent.resolve()))  # as python itself does: for modules beside it
    try:
        names = runpy.run_path(str(source))
    except Exception as wrong:  # noqa: BLE001 - whatever it is, it is the file's
        lines = [at.lineno for at in extract_tb(wrong.__traceback__) if at.filename == str(source)]
        where = f"{source.name}, line {lines[-1]}" if lines else source.name
        raise click.ClickException(f"{where}: {type(wrong).__name__}: {wrong}") from None
    script = names.get("SCRIPT")
    faults: Sequence[Any] = names.get("FAULTS", ())
    if not isinstance(script, Script):
        raise click.ClickException(f"{source.name} defines no SCRIPT = rtproto.testing.Script(…)")
    if not (isinstance(faults, list | tuple) and all(isinstance(fault, Fault) for fault in faults)):
        raise click.ClickException(f"{source.name}: FAULTS is a list of faults of rtproto.testing")
    return script, [*faults]


def _faults(options: dict[str, Any]) -> "Iterator[Fault]":
    from rtproto import testing  # noqa: PLC0415 - as above

    where = {"after": options["after"], "connections": options["connections"]}
    if options["delay"] or options["jitter"]:
        yield testing.Delay(options["delay"], options["jitter"])
    if options["fragment"]:
        yield testing.Fragment(options["fragment"])
    if options["insert"]:
        made = {"unknown": testing.unknown(), "malformed": testing.malformed(), "huge": testing.huge(_HUGE)}
        yield testing.Insert(made[options["insert"]], **where)
    if options["close"]:
        yield testing.Close(options["close"], **where)
    if options["half_open"]:
        yield testing.HalfOpen(**where)
    if options["drop"]:
        yield testing.Drop(**where)


async def _serve(listen: Address, **options: Any) -> None:
    from rtproto.testing import FakeRealtimeServer  # noqa: PLC0415 - as above

    stop = told_to_stop()
    host, port = listen
    try:
        server = FakeRealtimeServer(host=host, port=port, record=False, **options)
    except ValueError as wrong:
        raise click.ClickException(str(wrong)) from None
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(server)
        except (OSError, UnicodeError) as refusal:  # an address that cannot be had, a name that is none
            raise click.ClickException(f"cannot listen: {_why(refusal)}") from None
        click.echo(f"listening on {server.url}\nbase URL for the OpenAI SDK: {server.base_url}")
        await until(stop)


def _why(refusal: OSError | UnicodeError) -> str:
    return str(getattr(refusal, "strerror", None) or refusal)
