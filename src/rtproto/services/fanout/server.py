"""A hub owns a port: who may listen gets a place in the room of a session, and a page to look at it.

``/`` is the page, ``/sessions`` the sessions that one may listen to, ``/listen/NAME`` a WebSocket.
"""

import asyncio
import logging
import re
import ssl
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from ipaddress import ip_address
from types import TracebackType
from typing import Final, Self, get_args
from urllib.parse import parse_qs, unquote, urlsplit

from rtproto._encode import to_json
from rtproto._sockets import (
    TEXT,
    Connection,
    Outlet,
    Refusal,
    Request,
    accept,
    framed,
    page,
    refuse,
)
from rtproto.event_ids import new_event_id
from rtproto.events import server
from rtproto.services._door import Door
from rtproto.services.fanout.bus import Bus, LocalBus
from rtproto.services.fanout.counts import Counts
from rtproto.services.fanout.families import read_families
from rtproto.services.fanout.limits import Limits
from rtproto.services.fanout.listener import Asked, Listener, Parcel, Shape
from rtproto.services.fanout.rights import Entrant, Rights
from rtproto.services.fanout.room import Room, is_event
from rtproto.services.proxy.admission import token_shown
from rtproto.services.proxy.opening import Refused
from rtproto.types import faults

__all__ = ["Fanout"]

