"""With pytest it is a fixture: there when a test asks for it, gone when it ends, no burden to any other."""

import os
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import HERE

pytest_plugins = ["pytester"]

EXAMPLE = HERE.parent / "examples" / "session.jsonl"
STRICT = ("--strict-markers", "--strict-config", "-W", "error", "-p", "no:cacheprovider")

TALK = """
    import socket

    import pytest
    from openai import OpenAI

    from rtproto import client, server
    from rtproto.testing import Call, Drop, FakeRealtimeServer, Insert, Recording, Say, Script, unknown

    def turn(fake, key="any"):
        openai = OpenAI(api_key=key, base_url=fake.base_url)
        with openai, openai.realtime.connect(model="gpt-realtime") as connection:
            connection.response.create(response={"output_modalities": ["text"]})
            events = []
            for event in connection:
                events.append(event)
                if event.type == "response.done":
                    return events

    def text(fake):
        return "".join(event.delta for event in turn(fake) if event.type == "response.output_text.delta")
"""


def run(pytester: pytest.Pytester, *arguments: Any, **outcomes: int) -> pytest.RunResult:
    result = pytester.runpytest_subprocess(*STRICT, *arguments, timeout=60)
    result.assert_outcomes(**outcomes)
    return result


def write(pytester: pytest.Pytester, tests: str, name: str = "test_it") -> None:
    pytester.makepyfile(**{name: TALK + tests})


def test_the_fixture_is_a_server_for_one_test(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
    seen = []

    def test_it_answers(fake_realtime):
        assert isinstance(fake_realtime, FakeRealtimeServer)
        assert text(fake_realtime) == "Hello! I am not a real model."
        assert len(fake_realtime.received(client.ResponseCreate)) == 1
        seen.append((fake_realtime, fake_realtime.port))

    def test_it_is_gone():
        (fake, port), = seen
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        assert [record.end for record in fake.sessions] == [(1000, "")]

    def test_another_has_its_own(fake_realtime):
        assert fake_realtime is not seen[0][0]
        assert fake_realtime.sessions == []

    def test_it_is_as_fast_as_the_test_reads(fake_realtime):
        from time import monotonic
        from rtproto.testing import tone
        fake_realtime.script = Script(Say("Long.", tone(600_000)))
        openai = OpenAI(api_key="any", base_url=fake_realtime.base_url)
        begun = monotonic()
        with openai, openai.realtime.connect(model="gpt-realtime") as connection:
            connection.response.create()
            next(event for event in connection if event.type == "response.done")
        assert monotonic() - begun < 60

    def test_a_failing_test_takes_it_down(fake_realtime):
        seen.append((fake_realtime, fake_realtime.port))
        assert False

    def test_it_is_gone_too():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", seen[-1][1]), timeout=5)
        import threading
        assert "rtproto-fake" not in [thread.name for thread in threading.enumerate()]
    """,
    )
    run(pytester, passed=5, failed=1)


MARKED = """
    @pytest.mark.fake_realtime("One.", Call("f", {"a": 1}), lambda turn: f"{turn.number}.")
    def test_replies(fake_realtime):
        assert text(fake_realtime) == "One."
        openai = OpenAI(api_key="any", base_url=fake_realtime.base_url)
        with openai, openai.realtime.connect(model="gpt-realtime") as connection:
            for expected in ("message", "function_call", "message"):
                connection.response.create(response={"output_modalities": ["text"]})
                done = next(event for event in connection if event.type == "response.done")
                assert done.response.output[0].type == expected
            assert done.response.output[0].content[0].text == "2."

    @pytest.mark.fake_realtime("Hi.", keys=["sk-good"], faults=[Insert(unknown())], record=False)
    def test_options(fake_realtime):
        assert "x.unheard_of" in [event.type for event in turn(fake_realtime, "sk-good")]
        with pytest.raises(Exception, match="401"):
            turn(fake_realtime, "sk-bad")
        assert fake_realtime.sessions == []

    @pytest.mark.fake_realtime("One two three four five six seven eight nine ten eleven.", speed=2.0)
    def test_speed(fake_realtime):
        from time import monotonic
        begun = monotonic()
        text(fake_realtime)
        assert monotonic() - begun >= 0.09  # 0.02 s a word, twice as fast

    @pytest.mark.fake_realtime(script=Script("Scripted."))
    def test_a_script(fake_realtime):
        assert text(fake_realtime) == "Scripted."

    @pytest.mark.fake_realtime("For all.")
    class TestClass:
        def test_marked(self, fake_realtime):
            assert text(fake_realtime) == "For all."

        @pytest.mark.fake_realtime("For one.")
        def test_marked_anew(self, fake_realtime):
            assert text(fake_realtime) == "For one."

    @pytest.mark.fake_realtime(transcripts=["Heard this.", "And that."])
    def test_transcripts(fake_realtime):
        assert fake_realtime.script.transcripts == ("Heard this.", "And that.")
        assert text(fake_realtime) == "Hello! I am not a real model."

    @pytest.mark.parametrize("said", [
        pytest.param("a", marks=pytest.mark.fake_realtime("a")),
        pytest.param("b", marks=pytest.mark.fake_realtime("b")),
    ])
    def test_parameters(fake_realtime, said):
        assert text(fake_realtime) == said
"""


def test_the_marker_says_what_it_answers_and_how(pytester: pytest.Pytester) -> None:
    write(pytester, MARKED)
    run(pytester, passed=9)


def test_several_workers_have_a_server_each(pytester: pytest.Pytester) -> None:
    write(pytester, MARKED)
    run(pytester, "-n", "2", passed=9)


def test_a_capture_is_found_beside_the_test(pytester: pytest.Pytester) -> None:
    """Wherever pytest was started."""
    folder = pytester.mkdir("voice")
    (folder / "recorded").mkdir()
    (folder / "recorded" / "session.jsonl").write_bytes(EXAMPLE.read_bytes())
    tests = """
    @pytest.mark.fake_realtime(capture="recorded/session.jsonl")
    def test_replies(fake_realtime, realtime_capture):
        recorded = realtime_capture("recorded/session.jsonl")
        assert isinstance(recorded, Recording)
        done = recorded.sent(server.ResponseDone)
        assert done
        assert len(fake_realtime.script.replies) == len(done)
        assert turn(fake_realtime)[-1].response.status == "completed"
        assert recorded.received("response.create")

    def test_a_capture_alone_needs_no_server(realtime_capture, request):
        recorded = realtime_capture("recorded/session.jsonl")
        assert [event.type for event in recorded.sent()][0] == "session.created"
        assert "fake_realtime" not in request.fixturenames
        with pytest.raises(FileNotFoundError):
            realtime_capture("none.jsonl")

    @pytest.mark.fake_realtime(capture="none.jsonl")
    def test_there_is_none(fake_realtime):
        pass
    """
    write(pytester, tests)
    (pytester.path / "test_it.py").rename(folder / "test_it.py")
    result = run(pytester, folder / "test_it.py", passed=2, errors=1)
    result.stdout.fnmatch_lines(["*FileNotFoundError*none.jsonl*"])


def test_a_slip_in_the_marker_is_told(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
    @pytest.mark.fake_realtime(sped=1)
    def test_option(fake_realtime):
        pass
    """,
    )
    run(pytester, errors=1).stdout.fnmatch_lines(["*TypeError*'sped'*"])


