"""Whatever a client sends, and whenever, the fake lives on, and all that it says fits together."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from rtproto import client_codec, server_codec, translation_client_codec, translation_server_codec
from rtproto.testing import Call, Reply, Say, Script, silence, strategies, tone
from rtproto.testing.realtime import RealtimeSession
from rtproto.testing.session import FakeSession
from rtproto.testing.transcription import TranscriptionSession
from rtproto.testing.translation import TranslationSession

SDK: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
SCRIPT = Script(
    Say("One two three.", tone(350)),
    Call("f", {"city": "London"}),
    Reply([Say("Four.", tone(150)), Call("g")], status="incomplete", reason="max_output_tokens"),
    lambda turn: f"You said: {turn.text}",
    transcripts=["Hello there.", "Go on."],
)


class Said:
    """What a session has said so far: each event is checked against those before it."""

    def __init__(self, session: FakeSession) -> None:
        self.session = session
        self.ids: set[str] = set()
        self.order: list[str] = []  # of the conversation's items
        self.open: dict[Any, dict[str, Any]] = {}  # what has begun and not ended
        self.outputs: dict[str, list[Any]] = {}  # of each response
        self.texts: dict[Any, str] = {}  # what deltas came to
        self.hears: str | None = None  # the item of the speech that goes on
        self.now = 0.0

    def take(self, seconds: float = 0.0) -> None:
        """Let time pass, and look at what is sent."""
        self.now += seconds
        for frame in self.session.frames(self.now):
            _decode(self.session, frame)
            self._see(json.loads(frame))

    def finish(self) -> None:
        """Let everything come to its end."""
        while (due := self.session.due) is not None:
            assert self.now < 10_000
            self.take(max(due - self.now, 0.0))
        assert not self.open
        if isinstance(self.session, RealtimeSession):
            assert self.order == [getattr(item, "id", None) for item in self.session.conversation]

    def _see(self, event: dict[str, Any]) -> None:
        assert event["event_id"] not in self.ids
        self.ids.add(event["event_id"])
        handler = getattr(self, "on_" + event["type"].replace(".", "_"), None)
        if handler:
            handler(event)
        elif event["type"].endswith((".delta", ".done")) and "response_id" in event:
            self._stream(event)

    def _begin(self, key: Any, value: dict[str, Any]) -> None:
        assert key not in self.open
        self.open[key] = value

    # Responses

    def on_response_created(self, event: dict[str, Any]) -> None:
        response = event["response"]
        joined = [r for kind, r in self.open.items() if kind[0] == "response" and r["conversation_id"]]
        assert response["conversation_id"] is None or not joined
        assert response["id"] not in self.outputs
        assert (response["status"], response["output"], response["usage"]) == ("in_progress", [], None)
        self.outputs[response["id"]] = []
        self._begin(("response", response["id"]), response)

    def on_response_done(self, event: dict[str, Any]) -> None:
        response = event["response"]
        begun = self.open.pop(("response", response["id"]))
        assert not [key for key in self.open if key[1] == response["id"]]
        assert response["output"] == self.outputs[response["id"]]
        for name in ("conversation_id", "metadata", "output_modalities", "audio", "max_output_tokens"):
            assert response[name] == begun[name]
        usage = response["usage"]
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        assert usage["output_tokens"] == sum(usage["output_token_details"].values())
        details = usage["input_token_details"]
        kinds = ("text_tokens", "audio_tokens", "image_tokens")
        assert usage["input_tokens"] == sum(details[kind] for kind in kinds)
        assert details["cached_tokens"] == sum(details["cached_tokens_details"][kind] for kind in kinds)
        assert all(details["cached_tokens_details"][kind] <= details[kind] for kind in kinds)

    def on_response_output_item_added(self, event: dict[str, Any]) -> None:
        assert event["output_index"] == len(self.outputs[event["response_id"]])
        self._begin(("item", event["response_id"]), event["item"])

    def on_response_output_item_done(self, event: dict[str, Any]) -> None:
        begun, ended = self.open.pop(("item", event["response_id"])), event["item"]
        assert event["output_index"] == len(self.outputs[event["response_id"]])
        assert (begun["id"], begun["type"]) == (ended["id"], ended["type"])
        assert ended["status"] in {"completed", "incomplete"}
        self.outputs[event["response_id"]].append(ended)

    def on_response_content_part_added(self, event: dict[str, Any]) -> None:
        assert event["item_id"] == self.open["item", event["response_id"]]["id"]
        self._begin(("part", event["response_id"], event["content_index"]), event["part"])

    def on_response_content_part_done(self, event: dict[str, Any]) -> None:
        begun = self.open.pop(("part", event["response_id"], event["content_index"]))
        assert begun["type"] == event["part"]["type"]

    def _stream(self, event: dict[str, Any]) -> None:
        """The deltas of one kind make what its ``done`` says."""
        assert event["item_id"] == self.open["item", event["response_id"]]["id"]
        kind, _, step = event["type"].rpartition(".")
        key = kind, event["item_id"]
        if step == "delta":
            self.texts[key] = self.texts.get(key, "") + event["delta"]
        elif kind != "response.output_audio":
            whole = next(event[name] for name in ("text", "transcript", "arguments") if name in event)
            assert self.texts.pop(key, "") == whole

    # The conversation

    def on_conversation_item_added(self, event: dict[str, Any]) -> None:
        previous, item_id = event["previous_item_id"], event["item"]["id"]
        assert item_id not in self.order
        self.order.insert(self.order.index(previous) + 1 if previous else 0, item_id)
        self._begin(("conversation", item_id), event["item"])

    def on_conversation_item_done(self, event: dict[str, Any]) -> None:
        del self.open["conversation", event["item"]["id"]]
        at = self.order.index(event["item"]["id"])
        assert event["previous_item_id"] == (self.order[at - 1] if at else None)

    def on_conversation_item_deleted(self, event: dict[str, Any]) -> None:
        self.order.remove(event["item_id"])
        self.open.pop(("conversation", event["item_id"]), None)

    # Speech

    def on_input_audio_buffer_speech_started(self, event: dict[str, Any]) -> None:
        self.hears = event["item_id"]

    def on_input_audio_buffer_speech_stopped(self, event: dict[str, Any]) -> None:
        assert event["item_id"] == self.hears

    def on_input_audio_buffer_committed(self, event: dict[str, Any]) -> None:
        assert event["item_id"] == self.hears or self.hears is None
        assert event["previous_item_id"] == (self.order[-1] if self.order else None)
        self.hears = None

    def on_input_audio_buffer_cleared(self, event: dict[str, Any]) -> None:
        self.hears = None

    def on_session_closed(self, event: dict[str, Any]) -> None:
        assert self.session.end == (1000, "")


def _decode(session: FakeSession, frame: bytes) -> None:
    codec = translation_server_codec if isinstance(session, TranslationSession) else server_codec
    codec.decode(frame, strict=True)


# What clients send ----------------------------------------------------------------------------

IDS = st.sampled_from(["a", "b", "c", "root"])
SOUNDS = [tone(60), tone(300), silence(120), silence(700), tone(33)]
PARTS = [
    {"type": "input_text", "text": "Hi."},
    {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
]
VADS = [
    None,
    {"type": "server_vad"},
    {"type": "server_vad", "interrupt_response": False},
    {"type": "semantic_vad"},
]
FORMATS = [{"type": "audio/pcm", "rate": 24000}, {"type": "audio/pcmu"}, {"type": "audio/pcma"}]
NONE: dict[str, Any] = {}


def _event(name: str, **fields: Any) -> st.SearchStrategy[bytes]:
    drawn = {
        key: value if isinstance(value, st.SearchStrategy) else st.just(value)
        for key, value in fields.items()
    }
    return st.fixed_dictionaries({"type": st.just(name), **drawn}).map(
        lambda event: json.dumps(event).encode()
    )


def _update(kind: str) -> st.SearchStrategy[bytes]:
    hearing = {
        "turn_detection": st.sampled_from(VADS),
        "format": st.sampled_from(FORMATS),
        "transcription": st.sampled_from([None, {"model": "whisper-1"}, {"model": "gpt-4o-transcribe"}]),
    }
    audio: dict[str, Any] = {"input": st.fixed_dictionaries(NONE, optional=hearing)}
    more: dict[str, Any] = {}
    if kind == "realtime":
        audio["output"] = st.fixed_dictionaries(NONE, optional={"format": st.sampled_from(FORMATS)})
        more["output_modalities"] = st.sampled_from([["text"], ["audio"]])
    more["audio"] = st.fixed_dictionaries(NONE, optional=audio)
    return _event("session.update", session=st.fixed_dictionaries({"type": st.just(kind)}, optional=more))


def _append(sound: Any) -> str:
    return base64.b64encode(sound.samples).decode()


HEARING = (
    _event("input_audio_buffer.append", audio=st.sampled_from([*map(_append, SOUNDS)]))
    | _event("input_audio_buffer.commit")
    | _event("input_audio_buffer.clear")
)
MESSAGE = {"type": st.just("message"), "role": st.just("user"), "content": st.lists(st.sampled_from(PARTS))}
RESPONSE = {
    "conversation": st.sampled_from(["auto", "none"]),
    "output_modalities": st.sampled_from([["text"], ["audio"]]),
    "input": st.lists(st.fixed_dictionaries({"type": st.just("item_reference"), "id": IDS}), max_size=2),
    "metadata": st.just({"topic": "x"}),
}
CONVERSING = (
    _event(
        "conversation.item.create",
        item=st.fixed_dictionaries(MESSAGE, optional={"id": IDS}),
        previous_item_id=st.none() | IDS,
    )
    | _event("conversation.item.retrieve", item_id=IDS)
    | _event("conversation.item.delete", item_id=IDS)
    | _event("response.create", response=st.fixed_dictionaries(NONE, optional=RESPONSE))
    | _event("response.create")
    | _event("response.cancel")
)
NONSENSE = strategies.unknown_frames() | strategies.malformed_frames()
CLIENTS = {
    RealtimeSession: _update("realtime") | HEARING | CONVERSING,
    TranscriptionSession: _update("transcription") | HEARING,
    TranslationSession: _event(
        "session.input_audio_buffer.append", audio=st.sampled_from([*map(_append, SOUNDS)])
    )
    | _event("session.update", session=st.just({"audio": {"output": {"language": "es"}}}))
    | _event("session.close"),
}
ANYTHING = {
    RealtimeSession: strategies.client_frames() | strategies.misshapen_frames(client_codec),
    TranscriptionSession: strategies.client_frames() | strategies.misshapen_frames(client_codec),
    TranslationSession: strategies.translation_client_frames()
    | strategies.misshapen_frames(translation_client_codec),
}
PAUSES = st.sampled_from([0.0, 0.0, 0.02, 0.1, 1.0])


@pytest.mark.parametrize("kind", CLIENTS)
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_it_says_fits_together(kind: type[FakeSession], data: st.DataObject) -> None:
    """Sensible events and others, in any order, at any time."""
    steps = st.lists(
        st.tuples(CLIENTS[kind] | CLIENTS[kind] | ANYTHING[kind] | NONSENSE, PAUSES), max_size=25
    )
    session = kind("gpt-realtime", SCRIPT)
    session.open(0.0)
    said = Said(session)
    for frame, pause in data.draw(steps):
        session.receive(frame, said.now)
        if pause:
            said.take(pause)
    said.finish()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(CLIENTS[RealtimeSession], PAUSES), max_size=25))
def test_the_official_sdk_takes_all_of_it(steps: list[tuple[bytes, float]]) -> None:
    session = RealtimeSession("gpt-realtime", SCRIPT)
    frames: list[bytes] = []
    session.witness = lambda direction, frame: frames.append(frame) if direction == "server" else None
    session.open(0.0)
    said = Said(session)
    for frame, pause in steps:
        session.receive(frame, said.now)
        said.take(pause)
    said.finish()
    for frame in frames:
        SDK.validate_json(frame)
