"""The service is told what it needs to know of a client, and by our key, which is for this service only."""

import re
import ssl
from urllib.parse import parse_qsl, urlsplit

import msgspec

from rtproto.services.proxy.opening import Opening

__all__ = ["DEFAULT_PASS_HEADERS", "Upstream"]

DEFAULT_PASS_HEADERS: tuple[str, ...] = ("OpenAI-Beta", "OpenAI-Safety-Identifier", "User-Agent")
"""The headers of a client that go on to the service, if nothing else is said."""

_URL = re.compile(r"wss?://[\w.:\[\]-]+(?:/[!$&'()*+,;=:@%~\w.-]+)*/?", re.ASCII)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.1: a token
_AUTHORIZATION = "authorization"
_AZURE = "api-key"  # a header, and a parameter of the query
_OURS = frozenset({"connection", "cookie", "host", "te", "trailer", "transfer-encoding", "upgrade"})
_OURS_TOO = ("proxy-", "sec-websocket-")


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """The service behind the proxy.

    A ``ws:`` URL is not encrypted: everybody on the way reads the key and every word. It is for a service
    on your own machine, or on a network that is yours.

    Raises:
        ValueError: a field is not what it should be; it is named, and a key is not shown.
    """

    url: str
    """``wss://api.openai.com``; a path in it goes before the client's: ``wss://x.openai.azure.com/openai``."""
    key: str | None = None
    """The key for the service; ``None``: each client's own goes on."""
    key_header: str = "Authorization"
    """The header of the key; ``Authorization`` has it as ``Bearer KEY``, any other as it is (``api-key``)."""
    pass_headers: tuple[str, ...] = DEFAULT_PASS_HEADERS
    """The headers of a client that go on; no other does."""
    tls: ssl.SSLContext | None = None
    """How the service's certificate is verified; ``None``: by the system's authorities."""

    def __post_init__(self) -> None:
        _check_url(self.url)
        if self.key is not None and not _is_visible(self.key):
            raise ValueError("key holds what no header can")
        if not _HEADER.fullmatch(self.key_header) or _is_ours(self.key_header):
            raise ValueError("key_header must be the name of a header that may hold a key")
        for name in self.pass_headers:
            if not _HEADER.fullmatch(name):
                raise ValueError("pass_headers must be names of headers")
            if _is_ours(name) or name.lower() in (_AUTHORIZATION, _AZURE, self.key_header.lower()):
                raise ValueError(f"pass_headers must not have {name}")

    def __repr__(self) -> str:
        return f"<Upstream {self.url}>"

    def target(self, opening: Opening) -> str:
        """The whole URL of a session: ours, the client's path, and its query without a key beside ours."""
        if self.key is not None:
            named = {name for name, _ in parse_qsl(opening.query, keep_blank_values=True)}
            for name in named:
                if name.lower() == _AZURE:
                    opening = opening.with_query(name, None)
        return self.url.rstrip("/") + opening.target

    def headers(self, opening: Opening, own: str | None) -> dict[str, str]:
        """The headers of a session.

        Args:
            opening: what the client asked for.
            own: the client's own ``Authorization``; it goes on only if we have no key, in the same header.
        """
        passed = {name.lower() for name in self.pass_headers}
        found = {name: value for name, value in opening.headers.items() if name.lower() in passed}
        return found | self._credentials(own)

    def _credentials(self, own: str | None) -> dict[str, str]:
        bearer = own if self.key is None else f"Bearer {self.key}"
        if bearer is None:
            return {}
        is_bearer = self.key_header.lower() == _AUTHORIZATION
        return {self.key_header: bearer if is_bearer else bearer.partition(" ")[2]}


def _check_url(url: str) -> None:
    try:
        is_good = bool(_URL.fullmatch(url)) and bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:  # a port that is none, a bracket that does not close
        is_good = False
    if not is_good:
        raise ValueError("url must be ws:// or wss://HOST[:PORT][/PATH], without user, query and fragment")
    if url.rstrip("/").endswith("/realtime"):
        raise ValueError("url must end before /v1/realtime: the client's path comes after it")
    if url.rstrip("/").endswith("/v1"):
        raise ValueError("url must be without /v1: it is in the client's path")


def _is_visible(text: str) -> bool:
    return text.isascii() and text.isprintable() and bool(text) and " " not in text


def _is_ours(header: str) -> bool:
    """Whether it is the WebSocket's own affair, or for the proxy only."""
    return header.lower() in _OURS or header.lower().startswith(_OURS_TOO)
