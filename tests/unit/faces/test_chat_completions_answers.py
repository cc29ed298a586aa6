"""Answers as completions, whole and in events, read by OpenAI's own SDK."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from proto import models_pb2
from services.models.faces.chat_completions.face import CHAT_COMPLETIONS
from services.shared.errors import InvalidRequest, Unavailable
from tests.rows import for_each
from tests.unit.faces.completions import (
    ABOUT,
    MODEL,
    QUESTION,
    answer,
    asked,
    data_of,
    events_of,
    sdk_that_gets,
    streamed,
)

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

CALL = models_pb2.ContentPart(tool_call=models_pb2.ToolCall(id="c1", name="f", arguments_json='{"a": 1}'))
OTHER_CALL = models_pb2.ContentPart(tool_call=models_pb2.ToolCall(id="c2", name="g", arguments_json="{}"))
THOUGHT = models_pb2.ContentPart(reasoning=models_pb2.Reasoning(text="hm"))
REFUSAL = models_pb2.ContentPart(refusal="No.")
STATE = models_pb2.ProviderState(provider="anthropic", model="m", data=b'{"type":"thinking"}')

BEGIN: dict[str, Any] = {"role": "assistant", "content": ""}
COUNTS = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "total_tokens": 13,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def text(words: str, **fields: Any) -> models_pb2.ContentPart:
    return models_pb2.ContentPart(text=words, **fields)


def events(*deltas: dict[str, Any], reason: str) -> list[Any]:
    """The data of a stream with these deltas behind the first one."""

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        head = {"id": "chatcmpl-c0ffee", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": MODEL}
        return {**head, "choices": [choice]}

    return [*map(chunk, [BEGIN, *deltas]), chunk({}, reason), "[DONE]"]


def calling(index: int, call_id: str, name: str, arguments: str) -> dict[str, Any]:
    call = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"tool_calls": [call]}


@for_each(
    ("response", "expected"),
    [
        (answer(text("Hi")), events({"content": "Hi"}, reason="stop")),
        (answer(), events(reason="stop")),
        (answer(finish_reason="other"), events(reason="stop")),
        (answer(finish_reason="pause"), events(reason="stop")),
        (answer(text("Hi"), finish_reason="length"), events({"content": "Hi"}, reason="length")),
        (answer(finish_reason="content_filter"), events(reason="content_filter")),
        (answer(finish_reason="refusal"), events(reason="content_filter")),
        (answer(REFUSAL, finish_reason="refusal"), events({"refusal": "No."}, reason="stop")),
        (answer(THOUGHT, text("Hi")), events({"reasoning_content": "hm"}, {"content": "Hi"}, reason="stop")),
        (
            answer(CALL, OTHER_CALL, finish_reason="tool_calls"),
            events(calling(0, "c1", "f", '{"a": 1}'), calling(1, "c2", "g", "{}"), reason="tool_calls"),
        ),
    ],
)
def test_events_of_each_ending(response: models_pb2.ChatResponse, expected: list[Any]) -> None:
    assert data_of(streamed(asked(stream=True), response)) == expected


def test_pieces_of_a_call_follow_its_beginning() -> None:
    def delta(**members: Any) -> models_pb2.ChatChunk:
        return models_pb2.ChatChunk(tool_call_delta=models_pb2.ToolCallDelta(index=0, **members))

    last = models_pb2.ChatChunk(response=answer(CALL, finish_reason="tool_calls"))
    chunks = [delta(id="c1", name="f"), delta(arguments_json='{"a"'), delta(arguments_json=": 1}"), last]
    pieces = [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in ['{"a"', ": 1}"]]
    assert data_of(events_of(asked(), chunks)) == events(calling(0, "c1", "f", ""), *pieces, reason="tool_calls")


def test_usage_is_in_a_chunk_of_its_own_where_it_is_asked_for() -> None:
    wanted = asked(stream=True, stream_options={"include_usage": True})
    *chunks, usage, done = data_of(streamed(wanted, answer(text("Hi"))))
    assert [chunk["usage"] for chunk in chunks] == [None] * 3
    assert (usage["choices"], usage["usage"], usage["id"], done) == ([], COUNTS, chunks[0]["id"], "[DONE]")


def test_an_answer_that_is_long_in_coming_begins_once() -> None:
    encoder = asked().encoder(ABOUT)
    assert data_of(encoder.begin())[0]["choices"][0]["delta"] == BEGIN
    assert encoder.begin() == b""
    assert data_of(encoder.feed(models_pb2.ChatChunk(token="Hi")))[0]["choices"][0]["delta"] == {"content": "Hi"}
    assert data_of(encoder.heartbeat) == []


@for_each("begins", [False, True])
def test_an_error_ends_a_stream_as_no_answer_does(begins: bool) -> None:
    from openai import APIError

    encoder = asked().encoder(ABOUT)
    error = Unavailable("openai ended the stream", reason="UPSTREAM_STREAM_TRUNCATED")
    sent = (encoder.feed(models_pb2.ChatChunk(token="Hi")) if begins else b"") + encoder.fail(error, "id")
    assert data_of(sent)[-1] == {
        "error": {"message": "openai ended the stream", "type": "server_error", "param": None, "code": "server_error"}
    }
    with sdk_that_gets(sent, is_stream=True) as client, pytest.raises(APIError, match="ended the stream") as raised:
        list(client.chat.completions.create(model="m", messages=[QUESTION], stream=True))  # type: ignore[list-item]
    assert raised.value.code == "server_error"


# --------------------------------------------------------------------------------------------------- whole answers


def test_the_whole_answer() -> None:
    body = asked().whole(answer(THOUGHT, text("Hi"), CALL, finish_reason="tool_calls"), ABOUT)
    assert json.loads(body) == {
        "id": "chatcmpl-c0ffee",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hi",
                    "refusal": None,
                    "reasoning_content": "hm",
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
                    ],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": COUNTS,
    }


@for_each(
    ("response", "content", "refusal"),
    [
        (answer(), "", None),
        (answer(CALL, finish_reason="tool_calls"), None, None),
        (answer(REFUSAL, finish_reason="refusal"), None, "No."),
        (answer(text="short"), "short", None),
    ],
)
def test_content_is_null_only_beside_something_else(
    response: models_pb2.ChatResponse, content: str | None, refusal: str | None
) -> None:
    message = json.loads(asked().whole(response, ABOUT))["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (content, refusal)


def test_the_model_is_named_as_it_was_asked_for() -> None:
    read = asked()
    read.request.model = "gpt-6-retired-replacement"
    response = answer(text("Hi"), model="gpt-7")
    assert json.loads(read.whole(response, ABOUT))["model"] == MODEL
    assert {chunk["model"] for chunk in data_of(streamed(read, response))[:-1]} == {MODEL}


def test_sources_are_annotations_as_the_sdk_knows_them() -> None:
    chat = '[{"type":"url_citation","url_citation":{"url":"https://h","title":"t","start_index":1,"end_index":2}}]'
    flat = '[{"type":"url_citation","url":"https://h","title":"t","start_index":1,"end_index":2},{"type":"x"},7]'
    found = '[{"type":"web_search_result_location","url":"https://h","title":null,"cited_text":"c"}]'
    response = answer(
        text("ab", citations_json=chat), text("cd", citations_json=flat), text("ef", citations_json=found)
    )
    with sdk_that_gets(asked().whole(response, ABOUT)) as client:
        completion = client.chat.completions.create(model="m", messages=[QUESTION])  # type: ignore[list-item]
    annotations = completion.choices[0].message.annotations
    assert annotations is not None
    cited = [(one.url_citation.title, one.url_citation.start_index, one.url_citation.end_index) for one in annotations]
    assert cited == [("t", 1, 2), ("t", 3, 4), ("", 4, 6)]


def test_logprobs_are_where_they_are_asked_for() -> None:
    top = models_pb2.TopLogprob(token="H", logprob=-0.5, token_bytes=b"H")
    token = models_pb2.TokenLogprob(token="Hi", top_logprobs=[top])
    logprobs = models_pb2.Logprobs(content=[token])
    response = answer(text("Hi"), logprobs=logprobs)
    written = {
        "content": [
            {
                "token": "Hi",
                "logprob": -9999.0,
                "bytes": None,
                "top_logprobs": [{"token": "H", "logprob": -0.5, "bytes": [72]}],
            }
        ],
        "refusal": None,
    }
    wanted = asked(logprobs=True, top_logprobs=1)
    assert json.loads(wanted.whole(response, ABOUT))["choices"][0]["logprobs"] == written
    assert json.loads(asked().whole(response, ABOUT))["choices"][0]["logprobs"] is None
    together = [models_pb2.ChatChunk(token="Hi", logprobs=logprobs), models_pb2.ChatChunk(response=response)]
    at_the_end = [models_pb2.ChatChunk(token="Hi"), models_pb2.ChatChunk(response=response)]
    for chunks in (together, at_the_end):
        choices = [chunk["choices"][0] for chunk in data_of(events_of(wanted, chunks))[:-1]]
        assert [choice["logprobs"] for choice in choices if "logprobs" in choice] == [written]


@for_each("arguments", ["free text", '{"input":"free text"}'])
def test_calls_of_custom_tools_have_their_text(arguments: str) -> None:
    wanted = asked(tools=[{"type": "custom", "custom": {"name": "c"}}])
    call = models_pb2.ToolCall(id="1", name="c", arguments_json=arguments)
    response = answer(models_pb2.ContentPart(tool_call=call), finish_reason="tool_calls")
    custom = {"id": "1", "type": "custom", "custom": {"name": "c", "input": "free text"}}
    assert json.loads(wanted.whole(response, ABOUT))["choices"][0]["message"]["tool_calls"] == [custom]
    _, begin, rest, *_ = data_of(streamed(wanted, response))
    assert begin["choices"][0]["delta"]["tool_calls"] == [
        {"index": 0, "id": "1", "type": "custom", "custom": {"name": "c", "input": ""}}
    ]
    assert rest["choices"][0]["delta"]["tool_calls"] == [{"index": 0, "custom": {"input": "free text"}}]


# ------------------------------------------------------------------------------------- members that clients rely on

WHOLE = (
    *("id", "object", "model", "choices", "choices.0.index", "choices.0.message", "choices.0.message.role"),
    *("choices.0.message.content", "choices.0.finish_reason", "usage.prompt_tokens", "usage.completion_tokens"),
    *("usage.total_tokens", "choices.0.message.tool_calls.0.type", "choices.0.message.tool_calls.0.function.name"),
    *("choices.0.message.tool_calls.0.function.arguments", "choices.0.message.tool_calls.0.id", "created"),
)
CHUNK = ("id", "object", "created", "model", "choices")


def value_at(value: Any, path: str) -> Any:
    for step in path.split("."):
        value = value[int(step)] if step.isdigit() else value[step]
    return value


def test_members_without_which_clients_break_are_there() -> None:
    response = answer(text("Hi"), CALL, finish_reason="tool_calls")
    whole = json.loads(asked().whole(response, ABOUT))
    for path in WHOLE:
        assert value_at(whole, path) is not None, path
    wanted = asked(stream_options={"include_usage": True})
    *chunks, usage, _ = data_of(streamed(wanted, response))
    for chunk in [*chunks, usage]:
        assert set(CHUNK) <= chunk.keys()
    assert [chunk["choices"][0]["index"] for chunk in chunks] == [0] * len(chunks)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    (call,) = chunks[2]["choices"][0]["delta"]["tool_calls"]
    assert {"index", "id", "type", "function"} == call.keys()


# ----------------------------------------------------------------------------------------------------- the SDK reads


class Weather(BaseModel):
    degrees: int


def test_the_sdks_helpers_read_structured_answers() -> None:
    response = answer(text('{"degrees": 7}'))
    with sdk_that_gets(asked().whole(response, ABOUT)) as client:
        parsed = client.chat.completions.parse(model="m", messages=[QUESTION], response_format=Weather)  # type: ignore[list-item]
    assert parsed.choices[0].message.parsed == Weather(degrees=7)


def joined(body: bytes) -> ChatCompletion:
    """The completion that the SDK's helper makes of a stream."""
    with (
        sdk_that_gets(body, is_stream=True) as client,
        client.chat.completions.stream(model="m", messages=[QUESTION]) as stream,  # type: ignore[list-item]
    ):
        return stream.get_final_completion()


