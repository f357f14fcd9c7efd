"""Who listens needs no right but to the session, who speaks needs a token that says so.

A line of the file of tokens is ``NAME:SHA256 SESSION RIGHT``::

    ada:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 * speak
    tv:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752 main,press listen
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import msgspec

from rtproto.services.fanout.bus import check_name
from rtproto.services.proxy.admission import Admission, token_lines
from rtproto.services.proxy.opening import Refused

__all__ = ["Entrant", "Grant", "Right", "Rights", "read_grants"]

Right: TypeAlias = Literal["listen", "speak"]
"""``speak``: to listen, and to send events to the service."""

_ANY = "*"


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What one token is good for."""

    digest: str
    """The SHA-256 of the token, in hexadecimal."""
    sessions: frozenset[str] | None = None
    """The names of sessions; ``None``: any."""
    right: Right = "listen"
    """What may be done there."""

    def __repr__(self) -> str:
        return f"<Grant {self.right}>"

    def covers(self, session: str) -> bool:
        """Whether it is good for a session."""
        return self.sessions is None or session in self.sessions


class Entrant(msgspec.Struct, frozen=True):
    """Who came in."""

    name: str | None
    """The name of its token; ``None``: nobody asked for one."""
    may_speak: bool
    """Whether it may send events to the service."""


class Rights:
    """Lets listeners in, and counts those that are.

    Args:
        grants: what each token is good for, by a name; ``None``: everybody may listen, and nobody speak.
        origins: the web pages (``https://app.example``) that a browser may come from, beside the hub's own.
            Without any, and with tokens, every page may; without tokens none.
        max_listeners: how many listeners there may be at once.
        max_listeners_per_token: how many with one token.

    Raises:
        ValueError: an argument is not what it should be; it is named.
    """

    def __init__(
        self,
        grants: Mapping[str, Grant] | None = None,
        origins: Collection[str] | None = None,
        max_listeners: int | None = None,
        max_listeners_per_token: int | None = None,
    ) -> None:
        digests = None if grants is None else {name: grant.digest for name, grant in grants.items()}
        self._grants = grants
        self._admission = Admission(digests, origins, max_listeners, max_listeners_per_token)

    @property
    def is_open(self) -> bool:
        """Whether nobody needs a token."""
        return self._grants is None

    @property
    def lets_speak(self) -> bool:
        """Whether there is anybody who may speak."""
        return any(grant.right == "speak" for grant in (self._grants or {}).values())

    def enter(self, token: str | None, origin: str | None, session: str) -> Entrant:
        """Let a listener in, and count it until :meth:`leave`; ``origin``: ``None`` for the hub's own page.

        Raises:
            Refused: it may not come in (401, 403), or not now (429, 503).
        """
        name = self._admission.enter(token, origin)
        if self._grants is None or name is None:
            return Entrant(name, may_speak=False)
        grant = self._grants[name]
        if not grant.covers(session):
            self._admission.leave(name)
            raise Refused(403, "this token is for other sessions")
        return Entrant(name, may_speak=grant.right == "speak")

    def leave(self, entrant: Entrant) -> None:
        """A listener is gone that :meth:`enter` let in."""
        self._admission.leave(entrant.name)

    def covered(self, token: str | None, origin: str | None, sessions: Collection[str]) -> list[str]:
        """Those of some sessions that a token is good for.

        Raises:
            Refused: it may not come in (401, 403).
        """
        name = self._admission.name_of(token, origin)
        if self._grants is None or name is None:
            return [*sessions]
        return [*filter(self._grants[name].covers, sessions)]


def read_grants(path: Path) -> dict[str, Grant]:
    """What tokens are good for, from a file; a line with ``#`` in front is none.

    Raises:
        OSError: the file cannot be read.
        ValueError: a line is not that, or says what another did; its number is told, not what it holds.
    """
    found: dict[str, Grant] = {}
    for number, line in token_lines(path):
        try:
            name, grant = _grant(line)
            Rights({name: grant})
        except ValueError:
            raise ValueError(f"line {number} is no NAME:SHA256 SESSION RIGHT") from None
        if name in found or any(grant.digest == other.digest for other in found.values()):
            raise ValueError(f"line {number} has the name or the token of another")
        found[name] = grant
    return found


def _grant(line: str) -> tuple[str, Grant]:
    who, sessions, right = line.split()
    name, _, digest = who.partition(":")
    if right not in get_args(Right):
        raise ValueError("no such right")
    named = None if sessions == _ANY else frozenset(map(check_name, sessions.split(",")))
    return name, Grant(digest=digest.lower(), sessions=named, right="speak" if right == "speak" else "listen")
