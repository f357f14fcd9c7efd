"""The demo runs with its extras alone, ends by itself, and fails where it could only boast."""

import io
import math
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from rtproto.cli import _demo_session as session
from rtproto.cli import cli
from rtproto.cli import demo as view
from rtproto.services.proxy import Counts, Policy
from rtproto.testing import Close, Drop, FakeRealtimeServer, HalfOpen, Insert, malformed, unknown

BOUND = 60  # seconds that no command takes
COMMAND = [sys.executable, "-X", "dev", "-W", "error", "-m", "rtproto", "demo"]
OTHERS = ("openai", "websockets", "hypothesis", "pytest", "starlette", "trustme")
MOVES = re.compile(r"\x1b\[(?:\d*[A-DHJK]|\?25[hl])")  # what only a terminal understands


def finish(*command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=BOUND,
        env={**os.environ, "PYTHONUTF8": "1", **environment},
    )


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["demo", "--speed", "inf", *arguments])


def held(*policies: Policy, speed: float = math.inf) -> session.Held:
    return session.hold(session.service(speed), speed=speed, policies=policies)


def numbers(line: str) -> list[int]:
    return [int(digits.replace(",", "")) for digits in re.findall(r"\d[\d,]*", line)]


# What it says ---------------------------------------------------------------------------------


def test_without_a_terminal_it_says_in_a_few_lines_what_was_relayed() -> None:
    ran = finish(*COMMAND, "--speed", "20")
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert len(lines) < 15
    assert all(line == line.rstrip() and len(line) < 80 for line in lines)
    (frames,) = numbers(lines[0])
    assert lines[0] == f"{frames:,} frames, all typed: two spoken turns and a tool call."
    heard, sent, up, up_sent = numbers(" ".join(lines[1:3]))
    assert heard == sent
    assert up == up_sent == frames - sent
    facts = {line[:11].rstrip(): numbers(line[11:]) for line in lines[3:7]}
    assert [*facts] == ["time", "bytes", "audio", "tokens"]
    assert max(facts["time"][:2]) > 0  # before and behind the point
    assert facts["audio"] == [2, 8, 3, 5]  # 2 × 1.4 s heard; 2.0 and 1.5 s spoken
    assert min(facts["tokens"]) > 0
    got, seconds, tenths, events, lost, *_ = numbers(" ".join(lines[7:9]))
    assert lines[7].startswith("listeners ")
    assert (got, seconds, tenths) == (sent, 3, 5)
    assert 0 < lost < sent - events


def test_it_shows_no_payload_and_moves_no_cursor_where_nobody_watches() -> None:
    ran = finish(*COMMAND, "--speed", "20", FORCE_COLOR="1", GITHUB_ACTIONS="1")
    assert ran.returncode == 0
    assert not MOVES.search(ran.stdout)
    assert "London" not in ran.stdout


def test_its_figures_are_the_proxys_and_the_clients() -> None:
    seen = held()
    counts, tally = seen.counts.snapshot(), seen.caller.tally
    assert not seen.problems
    assert counts.frames["client"] == {
        "session.update": 1,
        "input_audio_buffer.append": 140,
        "conversation.item.create": 1,
        "response.create": 1,
    }
    for side in ("client", "server"):
        assert sum(counts.frames[side].values()) == len(seen.caller.frames[side])
        assert sum(counts.bytes[side].values()) == sum(map(len, seen.caller.frames[side]))
        assert seen.arrived[side] == (len(seen.caller.frames[side]),) * 2
    assert {name: tally.rows["server", name].frames for name in counts.frames["server"]} == counts.frames[
        "server"
    ]
    assert counts.tokens["total_tokens"] == tally.tokens["total_tokens"] > 0
    assert (counts.sessions, counts.sessions_open, counts.closes) == (1, 0, {"1000": 1})
    assert [who for who, _ in seen.caller.spoken.values()] == ["user", "agent", "user", "tool", "agent"]
    assert len(seen.times) > 3


