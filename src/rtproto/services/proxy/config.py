"""A configuration is checked to the end before anything listens, and holds no secret: it says where one is.

It is TOML, and ``examples/proxy.toml`` has all of it. A relative path is relative to the file. Every message
names the file and the place in it (``proxy.toml: upstream.key_file: …``), and shows no value of it that
could be a key.
"""

import os
import re
import ssl
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from inspect import signature
from math import inf, isfinite
from pathlib import Path
from traceback import extract_tb
from typing import Any, Literal, cast

import msgspec
from msgspec.inspect import LiteralType, StructType, Type, UnionType, VarTupleType, type_info

from rtproto._address import Address, is_this_machine, read_address
from rtproto.services.proxy.admission import Admission, read_tokens
from rtproto.services.proxy.fields import SessionFields
from rtproto.services.proxy.filters import AllowTypes, DenyTypes
from rtproto.services.proxy.ledger import UsageLedger
from rtproto.services.proxy.limits import Limits
from rtproto.services.proxy.model import ModelLock
from rtproto.services.proxy.opening import Surface
from rtproto.services.proxy.policy import Policy
from rtproto.services.proxy.recorder import Recorder
from rtproto.services.proxy.upstream import DEFAULT_PASS_HEADERS, Upstream
from rtproto.services.proxy.validation import Validation

__all__ = [
    "Address",
    "Config",
    "Entry",
    "Fields",
    "InvalidConfig",
    "Ledger",
    "Listen",
    "Log",
    "Metrics",
    "Model",
    "Policies",
    "Record",
    "Service",
    "Types",
    "Validate",
    "load",
]

_FAKE = "fake:"
_OPENAI = "wss://api.openai.com"
_KEY_ENV = "OPENAI_API_KEY"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BETWEEN = re.compile(rf"{re.escape(__file__)}|importlib|^<")  # what lies between us and a user's module
_AT = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)


class InvalidConfig(ValueError):
    """A configuration cannot be used; the message says where it is wrong, and shows no value."""


@contextmanager
def _at(place: str, file: Path | None = None) -> Generator[None]:
    """What is wrong is wrong here; of a file its directory is told, for its name may be a key, by mistake."""
    try:
        yield
    except OSError as refusal:
        where = "" if file is None else f", in {file.parent}"
        raise InvalidConfig(f"{place}: {refusal.strerror or 'cannot be read'}{where}") from None
    except ValueError as wrong:
        raise InvalidConfig(f"{place}: {wrong}".replace("=True", " = true")) from None


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Listen(_Section, frozen=True):
    """``[listen]``: where clients come in."""

    address: str = "127.0.0.1:8080"
    """``HOST:PORT``, or ``[HOST]:PORT``; port 0: any free one."""
    tls_certificate: Path | None = None
    """The certificate and its chain, as PEM; ``None``: without encryption."""
    tls_key: Path | None = None
    """The key of the certificate, as PEM; ``None``: it is in the same file."""

    def __post_init__(self) -> None:
        read_address(self.address)
        if self.tls_key is not None and self.tls_certificate is None:
            raise ValueError("tls_key needs tls_certificate")

    @property
    def host_and_port(self) -> Address:
        """The address in two."""
        return read_address(self.address)

    def tls(self) -> ssl.SSLContext | None:
        """The certificate to listen with.

        Raises:
            InvalidConfig: it cannot be loaded.
        """
        if self.tls_certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        with _at("listen.tls_certificate", self.tls_certificate):
            # A key with a password would ask the terminal for it: an empty one is as good as none.
            context.load_cert_chain(self.tls_certificate, self.tls_key, password="")
        return context


