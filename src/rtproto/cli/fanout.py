"""``rtproto fanout`` runs a hub until it is told to stop; no list of processes shows a key or a token."""

import asyncio
import gc
import logging
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from rtproto._address import Address, is_this_machine
from rtproto.cli._serving import address, listening, need, told_to_stop, unless, until
from rtproto.cli.proxy import tell_token

if TYPE_CHECKING:
    from ssl import SSLContext

    from rtproto.services.fanout import Bus, Fanout, Grant, Limits, Rights
    from rtproto.services.proxy import Admission, Opening, Proxy, Upstream
    from rtproto.services.proxy.config import Service
    from rtproto.testing import FakeRealtimeServer

__all__ = ["fanout"]

F = TypeVar("F", bound=Callable[..., Any])
_LOGGER = logging.getLogger("rtproto.fanout")

_FILE = click.Path(dir_okay=False, path_type=Path)
_COUNT = click.IntRange(1)
_ADDRESS: Mapping[str, Any] = {"metavar": "HOST:PORT", "callback": address}
_SESSION, _MODEL = "main", "gpt-realtime"

_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "--listen": {
        **_ADDRESS,
        "default": "127.0.0.1:8090",
        "show_default": True,
        "help": "Where to listen; port 0 is any free one.",
    },
    "--upstream": {
        "metavar": "URL",
        "help": "The service: wss://HOST[/PATH]; fake: is a fake one, in this process, that talks by itself.",
    },
    "--session": {
        "metavar": "NAME",
        "multiple": True,
        "help": f"A session to hold with the service, by this name; repeatable.  [default: {_SESSION},"
        " but with --attach none]",
    },
    "--model": {"metavar": "NAME", "help": f"The model of these sessions.  [default: {_MODEL}]"},
    "--call-id": {"metavar": "ID", "help": "The call to join instead of beginning a session."},
    "--key-env": {
        "metavar": "NAME",
        "help": "The environment variable with the service's key.  [default: OPENAI_API_KEY]",
    },
    "--key-file": {"type": _FILE, "help": "The file with its key."},
    "--key-header": {"metavar": "NAME", "help": "Its header, as api-key for Azure."},
    "--ca-file": {"type": _FILE, "help": "Who may have signed its certificate."},
    "--attach": {
        **_ADDRESS,
        "help": "Run a proxy there, whose sessions can be listened to: by the name that a client gives as"
        " ?session=NAME, or by the session's id. With --tokens, its clients need one for all sessions that"
        " may speak.",
    },
    "--bus": {
        "metavar": "URL",
        "help": "Share sessions with other hubs by NATS: nats://HOST. Without --upstream this is an edge.",
    },
    "--bus-env": {"metavar": "NAME", "help": "The environment variable with that URL, if it has a password."},
    "--speak": {"is_flag": True, "help": "Listeners whose token may speak may send events to the service."},
    "--tokens": {"type": _FILE, "help": "Listeners' tokens, a line NAME:SHA256 SESSION RIGHT each."},
    "--origin": {
        "multiple": True,
        "metavar": "ORIGIN",
        "help": "A web page that browsers may come from; repeatable.",
    },
    "--anyone": {"is_flag": True, "help": "Other machines need no token."},
    "--max-listeners": {"type": _COUNT, "help": "Listeners at once."},
    "--max-listeners-per-token": {"type": _COUNT, "help": "Listeners at once per token."},
    "--max-queue-bytes": {
        "type": _COUNT,
        "help": "The most that waits for one listener; then the oldest audio is dropped.  [default: 2 MiB]",
    },
    "--max-queue-ms": {
        "type": click.FloatRange(0, min_open=True),
        "help": "The most audio that waits for one, in milliseconds.  [default: 10000]",
    },
    "--tls-certificate": {"type": _FILE, "help": "The certificate to listen with."},
    "--tls-key": {"type": _FILE, "help": "The key of the certificate."},
    "--metrics-listen": {**_ADDRESS, "help": "Where /metrics and /healthz are answered; else nowhere."},
    "--log-level": {
        "type": click.Choice(["debug", "info", "warning", "error"]),
        "default": "info",
        "show_default": True,
        "help": "What is told on standard error.",
    },
    "--drain": {
        "type": click.FloatRange(0),
        "metavar": "SECONDS",
        "default": 5,
        "show_default": True,
        "help": "How long listeners, and clients of --attach, may stay at the end.",
    },
    "--new-token": {
        "metavar": "NAME",
        "help": "Print a line for the file of tokens, tell the token itself on standard error, and stop.",
    },
    "--for": {
        "metavar": "SESSION",
        "multiple": True,
        "help": "With --new-token: the session it is good for; repeatable.  [default: any]",
    },
    "--right": {
        "type": click.Choice(["listen", "speak"]),
        "help": "With --new-token: what it is good for.  [default: listen]",
    },
}

