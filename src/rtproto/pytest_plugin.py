"""With pytest a fake service is a fixture: there before the test, gone after it, as fast as the test reads.

::

    def test_my_agent(fake_realtime):                          # a FakeRealtimeServer
        ask(api_key="any", base_url=fake_realtime.base_url)
        assert fake_realtime.received("response.create")

    @pytest.mark.fake_realtime("Hello!", speed=1.0)            # a Script's arguments, the server's options
    def test_my_agent_in_real_time(fake_realtime): …

    @pytest.mark.fake_realtime(capture="session.jsonl")        # answers as it was recorded
    def test_my_agent_again(fake_realtime): …

    def test_what_was_said(realtime_capture):                  # a path beside the test's file
        assert realtime_capture("session.jsonl").sent("response.done")

pytest finds this module by itself where rtproto is installed. Until a test asks for it, it costs nothing.
"""

import math
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rtproto.testing import FakeRealtimeServer, Recording

__all__ = ["fake_realtime", "pytest_configure", "realtime_capture"]

_MARKER = (
    "fake_realtime(*replies, transcripts=(…), capture=None, **options): what the fixture answers, and how"
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def fake_realtime(request: pytest.FixtureRequest) -> "Iterator[FakeRealtimeServer]":
    """A fake Realtime server in a thread of its own; the marker ``fake_realtime`` says what it answers."""
    testing = _testing()
    marker = request.node.get_closest_marker("fake_realtime")
    replies, options = (marker.args, dict(marker.kwargs)) if marker else ((), {})
    with testing.FakeRealtimeServer(**_options(request, replies, options)) as server:
        yield server


def _options(
    request: pytest.FixtureRequest, replies: tuple[Any, ...], options: dict[str, Any]
) -> dict[str, Any]:
    said = bool(replies) or "transcripts" in options
    if said + ("script" in options) + ("capture" in options) > 1:
        raise pytest.UsageError("fake_realtime takes replies and transcripts, or script=, or capture=")
    if said:
        options["script"] = _testing().Script(*replies, transcripts=options.pop("transcripts", ()))
    if "capture" in options:
        options["script"] = _testing().Script.from_capture(request.path.parent / options.pop("capture"))
    return {"speed": math.inf, **options}


@pytest.fixture
def realtime_capture(request: pytest.FixtureRequest) -> "Callable[[str], Recording]":
    """Reads a capture, by its path from the test's own file: what was ``sent`` and ``received``, by type."""

    def load(path: str) -> "Recording":
        recording: Recording = _testing().Recording.load(request.path.parent / path)
        return recording

    return load


def _testing() -> Any:
    """The package, not before a test asks for it; without its extra the test fails, and says so."""
    try:
        return import_module("rtproto.testing")
    except ModuleNotFoundError as missing:
        if str(missing.name).startswith("rtproto"):
            raise
        pytest.fail("this fixture needs an extra: pip install 'rtproto[testing]'", pytrace=False)
