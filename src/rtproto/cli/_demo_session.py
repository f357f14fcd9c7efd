"""A voice session is held over real sockets, by a client that keeps every frame it sent and heard."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from operator import eq
from time import perf_counter
from typing import Any, Self, TypeVar

from rtproto import client, items, pcm, server, types
from rtproto._sockets import Connection, HandshakeError, connect
from rtproto._struct import Event
from rtproto.capture import Direction, Record
from rtproto.cli._demo_listeners import LIMITS, Ear, heard_out, listening
from rtproto.cli._serving import run
from rtproto.cli._source import Line
from rtproto.cli.tally import SIDES, Tally
from rtproto.codec import decode_client, decode_server, encode
from rtproto.errors import NotAnEvent
from rtproto.services.fanout import Broadcast, Fanout, LocalBus
from rtproto.services.proxy import Counts, Opening, Pipeline, Policy, Proxy, Upstream
from rtproto.services.proxy.ledger import UsageLedger
from rtproto.testing import Call, FakeRealtimeServer, Say, Script, Sound, silence, tone
from rtproto.types.items import FunctionCall, Message
from rtproto.unknown import Unknown

__all__ = ["EXPECTED", "Caller", "Ended", "Held", "hold", "service"]

E = TypeVar("E", bound=Event)

EXPECTED = {"response.done": 3, "conversation.item.input_audio_transcription.completed": 2}
"""What the service is to say in the whole session, and how often."""

_PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_TOOL, _WEATHER = "get_weather", "foggy"
_SCRIPT = Script(
    Say("Hello! I am a script: there is no model here, no key and no network.", tone(2000)),
    Call(_TOOL, {"city": "London"}),
    Say("The tool says that it is foggy in London.", tone(1500)),
    transcripts=["Hello, who is there?", "How is the weather in London?"],
)
_SPEECH: Sound = tone(800) + silence(600)  # a question, and the silence that ends it
_PIECE_MS = 20.0
_NAME = "demo"  # of the session, for listeners
_PATIENCE = 20.0
_AGAIN = 50
_SPOKEN_SECONDS = 10.0  # more than the session takes at the pace of speech
_SPEAKERS = {"user": "user", "assistant": "agent"}
_DECODE: dict[Direction, Callable[[bytes], Event | Unknown]] = {
    "client": decode_client,
    "server": decode_server,
}


class Ended(Exception):
    """The session broke off; it says why."""


class Caller(Connection):
    """The client: it talks and listens."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self.on_news: Callable[[], object] = lambda: None
        """Called when it has said or heard something."""
        self.tally: Tally = Tally()
        """What it said and heard, counted."""
        self.frames: dict[Direction, list[bytes]] = {side: [] for side in SIDES}
        """The frames that it sent, and those that it heard, as they were."""
        self.spoken: dict[str, tuple[str, str]] = {}
        """Who said what, as far as it is known, by the id of the item."""
        self._speed = speed
        self._heard: asyncio.Queue[Event | Unknown | Ended] = asyncio.Queue()

    def text(self, data: bytes) -> None:
        """An event came."""
        try:
            self._heard.put_nowait(self._kept("server", data))
        except NotAnEvent:
            self._heard.put_nowait(Ended("what came is no event"))

    def closed(self, code: int, reason: str) -> None:  # noqa: ARG002 - a reason may hold anything
        """There is no more."""
        self._heard.put_nowait(Ended(f"it was closed with {code}"))

    def say(self, frame: bytes) -> None:
        """Send an event."""
        self._kept("client", frame)
        self.send(frame)
        self.on_news()

    async def speak(self, sound: Sound) -> None:
        """Send a sound, as fast as it is spoken."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for number, piece in enumerate(pcm.chunks(sound.samples, _PIECE_MS)):
            due = begun + number * _PIECE_MS / 1000 / self._speed
            await asyncio.sleep(max(0.0, due - loop.time()))
            self.say(pcm.append_frame(piece))

    async def until(self, kind: type[E]) -> E:
        """The next event of a kind; what comes before it is heard too.

        Raises:
            Ended: there is none, or an error came before.
        """
        while not isinstance(event := await self._heard.get(), Ended):
            self.on_news()
            if isinstance(event, kind):
                return event
            if isinstance(event, server.Error):
                raise Ended(f"an error came before {kind.type}")
        raise Ended(f"{event} before {kind.type} came")

    def _kept(self, side: Direction, data: bytes) -> Event | Unknown:
        event = _DECODE[side](data)
        self.frames[side].append(data)
        self.tally.add(Line(Record(len(self.frames[side]), data, side), side, event))
        self._note(event)
        return event

    def _note(self, event: Event | Unknown) -> None:
        match event:
            case server.ConversationItemAdded(item=Message(id=str() as item_id, role=role)):
                self.spoken[item_id] = (_SPEAKERS.get(role, role), "")
            case (
                server.ConversationItemInputAudioTranscriptionDelta(item_id=item_id, delta=str() as delta)
                | server.ResponseOutputAudioTranscriptDelta(item_id=item_id, delta=delta)
            ):
                who, text = self.spoken.get(item_id, ("", ""))
                self.spoken[item_id] = (who, text + delta)
            case server.ResponseFunctionCallArgumentsDone(item_id=item_id, name=name, arguments=arguments):
                self.spoken[item_id] = ("tool", f"{name} {arguments}")
            case _:
                pass


async def _talk(caller: Caller) -> None:
    """Two spoken turns; the second is answered by way of a tool."""
    caller.say(encode(client.SessionUpdate(session=_SESSION)))
    await caller.until(server.SessionUpdated)
    await caller.speak(_SPEECH)
    await _answer(caller)
    await caller.speak(_SPEECH)
    for output in (await _answer(caller)).output or ():
        if isinstance(output, FunctionCall):
            given = items.function_call_output(str(output.call_id), _WEATHER)
            caller.say(encode(client.ConversationItemCreate(item=given)))
    caller.say(encode(client.ResponseCreate()))
    await _answer(caller)


_SESSION = types.SessionCreateRequest(
    instructions="You answer the phone of a demo. Be brief, and call the tool if asked for the weather.",
    tools=[types.FunctionTool(name=_TOOL, parameters=_PARAMETERS)],
    audio=types.AudioConfig(
        input=types.AudioInput(transcription=types.AudioTranscription(model="gpt-4o-transcribe"))
    ),
)


async def _answer(caller: Caller) -> types.Response:
    done = await caller.until(server.ResponseDone)
    await caller.until(server.RateLimitsUpdated)  # the last of a response
    return done.response


# From end to end ------------------------------------------------------------------------------


@dataclass(slots=True)
class Held:
    """A session, while it is held and after."""

    counts: Counts
    """What the proxy counts."""
    caller: Caller
    """The client."""
    arrived: dict[Direction, tuple[int, int]] = field(default_factory=dict[Direction, tuple[int, int]])
    """When it is over, by who sent them: frames that came out of the proxy as they went in, and all."""
    times: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """Of each turn that the proxy timed, seconds per frame: in rtproto, and with the writing."""
    ears: list[Ear] = field(default_factory=list[Ear])
    """Who listens, and what each got."""
    busy: float = 0.0
    """When it is over: seconds per frame in rtproto, when the same frames come again, without a pause."""
    _timed: tuple[float, float, int] = (0.0, 0.0, 0)

    def timed(self) -> Self:
        """Itself, with what the proxy has timed since the last time: the sum would tell of every hiccup."""
        counts, before = self.counts, self._timed
        self._timed = (counts.looked_seconds, counts.added_seconds, counts.added_frames)
        looked, added, frames = (now - then for now, then in zip(self._timed, before, strict=True))
        if frames:
            self.times.append((looked / frames, added / frames))
        return self

    @property
    def problems(self) -> list[str]:
        """What is not as it should be, when it is over."""
        frames, total = self.counts.snapshot().frames, self.caller.tally.total
        kept = {side: len(frames) for side, frames in self.caller.frames.items()}
        few = [name for name, number in EXPECTED.items() if frames.get("server", {}).get(name, 0) < number]
        untyped = total.frames - total.typed
        is_whole = all(same == sent == kept[side] for side, (same, sent) in self.arrived.items())
        wrong = {
            f"fewer events than expected: {', '.join(few)}": few,
            f"{untyped:,} of {total.frames:,} frames are not typed": untyped,
            "not every frame arrived as it was sent": not is_whole,
            "the proxy and the client counted differently": any(
                sum(frames.get(side, {}).values()) != number for side, number in kept.items()
            ),
        }
        lacks = [lack for ear in self.ears if (lack := ear.lacks(self.caller.frames["server"]))]
        return [*(problem for problem, is_so in wrong.items() if is_so), *lacks]


def service(speed: float) -> FakeRealtimeServer:
    """The service that a session is held with, closed as yet.

    Raises:
        ValueError: the speed is not above 0.
    """
    return FakeRealtimeServer(_SCRIPT, speed=speed)


def hold(
    fake: FakeRealtimeServer,
    *,
    speed: float = 1.0,
    on_news: Callable[[Held], object] = lambda _: None,
    policies: Sequence[Policy] = (),
) -> Held:
    """Hold one session, from the first connection to the last.

    Raises:
        Ended: it broke off.
        OSError: there is no port to be had.
    """
    with fake:  # in a thread of its own, and to the end: it is the last to close
        held = run(_through_proxy(fake, speed, on_news, policies))
    for side, ours in held.caller.frames.items():
        theirs = [frame.raw for record in fake.sessions for frame in record.frames if frame.direction == side]
        held.arrived[side] = (sum(map(eq, ours, theirs)), len(ours if side == "client" else theirs))
    held.busy = _busy(held.caller.frames)
    return held


class _Nowhere:
    """A shell that lets everything go."""

    def to_client(self, data: bytes, /) -> None: ...
    def to_upstream(self, data: bytes, /) -> None: ...
    def binary(self, direction: Direction, data: bytes) -> None: ...
    def is_behind(self) -> bool:
        return False

    def hurry(self) -> None: ...
    def close(self, code: int, reason: str) -> None: ...
    def start(self, work: Coroutine[Any, Any, None]) -> None: ...


def _busy(frames: Mapping[Direction, list[bytes]]) -> float:
    session = Pipeline([UsageLedger()]).session(Opening(path="/v1/realtime"), _Nowhere())
    begun = perf_counter()
    for _ in range(_AGAIN):
        session.from_client(*frames["client"])
        session.from_upstream(*frames["server"])
    return (perf_counter() - begun) / _AGAIN / sum(map(len, frames.values()))


async def _through_proxy(
    fake: FakeRealtimeServer, speed: float, on_news: Callable[[Held], object], policies: Sequence[Policy]
) -> Held:
    upstream = Upstream(url=fake.upstream_url, key="any")
    caller = Caller(speed)
    bus = LocalBus(LIMITS)
    try:
        async with (
            asyncio.timeout(_PATIENCE + _SPOKEN_SECONDS / speed),
            bus,
            Fanout(bus) as fanout,
            Proxy(upstream, [Broadcast(bus), *policies, UsageLedger()]) as proxy,
        ):
            held = Held(proxy.counts, caller)
            caller.on_news = lambda: on_news(held.timed())
            await connect(caller, f"{proxy.url}?model=gpt-realtime&session={_NAME}", {})
            await caller.until(server.SessionCreated)
            async with listening(fanout, _NAME) as held.ears:
                await _talk(caller)
                caller.close()
                await caller.gone()
                await heard_out(held.ears)
            return held
    except HandshakeError:
        raise Ended("a client or a listener was not let in") from None
    except TimeoutError:
        raise Ended("nothing more came") from None
