"""What the fake server answers is told before: one reply after another, or a function of what was asked."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from msgspec import UNSET

from rtproto import capture, pcm
from rtproto._struct import Maybe
from rtproto.codec import server_codec
from rtproto.errors import InvalidEvent, NotAnEvent
from rtproto.events import server
from rtproto.testing.sound import Sound, decoded
from rtproto.types.items import ConversationItem, FunctionCall, FunctionCallOutput, Message
from rtproto.types.response import Response, ResponseCreateParams, ResponseError, StatusDetails
from rtproto.types.session import SessionCreateResponse
from rtproto.types.translation import TranslationSession

__all__ = ["Answer", "Call", "Reply", "Say", "Script", "Turn"]


T = TypeVar("T")


class Say(NamedTuple):
    """The model says something: text, or speech with a transcript, as the response's modality has it."""

    text: str
    """The text, or the transcript."""
    audio: Sound | None = None
    """How it sounds; ``None``: a hum, 400 ms for every word."""


class Call(NamedTuple):
    """The model calls a function of the client's."""

    name: str
    """The function."""
    arguments: str | Mapping[str, Any] = "{}"
    """Its arguments: JSON text, or what becomes JSON text."""
    call_id: str | None = None
    """What its output must name; ``None``: a fresh one each time."""

    @property
    def text(self) -> str:
        """The arguments as JSON text."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


class Reply(NamedTuple):
    """A whole response: what it holds, and how it ends."""

    outputs: Sequence[str | Say | Call] = ()
    """Its items, in order; a text is said."""
    status: Literal["completed", "incomplete", "failed"] = "completed"
    """``completed``, ``incomplete`` or ``failed``; ``cancelled`` is the client's doing."""
    reason: str | None = None
    """Why it is incomplete: ``max_output_tokens`` or ``content_filter``."""
    error: ResponseError | None = None
    """Why it failed."""

    @property
    def items(self) -> list[Say | Call]:
        """Its outputs, each in full.

        Raises:
            TypeError: one is none.
        """
        return [*map(_output, self.outputs)]

    @property
    def details(self) -> StatusDetails | None:
        """What ``response.status_details`` says of it; ``None``: it completed."""
        if self.status == "completed":
            return None
        return StatusDetails(type=self.status, reason=self.reason or UNSET, error=self.error or UNSET)


class Turn(NamedTuple):
    """What a reply answers."""

    number: int
    """How many responses the session made before."""
    items: Sequence[ConversationItem]
    """The conversation, or the items that the request gave in its place."""
    request: ResponseCreateParams
    """What ``response.create`` asked for; empty where voice activity detection did."""
    session: SessionCreateResponse | TranslationSession
    """The session as it stands."""

    @property
    def text(self) -> str:
        """What the user said last, written or as transcribed; empty: nothing, or not transcribed."""
        for item in reversed(self.items):
            if isinstance(item, Message) and item.role == "user":
                return " ".join(_texts(item))
        return ""

    @property
    def tool_output(self) -> str | None:
        """What a function gave, if that is the newest item; ``None``: it is not."""
        item = self.items[-1] if self.items else None
        return item.output if isinstance(item, FunctionCallOutput) and isinstance(item.output, str) else None


def _texts(item: Message) -> Iterable[str]:
    for part in item.content:
        for name in ("text", "transcript"):
            if text := getattr(part, name, None):
                yield text


Answer: TypeAlias = str | Say | Call | Reply
"""A reply in short: text alone is said, and one output alone makes a response."""


