"""The body of a chat completion → an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proto import models_pb2
from proto.models_pb2 import ChatMessage, ChatResponse, ContentPart, ProviderState, Reasoning, TokenUsage, ToolCall
from services.models.providers.errors.faults import Fault
from services.models.providers.openai.chat_completions.dialect import OPENAI_COMPATIBLE
from services.models.providers.openai.chat_completions.response import read_answer
from services.models.providers.vllm import VLLM
from tests.rows import for_each


def read(completion: Any) -> ChatResponse:
    answer = read_answer(json.dumps(completion).encode())
    answer.complete()
    return answer.response()


def completion(message: dict[str, Any], finish: Any = "stop", **members: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {"id": "chatcmpl-1", "model": "gpt-4o-2024-08-06", "choices": [choice], **members}


def usage_of(told: Any) -> TokenUsage | None:
    response = read(completion({"content": "Hi"}, usage=told))
    return response.usage if response.HasField("usage") else None


def test_whole_response() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "find", "arguments": '{ "n":1}'}}
    message = {"role": "assistant", "content": "So.", "reasoning": "Hm.", "tool_calls": [call], "annotations": []}
    told = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    expected_call = ToolCall(id="a", name="find", arguments_json='{ "n":1}')
    assert read(completion(message, "tool_calls", usage=told, service_tier="default")) == ChatResponse(
        text="So.",
        model="gpt-4o-2024-08-06",
        usage=TokenUsage(prompt_tokens=3, completion_tokens=4, total_tokens=7),
        tool_calls=[expected_call],
        finish_reason="tool_calls",
        message=ChatMessage(
            role="assistant",
            content="So.",
            tool_calls=[expected_call],
            parts=[
                ContentPart(
                    reasoning=Reasoning(text="Hm."),
                    provider_state=ProviderState(
                        model="gpt-4o-2024-08-06", data=b'{"chat_completion":{"reasoning":["reasoning"]}}'
                    ),
                ),
                ContentPart(text="So."),
                ContentPart(tool_call=expected_call),
            ],
        ),
        raw_finish_reason="tool_calls",
        provider_response_id="chatcmpl-1",
    )


def test_null_is_as_good_as_absent() -> None:
    message = {"content": None, "refusal": None, "reasoning": None, "reasoning_content": None, "tool_calls": None}
    response = read(completion(message, usage=None))
    assert response.message == ChatMessage(role="assistant")


CITED = {
    "type": "url_citation",
    "url_citation": {"url": "https://a.example/\u00e9", "title": "A \ud83d", "end_index": 2},
}


def test_annotations_are_citations_of_the_text() -> None:
    response = read(completion({"content": "Hi.", "annotations": [CITED, {"type": "new"}]}))
    [part] = response.message.parts
    assert (part.text, response.message.content, response.text) == ("Hi.", "Hi.", "Hi.")
    cited = json.loads(part.citations_json)
    assert [one["type"] for one in cited] == ["url_citation", "new"]
    assert cited[0]["url_citation"] == {"url": "https://a.example/\u00e9", "title": "A \ufffd", "end_index": 2}


@for_each("annotations", [None, [], {}, "x", {"type": "url_citation"}])
def test_no_annotations_are_no_citations(annotations: Any) -> None:
    """vLLM has the field, and its type is wrong."""
    assert read(completion({"content": "Hi.", "annotations": annotations})).message == ChatMessage(
        role="assistant", content="Hi."
    )


def test_annotations_without_a_text_have_nothing_to_cite() -> None:
    assert read(completion({"content": None, "annotations": [CITED]})).message == ChatMessage(role="assistant")


def test_calls_are_calls_whatever_the_finish_reason() -> None:
    """Some of vLLM's parsers leave `stop`."""
    call = {"id": "a", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    response = read(completion({"content": None, "tool_calls": [call]}, "stop"))
    assert (response.finish_reason, response.raw_finish_reason) == ("tool_calls", "stop")


@for_each(
    ("raw", "finish"),
    [("stop", "stop"), ("model_length", "length"), ("new_word", "other"), (None, "other"), (7, "other")],
)
def test_finish_reasons(raw: object, finish: str) -> None:
    response = read(completion({"content": "Hi"}, raw))
    assert response.finish_reason == finish
    assert response.raw_finish_reason == (raw if isinstance(raw, str) else "")


@for_each(
    ("told", "usage"),
    [
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 99},
            TokenUsage(prompt_tokens=10, completion_tokens=89, total_tokens=99, reasoning_tokens=84),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 2, "audio_tokens": 1},
                "completion_tokens_details": {"reasoning_tokens": 0, "accepted_prediction_tokens": 0},
            },
            TokenUsage(
                prompt_tokens=10,
                completion_tokens=5,
                total_tokens=15,
                cached_prompt_tokens=0,
                cache_write_tokens=2,
                reasoning_tokens=0,
            ),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": None},
            TokenUsage(prompt_tokens=10, completion_tokens=5, total_tokens=15),
        ),
        ({"prompt_tokens": 10}, TokenUsage(prompt_tokens=10, total_tokens=10)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, TokenUsage()),
        (
            {"prompt_tokens": "10", "completion_tokens": 5.0},
            TokenUsage(prompt_tokens=10, completion_tokens=5, total_tokens=15),
        ),
        ({"prompt_tokens": -1, "completion_tokens": "five"}, None),
        ({"prompt_tokens": 2**63, "completion_tokens": True}, None),
        ({}, None),
        (None, None),
        ([1], None),
    ],
)
def test_usage_in_every_spelling(told: Any, usage: TokenUsage | None) -> None:
    assert usage_of(told) == usage


