"""An opening is what a client asks for before there is a session; what goes upstream is an edit of it."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, Self, TypeAlias
from urllib.parse import parse_qsl, quote

import msgspec

__all__ = ["Opening", "Refused", "Surface"]

Surface: TypeAlias = Literal["realtime", "transcription", "translation"]
"""What kind of session it is."""

_PATH = re.compile(r"(?:/(?!\.\.?/)[A-Za-z0-9._~-]+)*/realtime(?:/translations)?/?")


class Refused(Exception):
    """A client is not let in; it is answered by HTTP.

    Raises:
        ValueError: the status is none of an error, from 400 to 599.
    """

    def __init__(self, status: int, reason: str) -> None:
        if not 400 <= status < 600:
            raise ValueError("a refusal's status is from 400 to 599")
        super().__init__(reason)
        self.status = status
        """The HTTP status, 400 or above."""
        self.reason = reason
        """Why, in a few words that the client reads."""


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for. An edit makes another: ``opening.with_query("model", "gpt-realtime")``."""

    path: str
    """Where, without the query: ``/v1/realtime``."""
    query: str = ""
    """What stands behind the ``?``, as it was written."""
    headers: Mapping[str, str] = {}
    """The headers that go on to the service; the key is not among them."""
    subprotocols: Sequence[str] = ()
    """The subprotocols that it offers, without any key."""
    client: str | None = None
    """The name of the client's token; ``None``: nobody asked for one."""

    def __repr__(self) -> str:
        return f"<Opening {self.surface}>"

    def get(self, name: str) -> str | None:
        """A value of the query, the last of that name; ``None``: there is none."""
        return dict(parse_qsl(self.query, keep_blank_values=True)).get(name)

    def with_query(self, name: str, value: str | None) -> Self:
        """With one value set in the query, or taken out by ``None``; the others stay as they are written."""
        pairs = [pair for pair in self.query.split("&") if pair and _name(pair) != name]
        if value is not None:
            pairs.append(f"{quote(name, safe='')}={quote(value, safe='')}")
        return msgspec.structs.replace(self, query="&".join(pairs))

    def with_client(self, name: str | None) -> Self:
        """With the name of who asks, where you have found that out yourself."""
        return msgspec.structs.replace(self, client=name)

    def with_header(self, name: str, value: str) -> Self:
        """With one header set, whatever the case of its name."""
        others = {key: old for key, old in self.headers.items() if key.lower() != name.lower()}
        return msgspec.structs.replace(self, headers={**others, name: value})

    @property
    def model(self) -> str | None:
        """The model it asks for; ``None``: it names none."""
        return self.get("model")

    @property
    def call_id(self) -> str | None:
        """The call it joins; ``None``: none."""
        return self.get("call_id")

    @property
    def surface(self) -> Surface:
        """What kind of session it opens."""
        if self.path.rstrip("/").endswith("/translations"):
            return "translation"
        return "transcription" if self.get("intent") == "transcription" else "realtime"

    @property
    def is_realtime(self) -> bool:
        """Whether its path is one of Realtime's: a gateway's key is for no other."""
        return _PATH.fullmatch(self.path) is not None

    @property
    def target(self) -> str:
        """Path and query in one."""
        return f"{self.path}?{self.query}" if self.query else self.path


def _name(pair: str) -> str:
    return parse_qsl(pair, keep_blank_values=True)[0][0]
