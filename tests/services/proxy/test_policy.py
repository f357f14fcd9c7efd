"""A policy is shown what it asks for, in its turn, and what it raises ends its own session only."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

import rtproto
from rtproto import client, server
from rtproto.services.proxy import ALL, Opening, Pipeline, Policy, Refused
from rtproto.unknown import Unknown
from tests.services.proxy.shell import Collected, Talk

CREATE = b'{"type":"response.create"}'
UPDATE = b'{"type":"session.update","event_id":"e1","session":{"type":"realtime"}}'
DELTA = b'{"type":"response.output_text.delta","event_id":"event_1","delta":"Hi"}'
ODD = b'{"type":"vendor.event","n":1.50}'
SPACED = b'{"type": "response.create"}'
BEHIND = b'{ "event_id" : "e", "metadata": 1, "type" : "response.create" }'


class Seeing(Policy):
    """Notes what it sees, and lets it go on."""

    client_types = ALL
    server_types = ALL

    def __init__(self, name: str = "", notes: list[Any] | None = None) -> None:
        self.name = name
        self.notes: list[Any] = [] if notes is None else notes

    def on_open(self, session: Any) -> None:
        self.notes.append((self.name, "open"))

    def on_client_frame(self, session: Any, frame: Any) -> Any:
        self.notes.append((self.name, "client", frame.type))
        return frame

    def on_server_frame(self, session: Any, frame: Any) -> Any:
        self.notes.append((self.name, "server", frame.type))
        return frame

    def on_injected(self, session: Any, direction: Any, data: bytes) -> None:
        self.notes.append((self.name, "injected", direction, data))

    def on_closed(self, session: Any) -> None:
        self.notes.append((self.name, "closed"))


class Doing(Policy):
    """Does one thing with clients' frames."""

    client_types = frozenset({"response.create"})

    def __init__(self, hook: Callable[[Any, Any], Any]) -> None:
        self.hook = hook

    def on_client_frame(self, session: Any, frame: Any) -> Any:
        return self.hook(session, frame)


# What is shown ---------------------------------------------------------------------------------


def test_without_policies_everything_goes_on_as_it_came_and_is_counted() -> None:
    talk = Talk()
    for data in (CREATE, SPACED, BEHIND, UPDATE, ODD, b"{", b""):
        assert talk.send(data) == [data]
    for data in (DELTA, ODD, b"[]"):
        assert talk.receive(data) == [data]
    talk.session.binary("client", b"\0")
    now = talk.pipeline.counts.snapshot()
    assert now.frames == {
        "client": {"response.create": 3, "session.update": 1, "unknown": 1, "malformed": 2, "binary": 1},
        "server": {"response.output_text.delta": 1, "unknown": 1, "malformed": 1},
    }
    assert now.bytes["client"]["response.create"] == len(CREATE + SPACED + BEHIND)
    assert talk.shell.binaries == [("client", b"\0")]


def test_a_frame_of_no_wanted_type_is_not_looked_at() -> None:
    """Behind its type it may be anything, and its own object goes on."""
    talk = Talk(Doing(lambda _, frame: pytest.fail("not asked for")))
    broken = b'{"type":"session.update",'
    assert talk.send(broken)[0] is broken


@pytest.mark.parametrize("data", [CREATE, SPACED, BEHIND])
def test_a_wanted_type_is_found_however_the_frame_begins(data: bytes) -> None:
    seen: list[Any] = []
    talk = Talk(Doing(lambda _, frame: seen.append(frame.event)))
    assert talk.send(data) == []
    assert isinstance(seen[0], client.ResponseCreate | Unknown)


def test_clients_frames_pass_first_to_last_and_the_services_last_to_first() -> None:
    notes: list[Any] = []
    talk = Talk(Seeing("a", notes), Seeing("b", notes))
    talk.send(CREATE)
    talk.receive(DELTA)
    talk.session.end()
    talk.session.end()
    assert notes == [
        ("a", "open"),
        ("b", "open"),
        ("a", "client", "response.create"),
        ("b", "client", "response.create"),
        ("b", "server", "response.output_text.delta"),
        ("a", "server", "response.output_text.delta"),
        ("a", "closed"),
        ("b", "closed"),
    ]


def test_what_one_makes_of_a_frame_the_next_sees_if_it_asks_for_its_type() -> None:
    seeing = Seeing("b")
    seeing.client_types = frozenset({"response.cancel"})
    talk = Talk(Doing(lambda _, frame: rtproto.ClientFrame(b'{"type":"response.cancel"}')), seeing)
    talk.send(CREATE)
    assert seeing.notes[1:] == [("b", "client", "response.cancel")]


