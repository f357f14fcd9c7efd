"""The command line hands on what it is told: one module per command. It needs the extra ``cli``."""

import sys
from io import TextIOWrapper

import click

from rtproto._version import __version__
from rtproto.cli.bench import bench
from rtproto.cli.check import check
from rtproto.cli.inspect import inspect

__all__ = ["cli"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rtproto")
def cli() -> None:
    """See what is in a capture of OpenAI Realtime traffic."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # A terminal may not speak UTF-8.


cli.add_command(inspect)
cli.add_command(check)
cli.add_command(bench)
