"""Whenever somebody comes, what was and what is are all there is: no gap, nothing twice."""

from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from rtproto.services.fanout import Asked, AudioHeader, Ended, Lag, Limits, Lost, Room, Snapshot, read_notice
from rtproto.services.fanout import room as module
from rtproto.services.fanout.families import FAMILIES
from tests.services.fanout.outlets import IN_G711, Ear, a_room, added, audio, control, created, word
from tests.services.fanout.test_history import Named, conversations, known

PCM = Asked(frozenset(FAMILIES), "pcm")


@st.composite
def schedules(draw: st.DrawFn) -> tuple[list[Named], list[tuple[str, int]]]:
    """A conversation, and in what order its events come, listeners come, go and read."""
    frames = draw(conversations())
    steps = st.tuples(
        st.sampled_from(["publish", "publish", "audio", "join", "slow", "read", "leave"]), st.integers(1, 9)
    )
    return frames, draw(st.lists(steps, min_size=5, max_size=60))


@settings(max_examples=120, deadline=None)
@given(schedules())
def test_what_was_and_what_is_are_all_there_is(schedule: tuple[list[Named], list[tuple[str, int]]]) -> None:
    frames, steps = schedule
    room = a_room(max_queue_ms=300)
    ears: list[tuple[int, Ear]] = []
    at = 0
    for what, number in steps:
        if what == "publish":
            room.publish([data for _, data in frames[at : at + number]])
            at = min(at + number, len(frames))
        elif what == "audio":
            room.publish([audio() for _ in range(number)])
        elif what in ("join", "slow"):
            ears.append((at, Ear(1 << 30 if what == "join" else 100 * number).join(room)))
        elif what == "read" and ears:
            ears[number % len(ears)][1].read(1000 * number)
        elif what == "leave" and ears:
            room.leave(ears.pop(number % len(ears))[1].listener)
    room.publish([data for _, data in frames[at:]])
    everything = known([data for _, data in frames])
    for joined, ear in ears:
        ear.read_all()
        heard = [data for data in ear.heard if b"output_audio.delta" not in data]
        live = [data for data in ear.live if b"output_audio.delta" not in data]
        assert live == [data for _, data in frames[joined:]]
        assert known(heard) == everything


def notices_of(ear: Ear, kind: type[Any]) -> list[Any]:
    return [notice for notice in ear.notices if isinstance(notice, kind)]


def test_all_who_want_the_same_are_framed_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []
    framed = module.framed
    room = a_room()
    quick = [Ear().join(room) for _ in range(5)]
    slow = [Ear(0).join(room) for _ in range(5)]
    pcm = [Ear().join(room, PCM) for _ in range(5)]
    monkeypatch.setattr(module, "framed", lambda kind, data: calls.append(data) or framed(kind, data))
    decoded: list[bytes] = []
    read = room._sound.read
    monkeypatch.setattr(room._sound, "read", lambda data: decoded.append(data) or read(data))
    room.publish([audio(), audio()])
    assert len(calls) == 2 + 2 + 1  # as frames, as samples, and the header of these
    assert len(decoded) == 2
    assert all(len(ear.live) == 2 for ear in quick)
    assert all(len(ear.messages) == 1 + 1 + 2 for ear in pcm)
    for ear in slow:
        ear.read_all()
        assert len(ear.live) == 2


def test_a_room_may_be_in_any_thread() -> None:
    heard: list[list[bytes]] = []

    def work() -> None:
        room = a_room()
        ear = Ear().join(room)
        room.publish([control(), audio()])
        heard.append(ear.live)

    for _ in range(2):
        thread = Thread(target=work)
        thread.start()
        thread.join()
    assert [len(live) for live in heard] == [2, 2]


def test_a_turn_is_one_write_for_each() -> None:
    room = a_room()
    ear = Ear().join(room)
    writes: list[bytes] = []
    ear.write, write = lambda data: (writes.append(data), write(data))[0], ear.write  # type: ignore[method-assign]
    room.leave(ear.listener)
    ear.join(room)
    writes.clear()
    room.publish([control(), word(), audio()])
    assert len(writes) == 1


