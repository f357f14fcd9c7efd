"""A command that serves says where, runs until it is told to stop, and stops cleanly."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, TypeVar

import click

from rtproto._address import Address, read_address

__all__ = [
    "Address",
    "address",
    "listening",
    "need",
    "quiet",
    "run",
    "speed_option",
    "told_to_stop",
    "unless",
    "until",
]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def address(_context: click.Context, _option: click.Parameter, value: str | None) -> Address | None:
    """``HOST:PORT``, or ``[HOST]:PORT`` where the host has colons itself; an option's callback."""
    if value is None:
        return None
    try:
        return read_address(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no HOST:PORT") from None


def speed_option(help: str) -> Callable[[F], F]:
    """The option ``--speed``: how many times as fast as it was, or is."""
    kind = click.FloatRange(0, min_open=True)
    return click.option("--speed", type=kind, metavar="FACTOR", default=1.0, show_default=True, help=help)


def need(module: str, extra: str = "testing") -> None:
    """Say which extra is missing, if one is."""
    try:
        import_module(module)
    except ModuleNotFoundError as missing:
        if str(missing.name).startswith("rtproto"):
            raise
        raise click.ClickException(f"this needs an extra: pip install 'rtproto[{extra}]'") from None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run it in an event loop, on uvloop where there is one."""
    from rtproto._sockets import new_loop  # noqa: PLC0415 - it needs the extra

    quiet()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(work)


def quiet() -> None:
    """What is wrong with a connection is told once, by us; an exception with where it was."""
    told = logging.StreamHandler()
    told.addFilter(lambda record: record.exc_info is not None)
    logging.getLogger("picows").addHandler(told)


def told_to_stop() -> asyncio.Event:
    """Is set at SIGINT, SIGTERM, SIGHUP; to be had before anybody knows that there is something to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang_up() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that closes says so twice, in no hurry
        stop.set()

    with suppress(NotImplementedError):  # on Windows: there SIGINT cancels the task that waits
        loop.add_signal_handler(signal.SIGINT, stop.set)
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
            loop.add_signal_handler(signal.SIGHUP, hang_up)
    return stop


async def until(stop: asyncio.Event) -> None:
    """Wait for that."""
    with suppress(asyncio.CancelledError):
        await stop.wait()


@contextmanager
def listening() -> Generator[None]:
    """An address that cannot be had, or a name that is none, is told in a line."""
    try:
        yield
    except (OSError, UnicodeError) as refusal:
        why = getattr(refusal, "strerror", None) or refusal
        raise click.ClickException(f"cannot listen: {why}") from None


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do it to its end, or until it is told to stop."""
    tasks = (asyncio.create_task(work), asyncio.create_task(stop.wait()))
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    done, _ = await asyncio.gather(*tasks, return_exceptions=True)
    if isinstance(done, Exception):
        raise done
