"""Every broken rule is told with its path, all at once; what the service takes breaks none."""

from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rtproto
from rtproto import UNSET, Problem, Unknown, capture, client, items, translation, types, validate
from rtproto.testing import strategies
from rtproto.validate import _RULES, Rule

from .conftest import CODECS, HERE

SECRET = "sk-thisMustNeverBeSeen"


def session(**fields: Any) -> client.SessionUpdate:
    return client.SessionUpdate(session=types.SessionCreateRequest(**fields))


def listening(**fields: Any) -> client.SessionUpdate:
    return session(audio=types.AudioConfig(input=types.AudioInput(**fields)))


def asked(**fields: Any) -> client.ResponseCreate:
    return client.ResponseCreate(response=types.ResponseCreateParams(**fields))


def said(role: str, *content: Any) -> client.ConversationItemCreate:
    return client.ConversationItemCreate(item=types.Message(role=role, content=list(content)))


def mcp(**fields: Any) -> client.SessionUpdate:
    return session(tools=[types.McpTool(server_label="docs", **{"server_url": "https://mcp.test", **fields})])


TEXT, AUDIO, IMAGE = (
    types.InputText(text="Hi"),
    types.InputAudio(audio="AAAA"),
    types.InputImage(image_url="d"),
)
SPOKEN, WRITTEN = types.OutputAudio(transcript="Hi"), types.OutputText(text="Hi")
OLD_SPOKEN, OLD_WRITTEN = types.LegacyAudio(transcript="Hi"), types.LegacyText(text="Hi")
REFERENCE = types.ItemReference(id="item_1")
PARTS = (TEXT, AUDIO, IMAGE, SPOKEN, WRITTEN, OLD_SPOKEN, OLD_WRITTEN, REFERENCE)
MAY_HOLD = {
    "system": (TEXT,),
    "user": (TEXT, AUDIO, IMAGE),
    "assistant": (SPOKEN, WRITTEN, OLD_SPOKEN, OLD_WRITTEN),
}
TUNNEL = "tunnel_" + "a1" * 16
VAD = types.ServerVad

TAKEN = {
    "a model": session(model="gpt-realtime"),
    "one modality": session(output_modalities=["text"]),
    "no modality": asked(output_modalities=[]),
    "no limit of tokens": asked(max_output_tokens="inf"),
    "tokens from JavaScript": asked(max_output_tokens=1500.0),
    "nulls": session(model=None, output_modalities=None, max_output_tokens=None, tools=None, audio=None),
    "nothing": client.ResponseCreate(),
    "no metadata": asked(metadata=None),
    "a long id": client.ResponseCancel(event_id="e" * 512),
    "15 MiB of audio": client.InputAudioBufferAppend(audio="A" * (20 * 2**20)),
    "push to talk": listening(turn_detection=None),
    "a language": listening(transcription=types.AudioTranscription(model="whisper-1", languages=["de"])),
    "a tunnel": mcp(server_url=UNSET, tunnel_id=TUNNEL),
    "a connector": mcp(server_url=UNSET, connector_id="connector_gmail"),
    "callers": mcp(allowed_callers=["direct"]),
    "any schema": session(tools=[types.FunctionTool(name="f", parameters={"a": [{"model": ""}]})]),
    "an item": client.ConversationItemCreate(item=items.function_call_output("call_1", "")),
    "input": asked(input=[items.user("Hi"), items.item_reference("item_1")]),
}

