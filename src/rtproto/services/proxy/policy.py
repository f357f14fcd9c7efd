"""A policy is shown the events that it asks for, and says what goes on; neither it nor a session does I/O.

::

    class Greeting(Policy):
        client_types = frozenset({"session.update"})

        def on_client_frame(self, session, frame):
            return frame.set("session.instructions", "Be kind.")

A session is told what came (:meth:`Session.from_client`, :meth:`Session.from_upstream`) and calls a
:class:`Shell` with what is to be sent, in order. Who owns the sockets is the shell's affair.
"""

import logging
from collections.abc import Callable, Container, Coroutine, Iterable, Mapping, Sequence
from inspect import iscoroutinefunction
from secrets import token_hex
from traceback import extract_tb
from typing import Any, Final, Literal, Protocol, TypeAlias

from rtproto._close_codes import SAYABLE
from rtproto._envelope import FRONTS, MIDST, front_end, read_envelope, types_of
from rtproto._shown import shown
from rtproto._struct import Event
from rtproto.capture import Direction
from rtproto.codec import encode, probe_type
from rtproto.errors import NotAnEvent, RtprotoError
from rtproto.event_ids import new_event_id
from rtproto.events import server
from rtproto.frame import ClientFrame, Frame, ServerFrame, TranslationClientFrame, TranslationServerFrame
from rtproto.services.proxy.counts import BINARY, MALFORMED, UNKNOWN, Counts, Row
from rtproto.services.proxy.opening import Opening, Refused, Surface
from rtproto.types.faults import Error
from rtproto.unknown import Unknown

__all__ = ["ALL", "Outcome", "Pipeline", "Policy", "Sent", "Session", "Shell"]

_LOGGER = logging.getLogger("rtproto.proxy")

Sent: TypeAlias = Frame[Any] | Event | Unknown
"""What a policy may send: a frame, or an event, which becomes one."""

Outcome: TypeAlias = Sent | Iterable[Sent] | None
"""What goes on in place of a frame: itself, another, several in order, or none."""


class _All:
    def __contains__(self, name: object) -> bool:
        return True

    def __repr__(self) -> str:
        return "ALL"


ALL: Final[Container[str]] = _All()
"""Every event type, also those that this version does not know."""
_NONE: Final[Container[str]] = frozenset[str]()


class Policy:
    """What a proxy does with the frames that pass: subclass it, and fill in what you need.

    One policy serves all sessions; what it has to remember of one is in ``session.state[self]``. Policies
    stand in a row, the first nearest to the client: a client's frame passes them first to last, the
    service's last to first. A frame whose type nobody asked for costs a look at its type, and nothing more.

    What a hook raises closes that one session with 1011.
    """

    client_types: Container[str] = _NONE
    """The types of events for :meth:`on_client_frame`; :data:`ALL`: every one."""
    server_types: Container[str] = _NONE
    """The types of events for :meth:`on_server_frame`."""
    is_guard: bool = False
    """Whether no event of its ``client_types`` may slip by under another name.

    Then every frame of a client is read to its end: what is no sound JSON, or has two types, is malformed.
    """

    def on_opening(self, opening: Opening) -> Opening:
        """A client asks to come in: what it shall have asked for.

        Raises:
            Refused: it may not.
        """
        return opening

    def on_open(self, session: "Session") -> None:
        """A session begins; the service is connected."""

    def on_client_frame(self, session: "Session", frame: Frame[Any]) -> Outcome:  # noqa: ARG002 - for subclasses
        """A client sent an event of one of ``client_types``: what goes on to the service."""
        return frame

    def on_server_frame(self, session: "Session", frame: Frame[Any]) -> Outcome:  # noqa: ARG002 - as above
        """The service sent an event of one of ``server_types``: what goes on to the client."""
        return frame

    def on_malformed(self, session: "Session", direction: Direction, data: bytes) -> bytes | None:  # noqa: ARG002 - as above
        """Text came that is no event: what goes on, or ``None``."""
        return data

    def on_binary(self, session: "Session", direction: Direction, data: bytes) -> bytes | None:  # noqa: ARG002 - as above
        """A binary message came; the protocol has none: what goes on, or ``None``."""
        return data

    def on_injected(self, session: "Session", direction: Direction, data: bytes) -> None:
        """A policy sends an event of its own, as if from ``direction``; others only get to see it."""

    def on_closed(self, session: "Session") -> None:
        """A session is over."""


