"""A line of the log is one JSON object of names and numbers; what was said never gets into it.

::

    _LOGGER.info("session closed", extra={"fields": {"session": session.id, "code": 1000}})
    # {"time":"2026-11-20T12:00:00.000Z","level":"info","logger":"rtproto.proxy","event":"session closed",
    #  "session":"5f2b8c0d9e1a7346","code":1000}

Libraries' own lines may quote the wire: of those, only who complains and how badly is told. Of an exception
its type and its places in the code are told, never its text, which may quote what it failed at.
"""

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from traceback import walk_tb
from typing import Any, Final, TextIO, cast

import msgspec

__all__ = ["setup"]

_OURS: Final = "rtproto"
_FOREIGN: Final[Mapping[str, str]] = {
    "picows": "a connection failed",
    "asyncio": "something failed in the event loop",
}
"""What is told of a library's warning, in place of its text."""

_MOST_PLACES = 20  # of an exception: a recursion that is too deep has a thousand
_UNWRITABLE = "a line that cannot be written"


def setup(level: str = "info", stream: TextIO | None = None) -> None:
    """Write what rtproto logs to ``stream`` (standard error), from ``level`` up; once more: otherwise.

    Raises:
        ValueError: there is no such level.
    """
    handler = _Lines(stream)
    logging.getLogger(_OURS).setLevel(level.upper())
    for name in (_OURS, *_FOREIGN):
        logger = logging.getLogger(name)
        logger.handlers = [other for other in logger.handlers if not isinstance(other, _Lines)]
        logger.addHandler(handler)
    for name in _FOREIGN:
        logging.getLogger(name).setLevel(logging.WARNING)  # below that, picows names its peers


class _Lines(logging.StreamHandler[TextIO]):
    """Writes records as lines of JSON."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Of a library only what complains: its own loggers may have a level of their own."""
        return record.levelno >= logging.WARNING or record.name.partition(".")[0] == _OURS

    def format(self, record: logging.LogRecord) -> str:
        try:
            return _as_line(record)
        except Exception:  # noqa: BLE001 - whatever it is: logging would print the record itself
            return _json({**_head(record), "event": _UNWRITABLE})

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say nothing: where the log cannot be written, there is nobody to tell."""


def _as_line(record: logging.LogRecord) -> str:
    head = {**_head(record), "event": _event(record)}
    fields = cast("Mapping[str, Any]", getattr(record, "fields", {}))
    return _json({**head, **fields, **head, **_error(record)})


def _head(record: logging.LogRecord) -> dict[str, str]:
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return {
        "time": time.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
    }


def _event(record: logging.LogRecord) -> str:
    return _FOREIGN.get(record.name.partition(".")[0]) or record.getMessage()


def _error(record: logging.LogRecord) -> dict[str, Any]:
    if not record.exc_info or record.exc_info[1] is None:
        return {}
    error = record.exc_info[1]
    return {"error": type(error).__name__, "at": [*_places(error)][-_MOST_PLACES:]}


def _places(error: BaseException) -> Iterator[str]:
    for frame, line in walk_tb(error.__traceback__):
        yield f"{frame.f_code.co_filename}:{line}"


def _json(line: Mapping[str, Any]) -> str:
    return msgspec.json.encode(line, enc_hook=_type_of).decode()


def _type_of(value: object) -> str:
    """What is no JSON is told by its type: its text may hold anything."""
    return f"<{type(value).__name__}>"