def test_it_speaks_at_the_pace_of_speech() -> None:
    fake = session.service(10)
    assert not session.hold(fake, speed=10).problems
    appends = [frame for frame in fake.sessions[0].frames if b"input_audio_buffer.append" in frame.raw[:40]]
    first, last = (appends[at].timestamp or 0.0 for at in (0, 69))
    assert last - first > 0.9 * 69 * 0.020 / 10


def test_a_hiccup_of_the_machine_is_one_time_of_many() -> None:
    seen = session.Held(Counts(), session.Caller(1))
    for seconds, frames in ((2e-3, 2), (5.0, 1), (0.1, 0)):
        seen.counts.note_added(frames, seconds / 2, seconds)
        seen.timed()
    seen.timed()
    assert seen.times == [(0.5e-3, 1e-3), (2.5, 5.0)]


# Where it runs --------------------------------------------------------------------------------


def test_it_needs_its_extras_and_nothing_else() -> None:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({OTHERS!r}))\n"  # None: an import of it fails
        "from rtproto.cli import cli; cli(['demo', '--speed', 'inf'])"
    )
    ran = finish(sys.executable, "-c", code)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_without_them_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['picows'] = None; from rtproto.cli import cli; cli(['demo'])"
    ran = finish(sys.executable, "-c", code)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("Error: this needs an extra: pip install 'rtproto[")


def test_a_terminal_that_knows_no_arrows_will_do() -> None:
    ran = finish(*COMMAND, "--speed", "inf", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 40), (96, 30), (120, 40), (300, 100)])
def test_it_fits_the_terminal(width: int, height: int) -> None:
    out = Console(width=width, height=height, file=io.StringIO(), force_terminal=True)
    seen = held()
    lines = out.render_lines(view._picture(seen, out), pad=False)
    assert len(lines) < height
    texts = ["".join(segment.text for segment in line) for line in lines]
    assert max(map(len, texts)) <= width
    types = seen.counts.snapshot().frames
    shown = [text for text in texts[1:] if text.startswith(("client →", "← service"))]
    named = {name for names in types.values() for name in names}
    assert len(shown) == (len(named) if height == 100 else height - 18)
    assert "input_audio_buffer.append" in shown[0]
    rest = len(named) - len(shown)
    assert any(f"… {rest} more types" in text for text in texts) is (rest > 0)


def on_a_terminal(*command: str, width: int, height: int) -> tuple[int, str]:
    """Run it there; its exit status, and all that was drawn."""
    import fcntl  # noqa: PLC0415 - Windows has none of these
    import pty  # noqa: PLC0415 - as above
    import termios  # noqa: PLC0415 - as above

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=environment | {"TERM": "xterm"}
    )
    os.close(follower)
    drawn = b""
    try:
        while piece := read(leader):
            drawn += piece
        return process.wait(BOUND), drawn.decode()
    finally:
        process.kill()
        process.wait(BOUND)
        os.close(leader)


def read(leader: int) -> bytes:
    try:
        return os.read(leader, 2**16)
    except OSError:  # on Linux, when the last process has closed it
        return b""


@pytest.mark.skipif(sys.platform != "linux", reason="terminals differ")
def test_on_a_terminal_it_is_drawn_while_it_runs() -> None:
    status, drawn = on_a_terminal(*COMMAND, "--speed", "8", width=80, height=24)
    assert status == 0
    assert drawn.count("client → proxy → service") > 3
    assert "Hello, who is there?" in drawn
    last = MOVES.split(drawn)[-1].splitlines()
    assert len(last) < 24
    assert "types" in " ".join(last)
    assert any("all typed" in line for line in last)


def test_each_listener_gets_what_it_should() -> None:
    seen = held()
    assert seen.problems == []
    frames, samples, stalled = seen.ears
    assert frames.frames == seen.caller.frames["server"]
    assert len(samples.samples) == 48 * 3500
    assert (frames.lags, samples.lags) == ([], [])
    assert stalled.dropped == len(frames.audio) - len(stalled.audio) > 0
    assert stalled.dropped_seconds > 0
    assert len(stalled.frames) - len(stalled.audio) == len(frames.frames) - len(frames.audio)


