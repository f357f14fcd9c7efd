"""Half a surrogate pair spoils no frame.

RFC 8259 allows one, and JavaScript writes one when it cuts an emoji in two. msgspec reads none, nor a number
beyond all bounds; so what it refused for that is read here, as strictly otherwise.
"""

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["has_surrogate", "loads"]

has_surrogate = re.compile(rb"\\u[dD][89a-fA-F]").search
"""Whether JSON text has an escaped surrogate in it."""


def loads(raw: bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """The value of JSON text, ``pairs`` making its objects; raises ``ValueError`` or ``RecursionError``."""
    return json.loads(raw.decode(), parse_constant=_refuse, parse_int=_integer, object_pairs_hook=pairs)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 4300 else float(digits)  # where int() gives up
