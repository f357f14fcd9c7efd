"""A statement is repeated N and 2 N times, each in a forked child: the difference has no start-up in it.

``counts.py`` runs it under valgrind. It prints what it is built of, then a line per statement: the process
that ran it N times, and the one that ran it 2 N times. What the parent does between is next to nothing.
"""

import gc
import hashlib
import json
import os
import platform
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from timeit import Timer

import pybase64
from counted import NAMES

import rtproto

WARM_UP = 100


def build(name: str, module: str) -> str:
    """A library's version, and its binary's digest: builds of one version differ."""
    binary = Path(str(import_module(module).__file__)).read_bytes()
    return f"{version(name)} {hashlib.sha256(binary).hexdigest()[:12]}"


def builds() -> dict[str, str]:
    """What the counts depend on besides the code."""
    return {
        "python": sys.version.replace("\n", " "),
        "machine": platform.machine(),
        "valgrind": sys.argv[2],
        "libc": " ".join(platform.libc_ver()),
        "msgspec": build("msgspec", "msgspec._core"),
        "pybase64": f"{build('pybase64', 'pybase64._pybase64')} {pybase64.get_version()}",
    }


def ballast() -> list[bytes]:
    """Half of many objects of each size that the allocator has pools for, so that no pool is full or empty.

    At the edge of one, each object that is made would make a pool with it, by a hair's breadth of layout.
    """
    return [bytes(size) for size in range(0, 480, 16) for _ in range(2000)][::2]


def child(timer: Timer, calls: int) -> int:
    """A process that makes so many calls and ends; its number."""
    process = os.fork()
    if not process:
        try:
            timer.timeit(calls)
        finally:
            os._exit(sys.exc_info()[0] is not None)
    assert os.waitpid(process, 0)[1] == 0, "a statement fails when it is repeated"
    return process


def main() -> None:
    """Repeat the statements that standard input has, so many times as the argument says."""
    calls, source = int(sys.argv[1]), Path(sys.argv[3]).resolve()
    assert source in Path(rtproto.__file__).resolve().parents, f"there is no rtproto in {source.name}"
    print(json.dumps(builds()), flush=True)
    timers = [Timer(statement, globals=NAMES) for statement in json.load(sys.stdin)]
    kept = ballast()
    gc.freeze()
    for timer in timers:
        timer.timeit(WARM_UP)
        print(child(timer, calls), child(timer, 2 * calls), flush=True)
    assert kept


main()