def test_who_comes_at_the_same_moment_has_the_same_snapshot_made_once() -> None:
    room = a_room()
    room.publish([created()])
    for _ in range(5):
        Ear().join(room)
        Ear().join(room, Asked(frozenset({"session"})))
    room.publish([audio()])
    Ear().join(room)
    assert room.counts.snapshots == 1
    room.publish([word()])
    Ear().join(room)
    assert room.counts.snapshots == 2
    assert room.counts.snapshot_seconds > 0


def test_a_snapshot_has_the_families_that_were_asked_for() -> None:
    room = a_room()
    room.publish([first := created(), added()])
    ear = Ear().join(room, Asked(frozenset({"session", "transcript"})))
    assert ear.heard == [first]
    (snapshot,) = ear.notices
    assert isinstance(snapshot, Snapshot)
    assert snapshot.events == 1


def test_what_is_too_old_is_counted() -> None:
    room = Room("main", limits=Limits(max_items=1))
    room.publish(map(added, range(3)))
    ear = Ear().join(room)
    (snapshot,) = ear.notices
    assert isinstance(snapshot, Snapshot)
    assert (snapshot.events, snapshot.omitted) == (1, 2)


def test_what_was_left_out_before_and_here_is_added_up() -> None:
    room = a_room(max_items=1)
    room.restart([added(0)], omitted=5)
    room.publish([added(1), added(2)])
    assert room.omitted == 7


def test_audio_is_heard_from_now() -> None:
    room = a_room()
    room.publish([created(), audio(), word()])
    ear = Ear().join(room)
    assert not any(b"output_audio.delta" in data for data in ear.heard)
    room.publish([now := audio()])
    assert ear.live == [now]


def test_what_nobody_listens_to_any_more_is_not_wanted() -> None:
    room = a_room()
    ear = Ear().join(room)
    assert room.wants("audio")
    room.leave(ear.listener)
    assert not room.wants("audio")


@pytest.mark.parametrize("takes", [0, 1000, 1 << 30], ids=["behind", "falls behind", "reads"])
def test_what_is_delivered_is_counted_for_each(takes: int) -> None:
    room = a_room()
    ears = [Ear(takes).join(room) for _ in range(3)]
    snapshots = sum(ear.written for ear in ears)
    room.publish([audio(), control(), control()])
    for ear in ears:
        ear.read_all()
    assert room.counts.delivered == {"audio": 3, "control": 6}
    assert room.counts.delivered_bytes == sum(ear.written for ear in ears) - snapshots


_TRANSLATED = (
    b'{"type":"session.output_audio.delta","event_id":"e","delta":"AAAAAAAA",'
    b'"sample_rate":16000,"channels":2}'
)


def test_each_part_has_its_header_and_a_translation_its_own_rate() -> None:
    room = a_room()
    ear = Ear().join(room, PCM)
    room.publish([audio(part=0), audio(part=1), _TRANSLATED])
    *parts, translation = notices_of(ear, AudioHeader)
    assert [header.content_index for header in parts] == [0, 1]
    assert (translation.sample_rate, translation.channels, translation.item_id) == (16_000, 2, UNSET)


# By a bus ---------------------------------------------------------------------------------------


def test_who_comes_before_it_is_known_what_was_waits_for_it() -> None:
    room = Room("main", is_ready=False)
    early, gone = Ear().join(room), Ear().join(room)
    room.leave(gone.listener)
    assert (room.audience, early.messages) == (1, [])
    room.restart([first := created()])
    room.publish([live := control()])
    assert early.heard == [first, live]
    assert gone.messages == []
    assert gone.listener.is_over
    assert (room.audience, room.counts.listeners) == (1, 1)


