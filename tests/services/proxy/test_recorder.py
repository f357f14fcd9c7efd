"""A recording holds what passed, in order; what it does not hold is counted, and nobody waited for it."""

import calendar
import errno
import gzip
import io
import itertools
import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtproto import capture
from rtproto.capture import Record
from rtproto.frame import Frame
from rtproto.services.proxy import Opening, Outcome, Pipeline, Policy, Session
from rtproto.services.proxy import recorder as module
from rtproto.services.proxy.recorder import Recorder, open_private
from tests.services.proxy.shell import Collected, Talk

SECONDS = 20
AUDIO = "QUJDRA" * 100 + "=="


def event(number: int, length: int = 0) -> bytes:
    return b'{"type":"response.output_text.delta","event_id":"event_%d","delta":"%b"}' % (
        number,
        b"x" * length,
    )


def recorded(directory: Path) -> list[list[Record]]:
    """The frames of each file."""
    return [capture.load(path) for path in sorted(directory.iterdir())]


def numbers(records: list[Record]) -> list[int]:
    return [int(json.loads(record.raw)["event_id"].removeprefix("event_")) for record in records]


def until(is_so: Callable[[], object]) -> None:
    """Wait for what the recorder's thread does."""
    end = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.001)


class Gate(io.BytesIO):
    """A disk that stands still until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_reached = threading.Event()
        self.is_open = threading.Event()
        self.lines: list[bytes] = []
        self.flushes = 0

    def write(self, line: Any, /) -> int:
        self.is_reached.set()
        assert self.is_open.wait(SECONDS)
        self.lines.append(bytes(line))
        return len(line)

    def flush(self) -> None:
        self.flushes += 1

    @property
    def records(self) -> list[Record]:
        return [line for line in capture.read(io.BytesIO(b"".join(self.lines))) if isinstance(line, Record)]


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.is_open.set()


# What is recorded


@pytest.mark.parametrize("is_compressed", [True, False])
def test_a_file_has_all_that_passed_in_order(is_compressed: bool, tmp_path: Path) -> None:
    before = time.time()
    with Recorder(tmp_path, compress=is_compressed) as recorder:
        talk = Talk(recorder, target="/v1/realtime?intent=transcription")
        passed = [
            talk.receive('{"type":"session.created","event_id":"e1","vendor":1e0}'),
            talk.send('{ "type" : "input_audio_buffer.append","audio":"QUJD"}'),
            talk.send('{"type":"vendor.unheard_of"}'),
            talk.receive("no event"),
            talk.send(b"\xff[]"),
        ]
        talk.session.end()
    (path,) = tmp_path.iterdir()
    assert capture.load(path) == [
        Record(n, data, side, at, "transcription")  # type: ignore[arg-type]
        for n, (side, data, at) in enumerate(
            [
                (
                    "server",
                    b'{"type":"session.created","event_id":"e1","vendor":1e0}',
                    pytest.approx(before, abs=60),
                ),
                (
                    "client",
                    b'{ "type" : "input_audio_buffer.append","audio":"QUJD"}',
                    pytest.approx(before, abs=60),
                ),
                ("client", b'{"type":"vendor.unheard_of"}', pytest.approx(before, abs=60)),
                ("server", b"no event", pytest.approx(before, abs=60)),
                ("client", "\ufffd[]".encode(), pytest.approx(before, abs=60)),
            ],
            1,
        )
    ]
    assert [len(each) for each in passed] == [1] * 5
    times = [record.timestamp or 0 for record in capture.load(path)]
    assert before <= times[0] <= times[-1] <= time.time()
    assert path.read_bytes().startswith(b"\x1f\x8b") == is_compressed
    assert (recorder.written, recorder.dropped, recorder.queued_bytes) == (5, 0, 0)
    assert talk.session.counts.recorded == {"written": 5}


def test_a_frame_has_the_time_when_it_passed(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1_000_000_000, 1_000_000_009))
    monkeypatch.setattr(module, "time", lambda: next(clock))
    with Recorder(tmp_path, compress=False, opener=lambda path: gate) as recorder:
        talk = Talk(recorder)
        for number in range(3):
            talk.receive(event(number))
        gate.is_open.set()
    assert [record.timestamp for record in gate.records] == [1e9, 1e9 + 1, 1e9 + 2]


def test_each_session_has_a_file_named_by_its_time_and_id(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        pipeline = Pipeline([recorder])
        opening = Opening(path="/v1/realtime", query="model=../../secret", client="../../etc")
        sessions = [pipeline.session(opening, Collected()) for _ in range(3)]
        for number in range(60):
            sessions[number % 3].from_upstream(event(number))
    assert {path.name.split("-")[1] for path in tmp_path.iterdir()} == {
        f"{each.id}.jsonl.gz" for each in sessions
    }
    for path in tmp_path.iterdir():
        at = time.strptime(path.name.split("-")[0], "%Y%m%dT%H%M%SZ")
        assert abs(calendar.timegm(at) - time.time()) < 60
    assert sorted(numbers(records)[0] for records in recorded(tmp_path)) == [0, 1, 2]
    for records in recorded(tmp_path):
        assert numbers(records) == [*range(numbers(records)[0], 60, 3)]


def test_a_session_of_which_nothing_passed_has_no_file(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        Talk(recorder).session.end()
    assert [*tmp_path.iterdir()] == []


def test_only_its_owner_may_read_a_file_and_none_is_written_over(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Recorder(tmp_path) as recorder:
            Talk(recorder).receive(event(1))
    finally:
        os.umask(before)
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        open_private(path)


@pytest.mark.parametrize("is_eliding", [True, False])
def test_audio_is_elided_if_asked_and_not_on_the_way(is_eliding: bool, tmp_path: Path) -> None:
    data = b'{"type":"input_audio_buffer.append","audio":"%b"}' % AUDIO.encode()
    with Recorder(tmp_path, elide_audio=is_eliding) as recorder:
        assert Talk(recorder).send(data) == [data]
    ((record,),) = recorded(tmp_path)
    assert record.raw == (capture.elide_audio(data) if is_eliding else data)
    assert (AUDIO.encode() in record.raw) is not is_eliding


def test_elision_is_the_threads_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()
    elide = capture.elide_audio

    def elided(data: bytes) -> bytes:
        threads.add(threading.get_ident())
        return elide(data)

    monkeypatch.setattr(capture, "_elided", elided)
    with Recorder(tmp_path, elide_audio=True) as recorder:
        Talk(recorder).receive(event(1))
    assert threads
    assert threading.get_ident() not in threads


class Strict(Policy):
    """Refuses a client's cancel, and edits, doubles and swallows what the service says."""

    client_types = frozenset({"response.cancel"})
    server_types = frozenset({"response.output_text.delta", "response.done"})

    def on_client_frame(self, session: Session, frame: Frame[Any]) -> Outcome:
        session.refuse(frame, "not_now", "Not now.")
        return None

    def on_server_frame(self, session: Session, frame: Frame[Any]) -> Outcome:
        return [frame.replace(delta="***"), frame] if frame.type != "response.done" else None

    def on_malformed(self, session: Session, direction: Any, data: bytes) -> bytes | None:
        return None


