"""What is billed is what the service said, once."""

import gc
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtproto import capture, server_codec
from rtproto.cli._source import Line
from rtproto.cli.tally import Tally
from rtproto.services.proxy import Opening, Pipeline, Session
from rtproto.services.proxy.ledger import OTHERS, Usage, UsageLedger
from rtproto.testing.recording import type_of
from tests.services.proxy.shell import Collected, Talk

SESSION = Path(__file__).parents[3] / "examples" / "session.jsonl"
FRAMES = Path(__file__).parents[2] / "frames" / "server.jsonl"
SPOKEN: dict[str, Any] = {
    "total_tokens": 300,
    "input_tokens": 193,
    "output_tokens": 107,
    "input_token_details": {
        "text_tokens": 101,
        "audio_tokens": 52,
        "image_tokens": 40,
        "cached_tokens": 161,
        "cached_tokens_details": {"text_tokens": 128, "audio_tokens": 32, "image_tokens": 1},
    },
    "output_token_details": {"text_tokens": 19, "audio_tokens": 88, "reasoning_tokens": 7},
}
SPOKEN_USAGE = Usage(
    responses=1,
    total_tokens=300,
    input_tokens=193,
    output_tokens=107,
    input_text=101,
    input_audio=52,
    input_image=40,
    cached_tokens=161,
    cached_text=128,
    cached_audio=32,
    cached_image=1,
    output_text=19,
    output_audio=88,
    reasoning=7,
)


def done(
    usage: Any = ..., id: str | None = "resp_1", status: str = "completed", **fields: Any
) -> dict[str, Any]:
    response: dict[str, Any] = {"object": "realtime.response", "id": id, "status": status, "output": []}
    if usage is not ...:
        response["usage"] = usage
    return {"type": "response.done", "event_id": "event_1", "response": response, **fields}


def heard(usage: Any = ..., item_id: Any = "item_1", **fields: Any) -> dict[str, Any]:
    event = {
        "type": "conversation.item.input_audio_transcription.completed",
        "event_id": "event_1",
        "item_id": item_id,
        "content_index": 0,
        "transcript": "Hello.",
        **fields,
    }
    return event if usage is ... else {**event, "usage": usage}


def talks(ledger: UsageLedger, *clients: str | None, query: str = "model=gpt-realtime") -> list[Session]:
    pipeline = Pipeline([ledger])
    openings = (Opening(path="/v1/realtime", query=query, client=client) for client in clients)
    return [pipeline.session(opening, Collected()) for opening in openings]


def said(session: Session, *events: dict[str, Any]) -> None:
    for event in events:
        session.from_upstream(json.dumps(event).encode())


def used(*events: dict[str, Any] | bytes | str) -> Usage:
    """What a session used in which the service said this; every message has gone on as it came."""
    ledger = UsageLedger()
    talk = Talk(ledger)
    for event in events:
        data = json.dumps(event).encode() if isinstance(event, dict) else event
        assert talk.receive(data) == [data if isinstance(data, bytes) else data.encode()]
    assert talk.shell.closes == []
    assert ledger.of(talk.session) == ledger.total
    assert ledger.by_client == ({None: ledger.total} if ledger.total != Usage() else {})
    return ledger.total


# What is counted


def test_a_response_costs_its_tokens_by_kind() -> None:
    assert used(done(SPOKEN)) == SPOKEN_USAGE


@pytest.mark.parametrize("status", ["completed", "cancelled", "failed", "incomplete", "unheard_of"])
def test_a_response_costs_what_it_costs_however_it_ended(status: str) -> None:
    assert used(done(SPOKEN, status=status)) == SPOKEN_USAGE


@pytest.mark.parametrize("usage", [..., None, {}, [], "free", 7, {"input_token_details": None}])
def test_a_response_without_a_usage_is_counted_and_costs_nothing(usage: Any) -> None:
    assert used(done(usage, status="cancelled")) == Usage(responses=1)


def test_what_is_left_out_of_a_usage_is_none_and_the_rest_counts() -> None:
    partial = {"total_tokens": 9, "input_token_details": {"cached_tokens": 4, "cached_tokens_details": None}}
    assert used(done(partial)) == Usage(responses=1, total_tokens=9, cached_tokens=4)


