"""Function calls that the proxy answers: when, with what, and what the client gets to see of it."""

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtproto.services.proxy import Opening, Pipeline, Policy, Session
from rtproto.services.proxy.tools import Tool, Tools
from rtproto.testing import Call, FakeRealtimeServer, Reply, Script
from tests.testing.talk import connected as talking

from .own_servers import SECONDS, SERVERS
from .shell import Talk

Event = dict[str, Any]
IDS: dict[str, Any] = {"event_id": "event_1", "response_id": "resp_1"}


async def weather(session: Session, arguments: dict[str, Any]) -> str:
    return f"Fog in {arguments['city']}."


def call(
    call_id: str = "call_1", name: str = "get_weather", arguments: str = '{"city": "Oslo"}', **more: Any
) -> Event:
    item = {"type": "function_call", "id": f"item_{call_id}", "status": "completed", "name": name}
    return {**item, "call_id": call_id, "arguments": arguments, **more}


def created(response_id: str = "resp_1", **more: Any) -> Event:
    response = {"id": response_id, "status": "in_progress", "conversation_id": "conv_1", "output": [], **more}
    return {"type": "response.created", "event_id": "event_1", "response": response}


def made(item: Event, response_id: str = "resp_1") -> list[Event]:
    """A call from its beginning to its end, in the service's order."""
    begun = {**item, "status": "in_progress", "arguments": ""}
    ids = {**IDS, "response_id": response_id, "output_index": 0}
    of_item = {**ids, "item_id": item["id"], "call_id": item["call_id"]}
    joined = {"event_id": "event_1", "previous_item_id": None}
    arguments = "response.function_call_arguments"
    return [
        {"type": "response.output_item.added", **ids, "item": begun},
        {"type": "conversation.item.added", **joined, "item": begun},
        {"type": f"{arguments}.delta", **of_item, "delta": item["arguments"]},
        {"type": f"{arguments}.done", **of_item, "name": item["name"], "arguments": item["arguments"]},
        {"type": "conversation.item.done", **joined, "item": item},
        {"type": "response.output_item.done", **ids, "item": item},
    ]


def done(*output: Event, response_id: str = "resp_1", status: str = "completed") -> Event:
    response = {"id": response_id, "status": status, "output": [*output], "conversation_id": "conv_1"}
    return {"type": "response.done", "event_id": "event_1", "response": response}


def whole(*output: Event, status: str = "completed", response_id: str = "resp_1") -> list[Event]:
    events = [event for item in output for event in made(item, response_id)]
    return [created(response_id), *events, done(*output, status=status, response_id=response_id)]


class Service:
    """The service's side of a session, whose tools run when they are told."""

    def __init__(self, tools: dict[str, Tool] | None = None, **options: Any) -> None:
        self.talk = Talk(Tools(tools or {"get_weather": weather}, **options))

    def send(self, *events: Event) -> list[bytes]:
        """What goes on to the client."""
        return [data for event in events for data in self.talk.receive(event)]

    async def run(self) -> None:
        """Let every tool that was called come to its end."""
        while self.talk.shell.works:
            await self.talk.shell.works.pop(0)

    @property
    def asked(self) -> list[str]:
        """What the proxy sent to the service, in short: ``response.create``, or an output."""
        events = [json.loads(data) for data in self.talk.shell.upstream]
        assert all(event["event_id"] for event in events)
        return [event["item"]["output"] if "item" in event else event["type"] for event in events]

    @property
    def answers(self) -> dict[str, str]:
        events = [json.loads(data) for data in self.talk.shell.upstream]
        found = [event["item"] for event in events if event["type"] == "conversation.item.create"]
        assert all(item["type"] == "function_call_output" for item in found)
        assert len({item["call_id"] for item in found}) == len(found)
        return {item["call_id"]: item["output"] for item in found}


def served(*events: Event, tools: dict[str, Tool] | None = None, **options: Any) -> Service:
    """A service that said all this before any tool was done."""

    async def main() -> Service:
        service = Service(tools, **options)
        service.send(*events)
        await service.run()
        return service

    return asyncio.run(main())


# What is a tool


class Greets:
    async def __call__(self, session: Session, arguments: dict[str, Any]) -> str:
        return f"Hello, {session.opening.client}."