@pytest.mark.parametrize(
    ("outcome", "goes_on"),
    [
        (None, []),
        ([], []),
        (client.ResponseCancel(), [b'{"type":"response.cancel"}']),
        (Unknown("a.b", b'{"type":"a.b"}'), [b'{"type":"a.b"}']),
        (rtproto.ClientFrame('{"type":"a.b","s":"ü"}'), ['{"type":"a.b","s":"ü"}'.encode()]),
        ((rtproto.ClientFrame(CREATE), client.ResponseCancel()), [CREATE, b'{"type":"response.cancel"}']),
        (iter([rtproto.ClientFrame(CREATE)] * 2), [CREATE, CREATE]),
    ],
)
def test_what_goes_on_is_none_one_or_several(outcome: Any, goes_on: list[bytes]) -> None:
    assert Talk(Doing(lambda *_: outcome)).send(CREATE) == goes_on


def test_frames_are_those_of_the_sessions_dialect() -> None:
    seen: list[Any] = []

    class Kinds(Policy):
        client_types = server_types = ALL

        def on_client_frame(self, session: Any, frame: Any) -> None:
            seen.append(type(frame))

        on_server_frame = on_client_frame

    for target in ("/v1/realtime?model=m", "/v1/realtime?intent=transcription", "/v1/realtime/translations"):
        talk = Talk(Kinds(), target=target)
        talk.send(UPDATE)
        talk.receive(DELTA)
    ours = [rtproto.ClientFrame, rtproto.ServerFrame]
    assert seen == [*ours, *ours, rtproto.TranslationClientFrame, rtproto.TranslationServerFrame]


# What is sent ---------------------------------------------------------------------------------


def test_what_a_policy_sends_goes_out_before_the_frame_and_others_see_it() -> None:
    seeing = Seeing("b")

    def inject(session: Any, frame: Any) -> Any:
        session.send_to_upstream(client.ResponseCancel())
        session.send_to_client(rtproto.ServerFrame(DELTA))
        return frame

    talk = Talk(Doing(inject), seeing)
    assert talk.send(CREATE) == [b'{"type":"response.cancel"}', CREATE]
    assert talk.shell.client == [DELTA]
    assert talk.shell.hurries == 2
    assert seeing.notes[1:3] == [
        ("b", "injected", "client", b'{"type":"response.cancel"}'),
        ("b", "injected", "server", DELTA),
    ]


def test_what_is_sent_at_the_beginning_waits_until_all_policies_know() -> None:
    notes: list[Any] = []

    class Eager(Policy):
        def on_open(self, session: Any) -> None:
            session.send_to_upstream(client.ResponseCancel())

    talk = Talk(Eager(), Seeing("b", notes))
    assert [note[1] for note in notes] == ["open", "injected"]
    assert talk.shell.upstream == [b'{"type":"response.cancel"}']


def test_after_the_end_nothing_is_sent() -> None:
    talk = Talk()
    talk.session.end()
    talk.session.send_to_client(client.ResponseCancel())
    assert talk.shell.client == []


@pytest.mark.parametrize("sent", ['{"type":"a.b"}', b'{"type":"a.b"}', {"type": "a.b"}, None, 3])
def test_what_is_no_event_is_not_sent(sent: Any) -> None:
    talk = Talk()
    with pytest.raises(TypeError, match="an event or a frame"):
        talk.session.send_to_client(sent)
    assert talk.shell.client == []


def test_a_refusal_names_the_clients_event() -> None:
    talk = Talk(Doing(lambda session, frame: session.refuse(frame, "no", "Not here.", param="session")))
    talk.send(b'{"type":"response.create","event_id":"mine"}')
    talk.send(b'{"type":"response.create","event_id":7}')
    talk.session.refuse(None, "no", "What was that?")
    assert [(error["code"], error["param"], error["event_id"]) for error in talk.errors] == [
        ("no", "session", "mine"),
        ("no", "session", None),
        ("no", None, None),
    ]
    event = rtproto.decode_server(talk.shell.client[0], strict=True)
    assert isinstance(event, server.Error)


# What goes wrong ------------------------------------------------------------------------------


class Failing(Policy):
    """Raises in one hook."""

    client_types = server_types = ALL

    def __init__(self, hook: str) -> None:
        def fail(*_: Any) -> Any:
            raise ValueError("secret")

        setattr(self, hook, fail)


