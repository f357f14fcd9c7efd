"""A relay joins a client's connection and the service's: what one says goes to the other, as it came.

What came in one turn of the event loop goes out in one write. When one side does not read, the other is no
longer read; so what waits is bounded by a buffer, whatever the peers do.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from secrets import token_hex
from time import perf_counter
from typing import Any, cast

from rtproto._close_codes import ABNORMAL
from rtproto._sockets import (
    BINARY,
    PING,
    PONG,
    TEXT,
    Frame,
    Gathering,
    HandshakeError,
    Transport,
    connect,
)
from rtproto.capture import Direction
from rtproto.services.proxy.counts import Counts
from rtproto.services.proxy.limits import Limits
from rtproto.services.proxy.opening import Opening
from rtproto.services.proxy.policy import Pipeline, Session
from rtproto.services.proxy.upstream import Upstream

__all__ = ["Relay"]

_LOGGER = logging.getLogger("rtproto.proxy")
_UNTIMED = 7
_READ_AHEAD = 128 * 2**10  # bytes of a client: so long may one turn of the event loop be
_GOODBYE_SECONDS = 1.0  # for an answer, when all else is written


class _Side(Gathering):
    """One of the two connections of a relay."""

    name: str

    __slots__ = ("_congested_since", "_early", "_stalled", "came", "other", "relay", "take")

    def __init__(self, relay: "Relay", max_message_bytes: int) -> None:
        super().__init__(max_message_bytes)
        self.relay: Relay = relay
        self.other: _Side
        self.came: list[bytes] = []
        """The text messages of this turn that are not handed over yet."""
        self.take: Callable[..., None] = self.keep
        """What they are handed over to."""
        self._early: list[Callable[[], None]] = []
        self._congested_since = 0.0
        self._stalled: asyncio.TimerHandle | None = None

    # The hot path: one whole text message needs no more than this.

    def on_ws_frame(self, transport: Transport, frame: Frame) -> None:
        if (
            frame.msg_type is TEXT
            and frame.fin
            and self._joined is None
            and self._is_open
            and not (frame.rsv1 or frame.rsv2 or frame.rsv3)
        ):
            self.came.append(frame.get_payload_as_bytes())
        else:
            self.hand_over()
            super().on_ws_frame(transport, frame)
        if frame.last_in_buffer:
            self.relay.turn_over(self)

    def hand_over(self) -> None:
        """Hand over what came; behind a fault, nothing."""
        if self.came:
            came, self.came = self.came, []
            if not self.is_broken:
                self.take(*came)

    def text(self, data: bytes) -> None:
        self.take(data)

    def binary(self, data: bytes) -> None:
        if self.relay.session is None:
            self._early.append(partial(self.binary, data))
        else:
            self.relay.session.binary(_SPEAKERS[self.name], data)

    def ping(self, data: bytes) -> None:
        if self.relay.session is None:
            super().ping(data)
        else:
            self.other.send_now(PING, data)

    def pong(self, data: bytes) -> None:
        if self.relay.session is not None:
            self.other.send_now(PONG, data)

    # Before there is a session

    def keep(self, *messages: bytes) -> None:
        """Reading is paused until the service is there: this was read before."""
        self._early.extend(partial(self.text, data) for data in messages)

    def begin(self, take: Callable[..., None]) -> None:
        """Hand over what comes, and what has come."""
        self.take = take
        for deliver in self._early:
            deliver()
        self._early.clear()

    def close(self, code: int = 1000, reason: str = "") -> None:
        if self.is_open:
            self.flush()
        self.close_seconds: float = self.goodbye_seconds()
        super().close(code, reason)

    def goodbye_seconds(self) -> float:
        """How long a goodbye may take."""
        return self.relay.patience

    # Backpressure

    def congested(self) -> None:
        self.other.pause_reading()
        self._congested_since = perf_counter()
        self._watch(self.waiting)

    def _watch(self, waiting: int) -> None:
        loop = asyncio.get_running_loop()
        self._stalled = loop.call_later(self.relay.limits.stall_seconds, self._look_again, waiting)

    def _look_again(self, waited: int) -> None:
        """Has it read nothing of what waits? One that is slow has."""
        waiting = self.waiting if self.is_open else waited
        if waiting < waited:
            self._watch(waiting)
        else:
            self.relay.stalled(self)

    def writable(self) -> None:
        self.relieve()
        self.other.resume_reading()

    def piled_up(self) -> None:
        self.relay.check_memory()

    def relieve(self) -> None:
        """It is congested no more, or gone."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
            waited = perf_counter() - self._congested_since
            self.relay.counts.backpressure_seconds[self.name] += waited


