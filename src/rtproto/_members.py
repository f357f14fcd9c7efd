"""Whatever is done to one member of an object, the others stay as they were written.

Members are read in C, as raw text by key. A dict holds no key twice, and not how a key was spelled: so an
object is edited as a dict only where that dict encodes to the very same tokens, and else walked member by
member. A long string is lifted out before and put back after: no audio and no long text is read through.
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Raw

from rtproto._encode import to_json
from rtproto._salvage import REFUSALS, Misfit
from rtproto._surrogates import has_surrogate, loads

__all__ = ["GONE", "Change", "Unwieldy", "decode_value", "edit", "find", "read_members", "replace"]

Steps: TypeAlias = Sequence[str]
"""The keys that lead to a value, from the outermost object in; one at least."""

Change: TypeAlias = tuple[Steps, Any]
"""A value's place, and the new value, or ``UNSET`` for none, or ``GONE``."""

T = TypeVar("T")

GONE: Final = object()
"""In place of a new value: there shall be none, and there must be one. ``UNSET`` minds nothing."""


def replace(raw: bytes, fields: dict[str, Any]) -> bytes:
    """:func:`edit` of members of the object itself, as fast as may be."""
    short, long = _lift(raw) if len(raw) > _WORTH_LIFTING else (raw, b"")
    try:
        members: dict[str, Any] = _decode(short)
    except REFUSALS:
        members = {}
    if not _is_all_of(short, members):
        return edit(raw, [((key,), value) for key, value in fields.items()])
    for key, value in fields.items():
        if value is UNSET:
            members.pop(key, None)
        else:
            members[key] = value
    edited = to_json(members)
    return edited.replace(_STAND_IN, long) if long else edited


def edit(raw: bytes, changes: Sequence[Change]) -> bytes:
    """The object with the changes made, in one pass.

    Raises:
        Misfit: a path leads nowhere.
        ValueError: a path leads into another, or is given twice.
    """
    return _without_long_string(_edit, raw, changes) if changes else raw


def find(raw: bytes, steps: Steps) -> bytes:
    """The text of the value at a path; raises :class:`Misfit`."""
    return _without_long_string(_find, raw, steps)


def decode_value(text: bytes) -> Any:
    """The Python value of some text; raises :class:`Misfit`."""
    try:
        return msgspec.json.decode(text)
    except REFUSALS:
        pass
    try:
        return loads(text)
    except (ValueError, RecursionError) as refusal:  # It may hold the text, and must not go along.
        fault = Misfit.of(refusal)
    raise fault


# Long strings ---------------------------------------------------------------------------------

_WORTH_LIFTING, _LONG = 4096, 1024
_ENDS = (b",", b"}", b"]")
_STAND_IN = b'"%b"' % os.urandom(16).hex().encode()  # which nobody can have written into a frame


def _lift(raw: bytes) -> tuple[bytes, bytes]:
    """The text with a stand-in for one long string, and that string; or all of it, and nothing.

    It is the string that ends the object, or else the one around its middle; of one with a quote in it, a
    part. Should it lie between two strings, and be none, the result is no JSON: there it would stand between
    them without a comma.
    """
    if raw[-2:] == b'"}':
        begin, end = raw.rfind(b'"', 0, -2), len(raw) - 1
    else:
        middle = len(raw) // 2
        begin, end = raw.rfind(b'"', 0, middle), raw.find(b'"', middle) + 1
    if begin < 1 or end - begin <= _LONG or raw[end : end + 1] not in _ENDS:
        return raw, b""
    return raw[:begin] + _STAND_IN + raw[end:], raw[begin:end]


def _without_long_string(work: Callable[[bytes, T], bytes], raw: bytes, task: T) -> bytes:
    """What some work on a text gives, its long string lifted out meanwhile."""
    if len(raw) > _WORTH_LIFTING:
        short, long = _lift(raw)
        try:
            return work(short, task).replace(_STAND_IN, long)
        except Misfit:
            pass  # It was no string; or the path is wrong, as the whole text will tell.
    return work(raw, task)


# As a dict ------------------------------------------------------------------------------------

_decode = msgspec.json.Decoder(dict[str, Raw]).decode


def _edit(raw: bytes, changes: Sequence[Change]) -> bytes:
    members = read_members(raw)
    places: list[tuple[dict[str, Any], Steps, Any]] = []
    for steps, value in changes:
        try:
            inside = _descend(members, steps)
        except Misfit:
            if value is UNSET:
                continue  # There is none.
            raise
        if value is GONE:
            _must_have(inside, steps)
        places.append((inside, steps, value))
    if len(places) > 1:
        _apart(places)
    if not _is_all_of(raw, members):
        return _edit_as_written(raw, [(steps, value) for _, steps, value in places])
    for inside, steps, value in places:
        if value is UNSET or value is GONE:
            inside.pop(steps[-1], None)
        else:
            inside[steps[-1]] = value
    return to_json(members)


