"""Whoever opens the page sees and hears a session, in a real browser, and its console stays silent."""

import asyncio
import base64
import re
import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import msgspec
import pytest

from rtproto._sockets import new_loop
from rtproto.services.fanout import FAMILIES, Fanout, Grant, Limits, LocalBus, Lost, Rights, Room, Source
from rtproto.services.proxy import Opening, Upstream, hash_token
from rtproto.testing import FakeRealtimeServer, Say, Script, tone

playwright = pytest.importorskip("playwright.async_api", reason="the page is tested in a browser")
expect = playwright.expect

Page: TypeAlias = Any  # playwright's own types are there only where it is
Story: TypeAlias = Callable[["Stage"], Awaitable[None]]

SECONDS, PATIENCE = 40.0, 10_000  # for a test; milliseconds for one thing in it
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",
)
NETWORK = re.compile(
    r"Failed to load resource|WebSocket connection to"
)  # a browser's own words, not the page's


class Stage:
    """A hub with a session, and pages of it."""

    def __init__(self, browser: Any, stack: AsyncExitStack) -> None:
        self._browser, self._stack = browser, stack
        self.bus = LocalBus()
        self.hub: Fanout
        self.said: list[str] = []
        """What stood on the console, or was raised."""

    async def open_hub(self, limits: Limits | None = None, **how: Any) -> None:
        self.bus = self.bus if limits is None else LocalBus(limits)
        self.hub = await self._stack.enter_async_context(Fanout(self.bus, **how))

    async def open_source(self, script: Script) -> Room:
        """A session with the fake service, by the name ``main``."""
        fake = await self._stack.enter_async_context(FakeRealtimeServer(script, speed=8))
        upstream = Upstream(url=fake.upstream_url, key="any")
        opening = Opening(path="/v1/realtime", query="model=any")
        source = Source(self.bus, "main", upstream, opening, can_be_spoken_to=True)
        await self._stack.enter_async_context(source.running())
        while (room := self.bus.find("main")) is None:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
        return room

    async def open_page(self, query: str = "", **how: Any) -> Page:
        context = await self._browser.new_context(**how)
        self._stack.push_async_callback(context.close)
        page = await context.new_page()
        page.on("console", lambda line: self.said.append(line.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        await page.goto(self.hub.page_url + query)
        return page


@pytest.fixture(scope="module")
def browser() -> Iterator[tuple[asyncio.Runner, Any]]:
    """One browser for all, in a loop that is there as long as it is."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"there is no browser: {', '.join(BROWSERS)}")
    with asyncio.Runner(loop_factory=new_loop) as runner:
        driver = runner.run(playwright.async_playwright().start())
        expect.set_options(timeout=PATIENCE)
        launched = runner.run(driver.chromium.launch(executable_path=path, args=OPTIONS))
        yield runner, launched
        runner.run(launched.close())
        runner.run(driver.stop())


@pytest.fixture
def play(browser: tuple[asyncio.Runner, Any]) -> Callable[..., None]:
    """Plays a story on a stage; only a network that is broken on purpose may be told on the console."""

    def run(story: Story, *, breaks: bool = False) -> None:
        async def whole() -> None:
            async with asyncio.timeout(SECONDS), AsyncExitStack() as stack:
                stage = Stage(browser[1], stack)
                await story(stage)
                assert [line for line in stage.said if not (breaks and NETWORK.search(line))] == []

        browser[0].run(whole())

    return run


# What a session says --------------------------------------------------------------------------


def event(name: str, **fields: object) -> bytes:
    return msgspec.json.encode({"type": name, "event_id": f"event_{name}", **fields})


def message(item_id: str, role: str, text: str, status: str = "completed") -> dict[str, object]:
    kind = "input_text" if role == "user" else "output_text"
    content = [{"type": kind, "text": text}] if text else []
    return {"id": item_id, "type": "message", "role": role, "status": status, "content": content}


def added(item: object, previous: str | None) -> bytes:
    return event("conversation.item.added", previous_item_id=previous, item=item)


def begun(item_id: str, previous: str | None) -> list[bytes]:
    """The assistant begins to speak."""
    item = message(item_id, "assistant", "", "in_progress")
    response = {"id": f"resp_{item_id}", "status": "in_progress", "output": []}
    return [
        event("response.created", response=response),
        event("response.output_item.added", response_id=response["id"], output_index=0, item=item),
        added(item, previous),
    ]


def delta(item_id: str, kind: str, text: str) -> bytes:
    address = {"response_id": f"resp_{item_id}", "item_id": item_id, "output_index": 0, "content_index": 0}
    return event(f"response.{kind}.delta", **address, delta=text)


def spoken(item_id: str, text: str) -> bytes:
    return delta(item_id, "output_audio_transcript", text)


def sound(item_id: str, milliseconds: float) -> bytes:
    return delta(item_id, "output_audio", base64.b64encode(tone(milliseconds).samples).decode())


def response_done(item_id: str, status: str, *output: object) -> bytes:
    return event("response.done", response={"id": f"resp_{item_id}", "status": status, "output": [*output]})


SILENT = sorted(set(FAMILIES) - {"audio"})
CREATED = event("session.created", session={"id": "sess_1", "type": "realtime"})
QUESTION = message("item_1", "user", "What time is it?")
ASK = event("conversation.item.create", item={k: v for k, v in QUESTION.items() if k not in ("id", "status")})


def say(room: Room, *events: bytes) -> None:
    assert room.say is not None
    assert all(map(room.say, events))


# What is on the page --------------------------------------------------------------------------


async def captions(page: Page, *lines: str) -> None:
    """Exactly these are there, in this order: who, and what."""
    turns = page.locator("#captions .turn")
    await expect(turns).to_have_text([re.compile(rf"^\s*{re.escape(line)}\s*$") for line in lines])


async def state(page: Page, word: str) -> None:
    await expect(page.locator("#state")).to_have_text(word)


async def heard(page: Page, name: str) -> float:
    return float(await page.locator("#sound").get_attribute(f"data-{name}"))


async def played(page: Page, milliseconds: float) -> None:
    """So much was played; a page that lets nobody evaluate has no ``wait_for_function``."""
    while await heard(page, "played-ms") < milliseconds:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.02)


# Captions -------------------------------------------------------------------------------------


def test_an_answer_is_read_as_it_is_given(play: Callable[..., None]) -> None:
    async def story(stage: Stage) -> None:
        await stage.open_hub()
        room = await stage.open_source(Script("It is noon.", "Good bye."))
        page = await stage.open_page()
        await state(page, "Live")
        say(room, ASK, event("response.create"))
        await captions(page, "UserWhat time is it?", "AssistantIt is noon.")
        await expect(page.locator(".turn[aria-busy=true]")).to_have_count(0)
        types = page.locator("#types tr")
        counted = types.filter(has_text="response.done").locator("td").nth(1)
        await expect(counted).to_have_text("1")
        await expect(types.filter(has_text="transcript.delta")).to_have_count(1)
        await expect(types.filter(has_text="audio samples")).to_have_count(0)  # nobody listens: none is sent
        await page.get_by_role("button", name="Pause").click()
        say(room, event("response.create"))
        await captions(page, "UserWhat time is it?", "AssistantIt is noon.", "AssistantGood bye.")
        received = await page.locator("#received").inner_text()
        room.publish([event("x.marker", filler="x" * 2000)])
        await expect(page.locator("#received")).not_to_have_text(received)  # written with the types
        await expect(types.filter(has_text="x.marker")).to_have_count(0)
        await page.get_by_role("button", name="Pause").click()
        await expect(types.filter(has_text="x.marker")).to_have_count(1)
        await expect(counted).to_have_text("2")
        late = await stage.open_page()
        await captions(late, "UserWhat time is it?", "AssistantIt is noon.", "AssistantGood bye.")

    play(story)


def test_who_comes_in_the_midst_of_a_word_reads_all_of_it(play: Callable[..., None]) -> None:
    async def story(stage: Stage) -> None:
        await stage.open_hub()
        room = stage.bus.begin("main")
        room.publish([CREATED, added(QUESTION, None), *begun("item_2", "item_1")])
        room.publish([spoken("item_2", "It is "), spoken("item_2", "half ")])
        page = await stage.open_page()
        await captions(page, "UserWhat time is it?", "AssistantIt is half")
        await expect(page.locator(".turn[aria-busy=true]")).to_have_count(1)
        await expect(page.locator("#captions")).to_have_attribute(
            "aria-live", "polite"
        )  # read aloud from now on
        room.publish([spoken("item_2", "past "), spoken("item_2", "noon.")])
        await captions(page, "UserWhat time is it?", "AssistantIt is half past noon.")
        whole = message("item_2", "assistant", "It is half past noon.")
        room.publish([event("conversation.item.done", previous_item_id="item_1", item=whole)])
        await expect(page.locator(".turn[aria-busy=true]")).to_have_count(0)
        await captions(page, "UserWhat time is it?", "AssistantIt is half past noon.")

    play(story)


TURNS: Sequence[tuple[str, Sequence[bytes], Sequence[str]]] = [
    (
        "speech of the user comes before the answer that was faster",
        [
            *begun("item_2", None),
            spoken("item_2", "Noon."),
            added(message("item_1", "user", ""), None),
            event("conversation.item.input_audio_transcription.delta", item_id="item_1", delta="What "),
            event(
                "conversation.item.input_audio_transcription.completed",
                item_id="item_1",
                content_index=0,
                transcript="What time?",
            ),
        ],
        ["UserWhat time?", "AssistantNoon."],
    ),
    (
        "the names of the beta",
        [
            event(
                "conversation.item.created", previous_item_id="item_0", item=message("item_1", "user", "Hi")
            ),
            delta("item_2", "audio_transcript", "Hel"),
            delta("item_2", "audio_transcript", "lo."),
            delta("item_3", "text", "Bye."),
        ],
        ["UserHi", "AssistantHello.", "AssistantBye."],
    ),
    (
        "a tool is called, and answers",
        [
            added({"id": "item_1", "type": "function_call", "name": "clock", "arguments": ""}, None),
            delta("item_1", "function_call_arguments", '{"zone":'),
            delta("item_1", "function_call_arguments", '"CET"}'),
            added({"id": "item_2", "type": "function_call_output", "output": "12:00"}, "item_1"),
        ],
        ['Tool callclock {"zone":"CET"}', "Tool result12:00"],
    ),
    (
        "what is interrupted, and what is deleted",
        [
            *begun("item_1", None),
            spoken("item_1", "Once upon"),
            response_done("item_1", "cancelled", message("item_1", "assistant", "Once upon", "incomplete")),
            *begun("item_2", "item_1"),
            spoken("item_2", "There was"),
            event("conversation.item.truncated", item_id="item_2", content_index=0, audio_end_ms=1500),
            added(message("item_3", "user", "Forget it."), "item_2"),
            event("conversation.item.deleted", item_id="item_3"),
        ],
        ["AssistantOnce uponinterrupted", "AssistantThere wasinterrupted after 1.5 s"],
    ),
    (
        "a translation, and an error",
        [
            event("session.input_transcript.delta", delta="Guten "),
            event("session.output_transcript.delta", delta="Good "),
            event("session.input_transcript.delta", delta="Tag."),
            event("session.output_transcript.delta", delta="day."),
            event("error", error={"type": "server_error", "message": "Something broke."}),
        ],
        ["HeardGuten Tag.", "TranslatedGood day.", "ErrorSomething broke."],
    ),
    (
        "what nobody understands",
        [
            b"no JSON",
            b'{"type":"conversation.item.added"}',
            b'{"type":"__proto__"}',
            event(
                "conversation.item.added", item={"id": "item_1", "type": "x.new", "role": 7, "content": [{}]}
            ),
            event("response.output_text.delta", item_id="item_2", content_index=10**9, delta="Here."),
        ],
        ["x.new", "AssistantHere."],
    ),
]


def test_captions_tell_who_said_what_in_order(play: Callable[..., None]) -> None:
    async def story(stage: Stage) -> None:
        await stage.open_hub()
        room = stage.bus.begin("main")
        page = await stage.open_page()
        await state(page, "Live")
        for _, events, lines in TURNS:
            room.restart([CREATED])
            room.publish(events)
            await captions(page, *lines)

    play(story)


def test_hostile_text_stays_text(play: Callable[..., None]) -> None:
    async def story(stage: Stage) -> None:
        await stage.open_hub()
        evil = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"
        room = stage.bus.begin("main")
        call = {"id": "item_3", "type": "function_call", "name": evil, "arguments": evil}
        room.publish([CREATED, added(message("item_1", "user", evil), None), added(call, "item_1")])
        page = await stage.open_page()
        await state(page, "Live")
        room.publish(
            [*begun("item_2", "item_1"), spoken("item_2", evil), event(evil), event("error", error=evil)]
        )
        room.publish([event("error", error={"message": evil})])
        await expect(page.locator(".user .said")).to_have_text(evil)
        await expect(page.locator(".assistant .said").first).to_have_text(evil)
        await expect(page.locator(".error .said").last).to_have_text(evil)
        await expect(page.locator("#types")).to_contain_text(evil)
        assert await page.locator("main img, main script, #types img").count() == 0
        answer = await page.request.get(stage.hub.page_url)
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert {"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"} <= {*policy.split("; ")}
        assert await page.title() == "main · rtproto fanout"

    play(story)


# Sound ----------------------------------------------------------------------------------------


def test_sound_is_played_when_it_is_asked_for(play: Callable[..., None]) -> None:
    async def story(stage: Stage) -> None:
        await stage.open_hub()
        room = await stage.open_source(Script(Say("Hum.", tone(700))))
        page = await stage.open_page()
        await state(page, "Live")
        say(room, event("response.create"))
        await captions(page, "AssistantHum.")
        assert await heard(page, "played-ms") == 0
        await page.get_by_role("button", name="Listen").click()
        await expect(page.locator("#told")).to_have_text("With sound")
        say(room, event("response.create"))
        await played(page, 700)
        assert await heard(page, "played-ms") == 700  # by the clock of the audio, and no sample twice
        assert await heard(page, "peak") > 0.05  # at the loudspeaker
        await expect(page.locator("#playing")).to_have_text("waiting")
        await expect(page.locator("#types tr").filter(has_text="(audio samples)")).to_have_count(1)
        await expect(page.locator("#reconnects")).to_have_text("0")
        await captions(page, "AssistantHum.", "AssistantHum.")
        await page.get_by_role("button", name="Listen").click()
        await expect(page.locator("#told")).to_have_text("Captions only")
        await expect(page.locator("#playing")).to_have_text("off")
        assert [sorted(listener.asked.families) for listener in room.listeners()] == [SILENT]

    play(story)


def test_sound_of_any_shape_is_played(play: Callable[..., None]) -> None:
    async def story(stage: Stage) -> None:
        await stage.open_hub()
        room = stage.bus.begin("main")
        page = await stage.open_page()
        await page.get_by_role("button", name="Listen").click()
        await expect(page.locator("#told")).to_have_text("With sound")
        samples = tone(500).samples
        cut = [samples[:4001], samples[4001:9002], b"", samples[9002:]]  # in the midst of samples
        room.publish(delta("item_1", "output_audio", base64.b64encode(part).decode()) for part in cut)
        await played(page, 500)
        assert 0.1 < await heard(page, "peak") < 0.25
        telephone = {"audio": {"output": {"format": {"type": "audio/pcmu"}}}}
        room.publish([event("session.updated", session=telephone)])
        room.publish([delta("item_2", "output_audio", base64.b64encode(b"\x00\x80" * 800).decode())])
        await played(page, 700)
        assert await heard(page, "played-ms") == 700
        assert await heard(page, "peak") > 0.3

    play(story)


def test_who_is_interrupted_is_silent(play: Callable[..., None]) -> None:
    async def story(stage: Stage) -> None:
        await stage.open_hub()
        room = stage.bus.begin("main")
        room.publish([CREATED])
        page = await stage.open_page()
        await page.get_by_role("button", name="Listen").click()
        await expect(page.locator("#told")).to_have_text("With sound")
        cut = [
            response_done("item_0", "cancelled"),
            event("conversation.item.truncated", item_id="item_1", content_index=0, audio_end_ms=100),
            event("output_audio_buffer.cleared", response_id="resp_item_2"),
        ]
        for number, interruption in enumerate(cut):
            item_id = f"item_{number}"
            room.publish([*begun(item_id, None), *([sound(item_id, 1000)] * 8)])
            await expect(page.locator("#playing")).to_have_text("playing")
            await expect(page.locator("#buffered")).to_have_text(re.compile(r"[67]\.\d s"))
            room.publish([interruption])
            await expect(page.locator("#buffered")).to_have_text("0.0 s")
            await expect(page.locator("#playing")).to_have_text("waiting")
        assert 0 < await heard(page, "played-ms") < 6_000

    play(story)


def test_keys_are_enough(play: Callable[..., None]) -> None:
    async def story(stage: Stage) -> None:
        await stage.open_hub()
        stage.bus.begin("first")
        second = stage.bus.begin("second")
        second.publish([CREATED, added(QUESTION, None)])
        page = await stage.open_page()
        await state(page, "Choose one")
        keys = page.keyboard

        async def on(name: str) -> None:
            await expect(page.locator(":focus")).to_have_id(name)

        await keys.press("Tab")
        await keys.press("Tab")
        await on("session")
        await keys.type("sec")
        await state(page, "Live")
        await captions(page, "UserWhat time is it?")
        for name in ("captions", "listen"):
            await keys.press("Tab")
            await on(name)
        await keys.press("Space")
        await expect(page.locator("#told")).to_have_text("With sound")
        second.publish([*begun("item_2", "item_1"), sound("item_2", 300)])
        await played(page, 300)
        await keys.press("Tab")
        await on("mute")
        await keys.press("Enter")
        await expect(page.locator("#mute")).to_have_attribute("aria-pressed", "true")
        await keys.press("Tab")
        await on("volume")
        await keys.press("ArrowLeft")
        await expect(page.locator("#volume")).to_have_value("79")
        await keys.press("Tab")
        await on("pause")
        assert page.url.endswith("?session=second")
        await page.reload()
        await captions(page, "UserWhat time is it?", "Assistant")

    play(story)


# The way to the hub ---------------------------------------------------------------------------


def test_a_page_comes_back_by_itself(play: Callable[..., None]) -> None:
    async def story(stage: Stage) -> None:
        async with AsyncExitStack() as first:
            hub = await first.enter_async_context(Fanout(stage.bus))
            stage.hub, port = hub, hub.port
            room = stage.bus.begin("main")
            room.publish([CREATED, added(QUESTION, None), *begun("item_2", "item_1")])
            room.publish([spoken("item_2", "It is ")])
            page = await stage.open_page()
            await captions(page, "UserWhat time is it?", "AssistantIt is")
        await state(page, "Reconnecting")
        room.publish([spoken("item_2", "half ")])
        await captions(page, "UserWhat time is it?", "AssistantIt is")  # what was known stays
        await stage.open_hub(port=port)
        await state(page, "Live")
        room.publish([spoken("item_2", "past noon.")])
        await captions(page, "UserWhat time is it?", "AssistantIt is half past noon.")
        assert int(await page.locator("#reconnects").inner_text()) == 1

    play(story, breaks=True)


def test_who_is_cut_off_comes_back(play: Callable[..., None]) -> None:
    async def story(stage: Stage) -> None:
        await stage.open_hub()
        room = stage.bus.begin("main")
        room.publish([CREATED, added(QUESTION, None)])
        page = await stage.open_page()
        await state(page, "Live")
        for listener in room.listeners():
            listener.outlet.close(1013, "too slow for what may not be lost")
        await expect(page.locator("#told")).to_have_text("This page read too slowly.")
        await state(page, "Live")
        await captions(page, "UserWhat time is it?")

    play(story)


def test_a_session_ends_and_the_next_begins(play: Callable[..., None]) -> None:
    async def story(stage: Stage) -> None:
        await stage.open_hub()
        page = await stage.open_page()
        await state(page, "Looking")
        first = stage.bus.begin("first")
        first.publish([CREATED, added(QUESTION, None)])
        await captions(page, "UserWhat time is it?")
        first.end("the service closed with 1000")
        await state(page, "Ended")
        await expect(page.locator("#told")).to_have_text("The session is over: the service closed with 1000.")
        await captions(page, "UserWhat time is it?")
        second = stage.bus.begin("second")
        second.publish([CREATED, added(message("item_9", "user", "And now?"), None)])
        await state(page, "Live")
        await captions(page, "UserAnd now?")
        await expect(page.locator("#session option:checked")).to_have_text("second")

    play(story)


def test_a_token_lets_in(play: Callable[..., None]) -> None:
    async def story(stage: Stage) -> None:
        await stage.open_hub(rights=Rights({"ada": Grant(digest=hash_token("right"))}))
        room = stage.bus.begin("main")
        room.publish([CREATED, added(QUESTION, None)])
        page = await stage.open_page()
        await state(page, "Locked")
        token, why = page.get_by_label("token"), page.get_by_role("alert")
        await expect(token).to_be_focused()
        await page.keyboard.type("wrong")
        await page.keyboard.press("Enter")
        await expect(why).to_have_text("This token is not let in.")
        await token.fill("no such")
        await page.keyboard.press("Enter")
        await expect(why).to_have_text("A token has no such characters.")
        await token.fill("right")
        await page.keyboard.press("Enter")
        await state(page, "Live")
        await captions(page, "UserWhat time is it?")
        await expect(page.locator("#door")).to_be_hidden()
        await expect(page.locator("#session")).to_be_focused()
        kept = await page.evaluate("[location.href, {...localStorage}, {...sessionStorage}, document.cookie]")
        assert kept[1:] == [{}, {}, ""]
        assert "right" not in kept[0]
        assert await token.input_value() == ""
        assert stage.hub.counts.refused == {"401": 2}  # and no WebSocket was tried in vain

    play(story, breaks=True)


def test_what_is_lost_is_told(play: Callable[..., None]) -> None:
    async def story(stage: Stage) -> None:
        await stage.open_hub(Limits(max_queue_ms=1000, socket_bytes=4096))
        room = stage.bus.begin("main")
        room.publish([CREATED])
        page = await stage.open_page()
        await page.get_by_role("button", name="Listen").click()
        await expect(page.locator("#told")).to_have_text("With sound")
        mine, bus = page.locator("#lost-listener td"), page.locator("#lost-bus td")
        await expect(mine).to_have_text(["0", "0.0 s", "0"])
        room.publish([sound("item_1", 1000)] * 300)  # at once, which is more than the system takes
        await expect(mine.first).not_to_have_text("0")
        while room.counts.behind:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
        lost = room.counts.dropped["audio"]
        assert 0 < lost < 300
        await expect(mine.first).to_have_text(str(lost))
        await expect(page.locator("#why")).to_contain_text("this page read too slowly")
        room.tell_lost(Lost(audio_deltas=3, audio_bytes=9000, audio_ms=120.0, control_events=0))
        room.restart([CREATED], Lost(audio_deltas=1, audio_bytes=100, audio_ms=80.0, control_events=5))
        await expect(bus).to_have_text(["4", "0.2 s", "5"])
        await expect(page.locator("#why")).to_contain_text("the bus lost something")

    play(story)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_on_a_phone(play: Callable[..., None], scheme: str) -> None:
    async def story(stage: Stage) -> None:
        await stage.open_hub()
        room = stage.bus.begin("main")
        room.publish([CREATED, added(message("item_1", "user", "long" * 80), None)])
        page = await stage.open_page(viewport={"width": 320, "height": 640}, color_scheme=scheme)
        await state(page, "Live")
        await expect(page.locator(".said")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == 320
        assert await page.evaluate(FAINT) == []

    play(story)


FAINT = """() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((each) => each / 255)
    .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, at) => sum + each * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    const found = parts(getComputedStyle(element).backgroundColor);
    return found.length === 4 && found[3] === 0 ? behind(element.parentElement) : found;
  };
  const says = (each) => [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const texts = [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && says(e));
  return texts.filter((each) => {
    const [a, b] = [parts(getComputedStyle(each).color), behind(each)].map(light);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
  }).map((each) => each.outerHTML);
}"""
"""The texts whose contrast is below what WCAG AA asks for."""