def test_a_tool_may_be_an_object_or_a_part_of_a_function() -> None:
    async def two(fog: str, session: Session, arguments: dict[str, Any]) -> str:
        return fog

    tools: dict[str, Tool] = {"get_weather": partial(two, "Fog."), "greet": Greets()}
    service = served(*whole(call(), call("call_2", "greet")), tools=tools)
    assert service.answers == {"call_1": "Fog.", "call_2": "Hello, None."}


@pytest.mark.parametrize(
    "tools",
    [{"w": 3}, [("w", weather)], "w", {"w": lambda session, arguments: "Fog."}, {"w": Greets}],
)
def test_what_is_no_tool_is_none_from_the_beginning(tools: Any) -> None:
    with pytest.raises(TypeError):
        Tools(tools)


def test_a_tool_knows_who_asks() -> None:
    class Names(Policy):
        def on_opening(self, opening: Opening) -> Opening:
            return msgspec.structs.replace(opening, client="ada")

    async def main() -> None:
        talk = Talk(Names(), Tools({"get_weather": Greets()}))
        for event in whole(call()):
            talk.receive(event)
        await talk.shell.works.pop()
        answer, _ = map(json.loads, talk.shell.upstream)
        assert answer["item"]["output"] == "Hello, ada."

    asyncio.run(main())


# When


def test_a_call_is_answered_and_the_model_goes_on() -> None:
    service = served(*whole(call()))
    assert service.asked == ["Fog in Oslo.", "response.create"]
    assert service.answers == {"call_1": "Fog in Oslo."}


def test_the_answer_waits_for_nothing_and_the_model_for_the_end_of_its_response() -> None:
    async def main() -> None:
        service = Service()
        service.send(created(), *made(call()))
        await service.run()
        assert service.asked == ["Fog in Oslo."]
        service.send(done(call()))
        assert service.asked == ["Fog in Oslo.", "response.create"]

    asyncio.run(main())


def test_a_call_is_run_when_its_item_is_done_and_not_before() -> None:
    async def main() -> None:
        service = Service()
        *before, last = [created(), *made(call())]
        service.send(*before)
        assert service.talk.shell.works == []
        service.send(last)
        assert len(service.talk.shell.works) == 1
        await service.run()

    asyncio.run(main())


def test_parallel_calls_have_one_response() -> None:
    calls = [call(f"call_{number}", arguments=json.dumps({"city": str(number)})) for number in range(3)]
    service = served(*whole(*calls))
    assert service.asked == ["Fog in 0.", "Fog in 1.", "Fog in 2.", "response.create"]


def test_a_call_that_only_the_done_response_tells_of_is_answered_too() -> None:
    service = served(created(), done(call()))
    assert service.asked == ["Fog in Oslo.", "response.create"]


def test_where_the_client_has_calls_to_answer_it_asks_for_the_response() -> None:
    mine, other = call(), call("call_2", "of_the_client")
    assert served(*whole(mine, other)).asked == ["Fog in Oslo."]
    assert served(*whole(other, mine)).asked == ["Fog in Oslo."]
    assert served(*whole(other)).asked == []
    told_once = [created(), *made(other), *made(mine), done()]  # a service that leaves the output out
    assert served(*told_once).asked == ["Fog in Oslo."]


def test_a_call_that_was_cut_short_is_not_answered() -> None:
    cut = call(status="incomplete", arguments='{"ci')
    assert served(*whole(cut, status="cancelled")).asked == []


@pytest.mark.parametrize("status", ["cancelled", "failed", "incomplete"])
def test_a_whole_call_of_a_response_that_was_cut_short_is_answered_and_no_more(status: str) -> None:
    assert served(*whole(call(), status=status)).asked == ["Fog in Oslo."]


def test_while_another_response_is_under_way_ours_waits() -> None:
    async def main() -> None:
        service = Service()
        service.send(*whole(call()), created("resp_2"))
        await service.run()
        assert service.asked == ["Fog in Oslo."]
        service.send(done(response_id="resp_2"))
        assert service.asked == ["Fog in Oslo.", "response.create"]

    asyncio.run(main())


def test_an_answer_that_comes_after_we_asked_has_a_response_after_that_one() -> None:
    async def main() -> None:
        service = Service()
        service.send(*whole(call()), *whole(call("call_2"), response_id="resp_2"))
        await service.run()
        assert service.asked == ["Fog in Oslo.", "response.create", "Fog in Oslo."]
        service.send(created("resp_3"))
        assert service.asked.count("response.create") == 1
        service.send(done(response_id="resp_3"))
        assert service.asked.count("response.create") == 2

    asyncio.run(main())


