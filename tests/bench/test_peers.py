"""Every peer does all the work it can, and only that is timed which is right."""

import dataclasses
import json
from typing import Any

import pytest

import rtproto
from rtproto.bench import built_in_tasks
from rtproto.bench.cases import Case, built_in
from rtproto.bench.measure import in_common
from rtproto.bench.operations import BUILT_IN, OPERATIONS, Operation
from rtproto.bench.peers import ADDRESS, EDITED, MODULES, Peer, cannot, load

PEERS, MISSING = load()
BY_LABEL = {peer.label: peer for peer in PEERS}
CASES = built_in()
ROWS = [(operation, case) for operation, cases in BUILT_IN.items() for case in cases]

DICTS, BUFFERS = "a dict has no shape to be wrong", "encode into a buffer"
NO = {
    ("decode", "pydantic", "refuses it: ValidationError"),
    ("decode", "openai", "takes it for conversation.created"),
    ("decode a client's", "openai", "parses server events only"),
    ("tell what is wrong", "openai", "fills a model unchecked where validation refuses"),
    *(("tell what is wrong", label, DICTS) for label in ("json", "orjson", "msgspec")),
    *((BUFFERS, label, "makes a new str") for label in ("json", "pydantic", "openai")),
    (BUFFERS, "orjson", "makes new bytes"),
}


def test_all_peers_are_here() -> None:
    assert not MISSING
    assert len(PEERS) == len(MODULES) == 6
    assert PEERS[0].label == "rtproto"


def test_what_no_peer_does_is_known() -> None:
    """A slip in an adapter would show as a "no" in the table, and must show here."""
    found = {
        (operation, peer.label, problem)
        for operation, case in ROWS
        for peer in PEERS
        for frame in CASES[case].frames
        if (problem := OPERATIONS[operation].problem(peer, frame))
    }
    assert found == NO


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.label)
def test_a_decoded_event_is_all_of_the_frame(peer: Peer) -> None:
    for case in BUILT_IN["decode"]:
        for frame in CASES[case].frames:
            if not OPERATIONS["decode"].problem(peer, frame):
                assert peer.read(peer.decode(frame)) == json.loads(frame)


def test_every_piece_of_work_is_an_operation() -> None:
    told = {"label", "libraries", "imports", "remark", "models", "kind", "read"}
    pieces = {field.name for field in dataclasses.fields(Peer)} - told
    assert {operation.work for operation in OPERATIONS.values()} == pieces
    assert BUILT_IN.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_a_wrong_result_is_not_timed(operation: Operation) -> None:
    """The result of another frame, an empty one, and none are each refused."""
    ours = PEERS[0]
    frames = CASES[BUILT_IN[operation.name][0]].frames
    right = operation.work_of(ours)(operation.given(ours, frames[1]))
    tells_them_apart = right != operation.work_of(ours)(operation.given(ours, frames[0]))
    for result in (None, "", b"", {}, *((right,) if tells_them_apart else ())):
        peer = dataclasses.replace(ours, **{operation.work: lambda _, result=result: result})
        assert operation.problem(peer, frames[0]), result


def test_a_type_that_is_wrong_is_not_timed() -> None:
    peer = dataclasses.replace(PEERS[0], probe=lambda _: "session.updated", fault=lambda _: "$.event_id: no")
    assert OPERATIONS["tell the type"].problem(peer, CASES["small delta"].frames[0])
    assert OPERATIONS["tell what is wrong"].problem(peer, CASES["malformed event"].frames[0])


DELTA, SESSION = CASES["small delta"].frames[0], CASES["session.created"].frames[0]
EVENT, HELD = json.loads(DELTA), json.loads(SESSION)
LACKING = {name: value for name, value in EVENT.items() if name != "delta"}
MADE = {
    "type": "response.output_text.delta",
    **ADDRESS,
    "event_id": EVENT["event_id"],
    "delta": EVENT["delta"],
}


APPEND = CASES["append 6.5 kB"].frames[0]
ITEM = json.loads(
    rtproto.encode(rtproto.client.ConversationItemCreate(item=rtproto.items.user(EVENT["delta"])))
)