def test_first_in_the_row_it_has_the_clients_side_and_last_the_services(tmp_path: Path) -> None:
    sides = [tmp_path / "client", tmp_path / "service"]
    for side in sides:
        side.mkdir()
    with Recorder(sides[0]) as first, Recorder(sides[1]) as last:
        talk = Talk(first, Strict(), last)
        talk.send('{"type":"response.cancel","event_id":"c"}')
        talk.send("[]")
        talk.send('{"type":"response.create"}')
        talk.receive(event(1))
        talk.receive('{"type":"response.done"}')
        talk.receive("{}")
    (clients,), (services,) = recorded(sides[0]), recorded(sides[1])
    sent = [b'{"type":"response.cancel","event_id":"c"}', b"[]", b'{"type":"response.create"}']
    assert [record.raw for record in clients if record.direction == "client"] == sent
    assert [record.raw for record in clients if record.direction == "server"] == talk.shell.client
    error = talk.shell.client[0]
    assert (
        [record.raw for record in services if record.direction == "client"] == talk.shell.upstream == sent[2:]
    )
    came = [error, event(1), b'{"type":"response.done"}', b"{}"]
    assert [record.raw for record in services if record.direction == "server"] == came
    assert [record.raw for record in clients][:2] == [sent[0], error]


# A slow disk


