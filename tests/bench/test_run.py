"""A run pairs each peer with ours, round by round, and reports what it saw."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from rtproto.bench import Frame, Report, Row, Task, built_in_tasks, capture_tasks, footprint, measure, run
from rtproto.bench.cases import built_in
from rtproto.bench.footprint import hold, import_both
from rtproto.bench.measure import Common, Pair, Taken, side_by_side
from rtproto.bench.operations import OPERATIONS
from rtproto.bench.peers import load
from rtproto.bench.results import HOLD, Cell, cell_of
from rtproto.bench.run import IMPORT, _take_all, row_of

CASES = built_in()


def test_two_are_timed_in_alternating_order() -> None:
    order: list[str] = []

    def timer(name: str, seconds: float) -> float:
        order.append(name)
        return seconds

    pairs = side_by_side(lambda: timer("ours", 1.0), lambda: timer("theirs", 2.0), 4)
    assert pairs == [Pair(1.0, 2.0)] * 4
    assert order == ["theirs", "ours", "ours", "theirs"] * 2


def test_a_cell_is_the_median_and_the_quartiles() -> None:
    assert cell_of([5.0, 1.0, 3.0, 2.0, 4.0], wrong=0, why=None) == Cell(ratio=3.0, low=2.0, high=4.0)
    assert cell_of([1.23456], wrong=0, why=None) == Cell(ratio=1.23)
    assert cell_of([], wrong=7, why="cannot") == Cell(wrong=7, why="cannot")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell(ratio=123.4, low=120.0, high=130.0), "123 ±4%"),
        (Cell(ratio=12.34, low=12.34, high=12.34), "12.3 ±0%"),
        (Cell(ratio=0.5, low=0.4, high=0.6, wrong=2, why="x"), "0.50 ±20% *"),
        (Cell(ratio=8.5), "8.50"),
        (Cell(wrong=3, why="cannot"), "no"),
    ],
)
def test_a_cell_is_shown_in_few_characters(cell: Cell, text: str) -> None:
    assert cell.text == text


def test_the_most_frequent_problem_is_told() -> None:
    found = Common([b""] * 3, [b""] * 3, Counter({"rare": 1, "frequent": 5})).taken([])
    assert (found.right, found.wrong, found.why) == (3, 6, "frequent")


@pytest.fixture(scope="module")
def report() -> Report:
    told: list[str] = []
    tasks = [
        Task("decode", CASES["small delta"]),
        Task("decode", CASES["unknown event"]),
        Task(HOLD, CASES["session.created"]),
        Task(IMPORT, built_in_tasks()[-1].case),
    ]
    found = run(tasks, processes=2, rounds=1, tell=told.append)
    assert told == ["process 1 of 2", "process 2 of 2"]
    return found


def test_a_run_has_a_row_for_each_task(report: Report) -> None:
    assert [(row.operation, row.case, row.unit) for row in report.rows] == [
        ("decode", "small delta", "µs"),
        ("decode", "unknown event", "µs"),
        ("hold an event", "session.created", "B"),
        ("import", "–", "ms"),
    ]
    for row in report.rows:
        assert [*row.peers] == ["json", "orjson", "msgspec", "pydantic", "openai"]
        assert row.ours
        assert row.ours > 0


def test_an_import_is_told_in_milliseconds(report: Report) -> None:
    assert report.rows[3].ours
    assert 1 < report.rows[3].ours < 10_000


def test_a_run_tells_what_each_process_found(report: Report) -> None:
    delta = report.rows[0].peers["json"]
    assert delta.ratio
    assert delta.low is not None
    assert not delta.wrong
    unknown = report.rows[1].peers["openai"]
    assert (unknown.ratio, unknown.wrong) == (None, len(CASES["unknown event"].frames))
    assert "decode, unknown event: openai: takes it for conversation.created" in report.notes()


def test_what_is_held_is_the_same_in_every_process(report: Report) -> None:
    for cell in report.rows[2].peers.values():
        assert cell.low == cell.high == cell.ratio


def test_a_report_survives_json(report: Report) -> None:
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
    assert {"rtproto", "openai", "orjson", "pydantic"} <= report.machine.libraries.keys()


def test_some_wrong_frames_are_noted_with_their_number() -> None:
    cell = Cell(ratio=2.0, wrong=3, why="refuses it")
    row = Row(operation="decode", case="all", frames=10, bytes=1, unit="µs", ours=1.0, peers={"x": cell})
    machine = {"python": "", "system": "", "processor": "", "libraries": {}}
    report = msgspec.convert(
        {"machine": machine, "processes": 1, "rounds": 1, "remarks": {}, "rows": [row]}, Report
    )
    assert report.notes() == ["decode, all (3 of 10): x: refuses it"]


def test_what_an_event_keeps_of_its_frame_counts() -> None:
    """An Unknown holds the frame's bytes; a dict has copies of what is in it."""
    (ours, *others), _ = load()
    held = {peer.label: hold(CASES["unknown event"], ours, peer).pairs for peer in others}
    size = CASES["unknown event"].mean_bytes
    assert all(size < pair.ours < 3 * size for pair in held["json"])
    assert held["openai"] == held["pydantic"] == []


