"""A file says all of it; what is wrong with it is told by its place, before anything listens."""

import os
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from rtproto.services.proxy import Limits, Policy, Refused
from rtproto.services.proxy.admission import hash_token
from rtproto.services.proxy.config import Config, InvalidConfig, load
from rtproto.services.proxy.fields import SessionFields
from rtproto.services.proxy.filters import AllowTypes, DenyTypes
from rtproto.services.proxy.ledger import UsageLedger
from rtproto.services.proxy.model import ModelLock
from rtproto.services.proxy.opening import Opening
from rtproto.services.proxy.recorder import Recorder
from rtproto.services.proxy.validation import Validation

from .shell import Talk

KEY = "sk-of-the-service"
WORD = "f9a1b2c3d4e5"  # a key that could be a name
ADA = "rtp_of-ada"
NO_KEY = "upstream.key_env: there is no OPENAI_API_KEY"
FAKE = 'upstream.url = "fake:"\n'
OPENING = Opening(path="/v1/realtime", query="model=m")


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def loaded(tmp_path: Path) -> Any:
    """Loads a file of this text."""

    def load_text(text: str, **options: Any) -> Config:
        path = tmp_path / "proxy.toml"
        path.write_text(text, "utf-8")
        return load(path, options)

    return load_text


@pytest.fixture
def wrong(loaded: Any) -> Any:
    """What is told of a file of this text, without the file's name."""

    def told(text: str, **options: Any) -> str:
        with pytest.raises(InvalidConfig) as refused:
            loaded(text, **options)
        assert str(refused.value).startswith("proxy.toml: ")
        assert refused.value.__suppress_context__
        return str(refused.value).removeprefix("proxy.toml: ")

    return told


def key_of(config: Config) -> str:
    return config.upstream.upstream().headers(OPENING, None)["Authorization"]


# The whole ------------------------------------------------------------------------------------


def test_nothing_is_needed_but_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    config = load(None)
    assert config == Config()
    assert config.listen.host_and_port == ("127.0.0.1", 8080)
    assert config.upstream.upstream().target(OPENING) == "wss://api.openai.com/v1/realtime?model=m"
    assert (config.listen.tls(), config.policies.row(), config.limits) == (None, [], Limits())


def test_what_a_file_says(loaded: Any) -> None:
    config = loaded(
        FAKE + "workers = 2\ndrain_seconds = 1\n"
        '[listen]\naddress = "[::1]:0"\n[limits]\nidle_seconds = 60\n'
        '[metrics]\naddress = "localhost:9090"\n[log]\nlevel = "debug"\n'
    )
    assert (config.workers, config.drain_seconds, config.limits) == (2, 1.0, Limits(idle_seconds=60))
    assert config.listen.host_and_port == ("::1", 0)
    assert config.metrics.host_and_port == ("localhost", 9090)
    assert config.log.level == "debug"


