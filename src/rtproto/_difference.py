"""What an event's change means for its frame: what the model does not know of it is no part of the change.

Three texts tell: the frame, what the model made of it, and the changed event. What is in the second and not
in the third was taken out, what differs was changed; what is only in the first is unknown, and stays.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from rtproto._members import Change, edit, read_members
from rtproto._salvage import REFUSALS

__all__ = ["difference"]

_decode_list = msgspec.json.Decoder(list[Raw]).decode


def difference(raw: bytes, known: bytes, new: bytes) -> list[Change]:
    """The changes that make the object ``new``, save for what was not ``known`` of it; raises ``Misfit``.

    ``known`` is what the model says of ``raw``. A value that is the same in both stays as it is written in
    ``raw``; one that is not is changed inside, where it is still an object of its kind, or a list.
    """
    return list(_differences(raw, known, new))


def _differences(raw: bytes, known: bytes, new: bytes) -> Iterator[Change]:
    mine, before, after = map(read_members, (raw, known, new))
    for key, value in after.items():
        if key not in before:
            yield (key,), value
        elif before[key] != value:
            for steps, change in _changes(bytes(mine[key]), bytes(before[key]), bytes(value)):
                yield (key, *steps), change
    yield from (((key,), UNSET) for key in before if key not in after)


def _changes(mine: bytes, before: bytes, after: bytes) -> Iterable[Change]:
    """What makes one value of another: changes inside it, or a new one in its place."""
    starts = {text[:1] for text in (mine, before, after)}
    if starts == {b"{"} and _kind(before) == _kind(after):
        return _differences(mine, before, after)
    return [((), Raw(_merged_list(mine, before, after) if starts == {b"["} else after))]


def _merged_list(mine: bytes, before: bytes, after: bytes) -> bytes:
    """The list ``after``, each element with what was not known of the one it was made from."""
    try:
        mine_, before_, after_ = (
            [bytes(item) for item in _decode_list(raw)] for raw in (mine, before, after)
        )
    except REFUSALS:  # half a surrogate pair
        return after
    merged = (
        item if source is None else _merged(mine_[source], before_[source], item)
        for item, source in zip(after_, _sources(before_, after_), strict=True)
    )
    return b"[%b]" % b",".join(merged)


def _merged(mine: bytes, before: bytes, after: bytes) -> bytes:
    if before == after:
        return mine
    changes = list(_changes(mine, before, after))
    return changes[0][1] if changes and not changes[0][0] else edit(mine, changes)


def _sources(before: list[bytes], after: list[bytes]) -> list[int | None]:
    """For each new element the place of the old one it was made from: its equal, else the one of its name,
    else, if the list did not get shorter, the one in its place; ``None``: it is new.
    """
    sources: list[int | None] = [None] * len(after)
    left = set(range(len(before)))
    for same in (_itself, _name, _place) if len(after) >= len(before) else (_itself, _name):
        waiting: defaultdict[Any, deque[int]] = defaultdict(deque)
        for place in sorted(left):
            waiting[same(before[place], place)].append(place)
        for place, item in enumerate(after):
            key = same(item, place)
            if sources[place] is None and key and waiting[key]:
                sources[place] = waiting[key].popleft()
        left -= {source for source in sources if source is not None}
    return sources


class _Names(msgspec.Struct, gc=False):
    type: Raw = Raw()
    id: Raw = Raw()
    call_id: Raw = Raw()
    name: Raw = Raw()


_decode_names: Callable[[bytes], _Names] = msgspec.json.Decoder(_Names).decode


def _names(text: bytes) -> tuple[bytes, ...]:
    """What tells an object from others: its type, then its names; nothing of what is no object."""
    try:
        names = _decode_names(text)
    except REFUSALS:
        return (b"",)
    return tuple(map(bytes, (names.type, names.id, names.call_id, names.name)))


def _itself(text: bytes, _: int) -> object:
    return text


def _name(text: bytes, _: int) -> object:
    names = _names(text)
    return names if any(names[1:]) else None


def _place(text: bytes, place: int) -> object:
    return place, _kind(text)


def _kind(text: bytes) -> bytes:
    return _names(text)[0]