@for_each(
    ("arguments", "text"),
    [
        ('{ "n": 12345678901234567890123 }', '{ "n": 12345678901234567890123 }'),
        ({"n": 12345678901234567890123}, '{"n":12345678901234567890123}'),
        ("not JSON", "not JSON"),
        ("", "{}"),
        (None, "{}"),
        ([1], "[1]"),
    ],
)
def test_arguments(arguments: Any, text: str) -> None:
    call = {"id": "a", "function": {"name": "find", "arguments": arguments}}
    assert read(completion({"tool_calls": [call]})).tool_calls[0].arguments_json == text


@for_each(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"choices": [null]}',
        b'{"choices": [{}]}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {"tool_calls": [5]}}]}',
        b'{"choices": [{"message": {"tool_calls": [{"id": "a"}]}}]}',
    ],
)
def test_what_is_no_completion(body: bytes) -> None:
    with pytest.raises(Fault) as raised:
        read_answer(body)
    assert raised.value.reason == "UPSTREAM_PROTOCOL_ERROR"


def test_error_with_status_200() -> None:
    with pytest.raises(Fault) as raised:
        read_answer(b'{"error": {"type": "server_error", "code": "rate_limit_exceeded"}, "choices": []}')
    assert raised.value.reason == "UPSTREAM_RATE_LIMITED"


def test_null_error_is_none() -> None:
    assert read(completion({"content": "Hi"}, error=None)).text == "Hi"


@for_each(
    ("content", "text"),
    [
        (["Hi", " you"], "Hi you"),
        ({"type": "text", "text": "Hi"}, "Hi"),
        ({"a": 1.5}, '{"a":1.5}'),
        (7, "7"),
        (True, ""),
    ],
)
def test_content_that_is_no_text(content: Any, text: str) -> None:
    """Texts without parts around them, a part without its list, JSON that a proxy has read."""
    assert read(completion({"content": content})).text == text


def test_a_message_that_is_its_text_alone() -> None:
    assert read({"choices": [{"message": "Hi", "finish_reason": "stop"}]}).text == "Hi"


def test_reasoning_of_foreign_type_goes_back_as_it_came() -> None:
    [part] = read(completion({"content": "Hi", "reasoning": {"summary": ["x"]}})).message.parts
    assert part.provider_state.data == b'{"chat_completion":{"message":{"reasoning":{"summary":["x"]}}}}'