def test_a_slow_disk_holds_up_nobody_and_what_there_is_no_room_for_is_dropped(
    tmp_path: Path, gate: Gate
) -> None:
    size = len(event(100, 1000)) + 256
    recorder = Recorder(tmp_path, compress=False, max_queue_bytes=10 * size, opener=lambda path: gate)
    with recorder:
        talk = Talk(recorder)
        for number in range(100, 200):
            assert talk.receive(event(number, 1000)) == [event(number, 1000)]
            assert recorder.queued_bytes <= 10 * size
        assert recorder.dropped == talk.session.counts.recorded["dropped"] == 90
        assert recorder.written == 0
        gate.is_open.set()
        until(lambda: recorder.queued_bytes == 0)
        talk.receive(event(200, 1000))
        talk.session.end()
    assert numbers(gate.records) == [*range(100, 110), 200]
    assert talk.session.counts.recorded == {"written": 11, "dropped": 90}
    assert (recorder.written, recorder.dropped, recorder.queued_bytes) == (11, 90, 0)


def test_small_frames_fill_the_queue_too(tmp_path: Path, gate: Gate) -> None:
    with Recorder(tmp_path, compress=False, max_queue_bytes=100_000, opener=lambda path: gate) as recorder:
        talk = Talk(recorder)
        for _ in range(10_000):
            talk.send("[]")
        assert recorder._queue.qsize() <= 100_000 // 256
        assert recorder.dropped == 10_000 - 100_000 // 258
        gate.is_open.set()
    assert recorder.written + recorder.dropped == 10_000


def test_a_frame_larger_than_the_queue_is_dropped_and_the_next_is_not(tmp_path: Path) -> None:
    with Recorder(tmp_path, max_queue_bytes=1000) as recorder:
        talk = Talk(recorder)
        talk.receive(event(1, 1000))
        talk.receive(event(2))
    assert [numbers(records) for records in recorded(tmp_path)] == [[2]]
    assert (recorder.written, recorder.dropped) == (1, 1)


def test_a_pipe_that_nobody_reads_is_a_slow_disk(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = pipe.open("wb")  # the recorder closes it
    (directory := tmp_path / "captures").mkdir()
    with Recorder(directory, compress=False, max_queue_bytes=50_000, opener=lambda _: writer) as recorder:
        talk = Talk(recorder)
        for number in range(1000):
            assert talk.receive(event(number, 1000))
        assert recorder.dropped > 800  # a pipe holds 64 kB, and the queue 50
        talk.session.end()
        os.set_blocking(reader, True)
        with open(reader, "rb") as file:
            records = [line for line in capture.read(file) if isinstance(line, Record)]
    assert numbers(records) == sorted(numbers(records))
    assert len(records) == recorder.written == 1000 - recorder.dropped > 0
    assert talk.session.counts.recorded.total() == 1000


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3000)), max_size=60), st.integers(0, 20_000))
def test_what_is_written_and_what_is_dropped_is_what_came(frames: list[tuple[int, int]], room: int) -> None:
    gates: dict[Path, Gate] = {}
    is_open = threading.Event()

    def opened(path: Path) -> Gate:
        gate = gates[path] = Gate()
        gate.is_open = is_open
        return gate

    with Recorder(".", compress=False, max_queue_bytes=room, opener=opened) as recorder:
        pipeline = Pipeline([recorder])
        sessions = [pipeline.session(Opening(path="/v1/realtime"), Collected()) for _ in range(3)]
        kept: dict[str, list[int]] = {}
        for number, (which, length) in enumerate(frames):
            dropped = recorder.dropped
            sessions[which].from_upstream(event(number, length))
            if recorder.dropped == dropped:
                kept.setdefault(sessions[which].id, []).append(number)
            if number == len(frames) // 2:
                is_open.set()
        is_open.set()
        for session in sessions:
            session.end()
    assert {path.name[17:33]: numbers(gate.records) for path, gate in gates.items()} == kept
    assert recorder.written == sum(map(len, kept.values()))
    assert recorder.written + recorder.dropped == len(frames)
    assert sessions[0].counts.recorded.total() == len(frames)
    assert recorder.queued_bytes == 0