def test_pytest_tells_of_the_marker_and_the_fixtures(pytester: pytest.Pytester) -> None:
    shown = pytester.runpytest_subprocess("--markers", timeout=60)
    shown.stdout.fnmatch_lines(["@pytest.mark.fake_realtime(?replies,*capture=None,*"])
    shown = pytester.runpytest_subprocess("--fixtures", timeout=60)
    shown.stdout.fnmatch_lines(["fake_realtime -- *", "*fake Realtime server*", "realtime_capture -- *"])


def test_until_a_test_asks_for_it_it_costs_nothing() -> None:
    code = (
        "import sys, rtproto.pytest_plugin\n"
        "print([m for m in sys.modules if m.partition('.')[0] in"
        " {'picows', 'hypothesis', 'openai', 'uvloop', 'asyncio', 'click', 'websockets'}"
        " or m.startswith('rtproto.testing')])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"


BLOCK = """
import sys

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "picows":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Gone())
"""


def test_without_its_extra_it_skips_its_tests_and_no_other(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = pytester.mkdir("site")
    (site / "sitecustomize.py").write_text(BLOCK, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    (pytester.path / "session.jsonl").write_bytes(EXAMPLE.read_bytes())
    pytester.makepyfile(
        """
        import pytest

        def test_of_something_else():
            with pytest.raises(ModuleNotFoundError):
                import picows

        @pytest.mark.fake_realtime("Hi.")
        def test_of_it(fake_realtime):
            assert False

        def test_of_a_capture(realtime_capture):
            realtime_capture("session.jsonl")
            assert False
        """
    )
    result = run(pytester, passed=1, failed=1, errors=1)
    result.stdout.fnmatch_lines(["*needs an extra: pip install 'rtproto[[]testing]'*"] * 2)


def test_what_is_wrong_with_a_script_is_told_by_the_test_that_fails(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
    def wrong(turn):
        raise LookupError("no such reply")

    @pytest.mark.fake_realtime.with_args(wrong)  # else pytest takes a lone function for the test
    def test_it(fake_realtime):
        turn(fake_realtime)
    """,
    )
    run(pytester, failed=1, errors=1).stdout.fnmatch_lines(["*LookupError: no such reply*"])


def test_the_plugin_is_found_without_being_asked_for(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(request): assert request.config.pluginmanager.hasplugin('rtproto')")
    run(pytester, passed=1)