def refused(service: Service, code: str) -> list[bytes]:
    event_id = json.loads(service.talk.shell.upstream[-1])["event_id"]
    error = {"type": "invalid_request_error", "code": code, "message": "No.", "event_id": event_id}
    return service.send({"type": "error", "event_id": "event_1", "error": error})


@pytest.mark.parametrize("is_told_first", [True, False])
def test_where_another_response_was_quicker_ours_comes_after_it_and_nobody_is_told(
    is_told_first: bool,
) -> None:
    service = served(*whole(call()))
    if is_told_first:
        service.send(created("resp_2"))
    assert refused(service, "conversation_already_has_active_response") == []
    if not is_told_first:
        service.send(created("resp_2"))
    assert service.asked.count("response.create") == 1
    service.send(done(response_id="resp_2"))
    assert service.asked.count("response.create") == 2
    service.send(created("resp_3"), done(response_id="resp_3"))
    assert service.asked.count("response.create") == 2


def test_every_other_error_is_told_to_the_client() -> None:
    service = served(*whole(call()))
    assert len(refused(service, "rate_limit_exceeded")) == 1
    error: Event = {"type": "x", "code": "conversation_already_has_active_response", "message": "No."}
    for event_id in (None, "of_the_client"):
        told = {"type": "error", "event_id": "event_1", "error": {**error, "event_id": event_id}}
        assert len(service.send(told)) == 1
    service.send(created("resp_2"), done(response_id="resp_2"))
    assert service.asked.count("response.create") == 1


def test_a_response_outside_the_conversation_is_the_clients() -> None:
    apart = [created(conversation_id=None), *made(call()), done(call())]
    service = Service(hide=True)
    assert [json.loads(data) for data in service.send(*apart)] == apart
    assert service.asked == []
    assert service.talk.shell.works == []


# With what


@pytest.mark.parametrize(
    ("result", "output"),
    [
        ("é", "é"),
        ({"sky": "grey", "n": [1, 2.5, None]}, '{"sky":"grey","n":[1,2.5,null]}'),
        (None, "null"),
        ("", ""),
    ],
)
def test_a_result_is_text_or_becomes_json(result: object, output: str) -> None:
    async def tool(session: Session, arguments: dict[str, Any]) -> object:
        return result

    assert served(*whole(call()), tools={"get_weather": tool}).answers == {"call_1": output}


async def _raises(session: Session, arguments: dict[str, Any]) -> object:
    raise KeyError("payload")


async def _sleeps(session: Session, arguments: dict[str, Any]) -> object:
    return await asyncio.Event().wait()


async def _cancels(session: Session, arguments: dict[str, Any]) -> object:
    raise asyncio.CancelledError("payload")


async def _gives_what_is_no_json(session: Session, arguments: dict[str, Any]) -> object:
    return object()


async def _gives_half_a_pair(session: Session, arguments: dict[str, Any]) -> object:
    return "\ud800"


async def _gives_much(session: Session, arguments: dict[str, Any]) -> object:
    return "payload" * 1000


@pytest.mark.parametrize(
    ("tool", "arguments", "error"),
    [
        (_raises, "{}", "KeyError"),
        (_sleeps, "{}", "TimeoutError"),
        (_cancels, "{}", "CancelledError"),
        (_gives_what_is_no_json, "{}", "TypeError"),
        (_gives_half_a_pair, "{}", "UnicodeEncodeError"),
        (_gives_much, "{}", "ResultTooLong"),
        (weather, "{}", "KeyError"),
        (weather, '{"city": payload', "InvalidArguments"),
        (weather, '["payload"]', "InvalidArguments"),
        (weather, "", "InvalidArguments"),
    ],
)
def test_what_went_wrong_is_told_by_name_and_nothing_else(
    tool: Tool, arguments: str, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "rtproto.proxy"):
        service = served(
            *whole(call(arguments=arguments)),
            tools={"get_weather": tool},
            timeout=0.01,
            max_result_bytes=1000,
        )
    assert service.asked == [json.dumps({"error": error}, separators=(",", ":")), "response.create"]
    (record,) = caplog.records
    fields = {"session": service.talk.session.id, "tool": "get_weather", "error": error}
    assert vars(record)["fields"] == fields
    assert record.exc_info is None
    assert service.talk.shell.closes == []