class Service(_Section, frozen=True):
    """``[upstream]``: the service."""

    url: str = _OPENAI
    """As :attr:`Upstream.url`; ``fake:``: a fake service, in this process."""
    key_env: str | None = None
    """The environment variable that holds its key; if nothing is said of one: ``OPENAI_API_KEY``."""
    key_file: Path | None = None
    """The file that holds it."""
    pass_key: bool = False
    """Whether each client's own key goes on instead."""
    key_header: str = "Authorization"
    """As :attr:`Upstream.key_header`."""
    pass_headers: tuple[str, ...] = DEFAULT_PASS_HEADERS
    """As :attr:`Upstream.pass_headers`."""
    ca_file: Path | None = None
    """The authorities that may have signed its certificate, as PEM; ``None``: the system's."""

    def __post_init__(self) -> None:
        if sum((self.key_env is not None, self.key_file is not None, self.pass_key)) > 1:
            raise ValueError("there is one place for a key: key_env, key_file or pass_key")
        if self.key_env is not None and not _VARIABLE.fullmatch(self.key_env):
            raise ValueError("key_env must be the name of a variable, of letters, digits and _; no key")

    @property
    def is_fake(self) -> bool:
        """Whether it is the fake one."""
        return self.url == _FAKE

    @property
    def key_source(self) -> str:
        """Where its key comes from, for people."""
        if self.is_fake:
            return "none, the service is a fake"
        if self.pass_key:
            return "each client's own"
        return f"${self.key_env or _KEY_ENV}" if self.key_file is None else str(self.key_file)

    def upstream(self, fake_url: str | None = None) -> Upstream:
        """The service.

        Args:
            fake_url: where the fake one is, if it is that.

        Raises:
            InvalidConfig: a field is wrong, or what it names cannot be read.
        """
        url = (fake_url or "ws://127.0.0.1") if self.is_fake else self.url
        key, tls = self._key(), self._tls()
        with _at("upstream"):
            return Upstream(
                url=url, key=key, key_header=self.key_header, pass_headers=self.pass_headers, tls=tls
            )

    def _key(self) -> str | None:
        if self.is_fake:
            return "fake"  # it takes any; a real one has no business there
        if self.pass_key:
            return None
        if self.key_file is not None:
            with _at("upstream.key_file", self.key_file):
                return self.key_file.read_text("utf-8", errors="replace").strip()
        name = self.key_env or _KEY_ENV
        key = os.environ.get(name, "").strip()
        if not key:
            shown = name if name.isupper() else "such variable"  # some keys are of letters and digits too
            hint = f": {_OPENAI} needs a key, --upstream fake: none" if self.url == _OPENAI else ""
            raise InvalidConfig(f"upstream.key_env: there is no {shown} in the environment{hint}")
        return key

    def _tls(self) -> ssl.SSLContext | None:
        if self.ca_file is None:
            return None
        with _at("upstream.ca_file", self.ca_file):
            return ssl.create_default_context(cafile=self.ca_file)


class Entry(_Section, frozen=True):
    """``[entry]``: who comes in."""

    tokens_file: Path | None = None
    """A file of ``NAME:SHA256`` lines; ``None``: a client needs no token."""
    anyone: bool = False
    """Whether the key may be used from other machines without a token: something else asks who it is."""
    origins: tuple[str, ...] | None = None
    """The web pages that a browser may come from; ``None``: any, if there are tokens, else none."""
    max_sessions: int | None = None
    """How many sessions there may be at once."""
    max_sessions_per_client: int | None = None
    """How many of one token."""

    def admission(self) -> Admission:
        """Who lets clients in.

        Raises:
            InvalidConfig: a field is wrong, or the tokens cannot be read.
        """
        tokens = None
        if self.tokens_file is not None:
            with _at("entry.tokens_file", self.tokens_file):
                tokens = read_tokens(self.tokens_file)
        with _at("entry"):
            return Admission(tokens, self.origins, self.max_sessions, self.max_sessions_per_client)


class Metrics(_Section, frozen=True):
    """``[metrics]``: where it is told how it goes."""

    address: str | None = None
    """``HOST:PORT`` of ``/metrics`` and ``/healthz``; ``None``: nowhere."""

    def __post_init__(self) -> None:
        if self.address is not None:
            read_address(self.address)

    @property
    def host_and_port(self) -> Address | None:
        """The address in two."""
        return None if self.address is None else read_address(self.address)


