"""Who comes in shows a token that is hers, from a page that may, while there is room; nobody learns more."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtproto.services.proxy.admission import (
    KEY_SUBPROTOCOL,
    Admission,
    hash_token,
    new_token,
    read_tokens,
    token_of,
)
from rtproto.services.proxy.opening import Refused

ADA, BOB = "rtp_of-ada", "rtp_of-bob"
TOKENS = {"ada": hash_token(ADA), "bob": hash_token(BOB)}
PAGE = "https://app.example"


def status(admission: Admission, token: str | None = None, origin: str | None = None) -> int:
    """How somebody is answered; who comes in stays."""
    try:
        admission.enter(token, origin)
    except Refused as refused:
        return refused.status
    return 101


# Tokens ---------------------------------------------------------------------------------------


def test_a_client_is_known_by_its_token() -> None:
    admission = Admission(TOKENS)
    assert [admission.enter(token, None) for token in (ADA, BOB, ADA)] == ["ada", "bob", "ada"]


@pytest.mark.parametrize(
    "token",
    [None, "", "rtp_of-eve", ADA.upper(), f"{ADA} ", ADA[:-1], TOKENS["ada"], "\udcff", "x" * 100_000],
)
def test_nobody_else_is_let_in_nor_counted(token: str | None) -> None:
    admission = Admission(TOKENS, max_sessions=1)
    assert status(admission, token) == 401
    assert status(admission, token) == 401
    assert status(admission, ADA) == 101


def test_an_empty_token_is_none_even_if_somebody_has_its_hash() -> None:
    assert status(Admission({"nobody": hash_token("")}), "") == 401


def test_no_tokens_let_nobody_in() -> None:
    assert status(Admission({}), ADA) == 401


def test_without_tokens_nobody_has_a_name() -> None:
    assert Admission().enter(None, None) is None
    assert Admission().enter(ADA, None) is None


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_token_opens_for_itself_only(one: str, other: str) -> None:
    admission = Admission({"one": hash_token(one)})
    assert status(admission, other) == (101 if one == other else 401)


def test_new_tokens_are_long_and_never_the_same() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(token.startswith("rtp_") and len(token) >= 4 + 43 for token in tokens)


@pytest.mark.parametrize(
    "tokens",
    [{"ada": ADA}, {"ada": ""}, {"": TOKENS["ada"]}, {"a b": TOKENS["ada"]}, {"ada": TOKENS["ada"] + "00"}],
)
def test_a_hash_that_is_none_is_refused_and_not_shown(tokens: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="tokens must be SHA-256") as wrong:
        Admission(tokens)
    assert ADA not in str(wrong.value)


# Origins --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, 101),
        (PAGE, 101),
        ("HTTPS://App.Example", 101),
        ("http://app.example", 403),
        (f"{PAGE}:8443", 403),
        (f"{PAGE}.evil.example", 403),
        (f"{PAGE}/", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_a_browser_comes_from_a_page_that_may(origin: str | None, expected: int) -> None:
    assert status(Admission(TOKENS, [PAGE, "http://localhost:3000"]), ADA, origin) == expected


def test_a_port_belongs_to_an_origin() -> None:
    admission = Admission(None, ["http://localhost:3000"])
    assert status(admission, None, "http://localhost:3000") == 101
    assert status(admission, None, "http://localhost") == 403


def test_with_tokens_any_page_will_do_and_without_none() -> None:
    assert status(Admission(TOKENS), ADA, "https://evil.example") == 101
    assert status(Admission(), None, "https://evil.example") == 403
    assert status(Admission(TOKENS, []), ADA, PAGE) == 403


def test_a_page_that_may_not_does_not_learn_whether_its_token_is_right() -> None:
    admission = Admission(TOKENS, [PAGE])
    assert [status(admission, token, "null") for token in (ADA, "rtp_of-eve", None)] == [403] * 3


@pytest.mark.parametrize("origin", ["null", "*", "https://*.example", "app.example", f"{PAGE}/", "https://"])
def test_an_origin_that_is_none_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="origins must be"):
        Admission(None, [origin])


def test_origins_are_not_the_letters_of_one() -> None:
    with pytest.raises(ValueError, match="origins must be"):
        Admission(None, PAGE)


# Room -----------------------------------------------------------------------------------------


def test_there_is_room_for_so_many_and_who_leaves_makes_some() -> None:
    admission = Admission(TOKENS, max_sessions=2)
    assert [status(admission, token) for token in (ADA, BOB, ADA)] == [101, 101, 503]
    admission.leave("bob")
    assert [status(admission, ADA), status(admission, ADA)] == [101, 503]


def test_there_is_room_for_so_many_of_each_client() -> None:
    admission = Admission(TOKENS, max_sessions_per_client=1)
    assert [status(admission, token) for token in (ADA, ADA, BOB, BOB)] == [101, 429, 101, 429]
    admission.leave("ada")
    assert [status(admission, token) for token in (BOB, ADA, ADA)] == [429, 101, 429]


def test_without_names_there_is_room_as_well() -> None:
    admission = Admission(max_sessions=1)
    assert [status(admission), status(admission)] == [101, 503]
    admission.leave(None)
    assert status(admission) == 101


def test_nobody_leaves_twice() -> None:
    admission = Admission(TOKENS)
    admission.leave(str(admission.enter(ADA, None)))
    for name in ("ada", "bob", None):
        with pytest.raises(ValueError, match="is in"):
            admission.leave(name)


@pytest.mark.parametrize("name", ["max_sessions", "max_sessions_per_client"])
def test_room_for_nobody_is_a_mistake(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must"):
        Admission(TOKENS, **{name: 0})


def test_room_for_each_needs_names() -> None:
    with pytest.raises(ValueError, match="needs tokens"):
        Admission(max_sessions_per_client=1)


# Files ----------------------------------------------------------------------------------------


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_a_file_has_a_name_and_a_hash_in_each_line(tmp_path: Path) -> None:
    lines = f"# who may\n\nada:{TOKENS['ada']}\n  bob@desk-2:{TOKENS['bob'].upper()}  \r\n#eve:\n"
    found = read_tokens(written(tmp_path / "tokens", f"\ufeff{lines}"))
    assert found == {"ada": TOKENS["ada"], "bob@desk-2": TOKENS["bob"]}
    assert Admission(found).enter(BOB, None) == "bob@desk-2"


@pytest.mark.parametrize(
    "line",
    [
        f"eve:{ADA}",  # a token, and no hash of one
        f"ada:{hash_token('x')}",
        f"eve:{TOKENS['ada'].upper()}",
        f"a b:{hash_token('x')}",
        hash_token("x"),
        f"eve:{hash_token('x')}:",
        f"eve:{hash_token('x')} # eve's",
        "\udcff",
    ],
)
def test_a_line_that_is_wrong_is_told_by_its_number_only(tmp_path: Path, line: str) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(f"ada:{TOKENS['ada']}\n\n{line}\n".encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"^line 3 (is|has) ") as wrong:
        read_tokens(path)
    assert not any(part in str(wrong.value) for part in line.split(":") if part)


# Where a client shows it ----------------------------------------------------------------------

OFFERED = ["realtime", f"{KEY_SUBPROTOCOL}{BOB}"]


@pytest.mark.parametrize(
    ("shown", "token"),
    [
        ((f"Bearer {ADA}", None, [], ""), ADA),
        ((f"bearer   {ADA} ", None, [], ""), ADA),
        ((None, ADA, [], ""), ADA),
        ((None, None, OFFERED, ""), BOB),
        ((None, None, [], f"model=gpt-realtime&api-key={ADA}"), ADA),
        ((f"Bearer {ADA}", BOB, OFFERED, ""), ADA),
        ((None, ADA, OFFERED, ""), ADA),
        ((f"Basic {ADA}", None, OFFERED, ""), BOB),
        (("Bearer ", " ", [KEY_SUBPROTOCOL], "api-key="), None),
        ((ADA, None, ["realtime"], "model=m"), None),
        ((None, None, [], ""), None),
    ],
)
def test_where_clients_put_it(
    shown: tuple[str | None, str | None, list[str], str], token: str | None
) -> None:
    assert token_of(*shown) == token


@given(st.text(), st.text(), st.lists(st.text()), st.text())
def test_whatever_a_client_sends_is_a_token_or_none(
    authorization: str, key: str, names: list[str], query: str
) -> None:
    token = token_of(authorization, key, names, query)
    assert status(Admission(TOKENS), token) in {101, 401}
