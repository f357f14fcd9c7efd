"""An event id is unique without asking twice for randomness: one random head per process, then a counter."""

import os
from collections.abc import Callable
from itertools import count
from string import ascii_letters, digits

__all__ = ["new_event_id"]

_BASE62 = digits + ascii_letters


def _head() -> str:
    """64 random bits in base 62, always 11 characters."""
    number, head = int.from_bytes(os.urandom(8)), ""
    for _ in range(11):
        number, digit = divmod(number, 62)
        head += _BASE62[digit]
    return head


def _source() -> Callable[[], str]:
    # Counter and formatting are C, so no thread can come between them.
    return map(f"event_{_head()}%010x".__mod__, count()).__next__


_next = _source()


def _start_anew() -> None:
    global _next  # noqa: PLW0603 - a forked child must not go on with its parent's ids
    _next = _source()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


def new_event_id() -> str:
    """A fresh id for an event: ``event_`` and 21 letters and digits, as the service writes them.

    11 of them are this process's own, random at its start and again after a fork; the others count in
    base 16 (2⁴⁰ ids; later ones are longer, and unique still). Safe to call from any thread. The ids
    sort as they were made, within a process. They are not secret: one tells the next.
    """
    return _next()
