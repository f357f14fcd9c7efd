"""What goes on to the service is its path, the client's, and one key; what limits there are make sense."""

from typing import Any

import pytest

from rtproto.services.proxy.limits import Limits
from rtproto.services.proxy.opening import Opening
from rtproto.services.proxy.upstream import DEFAULT_PASS_HEADERS, Upstream

KEY = "sk-of-the-service"
SERVICE = "wss://api.openai.com"
OPENING = Opening(
    path="/v1/realtime",
    query="model=gpt-realtime&x=a+b%20c",
    headers={"openai-beta": "x=1", "User-Agent": "mine/1", "X-Mine": "1", "Cookie": "c=1"},
)


# Where ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "target"),
    [
        (SERVICE, "wss://api.openai.com/v1/realtime?model=gpt-realtime&x=a+b%20c"),
        (f"{SERVICE}/", "wss://api.openai.com/v1/realtime?model=gpt-realtime&x=a+b%20c"),
        ("ws://[::1]:80/a/b", "ws://[::1]:80/a/b/v1/realtime?model=gpt-realtime&x=a+b%20c"),
        (
            "wss://x.openai.azure.com/openai",
            "wss://x.openai.azure.com/openai/v1/realtime?model=gpt-realtime&x=a+b%20c",
        ),
    ],
)
def test_the_clients_path_comes_after_ours_and_its_query_stays_as_it_is_written(
    url: str, target: str
) -> None:
    assert Upstream(url=url, key=KEY).target(OPENING) == target


def test_without_a_query_there_is_none() -> None:
    target = Upstream(url=SERVICE).target(Opening(path="/v1/realtime/translations"))
    assert target == "wss://api.openai.com/v1/realtime/translations"


def test_a_clients_key_in_the_query_goes_on_only_where_there_is_no_other() -> None:
    query = "api-key=rtp_1&model=m&API-Key=rtp_2&api%2Dkey=rtp_3&api-keys=x"
    opening = Opening(path="/v1/realtime", query=query)
    assert Upstream(url=SERVICE, key=KEY).target(opening) == f"{SERVICE}/v1/realtime?model=m&api-keys=x"
    assert Upstream(url=SERVICE).target(opening) == f"{SERVICE}/v1/realtime?{query}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com",
        "https://api.openai.com",
        "http://127.0.0.1",
        "wss:api.openai.com",
        "wss://",
        "wss:///v1",
        "wss://:443",
        "wss://me@api.openai.com",
        "wss://me:sk-secret@api.openai.com",
        "wss://api.openai.com?model=m",
        "wss://api.openai.com?",
        "wss://api.openai.com/#there",
        "wss://api.openai.com/#",
        "wss://api.openai.com:0",
        "wss://api.openai.com:65536",
        "wss://api.openai.com:x",
        "wss://[::1",
        "wss://api.openai.com/a b",
        "wss://api.openai.com\\evil.example",
        "wss://api.openai.com\r\nX: y",
        "wss://bücher.example",
    ],
)
def test_what_is_no_url_of_a_service_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"^url must be ws://") as wrong:
        Upstream(url=url)
    assert "secret" not in str(wrong.value)


@pytest.mark.parametrize("path", ["/v1/realtime", "/v1/realtime/", "/realtime"])
def test_a_url_that_has_the_clients_path_already_is_a_mistake(path: str) -> None:
    with pytest.raises(ValueError, match="before /v1/realtime"):
        Upstream(url=SERVICE + path)


@pytest.mark.parametrize("url", [f"{SERVICE}/v1", f"{SERVICE}/v1/", "wss://x.example/openai/v1"])
def test_a_url_that_has_the_clients_v1_already_is_a_mistake(url: str) -> None:
    with pytest.raises(ValueError, match=r"^url must be without /v1: it is in the client's path$"):
        Upstream(url=url)
    assert Upstream(url=url.rstrip("/") + "0")


# Headers --------------------------------------------------------------------------------------


def test_a_few_headers_go_on_and_the_key() -> None:
    assert DEFAULT_PASS_HEADERS == ("OpenAI-Beta", "OpenAI-Safety-Identifier", "User-Agent")
    assert Upstream(url=SERVICE, key=KEY).headers(OPENING, "Bearer rtp_mine") == {
        "openai-beta": "x=1",
        "User-Agent": "mine/1",
        "Authorization": f"Bearer {KEY}",
    }


