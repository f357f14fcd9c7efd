"""Where to listen is written as ``HOST:PORT``, or as ``[HOST]:PORT`` where the host has colons itself."""

import re
from ipaddress import ip_address
from typing import TypeAlias

__all__ = ["Address", "is_this_machine", "read_address"]

Address: TypeAlias = tuple[str, int]
"""A host and a port."""

_PORT = re.compile(r"[0-9]{1,5}")


def read_address(text: str) -> Address:
    """The host and port that are written; raises ``ValueError``."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not _PORT.fullmatch(port) or int(port) >= 2**16:
        raise ValueError("address must be HOST:PORT, as 127.0.0.1:8080")
    return host, int(port)


def is_this_machine(host: str) -> bool:
    """Whether nobody on another machine gets there."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