def test_sums_and_parts_are_the_services_even_where_they_do_not_agree() -> None:
    usage = {
        "total_tokens": 1,
        "input_tokens": 127,
        "input_token_details": {"text_tokens": 8, "cached_tokens": 384},
    }
    assert used(done(usage)) == Usage(
        responses=1, total_tokens=1, input_tokens=127, input_text=8, cached_tokens=384
    )


def test_an_empty_usage_gives_way_to_the_one_beside_the_response() -> None:
    beside = {
        "input_tokens": 5,
        "input_token_details": {"text_tokens": 5, "vendor_tokens": 0},
        "seconds": 0.7,
    }
    event = {**done({}), "usage": beside}
    assert used(event, event) == Usage(responses=1, input_tokens=5, input_text=5)
    assert used({**done({"input_tokens": 6}), "usage": beside}) == Usage(responses=1, input_tokens=6)


@pytest.mark.parametrize(
    "event",
    [
        done(SPOKEN, status_details=1) | {"response": done(SPOKEN)["response"] | {"output": "none"}},
        done(SPOKEN) | {"event_id": 7},
        {"type": "response.done", "response": {"id": "resp_1", "usage": SPOKEN}},
        done({**SPOKEN, "service_tier": {"name": "x"}}),
    ],
)
def test_a_response_that_is_not_typed_costs_the_same(event: dict[str, Any]) -> None:
    assert used(event) == SPOKEN_USAGE


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"response.done"}',
        '{"type":"response.done","response":null}',
        '{"type":"response.done","response":["usage"]}',
        '{"type":"response.done","response":{"id":{"a":1},"usage":{}}}',
    ],
)
def test_a_response_of_any_shape_is_one(text: str) -> None:
    assert used(text) == Usage(responses=1)


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"response.done","response":{"usage":{"total_tokens":1}',
        '{"type":"response.done","response":' + '{"usage":' * 5000 + "1" + "}" * 5000 + "}",
        '{"type":"response.done",,}',
    ],
)
def test_what_nobody_can_read_costs_nothing_and_goes_on(text: str) -> None:
    assert used(text) == Usage()


@pytest.mark.parametrize(
    ("number", "count"),
    [("0", 0), ("12", 12), ("12.0", 12), ("1.2e1", 12), ("9007199254740991", 2**53 - 1)],
)
def test_a_whole_number_is_a_count(number: str, count: int) -> None:
    usage = used(f'{{"type":"response.done","response":{{"usage":{{"input_tokens":{number}}}}}}}')
    assert usage == Usage(responses=1, input_tokens=count)
    assert type(usage.input_tokens) is int


@pytest.mark.parametrize(
    "number",
    [
        "-1",
        "-12.0",
        "1.5",
        "true",
        "false",
        "null",
        '"12"',
        "[12]",
        "9007199254740992",
        "1e300",
        "9" * 5000,
        "1e999",
    ],
)
def test_any_other_number_is_none(number: str) -> None:
    text = f'{{"type":"response.done","response":{{"usage":{{"input_tokens":{number},"output_tokens":3}}}}}}'
    assert used(text) == Usage(responses=1, output_tokens=3)


def test_a_transcript_is_billed_beside_responses_by_tokens_or_by_time() -> None:
    tokens = {
        "type": "tokens",
        "total_tokens": 22,
        "input_tokens": 13,
        "input_token_details": {"text_tokens": 4, "audio_tokens": 9},
        "output_tokens": 9,
    }
    assert used(heard(tokens)) == Usage(
        transcriptions=1,
        transcription_total_tokens=22,
        transcription_input_tokens=13,
        transcription_output_tokens=9,
        transcription_input_text=4,
        transcription_input_audio=9,
    )
    by_time = [
        heard({"type": "duration", "seconds": each}, f"item_{each}") for each in (1.75, 2, -1.0, True, "9")
    ]
    assert used(*by_time) == Usage(transcriptions=5, transcription_seconds=3.75)
    assert used(heard()) == used(heard(None)) == used(heard({"type": "later"})) == Usage(transcriptions=1)


