"""Listeners without sockets: what is written to one is kept, as much as its system takes, until it reads."""

from itertools import count

import msgspec

from rtproto import ResponseEventBuilder, encode
from rtproto.services.fanout import Asked, Counts, Lag, Limits, Listener, Notice, Room, Snapshot, read_notice

__all__ = ["IN_G711", "Ear", "a_room", "added", "audio", "control", "created", "texts", "word"]

_NUMBER = count()
_ITEM = ResponseEventBuilder("resp_1").for_item("item_1", 0)
IN_G711 = (
    b'{"type":"session.updated","event_id":"s","session":{"type":"realtime","audio":'
    b'{"output":{"format":{"type":"audio/pcmu"}}}}}'
)


def audio(milliseconds: float = 100, part: int = 0) -> bytes:
    """A delta of so much audio, 24 kHz and 16 bits."""
    samples = bytes(2 * round(24 * milliseconds))
    return _ITEM.for_content(part).output_audio_delta_frame(f"audio_{next(_NUMBER)}", samples)


def word(text: str = " word") -> bytes:
    return encode(_ITEM.for_content(0).output_audio_transcript_delta(f"word_{next(_NUMBER)}", text))


def added(number: int = 0, size: int = 0) -> bytes:
    """The next item of a conversation, with so long a text."""
    before = b'"item_%d"' % (number - 1) if number else b"null"
    content = b'{"type":"input_text","text":"%b"}' % (b"x" * size)
    item = b'{"id":"item_%d","type":"message","role":"user","content":[%b]}' % (number, content)
    event = b'{"type":"conversation.item.added","event_id":"item_%d","previous_item_id":%b,"item":%b}'
    return event % (number, before, item)


def control(size: int = 0) -> bytes:
    """An event that may not be lost, and is in no snapshot."""
    return b'{"type":"vendor.thing","event_id":"control_%d","padding":"%s"}' % (next(_NUMBER), b"x" * size)


def created() -> bytes:
    session = b'{"type":"realtime","object":"realtime.session","id":"sess_1","model":"gpt-realtime"}'
    return b'{"type":"session.created","event_id":"session_%d","session":%b}' % (next(_NUMBER), session)


class Ear:
    """An outlet that reads when it is told to.

    ``room``: bytes that its system takes before a writer has to wait.
    """

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.is_paused = False
        self.listener: Listener
        self.closes: list[tuple[int, str]] = []
        self.cuts: list[float] = []
        self._written = bytearray()
        self._taken = 0

    def join(self, room: Room, asked: Asked | None = None) -> "Ear":
        self.listener = Listener(room.name, asked or Asked(), self, room.limits, room.counts)
        room.join(self.listener)
        return self

    def write(self, data: bytes) -> None:
        assert not self.closes, "written after the goodbye"
        assert not self.is_paused, "written though it is paused"
        self._written += data
        if len(self._written) - self._taken > self.room:
            self.is_paused = True
            self.listener.congested()

    def read(self, size: int = 1 << 30) -> None:
        """Read so many bytes; when nothing is left, more may be written."""
        self._taken = min(self._taken + size, len(self._written))
        if self.is_paused and self._taken == len(self._written):
            self.is_paused = False
            self.listener.writable()

    def read_all(self) -> None:
        """Read until nothing comes any more."""
        while self._taken < len(self._written) or self.is_paused:
            self.read()

    def close(self, code: int, reason: str) -> None:
        self.closes.append((code, reason))

    def close_within(self, seconds: float, code: int, reason: str) -> None:
        self.cuts.append(seconds)

    @property
    def written(self) -> int:
        """How many bytes were written."""
        return len(self._written)

    @property
    def messages(self) -> list[tuple[int, bytes]]:
        """What was written: the kind of each message, and what it holds."""
        found, at, data = [], 0, bytes(self._written)
        while at < len(data):
            kind, size = data[at] & 0x0F, data[at + 1]
            assert data[at] & 0x80
            assert size < 128, "a server masks nothing"
            at += 2
            if size >= 126:
                width = 2 if size == 126 else 8
                size, at = int.from_bytes(data[at : at + width]), at + width
            found.append((kind, data[at : at + size]))
            at += size
        return found

    @property
    def heard(self) -> list[bytes]:
        """The events of the service, live ones and those of snapshots."""
        return [data for _, data in self.messages if read_notice(data) is None]

    @property
    def live(self) -> list[bytes]:
        """The events that came after the last snapshot."""
        texts, behind = [data for _, data in self.messages], 0
        for at, data in enumerate(texts):
            notice = read_notice(data)
            if isinstance(notice, Snapshot):
                behind = at + 1 + notice.events
        return [data for data in texts[behind:] if read_notice(data) is None]

    @property
    def notices(self) -> list[Notice]:
        return [notice for _, data in self.messages if (notice := read_notice(data)) is not None]

    @property
    def lags(self) -> list[Lag]:
        return [notice for notice in self.notices if isinstance(notice, Lag)]


def texts(frames: list[bytes]) -> list[str]:
    """The ids of events, to compare and to read."""
    return [msgspec.json.decode(data)["event_id"] for data in frames]


def a_room(**limits: float) -> Room:
    return Room("main", limits=Limits(**limits), counts=Counts())  # type: ignore[arg-type]
