"""A session takes messages and gives messages, and does no I/O: who has sockets and a clock drives it.

::

    session.open(now)                       # then, whenever something came:
    session.receive(data, now)
    for frame in session.frames(now): …     # what is to be sent by now
    session.due                             # when there will be more; None: when something comes
    session.end                             # how to close, once all frames are sent; None: not yet
"""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeAlias

from rtproto._struct import Event
from rtproto.capture import Direction
from rtproto.codec import Codec, encode
from rtproto.event_ids import new_event_id
from rtproto.events import server
from rtproto.testing.refusals import Refused, event_id_of, read
from rtproto.testing.response import Step
from rtproto.testing.script import Script

__all__ = ["Ending", "FakeSession", "Handler", "Witness"]

Handler: TypeAlias = Callable[[Any, Any], None]
"""What a session does with an event of one type: a method, called with the session and the event."""
Witness: TypeAlias = Callable[[Direction, bytes], None]
"""Is shown every frame, with who sent it."""
Ending: TypeAlias = tuple[int, str]
"""A WebSocket close code and reason."""


class _Stream:
    """Steps, and when the next is due."""

    def __init__(self, steps: Iterator[Step], now: float, speed: float) -> None:
        self.due: float = now
        self._begin = now
        self._steps = steps
        self._speed = speed

    def frames(self, now: float) -> Iterator[bytes]:
        while self.due <= now:
            step = next(self._steps, math.inf)
            if isinstance(step, bytes):
                yield step
            else:
                self.due = step if step == math.inf else self._begin + step / self._speed

    def hurry(self, now: float) -> None:
        """Take the next step now, whatever it waits for."""
        self.due = min(self.due, now)


class FakeSession(ABC):
    """What all sessions have: a codec, an inbox of one event at a time, an outbox, and streams."""

    codec: ClassVar[Codec[Any]]
    handlers: ClassVar[Mapping[type[Event], Handler]]

    surface: ClassVar[str]
    """What captures call this kind of session."""
    needs_model: ClassVar[bool] = True
    """Whether a client must name a model to get one."""

    def __init__(self, model: str, script: Script, *, speed: float = 1.0) -> None:
        self.model = model
        self.script = script
        self.witness: Witness | None = None
        """Is shown every frame that comes or goes."""
        self.end: Ending | None = None
        """How the server will close, once all is sent; ``None``: not at all."""
        self.now: float = 0.0
        self._speed = speed
        self._outbox: deque[bytes] = deque()
        self._streams: list[_Stream] = []

    # In

    @abstractmethod
    def opening(self) -> Event:
        """The event that a session begins with."""

    def open(self, now: float) -> None:
        """Begin."""
        self.now = now
        self.emit(self.opening())

    def receive(self, data: bytes, now: float) -> None:
        """Take a text message."""
        self.now = now
        self._show("client", data)
        if self.end is not None:
            return
        try:
            event = read(self.codec, data)
            self.handlers[type(event)](self, event)
        except Refused as refused:
            self.refuse(refused, event_id_of(data))

    def receive_binary(self, now: float) -> None:
        """Take a binary message, which the service never does."""
        self.now = now
        self.refuse(
            Refused("invalid_event", "Expected a text WebSocket message; binary frames are not supported.")
        )

    def abandon(self) -> None:
        """The peer has left: what was still to be sent is let go, for it holds the session."""
        self._streams.clear()
        self._outbox.clear()

    # Out

    def emit(self, event: Event) -> None:
        """Send an event."""
        self._outbox.append(encode(event))

    def refuse(self, refused: Refused, event_id: str | None = None) -> None:
        """Send an error; ``event_id`` is the client's own of what is to blame."""
        self.emit(server.Error(event_id=new_event_id(), error=refused.error(event_id)))

    def finish(self, end: Ending) -> None:
        """Close, once all is sent."""
        self.end = end

    def stream(self, steps: Iterator[Step]) -> _Stream:
        """Send what takes time."""
        stream = _Stream(steps, self.now, self._speed)
        self._streams.append(stream)
        return stream

    def frames(self, now: float) -> Iterator[bytes]:
        """Everything that is to be sent by now. What is not taken stays for the next time."""
        self.now = now
        yield from self._sent()
        for stream in self._streams:  # and those that one of them begins
            for frame in stream.frames(now):
                self._show("server", frame)
                yield frame
                yield from self._sent()
        self._streams = [stream for stream in self._streams if stream.due < math.inf]
        yield from self._sent()

    def _sent(self) -> Iterator[bytes]:
        while self._outbox:
            frame = self._outbox.popleft()
            self._show("server", frame)
            yield frame

    @property
    def due(self) -> float | None:
        """When there will be frames again, if nothing comes before; ``None``: then never."""
        if self._outbox:
            return self.now
        due = min((stream.due for stream in self._streams), default=math.inf)
        return None if due == math.inf else due

    def _show(self, direction: Direction, frame: bytes) -> None:
        if self.witness is not None:
            self.witness(direction, frame)
