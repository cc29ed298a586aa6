"""The body of a message → an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proto.models_pb2 import ChatMessage, ChatResponse, ContentPart, ProviderState, Reasoning, TokenUsage, ToolCall
from services.models.providers.anthropic.response import read_answer
from services.models.providers.errors.faults import Fault
from tests.rows import for_each


def read(message: Any) -> ChatResponse:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    answer = read_answer(body)
    answer.state_owner = "anthropic"
    answer.complete()
    return answer.response()


def message(*content: Any, reason: Any = "end_turn", **members: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "model": "claude-sonnet-4-6",
        "content": list(content),
        "stop_reason": reason,
        **members,
    }


def text(content: str) -> dict[str, str]:
    return {"type": "text", "text": content}


def state(block: dict[str, Any]) -> ProviderState:
    """A block as it stands in the body."""
    return ProviderState(provider="anthropic", model="claude-sonnet-4-6", data=json.dumps(block).encode())


def test_whole_response() -> None:
    thinking = {"type": "thinking", "thinking": "Hm é.", "signature": "c2ln"}
    call = {"type": "tool_use", "id": "a", "name": "find", "input": {"n": 1}}
    usage = {"input_tokens": 3, "output_tokens": 4}
    expected_call = ToolCall(id="a", name="find", arguments_json='{"n": 1}')
    assert read(message(thinking, text("So."), call, reason="tool_use", usage=usage)) == ChatResponse(
        text="So.",
        model="claude-sonnet-4-6",
        usage=TokenUsage(prompt_tokens=3, completion_tokens=4, total_tokens=7),
        tool_calls=[expected_call],
        finish_reason="tool_calls",
        message=ChatMessage(
            role="assistant",
            content="So.",
            tool_calls=[expected_call],
            parts=[
                ContentPart(reasoning=Reasoning(text="Hm é."), provider_state=state(thinking)),
                ContentPart(text="So."),
                ContentPart(tool_call=expected_call),
            ],
        ),
        raw_finish_reason="tool_use",
        provider_response_id="msg_1",
    )


@for_each(
    ("block", "part"),
    [
        ({"type": "thinking", "thinking": "", "signature": "c2ln"}, ContentPart(reasoning=Reasoning(redacted=True))),
        ({"type": "redacted_thinking", "data": "b3Bh"}, ContentPart(reasoning=Reasoning(redacted=True))),
        ({"type": "a_new_block", "deep": [{"n": 12345678901234567890123}]}, ContentPart()),
        (
            {"type": "text", "text": "Found.", "citations": [{"url": "u"}]},
            ContentPart(text="Found.", citations_json='[{"url": "u"}]'),
        ),
        ({"no": "type"}, ContentPart()),
    ],
)
def test_blocks_that_go_back_whole(block: dict[str, Any], part: ContentPart) -> None:
    part.provider_state.CopyFrom(state(block))
    assert list(read(message(block)).message.parts) == [part]


def test_thinking_without_a_signature_goes_back_whole() -> None:
    """Servers that imitate Messages sign nothing, and want it back."""
    block = {"type": "thinking", "thinking": "Hm.", "signature": ""}
    parts = read(message(block)).message.parts
    assert list(parts) == [ContentPart(reasoning=Reasoning(text="Hm."), provider_state=state(block))]


def test_a_text_in_place_of_blocks() -> None:
    answer = read_answer(b'{"type": "message", "role": "assistant", "content": "Hi", "stop_reason": "end_turn"}')
    assert answer.text_of(0) == "Hi"


def test_empty_blocks_are_none() -> None:
    assert read(message(text(""), {"type": "thinking", "thinking": ""})).message == ChatMessage(role="assistant")


def test_several_texts_keep_their_places() -> None:
    response = read(message(text("One. "), {"type": "tool_use", "id": "a", "name": "f", "input": {}}, text("Two.")))
    assert response.text == "One. Two."
    assert [part.WhichOneof("kind") for part in response.message.parts] == ["text", "tool_call", "text"]


@for_each(
    "arguments",
    ['{ "n":12345678901234567890123,\n "r": 1.50, "s": "\\u00e9\\/" }', "{}", '{"a":{"b":[1.0]}}', "[1]", "7"],
)
def test_arguments_byte_for_byte(arguments: str) -> None:
    body = '{"content": [{"type": "text", "text": "x"}, {"type": "tool_use", "id": "a", "name": "f", "input": %s}]}'
    assert read((body % arguments).encode()).tool_calls[0].arguments_json == arguments


@for_each("block", [{}, {"input": None}])
def test_missing_arguments_are_an_empty_object(block: dict[str, Any]) -> None:
    response = read(message({"type": "tool_use", "id": "a", "name": "f", **block}))
    assert response.tool_calls[0].arguments_json == "{}"


def test_arguments_beside_half_a_character_keep_their_value() -> None:
    """Such a body is read the slow way, which keeps values but not their spelling."""
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {"n": 12345678901234567890123, "s": "\ud83d"}}
    response = read(message(text("x\ud83d"), call))
    assert response.tool_calls[0].arguments_json == '{"n":12345678901234567890123,"s":"\ufffd"}'
    assert response.text == "x\ufffd"


@for_each("more", [{"caller": {"type": "code_execution_20260120", "tool_id": "s"}}, {"toolset_name": "browser"}])
def test_call_that_says_more_than_its_arguments_goes_back_whole(more: dict[str, Any]) -> None:
    block = {"type": "tool_use", "id": "a", "name": "f", "input": {"n": 1}} | more
    (part,) = read(message(block)).message.parts
    assert part.tool_call == ToolCall(id="a", name="f", arguments_json='{"n": 1}')
    assert json.loads(part.provider_state.data) == block


def test_call_by_the_model_itself_needs_no_state() -> None:
    block = {"type": "tool_use", "id": "a", "name": "f", "input": {}, "caller": {"type": "direct"}}
    assert list(read(message(block)).message.parts) == []


def test_citations_byte_for_byte() -> None:
    citations = '[ {"n": 1.50, "s": "\\u00e9"} ]'
    body = '{"model": "claude-sonnet-4-6", "content": [{"type": "text", "text": "x", "citations": %s}]}' % citations  # noqa: UP031
    assert read(body.encode()).message.parts[0].citations_json == citations


@for_each("citations", [None, [], {}, 7])
def test_text_without_citations_is_plain(citations: Any) -> None:
    assert list(read(message(text("x") | {"citations": citations})).message.parts) == []


@for_each(
    "block",
    [
        '{ "type":"thinking",  "thinking":"Hm \\u00e9\\/", "signature":"c2ln" }',
        '{"type" : "redacted_thinking","data":"b3Bh"}',
        '{"type":"web_search_tool_result", "content":[ {"n":1.50e0, "big":12345678901234567890123} ]}',
        '{"type":"text","text":"So.", "citations":[ {"page":1.0} ]}',
        '{"type":"tool_use","id":"a","name":"f","input":{ "n":1.0 }, "toolset_name":"browser"}',
    ],
)
def test_block_that_is_kept_stays_byte_for_byte(block: str) -> None:
    body = '{"model": "m", "content": [{"type": "text", "text": "x"}, %s , {"type": "b"}]}' % block  # noqa: UP031
    parts = read(body.encode()).message.parts
    assert [part.provider_state.data.decode() for part in parts] == ["", block, '{"type": "b"}']


def test_block_beside_half_a_character_keeps_its_value() -> None:
    response = read(message(text("x\ud83d"), {"type": "b", "n": 12345678901234567890123}))
    assert response.message.parts[1].provider_state.data == b'{"type":"b","n":12345678901234567890123}'


def test_citations_beside_half_a_character_keep_their_value() -> None:
    response = read(message(text("x\ud83d") | {"citations": [{"n": 12345678901234567890123}]}))
    assert response.message.parts[0].citations_json == '[{"n":12345678901234567890123}]'


ANSWER = {"type": "tool_use", "id": "a", "name": "genai_platform_answer_weather", "input": {"n": 1}}
CALL = {"type": "tool_use", "id": "b", "name": "find", "input": {}}


def test_answer_by_a_tool_is_text() -> None:
    response = read(message(ANSWER, reason="tool_use"))
    assert (response.text, response.finish_reason, response.raw_finish_reason) == ('{"n": 1}', "stop", "tool_use")
    assert response.message == ChatMessage(role="assistant", content='{"n": 1}')


def test_answer_by_a_tool_beside_a_call() -> None:
    response = read(message(CALL, ANSWER, reason="tool_use"))
    assert (response.text, response.finish_reason) == ('{"n": 1}', "tool_calls")
    assert [call.name for call in response.tool_calls] == ["find"]


def test_first_answer_by_a_tool_is_the_answer() -> None:
    """Two texts of JSON are no JSON."""
    response = read(message(ANSWER, CALL, ANSWER | {"id": "c", "input": {"n": 2}}, reason="tool_use"))
    assert response.text == response.message.content == '{"n": 1}'
    assert [call.name for call in response.tool_calls] == ["find"]
    assert [warning.code for warning in response.warnings] == ["ANSWER_DROPPED"]


@for_each(
    ("raw", "reason"),
    [("max_tokens", "length"), ("refusal", "refusal"), ("pause_turn", "pause"), ("compaction", "pause")],
)
def test_answer_by_a_tool_that_did_not_end_well_says_so(raw: str, reason: str) -> None:
    assert read(message(ANSWER, reason=raw)).finish_reason == reason


@for_each(("category", "is_told"), [("cyber", True), ("a_new_one", True), (None, False), ("A b!", False)])
def test_why_an_answer_was_refused(category: str | None, is_told: bool) -> None:
    details = {"type": "refusal", "category": category, "explanation": "Not this."}
    response = read(message(text("I can"), reason="refusal", stop_details=details))
    assert (response.text, response.finish_reason) == ("I can", "refusal")
    assert list(response.message.parts) == [ContentPart(text="I can"), ContentPart(refusal="Not this.")]
    assert [warning.code for warning in response.warnings] == ["ANSWER_REFUSED"] * is_told
    assert all(str(category) in warning.message for warning in response.warnings)


@for_each("details", [None, {}, {"type": "refusal", "category": None, "explanation": None}, 7])
def test_refusal_without_a_reason(details: Any) -> None:
    response = read(message(text("I can"), reason="refusal", stop_details=details))
    assert response.message == ChatMessage(role="assistant", content="I can")
    assert list(response.warnings) == []


@for_each(
    ("raw", "finish"), [("end_turn", "stop"), ("eos", "stop"), ("new_word", "other"), (None, "other"), (7, "other")]
)
def test_finish_reasons(raw: object, finish: str) -> None:
    response = read(message(text("Hi"), reason=raw))
    assert response.finish_reason == finish
    assert response.raw_finish_reason == (raw if isinstance(raw, str) else "")


@for_each(
    ("told", "usage"),
    [
        ({"input_tokens": 10, "output_tokens": 5}, TokenUsage(prompt_tokens=10, completion_tokens=5, total_tokens=15)),
        (
            {
                "input_tokens": 10,
                "output_tokens": 5,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 20,
                "cache_creation": {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5},
                "output_tokens_details": {"thinking_tokens": 3},
                "server_tool_use": {"web_search_requests": 1},
            },
            TokenUsage(
                prompt_tokens=130,
                completion_tokens=5,
                total_tokens=135,
                cached_prompt_tokens=100,
                cache_write_tokens=20,
                long_cache_write_tokens=5,
                reasoning_tokens=3,
            ),
        ),
        (
            {"input_tokens": 1, "output_tokens": 1, "cache_read_input_tokens": None, "cache_creation_input_tokens": 0},
            TokenUsage(prompt_tokens=1, completion_tokens=1, total_tokens=2, cache_write_tokens=0),
        ),
        (
            {
                "input_tokens": 1,
                "output_tokens": 1,
                "cache_creation_input_tokens": None,
                "cache_creation": {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5, "new": "x"},
            },
            TokenUsage(
                prompt_tokens=21, completion_tokens=1, total_tokens=22, cache_write_tokens=20, long_cache_write_tokens=5
            ),
        ),
        (
            {"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 0}},
            TokenUsage(
                prompt_tokens=1, completion_tokens=1, total_tokens=2, cache_write_tokens=0, long_cache_write_tokens=0
            ),
        ),
        (
            {"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": "many"}},
            TokenUsage(prompt_tokens=1, completion_tokens=1, total_tokens=2, cache_write_tokens=0),
        ),
        ({"output_tokens": 5}, TokenUsage(completion_tokens=5, total_tokens=5)),
        ({"input_tokens": -1, "output_tokens": 2**63, "output_tokens_details": {"thinking_tokens": -1}}, None),
        ({"input_tokens": True}, None),
        ({}, None),
        (None, None),
        (7, None),
    ],
)
def test_usage_in_every_spelling(told: Any, usage: TokenUsage | None) -> None:
    response = read(message(text("Hi"), usage=told))
    assert (response.usage if response.HasField("usage") else None) == usage


@for_each(
    ("told", "standard"),
    [
        ({}, True),
        ({"service_tier": "standard", "speed": "standard", "inference_geo": "global"}, True),
        ({"service_tier": None, "speed": None, "inference_geo": "not_available"}, True),
        ({"service_tier": ["batch"], "speed": 7}, True),
        ({"service_tier": "priority"}, False),
        ({"service_tier": "batch"}, False),
        ({"speed": "fast"}, False),
        ({"inference_geo": "us"}, False),
    ],
)
def test_rates_other_than_the_usual_are_known(told: dict[str, Any], standard: bool) -> None:
    usage = {"input_tokens": 1, "output_tokens": 1, **told}
    assert read_answer(json.dumps(message(text("Hi"), usage=usage)).encode()).at_standard_rates is standard


def test_container_is_the_last_part_byte_for_byte() -> None:
    container = '{ "id":"container_1",  "expires_at":"2026-12-22T10:00:00Z", "n":1.50 }'
    whole = message(text("So."), reason="refusal", stop_details={"explanation": "Not this."}, container="HERE")
    response = read(json.dumps(whole).replace('"HERE"', container).encode())
    data = f'{{"container":{container}}}'.encode()
    state = ProviderState(provider="anthropic", model="claude-sonnet-4-6", data=data)
    assert list(response.message.parts) == [
        ContentPart(text="So."),
        ContentPart(refusal="Not this."),
        ContentPart(provider_state=state),
    ]


def test_container_beside_half_a_character_keeps_its_value() -> None:
    response = read(message(text("x\ud83d"), container={"id": "c", "n": 2**70}))
    assert response.message.parts[1].provider_state.data == f'{{"container":{{"id":"c","n":{2**70}}}}}'.encode()


@for_each("container", [None, "container_1", 7, []])
def test_what_is_no_container(container: Any) -> None:
    assert list(read(message(text("So."), container=container)).message.parts) == []


@for_each(("told", "sequence"), [("END", "END"), ("", ""), (None, ""), (7, ""), (["END"], "")])
def test_stop_sequence_that_ended_the_answer(told: Any, sequence: str) -> None:
    response = read(message(text("Hi"), reason="stop_sequence", stop_sequence=told))
    assert (response.stop_sequence, response.finish_reason) == (sequence, "stop")


@for_each("body", [b"", b"<html>", b"[]", b"null", b"{}", b'{"content": "Hi"}', b'{"content": ["Hi"]}'])
def test_what_is_no_message(body: bytes) -> None:
    with pytest.raises(Fault) as raised:
        read_answer(body)
    assert raised.value.reason == "UPSTREAM_PROTOCOL_ERROR"


def test_error_with_status_200() -> None:
    with pytest.raises(Fault) as raised:
        read_answer(b'{"type": "error", "error": {"type": "overloaded_error", "message": "x"}}')
    assert raised.value.reason == "UPSTREAM_OVERLOADED"


def test_bytes_that_are_not_quite_utf8_are_read_all_the_same() -> None:
    """Half a character as three bytes, which no text may hold: the exact bytes cannot be kept."""
    cited = {"type": "text", "text": "So.", "citations": [{"page": "PAGE"}]}
    call = {"type": "tool_use", "id": "a", "name": "find", "input": {"n": "PAGE"}}
    response = read(json.dumps(message(cited, call)).encode().replace(b"PAGE", b"1\xed\xa0\x802"))
    assert response.tool_calls[0].arguments_json == '{"n":"1\ufffd2"}'
    assert response.message.parts[0].citations_json == '[{"page":"1\ufffd2"}]'


@for_each("tokens", [2**40, 2**60, 2**70])
def test_counts_beyond_all_reason_are_not_told(tokens: int) -> None:
    """Sums of them, and what they would cost, fit no field."""
    written = {f"lifetime_{number}": 2**40 - 1 for number in range(20)}
    usage = {"input_tokens": tokens, "output_tokens": 4, "cache_creation": written}
    assert read(message(text("So."), usage=usage)).usage == TokenUsage(completion_tokens=4, total_tokens=4)