def test_an_option_goes_before_the_file_and_leaves_the_rest(loaded: Any) -> None:
    text = FAKE + "workers = 2\n[entry]\nmax_sessions = 5\norigins = ['https://a.example']\n"
    config = loaded(text, workers=3, entry={"max_sessions": 6}, policies={"model": {"allowed": ["m"]}})
    assert (config.workers, config.entry.max_sessions) == (3, 6)
    assert config.entry.origins == ("https://a.example",)
    assert [type(policy) for policy in config.policies.row()] == [ModelLock]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("workers = ", "it is no TOML: "),
        ("workers = 1\nworkers = 1", "it is no TOML: "),
        ("worker = 1", "Object contains unknown field `worker`; did you mean `workers`?"),
        (
            "[policies.model]\nalowed = ['a']",
            "policies.model: Object contains unknown field `alowed`; did you",
        ),
        ("[limits]\nidle_second = 1", "limits: Object contains unknown field `idle_second`; did you mean"),
        ("[listen]\nadress = ''", "listen: Object contains unknown field `adress`"),
        ("[limits]\nmax_bytes = 1", "limits: Object contains unknown field `max_bytes`"),
        ("[policies.ledger]\nx = 1", "policies.ledger: Object contains unknown field `x`"),
        (f"[upstream]\nkey = '{KEY}'", "upstream: Object contains unknown field `key`"),
        (f"[upstream]\nkey_file = ['{KEY}']", "upstream.key_file: "),
        (f"[upstream]\nkey_file = '{KEY}\\u0000'".replace("'", '"'), "upstream.key_file: expected a path"),
        ("workers = 0", "workers must be"),
        ("workers = '1'", "workers: Expected `int`"),
        ("drain_seconds = inf", "drain_seconds must be"),
        ("drain_seconds = nan", "drain_seconds must be"),
        ("drain_seconds = -1", "drain_seconds must be"),
        ("[limits]\nstall_seconds = 0", "limits: stall_seconds must be"),
        (f"[log]\nlevel = '{KEY}'", "log.level: must be one of debug, error, info, warning"),
        (
            "[policies.model]\nallowed = ['m']\nmode = 'x'",
            "policies.model.mode: must be one of refuse, remove",
        ),
        (
            "[policies.session]\nsurfaces = ['realtime', 'x']",
            "policies.session.surfaces[1]: must be one of real",
        ),
        *(
            (f"[listen]\naddress = '{address}'", "listen: address must be HOST:PORT, as 127.0.0.1:8080")
            for address in ("", "h", "h:", ":1")
        ),
        *(
            (f"[metrics]\naddress = '{address}'", "metrics: address must be")
            for address in ("h:-1", "h:65536")
        ),
        ("[listen]\ntls_key = 'x'", "listen: tls_key needs tls_certificate"),
        ("[policies.allow]", "policies.allow: client or server must be said"),
        ("[policies.model]", "policies.model: Object missing required field `allowed`"),
        ("[policies.model]\nallowed = ['a']\ndefault = 'b'", "policies.model: the default is none"),
        ("[policies.model]\nallowed = ['a', '']", "policies.model: a model must have a name"),
        (
            "[policies.model]\nallowed = ['a']\ntranscription_models = ['']",
            "policies.model: a model must have a name",
        ),
        (
            "[policies.deny]\nclient = ['sesion.update']",
            "policies.deny: the client has no event 'sesion.update'; for a vendor's: vendor_names = true",
        ),
        ("[metrics]\naddress = '127.0.0.1:8080'", "metrics.address: clients come in there"),
        (
            "[metrics]\naddress = '[::1]:80'\n[listen]\naddress = '[::1]:80'",
            "metrics.address: clients come in",
        ),
        (
            "[policies.session.force]\naudio.output.voice = 'x'",
            "policies.session: a path in force is written in",
        ),
        ("[policies.session.force]\nspeed = nan", "policies.session: a value in force must be"),
        ("[policies.session.force]\na = [{ b = 1979-05-27 }]", "policies.session: a value in force must be"),
        ("[policies.session.force]\nsession.x = 1", "policies.session: a path"),
        ("[policies.record]\ndirectory = 'none'", "policies.record: the directory"),
        ("[policies.record]\ndirectory = ''", "policies.record.directory: expected a path"),
        (
            "[policies.record]\ndirectory = '~nobody-here/x'",
            "policies.record.directory: there is no such home",
        ),
    ],
)
def test_what_is_wrong_is_told_by_its_place_without_its_value(wrong: Any, text: str, told: str) -> None:
    said = wrong(text, upstream={"url": "fake:"} if "[upstream]" not in text else {})
    assert said.startswith(told)
    assert KEY not in said


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.0.0.1:8081", "127.0.0.2:8080"])
def test_metrics_have_an_address_of_their_own(loaded: Any, address: str) -> None:
    listen = {"address": address if address.endswith(":0") else "127.0.0.1:8080"}
    assert loaded(f"{FAKE}metrics.address = '{address}'", listen=listen).metrics.address == address


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "proxy.toml"
    with pytest.raises(InvalidConfig, match=r"^proxy\.toml: No such file"):
        load(path)
    path.write_bytes(b"workers = 1 # \xff")
    with pytest.raises(InvalidConfig, match=r"^proxy\.toml: it is not UTF-8$"):
        load(path)
    with pytest.raises(InvalidConfig, match=r"^workers: Expected"):
        load(None, {"workers": "x"})


# The service ----------------------------------------------------------------------------------