def test_a_session_that_ends_cancels_its_tools_without_an_answer() -> None:
    async def main() -> None:
        service = Service({"get_weather": _sleeps})
        service.send(*whole(call()))
        (task,) = map(asyncio.ensure_future, service.talk.shell.works)
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert service.asked == []

    asyncio.run(main())


def test_calls_at_once_have_a_bound_and_the_bound_is_on_calls_that_run() -> None:
    calls = [call(f"call_{number}") for number in range(4)]
    too_many = '{"error":"TooManyCalls"}'
    service = served(*whole(*calls), max_calls=2)
    assert [*service.answers.values()] == ["Fog in Oslo.", "Fog in Oslo.", too_many, too_many]
    assert service.asked[-1] == "response.create"

    async def main() -> None:
        service.send(*whole(call("call_5"), call("call_6"), response_id="resp_2"))
        await service.run()

    asyncio.run(main())
    assert [*service.answers.values()][4:] == ["Fog in Oslo.", "Fog in Oslo."]


# What the client sees


def test_what_is_not_hidden_passes_byte_for_byte() -> None:
    service = Service()
    events = [
        json.dumps(event, indent=1).encode() for event in whole(call(), call("call_2", "of_the_client"))
    ]
    assert [service.talk.receive(event) for event in events] == [[event] for event in events]
    _forget(service)


def _forget(service: Service) -> None:
    async def main() -> None:
        await service.run()

    asyncio.run(main())


def test_what_is_hidden_leaves_the_rest_as_it_was() -> None:
    other = call("call_2", "of_the_client")
    message = {"type": "message", "id": "item_3", "role": "assistant", "content": [], "status": "completed"}
    service = Service(hide=True)
    assert service.send(created(), *made(call())) == service.send(created())
    theirs = made(other)
    assert [json.loads(data) for data in service.send(*theirs)] == theirs

    raw = json.dumps(done(message, call(), other), indent=1).replace(
        '"content": []', '"content": [], "x": 1.0e0'
    )
    (shown,) = service.talk.receive(raw)
    assert b'"x": 1.0e0' in shown
    assert json.loads(shown) == {**json.loads(raw), "response": _without(json.loads(raw)["response"], 1)}
    _forget(service)
    for kind in ("added", "done"):
        item = {"type": "function_call_output", "id": "item_4", "call_id": "call_1", "output": "Fog in Oslo."}
        event = {"type": f"conversation.item.{kind}", "event_id": "e", "previous_item_id": None, "item": item}
        assert service.send(event) == []
        assert service.send({**event, "item": {**item, "call_id": "call_2"}}) != []
        assert service.send({**event, "item": message}) != []


def _without(response: Event, index: int) -> Event:
    return {**response, "output": [each for n, each in enumerate(response["output"]) if n != index]}


def test_a_call_that_the_client_made_up_itself_is_shown() -> None:
    """As history: it has the name of a tool, and was never called."""
    service = Service(hide=True)
    event = {"type": "conversation.item.done", "event_id": "e", "previous_item_id": None, "item": call("old")}
    assert [json.loads(data) for data in service.send(event)] == [event]


@pytest.mark.parametrize(
    "data",
    [
        '{"type":"response.done","response":null}',
        '{"type":"response.done","response":{"id":"resp_1","output":null}}',
        '{"type":"response.done","response":{"id":"resp_1","output":[1,{"type":"function_call","name":2}]}}',
        '{"type":"response.done","response":[',
        '{"type":"response.created"}',
        '{"type":"response.output_item.done","item":"x"}',
        '{"type":"response.output_item.done","item":{"type":"function_call","name":null}}',
        '{"type":"error","error":7}',
        '{"type":"conversation.item.done","item":{}}',
        '{"type":"response.function_call_arguments.delta","call_id":null}',
    ],
)
def test_what_no_service_would_say_passes(data: str) -> None:
    for hide in (False, True):
        service = Service(hide=hide)
        assert service.talk.receive(data) == [data.encode()]
        assert service.talk.shell.closes == []


# Any order


@st.composite
def _rounds(draw: st.DrawFn) -> list[tuple[list[str], str]]:
    """Responses one after another: the names they call, and how they end."""
    names = st.lists(st.sampled_from(["get_weather", "get_weather", "of_the_client"]), max_size=4)
    status = st.sampled_from(["completed", "completed", "cancelled"])
    return draw(st.lists(st.tuples(names, status), min_size=1, max_size=5))