def test_other_headers_go_on_if_asked_for() -> None:
    upstream = Upstream(url=SERVICE, key=KEY, pass_headers=("x-mine",))
    assert upstream.headers(OPENING, None) == {"X-Mine": "1", "Authorization": f"Bearer {KEY}"}


def test_a_key_in_another_header_is_bare() -> None:
    upstream = Upstream(url=SERVICE, key=KEY, key_header="api-key", pass_headers=())
    assert upstream.headers(OPENING, "Bearer rtp_mine") == {"api-key": KEY}
    lower = Upstream(url=SERVICE, key=KEY, key_header="authorization", pass_headers=())
    assert lower.headers(OPENING, None) == {"authorization": f"Bearer {KEY}"}


def test_without_a_key_the_clients_own_goes_on() -> None:
    upstream = Upstream(url=SERVICE, pass_headers=())
    assert upstream.headers(OPENING, "Bearer sk-mine") == {"Authorization": "Bearer sk-mine"}
    assert upstream.headers(OPENING, None) == {}


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "api-key",
        "X-Key",
        "Cookie",
        "Host",
        "Upgrade",
        "Sec-WebSocket-Key",
        "Proxy-Authorization",
    ],
)
def test_headers_that_may_hold_a_key_or_are_ours_never_go_on(name: str) -> None:
    for spelled in (name, name.lower(), name.upper()):
        with pytest.raises(ValueError, match=f"pass_headers must not have {spelled}"):
            Upstream(url=SERVICE, key=KEY, key_header="x-key", pass_headers=(spelled,))


def test_a_clients_own_key_takes_the_form_of_ours() -> None:
    upstream = Upstream(url=SERVICE, key_header="api-key", pass_headers=())
    assert upstream.headers(OPENING, "Bearer mine") == {"api-key": "mine"}
    assert upstream.headers(OPENING, None) == {}


@pytest.mark.parametrize("name", ["", "a b", "a:b", "x\r\nY", "ü"])
def test_a_name_that_is_no_headers_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^key_header"):
        Upstream(url=SERVICE, key_header=name)
    with pytest.raises(ValueError, match=r"^pass_headers"):
        Upstream(url=SERVICE, pass_headers=(name,))


@pytest.mark.parametrize("name", ["Host", "connection", "Sec-WebSocket-Protocol", "Cookie"])
def test_a_header_that_has_another_use_holds_no_key(name: str) -> None:
    with pytest.raises(ValueError, match=r"^key_header"):
        Upstream(url=SERVICE, key_header=name)


@pytest.mark.parametrize("key", ["", " ", "sk secret", "sk-secret\n", "sk-\x00secret", "sk-sécret"])
def test_a_key_that_is_none_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match=r"^key holds") as wrong:
        Upstream(url=SERVICE, key=key)
    assert "cret" not in str(wrong.value)


def test_no_repr_shows_the_key() -> None:
    upstream = Upstream(url=SERVICE, key=KEY)
    assert KEY not in f"{upstream!r} {upstream!s} {[upstream]!r}"


# Limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("max_message_bytes", "max_session_bytes", "high_water_bytes")
            for value in (0, -1)
        ),
        *(
            (name, value)
            for name in ("stall_seconds", "handshake_seconds")
            for value in (0, -1, float("inf"), float("nan"))
        ),
        ("idle_seconds", -1),
        ("idle_seconds", float("inf")),
        ("idle_seconds", float("nan")),
    ],
)
def test_a_limit_out_of_range_is_named(name: str, value: float) -> None:
    kinds: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"^{name} must"):
        Limits(**kinds)


def test_no_session_stops_reading_later_than_it_may_keep() -> None:
    assert Limits(max_session_bytes=10, high_water_bytes=10)
    with pytest.raises(ValueError, match=r"^high_water_bytes must"):
        Limits(max_session_bytes=10, high_water_bytes=11)


def test_the_least_limits() -> None:
    assert Limits(max_message_bytes=1, idle_seconds=0, stall_seconds=0.1).handshake_seconds == 10
