"""A capture is played in turns: no frame of ours goes out before what it answered in the capture has come.

::

    async with replay.serve("session.jsonl", speed=math.inf) as server:  # the server's side, to each client
        outcome = await replay.play("session.jsonl", server.url)  # the client's side, to a server

What is awaited of a run of the peer's frames is its last that is no stream piece (``….delta``), counted by
its type since the session began; of appends, as many bytes of audio as the capture had by then, however they
are cut. The peer may send more, and other things. What does not come in time is missed, and the replay goes
on without it. :class:`Replay` decides, without I/O; the rest are its sockets.
"""

import asyncio
import math
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from picows import WSError, WSInvalidStatusError, WSInvalidURL

from rtproto import capture
from rtproto._envelope import read_envelope
from rtproto._sender import sender
from rtproto._sockets import Connection, Refusal, Request, accept, connect, listen, refuse
from rtproto.capture import Direction, Record
from rtproto.codec import probe_type
from rtproto.errors import NotAnEvent, RtprotoError
from rtproto.pcm import FIELDS, payload_size

__all__ = ["PATIENCE", "Outcome", "Replay", "Server", "Source", "play", "serve"]

PATIENCE = 10.0
"""For how many seconds a replay waits for what does not come, if nothing else is said."""

Source: TypeAlias = str | os.PathLike[str] | Iterable[Record]
"""A capture: its file, or its records. Records of an iterator are read once."""


# The capture, in turns ------------------------------------------------------------------------

_APPENDS = frozenset(name for name in FIELDS if name.endswith(".append"))


class _Frame(NamedTuple):
    side: Direction
    type: str | None
    raw: bytes
    timestamp: float | None


class _Wait(NamedTuple):
    """What must have come before a turn begins."""

    type: str
    amount: int
    """So many of this type, or so many bytes of its audio, since the session began."""
    run: Mapping[str, int]
    """The same of every type that comes before our next frame."""
    seconds: float
    """How long it took in the capture."""

    @property
    def is_lingering(self) -> bool:
        """Whether these are only the stream pieces that a capture ends in: if fewer come, none is missed."""
        return _is_piece(self.type)


class _Turn(NamedTuple):
    wait: _Wait | None
    frames: list[tuple[float, bytes]]
    """Each with the seconds from the beginning of the turn."""


def _is_piece(name: str) -> bool:
    return name.endswith(".delta")


def _type(raw: bytes) -> str | None:
    try:
        return probe_type(raw)
    except NotAnEvent:
        return None


def _amount(name: str, raw: bytes) -> int:
    if name not in _APPENDS:
        return 1
    try:
        return payload_size(raw)
    except RtprotoError:
        return 0


def _sender(raw: bytes) -> Direction | None:
    """Who sent a frame that does not say; ``None``: it is none, but damage."""
    try:
        return sender(read_envelope(raw)[0])
    except NotAnEvent:
        return None


def _frames(records: Iterable[Record]) -> Iterator[_Frame]:
    for record in records:
        if side := record.direction or _sender(record.raw):
            yield _Frame(side, _type(record.raw), record.raw, record.timestamp)


def _seconds(before: float | None, after: float | None) -> float:
    """From one timestamp to the next; none where one is absent, or time runs backwards."""
    return max(0.0, after - before) if before is not None and after is not None else 0.0


class _Script:
    """Makes turns of frames."""

    def __init__(self) -> None:
        self.turns: list[_Turn] = []
        self._clock: float | None = None  # of our last frame, or of what the turn waited for
        self._totals: dict[str, int] = {}
        self._run: dict[str, int] = {}
        self._awaited: _Frame | None = None
        self._last_piece: _Frame | None = None

    def theirs(self, frame: _Frame) -> None:
        if frame.type is None:
            return
        total = self._totals.get(frame.type, 0) + _amount(frame.type, frame.raw)
        self._totals[frame.type] = self._run[frame.type] = total
        self._last_piece = frame if _is_piece(frame.type) else None
        self._awaited = self._awaited if self._last_piece else frame

    def ours(self, frame: _Frame) -> None:
        self._last_piece = None
        self._begin_if_awaited()
        if not self.turns:
            self.turns.append(_Turn(None, []))
        frames = self.turns[-1].frames
        due = (frames[-1][0] if frames else 0.0) + _seconds(self._clock, frame.timestamp)
        frames.append((due, frame.raw))
        self._clock = self._clock if frame.timestamp is None else frame.timestamp

    def end(self) -> list[_Turn]:
        """The last turn has nothing to send where the peer has the last word."""
        self._begin_if_awaited()
        self._awaited = self._last_piece
        self._begin_if_awaited()
        return self.turns

    def _begin_if_awaited(self) -> None:
        frame = self._awaited
        if frame is None or frame.type is None:
            return
        amount = self._totals[frame.type]
        run = self._run | {frame.type: amount}
        wait = _Wait(frame.type, amount, run, _seconds(self._clock, frame.timestamp))
        self.turns.append(_Turn(wait, []))
        self._clock = frame.timestamp
        self._awaited = None
        self._run = {}


