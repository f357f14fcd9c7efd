"""Every peer at every operation, one by one: ``pytest bench -k "decode and delta"`` while you work on one."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from rtproto.bench import Task, built_in_tasks
from rtproto.bench.operations import OPERATIONS
from rtproto.bench.peers import Peer, load

PEERS, _ = load()
MIXED = ("a session", "unknown and known in turn")
TASKS = [task for task in built_in_tasks() if task.operation in OPERATIONS and task.case.name not in MIXED]


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.label)
@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{task.operation}, {task.case.name}")
def test_peer(benchmark: BenchmarkFixture, task: Task, peer: Peer) -> None:
    """The last frame of the case, once it is seen that the peer gets it right."""
    operation = OPERATIONS[task.operation]
    frame = task.case.frames[-1]
    if problem := operation.problem(peer, frame):
        pytest.skip(problem)
    benchmark.group = f"{task.operation}, {task.case.name}"
    benchmark(operation.work_of(peer), operation.given(peer, frame))