class Log(_Section, frozen=True):
    """``[log]``: what is told on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """From where on."""


# Policies -------------------------------------------------------------------------------------


class Types(_Section, frozen=True):
    """``[policies.allow]``: :class:`AllowTypes`; ``[policies.deny]``: :class:`DenyTypes`."""

    client: tuple[str, ...] | None = None
    """Types of events that clients send; ``None``: nothing is said of them."""
    server: tuple[str, ...] | None = None
    """Those that the service sends."""
    vendor_names: bool = False
    """Whether a type may be one that this version does not know."""

    def __post_init__(self) -> None:
        if self.client is None and self.server is None:
            raise ValueError("client or server must be said")


class Model(_Section, frozen=True):
    """``[policies.model]``: :class:`ModelLock`."""

    models: tuple[str, ...] = msgspec.field(name="allowed")
    """``allowed``: the models that clients may ask for."""
    default: str | None = None
    """The one for a client that names none; ``None``: it is not let in."""
    transcription_models: tuple[str, ...] | None = None
    """Those that may transcribe; ``None``: any."""
    mode: Literal["refuse", "remove"] = "refuse"
    """What becomes of an update that asks for another."""

    def __post_init__(self) -> None:
        if not all((*self.models, *(self.transcription_models or ()))):
            raise ValueError("a model must have a name")


class Fields(_Section, frozen=True):
    """``[policies.session]``: :class:`SessionFields`."""

    force: dict[str, Any] = {}
    """Values by path, as ``"audio.output.voice"``, in quotes. TOML has no null, so none is forced."""
    forbid: tuple[str, ...] = ()
    """Paths that a client may not set."""
    refuse: bool = False
    """Whether an update that sets them is refused; else they are taken out of it."""
    at_open: bool = True
    """Whether what is forced is sent when a session begins."""
    surfaces: tuple[Surface, ...] = ("realtime", "transcription", "translation")
    """The kinds of session it is for; a client says which it wants, so leave one out only if the service
    goes by the query."""
    vendor_names: bool = False
    """Whether a path may be one that this version does not know."""

    def __post_init__(self) -> None:
        if isinstance(self.force.get("audio"), dict):
            # A ValueError is what msgspec tells the place of.
            raise ValueError('a path in force is written in quotes: "audio.output.voice"')  # noqa: TRY004 - as above
        if not _is_json(self.force):
            raise ValueError("a value in force must be one that JSON has")


class Validate(_Section, frozen=True):
    """``[policies.validate]``: :class:`Validation`."""

    server: bool = False
    """Whether the service's events are validated too."""
    rewrite: bool = False
    """Whether what goes on is written anew."""


class Ledger(_Section, frozen=True):
    """``[policies.ledger]``: :class:`UsageLedger`."""


class Record(_Section, frozen=True):
    """``[policies.record]``: :class:`Recorder`."""

    directory: Path
    """Where a file is written for each session; it must be there."""
    elide_audio: bool = False
    """Whether silence takes the place of what was heard and said."""
    compress: bool = True
    """Whether files are gzipped."""


class Policies(_Section, frozen=True):
    """``[policies]``: what is done with frames; a section that is there is a policy.

    They stand in this order, the first nearest to the client: ``record`` (what the client said and got),
    ``allow``, ``deny``, ``validate``, ``custom``, ``model`` and ``session`` (which hold whatever the others
    did), ``ledger`` (what the service said).
    """

    record: Record | None = None
    """First: what the client said, and what it got."""
    allow: Types | None = None
    """Types that go on."""
    deny: Types | None = None
    """Types that do not."""
    validate: Validate | None = None
    """Clients keep the service's rules."""
    custom: tuple[str, ...] = ()
    """Subclasses of ``Policy``, ``module:Class``, made without arguments; modules beside the file too."""
    model: Model | None = None
    """The models that there are."""
    session: Fields | None = None
    """What a session has, whatever a client says."""
    ledger: Ledger | None = None
    """Last: what the service says of tokens is counted; where there are metrics, it always is."""

    def row(self) -> list[Policy]:
        """New ones, in their order; those that are context managers are to be entered.

        Raises:
            InvalidConfig: one cannot be made.
        """
        return [policy for name, make in _MAKERS.items() for policy in self._made(name, make)]

    def _made(self, name: str, make: Callable[..., Policy] | None) -> Iterable[Policy]:
        section = getattr(self, name)
        if section is None:
            return
        with _at(f"policies.{name}"):
            if make is None:
                yield from map(_custom, section)
            else:
                yield make(**msgspec.structs.asdict(section))


