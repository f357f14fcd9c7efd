"""How a cost grows, by instruction counts: a test of the algorithm, which no noise can trip."""

import shutil
from itertools import pairwise

import pytest
from bench.counts import count

pytestmark = pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind counts, and is not installed")


def costs(statement: str, sizes: list[int], calls: int) -> list[int]:
    found = count([statement % size for size in sizes], calls=calls, layouts=1)
    return [*found.instructions.values()]


def rises(found: list[int]) -> list[float]:
    """By how much more each doubling adds than the one before: twice as much if growth is linear."""
    steps = [larger - smaller for smaller, larger in pairwise(found)]
    return [later / earlier for earlier, later in pairwise(steps)]


def test_a_session_is_decoded_in_linear_time() -> None:
    found = costs("for frame in session[:%d]: decode_server(frame)", [35, 70, 140, 280, 560], 10)
    assert all(1.95 < rise < 2.05 for rise in rises(found)), found


@pytest.mark.parametrize("data", ["audio_delta", "audio_delta_text"])
def test_a_type_is_told_in_constant_time(data: str) -> None:
    found = costs(f"probe_type({data}[%d])", [1000 * 2**power for power in range(10)], 500)
    assert max(found) < 1.1 * min(found), found


def test_an_edit_takes_linear_time() -> None:
    sizes = [8000 * 2**power for power in range(6)]
    found = costs("ServerFrame(audio_delta[%d]).replace(event_id='event_2')", sizes, 20)
    assert all(1.9 < rise < 2.1 for rise in rises(found)), found