def _apart(places: Sequence[tuple[dict[str, Any], Steps, Any]]) -> None:
    """Refuse changes of which one undoes another."""
    ends = [(inside, steps[-1]) for inside, steps, _ in places]
    is_once = len({(id(inside), key) for inside, key in ends}) == len(ends)
    if not is_once or any(type(inside.get(key)) is dict for inside, key in ends):
        raise ValueError("one of the paths leads into another, or is given twice")


def _find(raw: bytes, steps: Steps) -> bytes:
    inside = _descend(read_members(raw), steps)
    _must_have(inside, steps)
    return bytes(inside[steps[-1]])


def _must_have(inside: dict[str, Any], steps: Steps) -> None:
    if steps[-1] not in inside:
        raise Misfit(_path(steps), "not there")


def read_members(raw: bytes | Raw) -> dict[str, Any]:
    """The members' text by key, of a repeated key the last; raises :class:`Misfit`."""
    try:
        members: dict[str, Any] = _decode(raw)
        return members
    except REFUSALS as refusal:
        fault = Misfit.of(refusal)
    try:
        if has_surrogate(text := bytes(raw)) and isinstance(loads(text), dict):
            return {key: Raw(value.encode()) for key, _, value in _walked(text)}
    except (ValueError, RecursionError):
        pass
    raise fault


def _descend(members: dict[str, Any], steps: Steps) -> dict[str, Any]:
    """The members of the object that a path ends in, read into those around it; raises :class:`Misfit`."""
    inside: Any = members
    depth = 0
    try:
        for step in steps[:-1]:
            depth += 1
            outside, inside = inside, inside[step]
            if isinstance(inside, Raw):
                inside = outside[step] = read_members(inside)
    except KeyError:
        raise Misfit(_path(steps[:depth]), "not there") from None
    except Misfit as misfit:
        raise Misfit(_path(steps[:depth]), misfit.reason) from None
    return inside  # type: ignore[no-any-return]


def _path(steps: Steps) -> str:
    return "".join(f".{step}" for step in steps)


def _is_all_of(raw: bytes, members: dict[str, Any]) -> bool:
    """Whether the dict lost nothing: it encodes to the same, or does with Python's spaces in it."""
    try:
        encoded = to_json(members)
        return encoded == raw or msgspec.json.format(encoded, indent=0) == raw
    except REFUSALS:  # half a surrogate pair
        return False


# As it is written -----------------------------------------------------------------------------

_MOST_VALUES = 20_000


class Unwieldy(Misfit):
    """An object that spells or repeats its keys has more commas than are walked: it would take long, and to
    no honest end.
    """


_scan = json.JSONDecoder(parse_int=len).raw_decode  # It gives up on long integers, if it is to make them.
_space = re.compile(r"[ \t\r\n]*").match


def _after_space(text: str, at: int) -> int:
    space = _space(text, at)
    return space.end() if space else at


def _walk(text: str) -> Iterator[tuple[str, str, str]]:
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


def _walked(raw: bytes) -> list[tuple[str, str, str]]:
    if raw.count(b",") > _MOST_VALUES:
        raise Unwieldy("", "too many values to edit one by one")
    try:
        return list(_walk(raw.decode("utf-8", _KEEP_BYTES)))
    except RecursionError:
        raise Misfit("", "nested too deeply") from None


def _edit_as_written(raw: bytes, changes: Sequence[Change]) -> bytes:
    """The same edit, of an object that spells or repeats its keys; of a changed key only the last stays."""
    if not changes:
        return raw
    members = _walked(raw)
    last = {key: place for place, (key, _, _) in enumerate(members)}
    inside: defaultdict[str, list[Change]] = defaultdict(list)
    for (key, *rest), value in changes:
        inside[key].append((rest, value))
    new = {key: _changed(members[last[key]][2] if key in last else "", inside[key]) for key in inside}
    parts: list[str] = []
    for place, (key, head, value) in enumerate(members):
        if key not in new:
            parts.append(head + value)
        elif place == last[key] and (text := new[key]) is not None:
            parts.append(head + text)
    added = ((key, text) for key, text in new.items() if text is not None and key not in last)
    parts += [f"{to_json(key).decode()}:{text}" for key, text in added]
    return f"{{{','.join(parts)}}}".encode("utf-8", _KEEP_BYTES)


def _changed(text: str, changes: Sequence[Change]) -> str | None:
    """The text of a member after the changes to it, or inside it; ``None``: there is none."""
    steps, value = changes[0]
    if steps:
        return _edit(text.encode("utf-8", _KEEP_BYTES), changes).decode("utf-8", _KEEP_BYTES)
    return None if value is UNSET or value is GONE else to_json(value).decode("utf-8", _KEEP_BYTES)
