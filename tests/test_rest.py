"""REST bodies are read and written as events are: open inside, lossless, and clear about what is wrong."""

import pytest

import rtproto
from rtproto import InvalidEvent, Unknown, types

SECRET = (
    b'{"value":"ek_private","expires_at":1790726624,"session":{"type":"realtime","tools":[{"type":"function","name":'
    b'"f"},{"type":"web_search"}],"id":"sess_1","object":"realtime.session","expires_at":0}}'
)


def test_a_client_secret_is_open_inside() -> None:
    body = rtproto.decode_body(SECRET, types.ClientSecretCreateResponse)
    assert isinstance(body.session, types.SessionCreateResponse)
    assert body.session.tools == [
        types.FunctionTool(name="f"),
        Unknown("web_search", b'{"type":"web_search"}'),
    ]
    assert rtproto.decode_body(rtproto.encode(body), types.ClientSecretCreateResponse) == body
    assert "private" not in repr(body)


def test_a_request_is_written() -> None:
    request = types.ClientSecretCreateRequest(
        expires_after=types.ExpiresAfter(anchor="created_at", seconds=600),
        session=types.TranscriptionSessionCreateRequest(),
    )
    raw = b'{"expires_after":{"anchor":"created_at","seconds":600},"session":{"type":"transcription"}}'
    assert rtproto.encode(request) == raw
    assert rtproto.decode_body(raw.decode(), types.ClientSecretCreateRequest) == request


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (SECRET.replace(b"1790726624", b'"private"'), "$.expires_at: Expected `int | float`, got `str`"),
        (SECRET.replace(b'"id":"sess_1",', b""), "$.session.id: missing"),
        (b"private", "$: JSON is malformed: invalid character (byte 0)"),
        (b"", "$: Input data was truncated"),
        ("\ud83d", "$: UnicodeEncodeError"),
    ],
)
def test_another_body_is_told_by_its_path(data: bytes | str, message: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        rtproto.decode_body(data, types.ClientSecretCreateResponse)
    assert str(caught.value) == f"ClientSecretCreateResponse: {message}"
