"""``rtproto replay`` plays one side of a capture to whoever is at the other end, and tells what is missed."""

import asyncio
import os
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtproto._shown import shown as shortened
from rtproto.capture import Direction, Record, Skipped, open_capture, read
from rtproto.cli._serving import Address, address, need, run, speed_option, told_to_stop, until
from rtproto.cli._source import capture_argument, shown, told

if TYPE_CHECKING:
    from rtproto.testing.replay import Outcome

__all__ = ["replay"]

_KEY = "OPENAI_API_KEY"


@click.command(short_help="Play one side of a capture to whoever is at the other end.")
@capture_argument
@click.option(
    "--listen",
    metavar="HOST:PORT",
    callback=address,
    help="Play the server's side to each client that comes. Port 0 is any free one.",
)
@click.option("--connect", metavar="URL", help="Play the client's side to a server, ws:// or wss://.")
@speed_option("1: as recorded, 2: twice as fast, inf: as fast as the other end reads.")
@click.option(
    "--patience",
    type=click.FloatRange(0),
    metavar="SECONDS",
    default=10.0,
    show_default=True,
    help="For how long to wait for what does not come.",
)
@click.option("--once", is_flag=True, help="With --listen: stop after the first connection.")
@click.pass_context
def replay(  # noqa: PLR0913 - one for each option
    context: click.Context,
    *,
    capture: Path,
    listen: Address | None,
    connect: str | None,
    speed: float,
    patience: float,
    once: bool,
) -> None:
    """Play one side of CAPTURE: the server's to each client that comes, or the client's to a server.

    Both take turns as they did in CAPTURE: a frame goes out when what came before it has come. Frames are
    sent byte for byte. With --connect, the key in the environment variable OPENAI_API_KEY goes along.

    Exit status 1 if something was missed, or the other end closed early; of --listen, with --once only.
    """
    if (listen is None) == (connect is None):
        raise click.UsageError("either --listen or --connect is needed")
    if once and not listen:
        raise click.UsageError("--once goes with --listen")
    side: Direction = "server" if listen else "client"
    need("rtproto.testing.replay")
    records = _records(capture)
    _check(records, side, speed, patience)
    if listen:
        work = _listen(records, *listen, speed=speed, patience=patience, is_once=once)
    else:
        work = _connect(records, connect or "", speed=speed, patience=patience)
    context.exit(0 if run(work) else 1)


def _records(path: Path) -> list[Record]:
    if str(path) == "-" and sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise click.UsageError("standard input is closed")
    found: list[Record] = []
    with click.open_file(str(path), "rb") as file:
        for line in read(open_capture(file)):
            if isinstance(line, Skipped):
                click.echo(told(line), err=True)
            else:
                found.append(line)
    return found


def _check(records: list[Record], side: Direction, speed: float, patience: float) -> None:
    """What is wrong with a replay is told before anybody is there."""
    from rtproto.testing.replay import Replay  # noqa: PLC0415 - no other command needs it

    try:
        Replay(records, side, speed=speed, patience=patience)
    except ValueError as wrong:
        raise click.ClickException(str(wrong)) from None


async def _listen(  # noqa: PLR0913 - as above
    records: list[Record], host: str, port: int, *, speed: float, patience: float, is_once: bool
) -> bool:
    """Whether all went well; what goes wrong counts if there is to be one connection only."""
    from rtproto.testing.replay import serve  # noqa: PLC0415 - as above

    stop = told_to_stop()
    counted: list[Outcome] = []

    def tell(outcome: "Outcome") -> None:
        click.echo(_summary(outcome), err=True)
        if is_once and not stop.is_set():
            counted.append(outcome)
            stop.set()

    async with AsyncExitStack() as stack:
        serving = serve(records, host, port, speed=speed, patience=patience, told=tell)
        try:
            server = await stack.enter_async_context(serving)
        except (OSError, UnicodeError) as refusal:  # an address that cannot be had, a name that is none
            why = getattr(refusal, "strerror", None) or refusal
            raise click.ClickException(f"cannot listen: {why}") from None
        click.echo(f"replaying on {server.url}")
        await until(stop)
    return all(outcome.is_good for outcome in counted)


async def _connect(records: list[Record], url: str, *, speed: float, patience: float) -> bool:
    """Whether all went well."""
    from rtproto.testing.replay import play  # noqa: PLC0415 - as above

    asyncio.get_running_loop().set_exception_handler(_pass_over)
    headers = _headers()
    try:
        outcome = await play(records, url, headers=headers, speed=speed, patience=patience)
    except ConnectionError as refusal:
        is_keyless = not headers and str(refusal).startswith("HTTP 401")
        hint = f" (there is no {_KEY} in the environment)" if is_keyless else ""
        raise click.ClickException(f"cannot connect: {refusal}{hint}") from None
    click.echo(_summary(outcome))
    return outcome.is_good


def _pass_over(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A TLS handshake that fails is told once, by us, and not by the loop as well."""
    if not context["message"].startswith("SSL handshake failed"):
        loop.default_exception_handler(context)


def _headers() -> dict[str, str]:
    """The key comes from the environment, where no list of processes shows it."""
    key = os.environ.get(_KEY, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise click.ClickException(f"{_KEY} holds what no header can")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _summary(outcome: "Outcome") -> str:
    missed = Counter(outcome.missed)
    names = (f"{shown(shortened(name))} × {count:,}" for name, count in missed.items())
    parts = (
        f"{outcome.sent:,} frames sent, {outcome.received:,} received, close code {outcome.close}",
        "closed early" if not outcome.is_whole else "",
        f"missed: {', '.join(names)}" if missed else "",
    )
    return "; ".join(filter(None, parts))
