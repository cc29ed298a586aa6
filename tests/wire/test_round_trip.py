"""What a provider answers goes back to it as the next request's history with nothing lost.

Answers and conversations are made at random; each is written in every dialect, read, and sent back.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from proto.models_pb2 import ChatMessage, ChatRequest, ChatResponse, ContentPart, ToolCall, ToolResult
from services.models.providers.base import Conversation, Target
from services.models.providers.encoding import encode
from services.models.transport.sse import EventStream
from tests.rows import for_each
from tests.wire.adapters import ADAPTERS, Adapter, every_dialect
from tests.wire.dialects import Call, Sample, Speech
from tests.wire.dialects import encode as encode_json
from tests.wire.speeches.messages import SIGNATURE, AnthropicSpeech

TARGETS = {adapter.name: adapter.target("http://127.0.0.1:9") for adapter in ADAPTERS}

every_round = settings(max_examples=25)

# Messages takes no text of white space alone.
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip)
# Names of tools that every dialect takes.
names = st.from_regex("[A-Za-z_][A-Za-z0-9_-]{0,11}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
spaced = st.sampled_from([(",", ":"), (", ", ": "), (" , ", " :  ")])


@st.composite
def arguments(draw: st.DrawFn) -> str:
    """JSON objects as models write them: with spaces, or without."""
    separators = draw(spaced)
    return json.dumps(draw(st.dictionaries(names, values, max_size=3)), separators=separators, ensure_ascii=False)


@st.composite
def pieces(draw: st.DrawFn, text: str) -> list[str]:
    """A text as a stream cuts it."""
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=3)))
    bounds = [0, *(cut for cut in cuts if cut < len(text)), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(bounds)]


@st.composite
def answers(draw: st.DrawFn) -> Sample:
    calls = [
        Call(f"call_{index}_{draw(names)}", draw(names), draw(pieces(draw(arguments()))))
        for index in range(draw(st.integers(0, 3)))
    ]
    text = draw(pieces(draw(texts))) if not calls or draw(st.booleans()) else []
    reasoning = draw(pieces(draw(texts))) if draw(st.booleans()) else []
    return Sample(text=text, reasoning=reasoning, calls=calls)


def read_whole(target: Target, speech: Speech, sample: Sample) -> ChatResponse:
    answer = target.dialect.read(encode_json(speech.body(sample)))
    answer.state_owner = target.state_owner
    answer.complete()
    return answer.response()


def read_stream(target: Target, speech: Speech, sample: Sample) -> ChatResponse:
    events, decoder = EventStream(), target.dialect.decoder()
    decoder.answer.state_owner = target.state_owner
    decoder.feed(events.feed("".join(speech.events(sample)).encode()))
    decoder.answer.complete()
    return decoder.answer.response()


def sent(target: Target, messages: list[ChatMessage]) -> Any:
    """The body of a request with these messages, its JSON as exact bytes below the first levels."""
    request = ChatRequest(model="any", messages=messages)
    body = encode(Conversation(request, request.messages), target, stream=False)
    assert [notice.code for notice in body.notices if notice.code != "REASONING_DROPPED"] == []
    return json.loads(body.request.body)


def history_after(answer: ChatResponse) -> list[ChatMessage]:
    """The next request: the question, the answer as it came, and what the tools answered."""
    results = [
        ChatMessage(role="tool", tool_call_id=call.id, content=f"result of {call.id}") for call in answer.tool_calls
    ]
    return [
        ChatMessage(role="user", content="Hello"),
        answer.message,
        *results,
        ChatMessage(role="user", content="Go on"),
    ]


@every_dialect
def test_an_answer_goes_back_as_it_came(adapter: Adapter) -> None:
    target, speech = TARGETS[adapter.name], adapter.speech

    @every_round
    @given(answers())
    def check(sample: Sample) -> None:
        whole, streamed = read_whole(target, speech, sample), read_stream(target, speech, sample)
        assert streamed == whole
        body = sent(target, history_after(whole))
        assert speech.returned(body) == speech.expected(sample)

    check()


@every_dialect
def test_arguments_keep_their_bytes(adapter: Adapter) -> None:
    target, speech = TARGETS[adapter.name], adapter.speech

    @every_round
    @given(arguments())
    def check(text: str) -> None:
        whole = read_whole(target, speech, Sample(calls=[Call("call_1", "find", [text])]))
        assert whole.tool_calls[0].arguments_json == text
        request = ChatRequest(model="any", messages=history_after(whole))
        data = encode(Conversation(request, request.messages), target, stream=False).request.body
        assert text.encode() in data or msgspec.json.encode(text) in data

    check()


turns_of_text_and_calls = st.lists(
    st.tuples(texts, texts, st.lists(st.tuples(names, arguments()), max_size=2)), min_size=1, max_size=3
)


def result_part(call: ToolCall) -> ContentPart:
    return ContentPart(tool_result=ToolResult(tool_call_id=call.id, content=[ContentPart(text="found")]))


@every_dialect
def test_the_short_form_and_parts_are_the_same_request(adapter: Adapter) -> None:
    target = TARGETS[adapter.name]

    @every_round
    @given(turns_of_text_and_calls)
    def check(turns: list[tuple[str, str, list[tuple[str, str]]]]) -> None:
        short: list[ChatMessage] = []
        long: list[ChatMessage] = []
        for number, (question, answer, named) in enumerate(turns):
            calls = [
                ToolCall(id=f"call_{number}_{index}", name=name, arguments_json=text)
                for index, (name, text) in enumerate(named)
            ]
            short += [
                ChatMessage(role="user", content=question),
                ChatMessage(role="assistant", content=answer, tool_calls=calls),
                *(ChatMessage(role="tool", tool_call_id=call.id, content="found") for call in calls),
            ]
            long += [
                ChatMessage(role="user", parts=[ContentPart(text=question)]),
                ChatMessage(
                    role="assistant", parts=[ContentPart(text=answer), *(ContentPart(tool_call=call) for call in calls)]
                ),
                *(ChatMessage(role="tool", parts=[result_part(call)]) for call in calls),
            ]
        closing = [ChatMessage(role="user", content="Go on")]
        assert plain(sent(target, short + closing)) == plain(sent(target, long + closing))

    check()


def plain(body: Any) -> Any:
    """With texts that stand alone in a list written as texts, which both dialects read alike."""
    if isinstance(body, dict):
        return {name: plain(value) for name, value in body.items()}
    if isinstance(body, list):
        if len(body) == 1 and isinstance(body[0], dict) and body[0].get("type") in ("text", "input_text"):
            return body[0]["text"]
        return [plain(value) for value in body]
    return body


def test_signed_reasoning_goes_back_over_a_loop_of_three_turns() -> None:
    """In place, in order, byte for byte, beside the calls that it belongs to."""
    target, speech = TARGETS["anthropic"], AnthropicSpeech()
    messages = [ChatMessage(role="user", content="Hello")]
    blocks = []
    for turn in range(3):
        sample = Sample(reasoning=[f"thought {turn}"], calls=[Call(f"call_{turn}", "find", [json.dumps({"n": turn})])])
        answer = read_stream(target, speech, sample)
        messages += [answer.message, ChatMessage(role="tool", tool_call_id=f"call_{turn}", content="found")]
        blocks.append(json.loads(encode_json(speech.body(sample)))["content"])
    body = sent(target, messages)
    assert [turn["content"] for turn in body["messages"] if turn["role"] == "assistant"] == blocks
    assert all(content[0]["signature"] == SIGNATURE for content in blocks)


@for_each("adapter", ["openai", "vllm", "anthropic-endpoint"])
def test_signed_reasoning_never_reaches_another_provider(adapter: str) -> None:
    target = TARGETS[adapter]
    answer = read_whole(TARGETS["anthropic"], AnthropicSpeech(), Sample(reasoning=["secret"], text=["Hi."]))
    request = ChatRequest(model="any", messages=history_after(answer))
    body = encode(Conversation(request, request.messages), target, stream=False)
    assert b"secret" not in body.request.body
    assert SIGNATURE.encode() not in body.request.body
    assert b"Hi." in body.request.body
    assert [notice.code for notice in body.notices] == ["REASONING_DROPPED"]
