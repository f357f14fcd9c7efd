"""JSON as somebody writes it who wants two readers to differ: keys again, escaped, in any order and space."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

__all__ = ["Members", "events", "every_value", "first_wins"]


class Members(list[tuple[str, Any]]):
    """An object as its members, of which several may have one key."""


def events(
    types: Sequence[str], path: Sequence[str], values: Sequence[Any], others: Sequence[str]
) -> st.SearchStrategy[bytes]:
    """Text of events of these types, with such values at a path, once or more often, among other keys."""
    name = st.sampled_from(types)
    members = st.builds(
        lambda one, more, inner: Members([*(("type", name) for name in (one, *more)), *inner]),
        name,
        _seldom(name),
        _leading(tuple(path), values, others),
    )
    return (
        members.flatmap(lambda inner: st.permutations(inner).map(Members)).flatmap(_spelled).map(str.encode)
    )


def _leading(path: tuple[str, ...], values: Sequence[Any], others: Sequence[str]) -> st.SearchStrategy[Any]:
    if not path:
        return st.sampled_from(values)
    inner = _leading(path[1:], values, others) | st.sampled_from([None, "x", *values])
    on_path = st.tuples(st.just(path[0]), inner)
    beside = st.tuples(st.sampled_from([*others, *path]), st.sampled_from([None, 1, *values]))
    return st.builds(
        lambda one, more, rest: Members([one, *more, *rest]),
        on_path,
        _seldom(on_path),
        _seldom(beside),
    )


@st.composite
def _seldom(draw: st.DrawFn, strategy: st.SearchStrategy[Any]) -> list[Any]:
    return draw(st.lists(strategy, min_size=1, max_size=2)) if draw(st.integers(0, 9)) == 7 else []


@st.composite
def _spelled(draw: st.DrawFn, value: Any) -> str:
    if isinstance(value, str):
        escaped = draw(st.sets(st.integers(0, max(len(value) - 1, 0)), max_size=2))
        body = (f"\\u{ord(char):04x}" if at in escaped else char for at, char in enumerate(value))
        return f'"{"".join(body)}"'
    if isinstance(value, Members):
        space = draw(st.sampled_from(["", "", " ", "\n\t"]))
        pairs = (f"{draw(_spelled(key))}{space}:{space}{draw(_spelled(inner))}" for key, inner in value)
        return f"{{{space}{f',{space}'.join(pairs)}{space}}}"
    return json.dumps(value)


def first_wins(data: bytes) -> Any:
    """As a reader has it who takes the first of equal keys."""
    return json.loads(data, object_pairs_hook=lambda pairs: dict(reversed(pairs)))


def every_value(data: bytes, path: Sequence[str]) -> list[Any]:
    """All that any reader could find at a path, whichever of equal keys it takes."""
    return list(_reached(json.loads(data, object_pairs_hook=Members), tuple(path)))


def _reached(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if not path:
        yield value
    elif isinstance(value, Members):
        for key, inner in value:
            if key == path[0]:
                yield from _reached(inner, path[1:])