def test_what_a_listener_lacks_is_told() -> None:
    seen = held()
    frames, samples, stalled = seen.ears
    frames.frames.pop()
    samples.samples.pop()
    stalled.lags.clear()
    assert [problem.split("'")[1] for problem in seen.problems] == ["frames", "samples", "stalled"]


# Where it fails -------------------------------------------------------------------------------


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Something is wrong with the service."""

    def make(**options: Any) -> None:
        def service(speed: float) -> FakeRealtimeServer:
            return FakeRealtimeServer(session._SCRIPT, speed=speed, **options)

        monkeypatch.setattr(session, "service", service)

    return make


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Close(1011, "overloaded", after="response.done"), "it was closed with 1011 before "),
        (Drop(after="speech_started"), "it was closed with 1011 before response.done came"),
        (Insert(malformed(), after="session.updated"), "what came is no event before response.done came"),
        (
            Insert(b'{"type":"error","event_id":"e","error":{"type":"server_error","message":"secret"}}'),
            "an error came before response.done",
        ),
    ],
)
def test_a_session_that_breaks_off_is_told_in_a_line(
    faulty: Callable[..., None], fault: Any, why: str
) -> None:
    faulty(faults=[fault])
    result = run()
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: the session broke off: {why}")
    assert "secret" not in line


def test_a_reset_of_the_service_is_noticed_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in sixteen was not, on uvloop with picows's own choice of transports."""
    monkeypatch.setattr(session, "_PATIENCE", 5.0)
    for _ in range(80):
        fake = FakeRealtimeServer(session._SCRIPT, speed=math.inf, faults=[Drop(after="speech_started")])
        with pytest.raises(session.Ended, match="closed with 1011"):
            session.hold(fake, speed=math.inf)


def test_a_service_that_falls_silent_is_not_waited_for_without_end(
    faulty: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_PATIENCE", 0.2)
    faulty(faults=[HalfOpen(after="session.updated")])
    result = run()
    assert (result.exit_code, result.stderr) == (1, "Error: the session broke off: nothing more came\n")


def test_a_frame_that_is_not_typed_is_counted(faulty: Callable[..., None]) -> None:
    faulty(faults=[Insert(unknown())])
    result = run()
    assert result.exit_code == 1
    frames, typed = numbers(result.stdout.splitlines()[0])
    assert typed == frames - 1
    assert result.stderr.splitlines() == [f"Error: 1 of {frames} frames are not typed", f"Error: {CHANGED}"]


def test_fewer_events_than_expected_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(session.EXPECTED, "response.done", 4)
    result = run()
    assert (result.exit_code, result.stderr) == (1, "Error: fewer events than expected: response.done\n")


CHANGED = "not every frame arrived as it was sent"


class Meddler(Policy):
    """Adds a space to some events, or swallows them."""

    def __init__(self, *types: str, swallows: bool = False) -> None:
        self.client_types = self.server_types = frozenset(types)
        self.swallows = swallows

    def on_server_frame(self, session: Any, frame: Any) -> Any:
        return None if self.swallows else type(frame)(bytes(frame) + b" ")

    on_client_frame = on_server_frame


@pytest.mark.parametrize("name", ["rate_limits.updated", "session.updated", "input_audio_buffer.append"])
def test_a_byte_more_is_noticed(name: str) -> None:
    assert CHANGED in held(Meddler(name)).problems


def test_a_frame_that_is_lost_is_noticed() -> None:
    seen = held(Meddler("response.content_part.done", swallows=True))
    assert seen.problems == [CHANGED, "the proxy and the client counted differently"]


def test_an_address_that_cannot_be_had_is_told(faulty: Callable[..., None]) -> None:
    faulty(host="203.0.113.1")  # RFC 5737: nobody's
    result = run()
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch("Error: cannot listen: .+\n", result.stderr)


def test_a_speed_is_above_0() -> None:
    assert run("--speed", "0").exit_code == 2
    result = run("--speed", "nan")
    assert (result.exit_code, result.stderr) == (1, "Error: speed must be above 0\n")
