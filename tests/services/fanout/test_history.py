"""Whoever is told the history, and then what is live, knows what everybody knows who heard all of it."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import rtproto
from rtproto import ResponseBuilder, ResponseEventBuilder, items, server, server_codec, types
from rtproto.capture import load
from rtproto.event_types import RealtimeServerEvent, TranslationServerEvent
from rtproto.services.fanout.families import AUDIO_DELTAS
from rtproto.services.fanout.history import History
from rtproto.testing import strategies

ROOMY = (1000, 2**22)
GA, BETA, XAI = "ga", "beta", "xai"
TEXT = "response.output_text."
TRANSCRIPT = "response.output_audio_transcript."
ARGUMENTS = "response.function_call_arguments."
HEARD = "conversation.item.input_audio_transcription."

Named = tuple[str, bytes]


def history_of(frames: list[Named], max_items: int = ROOMY[0], max_bytes: int = ROOMY[1]) -> History:
    history = History(max_items, max_bytes)
    for name, data in frames:
        history.add(name, data)
    return history


# A client ---------------------------------------------------------------------------------------


class Client:
    """What one knows who hears a session, and appends what is to be appended as it comes."""

    def __init__(self) -> None:
        self.session: dict[str, Any] = {}
        self.order: list[str] = []
        self.items: dict[str, dict[str, Any]] = {}
        self.responses: dict[str, dict[str, Any]] = {}
        self.speaking: Any = None
        self.playing: dict[str, Any] = {}
        self.lines: list[Any] = []

    def hear(self, data: bytes) -> None:
        event = parsed(data)
        name = CLIENT_NAMES.get(event["type"], event["type"])
        if name.startswith("response."):
            self._hear_response(name, event)
        elif name.startswith("conversation.item."):
            self._hear_item(name.removeprefix("conversation.item."), event)
        elif name.startswith("mcp_list_tools."):
            self._known(event["item_id"])["listing"] = event
        else:
            self._hear_other(name, event)

    def _hear_other(self, name: str, event: Any) -> None:
        match name:
            case "session.created" | "transcription_session.created" | "conversation.created":
                self.session.setdefault(name, event)
            case "session.updated" | "transcription_session.updated" | "rate_limits.updated":
                self.session[name] = event
            case "input_audio_buffer.speech_started":
                self.speaking = event
            case (
                "input_audio_buffer.speech_stopped"
                | "input_audio_buffer.committed"
                | "input_audio_buffer.cleared"
            ):
                self.speaking = None
            case "output_audio_buffer.started":
                self.playing[event["response_id"]] = event
            case "output_audio_buffer.stopped" | "output_audio_buffer.cleared":
                self.playing.pop(event["response_id"], None)
            case "session.input_transcript.delta" | "session.output_transcript.delta":
                self.lines.append(event)

    def _known(self, item_id: str) -> dict[str, Any]:
        if item_id not in self.items:
            self.items[item_id] = {"texts": {}, "calls": {}}
            self.order.append(item_id)
        return self.items[item_id]

    def _place(self, item_id: str, event: Any) -> None:
        self.order.remove(item_id)
        previous = event.get("previous_item_id", "nobody")
        if previous in (None, "root"):
            self.order.insert(0, item_id)
        elif previous in self.order:
            self.order.insert(self.order.index(previous) + 1, item_id)
        else:
            self.order.append(item_id)

    def _hear_item(self, what: str, event: Any) -> None:
        item_id = event["item"]["id"] if "item" in event else event["item_id"]
        if what == "deleted":
            if self.items.pop(item_id, None):
                self.order.remove(item_id)
            return
        if what in ("added", "created", "done", "input_audio_transcription.delta"):
            self._known(item_id)
        item = self.items.get(item_id)
        if item is None:
            return
        part = event.get("content_index", 0)
        match what:
            case "added" | "created":
                self._place(item_id, event)
                item |= {"item": event["item"]}
            case "done":
                item |= {"item": event["item"], "texts": {}, "calls": {}}
            case "truncated":
                item.setdefault("truncated", {})[part] = event["audio_end_ms"]
                item["item"] = item.get("item", {}) | {"cut": event["audio_end_ms"]}
            case _:
                self._hear_transcription(what, item, part, event)

    def _hear_transcription(self, what: str, item: dict[str, Any], part: int, event: Any) -> None:
        match what.removeprefix("input_audio_transcription."):
            case "delta":
                item.setdefault("heard", {}).setdefault(part, [""])[0] += event["delta"]
            case "completed":
                item.setdefault("heard", {})[part] = event
            case "failed":
                item.setdefault("failed", {})[part] = event
            case "segment":
                item.setdefault("segments", {})[event["id"]] = event

    def _hear_response(self, name: str, event: Any) -> None:
        if name == "response.created":
            self.responses[event["response"]["id"]] = {"created": event, "texts": {}, "told": {}}
        elif name == "response.done":
            self.responses.pop(event["response"]["id"], None)
        elif ".mcp_call." in name:
            owners = [r for r in self.responses.values() if r.get("items", {}).get(event["item_id"])]
            for owner in [*owners, *filter(None, [self.items.get(event["item_id"])])]:
                owner.setdefault("calls", {})[event["item_id"]] = event
        elif name in OUTPUT_NAMES:
            self._hear_output(name, event)

    def _hear_output(self, name: str, event: Any) -> None:
        item_id = event["item"]["id"] if "item" in event else event["item_id"]
        nobody: dict[str, Any] = {"texts": {}, "calls": {}}
        response, item = self.responses.get(event["response_id"], nobody), self.items.get(item_id, nobody)
        part = event.get("content_index", "arguments")
        if name.endswith(".delta"):
            key = name, item_id, part
            response["texts"][key] = response["texts"].get(key, "") + event["delta"]
            item["texts"][part] = item["texts"].get(part, "") + event["delta"]
            return
        response.setdefault("items", {})[item_id] = True
        response.setdefault("told", {})[name, item_id, part] = event
        whole = [event[key] for key in ("text", "transcript", "arguments") if key in event]
        if name == "response.content_part.added":
            item["texts"][part] = ""
        elif whole:
            item["texts"][part] = whole[0]
        elif name == "response.output_item.done":
            item["item"] = event["item"]
            if event["item"].get("arguments") or says(event["item"]):
                item |= {"texts": {}, "calls": {}}


CLIENT_NAMES = {
    f"response.{old}.{what}": f"response.{new}.{what}"
    for old, new in {
        "text": "output_text",
        "audio": "output_audio",
        "audio_transcript": "output_audio_transcript",
    }.items()
    for what in ("delta", "done")
}
OUTPUT_NAMES = frozenset(RealtimeServerEvent)
parsed = cache(json.loads)


def says(item: Any) -> bool:
    return any(part.get("text") or part.get("transcript") for part in item.get("content", ()))


def known(frames: list[bytes]) -> dict[str, Any]:
    client = Client()
    for frame in frames:
        client.hear(frame)
    return vars(client)


# A service ----------------------------------------------------------------------------------------


class Service:
    """Speaks as the services do, of a conversation made of operations; each takes a number to choose by."""

    def __init__(self, dialect: str = GA) -> None:
        self.dialect = dialect
        self.sent: list[Named] = []
        self.order: list[str] = []
        self.audio: list[str] = []
        self.early: list[str] = []
        self.whole: set[str] = set()
        self.running: list[Iterator[None]] = []
        self.cancelled = False
        self._numbers = count(1)
        self.send(server.SessionCreated(event_id=self.new("event"), session=session("at first")))

    def new(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers)}"

    def send(self, event: Any) -> None:
        frame = in_dialect(self.dialect, rtproto.encode(event))
        if frame is not None:
            self.sent.append((json.loads(frame)["type"], frame))

    def join(self, item: Any, previous: str | None) -> None:
        """An item joins the conversation after another one."""
        self.order.insert(self.order.index(previous) + 1 if previous else 0, item.id)
        self.send(
            server.ConversationItemAdded(event_id=self.new("event"), previous_item_id=previous, item=item)
        )

    def finish(self, item: Any) -> None:
        """As it is on the wire: no id of what is before it."""
        if item.id in self.order:
            event_id = self.new("event")
            self.send(server.ConversationItemDone(event_id=event_id, previous_item_id=None, item=item))

    def last(self) -> str | None:
        return self.order[-1] if self.order else None

    # Operations

    def write(self, k: int) -> None:
        item = items.user("hello \U0001f600 " * (k + 1), id=self.new("item"), status="completed")
        self.join(item, self.last())
        self.finish(item)

    def insert(self, k: int) -> None:
        item = items.function_call_output("call_1", f"rain {k}", id=self.new("item"))
        self.join(item, (None, *self.order)[k % (len(self.order) + 1)])
        self.finish(item)

    def listen(self, _: int) -> None:
        self.early.append(self.new("item"))
        self.send(
            server.InputAudioBufferSpeechStarted(
                event_id=self.new("event"), audio_start_ms=20, item_id=self.early[-1]
            )
        )

    def commit(self, _: int) -> None:
        if self.early:
            item_id, previous = self.early.pop(), self.last()
            self.audio.append(item_id)
            event_id = self.new("event")
            self.send(
                server.InputAudioBufferCommitted(
                    event_id=event_id, previous_item_id=previous, item_id=item_id
                )
            )
            speech = types.InputAudio(transcript=None)
            item = items.user(speech, id=item_id, status="completed")
            self.join(item, previous)
            self.finish(item)

    def transcribe(self, k: int) -> None:
        """Also while the user still speaks, and after the item was deleted."""
        if known := [item_id for item_id in self.audio + self.early if item_id not in self.whole]:
            item_id = known[k % len(known)]
            delta = f' wo"r\\d {k}\n'
            self.send(
                server.ConversationItemInputAudioTranscriptionDelta(
                    event_id=self.new("event"), item_id=item_id, content_index=0, delta=delta
                )
            )

    def transcribed(self, k: int) -> None:
        if self.audio:
            at: dict[str, Any] = {"item_id": self.audio[k % len(self.audio)], "content_index": 0}
            self.whole.add(at["item_id"])
            event_id, words = self.new("event"), f"so many words {k}"
            failed = types.TranscriptionError(code="audio_unintelligible", param=None)
            segment: dict[str, Any] = {
                "id": f"seg_{k}",
                "speaker": "a",
                "start": 0,
                "end": 1.5,
                "text": words,
            }
            made: list[Callable[[], Any]] = [
                lambda: server.ConversationItemInputAudioTranscriptionCompleted(
                    event_id=event_id, transcript=words, **at
                ),
                lambda: server.ConversationItemInputAudioTranscriptionFailed(
                    event_id=event_id, error=failed, **at
                ),
                lambda: server.ConversationItemInputAudioTranscriptionSegment(
                    event_id=event_id, **segment, **at
                ),
            ]
            self.send(made[k % 3]())

    def truncate(self, k: int) -> None:
        if self.order:
            self.send(
                server.ConversationItemTruncated(
                    event_id=self.new("event"),
                    item_id=self.order[k % len(self.order)],
                    content_index=0,
                    audio_end_ms=100 * k,
                )
            )

    def delete(self, k: int) -> None:
        if self.order:
            item_id = self.order.pop(k % len(self.order))
            self.send(server.ConversationItemDeleted(event_id=self.new("event"), item_id=item_id))

    def tell(self, k: int) -> None:
        """What is no item and no response."""
        event_id, response_id = self.new("event"), f"resp_{k % 2}"
        limits = [types.RateLimit(name="tokens", limit=100, remaining=k, reset_seconds=60)]
        made: list[Callable[[], Any]] = [
            lambda: server.SessionUpdated(event_id=event_id, session=session(f"later {k}")),
            lambda: server.RateLimitsUpdated(event_id=event_id, rate_limits=limits),
            lambda: server.OutputAudioBufferStarted(event_id=event_id, response_id=response_id),
            lambda: server.OutputAudioBufferStopped(event_id=event_id, response_id=response_id),
            lambda: server.InputAudioBufferCleared(event_id=event_id),
            lambda: server.McpListToolsInProgress(event_id=event_id, item_id="mcpl_1"),
            lambda: server.McpListToolsCompleted(event_id=event_id, item_id="mcpl_1"),
            lambda: server.Error(event_id=event_id, error=types.Error(type="server_error", message="no")),
        ]
        self.send(made[k % len(made)]())

    def respond(self, k: int) -> None:
        self.running.append(self._response(ResponseEventBuilder(self.new("resp")), k))
        self.step(len(self.running) - 1)

    def step(self, k: int) -> None:
        if self.running:
            response = self.running[k % len(self.running)]
            if next(response, "over") == "over":
                self.running.remove(response)

    def cancel(self, k: int) -> None:
        """The next step closes what is open."""
        self.cancelled = True
        while self.running and self.cancelled:
            self.step(k)
        self.cancelled = False

    def _response(self, context: ResponseEventBuilder, k: int) -> Iterator[None]:
        built = ResponseBuilder(context.response_id).output([]).conversation_id("conv_1" if k % 5 else None)
        self.send(server.ResponseCreated(event_id=self.new("event"), response=built.build()))
        yield
        for index in range(1 + k % 3):
            is_in_conversation = k % 5 != 0
            yield from self._output(context, index, (k + index) % 4, is_in_conversation)
            if self.cancelled:
                break
        status = "cancelled" if self.cancelled else "completed"
        self.cancelled = False
        self.send(server.ResponseDone(event_id=self.new("event"), response=built.status(status).build()))

    def _output(self, context: Any, index: int, what: int, is_in_conversation: bool) -> Iterator[None]:
        item_id = self.new("item")
        at = context.for_item(item_id, index)
        begun, end = (
            (items.function_call("call_1", "weather", "", id=item_id), self._call),
            (items.mcp_call(item_id, "shop", "search", ""), self._mcp_call),
            (items.assistant(id=item_id, status="in_progress"), self._speak),
            (items.assistant(id=item_id, status="in_progress"), self._spell),
        )[what]
        self.send(at.output_item_added(self.new("event"), begun))
        if is_in_conversation:
            self.join(begun, self.last())
        yield
        done = yield from end(at, begun)
        self.finish(done)
        self.send(at.output_item_done(self.new("event"), done))
        yield

    def _call(self, at: Any, item: Any) -> Any:
        sent = ""
        for piece in ("{", '"city":', ' "Bern"}'):
            if not self.cancelled:
                self.send(at.function_call_arguments_delta(self.new("event"), "call_1", piece))
                sent += piece
                yield
        self.send(at.function_call_arguments_done(self.new("event"), "call_1", "weather", sent))
        return msgspec.structs.replace(item, arguments=sent, status="completed")

    def _mcp_call(self, at: Any, item: Any) -> Any:
        address: dict[str, Any] = {"output_index": at.output_index, "item_id": at.item_id}
        self.send(at.mcp_call_arguments_delta(self.new("event"), "{"))
        self.send(at.mcp_call_arguments_delta(self.new("event"), "}"))
        yield
        self.send(at.mcp_call_arguments_done(self.new("event"), "{}"))
        self.send(server.ResponseMcpCallInProgress(event_id=self.new("event"), **address))
        yield
        self.send(server.ResponseMcpCallCompleted(event_id=self.new("event"), **address))
        return msgspec.structs.replace(item, arguments="{}", output="nothing")

    def _speak(self, at: Any, item: Any) -> Any:
        part = at.for_content(0)
        self.send(part.content_part_added(self.new("event"), items.audio_part("")))
        said = yield from self._in_pieces(part.output_audio_transcript_delta)
        self.send(part.output_audio_delta(self.new("event"), "AAAA"))
        self.send(part.output_audio_done(self.new("event")))
        self.send(part.output_audio_transcript_done(self.new("event"), said))
        self.send(part.content_part_done(self.new("event"), items.audio_part(said)))
        return msgspec.structs.replace(item, content=[items.output_audio(said)], status="completed")

    def _spell(self, at: Any, item: Any) -> Any:
        part = at.for_content(0)
        self.send(part.content_part_added(self.new("event"), items.text_part("")))
        said = yield from self._in_pieces(part.output_text_delta)
        self.send(part.output_text_done(self.new("event"), said))
        yield
        self.send(part.content_part_done(self.new("event"), items.text_part(said)))
        return msgspec.structs.replace(item, content=[items.output_text(said)], status="completed")

    def _in_pieces(self, delta: Any) -> Any:
        said = ""
        for piece in ("Good", " morn\u00efng", "!\n"):
            if not self.cancelled:
                self.send(delta(self.new("event"), piece, "hidden"))
                said += piece
                yield
        return said


def session(instructions: str) -> Any:
    return rtproto.decode_server(
        b'{"type":"session.created","event_id":"e","session":{"type":"realtime","object":"realtime.session",'
        b'"id":"sess_1","model":"gpt-realtime","instructions":"%b"}}' % instructions.encode()
    ).session  # type: ignore[union-attr]


OLD_NAMES = {new: old for old, new in CLIENT_NAMES.items()} | {
    "conversation.item.added": "conversation.item.created"
}


def in_dialect(dialect: str, frame: bytes) -> bytes | None:
    """The frame as another service would send it; ``None``: it would not."""
    if dialect == GA:
        return frame
    event = json.loads(frame)
    name = event.pop("type")
    if name == "conversation.item.done":
        return None
    if dialect == BETA:
        event = {"event_id": event.pop("event_id"), "type": OLD_NAMES.get(name, name)} | event
    else:
        event = {"type": name} | event
        if name == "response.output_item.done":
            event["item"].pop("content", None)
        event.pop("part" if name == "response.content_part.done" else "", None)
    return json.dumps(event, ensure_ascii=False).encode()


OPERATIONS = (
    *("write", "insert", "listen", "commit", "transcribe", "transcribed", "truncate", "delete", "tell"),
    *("respond", "step", "step", "step", "step", "cancel"),
)


CHOICES = st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 20))


@st.composite
def conversations(draw: st.DrawFn, dialects: tuple[str, ...] = (GA, BETA, XAI)) -> list[Named]:
    service = Service(draw(st.sampled_from(dialects)))
    length = draw(st.sampled_from((80, 40, 5)))
    for operation, k in draw(st.lists(CHOICES, min_size=length, max_size=length)):
        getattr(service, operation)(k)
    return [(name, data) for name, data in service.sent if name not in AUDIO_DELTAS]


# Properties ---------------------------------------------------------------------------------------


@given(conversations())
def test_at_any_moment_the_history_tells_what_is_so(frames: list[Named]) -> None:
    history, client = History(*ROOMY), Client()
    for name, data in frames:
        history.add(name, data)
        client.hear(data)
        assert known(history.frames()) == vars(client)
    assert history.omitted == 0


@given(conversations(), st.data())
def test_history_and_what_is_live_tell_all_there_was(frames: list[Named], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(frames)))
    late = history_of(frames[:cut]).frames() + [raw for _, raw in frames[cut:]]
    assert known(late) == known([raw for _, raw in frames])


@given(conversations(), st.integers(1, 8), st.integers(1, 6000))
def test_bounds_hold_and_what_is_left_out_is_counted(
    frames: list[Named], max_items: int, max_bytes: int
) -> None:
    history, whole = History(max_items, max_bytes), History(*ROOMY)
    for name, data in frames:
        before = history.omitted
        history.add(name, data)
        whole.add(name, data)
        assert history.omitted >= before
        assert 0 <= history.size <= max_bytes
        assert len(known(history.frames())["order"]) <= max_items
        if history.omitted == 0:
            assert history.frames() == whole.frames()
            assert history.size == whole.size
    history.clear()
    assert (history.frames(), history.size, history.omitted) == ([], 0, 0)


@given(conversations())
def test_the_size_is_that_of_the_frames(frames: list[Named]) -> None:
    history = history_of(frames)
    unplaced = [without(frame, "previous_item_id") for frame in history.frames()]
    came = {json.loads(data)["event_id"]: data for _, data in frames}
    kept = [came[parsed(frame)["event_id"]] for frame in history.frames()]
    joined = sum(
        len(json.dumps(parsed(frame)["delta"], ensure_ascii=False).encode())
        - len(json.dumps(parsed(data)["delta"], ensure_ascii=False).encode())
        for frame, data in zip(history.frames(), kept, strict=True)
        if "delta" in parsed(frame)
    )
    assert history.size == sum(map(len, kept)) + joined
    assert unplaced == [
        without(data, "previous_item_id") | ({"delta": frame["delta"]} if "delta" in frame else {})
        for frame, data in zip(unplaced, kept, strict=True)
    ]


@given(conversations())
def test_only_deltas_and_what_names_another_predecessor_are_edited(frames: list[Named]) -> None:
    came = {id(data) for _, data in frames}
    for frame in history_of(frames).frames():
        if id(frame) not in came:
            assert parsed(frame)["type"].endswith((".delta", "item.added", "item.created"))


@given(conversations((GA,)))
def test_whatever_is_told_is_typed(frames: list[Named]) -> None:
    for frame in history_of(frames).frames():
        assert not isinstance(rtproto.decode_server(frame), rtproto.Unknown)


@given(conversations())
def test_each_item_names_the_one_before_it(frames: list[Named]) -> None:
    order: list[str] = []
    for frame in map(parsed, history_of(frames).frames()):
        item_id = frame["item"]["id"] if "item" in frame else frame.get("item_id")
        if frame["type"] in ("conversation.item.added", "conversation.item.created"):
            before = [known_id for known_id in order if known_id != item_id]
            assert frame["previous_item_id"] == (before[-1] if before else None)
        if "response_id" not in frame and item_id and item_id not in order:
            order.append(item_id)


def without(frame: bytes, key: str) -> dict[str, Any]:
    return {name: value for name, value in json.loads(frame).items() if name != key}


# Examples -----------------------------------------------------------------------------------------


def item_added(item_id: str, after: Any = None, text: str = "hello") -> Named:
    item = items.user(text, id=item_id, status="completed")
    event = server.ConversationItemAdded(event_id=f"added_{item_id}", previous_item_id=after, item=item)
    return event.type, rtproto.encode(event)


def item_done(item_id: str, text: str = "hello") -> Named:
    item = items.user(text, id=item_id, status="completed")
    event = server.ConversationItemDone(event_id=f"done_{item_id}", previous_item_id=None, item=item)
    return event.type, rtproto.encode(event)


def named(event: Any) -> Named:
    return event.type, rtproto.encode(event)


def plain(name: str, **fields: Any) -> Named:
    return name, json.dumps({"type": name, **fields}).encode()


def heard(item_id: str, delta: str) -> Named:
    return named(
        server.ConversationItemInputAudioTranscriptionDelta(
            event_id=f"heard_{delta}", item_id=item_id, content_index=0, delta=delta
        )
    )


CREATED = named(server.ResponseCreated(event_id="created", response=ResponseBuilder("resp_1").build()))
DONE = named(
    server.ResponseDone(event_id="done", response=ResponseBuilder("resp_1").status("completed").build())
)
AT = ResponseEventBuilder("resp_1").for_item("b", 0)
OUTPUT_ADDED = named(AT.output_item_added("output_added", items.assistant(id="b")))
OUTPUT_DONE = named(AT.output_item_done("output_done", items.assistant("Hi there", id="b")))
PART_ADDED = named(AT.for_content(0).content_part_added("part_added", items.text_part("")))
PART_DONE = named(AT.for_content(0).content_part_done("part_done", items.text_part("Hi there")))
TEXT_DONE = named(AT.for_content(0).output_text_done("text_done", "Hi there"))


def text(delta: str) -> Named:
    return named(AT.for_content(0).output_text_delta(f"text_{delta}", delta))


def event_ids(frames: list[bytes]) -> list[str]:
    return [parsed(frame)["event_id"] for frame in frames]


def test_the_session_is_told_first_as_it_began_and_as_it_is() -> None:
    began, again = (
        named(server.SessionCreated(event_id=f"created_{n}", session=session("at first"))) for n in (1, 2)
    )
    before, now = (
        named(server.SessionUpdated(event_id=f"updated_{n}", session=session("later"))) for n in (1, 2)
    )
    frames = [item_added("a"), began, before, plain("conversation.created", event_id="conv"), again, now]
    frames += [plain("rate_limits.updated", event_id=f"limits_{n}", rate_limits=[]) for n in (1, 2)]
    frames += [plain("transcription_session.updated", event_id=f"beta_{n}") for n in (1, 2)]
    told = history_of(frames).frames()
    assert event_ids(told) == ["created_1", "conv", "updated_2", "limits_2", "beta_2", "added_a"]
    assert told[0] is began[1]


def test_items_stand_where_they_were_put() -> None:
    """Null and ``root`` say that there is none before; who names nobody known, or says nothing, is last."""
    frames = [item_added("a"), item_added("c", "a"), item_added("b", "a"), item_added("first")]
    frames += [item_added("root", "root"), item_added("last", "nobody"), item_added("self", "self")]
    frames += [item_added("silent", msgspec.UNSET)]
    told = history_of(frames).frames()
    assert event_ids(told) == [
        f"added_{item_id}" for item_id in ("root", "first", "a", "b", "c", "last", "self", "silent")
    ]
    before = [parsed(frame).get("previous_item_id") for frame in told]
    assert before == ["root", "root", "first", "a", "b", "c", "last", "self"]
    assert told[0] is frames[4][1]
    assert told[3] is frames[2][1]


def test_an_edit_names_the_predecessor_and_leaves_the_rest_as_it_was_written() -> None:
    written = (
        b'{ "type":"conversation.item.added","previous_item_id":"gone","x":1.50,"item":{"id":"b" , "y":1e3}}'
    )
    told = history_of([item_added("a"), ("conversation.item.added", written)]).frames()
    assert b'"previous_item_id":"a"' in told[1]
    assert b'"x":1.50' in told[1]
    assert b'{"id":"b" , "y":1e3}' in told[1]


def test_an_item_that_is_done_does_not_move() -> None:
    told = history_of([item_added("a"), item_added("b", "a"), item_done("b"), item_done("a")]).frames()
    assert event_ids(told) == ["added_a", "done_a", "added_b", "done_b"]


def test_of_an_item_the_latest_is_told() -> None:
    truncated = [
        named(
            server.ConversationItemTruncated(
                event_id=f"cut_{n}", item_id="a", content_index=0, audio_end_ms=n
            )
        )
        for n in (1, 2)
    ]
    frames = [item_added("a"), item_done("a", "early"), truncated[0], item_done("a", "late"), truncated[1]]
    assert history_of(frames).frames() == [item_added("a")[1], item_done("a", "late")[1], truncated[1][1]]


def test_an_item_added_again_is_told_anew_with_what_was_told_of_it() -> None:
    frames = [item_added("a"), item_added("b", "a"), item_done("a"), item_added("a", "b", "anew")]
    told = history_of(frames).frames()
    assert event_ids(told) == ["added_b", "added_a", "done_a"]
    assert told[1] is frames[3][1]


def test_a_transcript_grows_in_one_frame_until_it_is_whole() -> None:
    frames = [item_added("a"), heard("a", "He"), heard("a", 'l"\n'), heard("a", "lo")]
    history = history_of(frames)
    added, delta = history.frames()
    assert added is frames[0][1]
    assert delta == heard("a", "He")[1].replace(b'"delta":"He"', b'"delta":"Hel\\"\\nlo"')
    assert history.size == len(added) + len(delta)
    whole = plain(f"{HEARD}completed", item_id="a", content_index=0, transcript="Hello", event_id="whole")
    history.add(*whole)
    assert history.frames() == [added, whole[1]]
    assert history.size == len(added) + len(whole[1])


def test_a_transcript_of_an_item_to_come_is_told_with_it() -> None:
    history = history_of([item_added("a"), heard("b", "so early")])
    assert event_ids(history.frames()) == ["added_a", "heard_so early"]
    history.add(*item_added("b"))
    assert event_ids(history.frames()) == ["added_b", "heard_so early", "added_a"]


def test_segments_and_a_failure_are_told() -> None:
    fields = {"item_id": "a", "content_index": 0, "text": "x", "speaker": "s", "start": 0, "end": 1}
    frames = [plain(f"{HEARD}segment", event_id=f"e{n}", id=f"seg_{n % 2}", **fields) for n in range(3)]
    frames += [plain(f"{HEARD}failed", event_id="failed", item_id="a", content_index=0, error={})]
    assert event_ids(history_of([item_added("a"), *frames]).frames()) == ["added_a", "e1", "e2", "failed"]


def test_what_is_deleted_was_never_there() -> None:
    frames = [item_added("a"), item_added("b", "a"), item_done("b"), heard("b", "x"), item_added("c", "b")]
    history = history_of([*frames, plain("conversation.item.deleted", item_id="b")])
    assert event_ids(history.frames()) == ["added_a", "added_c"]
    assert parsed(history.frames()[1])["previous_item_id"] == "a"
    assert history.omitted == 0
    for item_id in ("a", "c"):
        history.add(*plain("conversation.item.deleted", item_id=item_id))
    assert history.size == 0


def test_what_nobody_needs_later_is_live_only() -> None:
    names = ("error", "conversation.item.retrieved", "input_audio_buffer.timeout_triggered", "ping", "")
    frames = [plain(name, event_id="e", item_id="a", item={"id": "a"}) for name in names]
    assert history_of(frames).frames() == []
    assert history_of([plain(f"{HEARD}completed", item_id="unknown", transcript="x")]).frames() == []


def test_a_running_response_is_told_as_far_as_it_has_come() -> None:
    frames = [
        item_added("a"),
        CREATED,
        OUTPUT_ADDED,
        item_added("b", "a"),
        PART_ADDED,
        text("Hi"),
        text(" the"),
    ]
    history = history_of([*frames, text("re")])
    *before, delta = history.frames()
    assert event_ids(before) == ["added_a", "added_b", "created", "output_added", "part_added"]
    assert delta == text("Hi")[1].replace(b'"delta":"Hi"', b'"delta":"Hi there"')
    assert history.size == sum(map(len, history.frames()))
    for frame in (TEXT_DONE, PART_DONE, item_done("b"), OUTPUT_DONE):
        history.add(*frame)
    assert event_ids(history.frames())[5:] == ["text_Hi", "text_done", "part_done", "done_b", "output_done"]


def test_of_a_response_that_is_done_its_items_are_left() -> None:
    frames = [CREATED, OUTPUT_ADDED, item_added("b"), PART_ADDED, text("Hi"), TEXT_DONE, PART_DONE]
    told = history_of([*frames, item_done("b"), OUTPUT_DONE, DONE]).frames()
    assert told == [item_added("b")[1], item_done("b")[1]]


def test_an_item_without_an_end_of_its_own_keeps_its_outputs_end() -> None:
    """As Azure Voice Live speaks."""
    frames = [CREATED, OUTPUT_ADDED, item_added("b"), PART_ADDED, text("Hi"), TEXT_DONE, PART_DONE]
    history = history_of([*frames, OUTPUT_DONE, DONE])
    assert history.frames() == [item_added("b")[1], OUTPUT_DONE[1]]
    assert history.size == sum(map(len, history.frames()))


def test_an_item_whose_end_says_nothing_keeps_all_that_was_said() -> None:
    """As xAI speaks; until the item is told whole after all."""
    silent = named(AT.output_item_done("silent", items.assistant(id="b")))
    frames = [
        CREATED,
        OUTPUT_ADDED,
        item_added("b"),
        PART_ADDED,
        text("Hi"),
        text(" there"),
        TEXT_DONE,
        silent,
    ]
    history = history_of([*frames, DONE])
    kept = ["added_b", "output_added", "part_added", "text_Hi", "text_done", "silent"]
    assert event_ids(history.frames()) == kept
    history.add(*item_done("b"))
    assert event_ids(history.frames()) == ["added_b", "done_b"]
    assert history.size == sum(map(len, history.frames()))


def test_a_call_without_an_end_of_its_own_keeps_its_outputs_end() -> None:
    call = items.function_call("call_1", "weather", "{}", id="b")
    end = named(AT.output_item_done("call_done", call))
    arguments = named(AT.function_call_arguments_done("arguments", "call_1", "weather", "{}"))
    told = history_of([CREATED, OUTPUT_ADDED, item_added("b"), arguments, end, DONE]).frames()
    assert event_ids(told) == ["added_b", "call_done"]


def test_a_response_beside_the_conversation_leaves_nothing() -> None:
    history = history_of(
        [item_added("a"), CREATED, OUTPUT_ADDED, text("Hi"), OUTPUT_DONE, DONE, text("late")]
    )
    assert history.frames() == [item_added("a")[1]]


def test_a_call_of_an_mcp_tool_belongs_to_the_response_of_its_item() -> None:
    begun, over = (
        plain(f"response.mcp_call.{what}", event_id=what, item_id="b", output_index=0)
        for what in ("in_progress", "completed")
    )
    assert history_of([begun]).frames() == []
    assert event_ids(history_of([item_added("b"), begun, over]).frames()) == ["added_b", "completed"]
    history = history_of([CREATED, OUTPUT_ADDED, begun, over])
    assert event_ids(history.frames()) == ["created", "output_added", "completed"]
    history.add(*DONE)
    assert history.frames() == []


def test_lists_of_tools_are_told_as_they_are() -> None:
    frames = [
        plain(f"mcp_list_tools.{what}", event_id=what, item_id="a") for what in ("in_progress", "failed")
    ]
    assert event_ids(history_of(frames).frames()) == ["failed"]


def test_who_speaks_and_what_plays_is_told_until_it_ends() -> None:
    speaks = plain("input_audio_buffer.speech_started", event_id="speaks", item_id="a", audio_start_ms=0)
    plays = [plain("output_audio_buffer.started", event_id=f"plays_{n}", response_id=f"r{n}") for n in (1, 2)]
    for end in ("speech_stopped", "committed", "cleared"):
        history = history_of([speaks, *plays])
        assert event_ids(history.frames()) == ["speaks", "plays_1", "plays_2"]
        history.add(*plain(f"input_audio_buffer.{end}", item_id="a"))
        assert event_ids(history.frames()) == ["plays_1", "plays_2"]
    for number, end in enumerate(("stopped", "cleared"), 1):
        history.add(*plain(f"output_audio_buffer.{end}", response_id=f"r{number}"))
    assert (history.frames(), history.size) == ([], 0)


def test_of_a_translation_the_newest_lines_are_told() -> None:
    frames = [
        plain(f"session.{side}_transcript.delta", event_id=f"{side}_{n}", delta="x")
        for n in range(3)
        for side in ("input", "output")
    ]
    history = history_of(frames, max_items=4)
    assert history.frames() == [data for _, data in frames[2:]]
    assert history.omitted == 2


def test_the_oldest_items_go_first() -> None:
    frames = [plain("session.created", event_id="s")]
    frames += [item_added("a")] + [item_added(new, old) for old, new in zip("abcd", "bcde", strict=True)]
    history = history_of(frames, max_items=3)
    assert event_ids(history.frames()) == ["s", "added_c", "added_d", "added_e"]
    assert [parsed(frame)["previous_item_id"] for frame in history.frames()[1:]] == [None, "c", "d"]
    assert history.omitted == 2
    size = len(frames[0][1]) + 2 * len(item_added("e", "d")[1])
    history = history_of(frames, max_bytes=size)
    assert event_ids(history.frames()) == ["s", "added_d", "added_e"]
    assert (history.omitted, history.size) == (3, size)


def test_items_of_a_running_response_stay_and_then_its_oldest_frames_go() -> None:
    frames = [CREATED, OUTPUT_ADDED, item_added("b"), item_added("c", "b"), text("Hi")]
    history = history_of(frames, max_items=1)
    assert event_ids(history.frames()) == ["added_b", "created", "output_added", "text_Hi"]
    assert history.omitted == 1
    size = history.size
    history = history_of(frames, max_bytes=size)
    assert (event_ids(history.frames()), history.omitted) == (
        ["added_b", "created", "output_added", "text_Hi"],
        1,
    )
    history.add(*text("!"))
    assert event_ids(history.frames()) == ["added_b", "output_added", "text_Hi"]
    assert history.omitted == 2
    assert history.size == size - len(CREATED[1]) + 1


def test_a_text_too_long_begins_anew() -> None:
    history = history_of([CREATED], max_bytes=400)
    for _ in range(10):
        history.add(*text("x" * 50))
        assert history.size <= 400
    assert history.omitted >= 2
    while not history.frames():
        history.add(*text("x" * 50))
    (delta,) = history.frames()
    assert set(parsed(delta)["delta"]) == {"x"}


def test_a_frame_too_long_is_left_out_alone_and_what_it_replaces_is_not_told_for_it() -> None:
    frames = [item_added("a"), item_done("a"), item_added("b", "a"), item_done("a", "x" * 500)]
    history = history_of(frames, max_bytes=600)
    assert event_ids(history.frames()) == ["added_a", "added_b"]
    assert history.omitted == 1
    history = history_of([item_added("a"), CREATED, text("Hi"), text("x" * 600)], max_bytes=600)
    assert event_ids(history.frames()) == ["added_a", "created"]
    assert history.omitted == 1
    history = history_of([plain("session.created", padding="x" * 600), item_added("a")], max_bytes=600)
    assert event_ids(history.frames()) == ["added_a"]
    assert history.omitted == 1


def test_sessions_too_long_for_the_bounds_go_last_of_all() -> None:
    frames = [plain("session.created", event_id="s", x="x" * 300), item_added("a"), CREATED]
    history = history_of([*frames, plain("session.updated", event_id="u", x="x" * 300)], max_bytes=400)
    assert event_ids(history.frames()) == ["u"]
    assert history.omitted == 3


def test_what_cannot_be_read_is_live_only() -> None:
    name, good = text("Hi")
    broken = (
        b"",
        b"[]",
        good[:-1],
        good.replace(b"Hi", b"\xff"),
        good.replace(b"Hi", b"\\ud800"),
        b"[" * 10**5,
    )
    history = history_of([CREATED, *((name, data) for data in broken)])
    assert history.frames() == [CREATED[1]]
    history.add(name, good.replace(b'"Hi"', b"5"))
    history.add(name, good.replace(b'"delta":"Hi"', b'"d":"Hi"'))
    assert history.frames() == [CREATED[1]]


def test_an_item_may_name_itself_and_stays_one() -> None:
    history = history_of([item_added("a"), item_added("b", "a"), item_added("a", "a")])
    assert event_ids(history.frames()) == ["added_b", "added_a"]


def test_who_names_nobody_and_is_first_is_told_as_it_came() -> None:
    frame = item_added("a", msgspec.UNSET)
    assert history_of([frame]).frames() == [frame[1]]


def test_an_item_that_was_added_before_the_session_was_heard_has_its_place_by_its_end() -> None:
    frames = [CREATED, OUTPUT_ADDED, item_done("b"), item_added("c", "b")]
    assert event_ids(history_of(frames).frames()) == ["done_b", "added_c", "created", "output_added"]


def test_what_is_deleted_is_no_part_of_the_conversation_but_of_its_response() -> None:
    other = named(AT.output_item_added("other", items.assistant(id="c")))
    frames = [
        CREATED,
        OUTPUT_ADDED,
        item_added("b"),
        item_done("b"),
        other,
        item_added("c", "b"),
        item_done("c"),
    ]
    history = history_of([*frames, plain("conversation.item.deleted", item_id="b")])
    assert event_ids(history.frames()) == ["added_c", "created", "output_added", "other", "done_c"]
    history.add(*item_added("b", "c"))
    assert event_ids(history.frames())[:2] == ["added_c", "added_b"]


def test_a_transcript_without_its_part_gives_way_too() -> None:
    partly = plain(f"{HEARD}delta", event_id="partly", item_id="a", delta="x")
    whole = plain(f"{HEARD}completed", event_id="whole", item_id="a", content_index=0, transcript="xy")
    assert event_ids(history_of([item_added("a"), partly, whole]).frames()) == ["added_a", "whole"]
    assert event_ids(history_of([partly, whole]).frames()) == ["partly", "whole"]
    assert event_ids(history_of([CREATED, plain(f"{HEARD}completed", transcript="x")]).frames()) == [
        "created"
    ]


def test_beside_its_outputs_end_an_item_keeps_what_is_its_own() -> None:
    spoken = named(AT.output_item_done("spoken", items.assistant(items.output_audio("Hi"), id="b")))
    cut = plain("conversation.item.truncated", event_id="cut", item_id="b", content_index=0, audio_end_ms=5)
    frames = [CREATED, OUTPUT_ADDED, item_added("b"), PART_ADDED, cut, spoken, DONE]
    assert event_ids(history_of(frames).frames()) == ["added_b", "cut", "spoken"]
    early = [item_added("b"), item_done("b"), CREATED, OUTPUT_ADDED, PART_ADDED, spoken, DONE]
    assert event_ids(history_of(early).frames()) == ["added_b", "done_b"]


@pytest.mark.parametrize(
    ("stream", "whole"),
    [
        ("response.output_text", "text"),
        ("response.output_audio_transcript", "transcript"),
        ("response.function_call_arguments", "arguments"),
        ("response.mcp_call_arguments", "arguments"),
        ("response.text", "text"),
        ("response.audio_transcript", "transcript"),
        ("response.output_audio", None),
        ("response.audio", None),
    ],
)
def test_every_stream_of_a_response_is_joined_by_its_part(stream: str, whole: str | None) -> None:
    at = {"response_id": "resp_1", "item_id": "b", "output_index": 0}
    deltas = [
        plain(f"{stream}.delta", event_id=f"d{n}", content_index=n % 2, delta=f"{n}", **at) for n in range(4)
    ]
    end = plain(f"{stream}.done", event_id="end", content_index=0, **at, **({whole: "02"} if whole else {}))
    told = history_of([CREATED, *(deltas if whole else []), end]).frames()
    joined = [parsed(frame)["delta"] for frame in told if "delta" in parsed(frame)]
    assert joined == (["02", "13"] if whole else [])
    assert told[-1] is end[1]


@pytest.mark.parametrize("what", ["in_progress", "completed", "failed"])
@pytest.mark.parametrize("tool", ["mcp_list_tools", "response.mcp_call"])
def test_how_far_a_tool_is_is_told(tool: str, what: str) -> None:
    before = plain(f"{tool}.in_progress", event_id="before", item_id="a")
    frames = [item_added("a"), before, plain(f"{tool}.{what}", event_id="now", item_id="a")]
    assert event_ids(history_of(frames).frames()) == ["added_a", "now"]
    kept = ["added_a", "now", "done_a"] if tool == "mcp_list_tools" else ["added_a", "done_a"]
    assert event_ids(history_of([*frames, item_done("a")]).frames()) == kept


def test_a_response_without_a_name_is_live_only() -> None:
    history = history_of(
        [plain("response.created", response={}), plain("response.output_text.delta", delta="x")]
    )
    assert (history.frames(), history.size) == ([], 0)


def test_of_a_response_that_was_left_out_nothing_more_is_told() -> None:
    first, other = (
        plain("response.created", event_id=f"created_{n}", response={"id": f"resp_{n}"}, x="x" * 300)
        for n in (1, 2)
    )
    history = history_of([first, other, text("Hi")], max_bytes=len(other[1]) + len(text("Hi")[1]))
    assert event_ids(history.frames()) == ["created_2"]
    assert history.omitted == 1


def test_a_frame_that_cannot_be_edited_is_told_as_it_came() -> None:
    many = b"[" + b"1," * 20_001 + b"1]"
    strange = b'{"type":"conversation.item.added","x":1,"x":%b,"item":{"id":"b"}}' % many
    history = history_of([item_added("a"), ("conversation.item.added", strange)])
    assert history.frames() == [item_added("a")[1], strange]


def test_what_is_too_long_takes_no_place() -> None:
    lines = [plain("session.output_transcript.delta", delta="x" * n) for n in (1, 500)]
    history = history_of(lines, max_items=1, max_bytes=300)
    assert (history.frames(), history.omitted) == ([lines[0][1]], 1)
    frames = [item_added("a", None, "x" * 500), item_added("b", "a")]
    history = history_of(frames, max_items=1, max_bytes=300)
    assert [parsed(frame)["previous_item_id"] for frame in history.frames()] == [None]
    assert history.omitted == 1
    history = history_of(frames, max_bytes=300)
    assert [parsed(frame)["previous_item_id"] for frame in history.frames()] == [None]
    history.clear()
    assert (history.frames(), history.size, history.omitted) == ([], 0, 0)


# Junk ---------------------------------------------------------------------------------------------


NAMES = st.sampled_from(
    [*RealtimeServerEvent, *TranslationServerEvent, *CLIENT_NAMES, "transcription_session.created", "", "new"]
)
ANY_FRAMES = st.one_of(
    strategies.server_frames(),
    strategies.translation_server_frames(),
    strategies.misshapen_frames(server_codec),
    strategies.unknown_frames(),
    strategies.malformed_frames(),
    st.binary(),
)


@st.composite
def junk(draw: st.DrawFn) -> list[Named]:
    """Frames of one id for everything, under names that are not always theirs."""
    same: list[Named] = []
    for name in draw(st.lists(NAMES, max_size=20)):
        fields = {"item_id": "a", "response_id": "a", "previous_item_id": "a", "item": {"id": "a"}}
        fields |= {"response": {"id": draw(st.sampled_from("ab"))}, "delta": draw(st.sampled_from(["x", 5]))}
        chosen = draw(st.sets(st.sampled_from(sorted(fields))))
        same.append((name, json.dumps({"type": name, **{key: fields[key] for key in chosen}}).encode()))
    anything = draw(st.lists(st.tuples(NAMES, ANY_FRAMES), max_size=10))
    return draw(st.permutations(same + anything))


@given(junk(), st.integers(0, 3), st.integers(0, 500))
@example([("session.created", b"[" * 100_000), ("response.created", b'{"response":{"id":"\xff"}}')], 3, 500)
@example([("response.created", b'{"response":{"id":"r\\ud800"}}')], 3, 500)
def test_whatever_comes_nothing_is_raised(frames: list[Named], max_items: int, max_bytes: int) -> None:
    history = History(max_items, max_bytes)
    for name, data in frames:
        history.add(name, data)
        assert 0 <= history.size <= max_bytes
        assert all(type(frame) is bytes for frame in history.frames())


def test_every_captured_session_is_told_again(capture: Path) -> None:
    server_side = [record.raw for record in load(capture) if record.direction == "server"]
    frames = [(name, raw) for raw in server_side if (name := rtproto.probe_type(raw)) not in AUDIO_DELTAS]
    history, client = History(*ROOMY), Client()
    for name, data in frames:
        history.add(name, data)
        client.hear(data)
        assert known(history.frames()) == vars(client)