def test_a_key_is_in_the_environment_or_in_a_file(
    loaded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", f"{KEY}\n")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    (tmp_path / "key").write_text(f"  {KEY}\n", "utf-8")
    for text in ("key_env = 'MINE'", "key_file = 'key'", f"key_file = '{tmp_path / 'key'}'"):
        assert key_of(loaded(f"[upstream]\n{text}")) == f"Bearer {KEY}"
    assert key_of(loaded("")) == "Bearer sk-another"


def test_a_clients_own_key_goes_on_if_that_is_said(loaded: Any) -> None:
    upstream = loaded("[upstream]\npass_key = true").upstream.upstream()
    assert upstream.headers(OPENING, "Bearer own") == {"Authorization": "Bearer own"}


def test_the_fake_service_gets_no_real_key(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    service = loaded(FAKE).upstream
    assert service.is_fake
    upstream = service.upstream("ws://127.0.0.1:9")
    assert upstream.target(OPENING) == "ws://127.0.0.1:9/v1/realtime?model=m"
    assert KEY not in upstream.headers(OPENING, None)["Authorization"]


def test_azure(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE", KEY)
    upstream = loaded(
        "[upstream]\nurl = 'wss://x.openai.azure.com/openai'\nkey_env = 'AZURE'\nkey_header = 'api-key'\n"
        "pass_headers = ['x-mine']"
    ).upstream.upstream()
    opening = Opening(path="/v1/realtime", headers={"X-Mine": "1", "User-Agent": "2"})
    assert upstream.target(opening) == "wss://x.openai.azure.com/openai/v1/realtime"
    assert upstream.headers(opening, None) == {"X-Mine": "1", "api-key": KEY}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "",
            f"{NO_KEY} in the environment: wss://api.openai.com needs a key, --upstream fake: none",
        ),
        (f"[upstream]\nkey_env = '{KEY}'", "upstream: key_env must be the name of a variable"),
        (f"[upstream]\nkey_env = '{KEY}'\npass_key = false", "upstream: key_env must be the name"),
        ("[upstream]\nkey_env = ''", "upstream: key_env must be the name of a variable"),
        (f"[upstream]\nkey_env = '{WORD}'", "upstream.key_env: there is no such variable in the environment"),
        (f"[upstream]\nurl = 'wss://a:{KEY}@h'", f"{NO_KEY} in the environment"),
        ("[upstream]\nurl = 'wss://api.openai.com/v1'\npass_key = true", "upstream: url must be without /v1"),
        ("[upstream]\nkey_env = 'NONE'", "upstream.key_env: there is no NONE in the environment"),
        ("[upstream]\nkey_env = 'EMPTY'", "upstream.key_env: there is no EMPTY in the environment"),
        ("[upstream]\nkey_env = 'TWO'", "upstream: key holds what no header can"),
        ("[upstream]\nkey_file = 'two'", "upstream: key holds what no header can"),
        ("[upstream]\nkey_file = 'binary'", "upstream: key holds what no header can"),
        ("[upstream]\nkey_file = 'empty'", "upstream: key holds what no header can"),
        ("[upstream]\nkey_file = 'none'", "upstream.key_file: No such file or directory, in HERE"),
        ("[upstream]\nkey_file = 'keys/none'", "upstream.key_file: No such file or directory, in HERE/keys"),
        (f"[upstream]\nkey_file = '{KEY}'", "upstream.key_file: No such file or directory, in HERE"),
        ("[upstream]\nkey_file = '.'", "upstream.key_file: Is a directory"),
        ("[upstream]\nkey_file = 'two'\nkey_env = 'TWO'", "upstream: there is one place for a key"),
        ("[upstream]\nkey_file = 'two'\npass_key = true", "upstream: there is one place for a key"),
        ("[upstream]\nurl = 'http://h'\npass_key = true", "upstream: url must be ws://"),
        (f"[upstream]\nurl = 'wss://a:{KEY}@h'\npass_key = true", "upstream: url must be ws://"),
        (
            "[upstream]\npass_headers = ['Cookie']\npass_key = true",
            "upstream: pass_headers must not have Cookie",
        ),
        ("[upstream]\nca_file = 'two'\npass_key = true", "upstream.ca_file: "),
        ("[upstream]\nca_file = 'none'\npass_key = true", "upstream.ca_file: No such file"),
        (
            "[upstream]\npass_key = true\n[entry]\ntokens_file = 'tokens'",
            "entry.tokens_file: with upstream.pass_key a client shows a key",
        ),
    ],
)
def test_a_service_that_cannot_be_asked(
    wrong: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    monkeypatch.setenv("EMPTY", " ")
    monkeypatch.setenv("TWO", f"{KEY} {KEY}")
    (tmp_path / "two").write_text(f"{KEY}\n{KEY}\n", "utf-8")
    (tmp_path / "binary").write_bytes(KEY.encode() + b"\xff")
    (tmp_path / "empty").touch()
    (tmp_path / "tokens").touch()
    said = wrong(text)
    assert said.startswith(told.replace("HERE", str(tmp_path)))
    assert KEY not in said
    assert WORD not in said


def test_only_who_says_nothing_of_a_service_is_told_of_the_fake_one(wrong: Any) -> None:
    assert wrong("upstream.url = 'wss://x.example'") == f"{NO_KEY} in the environment"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("", "$OPENAI_API_KEY"),
        ("upstream.key_env = 'mine'", "$mine"),
        ("upstream.key_file = 'key'", "HERE/key"),
        ("upstream.pass_key = true", "each client's own"),
        (FAKE, "none, the service is a fake"),
    ],
)
def test_where_the_key_comes_from(
    loaded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, source: str
) -> None:
    (tmp_path / "key").write_text(KEY, "utf-8")
    for name in ("OPENAI_API_KEY", "mine"):
        monkeypatch.setenv(name, KEY)
    assert loaded(text).upstream.key_source == source.replace("HERE", str(tmp_path))