@pytest.mark.parametrize(
    ("operation", "frame", "result"),
    [
        ("decode", DELTA, LACKING),
        ("decode", DELTA, {**EVENT, "type": "error"}),
        ("encode", DELTA, json.dumps(LACKING)),
        ("replace the event id", DELTA, json.dumps(EVENT)),
        ("replace the event id", DELTA, json.dumps({**LACKING, "event_id": EDITED})),
        ("set the session's model", SESSION, json.dumps({**HELD, "session": {"model": EDITED}})),
        ("set the session's model", SESSION, SESSION),
        ("make and encode a delta", DELTA, json.dumps({**MADE, "item_id": MADE["response_id"]})),
        ("make and encode a delta", DELTA, json.dumps({**MADE, "event_id": "event_2"})),
        ("make and encode a delta", DELTA, json.dumps({**MADE, "delta": "other"})),
        ("make and encode a delta", DELTA, json.dumps({**MADE, "type": "error"})),
        (
            "make and encode a user's item",
            DELTA,
            json.dumps({**ITEM, "item": {**ITEM["item"], "role": "system"}}),
        ),
        ("PCM to frame", APPEND, json.dumps({**json.loads(APPEND), "type": "error"})),
        ("PCM to frame", APPEND, json.dumps({**json.loads(APPEND), "extra": None})),
        ("tell the type, pass on", DELTA, ("error", DELTA)),
        ("tell the type, pass on", DELTA, ("response.output_text.delta", json.dumps(EVENT).encode())),
        (
            "tell what is wrong",
            CASES["malformed event"].frames[0],
            CASES["malformed event"].frames[0].decode(),
        ),
    ],
)
def test_half_a_result_is_not_timed(operation: str, frame: bytes, result: Any) -> None:
    json_peer = BY_LABEL["json"]
    name = OPERATIONS[operation].work
    # As read by the peer's own events, all of a frame is there to be sent.
    right = {name: lambda _: result, **({} if name == "decode" else {"decode": json.loads})}
    assert OPERATIONS[operation].problem(dataclasses.replace(json_peer, **right), frame)


def test_a_delta_that_is_made_is_right() -> None:
    peer = dataclasses.replace(PEERS[0], make_delta=lambda _: json.dumps(MADE))
    assert OPERATIONS["make and encode a delta"].problem(peer, DELTA) is None


def test_an_invented_field_is_wrong() -> None:
    def decode(frame: bytes) -> Any:
        return {**json.loads(frame), "invented": None}

    peer = dataclasses.replace(BY_LABEL["json"], decode=decode)
    assert OPERATIONS["decode"].problem(peer, CASES["small delta"].frames[0])
    assert OPERATIONS["decode"].problem(
        dataclasses.replace(peer, models=True), CASES["small delta"].frames[0]
    )


def test_frames_that_one_gets_wrong_are_left_out_for_both() -> None:
    mixed = Case("mixed", (*CASES["small delta"].frames[:2], *CASES["unknown event"].frames[:3]))
    common = in_common(OPERATIONS["decode"], mixed, PEERS[0], BY_LABEL["pydantic"])
    assert common.ours == common.theirs == [*CASES["small delta"].frames[:2]]
    assert common.problems == {"refuses it: ValidationError": 3}


def test_what_we_get_wrong_is_not_blamed_on_the_peer() -> None:
    def refuse(_: bytes) -> None:
        raise ValueError

    ours = dataclasses.replace(PEERS[0], decode=refuse)
    for label in ("json", "pydantic"):
        common = in_common(OPERATIONS["decode"], CASES["unknown event"], ours, BY_LABEL[label])
        assert {*common.problems} == {"rtproto refuses it: ValueError"}
        assert common.ours == common.theirs == []


def test_only_another_type_is_told_as_one() -> None:
    wrong = dataclasses.replace(BY_LABEL["json"], decode=lambda _: {**EVENT, "delta": "other"})
    other = dataclasses.replace(BY_LABEL["json"], decode=lambda _: {**EVENT, "type": "error"})
    assert OPERATIONS["decode"].problem(wrong, DELTA) == "gives something else"
    assert OPERATIONS["decode"].problem(other, DELTA) == "takes it for error"


def test_a_model_may_pass_over_fields_and_not_over_items() -> None:
    frame = CASES["rate_limits.updated"].frames[0]
    limits = json.loads(frame)
    first, *_ = limits["rate_limits"]
    for found, is_right in (
        ({**limits, "rate_limits": [first]}, False),
        ({name: value for name, value in limits.items() if name != "event_id"}, True),
    ):
        peer = dataclasses.replace(BY_LABEL["json"], models=True, decode=lambda _, found=found: found)
        assert (OPERATIONS["decode"].problem(peer, frame) is None) == is_right


@pytest.mark.parametrize("drops", [False, True])
def test_what_a_peer_sends_is_all_of_the_frame_or_all_of_its_event(drops: bool) -> None:
    frame = json.dumps({**EVENT, "vendor": 1}).encode()
    kept = EVENT if drops else {**EVENT, "vendor": 1}
    peer = dataclasses.replace(
        BY_LABEL["json"], models=True, decode=lambda _: EVENT, encode=lambda _: json.dumps(kept)
    )
    assert OPERATIONS["encode"].problem(peer, frame) is None


def test_a_peer_that_cannot_says_why() -> None:
    peer = dataclasses.replace(PEERS[0], decode=cannot("has no time"))
    assert OPERATIONS["decode"].problem(peer, b"{}") == "has no time"


def test_the_cases_are_as_large_as_they_say() -> None:
    for name, case in CASES.items():
        if " kB" in name:
            assert case.mean_bytes == pytest.approx(1000 * float(name.split(" kB")[0].split()[-1]), rel=0.02)
        if case.frames:
            assert name == "a session" or len({*case.frames}) == len(case.frames)


def test_every_built_in_case_is_used() -> None:
    assert {task.case.name for task in built_in_tasks()} == {*CASES, "–"}
