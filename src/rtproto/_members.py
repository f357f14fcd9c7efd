"""Whatever is done to one member of an object, the others stay as they were written.

Members are read in C, as raw text by key. A dict holds no key twice, and not how a key was spelled: so an
object is edited as a dict only where that dict encodes to the very same tokens, and else walked member by
member. A long string is lifted out before and put back after: no audio and no long text is read through.
"""

import json
import os
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw

from rtproto._encode import to_json
from rtproto._salvage import REFUSALS, Misfit
from rtproto._surrogates import loads

__all__ = ["GONE", "Within", "difference", "edit", "find", "walk"]


class Within(dict[str, Any]):
    """Changes inside an object, by key: the new value, ``UNSET``, ``GONE``, or ``Within`` its own members."""


GONE: Final = object()
"""As a change: take the member out; it must be there. ``UNSET`` takes it out if it is."""


def edit(raw: bytes, changes: Within) -> bytes:
    """The object with the changes made; raises :class:`Misfit` where their path is not."""
    short, long = _lift(raw)
    try:
        return _put_back(_edit(short, changes), long)
    except Misfit:
        return _edit(raw, changes)


def _edit(raw: bytes, changes: Within) -> bytes:
    members = _open(raw, changes)
    if not _is_all_of(raw, members):
        return _edit_as_written(raw, changes)
    _change(members, changes)
    return to_json(members)


def find(raw: bytes, steps: Sequence[str]) -> bytes:
    """The text of the value at the end of a path; raises :class:`Misfit`."""
    short, long = _lift(raw)
    try:
        return _put_back(_find(short, steps), long)
    except Misfit:
        return _find(raw, steps)


def _find(raw: bytes, steps: Sequence[str]) -> bytes:
    if not steps:
        return raw
    members, (step, *rest) = _members(raw), steps
    _must_have(step, members)
    try:
        return _find(bytes(members[step]), rest)
    except Misfit as misfit:
        raise misfit.below(f".{step}") from None


# Long strings ---------------------------------------------------------------------------------

_LONG = 512
_STAND_IN = b'"%b"' % os.urandom(16).hex().encode()  # which nobody can have written into a frame


def _lift(raw: bytes) -> tuple[bytes, bytes]:
    """The text with a stand-in for the long string around its middle, and that string; else all, and nothing.

    If what lies between the two quotes is no string, the result is no JSON: two strings stand side by side.
    """
    if len(raw) < 2 * _LONG:
        return raw, b""
    middle = len(raw) // 2
    begin, end = raw.rfind(b'"', 0, middle), raw.find(b'"', middle)
    is_whole = end - begin > _LONG and begin > 0 and raw.find(b"\\", begin - 1, end) < 0
    if not is_whole or raw[end + 1 : end + 2] not in (b",", b"}", b"]"):
        return raw, b""
    return b"".join((raw[:begin], _STAND_IN, raw[end + 1 :])), raw[begin : end + 1]


def _put_back(text: bytes, long: bytes) -> bytes:
    before, found, after = text.partition(_STAND_IN) if long else (text, b"", b"")
    return b"".join((before, long, after)) if found else text


# As a dict ------------------------------------------------------------------------------------

_decode = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode


def _members(raw: bytes | Raw) -> dict[str, Any]:
    """The members' text by key, of a repeated key the last; raises :class:`Misfit`."""
    try:
        return _decode(raw)
    except REFUSALS as refusal:
        fault = Misfit.of(refusal)
    try:
        text = bytes(raw)
        if isinstance(loads(text), dict):
            return {key: Raw(value.encode()) for key, _, value in walk(text.decode())}
    except (ValueError, RecursionError):
        pass
    raise fault


def _open(raw: bytes | Raw, changes: Within) -> dict[str, Any]:
    """The members, as dicts wherever the changes go inside; raises :class:`Misfit`."""
    members = _members(raw)
    for key, change in changes.items():
        if change is GONE:
            _must_have(key, members)
        elif isinstance(change, Within):
            _must_have(key, members)
            try:
                members[key] = _open(members[key], change)
            except Misfit as misfit:
                raise misfit.below(f".{key}") from None
    return members


def _must_have(key: str, members: dict[str, Any]) -> None:
    if key not in members:
        raise Misfit(f".{key}", "not there")


def _is_all_of(raw: bytes, members: dict[str, Any]) -> bool:
    """Whether the dict lost nothing: it encodes to the same, or does with Python's spaces in it."""
    try:
        encoded = to_json(members)
    except UnicodeEncodeError:  # half a surrogate pair in a key
        return False
    return encoded == raw or msgspec.json.format(encoded, indent=0) == raw


def _change(members: dict[str, Any], changes: Within) -> None:
    for key, change in changes.items():
        if change is UNSET or change is GONE:
            members.pop(key, None)
        elif isinstance(change, Within):
            _change(members[key], change)
        else:
            members[key] = change


# As it is written -----------------------------------------------------------------------------

