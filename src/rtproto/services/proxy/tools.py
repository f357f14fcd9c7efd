"""A tool that the proxy has is run where its secrets are, and the client need not know that there is one.

::

    async def my_orders(session: Session, arguments: dict[str, Any]) -> object:
        return await orders_of(session.opening.client, arguments["year"])

    Tools({"my_orders": my_orders}, hide=True)

The model must know of them too: the client tells it, or the proxy does, by
``SessionFields(force={"tools": [...]})``, which leaves the client none of its own.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Container, Coroutine, Mapping
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from rtproto import items
from rtproto._salvage import REFUSALS
from rtproto._shown import shown
from rtproto.event_ids import new_event_id
from rtproto.events import client
from rtproto.frame import Frame
from rtproto.services.proxy.policy import Policy, Session

__all__ = ["Tool", "Tools"]

Tool: TypeAlias = Callable[[Session, dict[str, Any]], Coroutine[Any, Any, object]]
"""A coroutine function: takes the session that the call is in, and its arguments; gives text, or what
becomes JSON text."""

_LOGGER = logging.getLogger("rtproto.proxy")
_READ = frozenset(
    {"error", "response.created", "response.done", "response.output_item.added", "response.output_item.done"}
)
_HIDDEN = frozenset(
    {
        "conversation.item.added",
        "conversation.item.created",
        "conversation.item.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
    }
)
_BUSY = "conversation_already_has_active_response"


# What is read of the service's events; all of it may be missing.


class _Item(Struct):
    type: str | None = None
    status: str | None = None
    name: str | None = None
    call_id: str | None = None
    arguments: str | None = None


class _Response(Struct):
    id: str | None = None
    status: str | None = None
    conversation_id: str | UnsetType | None = UNSET
    output: list[Raw] | None = None


class _Error(Struct):
    code: str | None = None
    event_id: str | None = None


class _Seen(Struct):
    response_id: str | None = None
    call_id: str | None = None
    item: _Item | None = None
    response: _Response | None = None
    error: _Error | None = None


_read = msgspec.json.Decoder(_Seen).decode
_decode_item = msgspec.json.Decoder(_Item).decode
_read_arguments = msgspec.json.Decoder(dict[str, Any]).decode


def _read_item(raw: Raw) -> _Item:
    try:
        return _decode_item(raw)
    except REFUSALS:
        return _Item()  # what it is, nobody knows


class _Round:
    """The calls of one response."""

    def __init__(self) -> None:
        self.calls: set[str | None] = set()
        self.running = 0
        self.is_shared = False  # the client has calls to answer too
        self.status: str | None = None  # how it ended; None: not yet


class _State:
    """What is remembered of a session."""

    def __init__(self) -> None:
        self.rounds: defaultdict[str | None, _Round] = defaultdict(_Round)
        self.speaking: set[str | None] = set()  # responses of the conversation that are not done
        self.apart: set[str | None] = set()  # and those that are of none
        self.hidden: set[str | None] = set()  # calls that the client does not see
        self.wants_response = False
        self.asked: str | None = None  # the event_id of our last response.create
        self.is_asking = False  # whether no response has begun since


class _Failure(Exception):
    """A tool gave nothing."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word  # that the model may read


def _is_tool(tool: object) -> bool:
    return iscoroutinefunction(tool) or (callable(tool) and iscoroutinefunction(type(tool).__call__))