@pytest.mark.parametrize(
    "hook",
    [
        "on_open",
        "on_client_frame",
        "on_server_frame",
        "on_malformed",
        "on_binary",
        "on_injected",
        "on_closed",
    ],
)
def test_a_hook_that_raises_closes_its_session(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    talk = Talk(Failing(hook))
    sent = []
    if hook != "on_open":
        sent = [*talk.send(CREATE), *talk.receive(DELTA), *talk.send(b"{")]
        talk.session.binary("client", b"\0")
        talk.session.send_to_upstream(client.ResponseCancel())
        talk.session.end()
    assert talk.shell.closes[0] == (1011, "Failing failed")
    assert talk.pipeline.counts.policy_errors == {"Failing": 1}
    assert len(sent) <= 2 or hook in ("on_binary", "on_injected", "on_closed")
    assert "secret" not in caplog.text
    assert all("secret" not in str(record.__dict__) for record in caplog.records)
    (record,) = caplog.records
    assert record.__dict__["fields"]["session"] == talk.session.id


@pytest.mark.parametrize(
    "outcome",
    [b'{"type":"a.b"}', '{"type":"a.b"}', {"type": "a.b"}, 3, [None], [rtproto.ClientFrame(CREATE), 3]],
)
def test_what_a_hook_gives_that_is_no_frame_closes_its_session(outcome: Any) -> None:
    talk = Talk(Doing(lambda *_: outcome))
    assert talk.send(CREATE) == []
    assert talk.shell.closes == [(1011, "Doing failed")]


def test_a_frame_of_a_policys_own_that_is_no_unicode_closes_its_session() -> None:
    talk = Talk(Doing(lambda *_: rtproto.ClientFrame('{"type":"a.b","s":"\ud800"}')))
    assert talk.send(CREATE) == []
    assert talk.shell.closes[0][0] == 1011


def test_when_a_policy_has_closed_it_is_shown_no_more() -> None:
    seen: list[Any] = []

    def close(session: Any, frame: Any) -> Any:
        seen.append(frame)
        session.close(4000, "enough")

    talk = Talk(Doing(close))
    talk.session.from_client(CREATE, CREATE, CREATE)
    assert len(seen) == 1
    assert talk.shell.closes == [(4000, "enough")]
    assert talk.shell.upstream == []


@pytest.mark.parametrize("code", [99, 999, 1004, 1005, 1006, 1015, 2000, 5000])
def test_a_code_that_nobody_may_say_is_not_said(code: int) -> None:
    talk = Talk()
    with pytest.raises(ValueError, match="close code"):
        talk.session.close(code, "")
    assert talk.shell.closes == []


async def _nothing() -> None:
    pass


def test_nothing_is_started_when_it_is_over() -> None:
    talk = Talk()
    talk.session.end()
    with pytest.raises(RuntimeError, match="over"):
        talk.session.start(_nothing())


def test_on_opening_that_fails_refuses_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Forgetful(Policy):
        def on_opening(self, opening: Opening) -> Any:
            pass

    for policy in (Failing("on_opening"), Forgetful()):
        pipeline = Pipeline([policy])
        with pytest.raises(Refused) as refused:
            pipeline.open(Opening(path="/v1/realtime"))
        assert (refused.value.status, refused.value.reason) == (500, "the proxy failed")
        assert pipeline.counts.refused == {"500": 1}
        assert pipeline.counts.policy_errors == {type(policy).__name__: 1}
    assert "secret" not in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


@pytest.mark.parametrize("status", [99, 200, 302, 600])
def test_a_refusal_is_an_error(status: int) -> None:
    with pytest.raises(ValueError, match="status"):
        Refused(status, "")


def test_slips_are_told_when_the_row_is_made() -> None:
    class Async(Policy):
        async def on_client_frame(self, session: Any, frame: Any) -> Any:  # type: ignore[override]
            return frame

    class OneName(Policy):
        client_types = "response.create"

    for wrong in (Policy, Async(), OneName(), lambda frame: frame, None):
        with pytest.raises(TypeError):
            Pipeline([wrong])  # type: ignore[list-item]


# Guards ---------------------------------------------------------------------------------------


class Guarding(Doing):
    is_guard = True

    def on_malformed(self, session: Any, direction: Any, data: bytes) -> Any:
        return data if direction == "server" else None


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"response.cancel","type":"response.create"}',
        b'{"type":"response.cancel","type":"response.create","type":"response.cancel"}',
        b'{"type":"response.cancel","\\u0074ype":"response.create"}',
        b'{"type":"response.cancel","type":"response.create","s":"\\ud800"}',
        b'{"type":"response.cancel"',
        b'{"type":"response.cancel"} {}',
        b'{"type":"response.cancel","s":"\xff"}',
    ],
)
def test_a_guard_lets_nothing_slip_by_under_another_name(data: bytes) -> None:
    assert Talk(Guarding(lambda *_: pytest.fail("not its type"))).send(data) == []
    assert Talk(Doing(lambda *_: pytest.fail("not its type"))).send(data) == [data]


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"response.cancel","response_id":"resp_1"}',
        b'{"type":"session.update","session":{"type":"realtime","audio":{"input":{"format":{"type":"audio/pcm"}}}}}',
        b'{"type":"response.cancel","s":"\\ud83d"}',
        b'{"type":"response.cancel","s":"\\"type\\":"}',
        '{"type":"vendor.event","s":"ü"}'.encode(),
    ],
)
def test_a_guard_lets_what_is_sound_go_on(data: bytes) -> None:
    assert Talk(Guarding(lambda *_: pytest.fail("not its type"))).send(data) == [data]


def test_the_shell_of_these_tests_is_one() -> None:
    assert Pipeline().session(Opening(path="/v1/realtime"), Collected(), id="me").id == "me"
