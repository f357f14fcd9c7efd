"""The command line hands on what it is told: one module per command. It needs the extra ``cli``."""

import sys
from importlib import import_module
from io import TextIOWrapper

import click

from rtproto._version import __version__

__all__ = ["COMMANDS", "cli"]

COMMANDS = ("bench", "check", "demo", "fake", "fanout", "inspect", "proxy", "replay")
"""The commands: each is in the module of its name."""


class _Commands(click.Group):
    """A command is imported when it is called for: none waits for what only another needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"rtproto.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rtproto")
def cli() -> None:
    """OpenAI Realtime traffic: look into it, replay it, fake the service that answers it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # A terminal may not speak UTF-8.
