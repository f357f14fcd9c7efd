"""Two are timed side by side, round by round, in turn; and nothing is timed that is not right."""

from collections import Counter
from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

from rtproto.bench.cases import Case
from rtproto.bench.operations import Operation
from rtproto.bench.peers import Peer

__all__ = ["Pair", "Taken", "Timer", "in_common", "side_by_side", "take", "taken"]

_SECONDS = 0.002  # of one timing, at least

Timer: TypeAlias = Callable[[], float]
"""Does its work, and tells the seconds that one piece of it took."""


class Pair(NamedTuple):
    """What two took in one round: seconds, or bytes."""

    ours: float
    theirs: float


def side_by_side(ours: Timer, theirs: Timer, rounds: int) -> list[Pair]:
    """Both, a round each, in alternating order."""
    found: list[Pair] = []
    for number in range(rounds):
        if number % 2:
            first = ours()
            found.append(Pair(first, theirs()))
        else:
            first = theirs()
            found.append(Pair(ours(), first))
    return found


class Taken(NamedTuple):
    """What came of a peer at one operation on one case."""

    pairs: list[Pair]
    """Its rounds beside ours; none: it gets no frame right."""
    wrong: int
    """How many frames one of the two gets wrong; they are timed for neither."""
    why: str | None
    """Why, for most of them."""


def take(operation: Operation, case: Case, ours: Peer, theirs: Peer, rounds: int) -> Taken:
    """Time a peer beside ours, on the frames that both get right."""
    mine, found, problems = in_common(operation, case, ours, theirs)
    if not found:
        return taken([], problems)
    return taken(
        side_by_side(_timer(operation, ours, mine), _timer(operation, theirs, found), rounds), problems
    )


def taken(pairs: list[Pair], problems: Counter[str]) -> Taken:
    """Its rounds, with the problems that frames were left out for."""
    return Taken(pairs, problems.total(), problems.most_common(1)[0][0] if problems else None)


def in_common(
    operation: Operation, case: Case, ours: Peer, theirs: Peer
) -> tuple[list[Any], list[Any], Counter[str]]:
    """What each is given for the frames that both get right; and what is wrong with the others."""
    given: tuple[list[Any], list[Any]] = ([], [])
    problems: Counter[str] = Counter()
    for frame in case.frames:
        problem = operation.problem(theirs, frame) or operation.problem(ours, frame)
        if problem:
            problems[problem] += 1
            continue
        for peer, things in zip((ours, theirs), given, strict=True):
            things.append(operation.given(peer, frame))
    return *given, problems


def _timer(operation: Operation, peer: Peer, given: list[Any]) -> Timer:
    work = operation.work_of(peer)

    def once(things: list[Any]) -> float:
        began = perf_counter()
        for thing in things:
            work(thing)
        return perf_counter() - began

    once(given)
    things = given * max(1, round(_SECONDS / once(given)))
    return lambda: once(things) / len(things)
