"""The command line hands on what it is told: one module per command. It needs the extra ``cli``."""

import click

from rtproto._version import __version__
from rtproto.cli.check import check
from rtproto.cli.inspect import inspect

__all__ = ["cli"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rtproto")
def cli() -> None:
    """See what is in a capture of OpenAI Realtime traffic."""


cli.add_command(inspect)
cli.add_command(check)
