"""Structs are frozen, tell absent from null, know their wire name, and show no audio and no secret."""

import copy
import io
import pickle

import msgspec
import pytest
from rich.console import Console

import rtproto
from rtproto import UNSET, client, server, translation, types

from .conftest import OwnFrame, first_frame, same_json

SECRET = "sk-thisMustNeverBeSeen" * 3


PATCH = b'{"type":"session.update","session":{"type":"realtime","audio":{"input":{%s}}}}'


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (PATCH % b"", UNSET),
        (PATCH % b'"turn_detection":null', None),
        (PATCH % b'"turn_detection":{"type":"server_vad"}', types.ServerVad()),
    ],
)
def test_absent_null_and_a_value_survive(raw: bytes, expected: object) -> None:
    event = rtproto.decode_client(raw)
    assert isinstance(event, client.SessionUpdate)
    assert isinstance(event.session, types.SessionCreateRequest)
    audio = event.session.audio
    assert isinstance(audio, types.AudioConfig)
    assert isinstance(audio.input, types.AudioInput)
    assert audio.input.turn_detection == expected
    assert same_json(rtproto.encode(event), raw)


def test_no_default_is_injected() -> None:
    for cls in _every_struct():
        for field in msgspec.structs.fields(cls):
            assert field.required or field.default is UNSET, (cls, field.name)


def test_every_optional_field_takes_null() -> None:
    for cls in _every_struct():
        for field in msgspec.structs.fields(cls):
            if not field.required:
                assert msgspec.convert(None, field.type) is None, (cls, field.name)


def test_every_struct_is_frozen_and_keyword_only() -> None:
    for cls in _every_struct():
        config = cls.__struct_config__
        assert config.frozen, cls
        if cls.__struct_fields__:
            with pytest.raises(TypeError, match="positional"):
                cls("positional")


def _every_struct() -> list[type[msgspec.Struct]]:
    nouns = [getattr(types, name) for name in types.__all__]
    events = [cls for codec in _CODECS for cls in codec.types.values()]
    return [cls for cls in (*nouns, *events) if isinstance(cls, type) and issubclass(cls, msgspec.Struct)]


_CODECS = (
    rtproto.client_codec,
    rtproto.server_codec,
    rtproto.translation_client_codec,
    rtproto.translation_server_codec,
)


def test_the_wire_name_is_on_the_class_and_on_the_instance() -> None:
    assert server.ResponseDone.type == "response.done"
    assert types.ServerVad(threshold=0.5).type == types.ServerVad.type == "server_vad"
    assert client.ResponseCancel().type == "response.cancel"


def test_a_subclass_has_a_wire_name_of_its_own() -> None:
    class Mine(types.ServerVad, kw_only=True, tag="mine"):
        pass

    assert (types.ServerVad.type, Mine.type, types.ServerVad.type) == ("server_vad", "mine", "server_vad")


@pytest.mark.parametrize(
    "struct",
    [
        client.InputAudioBufferAppend(audio=SECRET),
        translation.SessionInputAudioBufferAppend(audio=SECRET),
        translation.SessionOutputAudioDelta(event_id="e", delta=SECRET),
        server.ResponseOutputAudioDelta(
            event_id="e", response_id="r", item_id="i", output_index=0, content_index=0, delta=SECRET
        ),
        types.InputAudio(audio=SECRET),
        types.OutputAudio(audio=SECRET),
        types.LegacyAudio(audio=SECRET),
        types.ResponseContentPart(type="audio", audio=SECRET),
        types.InputImage(image_url=SECRET),
        types.PromptImage(image_url=SECRET),
        types.PromptFile(file_data=SECRET),
        types.McpTool(server_label="m", authorization=SECRET),
        types.McpTool(server_label="m", headers={"Authorization": SECRET}),
        types.ClientSecret(value=SECRET, expires_at=1),
        types.SipHeader(name="Authorization", value=SECRET),
        types.PromptFile(file_url=SECRET),
        types.CallCreateRequest(sdp=SECRET),
        client.InputAudioBufferAppend(audio=SECRET.encode()),  # type: ignore[arg-type]
        types.TranslationClientSecretCreateResponse(
            value=SECRET,
            expires_at=1,
            session=types.TranslationSession(
                id="s", type="translation", expires_at=1, model="m", audio=types.TranslationAudio()
            ),
        ),
        server.ConversationItemAdded(
            event_id="e", item=types.Message(role="user", content=[types.InputAudio(audio=SECRET)])
        ),
    ],
    ids=lambda struct: type(struct).__name__,
)
def test_audio_images_and_secrets_show_as_their_length(struct: msgspec.Struct) -> None:
    printed = io.StringIO()
    Console(file=printed, width=400).print(struct)
    for shown in (repr(struct), str(struct), f"{struct}", printed.getvalue()):
        assert "sk-" not in shown
        assert f"<{len(SECRET)} characters>" in shown


def test_a_function_s_output_is_shown_as_text_and_not_as_parts() -> None:
    text = types.FunctionCallOutput(call_id="c", output="It is foggy.")
    assert repr(text) == "FunctionCallOutput(call_id='c', output='It is foggy.')"
    parts = types.FunctionCallOutput(call_id="c", output=[{"type": "input_image", "image_url": SECRET}])
    assert repr(parts) == "FunctionCallOutput(call_id='c', output=<1 items>)"


def test_the_rest_of_a_repr_is_readable() -> None:
    tool = types.McpTool(
        server_label="docs", headers={"X-Key": SECRET}, allowed_tools=["search"], require_approval=None
    )
    assert repr(tool) == (
        "McpTool(server_label='docs', headers={'X-Key': <66 characters>}, allowed_tools=['search'], "
        "require_approval=None)"
    )


def test_a_struct_can_be_copied_pickled_and_compared(own_frame: OwnFrame) -> None:
    event = own_frame.codec.decode(own_frame.raw)
    assert copy.deepcopy(event) == pickle.loads(pickle.dumps(event)) == event


def test_unions_take_no_object_without_a_type() -> None:
    raw = first_frame("client", "session.update").replace(b'"type":"realtime",', b"", 1)
    event = rtproto.decode_client(raw)
    assert isinstance(event, client.SessionUpdate)
    assert isinstance(event.session, rtproto.Unknown)
    assert (event.session.type, event.session.error) == ("", None)
    assert same_json(rtproto.encode(event), raw)