# A full disk


def complaints(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.fields for record in caplog.records]  # type: ignore[attr-defined]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("is_compressed", [True, False])
def test_a_full_disk_ends_one_recording_and_the_next_session_tries_anew(
    is_compressed: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files: list[Any] = []

    def opened(path: Path) -> Any:
        files.append(open_private(path) if files else os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb"))
        return files[-1]

    with Recorder(tmp_path, compress=is_compressed, flush_seconds=0.001, opener=opened) as recorder:
        full = Talk(recorder)
        assert full.receive(event(1))
        until(lambda: caplog.records)
        for number in range(2, 50):
            assert full.receive(event(number))
        counts = full.session.counts.recorded
        until(lambda: recorder.queued_bytes == 0)
        assert +counts == {"dropped": 49}
        after = recorder.dropped
        fresh = Talk(recorder)
        fresh.receive(event(7))
        full.session.end()
        fresh.session.end()
    assert [numbers(records) for records in recorded(tmp_path)] == [[7]]
    assert recorder.dropped == after
    assert (recorder.written, recorder.dropped) == (1, 49)
    assert fresh.session.counts.recorded == {"written": 1}
    assert complaints(caplog) == [
        {"session": full.session.id, "policy": "Recorder", "error": "OSError", "errno": "ENOSPC"}
    ]
    assert full.shell.closes == fresh.shell.closes == []
    assert all(file.closed for file in files)


def test_what_waits_when_a_file_fails_is_dropped_and_counted(
    tmp_path: Path, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Gate):
        def write(self, line: Any, /) -> int:
            super().write(line)
            raise OSError(errno.EIO, "payload")

    failing = Failing()
    disks = iter([failing, gate])
    with Recorder(tmp_path, compress=False, opener=lambda path: next(disks)) as recorder:
        talk = Talk(recorder)
        for number in range(10):
            talk.receive(event(number))
        failing.is_open.set()
        until(lambda: recorder.queued_bytes == 0)
        assert failing.closed
        Talk(recorder).receive(event(0))
        assert gate.is_reached.wait(SECONDS)  # the thread is with another file
        talk.receive(event(10))
        assert recorder.dropped == 11
        gate.is_open.set()
    assert (recorder.written, recorder.dropped, len(failing.lines)) == (1, 11, 1)
    assert complaints(caplog) == [
        {"session": talk.session.id, "policy": "Recorder", "error": "OSError", "errno": "EIO"}
    ]
    assert "payload" not in caplog.text


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, ""), ValueError("payload"), ZeroDivisionError()])
def test_a_file_that_cannot_be_made_is_told_of_once(
    error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Path] = []

    def opened(path: Path) -> Any:
        calls.append(path)
        raise error

    with Recorder(tmp_path, opener=opened) as recorder:
        talks = [Talk(recorder) for _ in range(2)]
        for number in range(10):
            talks[number % 2].receive(event(number))
    assert (recorder.written, recorder.dropped, len(calls)) == (0, 10, 2)
    assert {each["session"] for each in complaints(caplog)} == {talk.session.id for talk in talks}
    assert {each["error"] for each in complaints(caplog)} == {type(error).__name__}
    assert len(caplog.records) == 2
    assert "payload" not in caplog.text


def test_a_directory_that_goes_away_is_no_matter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (directory := tmp_path / "captures").mkdir()
    with Recorder(directory) as recorder:
        directory.rmdir()
        assert Talk(recorder).receive(event(1))
        until(lambda: recorder.dropped)
        directory.mkdir()
        Talk(recorder).receive(event(2))
    assert [numbers(records) for records in recorded(directory)] == [[2]]
    assert [each["errno"] for each in complaints(caplog)] == ["ENOENT"]


