"""A connection sends what its session says when it is due, as fast as the peer reads, and with its faults."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

from rtproto._sockets import Connection
from rtproto.testing.faults import Delay, Fault, Fragment, Striking
from rtproto.testing.recording import type_of
from rtproto.testing.session import Ending, FakeSession

__all__ = ["Served"]

_BURST = 32  # frames in one turn of the event loop: then others have theirs
_LOGGER = logging.getLogger(__name__)


class Served(Connection):
    """One client's connection."""

    def __init__(self, session: FakeSession, faults: Sequence[Fault], max_message_bytes: int) -> None:
        super().__init__(max_message_bytes)
        self.on_opened: Callable[[], object] = lambda: None
        self.on_closed: Callable[[Ending], object] = lambda _: None
        self.on_failed: Callable[[Exception], object] = lambda _: None
        self._session = session
        self._delay = next((fault for fault in faults if isinstance(fault, Delay)), None)
        self._fragment = next((fault for fault in faults if isinstance(fault, Fragment)), None)
        self._striking: list[Striking] = [
            fault for fault in faults if not isinstance(fault, Delay | Fragment)
        ]
        self._sent: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._late: deque[Callable[[], None]] = deque()

    def opened(self) -> None:
        """Let the session begin."""
        self.on_opened()
        self._loop = asyncio.get_running_loop()
        self._session.open(self._loop.time())
        self._pump()

    def text(self, data: bytes) -> None:
        """Let the session hear it."""
        try:
            self._session.receive(data, self._loop.time())
        except Exception as error:  # noqa: BLE001 - a script may raise anything
            self._fail(error)
        self._pump()

    def binary(self, data: bytes) -> None:  # noqa: ARG002 - whatever it is
        """Let the session hear that it came."""
        self._session.receive_binary(self._loop.time())
        self._pump()

    def writable(self) -> None:
        """Go on where it stopped."""
        self._pump()

    def closed(self, code: int, reason: str) -> None:
        """Let go of the session."""
        self._stop_waiting()
        self._session.abandon()
        self.on_closed((code, reason))

    def _fail(self, error: Exception) -> None:
        """Nobody waits in vain for what cannot be said."""
        _LOGGER.error("a session failed", exc_info=error)
        self.on_failed(error)
        self.close(1011, f"{type(error).__name__} in the script")

    def _pump(self) -> None:
        """Send what is due, as long as the peer takes it, and come again when there is more."""
        self._stop_waiting()
        try:
            for frame in islice(self._sendable(), _BURST):
                self._in_time(partial(self._send, frame))
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)
        if self.is_paused or not self.is_open:
            return
        if self._session.due is not None:
            self._timer = self._loop.call_at(self._session.due, self._pump)
        elif self._session.end is not None:
            self._in_time(partial(self.close, *self._session.end))

    def _sendable(self) -> Iterator[bytes]:
        """What is due, as long as the peer takes it: what is not taken out of the session was not sent."""
        frames = self._session.frames(self._loop.time())
        while self.is_open and not self.is_paused and (frame := next(frames, None)) is not None:
            yield frame

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _in_time(self, act: Callable[[], None]) -> None:
        """Do it, after all that was to be done before; late, if there is such a fault."""
        if self._delay is None:
            act()
        else:
            self._late.append(act)
            self._loop.call_later(self._delay.seconds(), self._act)

    def _act(self) -> None:
        """Do what is next, whichever timer it was: so the order stays."""
        self._late.popleft()()

    def send(self, data: bytes) -> None:
        """Send a message, in fragments if there is such a fault."""
        if self._fragment is None:
            super().send(data)
        else:
            self.send_in_fragments(data, self._fragment.size)

    def _send(self, frame: bytes) -> None:
        self.send(frame)
        if self._striking:
            self._strike(type_of(frame))

    def _strike(self, name: str) -> None:
        self._sent[name] += 1
        for fault in self._striking:
            if name.endswith(fault.after) and self._count(fault.after) == fault.count and self.is_open:
                fault.strike(self)

    def _count(self, after: str) -> int:
        return sum(count for name, count in self._sent.items() if name.endswith(after))
