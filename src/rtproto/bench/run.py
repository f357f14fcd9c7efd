"""A run is several fresh processes, each with all peers in turn: no moment and no layout favours one."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median
from typing import NamedTuple

from rtproto._shown import shown
from rtproto.bench.cases import Case, built_in
from rtproto.bench.footprint import hold, import_both
from rtproto.bench.measure import Taken, take
from rtproto.bench.operations import BUILT_IN, OPERATIONS, Operation
from rtproto.bench.peers import Peer, load
from rtproto.bench.results import HOLD, Report, Row, cell_of, rounded, this_machine
from rtproto.capture import Direction

__all__ = ["IMPORT", "Frame", "Task", "built_in_tasks", "capture_tasks", "row_of", "run"]

IMPORT = "import"
"""The operation whose figure is the time of a fresh interpreter's import."""
_HELD = ("small delta", "audio delta 6.6 kB", "session.created", "response.done")
_UNITS = {HOLD: ("B", 1.0), IMPORT: ("ms", 1e3)}
_TIME = ("µs", 1e6)
_MOST_TYPES = 6


class Frame(NamedTuple):
    """A frame of a capture."""

    direction: Direction
    type: str
    raw: bytes


class Task(NamedTuple):
    """A row to be: an operation, by its name, on a case."""

    operation: str
    case: Case


def built_in_tasks() -> list[Task]:
    """Every operation on every built-in case that it is meant for, then memory and import."""
    cases = built_in()
    timed = [Task(operation, cases[name]) for operation, names in BUILT_IN.items() for name in names]
    return [*timed, *(Task(HOLD, cases[name]) for name in _HELD), Task(IMPORT, Case("–", ()))]


def capture_tasks(frames: Iterable[Frame]) -> list[Task]:
    """Every operation on the frames of a capture that it can be done to; some also type by type."""
    found = [*frames]
    timed = [
        Task(operation.name, case) for operation in OPERATIONS.values() for case in _cases(operation, found)
    ]
    return [*timed, *(Task(HOLD, case) for name, case in timed if name == "decode")]


def _cases(operation: Operation, frames: list[Frame]) -> Iterator[Case]:
    fit = [frame for frame in frames if operation.kind.takes(*frame)]
    if fit:
        yield Case(operation.kind.name, tuple(frame.raw for frame in fit))
    if operation.name.startswith("decode"):
        for name, _ in Counter(frame.type for frame in fit).most_common(_MOST_TYPES):
            yield Case(shown(name), tuple(frame.raw for frame in fit if frame.type == name))


def run(tasks: list[Task], *, processes: int, rounds: int, tell: Callable[[str], None]) -> Report:
    """Measure every task in every process; ``tell`` is told how far it is."""
    (ours, *others), _ = load()
    takes: list[list[list[Taken]]] = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for number in range(processes):
            tell(f"process {number + 1} of {processes}")
            takes.append(pool.submit(_take_all, tasks, rounds).result())
    return Report(
        machine=this_machine(library for peer in (ours, *others) for library in peer.libraries),
        processes=processes,
        rounds=rounds,
        remarks={peer.label: peer.remark for peer in (ours, *others)},
        rows=[row_of(task, others, found) for task, *found in zip(tasks, *takes, strict=True)],
    )


def _take_all(tasks: list[Task], rounds: int) -> list[list[Taken]]:
    """In a process of its own: for every task, every peer beside ours."""
    warnings.simplefilter("ignore")  # A peer's warning would quote the frame.
    (ours, *others), _ = load()
    return [[_take(task, ours, theirs, rounds) for theirs in others] for task in tasks]


def _take(task: Task, ours: Peer, theirs: Peer, rounds: int) -> Taken:
    if task.operation == HOLD:
        return hold(task.case, ours, theirs)
    if task.operation == IMPORT:
        return import_both(ours, theirs, rounds)
    return take(OPERATIONS[task.operation], task.case, ours, theirs, rounds)


def row_of(task: Task, others: list[Peer], found: list[list[Taken]]) -> Row:
    """The row that comes of a task: what was found in each process, of each peer."""
    by_peer = {peer.label: takes for peer, *takes in zip(others, *found, strict=True)}
    most = max(one.right for takes in by_peer.values() for one in takes)
    ours = [
        pair.ours for takes in by_peer.values() for one in takes if one.right == most for pair in one.pairs
    ]
    unit, scale = _UNITS.get(task.operation, _TIME)
    return Row(
        operation=task.operation,
        case=task.case.name,
        frames=len(task.case.frames),
        bytes=task.case.mean_bytes,
        unit=unit,
        ours=rounded(scale * median(ours)) if ours else None,
        peers={
            label: cell_of(
                [pair.theirs / pair.ours for one in takes for pair in one.pairs],
                wrong=takes[0].wrong,
                why=takes[0].why,
            )
            for label, takes in by_peer.items()
        },
    )