_NEEDS: Mapping[str, str] = {
    **dict.fromkeys(("session", "model", "call_id", "attach"), "upstream"),
    **dict.fromkeys(("key_env", "key_file", "key_header", "ca_file"), "upstream"),
    "tls_key": "tls_certificate",
    "max_listeners_per_token": "tokens",
    "for": "new_token",
    "right": "new_token",
}
"""Options that say nothing without another."""
_NEVER: Sequence[tuple[Callable[[Mapping[str, Any]], Any], str]] = (
    (
        lambda said: not (said["upstream"] or said["bus"] or said["bus_env"]),
        "say where sessions come from: --upstream URL (fake: needs no key), or --bus URL, as an edge",
    ),
    (
        lambda said: said["speak"] and not said["upstream"],
        "--speak is for who has the --upstream; at an edge a token that may speak is enough",
    ),
    (
        lambda said: said["speak"] and not said["tokens"],
        "--speak needs --tokens: --new-token NAME --right speak prints a line for that file",
    ),
    (lambda said: said["bus"] and said["bus_env"], "there is one bus: --bus or --bus-env"),
    (
        lambda said: "@" in (said["bus"] or ""),
        "--bus: others can read the command line; put a URL with a password into a variable, for --bus-env",
    ),
    (lambda said: said["model"] and said["call_id"], "--call-id: a call has its model; without --model"),
    (lambda said: said["call_id"] and len(said["session"]) > 1, "--call-id: a call is one --session"),
    (
        lambda said: said["attach"] and (said["model"] or said["call_id"]) and not said["session"],
        "--model and --call-id are of a --session; a client of --attach says its own",
    ),
)
"""What cannot be meant, and what to do about it."""