TEXTS = st.text(max_size=12).filter(lambda text: text.encode("utf-8", "ignore").decode() == text)
STATES = st.builds(
    lambda owner, data: models_pb2.ProviderState(provider=owner, model="m", data=json.dumps({"a": data}).encode()),
    st.sampled_from(["openai", "anthropic", "vllm:1"]),
    TEXTS,
)


@st.composite
def responses(draw: st.DrawFn) -> models_pb2.ChatResponse:
    """Answers of any parts, each with or without state, in any order."""
    parts: list[models_pb2.ContentPart] = []
    for index in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(["text", "reasoning", "refusal", "tool_call", "state"]))
        words = draw(TEXTS.filter(bool))
        if kind == "reasoning":
            part = models_pb2.ContentPart(reasoning=models_pb2.Reasoning(text=words))
        elif kind == "tool_call":
            call = models_pb2.ToolCall(id=f"c{index}", name="f", arguments_json=words)
            part = models_pb2.ContentPart(tool_call=call)
        else:
            part = models_pb2.ContentPart(**({} if kind == "state" else {kind: words}))
        if kind == "state" or draw(st.booleans()):
            part.provider_state.CopyFrom(draw(STATES))
        if kind == "state" and draw(st.booleans()):
            part.reasoning.redacted = True
        parts.append(part)
    calls = any(part.HasField("tool_call") for part in parts)
    return answer(*parts, finish_reason="tool_calls" if calls else "stop")


