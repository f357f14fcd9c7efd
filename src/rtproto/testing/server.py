"""The fake server owns the sockets and the clock; what is said on them is the session's, and the script's."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from rtproto._shown import shown
from rtproto._sockets import (
    MAX_MESSAGE_BYTES,
    Connection,
    Listening,
    listen,
    new_loop,
)
from rtproto._struct import Event
from rtproto.capture import Direction, Record
from rtproto.testing.entrance import MODEL, Entrance
from rtproto.testing.faults import Delay, Fault, Fragment
from rtproto.testing.recording import Recording, type_of
from rtproto.testing.script import Script
from rtproto.testing.serving import Served
from rtproto.testing.session import Ending, FakeSession
from rtproto.unknown import Unknown

__all__ = ["FakeRealtimeServer", "SessionRecord"]

E = TypeVar("E", bound=Event)


class SessionRecord(Recording):
    """What went over one connection."""

    def __init__(self, session: FakeSession, notify: Callable[[str], None]) -> None:
        super().__init__()
        self.session = session
        """The session itself: its ``settings``, its ``conversation``."""
        self.end: Ending | None = None
        """The close code and reason; 1006: broken off; ``None``: still open."""
        self._notify = notify

    def ended(self, end: Ending) -> None:
        """Take note of the end."""
        self.end = end

    def see(self, direction: Direction, frame: bytes) -> None:
        """Take note of a frame."""
        number, now = len(self.frames) + 1, time.time()
        self.frames.append(Record(number, frame, direction, now, self.session.surface))
        if direction == "client":
            self._notify(type_of(frame))


class FakeRealtimeServer:
    """A Realtime service on this machine, that answers by script.

    ::

        with FakeRealtimeServer(Script("Hello!")) as fake:          # in a thread of its own
            client = openai.OpenAI(api_key="any", base_url=fake.base_url)

        async with FakeRealtimeServer(Script("Hello!")) as fake:    # in the running event loop

    Everything that was said is in :attr:`sessions`; :meth:`received` asks all of them. What a function of the
    script raises closes its connection with 1011, and is raised again when the server is left.
    """

    def __init__(  # noqa: PLR0913 - each has a default
        self,
        script: Script | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        keys: Collection[str] | None = None,
        faults: Sequence[Fault] = (),
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        record: bool = True,
    ) -> None:
        """Nothing is opened yet.

        Args:
            script: what is answered; ``None``: a greeting.
            host: the address to listen at.
            port: the port; 0: any free one.
            speed: how fast replies come: 1 is as fast as they are spoken, ``inf`` as fast as they are read.
            keys: the API keys that are let in; ``None``: any.
            faults: what goes wrong, on every connection made from then on; may be assigned anew.
            max_message_bytes: a longer message closes its connection with 1009.
            record: whether to keep what is said.

        Raises:
            TypeError: the script is none, or faults or keys are no list.
            ValueError: the speed is not above 0.
        """
        if script is not None and not isinstance(script, Script):  # pyright: ignore[reportUnnecessaryIsInstance] - a first slip
            raise TypeError(f'script is a Script, as Script("Hello!"), not {type(script).__name__}')
        if not speed > 0:
            raise ValueError("speed must be above 0")
        if not isinstance(faults, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance] - as above
            raise TypeError("faults is a list of them")
        if isinstance(keys, str):
            raise TypeError("keys is a collection of them")
        self.script: Script = script or Script()
        self.faults = faults
        self.sessions: list[SessionRecord] = []
        self._host, self._port = host, port
        self._speed = speed
        self._keys = keys
        self._max_message_bytes = max_message_bytes
        self._record = record
        self._listening: Listening | None = None
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] = lambda: None
        self._counts: Counter[str] = Counter()
        self._news = threading.Condition()
        self._failures: list[Exception] = []
        self._connections = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        where = self.base_url if self._listening else "closed"
        return f"<FakeRealtimeServer {where}, {len(self.sessions)} sessions>"

    # Where it is

    @property
    def port(self) -> int:
        """The port it listens at.

        Raises:
            RuntimeError: it is not open.
        """
        if self._listening is None:
            raise RuntimeError("the server is not open")
        return self._listening.port

    @property
    def base_url(self) -> str:
        """What the official SDK takes as ``base_url``: ``http://127.0.0.1:PORT/v1``."""
        return f"http://{self._address()}/v1"

    @property
    def url(self) -> str:
        """Where conversations are, with a model: for any other WebSocket client."""
        return f"ws://{self._address()}/v1/realtime?model={MODEL}"

    @property
    def transcription_url(self) -> str:
        """Where transcription sessions are."""
        return f"ws://{self._address()}/v1/realtime?intent=transcription"

    @property
    def translation_url(self) -> str:
        """Where translation sessions are, with a model."""
        return f"ws://{self._address()}/v1/realtime/translations?model={MODEL}-translate"

    @property
    def upstream_url(self) -> str:
        """Where a proxy finds it, which adds the client's own path: ``ws://127.0.0.1:PORT``."""
        return f"ws://{self._address()}"

    def _address(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self.port}"

    # What it heard

    @overload
    def received(self, event: type[E]) -> list[E]: ...
    @overload
    def received(self, event: str | None = None) -> list[Event | Unknown]: ...
    def received(self, event: type[Event] | str | None = None) -> list[Any]:
        """What clients sent, session by session: all, or the events of a class or a wire name."""
        return [found for record in self.sessions for found in record.received(event)]

    @overload
    def wait_for(self, event: type[E], count: int = 1, timeout: float = 5.0) -> list[E]: ...
    @overload
    def wait_for(self, event: str, count: int = 1, timeout: float = 5.0) -> list[Event | Unknown]: ...
    def wait_for(self, event: type[Event] | str, count: int = 1, timeout: float = 5.0) -> list[Any]:
        """Wait until clients have sent so many events of a class or a wire name; gives all there are.

        It blocks: in a coroutine, ``await asyncio.to_thread(fake.wait_for, "response.create")``.

        Raises:
            TimeoutError: they have not, in so many seconds; it names what did come.
            RuntimeError: it would block the server's own event loop, or there is no record.
        """
        if not self._record:
            raise RuntimeError("a server of record=False does not know what it heard")
        if self._loop is not None and self._loop is asyncio._get_running_loop():  # noqa: SLF001 - get_running_loop raises
            raise RuntimeError("this blocks the server's own loop: await asyncio.to_thread(fake.wait_for, …)")
        name = event if isinstance(event, str) else event.type
        with self._news:
            if not self._news.wait_for(lambda: self._counts[name] >= count, timeout):
                counts = self._counts.items()
                came = ", ".join(f"{number} {shown(kind) or 'no event'}" for kind, number in counts)
                raise TimeoutError(f"{self._counts[name]} of {count} {name}; came: {came or 'nothing'}")
        return self.received(event)

    def _notify(self, name: str) -> None:
        with self._news:
            self._counts[name] += 1
            self._news.notify_all()

    def _serve(self, kind: type[FakeSession], model: str) -> Connection:
        session = kind(model, self.script, speed=self._speed)
        self._connections += 1
        faults = [fault for fault in self.faults if _strikes(fault, self._connections)]
        served = Served(session, faults, self._max_message_bytes)
        if self._record:
            served.on_failed = self._failures.append
            record = SessionRecord(session, self._notify)
            session.witness = record.see
            served.on_opened = partial(self.sessions.append, record)
            served.on_closed = record.ended
        return served

    # Open and close

    async def __aenter__(self) -> Self:
        self._must_be_closed()
        self._loop = asyncio.get_running_loop()
        entrance = Entrance(self._keys, self._serve)
        self._listening = await listen(entrance, self._host, self._port, self._max_message_bytes)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()
        self._raise_failure(error)

    async def _close(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.close()

    def _raise_failure(self, error: BaseException | None) -> None:
        """What a script raised is its test's failure, unless that failed anyway."""
        failures, self._failures = self._failures, []
        if failures and error is None:
            raise failures[0]

    def _must_be_closed(self) -> None:
        if self._listening is not None:
            raise RuntimeError("the server is open already")

    def __enter__(self) -> Self:
        self._must_be_closed()
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="rtproto-fake", daemon=True)
        self._thread.start()
        if error := opened.exception():
            self._thread.join()
            raise error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if self._thread is not None:
            self._thread.join()
        self._raise_failure(error)

    def _run(self, opened: "Future[None]") -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(self._until_stopped(opened))

    async def _until_stopped(self, opened: "Future[None]") -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        try:
            await self.__aenter__()
        except Exception as error:  # noqa: BLE001 - it is raised where the server was asked for
            opened.set_exception(error)
            return
        opened.set_result(None)
        await stopped.wait()
        await self._close()


def _strikes(fault: Fault, connection: int) -> bool:
    """Whether a fault is for a connection, by its number."""
    first = None if isinstance(fault, Delay | Fragment) else fault.connections
    return first is None or connection <= first
