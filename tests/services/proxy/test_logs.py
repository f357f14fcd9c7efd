"""A line of the log is JSON, whatever it is given, and nothing that was said is in it."""

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtproto.services.proxy import logs

SECRET = "sk-very-secret"
NAMES = ("rtproto", "picows", "asyncio")
LOGGER = logging.getLogger("rtproto.proxy")


class Lines:
    """What was logged."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().split("\n") if line]

    def one(self) -> dict[str, Any]:
        (line,) = self.all()
        return line


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [([*logger.handlers], logger.level) for logger in loggers]
    yield
    for logger, (handlers, level) in zip(loggers, before, strict=True):
        logger.handlers = handlers
        logger.setLevel(level)


@pytest.fixture
def lines() -> Lines:
    lines = Lines()
    logs.setup(stream=lines.stream)
    return lines


def test_a_line_is_one_object_of_what_was_told(lines: Lines) -> None:
    LOGGER.info("session closed", extra={"fields": {"session": "5f2b", "code": 1000, "model": None}})
    line = lines.one()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "info",
        "logger": "rtproto.proxy",
        "event": "session closed",
        "session": "5f2b",
        "code": 1000,
        "model": None,
    }


def test_the_time_is_in_utc_and_milliseconds(lines: Lines) -> None:
    record = LOGGER.makeRecord(LOGGER.name, logging.INFO, "x.py", 1, "now", (), None)
    record.created = 1_795_176_000.0004
    LOGGER.handle(record)
    assert lines.one()["time"] == "2026-11-20T12:00:00.000Z"


def test_fields_do_not_pass_for_what_a_line_says_of_itself(lines: Lines) -> None:
    LOGGER.warning("true", extra={"fields": {"event": "false", "level": "info", "time": 0, "logger": "x"}})
    line = lines.one()
    assert (line["event"], line["level"], line["logger"]) == ("true", "warning", "rtproto.proxy")
    assert line["time"]


def test_no_line_holds_a_line_break(lines: Lines) -> None:
    LOGGER.info("one\ntwo", extra={"fields": {"name": 'a\r\n{"level":"error"}\u2028'}})
    assert lines.stream.getvalue().count("\n") == 1
    assert lines.one()["event"] == "one\ntwo"


def test_the_level_is_the_least_that_is_told() -> None:
    for level, told in {"debug": 4, "info": 3, "warning": 2, "error": 1}.items():
        lines = Lines()
        logs.setup(level, lines.stream)
        for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            LOGGER.log(number, "x")
        assert len(lines.all()) == told
    with pytest.raises(ValueError, match="LOUD"):
        logs.setup("loud")


def test_to_set_it_up_again_is_to_set_it_up_otherwise(lines: Lines) -> None:
    others = Lines()
    other = logging.StreamHandler(io.StringIO())
    logging.getLogger("rtproto").addHandler(other)
    logs.setup(stream=others.stream)
    LOGGER.info("x")
    assert lines.all() == []
    assert len(others.all()) == 1
    assert other in logging.getLogger("rtproto").handlers  # which is not ours to take away


def test_of_an_exception_the_type_and_the_places_are_told_and_never_the_text(lines: Lines) -> None:
    def fail() -> None:
        raise ValueError(SECRET)

    try:
        try:
            fail()
        except ValueError as error:
            raise KeyError(SECRET) from error
    except KeyError:
        LOGGER.exception("policy failed", extra={"fields": {"session": "5f2b"}})
    line = lines.one()
    assert line["error"] == "KeyError"
    (place,) = line["at"]
    assert re.fullmatch(re.escape(__file__) + r":\d+", place)
    assert line["session"] == "5f2b"
    assert SECRET not in lines.stream.getvalue()


def test_where_an_exception_was_is_told_to_its_end_and_not_without_end(lines: Lines) -> None:
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        raise ValueError

    try:
        deep(100)
    except ValueError:
        LOGGER.exception("deep")
    places = lines.one()["at"]
    assert len(places) == 20
    assert places[-1] != places[-2]  # it is where it was raised
    LOGGER.error("none", exc_info=True)
    assert lines.all()[1].keys() == {"time", "level", "logger", "event"}
    assert lines.all()[1]["event"] == "none"


def test_of_libraries_it_is_told_that_they_complain_and_not_of_what(lines: Lines) -> None:
    for name in ("picows", "picows.client", "asyncio"):
        logger = logging.getLogger(name)
        logger.info("accepted %s", SECRET)
        logger.warning("bad frame %s", SECRET)
        try:
            raise ValueError(SECRET)  # noqa: TRY301 - it is what is tested
        except ValueError:
            logger.exception("in a listener: %s", SECRET)
    assert SECRET not in lines.stream.getvalue()
    told = [(line["logger"], line["level"], line["event"], line.get("error")) for line in lines.all()]
    picows, loop = "a connection failed", "something failed in the event loop"
    assert told == [
        ("picows", "warning", picows, None),
        ("picows", "error", picows, "ValueError"),
        ("picows.client", "warning", picows, None),
        ("picows.client", "error", picows, "ValueError"),
        ("asyncio", "warning", loop, None),
        ("asyncio", "error", loop, "ValueError"),
    ]


class Odd:
    def __repr__(self) -> str:
        return SECRET


def test_a_librarys_logger_with_a_level_of_its_own_tells_no_more(lines: Lines) -> None:
    logging.getLogger("picows.rtproto.17").info("New connection accepted: 192.0.2.7")
    logging.getLogger("rtproto.proxy").info("heard")
    assert [line["event"] for line in lines.all()] == ["heard"]


def test_what_is_no_json_is_told_by_its_type(lines: Lines) -> None:
    LOGGER.info("odd", extra={"fields": {"one": Odd(), "two": [Odd(), float("nan")], Odd(): 3}})
    line = lines.one()
    assert (line["one"], line["two"], line["<Odd>"]) == ("<Odd>", ["<Odd>", None], 3)


@pytest.mark.parametrize("fields", [{"name": "\ud800"}, [SECRET], None, 5])
def test_a_line_that_cannot_be_written_says_so_and_no_more(
    lines: Lines, capsys: pytest.CaptureFixture[str], fields: Any
) -> None:
    LOGGER.info("odd", extra={"fields": fields})
    line = lines.one()
    assert line["event"] == "a line that cannot be written"
    assert line["logger"] == "rtproto.proxy"
    assert SECRET not in lines.stream.getvalue() + "".join(capsys.readouterr())


def test_a_message_that_does_not_fit_its_arguments_is_not_told(
    lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    (ours,) = [
        handler for handler in logging.getLogger("rtproto").handlers if handler.__module__ == logs.__name__
    ]
    ours.handle(LOGGER.makeRecord(LOGGER.name, logging.INFO, "x.py", 1, "%d sessions", (SECRET,), None))
    assert lines.one()["event"] == "a line that cannot be written"
    assert capsys.readouterr() == ("", "")


def test_a_stream_that_is_closed_stops_nothing(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    lines.stream.close()
    LOGGER.info("to nobody", extra={"fields": {"name": SECRET}})
    assert capsys.readouterr() == ("", "")


def test_without_a_stream_it_is_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup()
    LOGGER.info("x")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["event"] == "x"


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(Odd),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(fields=st.dictionaries(st.text(), ANY), event=st.text(st.characters()))
def test_whatever_is_given_becomes_one_line(fields: dict[str, Any], event: str) -> None:
    lines = Lines()
    logs.setup(stream=lines.stream)
    with pytest.MonkeyPatch.context() as patch:  # pytest's own log, in its report, must be Unicode
        patch.setattr(logging.getLogger("rtproto"), "propagate", False)
        LOGGER.info(event.replace("%", ""), extra={"fields": fields})
    assert lines.stream.getvalue().count("\n") == 1
    assert lines.one()["level"] == "info"