# Certificates ---------------------------------------------------------------------------------


def test_certificates(loaded: Any, wrong: Any, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    authority.issue_cert("other").private_key_pem.write_to_path(tmp_path / "other.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for text in ("tls_certificate = 'both.pem'", "tls_certificate = 'chain.pem'\ntls_key = 'key.pem'"):
        context = loaded(f"{FAKE}[listen]\n{text}").listen.tls()
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    for text in (
        "tls_certificate = 'chain.pem'",
        "tls_certificate = 'chain.pem'\ntls_key = 'other.pem'",
        "tls_certificate = 'none'",
    ):
        assert wrong(f"{FAKE}[listen]\n{text}").startswith("listen.tls_certificate: ")
    tls = loaded("[upstream]\nca_file = 'ca.pem'\npass_key = true").upstream.upstream().tls
    assert tls.verify_mode == ssl.CERT_REQUIRED
    assert tls.check_hostname
    assert [*tls.get_ca_certs()] != []


def test_a_key_with_a_password_is_not_asked_for_it(wrong: Any, tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    locked = key.private_bytes(*form, serialization.BestAvailableEncryption(b"x"))
    (tmp_path / "key.pem").write_bytes(locked)
    told = wrong(FAKE + "[listen]\ntls_certificate = 'chain.pem'\ntls_key = 'key.pem'")
    assert told.startswith("listen.tls_certificate: ")


# Who comes in ---------------------------------------------------------------------------------


def test_tokens_and_rooms(loaded: Any, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"ada:{hash_token(ADA)}\n", "utf-8")
    entry = loaded(
        FAKE + "[entry]\ntokens_file = 'tokens'\norigins = ['https://a.example']\nmax_sessions_per_client = 1"
    ).entry
    admission = entry.admission()
    assert admission.enter(ADA, "https://a.example") == "ada"
    for token, origin, status in ((ADA, None, 429), (None, None, 401), (ADA, "https://b.example", 403)):
        with pytest.raises(Refused) as refused:
            admission.enter(token, origin)
        assert refused.value.status == status


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tokens_file = 'none'", "entry.tokens_file: No such file or directory, in /"),
        ("tokens_file = 'tokens'", "entry.tokens_file: line 2 is no NAME:SHA256"),
        ("origins = ['*']", "entry: origins must be"),
        ("max_sessions = 0", "entry: max_sessions must be"),
        ("max_sessions_per_client = 4", "entry: max_sessions_per_client needs tokens"),
        ("max_sessions = 3", "entry.max_sessions: must be at least workers"),
    ],
)
def test_an_entry_that_is_wrong(wrong: Any, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "tokens").write_text(f"\nada:{ADA}\n", "utf-8")
    assert wrong(f"{FAKE}workers = 4\n[entry]\n{text}").startswith(told)


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", "proxy.example"])  # noqa: S104 - refused
def test_other_machines_do_not_get_the_key_by_default(
    loaded: Any, wrong: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (tmp_path / "tokens").touch()
    listen = {"listen": {"address": f"{host}:8080"}}
    assert wrong("", **listen).startswith("entry: other machines may use the key")
    for text in (FAKE, "upstream.pass_key = true", "entry.anyone = true", "entry.tokens_file = 'tokens'"):
        assert loaded(text, **listen)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "[::1]"])