@settings(max_examples=60, deadline=None)
@given(responses())
def test_stream_and_whole_say_the_same_and_come_back_as_they_were(response: models_pb2.ChatResponse) -> None:
    wanted = asked()
    with sdk_that_gets(wanted.whole(response, ABOUT)) as client:
        whole = client.chat.completions.create(model="m", messages=[QUESTION])  # type: ignore[list-item]
    message = joined(streamed(wanted, response)).choices[0].message
    assert told_by(message.to_dict()) == told_by(whole.choices[0].message.to_dict())

    (back,) = asked(messages=[message.to_dict()]).request.messages
    if any(part.HasField("provider_state") for part in response.message.parts):
        assert list(back.parts) == list(response.message.parts)
    else:
        assert texts_of(back) == texts_of(response.message)


def told_by(message: dict[str, Any]) -> dict[str, Any]:
    """The members of a message that say something, without those that the SDK's helper adds."""
    calls = [call | {"index": None} for call in message.get("tool_calls") or []]
    for call in calls:
        call["function"] = {name: call["function"][name] for name in ("name", "arguments")}
    return {name: value for name, value in {**message, "tool_calls": calls}.items() if value}


def texts_of(message: models_pb2.ChatMessage) -> tuple[Any, ...]:
    """The contents of a message without the order of its kinds, which Chat Completions does not have."""
    calls = [part.tool_call for part in message.parts if part.HasField("tool_call")] or list(message.tool_calls)
    return (
        "".join(part.text for part in message.parts) or message.content,
        "".join(part.reasoning.text for part in message.parts),
        "".join(part.refusal for part in message.parts),
        calls,
    )