def test_without_a_thread_nothing_is_recorded_and_the_session_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Recorder(tmp_path) as recorder:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            talk = Talk(recorder)
            assert talk.receive(event(1))
        Talk(recorder).receive(event(2))
    assert talk.shell.closes == []
    assert [numbers(records) for records in recorded(tmp_path)] == [[2]]
    assert [each["error"] for each in complaints(caplog)] == ["RuntimeError"]


LIMITED = """
import json, logging, resource, sys, time
from pathlib import Path
from rtproto.services.proxy.recorder import Recorder
from tests.services.proxy.shell import Talk

logging.basicConfig(format="%(message)s %(fields)s", stream=sys.stdout)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
with Recorder(sys.argv[1], compress="gz" in sys.argv, flush_seconds=0.01) as recorder:
    talk = Talk(recorder)
    for number in range(300):
        delta = "%0300x" % (number * 7919 ** 270)
        data = {"type": "response.output_text.delta", "event_id": f"event_{number}", "delta": delta * 5}
        assert talk.receive(data)
        while number == 4 and recorder.written < 5:
            time.sleep(0.001)
    talk.session.end()
    small = Talk(recorder)
    small.receive({"type": "response.output_text.delta", "event_id": "event_0", "delta": "ok"})
assert recorder.written + recorder.dropped == 301, (recorder.written, recorder.dropped)
assert recorder.written == talk.session.counts.recorded["written"] + 1
assert talk.shell.closes == []
print(json.dumps([recorder.written, recorder.dropped, talk.session.id]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of file sizes")
@pytest.mark.parametrize("kind", ["plain", "gz"])
def test_a_file_that_may_not_grow_keeps_what_it_holds(kind: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", LIMITED, str(tmp_path), kind]
    root = Path(__file__).parents[3]
    run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=root, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    *complaint, last = run.stdout.splitlines()
    written, dropped, session = json.loads(last)
    assert len(complaint) == 1
    assert session in complaint[0]
    assert "EFBIG" in complaint[0]
    assert written + dropped == 301
    (path,) = (path for path in tmp_path.iterdir() if session in path.name)
    (other,) = (path for path in tmp_path.iterdir() if session not in path.name)
    found = numbers([record for record in capture.load(path) if record.raw.endswith(b"}")])
    assert found == [*range(len(found))]
    assert len(found) >= written - 1 >= 5
    assert numbers(capture.load(other)) == [0]


# The end


def test_a_file_is_whole_once_its_session_is_over(tmp_path: Path) -> None:
    with Recorder(tmp_path, flush_seconds=1000) as recorder:
        talk = Talk(recorder)
        talk.receive(event(1))
        talk.session.end()
        until(lambda: not recorder._running and recorder.written)
        (path,) = tmp_path.iterdir()
        assert len(gzip.decompress(path.read_bytes()).splitlines()) == 1  # which checks its end


@pytest.mark.parametrize("is_compressed", [True, False])
def test_what_is_idle_is_flushed(is_compressed: bool, tmp_path: Path) -> None:
    with Recorder(tmp_path, compress=is_compressed, flush_seconds=0.01) as recorder:
        talk = Talk(recorder)
        for number in range(3):
            talk.receive(event(number))
            until(lambda: [*tmp_path.iterdir()])
            until(lambda: numbers(recorded(tmp_path)[0]) == [*range(number + 1)])  # noqa: B023 - called at once
        assert recorder._flush_at == float("inf")  # and sleeps


def test_what_never_rests_is_flushed_too(tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(module, "monotonic", lambda: next(ticks))
    with Recorder(tmp_path, compress=False, flush_seconds=10, opener=lambda path: gate) as recorder:
        talk = Talk(recorder)
        for number in range(100):
            talk.receive(event(number))
        gate.is_open.set()
        until(lambda: recorder.queued_bytes == 0)
        assert 5 < gate.flushes < 50


KILLED = """
import sys
from rtproto.services.proxy.recorder import Recorder
from tests.services.proxy.shell import Talk

recorder = Recorder(sys.argv[1], flush_seconds=0.01)
talk = Talk(recorder)
for number in range(500):
    talk.receive({"type": "response.output_text.delta", "event_id": f"event_{number}", "delta": "x"})