_MAKERS: Mapping[str, Callable[..., Policy] | None] = {
    "record": Recorder,
    "allow": AllowTypes,
    "deny": DenyTypes,
    "validate": Validation,
    "custom": None,
    "model": ModelLock,
    "session": SessionFields,
    "ledger": UsageLedger,
}
"""The order of policies; each takes its section's fields, but for the user's own."""


def _custom(name: str) -> Policy:
    module, _, path = name.partition(":")
    if not (module and path):
        raise ValueError("must be module:Class")
    with _blaming(name, module):
        found: object = import_module(module)
    for step in path.split("."):
        found = getattr(found, step, None)
    if found is None:
        raise ValueError(f"the module {module} has no {path}")
    if not (isinstance(found, type) and issubclass(found, Policy)):
        raise ValueError(f"{name} is no subclass of Policy")  # noqa: TRY004 - what msgspec's are
    try:
        signature(found).bind()
    except TypeError:
        raise ValueError(f"{name} is made without arguments, and needs some") from None
    with _blaming(name, module):
        return found()


@contextmanager
def _blaming(name: str, module: str) -> Generator[None]:
    """What goes wrong in a user's module."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the module's
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is None:
            told = f"{name} cannot be made: {_blamed(error)}"
        elif f"{module}.".startswith(f"{missing}."):
            told = f"there is no module {missing}"
        else:
            told = f"{module} imports {missing}, which is missing"
        raise ValueError(told) from None


def _blamed(error: Exception) -> str:
    """What it is and where: its text may quote anything."""
    places = [at for at in extract_tb(error.__traceback__) if not _BETWEEN.search(at.filename)]
    where = f" at {Path(places[-1].filename).name}:{places[-1].lineno}" if places else ""
    return f"{type(error).__name__}{where}"


def _is_json(value: object) -> bool:
    match value:
        case dict():
            return all(map(_is_json, cast("dict[str, object]", value).values()))
        case list():
            return all(map(_is_json, cast("list[object]", value)))
        case float():
            return isfinite(value)
        case _:
            return isinstance(value, str | int)


# The whole ------------------------------------------------------------------------------------


class Config(_Section, frozen=True):
    """All of it."""

    listen: Listen = Listen()
    """``[listen]``."""
    upstream: Service = Service()
    """``[upstream]``."""
    entry: Entry = Entry()
    """``[entry]``."""
    limits: Limits = Limits()
    """``[limits]``: the fields of :class:`Limits`."""
    metrics: Metrics = Metrics()
    """``[metrics]``."""
    log: Log = Log()
    """``[log]``."""
    policies: Policies = Policies()
    """``[policies]``."""
    workers: int = 1
    """How many processes share the port; limits of sessions are divided between them."""
    drain_seconds: float = 30.0
    """How long sessions may go on after it is told to stop."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError("workers must be at least 1")
        if not 0 <= self.drain_seconds < inf:
            raise ValueError("drain_seconds must be a number from 0 on")

    def check(self) -> None:
        """Make everything that can be made before listening, and let go of it.

        Raises:
            InvalidConfig: something is wrong.
        """
        self.listen.tls()
        self.upstream.upstream()
        self.entry.admission()
        self.policies.row()
        self._check_entry()
        self._check_metrics()

    def _check_entry(self) -> None:
        """A key is for those it was meant for."""
        has_tokens = self.entry.tokens_file is not None
        if has_tokens and self.upstream.pass_key:
            raise InvalidConfig(
                "entry.tokens_file: with upstream.pass_key a client shows a key, and no token"
            )
        is_ours = not (self.upstream.is_fake or self.upstream.pass_key)
        host, _ = self.listen.host_and_port
        if is_ours and not has_tokens and not self.entry.anyone and not is_this_machine(host):
            raise InvalidConfig(
                "entry: other machines may use the key: tokens_file is needed, or anyone = true"
            )
        for name in ("max_sessions", "max_sessions_per_client"):
            most = getattr(self.entry, name)
            if most is not None and most < self.workers:
                raise InvalidConfig(f"entry.{name}: must be at least workers: each has its part of it")

    def _check_metrics(self) -> None:
        host, port = self.listen.host_and_port
        if port and self.metrics.host_and_port == (host, port):
            raise InvalidConfig("metrics.address: clients come in there, by listen.address")