_scan = json.JSONDecoder(strict=False, parse_int=str, parse_float=str).raw_decode
_space = re.compile(r"[ \t\r\n]*").match


def _after_space(text: str, at: int) -> int:
    space = _space(text, at)
    return space.end() if space else at


def walk(text: str) -> Iterator[tuple[str, str, str]]:
    """Each member of an object: its key, the text up to its value, and its value's. It must be sound JSON."""
    at = _after_space(text, 0) + 1
    while text[begin := _after_space(text, at)] != "}":
        key, at = _scan(text, begin)
        value = _after_space(text, _after_space(text, at) + 1)
        _, end = _scan(text, value)
        yield key, text[begin:value], text[value:end]
        at = _after_space(text, end)
        at += text[at] == ","


_KEEP_BYTES = "surrogateescape"  # UTF-8 that is none comes out as it went in.


def _edit_as_written(raw: bytes, changes: Within) -> bytes:
    """The same edit, of an object that spells or repeats its keys; of a changed key only the last stays."""
    members = list(walk(raw.decode("utf-8", _KEEP_BYTES)))
    last = {key: place for place, (key, _, _) in enumerate(members)}
    new = {key: _changed(members[last[key]][2] if key in last else "", changes[key]) for key in changes}
    parts = [
        head + new.get(key, value)
        for place, (key, head, value) in enumerate(members)
        if key not in new or (new[key] and place == last[key])
    ]
    parts += [f"{to_json(key).decode()}:{value}" for key, value in new.items() if value and key not in last]
    return f"{{{','.join(parts)}}}".encode("utf-8", _KEEP_BYTES)


def _changed(value: str, change: Any) -> str:
    """The text of a changed value; empty: there is none."""
    if change is UNSET or change is GONE:
        return ""
    within = isinstance(change, Within)
    new = _edit(value.encode("utf-8", _KEEP_BYTES), change) if within else to_json(change)
    return new.decode("utf-8", _KEEP_BYTES)


# What an event's change means for its frame ---------------------------------------------------


def difference(raw: bytes, known: bytes, new: bytes) -> Within:
    """The changes that make the object ``new``, save for what was not ``known`` of it; raises ``Misfit``.

    ``known`` is what the model says of ``raw``. A value that is the same in both stays as it is written in
    ``raw``; one that is not is changed inside, where it is still an object of its kind, or a list.
    """
    mine, before, after = _members(raw), _members(known), _members(new)
    changes = Within()
    for key, value in after.items():
        if key not in before or key not in mine:
            changes[key] = value
        elif bytes(before[key]) != bytes(value):
            changes[key] = _changes(mine[key], before[key], value)
    changes.update({key: UNSET for key in before if key not in after})
    return changes


def _changes(mine: Raw, before: Raw, after: Raw) -> Any:
    texts = bytes(mine), bytes(before), bytes(after)
    starts = {text[:1] for text in texts}
    if starts == {b"{"} and _kind(texts[1]) == _kind(texts[2]):
        return difference(*texts)
    return _merged_list(mine, before, after) if starts == {b"["} else after


def _merged_list(mine: Raw, before: Raw, after: Raw) -> Raw:
    """The list ``after``, each element with what was not known of the one it was made from."""
    mine_, before_, after_ = ([bytes(item) for item in _decode_list(raw)] for raw in (mine, before, after))
    sources = _sources(before_, after_)
    merged = (
        item if source is None else _merged(mine_[source], before_[source], item)
        for item, source in zip(after_, sources, strict=True)
    )
    return Raw(b"[%b]" % b",".join(merged))


def _merged(mine: bytes, before: bytes, after: bytes) -> bytes:
    if before == after:
        return mine
    change = _changes(Raw(mine), Raw(before), Raw(after))
    return edit(mine, change) if isinstance(change, Within) else bytes(change)


def _sources(before: list[bytes], after: list[bytes]) -> list[int | None]:
    """For each new element the place of the old one it was made from: its equal, else the one of its name,
    else the next of its kind; ``None``: it is new.
    """
    sources: list[int | None] = [None] * len(after)
    left = set(range(len(before)))
    for same in (bytes, _identity, _kind):
        waiting: defaultdict[Any, deque[int]] = defaultdict(deque)
        for place in sorted(left):
            waiting[same(before[place])].append(place)
        for place, item in enumerate(after):
            if sources[place] is None and (found := waiting[same(item)]):
                sources[place] = found.popleft()
        left -= set(sources)
    return sources


class _Names(msgspec.Struct, gc=False):
    type: Raw = Raw()
    id: Raw = Raw()
    name: Raw = Raw()


_decode_names: Callable[[bytes], _Names] = msgspec.json.Decoder(_Names).decode


def _identity(text: bytes) -> tuple[bytes, ...]:
    names = _decode_names(text) if text[:1] == b"{" else _Names()
    return bytes(names.type), bytes(names.id), bytes(names.name)


def _kind(text: bytes) -> bytes:
    return _identity(text)[0]