REFUSED: dict[str, tuple[Any, str, Rule]] = {
    "a blank model": (session(model=" \n"), "$.session.model", "blank"),
    "no model": (session(model=""), "$.session.model", "blank"),
    "two modalities": (session(output_modalities=["text", "audio"]), "$.session.output_modalities", "count"),
    "two for a response": (
        asked(output_modalities=["text", "text"]),
        "$.response.output_modalities",
        "count",
    ),
    "tokens in words": (asked(max_output_tokens="100"), "$.response.max_output_tokens", "range"),
    "tokens in capitals": (asked(max_output_tokens="INF"), "$.response.max_output_tokens", "range"),
    "tokens in no words": (asked(max_output_tokens=""), "$.response.max_output_tokens", "range"),
    "too long an id": (client.ResponseCancel(event_id="e" * 513), "$.event_id", "length"),
    "too much audio": (client.InputAudioBufferAppend(audio="A" * (20 * 2**20 + 4)), "$.audio", "length"),
    "no language": (
        listening(transcription=types.AudioTranscription(languages=[])),
        "$.session.audio.input.transcription.languages",
        "count",
    ),
    "a blank transcriber": (
        listening(transcription=types.AudioTranscription(model="")),
        "$.session.audio.input.transcription.model",
        "blank",
    ),
    "a blank model that only listens": (
        client.SessionUpdate(session=types.TranscriptionSessionCreateRequest(model="")),
        "$.session.model",
        "blank",
    ),
    "no server": (mcp(server_url=UNSET), "$.session.tools[0]", "missing"),
    "no callers": (mcp(allowed_callers=[]), "$.session.tools[0].allowed_callers", "count"),
    "a tunnel that is none": (mcp(tunnel_id="tunnel_A"), "$.session.tools[0].tunnel_id", "form"),
    "a short tunnel": (mcp(tunnel_id=TUNNEL[:-1]), "$.session.tools[0].tunnel_id", "form"),
    "a loud tunnel": (mcp(tunnel_id="tunnel_" + "A1" * 16), "$.session.tools[0].tunnel_id", "form"),
    "a tunnel and a line": (mcp(tunnel_id=TUNNEL + "\n"), "$.session.tools[0].tunnel_id", "form"),
    "a blank translator": (
        types.TranslationClientSecretCreateRequest(session=types.TranslationSessionCreateRequest(model=" ")),
        "$.session.model",
        "blank",
    ),
    "a blank translation transcriber": (
        translation.SessionUpdate(
            session=types.TranslationSessionUpdateRequest(
                audio=types.TranslationAudio(
                    input=types.TranslationAudioInput(transcription=types.TranslationTranscription(model=""))
                )
            )
        ),
        "$.session.audio.input.transcription.model",
        "blank",
    ),
    "a translation client's long id": (translation.SessionClose(event_id="e" * 513), "$.event_id", "length"),
    "another role": (said("tool"), "$.item.role", "role"),
    "a role in the input": (
        asked(input=[items.user("Hi"), types.Message(role="user", content=[TEXT, WRITTEN])]),
        "$.response.input[1].content[1]",
        "role",
    ),
    "an unknown tool": (
        session(tools=[types.FunctionTool(name="f"), Unknown("web_search", b"{}")]),
        "$.session.tools[1]",
        "unknown",
    ),
    "an unknown variable": (
        session(prompt=types.Prompt(id="p", variables={SECRET: Unknown("input_video", b"{}")})),
        "$.session.prompt.variables[...]",
        "unknown",
    ),
}


def kept(ratio: float = 0.8, tokens: int = 0) -> client.SessionUpdate:
    limits = types.TokenLimits(post_instructions=tokens)
    return session(truncation=types.RetentionRatio(retention_ratio=ratio, token_limits=limits))


def lasting(seconds: int) -> types.ClientSecretCreateRequest:
    return types.ClientSecretCreateRequest(expires_after=types.ExpiresAfter(seconds=seconds))


class Bound(NamedTuple):
    """A number, or a length, that the service takes from ``least`` to ``most``."""

    make: Callable[[Any], Any]
    path: str
    rule: Rule
    least: float | None
    most: float | None
    step: float = 1


VAD_PATH = "$.session.audio.input.turn_detection"
BOUNDS = {
    "tokens": Bound(lambda n: session(max_output_tokens=n), "$.session.max_output_tokens", "range", 1, 4096),
    "a response's": Bound(
        lambda n: asked(max_output_tokens=n), "$.response.max_output_tokens", "range", 1, 4096
    ),
    "speed": Bound(
        lambda n: session(audio=types.AudioConfig(output=types.AudioOutput(speed=n))),
        "$.session.audio.output.speed",
        "range",
        0.25,
        1.5,
        1e-9,
    ),
    "threshold": Bound(
        lambda n: listening(turn_detection=VAD(threshold=n)), f"{VAD_PATH}.threshold", "range", 0, 1, 1e-9
    ),
    "patience": Bound(
        lambda n: listening(turn_detection=VAD(idle_timeout_ms=n)),
        f"{VAD_PATH}.idle_timeout_ms",
        "range",
        5000,
        30000,
    ),
    "a share": Bound(lambda n: kept(ratio=n), "$.session.truncation.retention_ratio", "range", 0, 1, 1e-9),
    "what is kept": Bound(
        lambda n: kept(tokens=n), "$.session.truncation.token_limits.post_instructions", "range", 0, None
    ),
    "seconds": Bound(lasting, "$.expires_after.seconds", "range", 10, 7200),
    "pairs": Bound(
        lambda n: asked(metadata=dict.fromkeys(map(str, range(n)), "")),
        "$.response.metadata",
        "count",
        None,
        16,
    ),
    "a key": Bound(lambda n: asked(metadata={"k" * n: ""}), "$.response.metadata[...]", "length", None, 64),
    "a value": Bound(
        lambda n: asked(metadata={"k": "v" * n}), "$.response.metadata[...]", "length", None, 512
    ),
}


@pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS)
def test_a_bound_is_where_the_service_has_it(bound: Bound) -> None:
    for end, outward in ((bound.least, -bound.step), (bound.most, bound.step)):
        if end is not None:
            assert validate(bound.make(end)) == []
            (problem,) = validate(bound.make(end + outward))
            assert (problem.path, problem.rule) == (bound.path, bound.rule)


@pytest.mark.parametrize("codec", ["client", "translation_client"])
def test_every_client_event_has_a_short_id(codec: str) -> None:
    for cls in CODECS[codec].types.values():
        fields = {field.name: "x" for field in msgspec.structs.fields(cls) if field.required}
        assert [problem.path for problem in validate(cls(**fields, event_id="e" * 513))] == ["$.event_id"]
        assert validate(cls(**fields, event_id="e" * 512)) == []


@pytest.mark.parametrize("event", TAKEN.values(), ids=TAKEN)
def test_what_the_service_takes_has_no_problem(event: Any) -> None:
    assert validate(event) == []


@pytest.mark.parametrize(("event", "path", "rule"), REFUSED.values(), ids=REFUSED)
def test_what_it_refuses_is_told_with_its_path(event: Any, path: str, rule: Rule) -> None:
    (problem,) = validate(event)
    assert (problem.path, problem.rule) == (path, rule)
    assert str(problem) == f"{path}: {problem.message}"


def test_every_class_with_a_rule_breaks_one_here() -> None:
    events = [event for event, *_ in REFUSED.values()] + [bound.make(1) for bound in BOUNDS.values()]
    broken = {type(part) for event in events for part in _all(event)}
    every = {cls for cls in _RULES if not issubclass(cls, rtproto.Event)}
    assert every <= broken
    assert {rule for *_, rule in REFUSED.values()} | {"shape"} == {*get_args(Rule)}


def _all(part: Any) -> list[Any]:
    if isinstance(part, list):
        return [inner for item in part for inner in _all(item)]
    if isinstance(part, dict):
        return _all([*part.values()])
    fields = [getattr(part, name) for name in getattr(part, "__struct_fields__", ())]
    return [part, *_all(fields)] if fields or isinstance(part, Unknown) else []


@pytest.mark.parametrize("role", MAY_HOLD)
def test_a_role_holds_its_parts_and_no_others(role: str) -> None:
    refused = {problem.path for problem in validate(said(role, *PARTS))}
    assert refused == {
        f"$.item.content[{place}]" for place, part in enumerate(PARTS) if part not in MAY_HOLD[role]
    }
    assert validate(said(role)) == []


def test_every_problem_is_told_in_order() -> None:
    event = client.SessionUpdate(
        event_id="e" * 513,
        session=types.SessionCreateRequest(
            model="",
            output_modalities=["text", "audio"],
            max_output_tokens=0,
            audio=types.AudioConfig(
                input=types.AudioInput(turn_detection=VAD(threshold=2, idle_timeout_ms=1)),
                output=types.AudioOutput(speed=9),
            ),
        ),
    )
    assert [problem.path for problem in validate(event)] == [
        "$.event_id",
        "$.session.model",
        "$.session.output_modalities",
        "$.session.max_output_tokens",
        "$.session.audio.input.turn_detection.threshold",
        "$.session.audio.input.turn_detection.idle_timeout_ms",
        "$.session.audio.output.speed",
    ]
    both = asked(metadata={"k" * 65: "v" * 513})
    assert validate(both) == [
        Problem("$.response.metadata[...]", "length", "must have a key of at most 64 characters"),
        Problem("$.response.metadata[...]", "length", "must be text of at most 512 characters"),
    ]


