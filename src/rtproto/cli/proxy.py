"""``rtproto proxy`` runs a proxy until it is told to stop; no list of processes shows its key."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import click
import msgspec

from rtproto.cli._serving import listening, need, told_to_stop, unless, until

if TYPE_CHECKING:
    from rtproto.services.proxy import Proxy, Snapshot
    from rtproto.services.proxy.config import Config, Entry
    from rtproto.services.proxy.workers import Post

__all__ = ["proxy", "serve", "tell_token"]

F = TypeVar("F", bound=Callable[..., Any])
_LOGGER = logging.getLogger("rtproto.proxy")

_FILE = click.Path(dir_okay=False, path_type=Path)
_DIRECTORY = click.Path(file_okay=False, path_type=Path)
_COUNT = click.IntRange(1)

# Options that stand for a place in the file: where that is (a section itself ends in a dot), and how click
# reads them.
_OPTIONS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "--listen": (
        "listen.address",
        {
            "metavar": "HOST:PORT",
            "help": "Where to listen; port 0 is any free one.  [default: 127.0.0.1:8080]",
        },
    ),
    "--upstream": (
        "upstream.url",
        {
            "metavar": "URL",
            "help": "The service: wss://HOST[/PATH]; fake: is a fake one, in this process."
            "  [default: wss://api.openai.com]",
        },
    ),
    "--key-env": (
        "upstream.key_env",
        {"metavar": "NAME", "help": "The environment variable with its key.  [default: OPENAI_API_KEY]"},
    ),
    "--key-file": ("upstream.key_file", {"type": _FILE, "help": "The file with its key."}),
    "--pass-key": ("upstream.pass_key", {"is_flag": True, "help": "Each client's own key goes on instead."}),
    "--key-header": ("upstream.key_header", {"metavar": "NAME", "help": "Its header, as api-key for Azure."}),
    "--ca-file": ("upstream.ca_file", {"type": _FILE, "help": "Who may have signed its certificate."}),
    "--tls-certificate": (
        "listen.tls_certificate",
        {"type": _FILE, "help": "The certificate to listen with."},
    ),
    "--tls-key": ("listen.tls_key", {"type": _FILE, "help": "The key of the certificate."}),
    "--tokens": ("entry.tokens_file", {"type": _FILE, "help": "Clients' tokens, a line NAME:SHA256 each."}),
    "--anyone": ("entry.anyone", {"is_flag": True, "help": "Other machines need no token to use the key."}),
    "--origin": (
        "entry.origins",
        {
            "multiple": True,
            "metavar": "ORIGIN",
            "help": "A web page that browsers may come from; repeatable.",
        },
    ),
    "--max-sessions": ("entry.max_sessions", {"type": _COUNT, "help": "Sessions at once."}),
    "--max-sessions-per-client": (
        "entry.max_sessions_per_client",
        {"type": _COUNT, "help": "Sessions at once per token."},
    ),
    "--model": (
        "policies.model.allowed",
        {
            "multiple": True,
            "metavar": "NAME",
            "help": "A model clients may use; repeatable.  [default: any]",
        },
    ),
    "--allow-client": (
        "policies.allow.client",
        {
            "multiple": True,
            "metavar": "TYPE",
            "help": "A type of event clients may send; repeatable.  [default: any]",
        },
    ),
    "--deny-client": (
        "policies.deny.client",
        {"multiple": True, "metavar": "TYPE", "help": "A type of event clients may not send; repeatable."},
    ),
    "--validate": (
        "policies.validate.",
        {"is_flag": True, "help": "Refuse events of clients that the service would refuse."},
    ),
    "--record": ("policies.record.directory", {"type": _DIRECTORY, "help": "Where sessions are recorded."}),
    "--elide-audio": (
        "policies.record.elide_audio",
        {"is_flag": True, "help": "Record silence in place of what is heard and said."},
    ),
    "--metrics-listen": (
        "metrics.address",
        {"metavar": "HOST:PORT", "help": "Where /metrics and /healthz are answered; else nowhere."},
    ),
    "--log-level": (
        "log.level",
        {
            "type": click.Choice(["debug", "info", "warning", "error"]),
            "help": "What is told on standard error.  [default: info]",
        },
    ),
    "--workers": ("workers", {"type": _COUNT, "help": "Processes that share the port.  [default: 1]"}),
    "--drain": (
        "drain_seconds",
        {
            "type": click.FloatRange(0),
            "metavar": "SECONDS",
            "help": "How long sessions may go on at the end.  [default: 30]",
        },
    ),
}
_KEYS = ("key_env", "key_file", "pass_key")  # one of these: an option goes before them all


def _name(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def _config_options(command: F) -> F:
    for option, (_, kind) in reversed([*_OPTIONS.items()]):
        command = click.option(option, _name(option), **kind)(command)
    return command


@click.command(short_help="Run a proxy between clients and a Realtime service.")
@click.option(
    "--config",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file that says all this and more, as TOML; an option goes before it.",
)
@_config_options
@click.option("--check-config", is_flag=True, help="Say whether it would start, and stop.")
@click.option(
    "--new-token",
    metavar="NAME",
    help="Print a line for the file of tokens, tell the token itself on standard error, and stop.",
)
def proxy(*, path: Path | None, check_config: bool, new_token: str | None, **options: Any) -> None:
    """Run a proxy: clients come in at ws://HOST:PORT/v1/realtime, and the service behind it has one key.

    The key comes from the environment or from a file, never from the command line. It stops at SIGINT,
    SIGTERM and SIGHUP: no new session is taken, and those there are may go on for a while; a second signal
    ends them.
    """
    need("rtproto.services.proxy", "services")
    if new_token is not None:
        tell_token(new_token)
        return
    config = _loaded(path, options)
    if check_config:
        click.echo(_summary(config))
        return
    _begin(config)


def _summary(config: "Config") -> str:
    """That it would start, and as what."""
    upstream, metrics = config.upstream, config.metrics
    policies = [type(policy).__name__ for policy in config.policies.row()]
    rows = {
        "listen": config.listen.address,
        "upstream": urlsplit(upstream.url).netloc or upstream.url,
        "key": upstream.key_source,
        "policies": ", ".join(policies) or "none",
        "metrics": metrics.address or "nowhere",
    }
    return "\n".join(("all is well", *(f"{name + ':':<10}{what}" for name, what in rows.items())))


def tell_token(name: str, *rights: str) -> None:
    """Make a token: its line for the file of tokens, with what else stands there, and the token itself.

    Raises:
        click.UsageError: the name is none.
    """
    from rtproto.services.proxy.admission import Admission, hash_token, new_token  # noqa: PLC0415 - the extra

    token = new_token()
    try:
        Admission({name: hash_token(token)})
    except ValueError:
        raise click.UsageError("--new-token: a name is of letters, digits and . _ @ -, up to 64") from None
    click.echo(f"the token of {name}, which nobody can tell again: {token}", err=True)
    click.echo(" ".join((f"{name}:{hash_token(token)}", *rights)))


def _loaded(path: Path | None, options: Mapping[str, Any]) -> "Config":
    from rtproto.services.proxy.config import InvalidConfig, load  # noqa: PLC0415 - as above

    if path is None and options["elide_audio"] and options["record"] is None:
        raise click.UsageError("--elide-audio needs --record")
    try:
        return load(path, _said(options))
    except InvalidConfig as wrong:
        raise click.ClickException(str(wrong)) from None


def _said(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as tables of the file; a path is from here."""
    said: dict[str, Any] = {}
    for option, (place, _) in _OPTIONS.items():
        value = options[_name(option)]
        if value is None or value is False or value == ():
            continue
        *tables, last = place.split(".")
        table = said
        for name in tables:
            table = table.setdefault(name, {})
        if last:
            table[last] = str(value.absolute()) if isinstance(value, Path) else value
    upstream = said.get("upstream", {})
    if any(name in upstream for name in _KEYS):
        said["upstream"] = {"key_env": None, "key_file": None, "pass_key": False} | upstream
    return said


