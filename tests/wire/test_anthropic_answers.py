"""Answers in Messages that ask for more than one sample says: by both verbs, and back as the next turn."""

from __future__ import annotations

import dataclasses
import itertools
import json
from typing import Any

import pytest

from proto.models_pb2 import ChatMessage, ContentPart, ResponseFormat, ToolDefinition
from tests.scripted_upstream import Step, answer, event, event_stream
from tests.wire.adapters import ADAPTERS, JSON, Adapter, Subject, Verb, both_verbs, serve
from tests.wire.dialects import MODEL, Call, Sample, encode, exactly
from tests.wire.speeches.messages import AnthropicSpeech

ANTHROPIC = next(adapter for adapter in ADAPTERS if adapter.name == "anthropic")


class ExactSpeech(AnthropicSpeech):
    """Writes events as it writes bodies, exact texts included."""

    def named(self, kind: str, **members: Any) -> str:
        return event(encode({"type": kind, **members}).decode(), kind)


SPEECH = ExactSpeech()

HELLO = ChatMessage(role="user", content="Hello there")
FIND = ToolDefinition(name="find")
SCHEMA = ResponseFormat(type="json_schema", schema_json='{"type": "object"}', name="weather")
ANSWER_TOOL = "genai_platform_answer_weather"


@pytest.fixture
def adapter() -> Adapter:
    return ANTHROPIC


def message(*blocks: dict[str, Any], reason: str = "end_turn", **members: Any) -> bytes:
    """The body of an answer with these blocks."""
    return encode(SPEECH.body(Sample()) | {"content": blocks, "stop_reason": reason, **members})


def streamed(*blocks: dict[str, Any], reason: str = "end_turn", **members: Any) -> list[Step]:
    """The events of the same answer."""
    events: list[Step] = list(SPEECH.events(Sample())[:1])
    for index, block in enumerate(blocks):
        events += SPEECH.block(index, *_cut(block))
    delta = {"stop_reason": reason, "stop_sequence": None, **members}
    usage = {"output_tokens": SPEECH.body(Sample())["usage"]["output_tokens"]}
    return [*events, SPEECH.named("message_delta", delta=delta, usage=usage), SPEECH.named("message_stop")]


