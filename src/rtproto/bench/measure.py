"""Two are timed side by side, round by round, in turn; and nothing is timed that is not right."""

from collections import Counter
from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

from rtproto.bench.cases import Case
from rtproto.bench.operations import Operation
from rtproto.bench.peers import Peer

__all__ = ["SECONDS", "Common", "Pair", "Taken", "Timer", "in_common", "side_by_side", "take"]

SECONDS = 0.002
"""How long one timing takes, at least."""

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
    """Its rounds beside ours; none: no frame comes out right."""
    right: int
    """How many frames both get right; no others are timed."""
    wrong: int
    """How many frames one of the two gets wrong."""
    why: str | None
    """Why, for most of them."""


class Common(NamedTuple):
    """What two peers are given for the frames that both get right."""

    ours: list[Any]
    theirs: list[Any]
    problems: Counter[str]
    """What is wrong with the others; it is theirs unless it says that it is ours."""

    def taken(self, pairs: list[Pair]) -> Taken:
        """With the rounds that came of it."""
        why = self.problems.most_common(1)[0][0] if self.problems else None
        return Taken(pairs, len(self.ours), self.problems.total(), why)


def take(operation: Operation, case: Case, ours: Peer, theirs: Peer, rounds: int) -> Taken:
    """Time a peer beside ours, on the frames that both get right."""
    common = in_common(operation, case, ours, theirs)
    if not common.ours:
        return common.taken([])
    timers = _timer(operation, ours, common.ours), _timer(operation, theirs, common.theirs)
    return common.taken(side_by_side(*timers, rounds=rounds))


def in_common(operation: Operation, case: Case, ours: Peer, theirs: Peer) -> Common:
    """What both are given, and what either gets wrong."""
    found = Common([], [], Counter())
    for frame in case.frames:
        mine, problem = operation.problem(ours, frame), operation.problem(theirs, frame)
        if mine or problem:
            found.problems[f"{ours.label} {mine}" if mine else str(problem)] += 1
        else:
            found.ours.append(operation.given(ours, frame))
            found.theirs.append(operation.given(theirs, frame))
    return found


def _timer(operation: Operation, peer: Peer, given: list[Any]) -> Timer:
    work = operation.work_of(peer)

    def once(things: list[Any]) -> float:
        began = perf_counter()
        for thing in things:
            work(thing)
        return perf_counter() - began

    once(given)
    things = given * max(1, round(SECONDS / once(given)))
    return lambda: once(things) / len(things)