def _name(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def _options(command: F) -> F:
    for option, kind in reversed([*_OPTIONS.items()]):
        command = click.option(option, _name(option), **kind)(command)
    return command


@click.command(short_help="Let any number listen to a Realtime session.")
@_options
def fanout(**said: Any) -> None:
    """Run a hub: listeners hear a session at ws://HOST:PORT/listen/NAME, and a page at / shows it.

    It holds sessions with a service (--upstream), or lets those of a proxy's clients be listened to
    (--attach), or gets them from other hubs (--bus). Keys come from the environment or from a file, never
    from the command line. It stops at SIGINT, SIGTERM and SIGHUP: nobody new is let in, and those there are
    may stay for a while; a second signal ends it.
    """
    need("rtproto.services.fanout", "services")
    _check(said)
    if said["new_token"] is not None:
        _tell_token(said["new_token"], said["for"], said["right"] or "listen")
        return
    _begin(_planned(said), said["log_level"])


def _check(said: Mapping[str, Any]) -> None:
    """What can be told from the options alone."""
    for name, other in _NEEDS.items():
        if said[name] and not said[other]:
            raise click.UsageError(f"{_option(name)} needs {_option(other)}")
    for is_so, told in _NEVER if said["new_token"] is None else ():
        if is_so(said):
            raise click.UsageError(told)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _tell_token(name: str, sessions: Sequence[str], right: str) -> None:
    from rtproto.services.fanout.bus import check_name  # noqa: PLC0415 - it needs the extra

    with _wrong("for"):
        named = ",".join(map(check_name, sessions))
    tell_token(name, named or "*", right)


@contextmanager
def _wrong(option: str | None = None) -> Generator[None]:
    """What is wrong is wrong here, and is told in a line."""
    try:
        yield
    except (ValueError, OSError) as wrong:
        told = f"{wrong.strerror}: {wrong.filename}" if isinstance(wrong, OSError) else wrong
        raise click.ClickException(f"{_option(option)}: {told}" if option else str(told)) from None


# What is to run -------------------------------------------------------------------------------


class _Plan(NamedTuple):
    """What is to run: all that can be wrong with it was looked for."""

    listen: Address
    attach: Address | None
    metrics: Address | None
    tls: "SSLContext | None"
    service: "Service | None"
    fake: "FakeRealtimeServer | None"
    names: Sequence[str]
    opening: "Opening"
    bus: "Bus"
    can_be_spoken_to: bool
    rights: "Rights"
    admission: "Admission"
    drain: float


def _planned(said: Mapping[str, Any]) -> _Plan:
    _check_strangers(said)
    service = _service(said)
    rights, admission = _entries(said)
    return _Plan(
        listen=said["listen"],
        attach=said["attach"],
        metrics=said["metrics_listen"],
        tls=_tls(said),
        service=service,
        fake=_fake() if service is not None and service.is_fake else None,
        names=_names(said),
        opening=_opening(said),
        bus=_bus(said),
        can_be_spoken_to=said["speak"],
        rights=rights,
        admission=admission,
        drain=said["drain"],
    )


def _check_strangers(said: Mapping[str, Any]) -> None:
    """Who is on another machine is asked for a token, if nothing else is said."""
    for name, may in {"listen": "may listen", "attach": "may use the key"}.items():
        if said[name] and not (said["tokens"] or said["anyone"] or is_this_machine(said[name][0])):
            raise click.UsageError(f"--{name}: other machines {may}: --tokens is needed, or --anyone")


def _service(said: Mapping[str, Any]) -> "Service | None":
    from rtproto.services.proxy.config import Service  # noqa: PLC0415 - as above

    if said["upstream"] is None:
        return None
    fields = {name: said[name] for name in ("key_env", "key_file", "key_header", "ca_file")}
    with _wrong():
        service = Service(url=said["upstream"], **{name: it for name, it in fields.items() if it is not None})
        service.upstream()  # to be told now of a key that is not there
    return service


def _fake() -> "FakeRealtimeServer":
    need("rtproto.testing")
    from rtproto.cli._talking import script  # noqa: PLC0415 - another extra
    from rtproto.testing import FakeRealtimeServer  # noqa: PLC0415 - as above

    return FakeRealtimeServer(script(), record=False)


def _bus(said: Mapping[str, Any]) -> "Bus":
    from rtproto.services.fanout import LocalBus  # noqa: PLC0415 - as above

    limits, url = _limits(said), _bus_url(said)
    if url is None:
        return LocalBus(limits)
    need("rtproto.services.fanout.nats", "nats")
    from rtproto.services.fanout.nats import NatsBus  # noqa: PLC0415 - another extra

    with _wrong("bus"):
        return NatsBus(url, limits=limits)


def _bus_url(said: Mapping[str, Any]) -> str | None:
    if said["bus_env"] is None:
        named: str | None = said["bus"]
        return named
    url = os.environ.get(said["bus_env"], "").strip()
    if not url:
        raise click.ClickException("--bus-env: there is no such variable in the environment")
    return url


def _tls(said: Mapping[str, Any]) -> "SSLContext | None":
    from rtproto.services.proxy.config import Listen  # noqa: PLC0415 - as above

    with _wrong():
        return Listen(tls_certificate=said["tls_certificate"], tls_key=said["tls_key"]).tls()


def _names(said: Mapping[str, Any]) -> Sequence[str]:
    from rtproto.services.fanout.bus import check_name  # noqa: PLC0415 - as above

    if said["session"]:
        with _wrong("session"):
            return [*dict.fromkeys(map(check_name, said["session"]))]
    return [_SESSION] if said["upstream"] and not said["attach"] else []


def _opening(said: Mapping[str, Any]) -> "Opening":
    from rtproto.services.proxy import Opening  # noqa: PLC0415 - as above

    opening = Opening(path="/v1/realtime")
    if said["call_id"]:
        return opening.with_query("call_id", said["call_id"])
    return opening.with_query("model", said["model"] or _MODEL)


def _entries(said: Mapping[str, Any]) -> "tuple[Rights, Admission]":
    """Who comes in to listen, and who as a client of --attach."""
    from rtproto.services.fanout import Rights, read_grants  # noqa: PLC0415 - as above
    from rtproto.services.proxy import Admission  # noqa: PLC0415 - as above

    grants = None
    if said["tokens"] is not None:
        with _wrong("tokens"):
            grants = read_grants(said["tokens"])
    clients = None if grants is None else dict(_clients(grants))
    if said["attach"] and clients == {}:
        raise click.ClickException("--attach: no token may speak in any session (NAME:SHA256 * speak)")
    origins = said["origin"] or None
    with _wrong():
        rights = Rights(grants, origins, said["max_listeners"], said["max_listeners_per_token"])
        return rights, Admission(clients, origins)


def _clients(grants: "Mapping[str, Grant]") -> Iterator[tuple[str, str]]:
    """A client speaks, in a session of any name."""
    for name, grant in grants.items():
        if grant.right == "speak" and grant.sessions is None:
            yield name, grant.digest


def _limits(said: Mapping[str, Any]) -> "Limits":
    from rtproto.services.fanout import Limits  # noqa: PLC0415 - as above

    fields = {name: said[name] for name in ("max_queue_bytes", "max_queue_ms")}
    with _wrong():
        return Limits(**{name: most for name, most in fields.items() if most is not None})


# It runs --------------------------------------------------------------------------------------


def _begin(plan: _Plan, log_level: str) -> None:
    from rtproto._sockets import new_loop  # noqa: PLC0415 - as above
    from rtproto.services.proxy import logs  # noqa: PLC0415 - as above

    logs.setup(log_level)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_serve(plan))


