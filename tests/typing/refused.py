"""What a type checker must refuse; an ignore that is not needed is an error, so each line here is one."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

import rtproto
from rtproto import client, items, pcm, server, types


def frozen(event: server.ResponseDone) -> None:
    event.event_id = "e"  # type: ignore[misc]


def keyword_only() -> types.AudioPcm:
    return types.AudioPcm(24000)  # type: ignore[call-arg]


def required() -> client.ConversationItemDelete:
    return client.ConversationItemDelete()  # type: ignore[call-arg]


def not_a_field() -> client.ResponseCancel:
    return client.ResponseCancel(id="r")  # type: ignore[call-arg]


def of_another_type() -> client.ResponseCancel:
    return client.ResponseCancel(response_id=5)  # type: ignore[arg-type]


def not_yet_looked_at(session: types.SessionCreateRequest) -> str:
    return session.instructions  # type: ignore[return-value]


def missing_in_a_context(content: rtproto.ContentEventBuilder) -> object:
    return content.output_text_delta("event_1")  # type: ignore[call-arg]


def bytes_for_text(content: rtproto.ContentEventBuilder) -> object:
    return content.output_audio_delta("event_1", b"AAAA")  # type: ignore[arg-type]


def at_another_address(item: rtproto.ItemEventBuilder) -> object:
    return item.output_text_delta("event_1", "Hi")  # type: ignore[attr-defined]


def immutable(content: rtproto.ContentEventBuilder) -> None:
    content.content_index = 1  # type: ignore[misc]


def text_for_an_index(response: rtproto.ResponseEventBuilder) -> object:
    return response.for_item("item_1", "0")  # type: ignore[arg-type]


def not_this_role_s() -> types.Message:
    return items.system(items.output_text("Hi"))  # type: ignore[arg-type]


def an_event_of_the_other_side(frame: rtproto.ServerFrame) -> object:
    return frame.with_event(client.ResponseCancel())  # type: ignore[arg-type]


def a_number_for_a_path(frame: rtproto.ServerFrame) -> object:
    return frame.get(0)  # type: ignore[arg-type]


def text_for_samples(content: rtproto.ContentEventBuilder) -> object:
    return content.output_audio_delta_frame("event_1", "AAAA")  # type: ignore[arg-type]


def an_event_without_audio(event: server.ResponseDone) -> bytes:
    return pcm.payload(event)  # type: ignore[arg-type]


def not_a_rule(problem: rtproto.Problem) -> bool:
    return problem.rule == "spelling"  # type: ignore[comparison-overlap]