class _Client(_Side):
    name = "client"
    __slots__ = ()

    def opened(self) -> None:
        self.relay.entered()

    def closed(self, code: int, reason: str) -> None:
        self.relieve()
        self.relay.client_gone(code, reason)


class _Service(_Side):
    name = "upstream"
    __slots__ = ()

    def goodbye_seconds(self) -> float:
        return self.relay.patience if self.is_open and self.waiting else _GOODBYE_SECONDS

    def opened(self) -> None:
        self.relay.connected()

    def closed(self, code: int, reason: str) -> None:
        self.relieve()
        self.relay.service_gone(code, reason)


_SPEAKERS: dict[str, Direction] = {"client": "client", "upstream": "server"}


class Relay:
    """One client, and the service that it talks to: the :class:`Shell` of a session."""

    def __init__(  # noqa: PLR0913 - what a proxy has
        self,
        opening: Opening,
        *,
        own_key: str | None,
        upstream: Upstream,
        pipeline: Pipeline,
        limits: Limits,
        on_left: Callable[["Relay"], object],
        on_over: Callable[["Relay"], object],
    ) -> None:
        self.id: str = token_hex(8)
        """The session's name in logs."""
        self.opening = opening
        self.limits = limits
        self.counts: Counts = pipeline.counts
        self.session: Session | None = None
        """``None``: the service is not connected yet."""
        self.client: _Client = _Client(self, limits.max_message_bytes)
        self.service: _Service = _Service(self, limits.max_message_bytes)
        self.client.other, self.service.other = self.service, self.client
        self.turns: int = 0
        """In how many turns of the event loop something came."""
        self.to_client: Callable[[bytes], None] = self.client.gathered.append
        """Send a text message to the client, with the next flush."""
        self.to_upstream: Callable[[bytes], None] = self.service.gathered.append
        """Send a text message to the service, with the next flush."""
        self.patience: float = limits.stall_seconds
        """How long a goodbye may take with what is to be written before it, in seconds."""
        self.was_entered: bool = False
        """Whether the client's handshake came to its end."""
        self._upstream = upstream
        self._headers = upstream.headers(opening, own_key)
        self._pipeline = pipeline
        self._on_left, self._on_over = on_left, on_over
        self._open_sides: set[_Side] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._since = perf_counter()
        self._why = ""
        self._is_given_up = False
        self._is_hurrying = False

    # From the first connection to the second

    def entered(self) -> None:
        """The client is there: call the service, and let the client wait until it answers."""
        self.was_entered = True
        self._open_sides.add(self.client)
        fields = {"session": self.id, "client": self.opening.client, "surface": self.opening.surface}
        _LOGGER.info("session opened", extra={"fields": fields})
        self.counts.sessions += 1
        self.counts.sessions_open += 1
        self.client.limit_writing(self.limits.high_water_bytes)
        self.client.limit_reading(_READ_AHEAD)
        self.client.pause_reading()
        self.start(self._call())

    async def _call(self) -> None:
        seconds = self.limits.handshake_seconds
        try:
            async with asyncio.timeout(seconds):
                await connect(
                    self.service,
                    self._upstream.target(self.opening),
                    self._headers,
                    subprotocols=self.opening.subprotocols,
                    tls=self._upstream.tls,
                    handshake_seconds=seconds,
                )
        except (HandshakeError, OSError) as refusal:
            why = _why(refusal)
            fields = {"session": self.id, "why": why, "error": type(refusal).__name__}
            _LOGGER.warning("upstream failed", extra={"fields": fields})
            self.close(1011, why)
        except Exception as error:  # noqa: BLE001 - the client must not wait for ever
            fields = {"session": self.id, "why": "a fault of ours", "error": type(error).__name__}
            _LOGGER.error("upstream failed", extra={"fields": fields})  # noqa: TRY400 - its text may quote the URL
            self.close(1011, "upstream unreachable")

    def connected(self) -> None:
        """The service is there."""
        self._open_sides.add(self.service)
        if not self.client.is_open:
            self.service.close(*_CLIENT_LEFT)
            return
        self.service.limit_writing(self.limits.high_water_bytes)
        self.session = self._pipeline.session(self.opening, self, id=self.id)
        self.service.begin(self.session.from_upstream)
        self.client.begin(self._from_client)
        if not self.service.is_paused:
            self.client.resume_reading()
        self.hurry()

    def _from_client(self, *messages: bytes) -> None:
        session = cast("Session", self.session)
        for data in messages:
            if not (data.isascii() or _is_utf8(data)):
                self.client.close(1007, "text that is no UTF-8")
                return
            session.from_client(data)

    # A turn of the event loop

    def turn_over(self, side: _Side) -> None:
        """All that is there was read: hand it over, and write what came of it.

        One turn in eight is timed: a clock costs, too.
        """
        self.turns += 1
        if self.turns & _UNTIMED:
            side.hand_over()
            if self.client.gathered:
                self.client.flush()
            if self.service.gathered:
                self.service.flush()
        else:
            self._timed(side)

    def _timed(self, side: _Side) -> None:
        frames, began = len(side.came), perf_counter()
        side.hand_over()
        handed_over = perf_counter()
        self.client.flush()
        self.service.flush()
        self.counts.note_added(frames, handed_over - began, perf_counter() - began)

    # What a session asks for

    def binary(self, direction: Direction, data: bytes) -> None:
        """Send a binary message on."""
        (self.service if direction == "client" else self.client).send_now(BINARY, data)

    def is_behind(self) -> bool:
        """Whether the service reads more slowly than it is written to."""
        return self.service.is_paused

    def hurry(self) -> None:
        """Write at the end of this turn of the loop, unless it was done before."""
        if not self._is_hurrying:
            self._is_hurrying = True
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        self._is_hurrying = False
        self.client.flush()
        self.service.flush()

    def close(self, code: int, reason: str) -> None:
        """Close both sides."""
        self._why = self._why or reason
        self.client.close(code, reason)
        self.service.close(code, reason)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it until the client is gone."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What must not grow

    def check_memory(self) -> None:
        """More waits than a side reads: it must not be too much."""
        if self._is_given_up:
            return
        waiting = sum(side.waiting for side in (self.client, self.service) if side.is_open)
        if waiting > self.limits.max_session_bytes:
            self.counts.stalled += 1
            self._give_up(1013, "too much waits")

    def stalled(self, side: _Side) -> None:
        """A side has not read for too long."""
        self.counts.stalled += 1
        self._give_up(1013, f"{side.name} does not read")

    def leave(self) -> None:
        """The proxy is going: nobody is waited for any longer than it takes to answer."""
        self.patience = _GOODBYE_SECONDS

    def look_after(self) -> None:
        """Let go of a side that broke the protocol, and does not read that it did."""
        if self.client.is_broken or self.service.is_broken:
            self.close(1002, "protocol error")

    def _give_up(self, code: int, reason: str) -> None:
        """Close without waiting for what will not be read."""
        self._is_given_up = True
        self.patience = _GOODBYE_SECONDS
        self.client.relieve()
        self.service.relieve()
        self.close(code, reason)

    # The end

    def service_gone(self, code: int, reason: str) -> None:
        """The service's connection is over: so is the client's, in its words."""
        if self.service.was_told:
            self.client.close(code, reason)
        else:
            self.close(1011, "upstream connection lost" if code == ABNORMAL else "upstream protocol error")
        self._one_less(self.service)

    def client_gone(self, code: int, reason: str) -> None:
        """The client's connection is over: so is the service's, in its words."""
        self.service.close(*((code, reason) if self.client.was_told else _CLIENT_LEFT))
        for task in self._tasks:  # soon: not before its first step, where it could not clean up
            asyncio.get_running_loop().call_soon(task.cancel)
        if self.session is not None:
            self.session.end()
        self.counts.note_end(code)
        self._log(code)
        self._on_left(self)
        self._one_less(self.client)

    def _one_less(self, side: _Side) -> None:
        self._open_sides.discard(side)
        if not self._open_sides:
            self._on_over(self)

    def _who_ended_it(self, code: int) -> str:
        if self.client.was_told or code == ABNORMAL:
            return "client"
        return "upstream" if self.service.was_told else "proxy"

    def _log(self, code: int) -> None:
        fields = {
            "session": self.id,
            "client": self.opening.client,
            "surface": self.opening.surface,
            "code": code,
            "by": self._who_ended_it(code),
            "why": self._why or None,
            "seconds": round(perf_counter() - self._since, 3),
        }
        _LOGGER.info("session closed", extra={"fields": fields})


def _why(refusal: HandshakeError | OSError) -> str:
    """Why there is no service, in words for a client."""
    if isinstance(refusal, HandshakeError):
        status = refusal.response.status if refusal.response else 0
        return f"upstream refused: HTTP {int(status)}" if status else "upstream: no WebSocket"
    return "upstream did not answer" if isinstance(refusal, TimeoutError) else "upstream unreachable"


_CLIENT_LEFT = (1001, "client went away")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