def test_other_events_cost_nothing() -> None:
    lines = [
        line for line in FRAMES.read_bytes().splitlines() if type_of(line) not in UsageLedger.server_types
    ]
    assert len(lines) > 100
    assert used(*lines) == Usage()


def test_what_a_client_or_a_policy_sends_costs_nothing() -> None:
    ledger = UsageLedger()
    talk = Talk(ledger)
    talk.send(done(SPOKEN))
    talk.session.send_to_client(server_codec.decode(json.dumps(done(SPOKEN))))
    assert ledger.total == Usage()


# Once


def test_a_response_that_is_told_twice_costs_once() -> None:
    assert used(done(SPOKEN), done(SPOKEN), done(SPOKEN) | {"event_id": "event_2"}) == SPOKEN_USAGE
    assert used(done(SPOKEN), done({"total_tokens": 1})) == SPOKEN_USAGE
    assert used(done(SPOKEN), done(SPOKEN, id="resp_2")) == SPOKEN_USAGE + SPOKEN_USAGE


def test_a_usage_that_only_the_repetition_tells_counts_then() -> None:
    assert used(done(None), done(SPOKEN), done(SPOKEN), done(None)) == SPOKEN_USAGE
    assert used(done(None), done(), done({})) == Usage(responses=1)


@pytest.mark.parametrize("id", [None, "", 7])
def test_without_its_id_a_response_is_known_by_its_events(id: Any) -> None:
    event = done(SPOKEN, id=id)
    assert used(event, event) == SPOKEN_USAGE
    assert used(event, event | {"event_id": "event_2"}).responses == 2
    assert (
        used(*[event | {"response_id": "resp_9", "event_id": f"event_{n}"} for n in range(3)]) == SPOKEN_USAGE
    )


def test_what_cannot_be_told_apart_counts_each_time() -> None:
    event = {"type": "response.done", "response": {"usage": {"total_tokens": 5}}}
    assert used(event, event) == Usage(responses=2, total_tokens=10)


def test_a_transcript_is_known_by_its_item_and_part() -> None:
    usage = {"type": "duration", "seconds": 2}
    assert used(heard(usage), heard(usage, event_id="event_2")) == Usage(
        transcriptions=1, transcription_seconds=2
    )
    assert used(heard(usage), heard(usage, "item_2"), heard(usage, content_index=1)).transcriptions == 3
    assert used(heard(usage, None), heard(usage, None)).transcriptions == 1
    assert used(heard(usage, None), done(id=None)).responses == 1
    assert used(heard(usage, "resp_1"), done(id="resp_1")) == Usage(
        responses=1, transcriptions=1, transcription_seconds=2
    )


def test_any_name_does() -> None:
    odd = [*("\ud800", "\udfff", "x" * 100_000, "x" * 100_001, "\0", "item_1 0")]
    assert used(*[done(SPOKEN, id=name) for name in odd] * 2).responses == len(odd)
    deep: Any = 0
    for _ in range(300):
        deep = [deep]
    assert used(heard(content_index=deep), heard(content_index="9" * 9000)).transcriptions == 1


def test_no_more_names_are_remembered_than_there_is_room_for() -> None:
    ledger = UsageLedger()
    talk = Talk(ledger)
    for number in range(4097):
        talk.receive(done(id=f"resp_{number}" + "x" * 1000))
    for number, responses in ((1, 4097), (4096, 4097), (0, 4098)):  # of the first nobody knows any more
        talk.receive(done(id=f"resp_{number}" + "x" * 1000))
        assert ledger.total.responses == responses
    account = talk.session.state[ledger]
    assert len(account.remembered._has_usage) == 4096
    assert {len(key) for key in account.remembered._has_usage} == {16}


