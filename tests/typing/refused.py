"""What a type checker must refuse; an ignore that is not needed is an error, so each line here is one."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from rtproto import client, server, types


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
