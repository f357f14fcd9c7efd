"""A session without sockets: what it sends is collected, what it is sent is handed in."""

import json
from collections.abc import Coroutine
from typing import Any

from rtproto.capture import Direction
from rtproto.services.proxy.opening import Opening
from rtproto.services.proxy.policy import Pipeline, Policy, Session

__all__ = ["Collected", "Talk"]


class Collected:
    """A shell that keeps what a session asks of it, in order."""

    def __init__(self) -> None:
        self.client: list[bytes] = []
        """Text messages to the client."""
        self.upstream: list[bytes] = []
        """Text messages to the service."""
        self.binaries: list[tuple[Direction, bytes]] = []
        """Binary messages that went on, by where they came from."""
        self.behind: bool = False
        """Whether the service reads too slowly."""
        self.hurries: int = 0
        """How often it was told to hurry."""
        self.closes: list[tuple[int, str]] = []
        """Codes and reasons of closing."""
        self.works: list[Coroutine[Any, Any, None]] = []
        """What is to run beside the session: await or close it yourself."""

    def to_client(self, data: bytes) -> None:
        self.client.append(data)

    def to_upstream(self, data: bytes) -> None:
        self.upstream.append(data)

    def binary(self, direction: Direction, data: bytes) -> None:
        self.binaries.append((direction, data))

    def is_behind(self) -> bool:
        return self.behind

    def hurry(self) -> None:
        self.hurries += 1

    def close(self, code: int, reason: str) -> None:
        self.closes.append((code, reason))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        self.works.append(work)


class Talk:
    """A session of these policies, opened at a target as a client writes it, and what came of it."""

    def __init__(self, *policies: Policy, target: str = "/v1/realtime?model=gpt-realtime") -> None:
        path, _, query = target.partition("?")
        self.shell = Collected()
        self.pipeline = Pipeline(policies)
        self.opening: Opening = self.pipeline.open(Opening(path=path, query=query))
        """As policies left it; raises ``Refused`` where they do."""
        self.session: Session = self.pipeline.session(self.opening, self.shell)

    def send(self, message: bytes | str | dict[str, Any]) -> list[bytes]:
        """The client sends text; what went on to the service since."""
        before = len(self.shell.upstream)
        self.session.from_client(_text(message))
        return self.shell.upstream[before:]

    def receive(self, message: bytes | str | dict[str, Any]) -> list[bytes]:
        """The service sends text; what went on to the client since."""
        before = len(self.shell.client)
        self.session.from_upstream(_text(message))
        return self.shell.client[before:]

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The ``error`` of each error event that the client got."""
        events = [json.loads(data) for data in self.shell.client]
        return [event["error"] for event in events if event["type"] == "error"]


def _text(message: bytes | str | dict[str, Any]) -> bytes:
    text = json.dumps(message) if isinstance(message, dict) else message
    return text.encode() if isinstance(text, str) else text
