"""Every peer at every operation, one by one: ``pytest bench -k "decode and delta"`` while you work on one."""

from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from rtproto.bench import Task, built_in_tasks
from rtproto.bench.measure import in_common
from rtproto.bench.operations import OPERATIONS
from rtproto.bench.peers import Peer, load

PEERS, _ = load()
TASKS = [task for task in built_in_tasks() if task.operation in OPERATIONS]


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.label)
@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{task.operation}, {task.case.name}")
def test_peer(benchmark: BenchmarkFixture, task: Task, peer: Peer) -> None:
    """All frames of the case, once it is seen that the peer gets them right."""
    operation = OPERATIONS[task.operation]
    given, _, problems = in_common(operation, task.case, peer, PEERS[0])
    if problems:
        pytest.skip(problems.most_common(1)[0][0])
    work = operation.work_of(peer)

    def all_frames() -> Any:
        for thing in given:
            work(thing)

    benchmark.group = f"{task.operation}, {task.case.name}"
    benchmark(all_frames)
