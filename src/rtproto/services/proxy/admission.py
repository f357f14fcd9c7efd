"""Who comes in is known by a token of its own, counted, and never by the key of the service.

A token is told to its client once; the proxy has its SHA-256 only::

    $ rtproto proxy --new-token ada >> tokens
"""

import hmac
import re
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qsl

from rtproto._sockets import Request, offered
from rtproto.services.proxy.opening import Opening, Refused

__all__ = [
    "KEY_SUBPROTOCOL",
    "Admission",
    "asked",
    "hash_token",
    "new_token",
    "read_tokens",
    "token_lines",
    "token_of",
    "token_shown",
]

KEY_SUBPROTOCOL = "openai-insecure-api-key."
"""What a browser, which sends no header of its own, puts before its token to make a subprotocol of it."""

_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_LINE = re.compile(rf"({_NAME.pattern}):([0-9a-fA-F]{{64}})")
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@*]+")
_AZURE = "api-key"
_SECRETS = frozenset({"authorization", _AZURE, "cookie"})


class Admission:
    """Lets clients in, and counts those that are.

    Args:
        tokens: the SHA-256 of each client's token in hexadecimal, by the client's name; ``None``: a client
            needs none, and has no name.
        origins: the web pages (``https://app.example``) that a browser may come from; ``None``: any, if
            there are tokens. Without tokens any page on the web could use a proxy on its reader's own
            machine, so then none may. What sends no ``Origin`` is no browser, and is not asked.
        max_sessions: how many sessions there may be at once in this process.
        max_sessions_per_client: how many of one token.

    Raises:
        ValueError: an argument is not what it should be; it is named.
    """

    def __init__(
        self,
        tokens: Mapping[str, str] | None = None,
        origins: Collection[str] | None = None,
        max_sessions: int | None = None,
        max_sessions_per_client: int | None = None,
    ) -> None:
        _check_most("max_sessions", max_sessions)
        _check_most("max_sessions_per_client", max_sessions_per_client)
        if tokens is None and max_sessions_per_client is not None:
            raise ValueError("max_sessions_per_client needs tokens: without them clients have no name")
        self._sessions: Counter[str | None] = Counter()  # that there are now, by client
        self._digests = None if tokens is None else _digests(tokens)
        self._origins = _origins(origins, is_open=tokens is not None)
        self._most = max_sessions
        self._most_each = max_sessions_per_client

    def enter(self, token: str | None, origin: str | None) -> str | None:
        """Let a client in, and count its session until :meth:`leave`; its name, if it needs one.

        Raises:
            Refused: it may not come in (401, 403), or not now (429, 503).
        """
        name = self.name_of(token, origin)
        if self._most_each is not None and self._sessions[name] >= self._most_each:
            raise Refused(429, "too many sessions of this client")
        if self._most is not None and self._sessions.total() >= self._most:
            raise Refused(503, "too many sessions")
        self._sessions[name] += 1
        return name

    def name_of(self, token: str | None, origin: str | None) -> str | None:
        """The name of a client, if it needs one; it is not counted.

        Raises:
            Refused: it may not come in (401, 403).
        """
        if origin is not None and self._origins is not None and origin.lower() not in self._origins:
            raise Refused(403, "this origin is not let in")
        return None if self._digests is None else _named(token, self._digests)

    def leave(self, name: str | None) -> None:
        """A session is over that :meth:`enter` let in under this name."""
        if not self._sessions[name]:
            raise ValueError("nobody of this name is in")
        self._sessions[name] -= 1
        if not self._sessions[name]:
            del self._sessions[name]


def _named(token: str | None, digests: Mapping[str, bytes]) -> str:
    """Whose token it is; every one is compared, so that the time it takes tells nothing of them."""
    given = _digest(token or "")
    found: str | None = None
    for name, digest in digests.items():
        found = name if hmac.compare_digest(given, digest) else found
    if not token or found is None:
        raise Refused(401, "this token is not let in" if token else "a token is needed")
    return found


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogatepass")).digest()


