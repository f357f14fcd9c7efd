"""A token is good for the sessions and the right of its line, and no secret is shown."""

from pathlib import Path

import pytest

from rtproto.services.fanout import Grant, Rights, read_grants
from rtproto.services.proxy import Refused, hash_token

ADA, TV = hash_token("ada's"), hash_token("tv's")
LINES = f"# who may do what\n\nada:{ADA} * speak\n  tv:{TV.upper()}   main,press_2 listen\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tokens"
    path.write_text(text, "utf-8")
    return path


def test_a_line_says_who_may_do_what_where(tmp_path: Path) -> None:
    assert read_grants(written(tmp_path, LINES)) == {
        "ada": Grant(digest=ADA, right="speak"),
        "tv": Grant(digest=TV, sessions=frozenset({"main", "press_2"}), right="listen"),
    }


@pytest.mark.parametrize(
    "line",
    [
        f"tv:{TV}",
        f"tv:{TV} main",
        f"tv:{TV} main shout",
        f"tv:{TV} main listen now",
        f"tv:{TV[:-1]} main listen",
        f"t v:{TV} main listen",
        f":{TV} main listen",
        f"tv:{TV} ma/in listen",
        f"tv:{TV} main, listen",
        f"ada:{TV} main listen",
        f"tv:{ADA} main listen",
    ],
)
def test_a_line_that_is_none_is_told_by_its_number(tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError, match=r"^line 2 ") as info:
        read_grants(written(tmp_path, f"ada:{ADA} * speak\n{line}\n"))
    assert TV[:8] not in str(info.value)


def test_who_comes_in_has_a_name_and_a_right(tmp_path: Path) -> None:
    rights = Rights(read_grants(written(tmp_path, LINES)))
    ada, tv = rights.enter("ada's", None, "any"), rights.enter("tv's", None, "main")
    assert (ada.name, ada.may_speak, tv.name, tv.may_speak) == ("ada", True, "tv", False)
    assert not rights.is_open
    assert rights.covered("tv's", None, ["main", "other"]) == ["main"]
    assert rights.covered("ada's", None, ["main", "other"]) == ["main", "other"]


@pytest.mark.parametrize(
    ("token", "session", "status"), [(None, "main", 401), ("x", "main", 401), ("tv's", "other", 403)]
)
def test_who_has_no_right_is_refused(tmp_path: Path, token: str | None, session: str, status: int) -> None:
    rights = Rights(read_grants(written(tmp_path, LINES)), max_listeners=1)
    for _ in range(2):
        with pytest.raises(Refused) as info:
            rights.enter(token, None, session)
        assert info.value.status == status
    rights.enter("tv's", None, "main")  # nobody was counted


def test_there_is_room_for_so_many(tmp_path: Path) -> None:
    rights = Rights(read_grants(written(tmp_path, LINES)), max_listeners=2, max_listeners_per_token=1)
    tv = rights.enter("tv's", None, "main")
    for token, status in (("tv's", 429), ("ada's", None), ("ada's", 429)):
        if status is None:
            rights.enter(token, None, "main")
            continue
        with pytest.raises(Refused) as info:
            rights.enter(token, None, "main")
        assert info.value.status == status
    rights.leave(tv)
    rights.enter("tv's", None, "main")


def test_without_tokens_everybody_may_listen_and_nobody_speak() -> None:
    rights = Rights()
    assert rights.is_open
    assert not rights.enter("any", None, "main").may_speak
    assert rights.covered(None, None, ["main"]) == ["main"]
    with pytest.raises(Refused):
        rights.enter(None, "https://elsewhere.example", "main")


def test_no_secret_is_shown() -> None:
    grant = Grant(digest=ADA, sessions=frozenset({"main"}))
    assert ADA[:6] not in repr(grant)
