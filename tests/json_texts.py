"""JSON as anybody might write it, and a reader that keeps how it was written.

Hypothesis strategies for texts of every spelling: white space, escapes, number forms, keys given twice or
spelled otherwise, and strings that look like structure. :func:`parse` shares no code with the library.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

_PIECES = [
    *("a", "é", "漢", "😀", "/", "{", "}", "[", "]", ",", ":", " ", "type", "delta", "response.done"),
    *(r"\"", r"\\", r"\/", r"\n", r"\u0061", r"\u00e9", r"\u001F", r"\u001f", r"\ud83d\ude00", "\\u0022"),
    *(r"\"type\":\"", r"\"delta\":\"", "AAAA", "\x7f"),
]
_SPACES = st.sampled_from(["", "", "", "", " ", "\n", "\t \r"])
_NUMBERS = ["0", "-0", "7", "1.0", "1e3", "1E+2", "0.10", "-1.5e-7", "12345678901234567890123"]


def string_tokens(pieces: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[str]:
    """A string as it stands in JSON, its quotes included."""
    return st.lists(pieces or st.sampled_from(_PIECES), max_size=4).map(lambda parts: f'"{"".join(parts)}"')


_SCALARS = st.sampled_from([*_NUMBERS, "true", "false", "null"]) | string_tokens()
KEYS = string_tokens() | st.sampled_from(
    [
        '"type"',
        r'"\u0074ype"',
        '"event_id"',
        '"session"',
        r'"sess\u0069on"',
        '"delta"',
        r'"delt\u0061"',
        '"audio"',
    ]
)


@st.composite
def _listed(draw: st.DrawFn, parts: list[str], brackets: str) -> str:
    spaced = [f"{draw(_SPACES)}{part}{draw(_SPACES)}" for part in parts]
    return f"{brackets[0]}{','.join(spaced) or draw(_SPACES)}{brackets[1]}"


@st.composite
def _member(draw: st.DrawFn, key: str, value: str) -> str:
    return f"{key}{draw(_SPACES)}:{draw(_SPACES)}{value}"


def objects(
    values: st.SearchStrategy[str], *first: str, keys: st.SearchStrategy[str] = KEYS
) -> st.SearchStrategy[str]:
    """An object's text, with some members of its own among which these stand."""
    some = st.lists(st.tuples(keys, values).flatmap(lambda pair: _member(*pair)), max_size=4)
    return some.flatmap(
        lambda parts: st.permutations([*parts, *first]).flatmap(lambda all_: _listed(all_, "{}"))
    )


VALUES = st.recursive(
    _SCALARS,
    lambda inner: objects(inner) | st.lists(inner, max_size=3).flatmap(lambda parts: _listed(parts, "[]")),
    max_leaves=8,
)
"""Any JSON value, as text."""

EVENTS = objects(VALUES, '"type":"x.y"', keys=KEYS.filter(lambda key: json.loads(key) != "type"))
"""Any event of the type ``x.y``, as text."""


# Reading --------------------------------------------------------------------------------------


@dataclass
class Node:
    """A value, as it was written."""

    text: str
    members: list[tuple[str, "Node"]] | None = None
    """An object's, by the key as it is meant; ``None``: it is no object."""
    keys: tuple[str, ...] = ()
    """The keys as they are written."""

    def last(self, key: str) -> "Node | None":
        """The value of a key; of a repeated one the last."""
        found = [value for name, value in self.members or () if name == key]
        return found[-1] if found else None


_TOKEN = re.compile(r'[ \t\r\n]*("(?:[^"\\]|\\.)*"|[{}\[\],:]|[^ \t\r\n{}\[\],:"]+)')


def parse(text: str) -> Node:
    """Read sound JSON."""
    node, end = _value(text, 0)
    assert not text[end:].strip(" \t\r\n")
    return node


def _token(text: str, at: int) -> tuple[str, int]:
    found = _TOKEN.match(text, at)
    assert found, text[at : at + 20]
    return found[1], found.end()


def _value(text: str, at: int) -> tuple[Node, int]:
    token, after = _token(text, at)
    begin = after - len(token)
    if token not in "{[":
        return Node(text[begin:after]), after
    members: list[tuple[str, Node]] = []
    keys: list[str] = []
    while True:
        next_token, next_after = _token(text, after)
        if next_token in "}]":
            return Node(text[begin:next_after], members if token == "{" else None, tuple(keys)), next_after
        if next_token == ",":
            after = next_after
        elif token == "{":
            colon, after = _token(text, next_after)
            assert colon == ":"
            value, after = _value(text, after)
            members.append((json.loads(next_token), value))
            keys.append(next_token)
        else:
            _, after = _value(text, after)


def meant(text: str) -> Any:
    """What JSON text means, with the kind of every number."""
    return json.loads(text, parse_float=lambda number: ("float", float(number)))
