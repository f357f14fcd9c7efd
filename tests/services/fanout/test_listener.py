"""Who is slow loses audio, the oldest first, whole and told; control never; and nobody else is held up."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtproto.services.fanout import Asked, Ended, Parcel, Snapshot, read_notice
from tests.services.fanout.outlets import Ear, a_room, added, audio, control, texts

SECOND_IN_FRAMES = len(audio(1000))


def stalled(room_bytes: int = 0) -> Ear:
    return Ear(room_bytes)


def test_who_reads_gets_everything_in_order() -> None:
    room, ear = a_room(), Ear()
    ear.join(room)
    frames = [audio(), control(), audio(), control()]
    room.publish(frames[:3])
    room.publish(frames[3:])
    assert ear.live == frames
    assert ear.lags == []
    assert room.counts.delivered == {"audio": 2, "control": 2}


def test_the_oldest_audio_goes_first_and_control_stays() -> None:
    room = a_room(max_queue_ms=1000)
    ear = stalled().join(room)
    frames = [audio(400), control(), audio(400), control(), audio(400), audio(400)]
    room.publish(frames)
    assert ear.listener.queued_ms == 800
    ear.read_all()
    assert texts(ear.live) == texts([frames[1], frames[3], *frames[4:]])
    (lag,) = ear.lags
    assert (lag.cause, lag.audio_deltas, lag.audio_ms, lag.control_events) == ("listener", 2, 800.0, 0)
    assert lag.audio_bytes == len(frames[0]) + len(frames[2])
    assert room.counts.dropped == {"audio": 2}
    assert room.counts.dropped_ms == 800
    assert room.counts.lags == 1


def test_bytes_are_bounded_as_milliseconds_are() -> None:
    room = a_room(max_queue_bytes=2 * SECOND_IN_FRAMES)
    ear = stalled().join(room)
    frames = [audio(1000), audio(1000), audio(1000)]
    for frame in frames:
        room.publish([frame])
    assert ear.listener.queued_bytes <= 2 * SECOND_IN_FRAMES
    ear.read_all()
    assert ear.live == frames[2:]
    assert [lag.audio_deltas for lag in ear.lags] == [2]


def test_it_is_told_of_the_loss_before_anything_later() -> None:
    room = a_room(max_queue_ms=100)
    ear = stalled().join(room)
    ear.read_all()
    room.publish([first := control()])
    room.publish([audio(100), audio(100), last := control()])
    ear.read_all()
    kinds = [getattr(read_notice(data), "type", data[:20]) for _, data in ear.messages[1:]]
    assert kinds == [first[:20], "rtproto.lag", b'{"type":"response.ou', last[:20]]


def test_a_loss_is_told_once_for_a_stall_and_again_for_the_next() -> None:
    room = a_room(max_queue_ms=100)
    ear = stalled().join(room)
    for _ in range(2):
        for _ in range(5):
            room.publish([audio(100)])
        ear.read_all()
    assert sum(lag.audio_deltas for lag in ear.lags) == room.counts.dropped["audio"]
    assert len(ear.lags) == 2


def test_who_cannot_take_even_control_is_closed_with_1013() -> None:
    room = a_room(max_queue_bytes=10_000)
    ear, other = stalled().join(room), Ear().join(room)
    frames = [control(1000) for _ in range(12)]
    for frame in frames:
        room.publish([audio(10), frame])
    assert [code for code, _ in ear.closes] == [1013]
    assert ear.listener.is_over
    assert ear.listener.queued_bytes == 0
    assert room.counts.dropped["control"] > 0
    assert [data for data in other.live if b"vendor" in data] == frames
    assert other.closes == []
    assert room.counts.listeners == 1
    assert room.counts.behind == 0


def test_a_control_event_alone_may_not_be_longer_than_the_bound() -> None:
    room = a_room(max_queue_bytes=1000)
    slow, quick = stalled().join(room), Ear().join(room)
    room.publish([control(2000)])
    assert [code for code, _ in slow.closes] == [1013]
    assert quick.closes == []


def test_the_snapshot_is_no_part_of_the_bound() -> None:
    room = a_room(max_queue_bytes=300)
    room.publish(
        [b'{"type":"session.created","event_id":"e","session":{"instructions":"%b"}}' % (b"x" * 5000)]
    )
    ear = stalled().join(room)
    assert ear.closes == []
    ear.read_all()
    assert len(ear.heard) == 1


def test_a_lag_does_not_come_in_the_midst_of_a_snapshot() -> None:
    room = a_room(max_queue_ms=100)
    room.publish(added(number, 5000) for number in range(40))
    ear = stalled().join(room)
    for _ in range(5):
        room.publish([audio(100)])
    ear.read_all()
    first, *rest = ear.notices
    assert isinstance(first, Snapshot)
    assert first.events == 40
    kinds = [type(read_notice(data)).__name__ for _, data in ear.messages]
    assert kinds[: 1 + 40 + 1] == ["Snapshot", *["NoneType"] * 40, "Lag"]
    assert len(rest) == 1


def test_a_snapshot_is_written_a_gulp_at_a_time() -> None:
    room = a_room()
    room.publish(added(number, 5000) for number in range(40))
    ear = stalled().join(room)
    assert ear.written < 70 * 2**10
    ear.read_all()
    assert len(ear.heard) == 40


def test_what_a_stalled_listener_keeps_is_bounded() -> None:
    room = a_room(max_queue_bytes=100_000, max_queue_ms=60_000)
    ear = stalled().join(room)
    for _ in range(500):
        room.publish([audio(100), control(10)])
        if ear.listener.is_over:
            break
        assert ear.listener.queued_bytes <= 100_000


def test_milliseconds_do_not_drift() -> None:
    room = a_room()
    ear = stalled().join(room)
    for samples in range(1, 60):
        room.publish([audio(1), audio(samples / 24)])
    ear.read_all()
    assert ear.listener.queued_ms == 0


def test_a_slow_one_catches_up_and_is_written_to_with_the_others_again() -> None:
    room = a_room()
    slow, quick = stalled(1000).join(room), Ear().join(room)
    frames = [control(2000) for _ in range(3)]
    for frame in frames:
        room.publish([frame])
    assert room.counts.behind == 1
    slow.read_all()
    assert room.counts.behind == 0
    room.publish([last := control()])
    assert slow.live == quick.live == [*frames, last]


def test_a_long_turn_is_no_more_than_a_gulp_ahead_of_what_can_be_dropped() -> None:
    room = a_room(max_queue_ms=1000)
    ear = Ear(10_000).join(room)
    room.publish([audio(1000) for _ in range(20)])
    ear.read_all()
    assert ear.lags
    assert len(ear.live) + sum(lag.audio_deltas for lag in ear.lags) == 20
    assert room.counts.delivered["audio"] == len(ear.live)


def test_the_end_comes_behind_what_waits() -> None:
    room = a_room(goodbye_seconds=3)
    slow, quick = stalled().join(room), Ear().join(room)
    room.publish([last := control()])
    room.end("enough")
    assert quick.closes == [(1000, "enough")]
    assert slow.closes == []
    assert slow.cuts == [3]
    slow.read_all()
    assert slow.closes == [(1000, "enough")]
    assert slow.live == [last]
    assert isinstance(slow.notices[-1], Ended)
    assert slow.notices[-1].reason == "enough"
    room.publish([control()])
    assert slow.live == [last]


def test_an_end_is_told_once() -> None:
    room = a_room()
    ear = stalled().join(room)
    room.end("enough")
    ear.listener.end(room.said_last("going away"), 1001, "going away")
    ear.read_all()
    assert [notice.reason for notice in ear.notices if isinstance(notice, Ended)] == ["enough"]
    assert ear.closes == [(1000, "enough")]


def test_who_has_left_is_not_written_to_and_counted_once() -> None:
    room = a_room()
    gone, slow, stays = Ear().join(room), stalled().join(room), Ear().join(room)
    for ear in (gone, slow):
        room.leave(ear.listener)
        room.leave(ear.listener)
    before = len(gone.messages), len(slow.messages)
    room.publish([control()])
    assert (len(gone.messages), len(slow.messages)) == before
    assert len(stays.live) == 1
    assert (room.audience, room.counts.listeners, room.counts.behind) == (1, 1, 0)


def test_who_has_left_is_not_told_of_an_end() -> None:
    room = a_room()
    ear = Ear().join(room)
    room.leave(ear.listener)
    ear.listener.end(Parcel(b""), 1000, "enough")
    assert (ear.cuts, ear.closes) == ([], [])


@pytest.mark.parametrize("families", ["audio", "text", "items"])
def test_a_listener_hears_what_it_asked_for(families: str) -> None:
    room = a_room()
    room.publish([created_like := b'{"type":"session.updated","event_id":"s","session":{}}'])
    ear = Ear().join(room, Asked(frozenset({"session", families})))  # type: ignore[arg-type]
    sent = {
        "audio": audio(),
        "text": b'{"type":"response.output_text.delta","event_id":"t","response_id":"r","item_id":"i",'
        b'"output_index":0,"content_index":0,"delta":"x"}',
        "items": b'{"type":"response.created","event_id":"r","response":{"id":"r"}}',
        "other": control(),
    }
    room.publish([*sent.values(), error := b'{"type":"error","event_id":"x","error":{}}'])
    assert ear.heard == [created_like, sent[families], error]


# Any schedule ---------------------------------------------------------------------------------

_PUBLISH = st.lists(st.sampled_from(["audio", "control"]), min_size=1, max_size=6)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), _PUBLISH),
        st.tuples(st.just("read"), st.tuples(st.integers(0, 3), st.integers(1, 20_000))),
        st.tuples(st.just("join"), st.integers(0, 20_000)),
        st.tuples(st.just("leave"), st.integers(0, 3)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(_STEPS)
def test_control_is_whole_and_every_loss_of_audio_is_told(steps: list[tuple[str, object]]) -> None:
    room = a_room(max_queue_bytes=40_000, max_queue_ms=500)
    ears: list[Ear] = []
    begun: dict[int, int] = {}
    published: list[bytes] = []
    gone: set[int] = set()
    for what, how in steps:
        if what == "publish":
            turn = [audio() if kind == "audio" else control() for kind in how]  # type: ignore[attr-defined]
            published += turn
            room.publish(turn)
        elif what == "join" and len(ears) < 4:
            begun[len(ears)] = len(published)
            ears.append(Ear(how).join(room))  # type: ignore[arg-type]
        elif what == "read" and how[0] < len(ears):  # type: ignore[index]
            ears[how[0]].read(how[1])  # type: ignore[index]
        elif what == "leave" and how < len(ears):  # type: ignore[operator]
            room.leave(ears[how].listener)  # type: ignore[index]
            gone.add(how)  # type: ignore[arg-type]
        for ear in ears:
            assert ear.listener.queued_bytes <= 40_000
            assert ear.listener.queued_ms <= 500
    for at, ear in enumerate(ears):
        if at in gone:
            continue
        ear.read_all()
        assert ear.closes == []
        due = published[begun[at] :]
        live = ear.live
        assert [data for data in live if b"vendor" in data] == [data for data in due if b"vendor" in data]
        places = [due.index(data) for data in live]
        assert all(one < other for one, other in pairwise(places)), "out of order, or twice"
        assert len(due) - len(live) == sum(lag.audio_deltas for lag in ear.lags)
    assert room.counts.listeners == room.audience == len(ears) - len(gone)
