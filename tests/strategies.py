"""Hypothesis strategies read off the annotations, so that no event and no field is left out."""

import json
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from rtproto import UNSET, Unknown, UnsetType
from rtproto._struct import Open

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
INTEGERS = st.integers(-(2**70), 2**70)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    Any: JSON,
    str: TEXT,
    int: INTEGERS,
    float: FLOATS,
    bool: st.booleans(),
    NoneType: st.none(),
    UnsetType: st.just(UNSET),
}


def _unknown(kind: str, rest: dict[str, Any]) -> Unknown:
    fields = {"type": f"x_{kind}", **{f"x_{key}": value for key, value in rest.items()}}
    return Unknown(f"x_{kind}", json.dumps(fields, ensure_ascii=False).encode())


_PLAIN[Open] = st.builds(_unknown, TEXT, st.dictionaries(TEXT, JSON, max_size=3))


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a type as a decoder makes them: an open union may hold an Unknown."""
    origin, args = get_origin(annotation), get_args(annotation)
    return (
        _PLAIN[annotation] if annotation in _PLAIN else _CONTAINERS.get(origin, _struct_of)(annotation, args)
    )


def _one_of(_: Any, args: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return st.one_of(*map(values, args))


def _struct_of(annotation: Any, _: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return structs(annotation)


_CONTAINERS: dict[Any, Callable[[Any, tuple[Any, ...]], st.SearchStrategy[Any]]] = {
    Union: _one_of,
    UnionType: _one_of,
    Annotated: lambda _, args: values(args[0]),
    list: lambda _, args: st.lists(values(args[0]), max_size=3),
    dict: lambda _, args: st.dictionaries(TEXT, values(args[1]), max_size=3),
}


def structs(cls: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Structs of a class, every field with every kind of value it may hold."""
    fields = {field.name: values(field.type) for field in msgspec.structs.fields(cls)}
    return st.deferred(lambda: st.builds(cls, **fields))