_LOGGER = logging.getLogger("rtproto.fanout")
_MUTE = (1008, "only a token with the right may speak")
_NO_BINARY = (1003, "events are text")
_GOING_AWAY = (1001, "going away")
_LONGEST_UNHEARD = 4096  # bytes of a message, where nobody may say any
_GOODBYE_SECONDS = 1.0  # for an answer to a goodbye
_LOOK_SECONDS = 1.0
_SHAPES: Final = frozenset(get_args(Shape))
_HTML = "text/html; charset=utf-8"
_INLINE = re.compile(rb"<(script|style)>(.*?)</\1>", re.DOTALL)
_SECURITY: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Fanout:
    """A hub for listeners, in the running event loop.

    ::

        async with LocalBus() as bus, Fanout(bus) as fanout:
            room = bus.begin("main")
            ...  # ws://127.0.0.1:PORT/listen/main hears what room.publish() says

    Leaving it closes every listener with 1001; :meth:`drain` first gives them time.
    """

    def __init__(  # noqa: PLR0913 - each has a default
        self,
        bus: Bus | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        rights: Rights | None = None,
        tls: ssl.SSLContext | None = None,
        reuse_port: bool = False,
    ) -> None:
        """Nothing is opened yet.

        Args:
            bus: what knows the rooms; ``None``: one of this process only, in :attr:`bus`.
            host: the address to listen at.
            port: the port; 0: any free one.
            rights: who may come in; ``None``: everybody who is no web page of others, to listen.
            tls: the certificate to listen with; ``None``: without encryption.
            reuse_port: whether other processes may listen at the same port, and share in who comes.
        """
        self.bus: Bus = bus or LocalBus()
        """What knows the rooms."""
        self._rights = rights or Rights()
        self._door: Door[_Ear] = Door(host, port, tls, reuse_port=reuse_port)
        self._sweeper: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Fanout {self._door!r}, {len(self._door.guests)} listeners>"

    # Where it is

    @property
    def limits(self) -> Limits:
        """How much is kept."""
        return self.bus.limits

    @property
    def counts(self) -> Counts:
        """What it has counted."""
        return self.bus.counts

    @property
    def is_ready(self) -> bool:
        """Whether it is open, takes new listeners, and its bus carries."""
        return self._door.is_open and not self.is_draining and self.bus.is_connected

    @property
    def is_draining(self) -> bool:
        """Whether no new listener is taken any more."""
        return self._door.is_draining

    @property
    def port(self) -> int:
        """The port it listens at.

        Raises:
            RuntimeError: it is not open.
        """
        return self._door.port

    @property
    def page_url(self) -> str:
        """Where the page is."""
        return self._door.url("http", "/")

    def listeners(self) -> list[Listener]:
        """Who listens here, to whatever session."""
        return [ear.listener for ear in self._door.guests if ear.listener is not None]

    def url(self, session: str) -> str:
        """Where a session is listened to; ``?events=`` and ``?shape=`` say how."""
        return self._door.url("ws", f"/listen/{session}")

    # Who comes in

    def _enter(self, request: Request) -> Connection | Refusal:
        path = request.path.decode("latin-1").partition("?")[0]
        try:
            if path == "/":
                return page(*_page())
            if path == "/sessions":
                found = to_json({"sessions": self._sessions(request)})
                return page(found, "application/json", _SECURITY)
            return self._admit(request, path)
        except Refused as refused:
            self.counts.refused[str(refused.status)] += 1
            fields = {"status": refused.status, "why": refused.reason}
            _LOGGER.info("request refused", extra={"fields": fields})
            return refuse(refused.status, to_json({"error": {"message": refused.reason}}))

    def _sessions(self, request: Request) -> list[dict[str, object]]:
        if self._rights.is_open and not _is_address(request.headers.get("Host", "")):
            raise Refused(403, "without tokens, ask by an address")  # a name that leads here may be anybody's
        names = self._rights.covered(token_shown(request), self._origin(request), self.bus.names())
        return [{"name": name} for name in names]

    def _admit(self, request: Request, path: str) -> Refusal:
        prefix, _, name = unquote(path).rpartition("/")
        if prefix != "/listen":
            raise Refused(404, "no such page")
        if request.headers.get("Upgrade", "").lower() != "websocket":
            raise Refused(426, "this is for WebSockets")
        if self.is_draining:
            raise Refused(503, "going away")
        asked = _asked(request)
        entrant = self._rights.enter(token_shown(request), self._origin(request), name)
        room = self.bus.find(name)
        if room is None:
            self._rights.leave(entrant)
            raise Refused(404, "no such session")
        ear = _Ear(self, room, asked, entrant)
        self._door.enter(ear)
        asyncio.get_running_loop().call_soon(self._look_after, ear)
        return accept(ear, request)

    def _origin(self, request: Request) -> str | None:
        """The web page that asks; ``None``: our own, or no page."""
        origin, host = request.headers.get("Origin"), request.headers.get("Host", "")
        is_own = origin is not None and origin.lower().partition("://")[2] == host.lower()
        # Without tokens a name that leads here may be anybody's who has one made, an address is nobody's.
        return None if is_own and (not self._rights.is_open or _is_address(host)) else origin

    def _look_after(self, ear: "_Ear") -> None:
        """It asked for what is no WebSocket: then it never was a listener."""
        if ear.listener is None:
            self._forget(ear)

    def _forget(self, ear: "_Ear") -> None:
        if ear in self._door.guests:
            self._door.leave(ear)
            self._rights.leave(ear.entrant)

    def gone(self, ear: "_Ear", code: int) -> None:
        """A listener is gone."""
        self.counts.closes[str(code)] += 1
        self._forget(ear)

    # Open and close

    async def __aenter__(self) -> Self:
        """Open the port.

        Raises:
            OSError: the address cannot be had.
        """
        longest = self.limits.max_said_bytes if self._rights.lets_speak else _LONGEST_UNHEARD
        await self._door.open(self._enter, longest, self.limits.handshake_seconds)
        self._sweeper = asyncio.create_task(self._look_after_all())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._door.is_draining = True
        for ear in [*self._door.guests]:
            ear.end(*_GOING_AWAY)
        await self._door.emptied(self.limits.goodbye_seconds + _GOODBYE_SECONDS)
        await self._door.close()

    async def drain(self, seconds: float) -> None:
        """Take no new listener, and wait until the last has left, for so many seconds at most."""
        await self._door.drain(seconds)

    async def _look_after_all(self) -> None:
        """Ping who listens, and break off who is gone without a word."""
        loop, every = asyncio.get_running_loop(), self.limits.ping_seconds
        due = loop.time() + every
        while True:
            await asyncio.sleep(min(_LOOK_SECONDS, every or _LOOK_SECONDS))
            is_due = bool(every) and loop.time() >= due
            if is_due:
                due = loop.time() + every
            for ear in [*self._door.guests]:
                ear.look_after(is_due=is_due)


