"""An event id is as the service's, and unique across calls, threads, forks and processes."""

import multiprocessing
import re
import string
from concurrent.futures import ThreadPoolExecutor

import pytest

from rtproto import event_ids, new_event_id

METHODS = [method for method in ("fork", "spawn") if method in multiprocessing.get_all_start_methods()]


def test_it_has_the_services_form() -> None:
    assert re.fullmatch("event_[0-9A-Za-z]{21}", new_event_id())


def test_ids_differ_and_sort_as_they_were_made() -> None:
    made = [new_event_id() for _ in range(1000)]
    assert made == sorted(set(made))
    assert {name[:17] for name in made} == {made[0][:17]}
    first = int(made[0][17:], 16)
    assert [name[17:] for name in made] == [f"{first + n:010x}" for n in range(1000)]


def test_threads_never_get_the_same() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [
            name
            for names in pool.map(lambda _: [new_event_id() for _ in range(20_000)], range(8))
            for name in names
        ]
    assert len(set(made)) == 160_000


def _some(_: int) -> list[str]:
    return [new_event_id() for _ in range(10)]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", METHODS)
def test_a_child_does_not_go_on_with_its_parents(method: str) -> None:
    before = [new_event_id() for _ in range(10)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        children = [name for names in pool.map(_some, range(6), chunksize=1) for name in names]
    after = [new_event_id() for _ in range(10)]
    made = [*before, *children, *after]
    assert len(set(made)) == len(made) == 80


def test_a_head_is_64_bits_in_base_62(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = {event_ids._head() for _ in range(2000)}
    assert len(heads) == 2000
    assert all(re.fullmatch("[0-9A-Za-z]{11}", head) for head in heads)
    for byte in (b"\0", b"\xff", b"\x80"):
        monkeypatch.setattr(event_ids.os, "urandom", lambda size, byte=byte: byte * size)
        digits = [(string.digits + string.ascii_letters).index(char) for char in event_ids._head()]
        assert sum(digit * 62**place for place, digit in enumerate(digits)) == int.from_bytes(byte * 8)
