"""Half a surrogate pair spoils no frame.

RFC 8259 allows one, and JavaScript writes one when it cuts an emoji in two. msgspec reads none, so what
it refused for that is read here, as strictly otherwise.
"""

import json
import re
from typing import Any, NoReturn

__all__ = ["loads"]

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def loads(raw: bytes) -> Any:
    """The value of JSON text with an escaped surrogate in it; raises ``ValueError`` or ``RecursionError``."""
    if not _SURROGATE.search(raw):
        raise ValueError("no surrogate in it")
    return json.loads(raw.decode(), parse_constant=_refuse, parse_int=float)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
