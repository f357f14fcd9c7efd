"""The fake server owns the sockets and the clock; what is said on them is the session's, and the script's."""

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar, overload
from urllib.parse import parse_qs

import msgspec

from rtproto._shown import shown
from rtproto._sockets import (
    MAX_MESSAGE_BYTES,
    Connection,
    Listening,
    Refusal,
    Request,
    accept,
    listen,
    new_loop,
    page,
    refuse,
)
from rtproto._struct import Event
from rtproto.capture import Direction, Record
from rtproto.codec import encode
from rtproto.event_ids import new_event_id
from rtproto.events import server
from rtproto.testing.faults import Delay, Fault, Fragment, Striking
from rtproto.testing.realtime import RealtimeSession
from rtproto.testing.recording import Recording, type_of
from rtproto.testing.refusals import Refused
from rtproto.testing.script import Script
from rtproto.testing.session import Ending, FakeSession
from rtproto.testing.transcription import TranscriptionSession
from rtproto.testing.translation import TranslationSession
from rtproto.unknown import Unknown

__all__ = ["FakeRealtimeServer", "SessionRecord"]

E = TypeVar("E", bound=Event)

_BURST = 32  # frames in one turn of the event loop: then others have theirs
_MODEL = "gpt-realtime"
_SUBPROTOCOL = "realtime"
_KEY = "openai-insecure-api-key."
_BETA_SUBPROTOCOL = "openai-beta.realtime-v1"


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


class _Served(Connection):
    """One client's connection."""

    def __init__(
        self,
        session: FakeSession,
        faults: Sequence[Fault],
        max_message_bytes: int,
    ) -> None:
        super().__init__(max_message_bytes)
        self.on_opened: Callable[[], object] = lambda: None
        self.on_closed: Callable[[Ending], object] = lambda _: None
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
        self.on_opened()
        self._loop = asyncio.get_running_loop()
        self._session.open(self._loop.time())
        self._pump()

    def text(self, data: bytes) -> None:
        self._session.receive(data, self._loop.time())
        self._pump()

    def binary(self, data: bytes) -> None:  # noqa: ARG002 - whatever it is
        self._session.receive_binary(self._loop.time())
        self._pump()

    def writable(self) -> None:
        self._pump()

    def closed(self, code: int, reason: str) -> None:
        self._stop_waiting()
        self._session.abandon()
        self.on_closed((code, reason))

    def _pump(self) -> None:
        """Send what is due, as long as the peer takes it, and come again when there is more."""
        self._stop_waiting()
        try:
            for frame in islice(self._sendable(), _BURST):
                self._in_time(partial(self._send, frame))
        except Exception:  # a script's: nobody waits for the rest in vain
            self.close(1011)
            raise
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


class _Dismissed(Connection):
    """A connection that is told what is wrong with it, and closed."""

    def __init__(self, refused: Refused) -> None:
        super().__init__()
        self._refused = refused

    def opened(self) -> None:
        error = self._refused.error(None)
        self.send(encode(server.Error(event_id=new_event_id(), error=error)))
        self.close(4000, f"{error.type}.{error.code}")


_NO_MODEL = Refused("missing_model", "You must provide a model parameter, for example ?model=gpt-realtime.")
_BETA = Refused(
    "beta_api_shape_disabled", "The Realtime Beta API is no longer supported. Please use the GA API."
)


class FakeRealtimeServer:
    """A Realtime service on this machine, that answers by script.

    ::

        with FakeRealtimeServer(Script("Hello!")) as fake:          # in a thread of its own
            client = openai.OpenAI(api_key="any", base_url=fake.base_url)

        async with FakeRealtimeServer(Script("Hello!")) as fake:    # in the running event loop

    Everything that was said is in :attr:`sessions`; :meth:`received` asks all of them.
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
        """
        self.script = script or Script()
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
        return f"ws://{self._address()}/v1/realtime?model={_MODEL}"

    @property
    def transcription_url(self) -> str:
        """Where transcription sessions are."""
        return f"ws://{self._address()}/v1/realtime?intent=transcription"

    @property
    def translation_url(self) -> str:
        """Where translation sessions are, with a model."""
        return f"ws://{self._address()}/v1/realtime/translations?model={_MODEL}-translate"

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
        """
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

    # Who comes in

    def _route(self, request: Request) -> Connection | Refusal:
        path, _, asked = request.path.decode("latin-1").partition("?")
        if path == "/healthz":
            return page(b"ok\n")
        if not self._may_enter(request):
            return refuse(401, _UNAUTHORIZED)
        offered = _offered(request)
        query = {name: values[-1] for name, values in parse_qs(asked).items()}
        connection = self._connection(path, query, is_beta=_is_beta(request, offered))
        if connection is None:
            return refuse(404, b"no such endpoint\n")
        return accept(connection, _SUBPROTOCOL if _SUBPROTOCOL in offered else None)

    def _may_enter(self, request: Request) -> bool:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        keys = [key.strip()] if scheme.lower() == "bearer" else []
        for name in _offered(request):
            keys += [name.removeprefix(_KEY)] if name.startswith(_KEY) else []
        return any(key and (self._keys is None or key in self._keys) for key in keys)

    def _connection(self, path: str, query: Mapping[str, str], *, is_beta: bool) -> Connection | None:
        kind = _kind(path, query)
        if kind is None:
            return None
        if is_beta:
            return _Dismissed(_BETA)
        model = query.get("model") or (_MODEL if "call_id" in query else "")
        if not model and kind.needs_model:
            return _Dismissed(_NO_MODEL)
        return self._serve(kind(model, self.script, speed=self._speed))

    def _serve(self, session: FakeSession) -> Connection:
        served = _Served(session, self.faults, self._max_message_bytes)
        if self._record:
            record = SessionRecord(session, self._notify)
            session.witness = record.see
            served.on_opened = partial(self.sessions.append, record)
            served.on_closed = record.ended
        return served

    # Open and close

    async def __aenter__(self) -> Self:
        self._listening = await listen(self._route, self._host, self._port, self._max_message_bytes)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.close()

    def __enter__(self) -> Self:
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
        await self.__aexit__(None, None, None)


def _kind(path: str, query: Mapping[str, str]) -> type[FakeSession] | None:
    """What is served at a path; only its end counts, since gateways put something before it."""
    path = path.rstrip("/")
    if path.endswith("/realtime/translations"):
        return TranslationSession
    if not path.endswith("/realtime"):
        return None
    return TranscriptionSession if query.get("intent") == "transcription" else RealtimeSession


def _offered(request: Request) -> list[str]:
    """The subprotocols that a client offers, as a browser must that cannot send headers."""
    names = ",".join(request.headers.getall("Sec-WebSocket-Protocol", []))
    return [name.strip() for name in names.split(",") if name.strip()]


def _is_beta(request: Request, offered: Sequence[str]) -> bool:
    return "realtime=v1" in request.headers.get("OpenAI-Beta", "") or _BETA_SUBPROTOCOL in offered


_UNAUTHORIZED = msgspec.json.encode(
    {
        "error": {
            "message": "Incorrect API key provided, or none.",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        }
    }
)