def test_what_a_bus_lost_is_told_to_all() -> None:
    room = a_room()
    ears = [Ear().join(room), Ear(0).join(room)]
    reader = Ear().join(room, Asked(frozenset({"session", "transcript"})))
    room.publish([first := control()])
    room.tell_lost(Lost(2, 13_000, 200.0, 0))
    room.publish([last := control()])
    for ear in ears:
        ear.read_all()
        kinds = [read_notice(data) for _, data in ear.messages[1:]]
        assert [type(kind).__name__ for kind in kinds] == ["NoneType", "Lag", "NoneType"]
        (lag,) = ear.lags
        assert (lag.cause, lag.audio_deltas, lag.audio_bytes, lag.audio_ms) == ("bus", 2, 13_000, 200.0)
        assert ear.heard == [first, last]
    assert room.counts.bus_lost == {"audio": 2, "control": 0}
    assert room.counts.lags == 2
    assert reader.lags == []
    room.tell_lost(Lost(0, 0, 0.0, 1))
    assert len(reader.lags) == 1
    assert room.counts.lags == 5


def test_after_a_loss_of_control_all_begin_anew() -> None:
    room = a_room()
    quick, slow = Ear().join(room), Ear(0).join(room)
    room.publish([before := control(), audio(), audio()])
    room.restart([was := created()], Lost(1, 6_600, 100.0, 3), omitted=7)
    room.publish([after := control()])
    for ear in (quick, slow):
        ear.read_all()
        assert ear.live == [after]
        assert ear.heard[-2:] == [was, after]
        assert [notice.omitted for notice in notices_of(ear, Snapshot)] == [0, 7]
        assert [lag.control_events for lag in ear.lags if lag.cause == "bus"] == [3]
        names = [type(notice).__name__ for notice in ear.notices]
        assert names.index("Lag") < len(names) - 1 - names[::-1].index("Snapshot")
    assert before in quick.heard
    assert before not in slow.heard
    assert [(lag.cause, lag.audio_deltas) for lag in slow.lags] == [("bus", 1), ("listener", 2)]


def test_a_restart_is_heard_though_nothing_came_since_the_last_snapshot() -> None:
    room = a_room()
    early = Ear().join(room)
    room.restart([first := created()])
    late = Ear().join(room)
    assert early.heard == late.heard == [first]
    assert room.counts.lags == 0, "nothing was lost"


def test_after_a_restart_audio_has_a_header_in_the_format_of_what_was() -> None:
    room = a_room()
    ear = Ear().join(room, PCM)
    room.publish([audio()])
    for was in ([], [IN_G711]):
        room.restart(was)
        room.publish([audio()])
    assert [header.sample_rate for header in notices_of(ear, AudioHeader)] == [24_000, 24_000, 8000]


def test_a_room_is_told_of_who_comes_goes_and_that_it_ends() -> None:
    room, told = a_room(), []
    room.on_empty = lambda: told.append("empty")
    room.on_end = told.append
    ears = [Ear().join(room) for _ in range(2)]
    room.leave(ears[0].listener)
    assert told == []
    room.leave(ears[1].listener)
    assert told == ["empty"]
    room.end("enough")
    room.end("again")
    assert told == ["empty", "enough"]
    assert room.counts.sessions == 0


def test_who_waits_for_a_snapshot_is_told_of_the_end() -> None:
    room = Room("main", is_ready=False)
    ear = Ear().join(room)
    room.end("the hub is gone", 1001)
    assert ear.closes == [(1001, "the hub is gone")]
    assert isinstance(ear.notices[-1], Ended)


def test_what_is_said_after_the_end_is_told_to_nobody() -> None:
    room, turns = a_room(), []
    room.taps.append(turns.append)
    assert room.end_code is None
    room.end("going away", 1001)
    room.publish([control()])
    assert room.end_code == 1001
    assert turns == []
    assert not room.counts.published


def test_taps_are_told_turn_by_turn() -> None:
    room, turns = a_room(), []
    room.taps.append(lambda messages: turns.append([message.data for message in messages]))
    room.publish([one := control(), other := audio()])
    room.publish([])
    assert turns == [[one, other]]


def test_no_lag_is_told_where_nothing_was_lost() -> None:
    room = a_room()
    ear = Ear(500).join(room)
    for _ in range(20):
        room.publish([audio(10), control()])
        ear.read_all()
    assert notices_of(ear, Lag) == []
    assert len(ear.live) == 40
