"""Three listen to the demo's session: one hears every frame, one the sound alone, one does not read."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from rtproto import pcm
from rtproto._envelope import probe_type
from rtproto._sockets import Connection, connect
from rtproto.services.fanout import Fanout, Lag, Limits, read_notice
from rtproto.services.fanout.families import AUDIO_DELTAS

__all__ = ["LIMITS", "NAMES", "Ear", "heard_out", "listening"]

LIMITS = Limits(max_queue_ms=500, socket_bytes=16 * 2**10)
"""So little that whoever does not read for seconds loses something."""

_READ_AHEAD, _AT_ONCE = 4096, 2**20  # bytes that the system reads for who does not, and for who is late
_QUERIES = {"frames": "", "samples": "?events=audio&shape=pcm", "stalled": ""}
NAMES = tuple(_QUERIES)
"""How the three are called, in the order of :func:`listening`."""


class Ear(Connection):
    """A listener."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name: str = name
        """What it is called."""
        self.frames: list[bytes] = []
        """The service's events that it got."""
        self.samples: bytearray = bytearray()
        """The sound that it got as samples."""
        self.lags: list[Lag] = []
        """What it was told of that it lost."""
        self.is_there: asyncio.Event = asyncio.Event()
        """Set when it has heard that it listens."""

    def opened(self) -> None:
        """The hub is there."""
        if self.name == "stalled":
            self.limit_reading(_READ_AHEAD)

    def text(self, data: bytes) -> None:
        """An event came, the service's or the hub's."""
        notice = read_notice(data)
        if notice is None:
            self.frames.append(data)
        elif isinstance(notice, Lag):
            self.lags.append(notice)
        self.is_there.set()
        if self.name == "stalled" and notice is None and len(self.frames) == 1:
            self.pause_reading()

    def binary(self, data: bytes) -> None:
        """Samples came."""
        self.samples += data

    @property
    def audio(self) -> list[bytes]:
        """The events of audio among its frames."""
        return [data for data in self.frames if probe_type(data) in AUDIO_DELTAS]

    @property
    def dropped(self) -> int:
        """How many deltas of audio it was told that it lost."""
        return sum(lag.audio_deltas for lag in self.lags)

    @property
    def dropped_seconds(self) -> float:
        """How long those play."""
        return sum(lag.audio_ms for lag in self.lags) / 1000

    def lacks(self, heard: Sequence[bytes]) -> str | None:
        """What it should have got of what the client heard, and has not; ``None``: nothing."""
        audio = [data for data in heard if probe_type(data) in AUDIO_DELTAS]
        if self.name == "samples":
            is_whole = bytes(self.samples) == b"".join(map(pcm.payload, audio))
        elif self.name == "frames":
            is_whole = self.frames == [*heard]
        else:
            kept = {*self.audio}
            lost = {*audio} - kept
            is_whole = self.frames == [data for data in heard if data not in lost]
            is_whole = is_whole and len(kept) + self.dropped == len(audio)
        return None if is_whole else f"the listener {self.name!r} did not get what it should have"


@asynccontextmanager
async def listening(fanout: Fanout, session: str) -> AsyncGenerator[list[Ear]]:
    """All three, as long as that lasts.

    Raises:
        OSError: the hub is not there.
        HandshakeError: it does not let one in.
    """
    ears: list[Ear] = []
    try:
        for name, query in _QUERIES.items():
            ears.append(await connect(Ear(name), fanout.url(session) + query, {}))
            await ears[-1].is_there.wait()
        yield ears
    finally:
        for ear in ears:
            ear.abort()
            await ear.gone()


async def heard_out(ears: Sequence[Ear]) -> None:
    """The session is over: who did not read does now, to the end."""
    for ear in ears:
        if ear.is_open:
            ear.limit_reading(_AT_ONCE)
            ear.resume_reading()
        await ear.gone()