def test_this_machine_does(loaded: Any, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert loaded("", listen={"address": f"{host}:8080"})


# Policies -------------------------------------------------------------------------------------

MINE = """
from rtproto.services.proxy import Policy

class Mine(Policy):
    class Inner(Policy):
        pass

class Needy(Policy):
    def __init__(self, thing):
        pass

class Broken(Policy):
    def __init__(self):
        raise ValueError("sk-of-the-service")

class Late(Policy):
    def __init__(self):
        import no_such_thing

thing = Mine()
"""
ALL = """
[policies]
custom = ["mine_of_config:Mine", "mine_of_config:Mine.Inner"]
[policies.ledger]
[policies.session]
forbid = ["tools"]
force = { "audio.output.speed" = 1.5, tools = [{ type = "function", name = "x" }] }
[policies.model]
allowed = ["m"]
default = "m"
[policies.validate]
[policies.deny]
client = ["session.update"]
[policies.allow]
server = []
[policies.record]
directory = "captures"
compress = false
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_of_config.py").write_text(MINE, "utf-8")
    (tmp_path / "needy_of_config.py").write_text("import no_such_thing", "utf-8")
    (tmp_path / "captures").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "mine_of_config", raising=False)


@pytest.mark.usefixtures("mine")
def test_policies_stand_in_one_order(loaded: Any) -> None:
    row = loaded(FAKE + ALL).policies.row()
    names = ["Recorder", "AllowTypes", "DenyTypes", "Validation", "Mine", "Inner"]
    assert [type(policy).__name__ for policy in row] == [*names, "ModelLock", "SessionFields", "UsageLedger"]
    kinds = (
        Recorder,
        AllowTypes,
        DenyTypes,
        Validation,
        Policy,
        Policy,
        ModelLock,
        SessionFields,
        UsageLedger,
    )
    assert all(isinstance(policy, kind) for policy, kind in zip(row, kinds, strict=True))


def test_policies_do_as_their_sections_say(loaded: Any) -> None:
    text = (
        "[policies.session]\nforbid = ['tools']\nsurfaces = ['realtime']\nat_open = false\n"
        "force = { instructions = 'Be kind.' }\n"
        "[policies.model]\nallowed = ['m']\ndefault = 'm'\n"
        "[policies.deny]\nclient = ['response.cancel']\nserver = ['rate_limits.updated']\n"
    )
    talk = Talk(*loaded(FAKE + text).policies.row(), target="/v1/realtime")
    assert talk.opening.model == "m"
    update = {"type": "session.update", "session": {"type": "realtime", "tools": []}}
    assert talk.send(update) == [
        b'{"type":"session.update","session":{"type":"realtime","instructions":"Be kind."}}'
    ]
    assert talk.send({"type": "response.cancel"}) == []
    assert talk.receive({"type": "rate_limits.updated", "rate_limits": []}) == []
    assert [error["code"] for error in talk.errors] == ["event_not_allowed"]


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Mine", "must be module:Class"),
        ("mine_of_config:", "must be module:Class"),
        (":Mine", "must be module:Class"),
        ("no_such_module:Mine", "there is no module no_such_module"),
        ("no_such_module.inner:Mine", "there is no module no_such_module"),
        ("mine_of_config.inner:Mine", "there is no module mine_of_config.inner"),
        ("needy_of_config:Mine", "needy_of_config imports no_such_thing, which is missing"),
        ("mine_of_config:Late", "mine_of_config imports no_such_thing, which is missing"),
        ("mine_of_config:Yours", "the module mine_of_config has no Yours"),
        ("mine_of_config:Yours.Inner", "the module mine_of_config has no Yours.Inner"),
        ("mine_of_config:Needy", "mine_of_config:Needy is made without arguments, and needs some"),
        ("mine_of_config:Broken", "mine_of_config:Broken cannot be made: ValueError at mine_of_config.py:14"),
        ("mine_of_config:thing", "mine_of_config:thing is no subclass of Policy"),
        ("json:JSONDecoder", "json:JSONDecoder is no subclass of Policy"),
    ],
)
def test_a_class_of_yours_that_cannot_be_had(wrong: Any, name: str, told: str) -> None:
    assert wrong(f"{FAKE}[policies]\ncustom = ['{name}']") == f"policies.custom: {told}"


def test_where_there_are_metrics_tokens_are_counted(loaded: Any) -> None:
    metrics = FAKE + "metrics.address = '127.0.0.1:9090'\n"
    for text in (metrics, metrics + "[policies.ledger]", FAKE + "[policies.ledger]"):
        assert [type(policy) for policy in loaded(text).policies.row()] == [UsageLedger]
    assert loaded(FAKE).policies.row() == []
    row = loaded(metrics + "policies.model.allowed = ['m']").policies.row()
    assert [type(policy) for policy in row] == [ModelLock, UsageLedger]


def test_a_session_may_have_fields_of_a_vendor(loaded: Any, wrong: Any) -> None:
    force = "[policies.session.force]\n'vendor.thing' = 1\n"
    assert loaded(f"{FAKE}[policies.session]\nvendor_names = true\n{force}").policies.row()
    assert wrong(FAKE + force).startswith("policies.session: ")


def test_a_check_leaves_nothing_behind(loaded: Any, tmp_path: Path) -> None:
    (tmp_path / "captures").mkdir()
    loaded(FAKE + "[policies.record]\ndirectory = 'captures'")
    assert os.listdir(tmp_path / "captures") == []