def test_what_was_not_typed_is_a_problem() -> None:
    strange = rtproto.decode_client(b'{"type":"session.dance"}')
    assert validate(strange) == [Problem("$", "unknown", "is none of the kinds known here")]
    assert validate(rtproto.decode_client(b'{"type":"session.created"}')) == validate(strange)
    misshapen = rtproto.decode_client(b'{"type":"session.update","session":{"type":"realtime","model":5}}')
    (problem,) = validate(misshapen)
    assert (problem.path, problem.rule) == ("$.session.model", "shape")
    flat = rtproto.decode_client(b'{"type":"session.update","session":{"voice":"alloy"}}')
    assert validate(flat) == [Problem("$.session", "unknown", "has no type")]
    assert validate(Unknown("x", b"{}", "$.a.b: one: two")) == [Problem("$.a.b", "shape", "one: two")]
    said_so = said("user", Unknown("input_video", b"{}"), WRITTEN)
    assert [(problem.path, problem.rule) for problem in validate(said_so)] == [
        ("$.item.content[1]", "role"),  # the message's own, before those inside it
        ("$.item.content[0]", "unknown"),
    ]


@pytest.mark.parametrize(
    "wrong", [b'{"type":"response.cancel"}', {"type": "x"}, None, [], "x", client.ResponseCancel]
)
def test_what_is_no_event_is_not_let_through(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"validate takes an event, not {type(wrong).__name__}"):
        validate(wrong)
    with pytest.raises(TypeError, match="not ItemEventBuilder"):
        validate(rtproto.ItemEventBuilder("resp_1", "item_1", 0))  # type: ignore[arg-type]


def test_the_search_ends_where_it_is_told() -> None:
    event = said("system", *[WRITTEN] * 1000)
    assert len(validate(event)) == 1000
    assert validate(event, most=2) == validate(event)[:2]
    assert validate(event, most=0) == []


def test_the_path_is_told_as_the_service_does() -> None:
    assert validate(said("user", WRITTEN))[0].param == "item.content[0]"
    assert validate(Unknown("x", b"{}"))[0].param is None


def test_rules_hold_for_a_class_of_ones_own() -> None:
    class Asked(types.ResponseCreateParams, kw_only=True):
        mood: str

    event = client.ResponseCreate(response=Asked(mood="glad", max_output_tokens=5000))
    assert [problem.path for problem in validate(event)] == ["$.response.max_output_tokens"]


def test_no_message_shows_what_was_sent() -> None:
    event = session(
        model="",
        instructions=SECRET,
        max_output_tokens=SECRET,
        prompt=types.Prompt(id=SECRET, variables={SECRET: Unknown(SECRET, SECRET.encode())}),
        tools=[types.McpTool(server_label=SECRET, tunnel_id=SECRET), Unknown(SECRET, b"{}")],
    )
    messages = [
        event,
        asked(metadata={SECRET * 4: SECRET * 40}),
        said(SECRET),
        Unknown(SECRET, SECRET.encode()),
    ]
    problems = [problem for message in messages for problem in validate(message)]
    assert len(problems) == 9
    assert not any(SECRET in str(problem) for problem in problems)


def test_a_real_session_breaks_no_rule() -> None:
    with (HERE.parent / "examples" / "session.jsonl").open("rb") as file:
        records = [line for line in capture.read(file) if isinstance(line, capture.Record)]
    assert len(records) == 90
    for record in records:
        for problem in validate(CODECS[record.direction or ""].decode(record.raw)):
            assert problem.rule == "unknown"


def test_a_role_may_be_anything() -> None:
    for role in (None, [], {}, 5, b"user"):
        assert [problem.path for problem in validate(said(role))] == ["$.item.role"]  # type: ignore[arg-type]


_ANYTHING = st.none() | st.integers() | st.floats() | st.text() | st.lists(st.integers()) | st.just({"k": 1})


@given(st.data())
def test_it_never_raises_whatever_a_constructor_let_through(data: st.DataObject) -> None:
    codec = data.draw(st.sampled_from([*CODECS.values()]))
    event = data.draw(strategies.values(data.draw(st.sampled_from([*codec.types.values()]))))
    assert all(isinstance(problem, Problem) for problem in validate(event))
    noun: Any = data.draw(st.sampled_from([*_RULES]))
    garbage = {field.name: data.draw(_ANYTHING) for field in msgspec.structs.fields(noun)}
    for problem in validate(noun(**garbage)):
        assert problem.path.startswith("$")
        assert problem.rule in get_args(Rule)
