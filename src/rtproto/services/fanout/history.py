"""What a late joiner is told is what came, as it came, without what later events made needless.

A frame is kept in a slot, where the next one of its kind takes its place, and the deltas of one text are
joined. Slots stand in groups: the session, each item of the conversation, each response that runs, the
audio buffers. What is told of an item while a response makes it stands with the response, so that it is
told in the order in which it came, and goes to the item when the response is done.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET, Raw

from rtproto._salvage import REFUSALS
from rtproto._struct import Maybe, Number
from rtproto.errors import RtprotoError
from rtproto.event_types import RealtimeServerEvent as Wire
from rtproto.event_types import TranslationServerEvent as Translation
from rtproto.frame import ServerFrame

__all__ = ["History"]


class _Named(msgspec.Struct, gc=False):
    id: str | None = None


class _Told(msgspec.Struct, gc=False):
    """Where an event belongs, and nothing else of it."""

    response_id: str | None = None
    item_id: str | None = None
    output_index: Number | None = None
    content_index: Number | None = None
    previous_item_id: Maybe[str] = UNSET
    id: str | None = None
    item: _Named | None = None
    response: _Named | None = None
    delta: Raw = Raw()

    def about(self) -> str | None:
        """The item it is about."""
        return self.item.id if self.item else self.item_id

    def within(self) -> str | None:
        """The response it belongs to."""
        return self.response.id if self.response else self.response_id


_Slot: TypeAlias = tuple[str | Number | None, ...]
"""What kind of frame, of which item, of which part of it. Of frames in one slot only the latest counts."""


def _slot(kind: str, told: _Told) -> _Slot:
    return kind, told.about(), told.output_index, told.content_index, told.id


class _Frame(msgspec.Struct):
    data: bytes
    kind: str
    item_id: str | None = None
    previous_item_id: Maybe[str] = UNSET
    tail: bytearray | None = None
    """JSON text of the deltas that came after this one's."""

    @property
    def size(self) -> int:
        return len(self.data) + len(self.tail or b"")

    def is_of_response(self) -> bool:
        """Whether it tells of an item as a response's output; else as part of the conversation."""
        return self.kind.startswith("response.")

    def joined(self) -> bytes:
        """The frame, with all of its text."""
        if self.tail is None:
            return self.data
        text = b"".join((b'"', _text(_decode(self.data)) or b"", self.tail, b'"'))
        return _edited(self.data, delta=Raw(text))

    def after(self, item_id: str | None) -> bytes:
        """The frame that adds an item, naming the one before it."""
        named = None if self.previous_item_id in _NONE else self.previous_item_id
        return self.data if named == item_id else _edited(self.data, previous_item_id=item_id)


_Frames: TypeAlias = dict[_Slot, _Frame]
_decode = msgspec.json.Decoder(_Told).decode
_HEARD: Final = str(Wire.CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_DELTA)
_NONE: Final = (None, UNSET, "root")
_ADDED: Final[_Slot] = ("added",)


class _Item:
    __slots__ = ("frames", "id")

    def __init__(self, item_id: str | None) -> None:
        self.id = item_id
        self.frames: _Frames = {}

    def told(self, previous: str | None) -> list[bytes]:
        """Its frames, the one that adds it after another item."""
        return [f.after(previous) if slot == _ADDED else f.joined() for slot, f in self.frames.items()]


# What is worth keeping ------------------------------------------------------------------------


class _Part(msgspec.Struct, gc=False):
    text: str | None = None
    transcript: str | None = None


class _Output(msgspec.Struct):
    content: list[_Part] | None = None
    arguments: str | None = None


class _OutputDone(msgspec.Struct):
    item: _Output


_decode_output = msgspec.json.Decoder(_OutputDone).decode


def _kept(before: _Frames, made: _Frames) -> _Frames:
    """What an item keeps of its response, which has ended: besides its own frames, as little as tells all.

    Nothing, if it is told whole; the response's last word, if that holds what was said; else all, as there
    are services that never tell it again.
    """
    own = {slot: frame for slot, frame in made.items() if not frame.is_of_response()}
    if any(frame.kind == Wire.CONVERSATION_ITEM_DONE for frame in (*before.values(), *own.values())):
        return own
    whole = {
        slot
        for slot, frame in made.items()
        if frame.kind == Wire.RESPONSE_OUTPUT_ITEM_DONE and _is_whole(frame)
    }
    return {slot: frame for slot, frame in made.items() if slot in own or slot in whole} if whole else made