# It runs --------------------------------------------------------------------------------------


def _begin(config: "Config") -> None:
    from rtproto._sockets import new_loop  # noqa: PLC0415 - as above
    from rtproto.services.proxy import logs  # noqa: PLC0415 - as above
    from rtproto.services.proxy.workers import Post  # noqa: PLC0415 - as above

    if config.upstream.is_fake:
        need("rtproto.testing")
    logs.setup(config.log.level)
    post = Post.taken()
    is_parent = post is None and config.workers > 1
    with asyncio.Runner(loop_factory=new_loop) as runner:
        is_clean = runner.run(_lead(config) if is_parent else serve(config, post))
    if not is_clean:
        raise click.ClickException("a worker did not end well")


async def serve(config: "Config", post: "Post | None" = None) -> bool:
    """Run one proxy until this process is told to stop, and drain it; ``post``: as a worker of another.

    Raises:
        click.ClickException: it cannot listen.
    """
    from rtproto.services.proxy.workers import reporting  # noqa: PLC0415 - as above

    stop = told_to_stop()
    async with AsyncExitStack() as stack:
        proxy = _proxy(config, post, stack)
        ask = _Asked(proxy.counts.snapshot, lambda: proxy.is_ready)
        if post is not None:  # first, so that it tells of the last session too
            await stack.enter_async_context(reporting(post, *ask, stop.set))
        with listening():
            await stack.enter_async_context(proxy)
        if post is None:
            await _announce(config, proxy.port, ask, stack)
        gc.freeze()  # what is here now stays: the collector need not look at it again
        await until(stop)
        _LOGGER.info("draining", extra={"fields": {"sessions": proxy.counts.sessions_open}})
        await unless(told_to_stop(), proxy.drain(config.drain_seconds))
    if post is not None:  # A parent in a hurry must not kill what ends by itself.
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return True