class Shell(Protocol):
    """What a session needs of whoever owns its sockets. Nothing here blocks."""

    def to_client(self, data: bytes, /) -> None:
        """Send a text message to the client, after all that was sent before."""
        ...

    def to_upstream(self, data: bytes, /) -> None:
        """Send a text message to the service, after all that was sent before."""
        ...

    def binary(self, direction: Direction, data: bytes) -> None:
        """Send a binary message on, as it came from ``direction``."""
        ...

    def is_behind(self) -> bool:
        """Whether the service reads more slowly than it is written to: what is sent now, waits."""
        ...

    def hurry(self) -> None:
        """Something is to be sent that nothing which came has called for."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close both sides."""
        ...

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it beside the session, and cancel it when that is over."""
        ...


class Pipeline:
    """The policies of a proxy and what it counts: one for all its sessions."""

    def __init__(self, policies: Sequence[Policy] = (), counts: Counts | None = None) -> None:
        """Policies, the first nearest to the client.

        Raises:
            TypeError: one of them is no policy, or its hooks are coroutines, or its types a string.
        """
        for policy in policies:
            _check(policy)
        self.policies: tuple[Policy, ...] = tuple(policies)
        """Them, the first nearest to the client."""
        self.counts: Counts = counts or Counts()
        """What all its sessions count."""
        self.is_guarded: bool = any(policy.is_guard for policy in self.policies)
        """Whether a policy is a guard."""
        for name, row in self.counts.rows["client"].items():
            row.is_wanted = self.is_guarded or any(name in policy.client_types for policy in self.policies)
        for name, row in self.counts.rows["server"].items():
            row.is_wanted = any(name in policy.server_types for policy in self.policies)
        self.fronts: tuple[Mapping[bytes, Row], Mapping[bytes, Row]] = (
            _by_front(self.counts.rows["client"]),
            _by_front(self.counts.rows["server"]),
        )
        """The rows of clients and of the service, by how a frame begins."""

    def open(self, opening: Opening) -> Opening:
        """What a client shall have asked for.

        Raises:
            Refused: a policy does not let it in; that is counted.
        """
        try:
            for policy in self.policies:
                opening = self._opened(policy, opening)
        except Refused as refused:
            self.counts.refused[str(refused.status)] += 1
            raise
        return opening

    def _opened(self, policy: Policy, opening: Opening) -> Opening:
        try:
            return _opened(policy, opening)
        except Refused:
            raise
        except Exception as error:  # noqa: BLE001 - a policy may raise anything
            self.note_failure(type(policy).__name__, error, "on_opening")
        raise Refused(500, "the proxy failed")

    def note_failure(self, policy: str, error: Exception, at: str, session: str | None = None) -> None:
        """A policy raised: who and where is told; not what, which may quote a frame."""
        *_, (file, line, *_) = extract_tb(error.__traceback__) or (("", 0),)
        self.counts.policy_errors[policy] += 1
        fields = {
            "session": session,
            "policy": policy,
            "at": shown(at),
            "error": type(error).__name__,
            "file": file,
            "line": line,
        }
        _LOGGER.error("policy failed", extra={"fields": fields})

    def session(self, opening: Opening, shell: Shell, *, id: str | None = None) -> "Session":
        """A session whose service is connected: every policy is told that it begins.

        Args:
            opening: what :meth:`open` gave.
            shell: who owns the sockets.
            id: its name in logs; ``None``: one at random.
        """
        session = Session(self, opening, shell, id or token_hex(8))
        session.begin()
        return session


def _opened(policy: Policy, opening: Opening) -> Opening:
    left = policy.on_opening(opening)
    if not isinstance(left, Opening):  # pyright: ignore[reportUnnecessaryIsInstance] - a first slip
        raise TypeError("on_opening gives an Opening")
    return left


def _by_front(rows: Mapping[str, Row]) -> Mapping[bytes, Row]:
    return {front: rows[name] for front, name in FRONTS.items() if name in rows}


_FRAMES: Mapping[Surface, Mapping[Direction, type[Frame[Any]]]] = {
    "realtime": {"client": ClientFrame, "server": ServerFrame},
    "transcription": {"client": ClientFrame, "server": ServerFrame},
    "translation": {"client": TranslationClientFrame, "server": TranslationServerFrame},
}


class Session:
    """One client's session, as policies see it."""

    def __init__(self, pipeline: Pipeline, opening: Opening, shell: Shell, id: str) -> None:
        self.id: str = id
        """Its name in logs; nobody else knows it."""
        self.opening: Opening = opening
        """What the client asked for, as policies left it."""
        self.surface: Surface = opening.surface
        """What kind of session it is."""
        self.state: dict[Any, Any] = {}
        """What policies remember of it, each at ``session.state[self]``."""
        self.counts: Counts = pipeline.counts
        """What all sessions count."""
        self.is_over: bool = False
        """Whether it has ended: then nothing is sent any more."""
        self._is_closing = False
        self._held: list[tuple[Direction, Sent]] | None = None
        self._pipeline = pipeline
        self._shell = shell
        self._rows = {side: pipeline.counts.rows[side] for side in _SIDES}
        self._client_fronts, self._server_fronts = pipeline.fronts
        self._to_client, self._to_upstream = shell.to_client, shell.to_upstream
        self._send = {"client": shell.to_upstream, "server": shell.to_client}  # by where it comes from
        self._frames = _FRAMES[self.surface]

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.surface}>"

    # What a policy may do

    def send_to_client(self, event: Sent) -> None:
        """Send an event that the service did not; policies see it by ``on_injected`` only.

        Raises:
            TypeError: it is no event and no frame.
        """
        self._inject("server", event)

    def send_to_upstream(self, event: Sent) -> None:
        """Send an event that the client did not; policies see it by ``on_injected`` only.

        Raises:
            TypeError: it is no event and no frame.
        """
        self._inject("client", event)

    def refuse(self, frame: Frame[Any] | None, code: str, message: str, *, param: str | None = None) -> None:
        """Tell the client, by an ``error`` event, that what it sent does not go on; the session stays.

        ``error.event_id`` is the frame's own, so that the client knows which; ``None``: it sent what is no
        frame. ``message`` is for people.
        """
        event_id = None if frame is None else _event_id(frame)
        error = Error(
            type="invalid_request_error",
            code=code,
            message=message,
            param=param,
            event_id=event_id,
        )
        self.send_to_client(server.Error(event_id=new_event_id(), error=error))

    @property
    def is_behind(self) -> bool:
        """Whether the service reads too slowly: what is sent waits, and too much of that ends the session."""
        return self._shell.is_behind()

    def close(self, code: int, reason: str) -> None:
        """End it; both sides are told this code and reason.

        Raises:
            ValueError: a peer may not say that code (RFC 6455 §7.4).
        """
        if code not in SAYABLE:
            raise ValueError("a close code is 1000 to 1003, 1007 to 1014, or 3000 to 4999")
        self._is_closing = True
        self._shell.close(code, reason)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside it, in the event loop; it is cancelled when the session is over.

        What it raises closes the session, as what a hook raises.

        Raises:
            RuntimeError: the session is over, as in ``on_closed``: what is to outlive it is a task of yours.
        """
        if self.is_over:
            work.close()
            raise RuntimeError("the session is over")
        self._shell.start(self._guarded(work))

    # What its shell tells it. The hot path is written out: a message that nobody asked for is looked up by
    # its front, counted, and sent on.

    def from_upstream(self, *messages: bytes) -> None:
        """The service sent text messages."""
        self._hand_on("server", self._server_fronts, self._to_client, messages)

    def from_client(self, *messages: bytes) -> None:
        """The client sent text messages."""
        self._hand_on("client", self._client_fronts, self._to_upstream, messages)

    def _hand_on(
        self,
        direction: Direction,
        rows: Mapping[bytes, Row],
        send: Callable[[bytes], None],
        messages: tuple[bytes, ...],
    ) -> None:
        for data in messages:
            try:
                row = rows[data[: front_end(data[MIDST])]]
            except KeyError:
                self._odd(direction, data)
                continue
            row.frames += 1
            row.bytes += len(data)
            if row.is_wanted:
                self._look(direction, data)
            else:
                send(data)

    def binary(self, direction: Direction, data: bytes) -> None:
        """A binary message came, from ``direction``."""
        self._count(direction, BINARY, data)
        left = self._strained("on_binary", direction, data)
        if left is not None:
            self._shell.binary(direction, left)

    def begin(self) -> None:
        """The service is connected. What policies send is sent when all of them know."""
        held = self._held = []
        self._tell("on_open")
        self._held = None
        for direction, event in held:
            self._inject(direction, event)

    def end(self) -> None:
        """Both sides are gone, or going."""
        if not self.is_over:
            self.is_over = True
            self._tell("on_closed")

    # How a frame passes

    def _count(self, direction: Direction, name: str, data: bytes) -> None:
        row = self._rows[direction][name]
        row.frames += 1
        row.bytes += len(data)

    def _odd(self, direction: Direction, data: bytes) -> None:
        """What begins otherwise, is of an unknown type, or no event."""
        try:
            name = probe_type(data)
        except NotAnEvent:
            self._malformed(direction, data)
            return
        rows = self._rows[direction]
        self._count(direction, name if name in rows else UNKNOWN, data)
        if name not in rows or rows[name].is_wanted:
            self._look(direction, data)
        else:
            self._send[direction](data)

    def _malformed(self, direction: Direction, data: bytes) -> None:
        self._count(direction, MALFORMED, data)
        self._pass_malformed(direction, data)

    def _pass_malformed(self, direction: Direction, data: bytes) -> None:
        left = self._strained("on_malformed", direction, data)
        if left is not None:
            self._send[direction](left)

    def _look(self, direction: Direction, data: bytes) -> None:
        """Show an event to the policies that ask for its type, one after another."""
        if self._is_closing:
            return
        frame = self._frames[direction](data)
        if direction == "client" and self._pipeline.is_guarded and not _is_sound(frame):
            self._pass_malformed(direction, data)
            return
        frames: list[Frame[Any]] = [frame]
        for policy in self._row(direction):
            try:
                frames = [left for each in frames for left in self._shown(policy, direction, each)]
            except Exception as error:  # noqa: BLE001 - a policy may raise anything
                self._failed(policy, error, frame.type)
                return
        try:
            messages = [_bytes(left) for left in frames]
        except Exception as error:  # noqa: BLE001 - a frame of a policy's own may be no Unicode
            self._failed(None, error, frame.type)
            return
        for message in messages:
            self._send[direction](message)

    def _row(self, direction: Direction) -> Sequence[Policy]:
        policies = self._pipeline.policies
        return policies if direction == "client" else policies[::-1]

    def _shown(self, policy: Policy, direction: Direction, frame: Frame[Any]) -> Iterable[Frame[Any]]:
        types, hook = (
            (policy.client_types, policy.on_client_frame)
            if direction == "client"
            else (policy.server_types, policy.on_server_frame)
        )
        if frame.type not in types or self.is_over:
            return (frame,)
        outcome = hook(self, frame)
        if outcome is None:
            return ()
        several = (outcome,) if isinstance(outcome, _SENT) else outcome
        return [self._as_frame(direction, each) for each in several]

    def _as_frame(self, direction: Direction, sent: Sent) -> Frame[Any]:
        return sent if isinstance(sent, Frame) else self._frames[direction](_bytes(sent))

    def _strained(
        self, hook: Literal["on_malformed", "on_binary"], direction: Direction, data: bytes
    ) -> bytes | None:
        """What policies leave of what is no event."""
        left: bytes | None = data
        for policy in self._row(direction):
            if left is None or self.is_over:
                return None
            try:
                left = getattr(policy, hook)(self, direction, left)
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(policy, error, hook)
                return None
        return left

    def _inject(self, direction: Direction, event: Sent) -> None:
        data = _bytes(event)
        if self._held is not None:
            self._held.append((direction, event))
            return
        if self.is_over:
            return
        for policy in self._pipeline.policies:
            try:
                policy.on_injected(self, direction, data)
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(policy, error, "on_injected")
                return
        self._send[direction](data)
        self._shell.hurry()

    def _tell(self, hook: Literal["on_open", "on_closed"]) -> None:
        for policy in self._pipeline.policies:
            try:
                getattr(policy, hook)(self)
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(policy, error, hook)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(None, error, getattr(work, "__qualname__", "a coroutine"))

    def _failed(self, policy: Policy | None, error: Exception, at: str) -> None:
        name = type(policy).__name__ if policy else "coroutine"
        self._pipeline.note_failure(name, error, at, self.id)
        self.close(1011, f"{name} failed")


_SENT = (Frame, Event, Unknown)


def _bytes(sent: Sent) -> bytes:
    """What goes over the wire; raises ``TypeError`` for what is no event, as text and bytes are none."""
    if isinstance(sent, Frame):
        return bytes(sent)
    if isinstance(sent, _SENT):  # pyright: ignore[reportUnnecessaryIsInstance] - as above
        return encode(sent)
    raise TypeError(f"what is sent is an event or a frame, not {type(sent).__name__}")


_HOOKS = tuple(name for name in vars(Policy) if name.startswith("on_"))


def _check(policy: object) -> None:
    """Whether it is what it should be; a slip that would be found out at the first session, or never."""
    name = type(policy).__name__
    if not isinstance(policy, Policy):
        raise TypeError(f"a policy is an instance of a subclass of Policy, not {name}")
    if isinstance(policy.client_types, str) or isinstance(policy.server_types, str):
        raise TypeError(f"{name}: types are a collection of names, not one name")
    for hook in _HOOKS:
        if iscoroutinefunction(getattr(policy, hook)):
            raise TypeError(f"{name}.{hook} is a plain function: session.start() runs a coroutine")


_SIDES: tuple[Direction, ...] = ("client", "server")


def _event_id(frame: Frame[Any]) -> str | None:
    try:
        event_id = frame.get("event_id", None)
    except RtprotoError:
        return None
    return event_id if isinstance(event_id, str) else None


def _is_sound(frame: Frame[Any]) -> bool:
    """Whether a frame is JSON to its end, and of one type: a ``type`` given twice has two readers."""
    try:
        _, raw, _ = read_envelope(frame.data)
    except NotAnEvent:
        return False
    is_plain = b"\\" not in raw and raw.count(b'"type"') == 1
    return is_plain or len(types_of(raw)) == 1