async def _serve(plan: _Plan) -> None:
    """Run a hub until this process is told to stop, and drain it."""
    from rtproto.services.fanout import Fanout  # noqa: PLC0415 - as above

    stop = told_to_stop()
    host, port = plan.listen
    async with AsyncExitStack() as outer:
        hub = Fanout(plan.bus, host=host, port=port, rights=plan.rights, tls=plan.tls)
        with listening():
            await outer.enter_async_context(hub)
        async with AsyncExitStack() as inner:  # it ends before the hub closes: so listeners are told
            await inner.enter_async_context(plan.bus)
            proxy = await _hold(plan, inner)
            await _announce(plan, hub, proxy, outer)
            gc.freeze()  # what is here now stays: the collector need not look at it again
            await until(stop)
            _LOGGER.info("draining", extra={"fields": {"listeners": hub.counts.listeners}})
            hurry = told_to_stop()
            await unless(hurry, _drain(hub, proxy, plan.drain))
        await unless(hurry, hub.drain(hub.limits.goodbye_seconds))


async def _hold(plan: _Plan, stack: AsyncExitStack) -> "Proxy | None":
    """Hold the sessions that there shall be; the proxy, if its clients do."""
    from rtproto.services.fanout import Source  # noqa: PLC0415 - as above

    if plan.service is None:
        return None
    if plan.fake is not None:
        stack.enter_context(plan.fake)  # in a thread of its own
    upstream = plan.service.upstream(plan.fake.upstream_url if plan.fake is not None else None)
    proxy = None if plan.attach is None else _proxy(plan, plan.attach, upstream)
    if proxy is not None:
        with listening():
            await stack.enter_async_context(proxy)
    if plan.fake is not None and plan.names:
        from rtproto.cli._talking import talking  # noqa: PLC0415 - another extra

        upstream = await stack.enter_async_context(talking(upstream))
    for name in plan.names:
        source = Source(plan.bus, name, upstream, plan.opening, can_be_spoken_to=plan.can_be_spoken_to)
        await stack.enter_async_context(source.running())
    return proxy


def _proxy(plan: _Plan, at: Address, upstream: "Upstream") -> "Proxy":
    """A proxy whose sessions can be listened to."""
    from rtproto.services.fanout import Broadcast  # noqa: PLC0415 - as above
    from rtproto.services.proxy import Proxy, UsageLedger  # noqa: PLC0415 - as above

    host, port = at
    policies = [Broadcast(plan.bus, can_be_spoken_to=plan.can_be_spoken_to), UsageLedger()]
    return Proxy(upstream, policies, host=host, port=port, admission=plan.admission, tls=plan.tls)


async def _announce(plan: _Plan, hub: "Fanout", proxy: "Proxy | None", stack: AsyncExitStack) -> None:
    """Say where it is, and answer there how it is."""
    from rtproto.services import metrics  # noqa: PLC0415 - as above

    if plan.metrics is not None:
        host, port = plan.metrics
        told = metrics.MetricsServer(_exposition(hub, proxy), lambda: hub.is_ready, host=host, port=port)
        with listening():
            await stack.enter_async_context(told)
        click.echo(f"metrics on {told.url}")
    for name in plan.names or ["NAME"]:
        click.echo(f"listening on {hub.url(name)}")
    if proxy is not None:
        click.echo(f"base URL for the OpenAI SDK: {proxy.base_url}")
    click.echo(f"page: {hub.page_url}")


def _exposition(hub: "Fanout", proxy: "Proxy | None") -> Callable[[str | None], tuple[bytes, str]]:
    from rtproto.services.fanout import metrics as ours  # noqa: PLC0415 - as above
    from rtproto.services.metrics import exposed  # noqa: PLC0415 - as above
    from rtproto.services.proxy import metrics as theirs  # noqa: PLC0415 - as above

    def exposition(accept: str | None) -> tuple[bytes, str]:
        families = () if proxy is None else theirs.families(proxy.counts.snapshot())
        return exposed(chain(ours.families(hub.bus, hub.listeners()), families), accept)

    return exposition


async def _drain(hub: "Fanout", proxy: "Proxy | None", seconds: float) -> None:
    await asyncio.gather(*(each.drain(seconds) for each in (hub, proxy) if each is not None))
