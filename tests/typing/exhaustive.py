"""A type checker sees every event: leave one case out and assert_never is an error."""

from typing import assert_never, assert_type

import rtproto
from rtproto import Unknown, client, server, translation


def client_case(event: client.ClientEvent | Unknown) -> str:
    match event:
        case client.SessionUpdate():
            return event.type
        case client.ConversationItemCreate():
            return event.type
        case client.ConversationItemDelete() | client.ConversationItemRetrieve():
            return event.item_id
        case client.ConversationItemTruncate():
            return event.item_id
        case client.InputAudioBufferAppend():
            return event.audio
        case client.InputAudioBufferClear() | client.InputAudioBufferCommit():
            return event.type
        case client.OutputAudioBufferClear():
            return event.type
        case client.ResponseCancel() | client.ResponseCreate():
            return event.type
        case Unknown():
            return event.type
        case _:
            assert_never(event)


def server_case(event: server.ServerEvent | Unknown) -> str:
    match event:
        case server.SessionCreated() | server.SessionUpdated() | server.ConversationCreated():
            return event.event_id
        case (
            server.ConversationItemCreated() | server.ConversationItemAdded() | server.ConversationItemDone()
        ):
            return event.event_id
        case server.ConversationItemDeleted() | server.ConversationItemTruncated():
            return event.item_id
        case server.ConversationItemRetrieved():
            return event.event_id
        case server.ConversationItemInputAudioTranscriptionCompleted():
            return event.transcript
        case server.ConversationItemInputAudioTranscriptionDelta():
            return event.item_id
        case server.ConversationItemInputAudioTranscriptionFailed():
            return event.item_id
        case server.ConversationItemInputAudioTranscriptionSegment():
            return event.speaker
        case server.InputAudioBufferCleared():
            return event.event_id
        case server.InputAudioBufferCommitted():
            return event.item_id
        case server.InputAudioBufferSpeechStarted() | server.InputAudioBufferSpeechStopped():
            return event.item_id
        case server.InputAudioBufferTimeoutTriggered():
            return event.item_id
        case server.InputAudioBufferDtmfEventReceived():
            return event.event
        case server.OutputAudioBufferStarted() | server.OutputAudioBufferStopped():
            return event.response_id
        case server.OutputAudioBufferCleared():
            return event.response_id
        case server.ResponseCreated() | server.ResponseDone():
            return event.event_id
        case server.ResponseOutputItemAdded() | server.ResponseOutputItemDone():
            return event.response_id
        case server.ResponseContentPartAdded() | server.ResponseContentPartDone():
            return event.item_id
        case server.ResponseOutputTextDelta() | server.ResponseOutputAudioDelta():
            return event.delta
        case server.ResponseOutputAudioTranscriptDelta():
            return event.delta
        case server.ResponseOutputTextDone():
            return event.text
        case server.ResponseOutputAudioDone():
            return event.item_id
        case server.ResponseOutputAudioTranscriptDone():
            return event.transcript
        case server.ResponseFunctionCallArgumentsDelta() | server.ResponseMcpCallArgumentsDelta():
            return event.delta
        case server.ResponseFunctionCallArgumentsDone() | server.ResponseMcpCallArgumentsDone():
            return event.arguments
        case server.ResponseMcpCallInProgress() | server.ResponseMcpCallCompleted():
            return event.item_id
        case server.ResponseMcpCallFailed():
            return event.item_id
        case server.McpListToolsInProgress() | server.McpListToolsCompleted() | server.McpListToolsFailed():
            return event.item_id
        case server.RateLimitsUpdated():
            return event.event_id
        case server.Error():
            return event.error.message
        case Unknown():
            return event.type
        case _:
            assert_never(event)


def translation_case(event: translation.ServerEvent | Unknown) -> str:
    match event:
        case translation.Error():
            return event.error.type
        case translation.SessionCreated() | translation.SessionUpdated():
            return event.session.id
        case translation.SessionClosed():
            return event.event_id
        case translation.SessionInputTranscriptDelta() | translation.SessionOutputTranscriptDelta():
            return event.delta
        case translation.SessionOutputAudioDelta():
            return event.delta
        case Unknown():
            return event.type
        case _:
            assert_never(event)


def decoders_say_what_they_give(data: bytes) -> None:
    assert_type(rtproto.decode_server(data), server.ServerEvent | Unknown)
    assert_type(rtproto.decode_client(data, strict=True), client.ClientEvent | Unknown)
    assert_type(rtproto.translation_server_codec.decode(data), translation.ServerEvent | Unknown)
    assert_type(rtproto.encode(Unknown("x", data)), bytes)
    assert_type(rtproto.probe_type(data), str)