def test_sessions_have_each_their_own_responses_unless_they_share_a_call() -> None:
    ledger = UsageLedger()
    for session in talks(ledger, None, None):
        said(session, done({"total_tokens": 5}))
    assert ledger.total == Usage(responses=2, total_tokens=10)
    ledger = UsageLedger()
    before, again = talks(ledger, None, None, query="call_id=rtc_1")
    (other,) = talks(ledger, None, query="call_id=rtc_2")
    for session in (before, again, other):
        said(session, done({"total_tokens": 5}))
    assert (ledger.of(before).responses, ledger.of(again).responses, ledger.of(other).responses) == (1, 0, 1)
    assert len(ledger._calls) == 2
    del before, again, other, session
    gc.collect()
    assert len(ledger._calls) == 0


# Whose


def test_each_session_and_client_has_its_own_account() -> None:
    ledger = UsageLedger()
    sessions = talks(ledger, "mobile", "web", "mobile", None)
    assert ledger.of(sessions[0]) == ledger.total == Usage()
    for number, session in enumerate(sessions, 1):
        said(session, done({"total_tokens": 10**number}))
    assert [ledger.of(session).total_tokens for session in sessions] == [10, 100, 1000, 10_000]
    assert {name: usage.total_tokens for name, usage in ledger.by_client.items()} == {
        "mobile": 1010,
        "web": 100,
        None: 10_000,
    }
    assert ledger.total == Usage(responses=4, total_tokens=11_110)


def test_clients_beyond_the_most_are_one() -> None:
    ledger = UsageLedger(max_clients=2)
    for session in talks(ledger, "a", "b", "c", "d", "a"):
        said(session, done({"total_tokens": 1}))
    assert {name: usage.responses for name, usage in ledger.by_client.items()} == {"a": 2, "b": 1, OTHERS: 2}


def test_what_was_asked_for_does_not_change_afterwards() -> None:
    ledger = UsageLedger()
    (session,) = talks(ledger, "a")
    said(session, done({"total_tokens": 1}))
    before = (ledger.of(session), ledger.total, ledger.by_client)
    ledger.by_client.clear()
    said(session, done({"total_tokens": 1}, id="resp_2"))
    assert before == (Usage(responses=1, total_tokens=1),) * 2 + ({"a": Usage(responses=1, total_tokens=1)},)
    assert ledger.by_client == {"a": Usage(responses=2, total_tokens=2)}


def test_billing_is_told_what_is_new_and_whose() -> None:
    told: list[tuple[Session, Usage]] = []
    ledger = UsageLedger(lambda session, usage: told.append((session, usage)))
    one, two = talks(ledger, "a", "b")
    said(one, done(SPOKEN), done(SPOKEN), heard({"type": "duration", "seconds": 1.5}))
    said(two, done(None, status="cancelled"), done({}), done({"total_tokens": 2}), done({"total_tokens": 3}))
    assert told == [
        (one, SPOKEN_USAGE),
        (one, Usage(transcriptions=1, transcription_seconds=1.5)),
        (two, Usage(responses=1)),
        (two, Usage(total_tokens=2)),
    ]


def test_billing_that_fails_closes_the_session_and_the_account_is_right() -> None:
    def fail(session: Session, usage: Usage) -> None:
        raise ZeroDivisionError

    ledger = UsageLedger(fail)
    talk = Talk(ledger)
    assert talk.receive(done(SPOKEN)) == []
    assert talk.shell.closes == [(1011, "UsageLedger failed")]
    assert ledger.total == SPOKEN_USAGE


def test_the_proxys_counts_have_the_tokens_by_kind() -> None:
    talk = Talk(UsageLedger())
    talk.receive(done(SPOKEN))
    talk.receive(done({"total_tokens": 4, "output_tokens": 0}, id="resp_2"))
    talk.receive(heard({"type": "tokens", "total_tokens": 3, "input_tokens": 3, "output_tokens": 0}))
    talk.receive(heard({"type": "duration", "seconds": 3}, "item_2"))
    tokens = talk.session.counts.snapshot().tokens
    assert tokens == {
        "total_tokens": 304,
        "input_tokens": 193,
        "output_tokens": 107,
        "input_text": 101,
        "input_audio": 52,
        "input_image": 40,
        "cached_tokens": 161,
        "cached_text": 128,
        "cached_audio": 32,
        "cached_image": 1,
        "output_text": 19,
        "output_audio": 88,
        "reasoning": 7,
        "transcription_total_tokens": 3,
        "transcription_input_tokens": 3,
    }