def _is_whole(frame: _Frame) -> bool:
    """Whether an item holds what was said."""
    try:
        item = _decode_output(frame.data).item
    except REFUSALS:
        return False
    return bool(item.arguments or any(part.text or part.transcript for part in item.content or ()))


def _text(told: _Told) -> bytes | None:
    """The JSON text of a delta, between its quotes; ``None``: it is no string."""
    text = bytes(told.delta)
    return text[1:-1] if text[:1] == b'"' else None


def _edited(data: bytes, **fields: object) -> bytes:
    try:
        return bytes(ServerFrame(data).replace(**fields))
    except RtprotoError:
        return data


# What is done with an event of a type -----------------------------------------------------------

_Take: TypeAlias = "Callable[[History, str, bytes, _Told], None]"


class _Row(NamedTuple):
    take: _Take
    names: Sequence[str]
    kind: str = ""
    """The kind of frame that they share; empty: each has its own."""


def _rules(*rows: _Row) -> dict[str, tuple[_Take, str]]:
    return {str(name): (row.take, row.kind or str(name)) for row in rows for name in row.names}


class History:
    """The control events of a session, as short as they can be told.

    What an event is about is read from it; an event that cannot be read is not kept.
    """

    size: int
    """Bytes kept; what a snapshot adds to name another predecessor is not counted."""
    omitted: int
    """Items, and parts of a running response, that are left out because of the bounds."""

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.size = self.omitted = 0
        self._session: _Frames = {}
        self._buffers: _Frames = {}
        self._responses: dict[str | None, _Frames] = {}
        self._items: dict[str | None, _Item] = {}
        self._order: list[_Item] = []

    def add(self, name: str, data: bytes) -> None:
        """Take any control event, by its type; never raises, whatever the data is."""
        rule = self._RULES.get(name)
        if rule is None:
            return
        try:
            if not data.isascii():
                data.decode()  # msgspec does not look inside strings that it skips.
            told = _decode(data)
        except REFUSALS:
            return
        take, kind = rule
        take(self, kind, data, told)
        while self.size > self._max_bytes or len(self._order) > self._max_items:
            self._omit_oldest()

    def frames(self) -> list[bytes]:
        """The snapshot: the session, the items in the conversation's order, what runs."""
        snapshot = [frame.data for frame in self._session.values()]
        previous = None
        for item in self._order:
            if item.frames:
                snapshot += item.told(previous)
                previous = item.id or previous
        for frames in (*self._responses.values(), self._buffers):
            snapshot += [frame.joined() for frame in frames.values()]
        return snapshot

    # Slots ------------------------------------------------------------------------------------

    def _put(self, frames: _Frames, slot: _Slot, frame: _Frame) -> None:
        """The latest goes last."""
        self._drop(frames, slot)
        if len(frame.data) > self._max_bytes:
            self.omitted += 1
            return
        frames[slot] = frame
        self.size += frame.size

    def _drop(self, frames: _Frames, slot: _Slot) -> None:
        if (frame := frames.pop(slot, None)) is not None:
            self.size -= frame.size

    def _keep(self, frames: _Frames | None, kind: str, data: bytes, told: _Told) -> None:
        if frames is not None:
            slot = _slot(kind, told)
            self._put(frames, slot, _Frame(data, kind, told.about()))

    def _join(self, frames: _Frames | None, kind: str, data: bytes, told: _Told) -> None:
        delta = _text(told)
        if frames is None or delta is None:
            return
        slot = _slot(kind, told)
        frame = frames.get(slot)
        if frame is None or len(data) > self._max_bytes:
            self._put(frames, slot, _Frame(data, kind, told.about()))
            return
        if frame.tail is None:
            frame.tail = bytearray()
        frame.tail += delta
        self.size += len(delta)

    def _omit_oldest(self) -> None:
        running = {frame.item_id for frames in self._responses.values() for frame in frames.values()}
        for item in self._order:
            if item.id not in running:
                self.omitted += bool(item.frames)
                self._remove(item)
                return
        groups = (*self._responses.values(), self._buffers, self._session)
        frames = next(frames for frames in groups if frames)
        self._drop(frames, next(iter(frames)))
        self.omitted += 1
        newest = next(reversed(self._responses), None)
        self._responses = {key: kept for key, kept in self._responses.items() if kept or key == newest}

    # The session, and its audio buffers ---------------------------------------------------------

    def _first(self, kind: str, data: bytes, _: _Told) -> None:
        if (kind,) not in self._session:
            self._put(self._session, (kind,), _Frame(data, kind))

    def _latest(self, kind: str, data: bytes, _: _Told) -> None:
        self._put(self._session, (kind,), _Frame(data, kind))

    def _on(self, kind: str, data: bytes, told: _Told) -> None:
        self._put(self._buffers, (kind, told.response_id), _Frame(data, kind))

    def _off(self, kind: str, _: bytes, told: _Told) -> None:
        self._drop(self._buffers, (kind, told.response_id))

    # Items ------------------------------------------------------------------------------------

    def _place(self, kind: str, data: bytes, told: _Told) -> None:
        """The item joins the conversation, or is given another place in it."""
        if not (item_id := told.about()):
            return
        item = self._items.pop(item_id, None)
        if item:
            self._order.remove(item)
        else:
            item = _Item(item_id)
        self._order.insert(self._index(told.previous_item_id), item)
        self._items[item_id] = item
        self._drop(item.frames, _ADDED)
        earlier, item.frames = item.frames, {}
        self._put(item.frames, _ADDED, _Frame(data, kind, previous_item_id=told.previous_item_id))
        item.frames |= earlier

    def _index(self, previous: Maybe[str]) -> int:
        """Null says that there is none before it; absent, or not known here, it is the last."""
        if previous is None or previous == "root":
            return 0
        before = None if previous is UNSET else self._items.get(previous)
        return self._order.index(before) + 1 if before else len(self._order)

    def _begin(self, kind: str, data: bytes, told: _Told) -> None:
        """Of an item that may have been added before the session was heard, or is added later."""
        self._know(told.about())
        self._on_item(kind, data, told)

    def _know(self, item_id: str | None) -> None:
        if item_id and item_id not in self._items:
            self._items[item_id] = item = _Item(item_id)
            self._order.append(item)

    def _on_item(self, kind: str, data: bytes, told: _Told) -> None:
        self._keep(self._home(told.about()), kind, data, told)

    def _home(self, item_id: str | None) -> _Frames | None:
        """Where the frames of an item go: to the response that makes it, once it was added."""
        item = self._items.get(item_id)
        if item and _ADDED not in item.frames:
            return item.frames
        for frames in self._responses.values():
            if item_id and any(frame.item_id == item_id for frame in frames.values()):
                return frames
        return item.frames if item else None

    def _done(self, kind: str, data: bytes, told: _Told) -> None:
        """The item is told whole: what a response that has ended told of it is needless."""
        self._begin(kind, data, told)
        if item := self._items.get(told.about()):
            for slot in [slot for slot, frame in item.frames.items() if frame.is_of_response()]:
                self._drop(item.frames, slot)

    def _heard(self, kind: str, data: bytes, told: _Told) -> None:
        self._know(told.about())
        self._join(self._home(told.about()), kind, data, told)

    def _transcribed(self, kind: str, data: bytes, told: _Told) -> None:
        """The deltas are needless, unless nothing else says that there is such an item."""
        item = self._items.get(told.item_id)
        if item and _ADDED in item.frames:
            for index in (told.content_index, None):
                self._drop(item.frames, (_HEARD, told.item_id, None, index, None))
        self._on_item(kind, data, told)

    def _delete(self, _: str, __: bytes, told: _Told) -> None:
        if (item := self._items.get(told.about())) is None:
            return
        self._remove(item)
        for frames in self._responses.values():
            for slot, frame in list(frames.items()):
                if frame.item_id == item.id and not frame.is_of_response():
                    self._drop(frames, slot)

    def _remove(self, item: _Item) -> None:
        self._order.remove(item)
        self._items.pop(item.id, None)
        self.size -= sum(frame.size for frame in item.frames.values())

    def _line(self, kind: str, data: bytes, _: _Told) -> None:
        """A translation has no items: each piece of its text stands for one."""
        line = _Item("")
        self._put(line.frames, (kind,), _Frame(data, kind))
        if line.frames:
            self._order.append(line)

    # Responses --------------------------------------------------------------------------------

    def _start(self, kind: str, data: bytes, told: _Told) -> None:
        if response_id := told.within():
            self._put(self._responses.setdefault(response_id, {}), (kind,), _Frame(data, kind))

    def _on_response(self, kind: str, data: bytes, told: _Told) -> None:
        self._keep(self._responses.get(told.response_id), kind, data, told)

    def _said(self, kind: str, data: bytes, told: _Told) -> None:
        self._join(self._responses.get(told.response_id), kind, data, told)

    def _end(self, _: str, __: bytes, told: _Told) -> None:
        """The response leaves; its items keep what was told of them."""
        frames = self._responses.pop(told.within(), {})
        self.size -= sum(frame.size for frame in frames.values())
        for item_id in dict.fromkeys(frame.item_id for frame in frames.values()):
            if item := self._items.get(item_id):
                made = {slot: frame for slot, frame in frames.items() if frame.item_id == item_id}
                for slot, frame in _kept(item.frames, made).items():
                    self._put(item.frames, slot, frame)

    # What is done with which event -------------------------------------------------------------

    _RULES: ClassVar[Mapping[str, tuple[_Take, str]]] = _rules(
        _Row(_first, (Wire.SESSION_CREATED, Wire.CONVERSATION_CREATED, "transcription_session.created")),
        _Row(_latest, (Wire.SESSION_UPDATED, Wire.RATE_LIMITS_UPDATED, "transcription_session.updated")),
        _Row(_on, (Wire.INPUT_AUDIO_BUFFER_SPEECH_STARTED,), "input"),
        _Row(
            _off,
            (
                Wire.INPUT_AUDIO_BUFFER_SPEECH_STOPPED,
                Wire.INPUT_AUDIO_BUFFER_COMMITTED,
                Wire.INPUT_AUDIO_BUFFER_CLEARED,
            ),
            "input",
        ),
        _Row(_on, (Wire.OUTPUT_AUDIO_BUFFER_STARTED,), "output"),
        _Row(_off, (Wire.OUTPUT_AUDIO_BUFFER_STOPPED, Wire.OUTPUT_AUDIO_BUFFER_CLEARED), "output"),
        _Row(_place, (Wire.CONVERSATION_ITEM_ADDED, Wire.CONVERSATION_ITEM_CREATED)),
        _Row(_done, (Wire.CONVERSATION_ITEM_DONE,)),
        _Row(_delete, (Wire.CONVERSATION_ITEM_DELETED,)),
        _Row(_heard, (Wire.CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_DELTA,)),
        _Row(_transcribed, (Wire.CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_COMPLETED,)),
        _Row(
            _on_item,
            (
                Wire.CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_FAILED,
                Wire.CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_SEGMENT,
                Wire.CONVERSATION_ITEM_TRUNCATED,
            ),
        ),
        _Row(
            _begin,
            (Wire.MCP_LIST_TOOLS_IN_PROGRESS, Wire.MCP_LIST_TOOLS_COMPLETED, Wire.MCP_LIST_TOOLS_FAILED),
            "mcp_list_tools",
        ),
        _Row(
            _on_item,
            (
                Wire.RESPONSE_MCP_CALL_IN_PROGRESS,
                Wire.RESPONSE_MCP_CALL_COMPLETED,
                Wire.RESPONSE_MCP_CALL_FAILED,
            ),
            "response.mcp_call",
        ),
        _Row(_start, (Wire.RESPONSE_CREATED,)),
        _Row(_end, (Wire.RESPONSE_DONE,)),
        _Row(
            _said,
            (
                Wire.RESPONSE_OUTPUT_TEXT_DELTA,
                Wire.RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DELTA,
                Wire.RESPONSE_FUNCTION_CALL_ARGUMENTS_DELTA,
                Wire.RESPONSE_MCP_CALL_ARGUMENTS_DELTA,
                "response.text.delta",
                "response.audio_transcript.delta",
            ),
        ),
        _Row(
            _on_response,
            (
                Wire.RESPONSE_OUTPUT_ITEM_ADDED,
                Wire.RESPONSE_OUTPUT_ITEM_DONE,
                Wire.RESPONSE_CONTENT_PART_ADDED,
                Wire.RESPONSE_CONTENT_PART_DONE,
                Wire.RESPONSE_OUTPUT_TEXT_DONE,
                Wire.RESPONSE_OUTPUT_AUDIO_DONE,
                Wire.RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DONE,
                Wire.RESPONSE_FUNCTION_CALL_ARGUMENTS_DONE,
                Wire.RESPONSE_MCP_CALL_ARGUMENTS_DONE,
                "response.text.done",
                "response.audio.done",
                "response.audio_transcript.done",
            ),
        ),
        _Row(
            _line,
            (Translation.SESSION_INPUT_TRANSCRIPT_DELTA, Translation.SESSION_OUTPUT_TRANSCRIPT_DELTA),
        ),
    )