def test_what_rtproto_takes_is_of_the_peers_that_do_most_frames() -> None:
    """Those that get some wrong are timed on the others, which may be the easy ones."""
    few, all_ = (
        Taken([Pair(seconds, 8e-6)], right, 4 - right, None) for seconds, right in ((1e-6, 2), (2e-6, 4))
    )
    peers = [peer for peer in load()[0] if peer.label in {"json", "pydantic"}]
    row = row_of(Task("decode", CASES["response.done"]), peers, [[all_, few]])
    assert row.ours == 2.0
    assert (row.peers["json"].ratio, row.peers["pydantic"].ratio) == (4.0, 8.0)


class Clock:
    """Each look at it finds it where work has put it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> Callable[[Any], None]:
        def work(_: Any) -> None:
            self.now += seconds

        return work


def test_a_timing_is_of_one_frame_by_one_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(measure, "perf_counter", clock)
    operation = OPERATIONS["decode"]._replace(is_right=lambda *_: True)
    ours, theirs = (
        dataclasses.replace(load()[0][0], decode=clock.work(seconds)) for seconds in (0.0001, 0.0003)
    )
    found = measure.take(operation, CASES["response.done"], ours, theirs, 3)
    assert [tuple(map(pytest.approx, pair)) for pair in found.pairs] == [(0.0001, 0.0003)] * 3
    assert (found.right, found.wrong) == (len(CASES["response.done"].frames), 0)


def test_a_timing_is_of_all_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, seen = Clock(), Counter[bytes]()
    monkeypatch.setattr(measure, "perf_counter", clock)

    def decode(frame: bytes) -> None:
        seen[frame] += 1
        clock.now += 0.01

    operation = OPERATIONS["decode"]._replace(is_right=lambda *_: True)
    peer = dataclasses.replace(load()[0][0], decode=decode)
    measure.take(operation, CASES["response.done"], peer, peer, 1)
    assert seen.keys() == {*CASES["response.done"].frames}
    assert len({*seen.values()}) == 1


def test_so_many_rounds_are_taken() -> None:
    (takes,) = _take_all([Task("tell the type", CASES["small delta"])], 3)
    assert {len(one.pairs) for one in takes} == {3}


@pytest.mark.parametrize("case", ["malformed event", "session.created"])
def test_what_is_held_does_not_depend_on_how_many(case: str) -> None:
    """Neither garbage counts nor what the interpreter has in store."""
    ours, json_peer, *_ = load()[0]
    few, many = (
        hold(CASES[case]._replace(frames=CASES[case].frames[:count]), ours, json_peer).pairs[0]
        for count in (5, 100)
    )
    assert few == pytest.approx(many, rel=0.1)


def test_what_is_held_is_what_is_counted() -> None:
    ours, *_ = load()[0]
    kept = dataclasses.replace(ours, decode=lambda _: bytes(10_000))
    twice = dataclasses.replace(ours, decode=lambda _: [bytes(10_000), bytes(10_000)])
    dropped = dataclasses.replace(ours, decode=lambda _: len(bytes(1_000_000)))
    operation = OPERATIONS["decode"]._replace(is_right=lambda *_: True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(footprint, "_DECODE", operation)
        (pair,) = hold(CASES["small delta"], kept, twice).pairs
        (small,) = hold(CASES["small delta"], kept, dropped).pairs
    assert pair.ours == pytest.approx(10_000, rel=0.02)
    assert pair.theirs == pytest.approx(20_000, rel=0.02)
    assert small.theirs < 100


def test_an_import_is_timed_in_a_fresh_interpreter() -> None:
    quick, slow = (
        dataclasses.replace(load()[0][0], imports=f"import time; time.sleep({seconds})")
        for seconds in (0, 0.2)
    )
    for pair in import_both(quick, slow, 1).pairs:
        assert pair.theirs > 0.2 > pair.ours


# Captures -------------------------------------------------------------------------------------


def frames(*cases: str) -> list[Frame]:
    found: list[Frame] = []
    for name in cases:
        direction, wire = ("client", "input_audio_buffer.append") if "append" in name else ("server", name)
        found += (Frame(direction, wire, raw) for raw in CASES[name].frames)  # type: ignore[arg-type]
    return found


def test_a_capture_is_measured_where_it_can_be() -> None:
    tasks = capture_tasks(frames("append 6.5 kB", "session.created", "response.done"))
    found = {(task.operation, task.case.name): len(task.case.frames) for task in tasks}
    both = len(CASES["session.created"].frames) + len(CASES["response.done"].frames)
    assert found["decode", "all from the service"] == both
    assert found["decode", "session.created"] == len(CASES["session.created"].frames)
    assert found["hold an event", "response.done"] == len(CASES["response.done"].frames)
    assert found["decode a client's", "all from the client"] == len(CASES["append 6.5 kB"].frames)
    assert found["PCM to frame", "appends"] == len(CASES["append 6.5 kB"].frames)
    assert found["set the session's model", "sessions"] == len(CASES["session.created"].frames)
    operations = {operation for operation, _ in found}
    assert not operations & {"frame to PCM", "make and encode a delta", "tell what is wrong"}


@pytest.mark.parametrize(
    ("direction", "frame"),
    [
        ("server", '{"type":"response.output_audio.delta","event_id":"e","delta":"not base64"}'),
        ("server", '{"type":"response.output_audio.delta","event_id":"e"}'),
        ("server", '{"type":"response.output_text.delta","delta":"no id"}'),
        ("server", '{"type":"response.output_text.delta","event_id":"e","delta":5}'),
        ("server", '{"type":"session.created","event_id":"e","session":null}'),
        ("client", '{"type":"input_audio_buffer.append","audio":"Base64EncodedAudioData"}'),
        ("client", '{"type":"input_audio_buffer.append","audio":"AA*AA=="}'),
    ],
)
def test_what_an_operation_cannot_be_done_to_is_no_peers_fault(direction: str, frame: str) -> None:
    name = json.loads(frame)["type"]
    tasks = capture_tasks([Frame(direction, name, frame.encode())])  # type: ignore[arg-type]
    special = {"frame to PCM", "PCM to frame", "make and encode a delta", "set the session's model"}
    assert not {task.operation for task in tasks} & special


def test_what_the_check_cannot_read_is_left_out() -> None:
    deep = b'{"type":"response.done","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert capture_tasks([Frame("server", "response.done", deep)]) == []


def test_an_empty_capture_has_nothing_to_measure() -> None:
    assert capture_tasks([]) == []
