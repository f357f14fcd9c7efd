"""What a peer takes besides time: the memory of an event that is held, and the time of its import."""

import subprocess
import sys
import tracemalloc

from rtproto.bench.cases import Case
from rtproto.bench.measure import Pair, Taken, Timer, in_common, side_by_side, taken
from rtproto.bench.operations import OPERATIONS
from rtproto.bench.peers import Peer

__all__ = ["hold", "import_both"]

_DECODE = OPERATIONS["decode"]
_IMPORT = (
    "from time import perf_counter; began = perf_counter(); import {modules}; print(perf_counter() - began)"
)
_IMPORTS = 3


def hold(case: Case, ours: Peer, theirs: Peer) -> Taken:
    """The bytes of an event of these frames, on average, while it is held."""
    mine, found, problems = in_common(_DECODE, case, ours, theirs)
    pairs = [Pair(_held_bytes(ours, mine), _held_bytes(theirs, found))] if found else []
    return taken(pairs, problems)


def _held_bytes(peer: Peer, frames: list[bytes]) -> float:
    decode = _DECODE.work_of(peer)
    tracemalloc.start()
    try:
        events = [decode(frame) for frame in frames]
        return tracemalloc.get_traced_memory()[0] / len(events)
    finally:
        tracemalloc.stop()


def import_both(ours: Peer, theirs: Peer, rounds: int) -> Taken:
    """The imports of both, each in a fresh interpreter, whose start is not timed."""
    timers = _import_timer(ours.modules), _import_timer(theirs.modules)
    return Taken(side_by_side(*timers, rounds=min(rounds, _IMPORTS)), 0, None)


def _import_timer(modules: str) -> Timer:
    command = [sys.executable, "-c", _IMPORT.format(modules=modules)]
    return lambda: float(subprocess.run(command, capture_output=True, check=True).stdout)  # noqa: S603