def _turns(records: Iterable[Record], side: Direction) -> list[_Turn]:
    script = _Script()
    for frame in _frames(records):
        (script.ours if frame.side == side else script.theirs)(frame)
    return script.end()


# What to send, and when -----------------------------------------------------------------------


class Replay:
    """One side of a capture, played once; it is told the time and what comes, and does no I/O.

    ``speed`` 1 is the recorded pace, 2 twice as fast, ``inf`` as fast as frames are taken. ``patience`` is
    how many seconds it waits for what does not come, counted from when it should have come by the capture, or
    from the last frame on the way there, of those that the capture has too.

    Raises:
        ValueError: there is no frame of this side; ``speed`` is not above 0; ``patience`` is below it.
    """

    def __init__(
        self, records: Iterable[Record], side: Direction, *, speed: float = 1.0, patience: float = PATIENCE
    ) -> None:
        if not speed > 0:
            raise ValueError("speed must be above 0")
        if not patience >= 0:
            raise ValueError("patience must not be below 0")
        self._turns = _turns(records, side)
        if not any(turn.frames for turn in self._turns):
            raise ValueError(f"the capture holds no frame of the {side}'s")
        self._speed, self._patience = speed, patience
        self.sent: int = 0
        self.received: int = 0
        self.missed: list[str] = []
        """The types of what did not come in time, in order."""
        self._counted = {name for turn in self._turns if turn.wait for name in turn.wait.run}
        self._came: dict[str, int] = {}
        self._turn = self._frame = 0
        self._since: float | None = None  # when the turn before was over
        self._heard = -math.inf  # when a frame came that brings nearer what is awaited
        self._released: float | None = None  # when what is awaited had come

    @property
    def is_over(self) -> bool:
        """Whether all is sent, and the last that is awaited has come, or was missed."""
        return self._turn == len(self._turns)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is lost if it ends here: it is over, or waits for stream pieces only."""
        rest = self._turns[self._turn :]
        return all(turn.wait and turn.wait.is_lingering for turn in rest)

    def receive(self, data: bytes, now: float) -> None:
        """The peer sent a frame. Then see what is :meth:`due`."""
        self.received += 1
        name = _type(data)
        if name is None or name not in self._counted:
            return
        self._came[name] = self._came.get(name, 0) + _amount(name, data)
        wait = None if self.is_over else self._turns[self._turn].wait
        if wait and self._came[name] <= wait.run.get(name, 0):
            self._heard = now

    def due(self, now: float) -> Iterator[bytes]:
        """The frames to send now, byte for byte; stop where the socket does, and ask again later."""
        while (frame := self._next(now)) is not None:
            self.sent += 1
            yield frame

    def wake(self) -> float:
        """When to look again what is :meth:`due`, if nothing comes before; ``inf``: not before that."""
        if self.is_over:
            return math.inf
        turn = self._turns[self._turn]
        if self._released is not None:
            seconds = turn.frames[self._frame][0] if self._frame < len(turn.frames) else 0.0
            return self._released + seconds / self._speed
        if turn.wait is None or self._since is None:
            return -math.inf
        return max(self._since + turn.wait.seconds / self._speed, self._heard) + self._patience

    def _next(self, now: float) -> bytes | None:
        self._since = now if self._since is None else self._since
        while not self.is_over:
            turn = self._turns[self._turn]
            if self._released is None and not self._may_begin(turn.wait, now):
                return None
            if self._frame < len(turn.frames):
                if self.wake() > now:
                    return None
                self._frame += 1
                return turn.frames[self._frame - 1][1]
            self._turn, self._frame = self._turn + 1, 0
            self._since, self._released = now, None
        return None

    def _may_begin(self, wait: _Wait | None, now: float) -> bool:
        if wait and self._came.get(wait.type, -1) < wait.amount:  # -1: one at least, be it without audio
            if self.wake() > now:
                return False
            if not wait.is_lingering:
                self.missed.append(wait.type)
        self._released = now
        return True


# Sockets --------------------------------------------------------------------------------------

_LONGEST_SLEEP = 3600.0  # An event loop takes no delay without end.
_BURST = 32  # frames in one turn of the event loop: then others have theirs
_PATH = "/v1/realtime"


class Outcome(NamedTuple):
    """What became of a connection."""

    sent: int
    """Frames that we sent."""
    received: int
    """Frames that came."""
    missed: tuple[str, ...]
    """The types of what did not come in time, in order."""
    close: int
    """The close code, 1000 if the replay came to its end; 1006: broken off, 1005: no code."""
    is_whole: bool
    """Whether the replay came to its end before the connection did."""

    @property
    def is_good(self) -> bool:
        """Whether it came to its end, and missed nothing."""
        return self.is_whole and not self.missed


class _Player(Connection):
    """Does what a replay says."""

    def __init__(self, replay: Replay, told: Callable[[Outcome], object]) -> None:
        super().__init__()
        self._replay = replay
        self._told = told
        self._alarm: asyncio.TimerHandle | None = None

    def opened(self) -> None:
        self._go_on()

    def text(self, data: bytes) -> None:
        self._replay.receive(data, asyncio.get_running_loop().time())
        self._go_on()

    binary = text

    def writable(self) -> None:
        self._go_on()

    def closed(self, code: int, reason: str) -> None:  # noqa: ARG002 - a reason may hold anything
        self._sleep()
        replay = self._replay
        self._told(Outcome(replay.sent, replay.received, (*replay.missed,), code, replay.is_whole))

    def _go_on(self) -> None:
        self._sleep()
        if not self.is_open or self.is_paused:  # then writable() looks again
            return
        loop = asyncio.get_running_loop()
        for count, frame in enumerate(self._replay.due(loop.time()), 1):
            self.send(frame)
            if self.is_paused:
                return
            if count == _BURST:
                break
        if self._replay.is_over:
            self.close()
        else:
            wake = min(self._replay.wake(), loop.time() + _LONGEST_SLEEP)
            self._alarm = loop.call_at(wake, self._go_on)

    def _sleep(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None


class Server:
    """A port where a capture's server side is played anew to every connection."""

    def __init__(self, url: str, outcomes: list[Outcome]) -> None:
        self.url = url
        """Where to connect; any other path will do."""
        self.base_url: str = url.replace("ws", "http", 1).removesuffix("/realtime")
        """What the official SDK takes as ``base_url``."""
        self.outcomes = outcomes
        """What became of each connection, as it ends; complete when the server has stopped."""


