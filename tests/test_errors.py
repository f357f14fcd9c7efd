"""Errors are one tree, say where and what, and never quote a payload."""

import pickle

import pytest

import rtproto
from rtproto import InvalidEvent, NotAnEvent, RtprotoError


def test_the_tree() -> None:
    for error in (NotAnEvent, InvalidEvent):
        assert issubclass(error, RtprotoError)
        assert issubclass(error, ValueError)


def test_an_invalid_event_names_type_and_path() -> None:
    raw = b'{"type":"conversation.item.deleted","event_id":"e","item_id":5}'
    with pytest.raises(InvalidEvent) as caught:
        rtproto.decode_server(raw, strict=True)
    error = caught.value
    assert (error.type, error.path) == ("conversation.item.deleted", "$.item_id")
    assert str(error) == "conversation.item.deleted: $.item_id: Expected `str`, got `int`"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


SECRET = "private"
WRONG = [
    b'{"type":"input_audio_buffer.append","audio":{"private":1}}',
    b'{"type":"session.update","session":{"type":"realtime","audio":{"input":{"turn_detection":"private"}}}}',
    b'{"type":"session.update","session":{"type":"realtime","tools":[{"type":"mcp","server_url":"private"}]}}',
    b'{"type":"session.update","session":"private"}',
    b'{"type":"private","type":"session.update","session":{"type":"realtime"}}',
    b'{"type":"conversation.item.create","item":{"type":"message","role":"user","content":["private"]}}',
    b'{"type":"response.create","response":{"metadata":{"private":["private"]}}}',
    *(
        b'{"type":"session.update","session":{"type":"realtime","audio":{"output":{"voice":{"id":"v","%s":1}}},'
        b'"instructions":"%s"}}' % (key, b"," * 20_001)  # too long for a second look
        for key in (b"private", b"private - at `$.private")
    ),
]


@pytest.mark.parametrize("raw", WRONG)
def test_no_error_quotes_a_payload(raw: bytes) -> None:
    event = rtproto.decode_client(raw)
    assert isinstance(event, rtproto.Unknown)
    assert event.error is not None
    assert event.error.startswith("$.")
    assert SECRET not in event.error
    with pytest.raises(InvalidEvent) as caught:
        rtproto.decode_client(raw, strict=True)
    assert SECRET not in f"{caught.value} {caught.value!r}"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "raw", [b'{"type":"x","private', b'["private"]', b"private", b'{"type":["private"]}', b'{"private":1}']
)
def test_no_rejection_quotes_a_payload(raw: bytes) -> None:
    with pytest.raises(NotAnEvent) as caught:
        rtproto.decode_client(raw)
    assert SECRET not in f"{caught.value} {caught.value!r}"