def test_what_is_spoken_comes_once() -> None:
    assert read(completion({"content": "Hi", "audio": {"transcript": "Hi", "data": "AAAA"}})).text == "Hi"


def test_text_of_foreign_type_is_not_text() -> None:
    message = {"content": None, "reasoning": [], "refusal": {}, "tool_calls": {"a": 1}}
    response = read(completion(message) | {"id": 5, "model": None})
    assert response == ChatResponse(
        finish_reason="stop", raw_finish_reason="stop", message=models_pb2.ChatMessage(role="assistant")
    )


@for_each(
    ("tier", "standard"),
    [
        ("default", True),
        ("auto", True),
        (None, True),
        ("a_new_word", True),
        (["flex"], True),
        ("flex", False),
        ("scale", False),
        ("priority", False),
        ("fast", False),
    ],
)
def test_service_tier_tells_whether_the_rates_are_standard(tier: Any, standard: bool) -> None:
    answer = read_answer(json.dumps(completion({"content": "Hi"}, service_tier=tier)).encode())
    assert answer.at_standard_rates is standard


@for_each(
    ("finish", "told", "stop_sequence"),
    [
        ("stop", "END", "END"),
        ("tool_calls", "</tool>", "</tool>"),
        ("stop", 2, ""),
        ("stop", None, ""),
        ("repetition", "repetition_detected", ""),
    ],
)
def test_stop_sequence_is_told_by_vllm(finish: str, told: Any, stop_sequence: str) -> None:
    body = completion({"content": "Hi"}, finish)
    body["choices"][0]["stop_reason"] = told
    assert VLLM.read(json.dumps(body).encode()).stop_sequence == stop_sequence
    assert OPENAI_COMPATIBLE.read(json.dumps(body).encode()).stop_sequence == ""


def test_call_of_a_custom_tool_is_a_call() -> None:
    call = {"id": "a", "type": "custom", "custom": {"name": "query", "input": 'SELECT "a"'}}
    response = read(completion({"content": None, "tool_calls": [call]}, "tool_calls"))
    assert list(response.tool_calls) == [ToolCall(id="a", name="query", arguments_json='SELECT "a"')]


def test_call_in_the_form_before_tool_calls_is_a_call() -> None:
    former = {"name": "find", "arguments": "{}"}
    response = read(completion({"content": None, "function_call": former}, "function_call"))
    assert [(call.name, call.arguments_json) for call in response.tool_calls] == [("find", "{}")]
    assert response.finish_reason == "tool_calls"


@for_each("former", [None, {}, {"name": "", "arguments": ""}, "x"])
def test_empty_call_in_the_form_before_tool_calls_is_none(former: Any) -> None:
    response = read(completion({"content": "Hi", "function_call": former}))
    assert (list(response.tool_calls), response.finish_reason) == ([], "stop")


def test_transcript_of_sound_is_text_and_the_sound_is_told_as_lost() -> None:
    audio = {"id": "audio_1", "data": "UklGRg==", "expires_at": 1, "transcript": "Hello."}
    response = read(completion({"content": None, "audio": audio}))
    assert (response.text, response.finish_reason) == ("Hello.", "stop")
    assert [warning.code for warning in response.warnings] == ["AUDIO_DROPPED"]


def test_content_in_parts_is_reasoning_and_text() -> None:
    """As Mistral's reasoning models answer; parts that say nothing of either are survived."""
    thoughts = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}, {"type": "text", "text": "."}, 1]}
    parts = [thoughts, {"type": "text", "text": "So"}, {"type": "text", "text": "."}, {"type": "text"}, 7, None]
    response = read(completion({"content": parts}))
    assert response.text == "So."
    reasoning, said = response.message.parts
    assert (reasoning.reasoning, said) == (Reasoning(text="Hm."), ContentPart(text="So."))
    kept = json.loads(reasoning.provider_state.data)
    assert kept == {"chat_completion": {"thoughts": [thoughts]}}