def _cut(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as a stream sends it: how it starts, and its deltas."""
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _halves(block["thinking"])]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
        return block | {"thinking": "", "signature": ""}, deltas
    if block["type"] == "text":
        deltas = [{"type": "text_delta", "text": piece} for piece in _halves(block["text"])]
        deltas += [{"type": "citations_delta", "citation": citation} for citation in block.get("citations", [])]
        return block | {"text": ""} | ({"citations": []} if "citations" in block else {}), deltas
    if block["type"] == "compaction":
        return block | {"content": None}, [block | {"type": "compaction_delta"}]
    if "input" in block:
        pieces = _halves(bytes(block["input"]).decode())
        return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return block, []


def _halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [text[:middle], text[middle:]]


def thinking(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "signature": f"signature of {text}"}


def call(call_id: str, arguments: str, name: str = "find", **members: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": exactly(arguments), **members}


# ------------------------------------------------------------------------------------------------- answers by a tool


@pytest.mark.parametrize("arguments", ['{"n": 1.50, "s": "\\u00e9"}', "{}"])
async def test_answer_by_a_tool_is_text(subject: Subject, arguments: str) -> None:
    block = call("a", arguments, ANSWER_TOOL)
    response = await subject.answered_with(message(block, reason="tool_use"), streamed(block, reason="tool_use"))
    assert (response.text, response.finish_reason, response.raw_finish_reason) == (arguments, "stop", "tool_use")
    assert response.message == ChatMessage(role="assistant", content=arguments)


async def test_answer_by_a_tool_is_taken_once(subject: Subject) -> None:
    blocks = [call("a", '{"n":1}', ANSWER_TOOL), call("b", '{"n":2}', ANSWER_TOOL)]
    response = await subject.answered_with(message(*blocks, reason="tool_use"), streamed(*blocks, reason="tool_use"))
    assert (response.text, response.finish_reason) == ('{"n":1}', "stop")
    assert [warning.code for warning in response.warnings] == ["ANSWER_DROPPED"]


@both_verbs
async def test_answer_by_a_tool_goes_back_as_text(subject: Subject, verb: Verb) -> None:
    facts = dataclasses.replace(subject.target.facts, schema_output="tool")
    subject.target = dataclasses.replace(subject.target, facts=facts)
    block = call("a", '{"n":1}', ANSWER_TOOL)
    subject.upstream.default = serve(
        answer(message(block, reason="tool_use"), headers=JSON), event_stream(*streamed(block, reason="tool_use"))
    )
    first = await subject.ask(verb, response_format=SCHEMA)
    assert first.response is not None
    assert [warning.code for warning in first.response.warnings] == ["PARAMETER_CHANGED"]
    await subject.ask(verb, response_format=SCHEMA, messages=[HELLO, first.response.message, HELLO])
    asked, asked_again = (request.json() for request in subject.upstream.requests)
    assert asked["tool_choice"]["name"] == asked["tools"][0]["name"] == ANSWER_TOOL
    assert asked_again["messages"][1] == {"role": "assistant", "content": [{"type": "text", "text": '{"n":1}'}]}


@both_verbs
async def test_json_without_a_schema_comes_as_text(subject: Subject, verb: Verb) -> None:
    """From a model that is held to schemas by a field, too."""
    assert subject.target.facts.schema_output == "native"
    block = call("a", '{"n":1}', "genai_platform_answer_response")
    subject.upstream.default = serve(
        answer(message(block, reason="tool_use"), headers=JSON), event_stream(*streamed(block, reason="tool_use"))
    )
    outcome = await subject.ask(verb, response_format=ResponseFormat(type="json_object"))
    assert outcome.response is not None
    assert (outcome.response.text, outcome.response.finish_reason) == ('{"n":1}', "stop")
    assert outcome.response.message == ChatMessage(role="assistant", content='{"n":1}')
    assert [(warning.code, warning.field) for warning in outcome.response.warnings] == [
        ("PARAMETER_CHANGED", "response_format")
    ]
    (asked,) = (request.json() for request in subject.upstream.requests)
    assert asked["tool_choice"]["name"] == asked["tools"][0]["name"] == "genai_platform_answer_response"
    assert "output_config" not in asked


async def test_answer_by_a_tool_streams_as_tokens(subject: Subject) -> None:
    block = call("a", '{"n":1}', ANSWER_TOOL)
    subject.upstream.default = event_stream(*streamed(block, reason="tool_use"))
    outcome = await subject.ask("chat_stream")
    assert "".join(chunk.token for chunk in outcome.chunks) == '{"n":1}'
    assert not any(chunk.HasField("tool_call_delta") for chunk in outcome.chunks)


async def test_answer_by_a_tool_beside_a_call(subject: Subject) -> None:
    blocks = [call("a", "{}"), call("b", '{"n":1}', ANSWER_TOOL)]
    response = await subject.answered_with(message(*blocks, reason="tool_use"), streamed(*blocks, reason="tool_use"))
    assert (response.text, response.finish_reason) == ('{"n":1}', "tool_calls")
    assert [tool_call.id for tool_call in response.tool_calls] == ["a"]


# ------------------------------------------------------------------------------------------------ what answers carry


async def test_sources_stand_beside_their_text(subject: Subject) -> None:
    sources = [{"type": "char_location", "cited_text": "é", "n": 12345678901234567890123, "r": 1.0}]
    blocks: list[dict[str, Any]] = [
        {"type": "text", "text": "It is "},
        {"type": "text", "text": "warm.", "citations": sources},
    ]
    response = await subject.answered_with(message(*blocks), streamed(*blocks))
    plain, cited = response.message.parts
    assert plain == ContentPart(text="It is ")
    assert cited.citations_json.encode() == encode(
        exactly(json.dumps(sources, ensure_ascii=False, separators=(",", ":")))
    )
    assert json.loads(cited.provider_state.data)["citations"] == sources


async def test_sources_are_the_providers_own_text(subject: Subject) -> None:
    source = exactly('{ "type":"char_location", "cited_text":"\\u00e9", "n":12345678901234567890123, "r":1.50 }')
    blocks = [{"type": "text", "text": "It is warm.", "citations": [source]}]
    response = await subject.answered_with(message(*blocks), streamed(*blocks))
    (part,) = response.message.parts
    assert part.citations_json == f"[{bytes(source).decode()}]"
    assert part.provider_state.data == encode(blocks[0])


async def test_which_stop_sequence_ended_the_answer(subject: Subject) -> None:
    block = {"type": "text", "text": "1, 2, "}
    ended = {"reason": "stop_sequence", "stop_sequence": "3"}
    response = await subject.answered_with(message(block, **ended), streamed(block, **ended))
    assert (response.stop_sequence, response.finish_reason) == ("3", "stop")


async def test_why_an_answer_was_refused(subject: Subject) -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "This is dangerous."}
    block = {"type": "text", "text": "I can"}
    response = await subject.answered_with(
        message(block, reason="refusal", stop_details=details), streamed(block, reason="refusal", stop_details=details)
    )
    assert (response.text, response.finish_reason) == ("I can", "refusal")
    assert response.message.parts[1] == ContentPart(refusal="This is dangerous.")
    assert [warning.code for warning in response.warnings] == ["ANSWER_REFUSED"]


# ---------------------------------------------------------------------------------------------------- going on


TURNS: list[list[dict[str, Any]]] = [
    [thinking("Find a."), {"type": "text", "text": "First"}, call("a", '{ "n":1.50 }')],
    [
        thinking("Search."),
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": exactly('{"query": "x"}')},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "web_search_result"}]},
        {"type": "redacted_thinking", "data": "b3BhcXVl"},
        {"type": "text", "text": "Then", "citations": [{"type": "web_search_result_location", "url": "u"}]},
        call("b", "{}", caller={"type": "code_execution_20260120", "tool_id": "s"}),
        call("c", '{"n":2}'),
    ],
    [{"type": "redacted_thinking", "data": exactly('"b3\\u0042h"')}, call("e", "{}")],
    [
        {
            "type": "compaction",
            "content": exactly('"Earlier: \\u00e9\\/…"'),
            "encrypted_content": exactly('"b3\\u0042h"'),
        },
        {"type": "text", "text": "Then"},
        call("f", "{}"),
    ],
    [{"type": "compaction", "content": None}, {"type": "text", "text": "Go on"}, call("g", "{}")],
    [thinking("Done."), {"type": "a_new_tool_result", "n": exactly("12345678901234567890123")}, call("d", "{}")],
]


@both_verbs
async def test_tool_loop_gives_every_block_back_byte_for_byte_in_place_and_in_order(
    subject: Subject, verb: Verb
) -> None:
    scripts = [
        answer(message(*blocks, reason="tool_use"), headers=JSON)
        if verb == "chat"
        else event_stream(*streamed(*blocks, reason="tool_use"))
        for blocks in TURNS
    ]
    subject.upstream.play(*scripts)
    subject.upstream.default = serve(
        answer(message(reason="end_turn"), headers=JSON), event_stream(*streamed(reason="end_turn"))
    )
    messages = [HELLO]
    for _ in TURNS:
        outcome = await subject.ask(verb, messages=messages, tools=[FIND])
        assert outcome.response is not None
        messages.append(outcome.response.message)
        results = [
            ChatMessage(role="tool", tool_call_id=made.id, content="found") for made in outcome.response.tool_calls
        ]
        messages.extend(results)
    await subject.ask(verb, messages=messages, tools=[FIND])
    newest = subject.upstream.requests[-1].body
    for blocks in TURNS:
        assert b'{"role":"assistant","content":' + encode(blocks) + b"}" in newest
    roles = [turn["role"] for turn in json.loads(newest)["messages"]]
    assert roles == list(itertools.islice(itertools.cycle(["user", "assistant"]), 2 * len(TURNS) + 1))


@both_verbs
async def test_container_of_code_that_called_a_tool_is_named_in_the_next_turn(subject: Subject, verb: Verb) -> None:
    """Without it the provider refuses what the tool answered."""
    container = exactly('{ "id":"container_1", "expires_at":"2026-12-22T10:00:00Z" }')
    code = {"type": "server_tool_use", "id": "s", "name": "code_execution", "input": exactly('{"code":"find()"}')}
    made = call("a", "{}", caller={"type": "code_execution_20260120", "tool_id": "s"})
    ended: dict[str, Any] = {"reason": "tool_use", "container": container}
    response = await subject.answered_with(message(code, made, **ended), streamed(code, made, **ended))
    *_, last = response.message.parts
    assert last.provider_state.data == b'{"container":' + bytes(container) + b"}"
    found = ChatMessage(role="tool", tool_call_id="a", content="found")
    await subject.ask(verb, messages=[HELLO, response.message, found], tools=[FIND])
    newest = subject.upstream.requests[-1]
    assert newest.json()["container"] == "container_1"
    assert b'{"role":"assistant","content":' + encode([code, made]) + b"}" in newest.body


async def test_state_names_its_owner_and_its_model(subject: Subject) -> None:
    response = await subject.answered(Sample(reasoning=["Hm"], calls=[Call("a", "find", ["{}"])]))
    state = response.message.parts[0].provider_state
    assert (state.provider, state.model) == ("anthropic", MODEL)
