"""What a peer takes besides time: the memory of an event that is held, and the time of its import."""

import gc
import os
import subprocess
import sys
import tracemalloc

from rtproto.bench.cases import Case
from rtproto.bench.measure import Pair, Taken, Timer, in_common, side_by_side
from rtproto.bench.operations import OPERATIONS
from rtproto.bench.peers import Peer

__all__ = ["hold", "import_both"]

_DECODE = OPERATIONS["decode"]
_IMPORT = "from time import perf_counter; began = perf_counter(); {imports}; print(perf_counter() - began)"
_IMPORTS = 3


def hold(case: Case, ours: Peer, theirs: Peer) -> Taken:
    """The bytes of an event of these frames, on average, while it is held."""
    common = in_common(_DECODE, case, ours, theirs)
    if not common.ours:
        return common.taken([])
    return common.taken([Pair(_held_bytes(ours, common.ours), _held_bytes(theirs, common.theirs))])


def _held_bytes(peer: Peer, frames: list[bytes]) -> float:
    """Each frame is copied as from a socket: what an event keeps of it counts, and nothing else does.

    To collect the garbage before and after also empties the interpreter's lists of free objects.
    """
    first = [peer.decode(frame) for frame in frames]  # What a parser keeps of keys is not of the event.
    gc.collect()
    tracemalloc.start()
    try:
        events = [peer.decode(bytes(bytearray(frame))) for frame in frames]
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / len(events)
    finally:
        tracemalloc.stop()
        del first


def import_both(ours: Peer, theirs: Peer, rounds: int) -> Taken:
    """The imports of both, each in a fresh interpreter, whose start is not timed."""
    timers = _import_timer(ours.imports), _import_timer(theirs.imports)
    for timer in timers:
        timer()  # Now there is bytecode.
    return Taken(side_by_side(*timers, rounds=min(rounds, _IMPORTS)), 0, 0, None)


def _import_timer(imports: str) -> Timer:
    command = [sys.executable, "-c", _IMPORT.format(imports=imports)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return lambda: float(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)  # noqa: S603