class _Ear(Outlet):
    """A listener's connection."""

    __slots__ = ("_asked", "_cut", "_hub", "_room", "entrant", "listener")

    def __init__(self, hub: Fanout, room: Room, asked: Asked, entrant: Entrant) -> None:
        super().__init__(hub.limits.max_said_bytes if entrant.may_speak else _LONGEST_UNHEARD)
        self.entrant: Entrant = entrant
        self.listener: Listener | None = None
        self._hub, self._room, self._asked = hub, room, asked
        self._cut: asyncio.TimerHandle | None = None

    def opened(self) -> None:
        limits = self._hub.limits
        self.close_seconds: float = limits.goodbye_seconds
        self.limit_sending(limits.socket_bytes)
        self.listener = Listener(self._room.name, self._asked, self, limits, self._hub.counts)
        if self._room.is_over:  # since it asked
            self.close(1000, "the session is over")
        else:
            self._room.join(self.listener)

    # What it says

    def text(self, data: bytes) -> None:
        if not self.entrant.may_speak:
            self.close(*_MUTE)
        elif fault := self._refused(data):
            self._tell(fault)
        else:
            self._hub.counts.said += 1

    def binary(self, data: bytes) -> None:  # noqa: ARG002 - there is none
        self.close(*_NO_BINARY)

    def _refused(self, data: bytes) -> faults.Error | None:
        """Send it to the service; or why not."""
        if not is_event(data):
            return _fault("invalid_event", "This is no event.")
        if self._room.say is None:
            return _fault("nobody_listens", "Nobody may speak to this session.")
        return None if self._room.say(data) else _fault("overloaded", "The service does not listen now.")

    def _tell(self, fault: faults.Error) -> None:
        if self.listener is not None:  # behind what waits, and within its bounds
            event = server.Error(event_id=new_event_id(), error=fault)
            self.listener.take([Parcel(framed(TEXT, to_json(event)))])

    # What it hears

    def congested(self) -> None:
        if self.listener is not None:
            self.listener.congested()

    def writable(self) -> None:
        self.unanswered = 0  # it reads
        if self.is_broken:
            self.left()
        if self.listener is not None:
            self.listener.writable()

    def close_within(self, seconds: float, code: int, reason: str) -> None:
        """Say goodbye at the latest in so many seconds."""
        self._cut = asyncio.get_running_loop().call_later(seconds, self._close_now, code, reason)

    def _close_now(self, code: int, reason: str) -> None:
        self.close_seconds = _GOODBYE_SECONDS
        self.close(code, reason)

    def end(self, code: int, reason: str) -> None:
        """Tell it that no more comes, when it has read what waits."""
        if self.listener is None:
            self.close(code, reason)
        else:
            self.listener.end(self._room.said_last(reason), code, reason)

    def left(self) -> None:
        if self.listener is not None:
            self._room.leave(self.listener)

    def look_after(self, *, is_due: bool) -> None:
        """Break off what is broken; ping, if it is time, who reads."""
        if self.is_broken or (self.is_silent and not self.is_paused):
            self.left()
            self.abort()
        elif is_due and not self.is_paused and self.is_open:
            self.send_ping()

    def closed(self, code: int, reason: str) -> None:  # noqa: ARG002 - a reason may hold anything
        if self._cut is not None:
            self._cut.cancel()
        self._hub.gone(self, code)


def _fault(code: str, message: str) -> faults.Error:
    return faults.Error(type="invalid_request_error", code=code, message=message)


def _is_address(host: str) -> bool:
    """Whether a host is told by its address, not by a name that somebody else could have given it."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ip_address(name))
    except ValueError:
        return False


def _asked(request: Request) -> Asked:
    query = parse_qs(request.path.decode("latin-1").partition("?")[2])
    try:
        families = read_families(",".join(query.get("events", [])))
    except ValueError as wrong:
        raise Refused(400, f"events: {wrong}") from None
    shape = query.get("shape", ["frames"])[-1]
    if shape not in _SHAPES:
        raise Refused(400, f"shape: {' or '.join(sorted(_SHAPES))}")
    return Asked(families, "pcm" if shape == "pcm" else "frames")


@cache
def _page() -> tuple[bytes, str, Mapping[str, str]]:
    """The page, and what a browser is to run and to load of it: its own script and style, and this hub."""
    body = files("rtproto.services.fanout").joinpath("page.html").read_bytes()
    read = body.replace(b"\r\n", b"\n")  # as browsers do, before they look
    hashes = {kind: b64encode(sha256(text).digest()) for kind, text in _INLINE.findall(read)}
    own = "; ".join(f"{kind.decode()}-src 'sha256-{digest.decode()}'" for kind, digest in hashes.items())
    rest = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    policy = f"default-src 'none'; {own}; connect-src 'self'; img-src data:; {rest}"
    return body, _HTML, {**_SECURITY, "Content-Security-Policy": policy}