class Tools(Policy):
    """Answers the function calls of some names, as the client would.

    A call that is complete is answered by an item ``function_call_output`` as soon as its tool is done. When
    the response is done and all its calls are answered, one ``response.create`` lets the model go on, with
    the session's settings; it waits while another response is under way. None is sent if the response was
    cut short, or if it has calls of other functions too: then the client, who answers those, asks for it.
    Responses outside the conversation are the client's affair, with their calls. Of two ``Tools`` in one
    proxy each would take the other's calls for the client's: name all tools in one.

    A tool that raises, takes too long or gives too much is told to the model as ``{"error": "KeyError"}``:
    by the exception's class and nothing else.

    Args:
        tools: a coroutine function for each name.
        timeout: how many seconds a tool may take.
        hide: whether to keep these calls, and their outputs, from the client. A client that answers every
            call that it sees needs this. Responses it sees still: of one that holds nothing else, a
            ``response.done`` with an empty output; and then a ``response.created`` that it did not ask for.
        max_calls: how many may run at once in a session; of more, the model is told ``TooManyCalls``.
        max_result_bytes: how long a result may be; of a longer one, the model is told ``ResultTooLong``.

    Raises:
        TypeError: the tools are no mapping, or one of them is no coroutine function.
    """

    def __init__(
        self,
        tools: Mapping[str, Tool],
        timeout: float = 30.0,
        *,
        hide: bool = False,
        max_calls: int = 16,
        max_result_bytes: int = 64 * 2**10,
    ) -> None:
        self.server_types: Container[str] = _READ | _HIDDEN if hide else _READ
        if not isinstance(tools, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - users have no checker
            raise TypeError("tools are a mapping of names to coroutine functions")
        for name, tool in tools.items():
            if not _is_tool(tool):
                raise TypeError(f"the tool {shown(name)!r} is no coroutine function")
        self._tools = dict(tools)
        self._timeout = timeout
        self._hide = hide
        self._max_calls = max_calls
        self._max_result_bytes = max_result_bytes

    def on_open(self, session: Session) -> None:
        """A session has no calls yet."""
        session.state[self] = _State()

    def on_server_frame(self, session: Session, frame: Frame[Any]) -> Frame[Any] | None:
        """Take note of calls and responses; what is hidden does not go on."""
        try:
            seen = _read(bytes(frame))
        except REFUSALS:
            return frame  # not as the service writes it: for the client to judge
        state: _State = session.state[self]
        match frame.type:
            case "response.created":
                return self._created(frame, seen, state)
            case "response.output_item.added" | "response.output_item.done":
                return self._item(session, frame, seen, state)
            case "response.done":
                return self._done(session, frame, seen, state)
            case "error":
                return self._refused(frame, seen, state)
            case _:
                call_id = seen.call_id if seen.item is None else seen.item.call_id
                return None if call_id in state.hidden else frame

    # Events

    def _created(self, frame: Frame[Any], seen: _Seen, state: _State) -> Frame[Any]:
        if seen.response is not None:
            ids = state.apart if seen.response.conversation_id is None else state.speaking
            ids.add(seen.response.id)
            if ids is state.speaking:
                state.is_asking = False
        return frame

    def _item(self, session: Session, frame: Frame[Any], seen: _Seen, state: _State) -> Frame[Any] | None:
        item = seen.item
        if item is None or item.type != "function_call" or seen.response_id in state.apart:
            return frame
        if frame.type.endswith(".done"):
            self._take(session, seen.response_id, item, state)
        if not self._hide or item.name not in self._tools:
            return frame
        state.hidden.add(item.call_id)
        return None

    def _done(self, session: Session, frame: Frame[Any], seen: _Seen, state: _State) -> Frame[Any]:
        response = seen.response
        if response is None:
            return frame
        if response.id in state.apart:
            state.apart.discard(response.id)
            return frame
        state.speaking.discard(response.id)
        output = response.output or []
        calls = [each for each in map(_read_item, output) if each.type == "function_call"]
        for item in calls:
            self._take(session, response.id, item, state)
        if response.id in state.rounds:
            state.rounds[response.id].status = response.status or "completed"
            self._settle(response.id, state)
        self._go_on(session, state)
        return self._shown(frame, output) if self._hide else frame

    def _shown(self, frame: Frame[Any], output: list[Raw]) -> Frame[Any]:
        """A response without the calls that are ours."""
        shown = [raw for raw in output if not self._is_ours(_read_item(raw))]
        return frame if len(shown) == len(output) else frame.set("response.output", shown)

    def _refused(self, frame: Frame[Any], seen: _Seen, state: _State) -> Frame[Any] | None:
        """An error; one that answers our ``response.create`` is not the client's."""
        if seen.error is None or seen.error.event_id is None or seen.error.event_id != state.asked:
            return frame
        state.is_asking = False
        if seen.error.code != _BUSY:
            return frame
        state.wants_response = True  # another was quicker, and is not done yet: ours comes after it
        return None

    def _is_ours(self, item: _Item) -> bool:
        return item.type == "function_call" and item.name in self._tools

    # Calls

    def _take(self, session: Session, response_id: str | None, item: _Item, state: _State) -> None:
        """A call is complete, or was cut short: then nobody answers it."""
        calls = state.rounds[response_id]
        if not self._is_ours(item):
            calls.is_shared = True
        elif item.call_id not in calls.calls and item.status in ("completed", None):
            calls.calls.add(item.call_id)
            calls.running += 1
            running = sum(each.running for each in state.rounds.values())
            session.start(self._answer(session, response_id, item, is_too_many=running > self._max_calls))

    async def _answer(
        self, session: Session, response_id: str | None, item: _Item, *, is_too_many: bool
    ) -> None:
        try:
            output = await self._result(session, item, is_too_many=is_too_many)
        except Exception as error:  # noqa: BLE001 - a tool may raise anything
            name = error.word if isinstance(error, _Failure) else type(error).__name__
            fields = {"session": session.id, "tool": item.name, "error": name}
            _LOGGER.warning("tool failed", extra={"fields": fields})
            output = msgspec.json.encode({"error": name}).decode()
        answer = items.function_call_output(item.call_id or "", output)
        session.send_to_upstream(client.ConversationItemCreate(event_id=new_event_id(), item=answer))
        state: _State = session.state[self]
        state.rounds[response_id].running -= 1
        self._settle(response_id, state)
        self._go_on(session, state)

    async def _result(self, session: Session, item: _Item, *, is_too_many: bool) -> str:
        if is_too_many:
            raise _Failure("TooManyCalls")
        try:
            arguments = _read_arguments(item.arguments or "")
        except REFUSALS:
            raise _Failure("InvalidArguments") from None
        result = await self._called(session, self._tools[item.name or ""], arguments)
        data = result.encode() if isinstance(result, str) else msgspec.json.encode(result)
        if len(data) > self._max_result_bytes:
            raise _Failure("ResultTooLong")
        return data.decode()

    async def _called(self, session: Session, tool: Tool, arguments: dict[str, Any]) -> object:
        try:
            async with asyncio.timeout(self._timeout):
                return await tool(session, arguments)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise _Failure("CancelledError") from None  # it was the tool's own, and not our end

    # What comes after them

    def _settle(self, response_id: str | None, state: _State) -> None:
        """A response that is done, and whose calls are answered, may want another."""
        calls = state.rounds[response_id]
        if calls.status is None or calls.running:
            return
        del state.rounds[response_id]
        if calls.calls and not calls.is_shared and calls.status == "completed":
            state.wants_response = True

    def _go_on(self, session: Session, state: _State) -> None:
        if state.wants_response and not state.speaking and not state.is_asking:
            state.wants_response, state.is_asking, state.asked = False, True, new_event_id()
            session.send_to_upstream(client.ResponseCreate(event_id=state.asked))