def _digests(tokens: Mapping[str, str]) -> dict[str, bytes]:
    if not all(_NAME.fullmatch(name) and _HASH.fullmatch(digest) for name, digest in tokens.items()):
        raise ValueError("tokens must be SHA-256 in hexadecimal, by names of letters, digits and . _ @ -")
    return {name: bytes.fromhex(digest) for name, digest in tokens.items()}


def _origins(origins: Collection[str] | None, *, is_open: bool) -> frozenset[str] | None:
    if origins is None:
        return None if is_open else frozenset()
    found = frozenset(origin.lower() for origin in origins)
    if isinstance(origins, str) or not all(_ORIGIN.fullmatch(origin) for origin in found):
        raise ValueError("origins must be SCHEME://HOST[:PORT], without a path or a *")
    return found


def _check_most(name: str, most: int | None) -> None:
    if most is not None and most < 1:
        raise ValueError(f"{name} must be at least 1")


# Tokens ---------------------------------------------------------------------------------------


def new_token() -> str:
    """A new token, at random."""
    return f"rtp_{secrets.token_urlsafe(32)}"


def hash_token(token: str) -> str:
    """What a proxy has of a token: its SHA-256 in hexadecimal.

    It is not salted: a token of :func:`new_token` cannot be guessed, a word that somebody chose could be.
    """
    return _digest(token).hex()


def token_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file of tokens that say something, with their numbers; ``#`` in front: nothing.

    Raises:
        OSError: the file cannot be read.
    """
    for number, line in enumerate(path.read_text("utf-8-sig", errors="replace").splitlines(), 1):
        if (said := line.strip()) and not said.startswith("#"):
            yield number, said


def read_tokens(path: Path) -> dict[str, str]:
    """The hashes of tokens by name, from a file of lines ``NAME:SHA256``; a line with ``#`` in front is none.

    Raises:
        OSError: the file cannot be read.
        ValueError: a line is not that, or says what another did; its number is told, not what it holds.
    """
    found: dict[str, str] = {}
    for number, line in token_lines(path):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} is no NAME:SHA256")
        name, digest = match[1], match[2].lower()
        if name in found or digest in found.values():
            raise ValueError(f"line {number} has the name or the token of another")
        found[name] = digest
    return found


def token_of(
    authorization: str | None, api_key: str | None, subprotocols: Sequence[str], query: str
) -> str | None:
    """The token that a client shows, wherever its SDK puts it: the first there is, or ``None``.

    Args:
        authorization: the header ``Authorization``; only ``Bearer`` is one.
        api_key: the header ``api-key``, of Azure's clients.
        subprotocols: what is offered; browsers have it behind :data:`KEY_SUBPROTOCOL`.
        query: what stands behind the ``?``; Azure's clients in browsers have it as ``api-key``.
    """
    scheme, _, credentials = (authorization or "").partition(" ")
    offered = (
        name.removeprefix(KEY_SUBPROTOCOL) for name in subprotocols if name.startswith(KEY_SUBPROTOCOL)
    )
    asked = (value for name, value in parse_qsl(query) if name == _AZURE)
    bearer = credentials if scheme.lower() == "bearer" else ""
    shown = (bearer, api_key or "", *offered, *asked)
    return next((token.strip() for token in shown if token.strip()), None)


def token_shown(request: Request) -> str | None:
    """The token that a client shows, wherever its SDK puts it; ``None``: none."""
    query = request.path.decode("latin-1").partition("?")[2]
    headers = request.headers
    return token_of(headers.get("Authorization"), headers.get("api-key"), offered(request), query)


def _can_go_on(value: str) -> bool:
    return value.isascii() and value.isprintable() and value != ""


def asked(path: str, query: str, headers: Iterable[tuple[str, str]]) -> Opening:
    """What a client asks for, without what is a secret between it and us."""
    pairs = [*headers]
    offered = (
        name.strip()
        for key, value in pairs
        if key.lower() == "sec-websocket-protocol"
        for name in value.split(",")
    )
    opening = Opening(
        path=path,
        query=query,
        headers={name: value for name, value in pairs if name.lower() not in _SECRETS and _can_go_on(value)},
        subprotocols=tuple(
            name for name in offered if _can_go_on(name) and not name.startswith(KEY_SUBPROTOCOL)
        ),
    )
    return opening.with_query("api-key", None) if opening.get("api-key") is not None else opening
