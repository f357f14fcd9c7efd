"""A bus knows the rooms: where a session begins and where it is listened to need not know each other."""

import re
from types import TracebackType
from typing import Protocol, Self

from rtproto.services.fanout.counts import Counts
from rtproto.services.fanout.limits import Limits
from rtproto.services.fanout.room import Room, Say

__all__ = ["Bus", "LocalBus", "check_name"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_name(name: str) -> str:
    """The name of a session, which is a part of URLs and of a bus's subjects.

    Raises:
        ValueError: it is none.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("a session's name is of letters, digits, - and _, up to 64")
    return name


class Bus(Protocol):
    """Brings sessions from where they begin to where they are listened to.

    It is a context manager: it carries as long as that lasts, and ends its rooms in the end.
    """

    limits: Limits
    """How much its rooms keep."""
    counts: Counts
    """What is counted in all its rooms."""

    @property
    def is_connected(self) -> bool:
        """Whether it carries."""
        ...

    def begin(self, name: str, say: Say | None = None) -> Room:
        """A session begins here; it is over by :meth:`Room.end`.

        Args:
            name: its name.
            say: what takes the events of speakers; ``None``: nobody may speak.

        Raises:
            ValueError: it is no name, or there is such a session here.
        """
        ...

    def find(self, name: str) -> Room | None:
        """Where a session is listened to; ``None``: there is no such session."""
        ...

    def names(self) -> list[str]:
        """The sessions that there are."""
        ...

    async def __aenter__(self) -> Self:
        """Begin to carry."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the rooms, and what it needs itself."""
        ...


class LocalBus:
    """The bus within one process: whoever begins a session and whoever listens have the same room."""

    def __init__(self, limits: Limits | None = None, counts: Counts | None = None) -> None:
        self.limits: Limits = limits or Limits()
        """How much its rooms keep."""
        self.counts: Counts = counts or Counts()
        """What is counted in all its rooms."""
        self._rooms: dict[str, Room] = {}

    @property
    def is_connected(self) -> bool:
        """It always is."""
        return True

    def begin(self, name: str, say: Say | None = None) -> Room:
        """A session begins; see :meth:`Bus.begin`.

        Raises:
            ValueError: it is no name, or there is such a session here.
        """
        if check_name(name) in self._rooms:
            raise ValueError("there is such a session")
        room = self._rooms[name] = Room(name, limits=self.limits, counts=self.counts, say=say)
        room.on_end = lambda _: self._forget(name)
        return room

    def _forget(self, name: str) -> None:
        self._rooms.pop(name, None)

    def find(self, name: str) -> Room | None:
        """The room of a session; ``None``: there is none."""
        return self._rooms.get(name)

    def names(self) -> list[str]:
        """The sessions that there are."""
        return sorted(self._rooms)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for room in [*self._rooms.values()]:
            room.end("going away", 1001)