def _records(source: Source) -> list[Record]:
    return capture.load(source) if isinstance(source, str | os.PathLike) else [*source]


@asynccontextmanager
async def serve(  # noqa: PLR0913 - all but the capture have defaults
    source: Source,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    speed: float = 1.0,
    patience: float = PATIENCE,
    told: Callable[[Outcome], object] = lambda _: None,
) -> AsyncGenerator[Server]:
    """Play the server's side of a capture to whoever connects; at the end each is closed with 1000.

    ``port`` 0 is any free one, ``told`` is called with what became of a connection. For ``speed`` and
    ``patience`` see :class:`Replay`.

    Raises:
        ValueError: as :class:`Replay`.
        OSError: the address cannot be had, or the file not be read.
    """
    begin = partial(Replay, _records(source), "server", speed=speed, patience=patience)
    begin()  # to know now whether it can be played
    outcomes: list[Outcome] = []

    def note(outcome: Outcome) -> None:
        outcomes.append(outcome)
        told(outcome)

    def route(request: Request) -> Refusal:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return refuse(HTTPStatus.UPGRADE_REQUIRED, b"this is a WebSocket")
        return accept(_Player(begin(), note), request)

    listening = await listen(route, host, port)
    try:
        name = f"[{host}]" if ":" in host else host
        yield Server(f"ws://{name}:{listening.port}{_PATH}", outcomes)
    finally:
        await listening.close()


async def play(
    source: Source,
    url: str,
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
    speed: float = 1.0,
    patience: float = PATIENCE,
) -> Outcome:
    """Play the client's side of a capture to a server; at the end the connection is closed with 1000.

    ``headers`` go with the request. For ``speed`` and ``patience`` see :class:`Replay`.

    Raises:
        ValueError: as :class:`Replay`.
        ConnectionError: there is nobody, or somebody who says no.
        OSError: the file cannot be read.
    """
    replay = Replay(_records(source), "client", speed=speed, patience=patience)
    over = asyncio.Event()
    outcomes: list[Outcome] = []

    def tell(outcome: Outcome) -> None:
        outcomes.append(outcome)
        over.set()

    player = _Player(replay, tell)
    try:
        await connect(player, url, headers)
    except (OSError, ValueError, WSError) as refusal:
        raise ConnectionError(_why(refusal)) from refusal
    try:
        await over.wait()
        return outcomes[0]
    finally:
        if player.is_open:  # cancelled
            player.abort()


def _why(refusal: Exception) -> str:
    """One line, without the URL and without what the server wrote: neither need be fit to be shown."""
    if isinstance(refusal, WSInvalidStatusError) and refusal.response:
        status = refusal.response.status
        return f"HTTP {int(status)} {status.phrase}"
    if isinstance(refusal, OSError):
        return str(refusal.strerror or refusal) or "no answer"
    if isinstance(refusal, ValueError | WSInvalidURL):
        return "this is no ws:// or wss:// URL"
    return "there is no WebSocket"
