"""How likely tokens were: asked for in each dialect's words, carried whole and with each chunk, or told to be lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from docs.features import vendor_target
from proto.models_pb2 import (
    PARAMETER_POLICY_STRICT,
    ChatChunk,
    ChatConfig,
    ChatMessage,
    ChatRequest,
    Logprobs,
    ReasoningConfig,
    TokenLogprob,
    TopLogprob,
)
from services.models.providers.answers import logprobs as held
from services.models.providers.base import Conversation
from services.models.providers.encoding import encode
from services.models.transport.sse import EventStream
from services.shared import large_json
from services.shared.errors import InvalidRequest
from tests.rows import for_each
from tests.scripted_upstream import answer, event, event_stream
from tests.wire.adapters import (
    JSON,
    Adapter,
    Subject,
    Verb,
    both_verbs,
    every_responses_like,
    one_openai_like,
    serve,
)
from tests.wire.dialects import HELLO, MODEL, Sample
from tests.wire.dialects import encode as encode_json
from tests.wire.speeches.responses import ResponsesSpeech

ASKED = ChatConfig(logprobs=True, top_logprobs=2)
USER = ChatMessage(role="user", content="Hello")

Told = dict[str, Any]


LONG = 150
"""So many tokens, with all that can be asked for, are more values than `few_values` lets be read at once."""


@pytest.fixture
def few_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_json, "MAX_VALUES", 8000)


def told(text: str, logprob: float, *others: Told, data: bytes | None = b"") -> Told:
    """A token as OpenAI tells it."""
    written = {"token": text, "logprob": logprob, "bytes": None if data is None else list(data or text.encode())}
    return {**written, "top_logprobs": list(others)}


def other(text: str, logprob: float) -> Told:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def token(text: str, logprob: float, *others: tuple[str, float], data: bytes = b"") -> TokenLogprob:
    likely = [TopLogprob(token=word, logprob=number, token_bytes=word.encode()) for word, number in others]
    return TokenLogprob(token=text, logprob=logprob, token_bytes=data or text.encode(), top_logprobs=likely)


# Half a character each, and a text that comes in the chunk of the second.
HALVES = [told("\ufffd", -0.5, data=b"\xc3"), told("\ufffd", 0, data=b"\xb6")]
TOKENS = [told("Hel", -0.25, other("Hel", -0.25), other("Bye", -1.5)), told("lo w", -9999.0), *HALVES, told("r", -1.0)]
EXPECTED = [
    token("Hel", -0.25, ("Hel", -0.25), ("Bye", -1.5)),
    token("lo w", -9999.0),
    token("\ufffd", -0.5, data=b"\xc3"),
    token("\ufffd", 0, data=b"\xb6"),
    token("r", -1.0),
]
PIECES = [("Hel", TOKENS[:1]), ("lo w", TOKENS[1:2]), ("", TOKENS[2:3]), ("ö", TOKENS[3:4]), ("r", TOKENS[4:])]
TEXT = "".join(text for text, _ in PIECES)


def completion(message: Told, logprobs: Any) -> bytes:
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "stop"}
    return json.dumps({"id": "a", "model": MODEL, "choices": [choice]}).encode()


def chunk(delta: Told, logprobs: Any = None, finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    return event(json.dumps({"id": "a", "model": MODEL, "choices": [choice]}))


def chunks_of(pieces: list[tuple[str, list[Told]]]) -> list[str]:
    said = [chunk({"content": text}, {"content": tokens, "refusal": None}) for text, tokens in pieces]
    return [
        chunk({"role": "assistant", "content": ""}, {"content": []}),
        *said,
        chunk({}, finish="stop"),
        event("[DONE]"),
    ]


def by_chunks(chunks: list[ChatChunk]) -> list[TokenLogprob]:
    return [token for chunk in chunks for token in chunk.logprobs.content]


# ------------------------------------------------------------------------------------------------- chat completions


@one_openai_like
@both_verbs
async def test_logprobs_of_a_chat_completion(subject: Subject, verb: Verb) -> None:
    whole = completion({"role": "assistant", "content": TEXT}, {"content": TOKENS, "refusal": None})
    subject.upstream.default = serve(answer(whole, headers=JSON), event_stream(*chunks_of(PIECES)))
    outcome = await subject.ask(verb, config=ASKED)
    assert outcome.response is not None
    assert outcome.response.logprobs == Logprobs(content=EXPECTED)
    assert (outcome.response.text, list(outcome.response.warnings)) == (TEXT, [])
    (asked,) = (request.json() for request in subject.upstream.requests)
    assert (asked["logprobs"], asked["top_logprobs"]) == (True, 2)


@one_openai_like
async def test_whole_completion_tells_the_same(subject: Subject) -> None:
    whole = completion({"role": "assistant", "content": TEXT}, {"content": TOKENS})
    response = await subject.answered_with(whole, chunks_of(PIECES))
    assert response.logprobs.content == EXPECTED


@one_openai_like
def test_each_chunk_has_those_of_its_tokens(adapter: Adapter) -> None:
    """Half a character alone is no text yet."""
    decoder, events = adapter.target("http://127.0.0.1:9").dialect.decoder(), EventStream()
    told: list[tuple[str, bytes]] = []
    for step in chunks_of(PIECES):
        decoder.feed(events.feed(step.encode()))
        told += [
            (piece.token, b"".join(token.token_bytes for token in piece.logprobs.content))
            for piece in decoder.answer.drain_chunks()
        ]
    assert told == [("Hel", b"Hel"), ("lo w", b"lo w"), ("", b"\xc3"), ("ö", b"\xb6"), ("r", b"r")]


@one_openai_like
async def test_logprobs_of_a_refusal(subject: Subject) -> None:
    tokens = [told("No", -0.5), told(".", -0.25)]
    whole = completion({"role": "assistant", "content": None, "refusal": "No."}, {"content": None, "refusal": tokens})
    pieces = [
        chunk({"refusal": "No"}, {"content": None, "refusal": tokens[:1]}),
        chunk({"refusal": "."}, {"content": None, "refusal": tokens[1:]}),
        chunk({}, finish="stop"),
        event("[DONE]"),
    ]
    response = await subject.answered_with(whole, pieces)
    assert response.logprobs == Logprobs(refusal=[token("No", -0.5), token(".", -0.25)])


@one_openai_like
async def test_logprobs_in_lists_side_by_side(subject: Subject) -> None:
    """As completions before chat had them."""
    lists = {"tokens": ["Hi", "!"], "token_logprobs": [-0.5, None], "top_logprobs": [{"Hi": -0.5, "Yo": -2}, None]}
    whole = completion({"content": "Hi!"}, lists)
    one_by_one = [{name: values[place : place + 1] for name, values in lists.items()} for place in range(2)]
    pieces = [chunk({"content": text}, told) for text, told in zip(("Hi", "!"), one_by_one, strict=True)]
    response = await subject.answered_with(whole, [*pieces, chunk({}, finish="stop"), event("[DONE]")])
    first = TokenLogprob(token="Hi", logprob=-0.5)
    first.top_logprobs.add(token="Hi", logprob=-0.5)
    first.top_logprobs.add(token="Yo", logprob=-2)
    assert response.logprobs == Logprobs(content=[first, TokenLogprob(token="!")])


@one_openai_like
@pytest.mark.parametrize(
    "odd",
    [
        {"token": "x", "logprob": "low", "bytes": [300], "top_logprobs": {"x": 1}},
        {"token": "x", "logprob": True, "bytes": ["y"], "top_logprobs": [None, 1]},
        {"token": "x", "logprob": None, "bytes": "x", "top_logprobs": None},
        {"token": "x", "logprob": 10**400, "bytes": [-1]},
    ],
)
async def test_what_is_no_number_is_not_told(subject: Subject, odd: Told) -> None:
    logprobs = {"content": [odd, 5, None], "refusal": 1}
    whole = completion({"content": "x"}, logprobs)
    response = await subject.answered_with(
        whole, [chunk({"content": "x"}, logprobs), chunk({}, finish="stop"), event("[DONE]")]
    )
    assert response.logprobs == Logprobs(content=[TokenLogprob(token="x")])


@one_openai_like
async def test_message_that_repeats_all_of_them(subject: Subject) -> None:
    last = json.loads(completion({"content": TEXT}, {"content": TOKENS})) | {"object": "chat.completion"}
    subject.upstream.default = event_stream(*chunks_of(PIECES)[:-2], event(json.dumps(last)), event("[DONE]"))
    outcome = await subject.ask("chat_stream", config=ASKED)
    assert outcome.response is not None
    assert outcome.response.logprobs.content == by_chunks(outcome.chunks) == EXPECTED


@one_openai_like
@both_verbs
async def test_provider_that_passes_them_over_is_told_of(subject: Subject, verb: Verb) -> None:
    body, events = encode_json(subject.speech.body(HELLO)), subject.speech.events(HELLO)
    subject.upstream.default = serve(answer(body, headers=JSON), event_stream(*events))
    outcome = await subject.ask(verb, config=ASKED)
    assert outcome.response is not None
    assert [(warning.code, warning.field) for warning in outcome.response.warnings] == [
        ("LOGPROBS_MISSING", "config.logprobs")
    ]


@one_openai_like
@both_verbs
async def test_long_answer_with_all_that_can_be_asked_for(few_values: None, subject: Subject, verb: Verb) -> None:
    """Whole it would be more values than are read at once."""
    tokens = [told("word ", -0.5, *(other(f"w{number}", -1.0) for number in range(20))) for _ in range(LONG)]
    subject.upstream.default = event_stream(*chunks_of([("word ", [token]) for token in tokens]))
    outcome = await subject.ask(verb, config=ChatConfig(logprobs=True, top_logprobs=20))
    assert outcome.response is not None
    assert len(outcome.response.logprobs.content) == LONG
    assert {len(token.top_logprobs) for token in outcome.response.logprobs.content} == {20}


@one_openai_like
@both_verbs
async def test_more_of_them_than_an_answer_may_have(
    subject: Subject, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "MAX_BYTES", 50)
    whole = completion({"content": TEXT}, {"content": TOKENS})
    subject.upstream.default = serve(answer(whole, headers=JSON), event_stream(*chunks_of(PIECES)))
    outcome = await subject.ask(verb, config=ASKED)
    assert outcome.error is not None
    assert outcome.error.reason == "OUTPUT_LIMIT"


# --------------------------------------------------------------------------------------------------------- responses


def without_bytes(tokens: list[Told]) -> list[Told]:
    """As the events of a stream tell them."""
    return [
        {name: value for name, value in token.items() if name != "bytes"}
        | {"top_logprobs": [{"token": top["token"], "logprob": top["logprob"]} for top in token["top_logprobs"]]}
        for token in tokens
    ]


@every_responses_like
@pytest.mark.parametrize("are_in_deltas", [True, False])
async def test_logprobs_of_a_response(subject: Subject, are_in_deltas: bool) -> None:
    speech: ResponsesSpeech = subject.speech
    item = speech.message("") | {
        "content": [
            {"type": "output_text", "text": TEXT, "annotations": [], "logprobs": TOKENS},
            {"type": "output_text", "text": "!", "annotations": [], "logprobs": [told("!", -2.0)]},
        ]
    }
    place = {"item_id": "msg_1", "output_index": 0}
    kind = "response.output_text.delta"
    deltas = [
        speech.named(
            kind, **place, content_index=0, delta=text, logprobs=without_bytes(tokens) if are_in_deltas else []
        )
        for text, tokens in PIECES
    ]
    events = [
        *speech.opening(),
        *deltas,
        speech.item_event("done", 0, item),
        *speech.ended([item], Sample()),
    ]
    response = await subject.answered_with(encode_json(speech.response([item])), events)
    assert response.logprobs == Logprobs(content=[*EXPECTED, token("!", -2.0)])

    outcome = await subject.ask("chat_stream", config=ASKED)
    assert [token.token for token in by_chunks(outcome.chunks)] == [token.token for token in response.logprobs.content]
    asked = subject.upstream.requests[-1].json()
    assert "message.output_text.logprobs" in asked["include"]
    assert asked["top_logprobs"] == 2


@every_responses_like
async def test_logprobs_do_not_go_back(subject: Subject) -> None:
    speech: ResponsesSpeech = subject.speech
    item = speech.message("") | {
        "content": [{"type": "output_text", "text": TEXT, "annotations": [], "logprobs": TOKENS}]
    }
    events = [*speech.events(Sample())[:2], speech.item_event("done", 0, item), *speech.ended([item], Sample())]
    response = await subject.answered_with(encode_json(speech.response([item])), events)
    assert response.message == ChatMessage(role="assistant", content=TEXT)


@every_responses_like
@both_verbs
async def test_long_response_with_all_that_can_be_asked_for(few_values: None, subject: Subject, verb: Verb) -> None:
    """The events that repeat all of it are more values than are read at once; what is told last is left out of them."""
    speech: ResponsesSpeech = subject.speech
    likely = [other(f'"w{number}\\', -1.0) for number in range(20)]
    tokens = [told("[w]} ", -0.5, *likely) for _ in range(LONG)]
    part = {"type": "output_text", "text": "[w]} " * LONG, "annotations": [], "logprobs": tokens}
    item = speech.message("") | {"content": [part]}
    kind, place = "response.output_text.delta", {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    deltas = [
        speech.named(kind, **place, delta="[w]} " * len(half), logprobs=without_bytes(half))
        for half in (tokens[: LONG // 2], tokens[LONG // 2 :])
    ]
    ends = [speech.item_event("done", 0, item), *speech.ended([item], Sample())]
    subject.upstream.default = event_stream(*speech.opening(), *deltas, *ends)
    outcome = await subject.ask(verb, config=ChatConfig(logprobs=True, top_logprobs=20))
    assert outcome.response is not None
    assert outcome.response.text == "[w]} " * LONG
    assert len(outcome.response.logprobs.content) == LONG
    assert outcome.response.message == ChatMessage(role="assistant", content=outcome.response.text)


@one_openai_like
async def test_long_answer_of_a_server_that_does_not_stream(few_values: None, subject: Subject) -> None:
    """It is told that they are lost, and the answer is not."""
    likely = [other(f"w{number}", -1.0) for number in range(20)]
    tokens = [told("word ", -0.5, *likely) for _ in range(LONG)]
    whole = completion({"role": "assistant", "content": "word " * LONG}, {"content": tokens, "refusal": None})
    subject.upstream.default = answer(whole, headers=JSON)
    outcome = await subject.ask("chat", config=ChatConfig(logprobs=True, top_logprobs=20))
    assert outcome.response is not None
    assert outcome.response.text == "word " * LONG
    assert [warning.code for warning in outcome.response.warnings] == ["LOGPROBS_DROPPED"]


@every_responses_like
@both_verbs
async def test_long_response_that_tells_them_at_its_end_only(few_values: None, subject: Subject, verb: Verb) -> None:
    speech: ResponsesSpeech = subject.speech
    tokens = [told("w", -0.5, *(other("four", -1.0) for _ in range(20))) for _ in range(LONG)]
    part = {"type": "output_text", "text": "w" * LONG, "annotations": [], "logprobs": tokens}
    item = speech.message("") | {"content": [part]}
    whole, events = encode_json(speech.response([item])), [*speech.opening()[:1], *speech.ended([item], Sample())]
    subject.upstream.default = answer(whole, headers=JSON) if verb == "chat" else event_stream(*events)
    outcome = await subject.ask(verb)
    assert outcome.response is not None
    assert outcome.response.text == "w" * LONG
    assert [warning.code for warning in outcome.response.warnings] == ["LOGPROBS_DROPPED"]


# ------------------------------------------------------------------------------------------------- where it is lost


@for_each(
    ("vendor", "model", "reasoning"),
    [
        ("anthropic", "claude-haiku-4-5", None),
        ("anthropic", "claude-opus-5", None),
        ("openai", "o4-mini", None),
        ("openai", "gpt-5", None),
        ("openai", "gpt-5.6", None),
        ("openai", "gpt-5.1", ReasoningConfig(effort="low")),
    ],
)
def test_models_that_do_not_tell(vendor: str, model: str, reasoning: ReasoningConfig | None) -> None:
    target = vendor_target(vendor, model)
    request = ChatRequest(model=model, messages=[USER], config=ASKED, reasoning=reasoning)
    body = encode(Conversation(request, request.messages), target, stream=False)
    fields = ["config.logprobs", "config.top_logprobs"]
    assert [(notice.code, notice.field) for notice in body.notices] == [("PARAMETER_DROPPED", name) for name in fields]
    assert b"logprobs" not in body.request.body
    request.parameter_policy = PARAMETER_POLICY_STRICT
    with pytest.raises(InvalidRequest) as raised:
        encode(Conversation(request, request.messages), target, stream=False)
    assert raised.value.reason == "PARAMETER_UNSUPPORTED"
    assert [violation.field for violation in raised.value.violations] == fields


@for_each("config", [ChatConfig(logprobs=False), ChatConfig(logprobs=False, seed=None)])
def test_what_is_not_wanted_is_not_missed(config: ChatConfig) -> None:
    request = ChatRequest(model="any", messages=[USER], config=config, parameter_policy=PARAMETER_POLICY_STRICT)
    target = vendor_target("anthropic", "claude-haiku-4-5")
    assert encode(Conversation(request, request.messages), target, stream=False).notices == []


@for_each(("number", "told"), [(2, [("PARAMETER_DROPPED", "config.top_logprobs")]), (0, [])])
def test_likeliest_tokens_without_the_tokens(number: int, told: list[tuple[str, str]]) -> None:
    request = ChatRequest(model="any", messages=[USER], config=ChatConfig(top_logprobs=number))
    body = encode(Conversation(request, request.messages), vendor_target("openai", "gpt-4o"), stream=False)
    assert [(notice.code, notice.field) for notice in body.notices] == told
    assert b"logprobs" not in body.request.body
