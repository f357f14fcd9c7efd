"""A reader of JSON that keeps how it was written, and shares no code with the library."""

import json
import re
from dataclasses import dataclass
from typing import Any


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