# The whole

PATHS = {
    "total_tokens": "total_tokens",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "input_text": "input_token_details.text_tokens",
    "input_audio": "input_token_details.audio_tokens",
    "input_image": "input_token_details.image_tokens",
    "cached_tokens": "input_token_details.cached_tokens",
    "cached_text": "input_token_details.cached_tokens_details.text_tokens",
    "cached_audio": "input_token_details.cached_tokens_details.audio_tokens",
    "cached_image": "input_token_details.cached_tokens_details.image_tokens",
    "output_text": "output_token_details.text_tokens",
    "output_audio": "output_token_details.audio_tokens",
    "reasoning": "output_token_details.reasoning_tokens",
}


@pytest.mark.parametrize("path", [SESSION, FRAMES], ids=["session", "frames"])
def test_the_sums_are_those_of_inspect(path: Path) -> None:
    tally = Tally()
    records = [record for record in capture.load(path) if (record.direction or "server") == "server"]
    for record in records:
        tally.add(Line(record, "server", server_codec.decode(record.raw)))
    usage = used(*(record.raw for record in records))
    assert {name: getattr(usage, name) for name in PATHS} == {
        name: tally.tokens[at] for name, at in PATHS.items()
    }
    assert usage.responses == tally.responses_ended.total() > 3
    assert usage.total_tokens > 0


COUNTS = st.integers(0, 10**6)
USAGES: st.SearchStrategy[dict[str, int] | None] = st.one_of(
    st.none(),
    st.just({}),
    st.fixed_dictionaries(
        {}, optional={"total_tokens": COUNTS, "input_tokens": COUNTS, "output_tokens": COUNTS}
    ),
)
RESPONSES = st.tuples(
    st.integers(0, 1),  # which session
    st.sampled_from(["resp_1", "resp_2", "resp_3", None]),
    st.sampled_from(["completed", "cancelled", "failed", "incomplete"]),
    USAGES,
)


@given(st.lists(RESPONSES, max_size=20))
def test_any_responses_in_any_order_come_to_what_a_plain_account_of_them_says(
    responses: list[tuple[int, str | None, str, dict[str, int] | None]],
) -> None:
    told: Counter[str] = Counter()
    ledger = UsageLedger(lambda _, usage: told.update(usage.tokens))
    sessions = talks(ledger, "a", "b")
    paid: dict[Any, dict[str, int]] = {}
    for number, (which, id, status, usage) in enumerate(responses):
        said(sessions[which], done(usage, id, status) | {"event_id": f"event_{number}"})
        key = (which, id or number)
        paid[key] = paid.get(key) or usage or {}
    for which, client in enumerate("ab"):
        own = [usage for (of, _), usage in paid.items() if of == which]
        sums: Counter[str] = Counter()
        for usage in own:
            sums.update(usage)
        expected = Usage(responses=len(own), **sums)
        assert ledger.of(sessions[which]) == expected == ledger.by_client.get(client, Usage())
    assert ledger.total == sum(ledger.by_client.values(), Usage())
    assert told == Counter(ledger.total.tokens) == sessions[0].counts.tokens


KEYS = [
    "usage",
    "id",
    "total_tokens",
    "input_token_details",
    "text_tokens",
    "cached_tokens_details",
    "seconds",
]
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
JSON = st.recursive(
    SCALARS,
    lambda each: st.lists(each, max_size=2) | st.dictionaries(st.sampled_from(KEYS), each, max_size=4),
)


@given(JSON)
def test_whatever_a_usage_is_nothing_is_raised_and_no_count_falls(anything: Any) -> None:
    text = msgspec.json.encode({"type": "response.done", "response": anything}).decode()
    for usage in (used(text), used(done(anything)), used(heard(anything))):
        assert all(getattr(usage, name) >= 0 for name in usage.__struct_fields__)
        assert usage.responses + usage.transcriptions == 1
