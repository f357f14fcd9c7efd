"""A proxy owns a port: who may come in gets a relay to the service, and all of them an end in order."""

import asyncio
import logging
import re
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import msgspec

from rtproto._sockets import Connection, Refusal, Request, accept, refuse
from rtproto.services._door import Door
from rtproto.services.proxy.admission import Admission, asked, token_shown
from rtproto.services.proxy.counts import Counts
from rtproto.services.proxy.limits import Limits
from rtproto.services.proxy.opening import Opening, Refused
from rtproto.services.proxy.policy import Pipeline, Policy
from rtproto.services.proxy.relay import Relay
from rtproto.services.proxy.upstream import Upstream

__all__ = ["Proxy"]

_LOGGER = logging.getLogger("rtproto.proxy")
_GOODBYE_SECONDS = 2.0
_LOOKS_PER_TIMEOUT = 4
_LOOK_SECONDS = 1.0
_VISIBLE = re.compile(r"[!-~]+")
_TARGET = re.compile(r"[!\"$-~]+")  # no space, no control character, no fragment


class Proxy:
    """A WebSocket proxy in the running event loop.

    ::

        async with Proxy(Upstream(url="wss://api.openai.com", key=key), [UsageLedger()]) as proxy:
            client = openai.AsyncOpenAI(api_key="any", base_url=proxy.base_url)

    Leaving it closes every session with 1001; :meth:`drain` first gives them time.
    """

    def __init__(  # noqa: PLR0913 - each has a default
        self,
        upstream: Upstream,
        policies: Sequence[Policy] = (),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        admission: Admission | None = None,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        reuse_port: bool = False,
    ) -> None:
        """Nothing is opened yet.

        Args:
            upstream: the service.
            policies: what is done with frames, the first policy nearest to the client.
            host: the address to listen at.
            port: the port; 0: any free one.
            admission: who may come in; ``None``: who is no web page, and no token is asked for.
            limits: how much a session may keep, and how long it may wait.
            tls: the certificate to listen with; ``None``: without encryption.
            reuse_port: whether other processes may listen at the same port, and share in who comes.
        """
        self.pipeline: Pipeline = Pipeline(policies)
        """The policies, and what is counted."""
        self._upstream, self._admission = upstream, admission or Admission()
        self._limits = limits or Limits()
        self._door: Door[Relay] = Door(host, port, tls, reuse_port=reuse_port)
        self._sweeper: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Proxy {self._door!r}, {len(self._door.guests)} sessions>"

    # Where it is

    @property
    def is_ready(self) -> bool:
        """Whether it is open, and takes new sessions."""
        return self._door.is_open and not self.is_draining

    @property
    def is_draining(self) -> bool:
        """Whether no new session is taken any more."""
        return self._door.is_draining

    @property
    def counts(self) -> Counts:
        """What it has counted."""
        return self.pipeline.counts

    @property
    def port(self) -> int:
        """The port it listens at.

        Raises:
            RuntimeError: it is not open.
        """
        return self._door.port

    @property
    def base_url(self) -> str:
        """What the official SDK takes as ``base_url``: ``http://127.0.0.1:PORT/v1``."""
        return self._door.url("http", "/v1")

    @property
    def url(self) -> str:
        """Where sessions are; a model is added as ``?model=``."""
        return self._door.url("ws", "/v1/realtime")

    # Who comes in

    def _enter(self, request: Request) -> Connection | Refusal:
        try:
            return self._admit(request)
        except Refused as refused:
            fields = {"status": refused.status, "why": refused.reason}
            _LOGGER.info("client refused", extra={"fields": fields})
            return refuse(refused.status, _error(refused))

    def _admit(self, request: Request) -> Refusal:
        token = token_shown(request)
        if token is not None and not _VISIBLE.fullmatch(token):  # it may become a header
            raise Refused(401, "this is no token")
        opening, name = self._let_in(request, token)
        own = f"Bearer {token}" if token and name is None else None  # a token of ours is for nobody else
        try:
            opening = self.pipeline.open(opening)
            relay = Relay(
                opening,
                own_key=own,
                upstream=self._upstream,
                pipeline=self.pipeline,
                limits=self._limits,
                on_left=self._leave,
                on_over=self._forget,
            )
        except BaseException:
            self._admission.leave(name)
            raise
        self._door.enter(relay)
        asyncio.get_running_loop().call_soon(self._look_after, relay)
        return accept(relay.client, request)

    def _let_in(self, request: Request, token: str | None) -> tuple[Opening, str | None]:
        """What a client asks for, and its name."""
        try:
            opening = self._asked(request)
            name = self._admission.enter(token, request.headers.get("Origin"))
        except Refused as refused:
            self.counts.refused[str(refused.status)] += 1
            raise
        return msgspec.structs.replace(opening, client=name), name

    def _asked(self, request: Request) -> Opening:
        opening = _opening(request)
        if request.headers.get("Upgrade", "").lower() != "websocket":
            raise Refused(426, "this is for WebSockets")
        if self.is_draining:
            raise Refused(503, "going away")
        if not opening.is_realtime:
            raise Refused(404, "no such endpoint")
        return opening

    def _look_after(self, relay: Relay) -> None:
        """It asked for what is no WebSocket: then it never was a session."""
        if not relay.was_entered:
            self._leave(relay)
            self._forget(relay)

    def _leave(self, relay: Relay) -> None:
        self._admission.leave(relay.opening.client)

    def _forget(self, relay: Relay) -> None:
        self._door.leave(relay)

    # Open and close

    async def __aenter__(self) -> Self:
        """Open the port.

        Raises:
            OSError: the address cannot be had.
        """
        await self._door.open(self._enter, self._limits.max_message_bytes, self._limits.handshake_seconds)
        self._sweeper = asyncio.create_task(self._look_after_all())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        for relay in self._door.guests:
            relay.leave()
        await self._door.close()
        await self._door.emptied(_GOODBYE_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Take no new session, and wait until the last has ended, for so many seconds at most."""
        await self._door.drain(seconds)

    async def _look_after_all(self) -> None:
        """Close the sessions in which nothing has come for too long, and those that are broken."""
        loop, limit = asyncio.get_running_loop(), self._limits.idle_seconds
        seen: dict[Relay, tuple[int, float]] = {}
        while True:
            await asyncio.sleep(min(limit / _LOOKS_PER_TIMEOUT, _LOOK_SECONDS) if limit else _LOOK_SECONDS)
            now = loop.time()
            seen = {relay: _since(relay, seen.get(relay), now) for relay in self._door.guests}
            for relay, (_, since) in seen.items():
                relay.look_after()
                if limit and now - since >= limit:
                    relay.close(1001, "idle")


def _since(relay: Relay, before: tuple[int, float] | None, now: float) -> tuple[int, float]:
    """The turn that a relay is at, and since when it was seen there."""
    return before if before is not None and before[0] == relay.turns else (relay.turns, now)


def _opening(request: Request) -> Opening:
    target = request.path.decode("latin-1")
    if not _TARGET.fullmatch(target):
        raise Refused(400, "no such URL")
    path, _, query = target.partition("?")
    return asked(path, query, request.headers.items())


def _error(refused: Refused) -> bytes:
    """A refusal as the service writes it."""
    error = {"message": refused.reason, "type": "invalid_request_error", "param": None, "code": None}
    return msgspec.json.encode({"error": error})