def load(path: Path | None, options: Mapping[str, Any] | None = None) -> Config:
    """A configuration from a file, checked.

    Args:
        path: the file; ``None``: there is none.
        options: what is said in its place, in tables as in the file; an option goes before the file.

    Raises:
        InvalidConfig: something is wrong.
    """
    directory = Path.cwd() if path is None else path.absolute().parent
    try:
        said = {} if path is None else _read(path)
        config = _counting(_made(_merged(said, options or {}), directory))
        if config.policies.custom and str(directory) not in sys.path:
            sys.path.insert(0, str(directory))  # as python itself does: for modules beside it
        config.check()
    except InvalidConfig as wrong:
        raise InvalidConfig(f"{path.name}: {wrong}" if path else str(wrong)) from None
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", msgspec.toml.decode(path.read_bytes()))
    except OSError as refusal:
        raise InvalidConfig(refusal.strerror or "cannot be read") from None
    except UnicodeDecodeError:
        raise InvalidConfig("it is not UTF-8") from None
    except (msgspec.DecodeError, RecursionError) as wrong:
        raise InvalidConfig(f"it is no TOML: {wrong}") from None


def _merged(said: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(said)
    for name, value in options.items():
        tables = [cast("dict[str, Any]", each) for each in (said.get(name), value) if isinstance(each, dict)]
        merged[name] = _merged(*tables) if len(tables) == 2 else value
    return merged


def _made(said: Mapping[str, Any], directory: Path) -> Config:
    def path(kind: type[Any], value: object) -> Path:
        if kind is not Path or not isinstance(value, str) or not value or "\0" in value:
            raise ValueError("expected a path")
        try:
            return directory / Path(value).expanduser()
        except RuntimeError:
            raise ValueError("there is no such home") from None

    try:
        return msgspec.convert(said, Config, dec_hook=path)
    except msgspec.ValidationError as wrong:
        match = _AT.fullmatch(str(wrong))
        what, place = match.groups() if match else (str(wrong), "")
        raise InvalidConfig(f"{place}: {_helped(what, place)}".removeprefix(": ")) from None


def _helped(what: str, place: str) -> str:
    """What is wrong, and what would be right."""
    if what.startswith("Invalid enum value"):
        return f"must be one of {', '.join(_names(place))}"
    unknown = _UNKNOWN.fullmatch(what)
    near = [] if unknown is None else get_close_matches(unknown[1], _names(place), 1)
    return f"{what}; did you mean `{near[0]}`?" if near else what


def _names(place: str) -> list[str]:
    """What may stand there: the names of a table, or the words of a field."""
    kind: Type = type_info(Config)
    for name in filter(None, place.partition("[")[0].split(".")):
        fields = cast("StructType", kind).fields
        kind = _bare(next(field.type for field in fields if field.encode_name == name))
    if isinstance(kind, LiteralType):
        return [*map(str, kind.values)]
    return [field.encode_name for field in cast("StructType", kind).fields]


def _bare(kind: Type) -> Type:
    """Without what may be there in its place, and without what there may be many of."""
    match kind:
        case UnionType():
            return next(each for each in kind.types if isinstance(each, StructType))
        case VarTupleType():
            return kind.item_type
        case _:
            return kind


def _counting(config: Config) -> Config:
    """Who looks at metrics looks for tokens."""
    if config.metrics.address is None or config.policies.ledger is not None:
        return config
    replace = msgspec.structs.replace
    return replace(config, policies=replace(config.policies, ledger=Ledger()))