async def _lead(config: "Config") -> bool:
    """Run workers until this process is told to stop; whether all of them ended well."""
    from rtproto.services.proxy.workers import Workers  # noqa: PLC0415 - as above

    stop = told_to_stop()
    host, port = config.listen.host_and_port
    command = [sys.executable, "-m", "rtproto", *sys.argv[1:]]
    workers = Workers(config.workers, command, host=host, port=port, drain_seconds=config.drain_seconds)
    async with AsyncExitStack() as outer, AsyncExitStack() as stack:
        with listening():
            await stack.enter_async_context(workers)
        await unless(stop, workers.ready())
        if not stop.is_set():
            await _announce(config, workers.port, _Asked(workers.snapshot, lambda: workers.is_ready), outer)
        await until(stop)
        await unless(told_to_stop(), stack.aclose())
    return workers.is_clean


class _Asked(NamedTuple):
    """What is asked of a proxy, or of many."""

    snapshot: "Callable[[], Snapshot]"
    is_ready: Callable[[], bool]


def _proxy(config: "Config", post: "Post | None", stack: AsyncExitStack) -> "Proxy":
    """A proxy that is not open yet; what it needs beside it is."""
    from rtproto.services.proxy import Proxy  # noqa: PLC0415 - as above

    policies = config.policies.row()
    for policy in policies:
        if isinstance(policy, AbstractContextManager):
            stack.enter_context(policy)
    host, port = config.listen.host_and_port
    return Proxy(
        config.upstream.upstream(_fake_url(stack) if config.upstream.is_fake else None),
        policies,
        host=host,
        port=port if post is None else post.port,
        admission=_entry(config, post).admission(),
        limits=config.limits,
        tls=config.listen.tls(),
        reuse_port=post is not None,
    )


def _fake_url(stack: AsyncExitStack) -> str:
    from rtproto.testing import FakeRealtimeServer  # noqa: PLC0415 - another extra

    fake = stack.enter_context(FakeRealtimeServer(record=False))  # in a thread of its own
    return fake.upstream_url


def _entry(config: "Config", post: "Post | None") -> "Entry":
    """Who comes in; a worker has its part of the room."""
    if post is None:
        return config.entry
    rooms = {name: getattr(config.entry, name) for name in ("max_sessions", "max_sessions_per_client")}
    shares = {name: room if room is None else post.share(room) for name, room in rooms.items()}
    return msgspec.structs.replace(config.entry, **shares)


async def _announce(config: "Config", port: int, ask: _Asked, stack: AsyncExitStack) -> None:
    """Say where it is, and answer there how it is."""
    from rtproto.services.metrics import MetricsServer  # noqa: PLC0415 - as above
    from rtproto.services.proxy import exposition  # noqa: PLC0415 - as above

    if config.metrics.host_and_port is not None:
        host, at = config.metrics.host_and_port
        metrics = MetricsServer(
            lambda accept: exposition(ask.snapshot(), accept), ask.is_ready, host=host, port=at
        )
        with listening():
            await stack.enter_async_context(metrics)
        click.echo(f"metrics on {metrics.url}")
    host, _ = config.listen.host_and_port
    where = f"{f'[{host}]' if ':' in host else host}:{port}/v1"
    s = "" if config.listen.tls_certificate is None else "s"
    click.echo(f"listening on ws{s}://{where}/realtime\nbase URL for the OpenAI SDK: http{s}://{where}")