def returned(**changes: Any) -> list[models_pb2.ContentPart]:
    """The parts of an answer that a client sends back with these changes."""
    signed = models_pb2.ContentPart(reasoning=models_pb2.Reasoning(text="hm"), provider_state=STATE)
    response = answer(signed, text("Hi", provider_state=STATE), CALL, finish_reason="tool_calls")
    message = json.loads(asked().whole(response, ABOUT))["choices"][0]["message"]
    return list(asked(messages=[message | changes]).request.messages[0].parts)


def test_what_a_client_has_changed_loses_its_state_and_nothing_else() -> None:
    thought, _, call = returned()
    assert returned(content="Hello") == [thought, text("Hello"), call]
    assert returned(tool_calls=None) == [thought, text("Hi", provider_state=STATE)]
    without_text = models_pb2.ContentPart(reasoning=models_pb2.Reasoning(), provider_state=STATE)
    assert returned(reasoning_content=None)[0] == without_text
    plain = [THOUGHT, text("Hi"), CALL]
    assert returned(reasoning_details=None) == plain
    for foreign in ([{"type": "reasoning.text", "text": "hm"}], {"a": 1}, "gs1", [{"format": "gs1", "id": "text:-1"}]):
        assert returned(reasoning_details=foreign) == plain


def test_a_refusal_tells_the_paths_of_the_body_that_was_read() -> None:
    read = asked(max_completion_tokens=5)
    error = InvalidRequest.field("config.max_tokens", "is too large")
    refusal = CHAT_COMPLETIONS.refusal(error, "id", read)
    assert json.loads(refusal.body)["error"]["param"] == "max_completion_tokens"