@given(rounds=_rounds(), chances=st.lists(st.integers(0, 5)))
def test_whenever_tools_end_each_call_is_answered_once_and_no_response_is_asked_for_in_another(
    rounds: list[tuple[list[str], str]], chances: list[int]
) -> None:
    async def main() -> None:
        pending: list[asyncio.Future[str]] = []
        tasks: list[asyncio.Future[None]] = []
        speaking = False
        asked = 0

        async def tool(session: Session, arguments: dict[str, Any]) -> str:
            pending.append(asyncio.get_running_loop().create_future())
            return await pending[-1]

        service = Service({"get_weather": tool}, max_calls=99)

        async def settle() -> None:
            nonlocal asked
            tasks.extend(map(asyncio.ensure_future, service.talk.shell.works))
            service.talk.shell.works.clear()
            for _ in range(4):
                await asyncio.sleep(0)
            now = service.asked.count("response.create")
            assert now == asked or (now == asked + 1 and not speaking)
            asked = now

        ours: list[str] = []
        for number, (names, status) in enumerate(rounds):
            calls = [call(f"call_{number}_{n}", name) for n, name in enumerate(names)]
            ours += [each["call_id"] for each in calls if each["name"] == "get_weather"]
            for event in whole(*calls, response_id=f"resp_{number}", status=status):
                speaking = event["type"] != "response.done"
                service.send(event)
                await settle()
                chance = chances.pop() if chances else 5
                if chance < len(pending):
                    pending.pop(chance).set_result("ok")
                    await settle()
        while pending:
            pending.pop().set_result("ok")
            await settle()
        await asyncio.gather(*tasks)
        assert sorted(service.answers) == sorted(ours)
        wanted = [
            names
            for names, status in rounds
            if names and {*names} == {"get_weather"} and status == "completed"
        ]
        assert bool(asked) == bool(wanted)
        assert asked <= len(wanted)

    asyncio.run(main())


# A real round


def spoken(
    script: Script, talk: Callable[[Any], Awaitable[None]], tools: dict[str, Tool], **options: Any
) -> FakeRealtimeServer:
    async def main() -> FakeRealtimeServer:
        pipeline = Pipeline([Tools(tools, **options)])
        async with (
            asyncio.timeout(SECONDS),
            FakeRealtimeServer(script, speed=math.inf) as fake,
            SERVERS["websockets"](fake.url.partition("?")[0], pipeline) as base_url,
            talking(f"{base_url.replace('http', 'ws')}/realtime?model=gpt-realtime", proxy=None) as client,
        ):
            await talk(client)
        assert pipeline.counts.policy_errors == {}
        assert "error" not in [event.type for event in fake.sessions[0].sent()]
        return fake

    return asyncio.run(main())


LONDON, PARIS = ({"city": city} for city in ("London", "Paris"))
UPDATE = {"type": "session.update", "session": {"type": "realtime", "output_modalities": ["text"]}}


@pytest.mark.parametrize("hide", [True, False])
def test_a_round_with_the_service(hide: bool) -> None:
    seen: list[str] = []

    async def slow_weather(session: Session, arguments: dict[str, Any]) -> dict[str, str]:
        await asyncio.sleep(0.01)
        return {"sky": f"fog in {arguments['city']}"}

    async def talk(client: Any) -> None:
        await client.send(UPDATE, {"type": "response.create"})
        first = await client.until("response.done")
        assert len(first["response"]["output"]) == (0 if hide else 2)
        second = await client.until("response.done")
        assert second["response"]["output"][0]["content"][0]["text"] == 'I hear: {"sky":"fog in Paris"}'
        seen.extend(client.types)

    script = Script(
        Reply([Call("get_weather", LONDON), Call("get_weather", PARIS)]),
        lambda turn: f"I hear: {turn.tool_output}",
    )
    fake = spoken(script, talk, {"get_weather": slow_weather}, hide=hide)
    sent = [event.type for event in fake.sessions[0].received()]
    assert sent == [
        "session.update",
        "response.create",
        "conversation.item.create",
        "conversation.item.create",
        "response.create",
    ]
    assert ("response.function_call_arguments.done" in seen) is not hide
    assert seen.count("response.output_item.done") == (1 if hide else 3)
    assert seen.count("conversation.item.done") == (1 if hide else 5)