class Script:
    """What is answered: to the first response that a session asks for the first reply, and so on.

    ::

        Script("Hello!", Call("get_weather", {"city": "London"}), "It is foggy.")
        Script(lambda turn: f"You said: {turn.text}")

    After the last reply it is the last again. A function is asked whenever its turn comes.
    """

    def __init__(self, *replies: Answer | Callable[[Turn], Answer], transcripts: Sequence[str] = ()) -> None:
        if isinstance(transcripts, str):
            raise TypeError("transcripts is a list of texts")
        for reply in replies:
            if not callable(reply):
                _whole(reply)  # to be told of a slip here, and not by a client
        self.replies: Sequence[Answer | Callable[[Turn], Answer]] = replies or (
            "Hello! I am not a real model.",
        )
        """The replies, in order."""
        self.transcripts: Sequence[str] = tuple(transcripts) or ("Hello.",)
        """What is heard in the user's audio, turn by turn, where transcription is on; the last one stays."""

    @classmethod
    def from_capture(cls, path: str | PathLike[str]) -> "Script":
        """The replies and transcripts of a recorded session, with its audio and call ids; not its timing.

        Raises:
            OSError: it cannot be read.
            ValueError: it holds no response that is done.
        """
        found = _Recorded()
        for record in capture.load(path):
            found.see(record)
        if not found.replies:
            raise ValueError("the capture holds no response.done")
        return cls(*found.replies, transcripts=found.transcripts)

    def reply(self, turn: Turn) -> Reply:
        """What is answered in this turn.

        Raises:
            TypeError: a function gave what is no reply.
        """
        made = _nth(self.replies, turn.number)
        return _whole(made(turn) if callable(made) else made)

    def transcript(self, number: int) -> str:
        """What is heard in the user's audio, the first time, the second …, ``number`` from 0."""
        return _nth(self.transcripts, number)


def _whole(answer: Answer) -> Reply:
    """An answer in full."""
    if not isinstance(answer, Reply):
        return Reply((_output(answer),))
    if isinstance(answer.outputs, str):
        raise TypeError("the outputs of a Reply are a list")
    _ = answer.items
    return answer


def _output(output: Any) -> Say | Call:
    if isinstance(output, str):
        return Say(output)
    if not isinstance(output, Say | Call):
        raise TypeError(f"a reply is a str, Say, Call or Reply, not {type(output).__name__}")
    if isinstance(output, Say) and not isinstance(output.audio, Sound | None):  # pyright: ignore[reportUnnecessaryIsInstance] - a slip
        raise TypeError("the audio of a Say is a Sound, as wav(path) gives")
    return output


def _nth(entries: Sequence[T], number: int) -> T:
    return entries[min(number, len(entries) - 1)]


_STATUS: dict[Any, Literal["incomplete", "failed"]] = {"incomplete": "incomplete", "failed": "failed"}


class _Recorded:
    """Collects what a recorded server answered."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.transcripts: list[str] = []
        self._audio: dict[str, list[bytes]] = {}
        self._format: Maybe[pcm.Format] = None

    def see(self, record: capture.Record) -> None:
        if record.direction == "client":
            return
        try:
            event = server_codec.decode(record.raw)
            self._take(event)
        except (NotAnEvent, InvalidEvent):
            return  # A capture may hold anything; what is no audio cannot be played.

    def _take(self, event: object) -> None:
        match event:
            case server.SessionCreated(session=session) | server.SessionUpdated(session=session):
                output = getattr(getattr(session, "audio", None), "output", None)
                self._format = getattr(output, "format", None) or self._format
            case server.ResponseOutputAudioDelta(item_id=item_id):
                self._audio.setdefault(item_id, []).append(pcm.payload(event))
            case server.ConversationItemInputAudioTranscriptionCompleted(transcript=transcript):
                self.transcripts.append(transcript)
            case server.ResponseDone(response=response):
                self.replies.append(self._reply(response))
            case _:
                pass

    def _reply(self, response: Response) -> Reply:
        outputs = [output for item in response.output or () for output in self._outputs(item)]
        details = response.status_details
        found = details if isinstance(details, StatusDetails) else StatusDetails()
        return Reply(
            outputs, _STATUS.get(response.status, "completed"), found.reason or None, found.error or None
        )

    def _outputs(self, item: ConversationItem) -> Iterable[Say | Call]:
        if isinstance(item, FunctionCall):
            yield Call(item.name, item.arguments, item.call_id or None)
        elif isinstance(item, Message):
            audio = b"".join(self._audio.pop(item.id or "", ()))
            yield Say(" ".join(_texts(item)), decoded(audio, self._format) if audio else None)
