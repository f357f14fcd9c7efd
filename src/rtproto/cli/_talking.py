"""A fake service is kept talking, so that there is something to hear: it is asked, and answers in tunes."""

import asyncio
import math
from array import array
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from itertools import cycle
from typing import Any

from rtproto import client, items
from rtproto.event_types import RealtimeServerEvent as Wire
from rtproto.frame import Frame
from rtproto.services.proxy import Outcome, Policy, Proxy, Session, Upstream
from rtproto.testing import Say, Script, Sound, Turn
from rtproto.testing.sound import RATE

__all__ = ["Asking", "script", "talking"]

_PAUSE = 1.0  # seconds between an answer and the next question
_LENGTH = round(0.24 * RATE)  # samples of a note
_LOUDNESS = 0.25
_ATTACK = RATE // 100  # samples until a note is there: less would click
_STEPS = {"c": 3, "d": 5, "e": 7, "f": 8, "g": 10, "a": 12, "b": 14, "C": 15}  # half tones above 440 Hz
_TURNS: Sequence[tuple[str, str, str]] = (
    (
        "Who is speaking?",
        "A script is. There is no model here, no key and no network: what you hear is a scale.",
        "cdefgabCCbagfedc",
    ),
    (
        "Can you play a tune?",
        "Here is one that everybody knows, about a star that twinkles.",
        "ccggaagffeeddc",
    ),
    (
        "What do those hear who come late?",
        "First all that was said before, from the beginning, and then whatever is said now.",
        "cegCgecegCgec",
    ),
    (
        "And if somebody reads too slowly?",
        "Then the oldest audio is dropped, and counted. Nobody else has to wait, and no word is lost.",
        "CbagfedccdefgabC",
    ),
)
_ELSE = ("That is not in my script, but it was heard.", "ege")


def script() -> Script:
    """What it answers."""
    answers = {question: Say(answer, _tune(notes)) for question, answer, notes in _TURNS}
    otherwise = Say(_ELSE[0], _tune(_ELSE[1]))

    def reply(turn: Turn) -> Say:
        return answers.get(turn.text, otherwise)

    return Script(reply)


def _tune(notes: str) -> Sound:
    return Sound(b"".join(map(_note, notes)))


@cache
def _note(name: str) -> bytes:
    """A note that is struck, and fades."""
    turn = 2 * math.pi * 440 * 2 ** (_STEPS[name] / 12) / RATE
    loud = 32767 * _LOUDNESS
    samples = (
        round(loud * min(1.0, at / _ATTACK) * (1 - at / _LENGTH) * math.sin(turn * at))
        for at in range(_LENGTH)
    )
    return array("h", samples).tobytes()


class Asking(Policy):
    """Asks in every session, when it begins and a while after each answer."""

    server_types = frozenset({Wire.SESSION_CREATED, Wire.RESPONSE_DONE})

    def __init__(self, pause: float = _PAUSE) -> None:
        self._pause = pause

    def on_open(self, session: Session) -> None:
        """It has its questions."""
        session.state[self] = _Questions(session)

    def on_server_frame(self, session: Session, frame: Frame[Any]) -> Outcome:
        """Ask soon."""
        session.state[self].ask_in(self._pause)
        return frame

    def on_closed(self, session: Session) -> None:
        """Ask no more."""
        session.state[self].stop()


class _Questions:
    """What is asked in one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._next = cycle([question for question, _, _ in _TURNS])
        self._timer: asyncio.TimerHandle | None = None

    def ask_in(self, seconds: float) -> None:
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._ask)

    def _ask(self) -> None:
        self._session.send_to_upstream(client.ConversationItemCreate(item=items.user(next(self._next))))
        self._session.send_to_upstream(client.ResponseCreate())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


@asynccontextmanager
async def talking(service: Upstream) -> AsyncGenerator[Upstream]:
    """A fake service, as long as it is kept talking.

    Raises:
        OSError: there is no port to be had.
    """
    async with Proxy(service, [Asking()]) as proxy:
        yield Upstream(url=proxy.url.removesuffix("/v1/realtime"), key="fake")