while recorder.written < 500:
    pass
print("flushed", flush=True)
for number in range(500, 600):
    talk.receive({"type": "response.output_text.delta", "event_id": f"event_{number}", "delta": "x"})
sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["kill", "exit"])
def test_what_was_flushed_survives_a_kill_and_nobody_waits_for_a_forgotten_recorder(
    end: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    pipes: dict[str, Any] = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "cwd": Path(__file__).parents[3],
    }
    with subprocess.Popen(command, **pipes) as child:
        assert child.stdout
        assert child.stdin
        told = child.stdout.readline()
        if end == "kill":
            child.kill()
        child.stdin.close()
        assert (child.wait(SECONDS) == 0) is (end == "exit")
    assert told.strip() == b"flushed"
    ((*records,),) = recorded(tmp_path)
    assert numbers(records) == [*range(len(records))]
    assert len(records) >= 500


def test_closing_writes_what_waits_and_takes_no_more(tmp_path: Path, gate: Gate) -> None:
    recorder = Recorder(tmp_path, compress=False, opener=lambda path: gate)
    talk = Talk(recorder)
    for number in range(100):
        talk.receive(event(number))
    threading.Timer(0.01, gate.is_open.set).start()
    assert recorder.close()
    assert gate.closed
    assert numbers(gate.records) == [*range(100)]
    assert talk.receive(event(100))
    Talk(recorder).receive(event(101))
    talk.session.end()
    assert recorder.close()
    assert (recorder.written, recorder.dropped) == (100, 2)


def test_closing_gives_up_on_a_disk_that_hangs(tmp_path: Path, gate: Gate) -> None:
    recorder = Recorder(tmp_path, compress=False, opener=lambda path: gate)
    talk = Talk(recorder)
    for number in range(100):
        talk.receive(event(number))
    assert gate.is_reached.wait(SECONDS)
    assert not recorder.close(timeout=0.01)
    assert (recorder.written, recorder.dropped) == (0, 99)  # one is with the disk
    gate.is_open.set()
    until(lambda: gate.closed)
    assert recorder.close()
    assert (recorder.written, recorder.dropped, recorder.queued_bytes) == (1, 99, 0)
    assert numbers(gate.records) == [0]


def test_one_that_recorded_nothing_closes(tmp_path: Path) -> None:
    threads = threading.active_count()
    recorder = Recorder(tmp_path)
    assert recorder.close()
    assert recorder.close()
    assert Talk(recorder).receive(event(1))
    assert recorder.dropped == 1
    assert threading.active_count() == threads


def test_what_comes_when_a_session_is_over_is_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Recorder(tmp_path) as recorder:
        talk = Talk(recorder)
        talk.receive(event(1))
        talk.session.end()
        recorder.on_malformed(talk.session, "server", b"late")
    assert [numbers(records) for records in recorded(tmp_path)] == [[1]]
    assert (recorder.written, recorder.dropped) == (1, 1)
    assert complaints(caplog) == []


def test_a_disk_that_fails_in_the_end_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Gate):
        def close(self) -> None:
            is_closed = self.closed
            super().close()
            if not is_closed:
                raise OSError(errno.ENOSPC, "")

    file = Failing()
    file.is_open.set()
    with Recorder(tmp_path, compress=False, opener=lambda path: file) as recorder:
        talk = Talk(recorder)
        talk.receive(event(1))
        talk.session.end()
    assert [each["errno"] for each in complaints(caplog)] == ["ENOSPC"]
    assert file.closed
    assert (recorder.written, recorder.dropped) == (0, 1)


# The directory


def test_a_directory_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"the directory to record to is not there: '.*none'"):
        Recorder(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="no directory"):
        Recorder(tmp_path / "file")


def test_a_directory_must_be_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK | os.X_OK)  # root may write anywhere
    with pytest.raises(PermissionError, match="no file can be made"):
        Recorder(tmp_path)


def test_it_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path)
    with Recorder("a") as recorder:
        monkeypatch.chdir("/")
        Talk(recorder).receive(event(1))
    assert [numbers(records) for records in recorded(tmp_path / "a")] == [[1]]
