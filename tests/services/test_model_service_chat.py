"""Chat and ChatStream from a caller's stub to the provider's socket and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import models_pb2
from tests.scripted_upstream import Ending, Script, ScriptedUpstream, answer, event, event_stream, json_answer
from tests.services.model_service import (
    ANTHROPIC_KEY,
    END,
    OPENAI_KEY,
    ModelService,
    anthropic_message,
    chat_request,
    completion,
    model_service,
    piece,
    streamed_completion,
    streamed_message,
)
from tests.support.errors import failure_of, stream_failure

TOOL = models_pb2.ToolDefinition(name="weather", parameters_json='{"type": "object"}')
TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}}


async def test_chat_answers_with_what_the_provider_said(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.play(json_answer(completion("Hi there.")))
    request = chat_request(config=models_pb2.ChatConfig(temperature=0, max_tokens=5))
    response = await service.stub.Chat(request)
    sent = upstream.requests[0]
    assert (sent.method, sent.path) == ("POST", "/v1/chat/completions")
    assert sent.headers["authorization"] == f"Bearer {OPENAI_KEY}"
    assert sent.json() == {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "Hello!"}],
        "temperature": 0,
        "max_tokens": 5,
    }
    assert (response.text, response.model, response.provider) == ("Hi there.", "gpt-4o-2024-08-06", "openai")
    assert response.usage == models_pb2.TokenUsage(
        prompt_tokens=9, completion_tokens=4, total_tokens=13, cost_nano_usd=9 * 2_500 + 4 * 10_000
    )
    assert (response.finish_reason, response.raw_finish_reason) == ("stop", "stop")
    assert response.provider_response_id == "chatcmpl-1"
    assert response.response_id.startswith("chat-")
    assert [(attempt.model, attempt.provider, attempt.outcome) for attempt in response.attempts] == [
        ("gpt-4o", "openai", "ok")
    ]
    assert response.timing.total.ToNanoseconds() > 0


async def test_logprobs_come_with_the_pieces_and_whole(service: ModelService, upstream: ScriptedUpstream) -> None:
    told = [{"token": word, "logprob": -0.5, "bytes": list(word.encode()), "top_logprobs": []} for word in ("Hi", ".")]
    choices = [{"index": 0, "delta": {"content": one["token"]}, "logprobs": {"content": [one]}} for one in told]
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    upstream.default = event_stream(*(event(json.dumps({"choices": [choice]})) for choice in [*choices, last]), END)
    request = chat_request(config=models_pb2.ChatConfig(logprobs=True, top_logprobs=0))
    chunks = [chunk async for chunk in service.stub.ChatStream(request)]
    whole = await service.stub.Chat(request)
    expected = [models_pb2.TokenLogprob(token=word, logprob=-0.5, token_bytes=word.encode()) for word in ("Hi", ".")]
    assert [token for chunk in chunks for token in chunk.logprobs.content] == expected
    assert chunks[-1].response.logprobs == whole.logprobs == models_pb2.Logprobs(content=expected)


async def test_logprobs_that_the_model_does_not_give(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.default = json_answer(anthropic_message("Hi there."))
    config = models_pb2.ChatConfig(logprobs=True)
    response = await service.stub.Chat(chat_request("claude-sonnet-4-6", config=config))
    assert [(notice.code, notice.field) for notice in response.warnings] == [("PARAMETER_DROPPED", "config.logprobs")]
    strict = chat_request("claude-sonnet-4-6", config=config, parameter_policy=models_pb2.PARAMETER_POLICY_STRICT)
    failure = await failure_of(service.stub.Chat(strict))
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PARAMETER_UNSUPPORTED")
    assert list(failure.fields) == ["config.logprobs"]
    assert len(upstream.requests) == 1


async def test_chat_reaches_anthropic_by_its_own_dialect(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.play(json_answer(anthropic_message("Hi there.")))
    response = await service.stub.Chat(chat_request("claude-sonnet-4-6"))
    sent = upstream.requests[0]
    assert sent.path == "/v1/messages"
    assert sent.headers["x-api-key"] == ANTHROPIC_KEY
    assert "authorization" not in sent.headers
    assert sent.json()["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hello!"}]}]
    assert (response.text, response.provider, response.finish_reason) == ("Hi there.", "anthropic", "stop")


async def test_plain_loop_over_tokens_gives_the_text(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.play(streamed_completion(piece("Hi "), piece("there"), piece(".")))
    text = ""
    async for chunk in service.stub.ChatStream(chat_request()):
        text += chunk.token
    assert text == "Hi there."


async def test_tokens_leave_as_they_come(service: ModelService, upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    upstream.play(streamed_completion(piece("first"), gate, piece("second")))
    stream = service.stub.ChatStream(chat_request())
    assert (await asyncio.wait_for(stream.read(), 5)).token == "first"
    gate.set()
    assert (await asyncio.wait_for(stream.read(), 5)).token == "second"


async def test_chunks_are_numbered_and_only_the_last_one_has_the_end(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(streamed_completion(piece("a"), piece("b")))
    chunks = [chunk async for chunk in service.stub.ChatStream(chat_request())]
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    *before, last = chunks
    assert all(not chunk.finish_reason and not chunk.HasField("usage") for chunk in before)
    assert last.finish_reason == last.response.finish_reason == "stop"
    assert last.usage == last.response.usage
    assert 0 < last.response.timing.first_token.ToNanoseconds() <= last.response.timing.total.ToNanoseconds()


def streamed_tool_call() -> Script:
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": "Hm"},
        {"tool_calls": [first]},
        *({"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in ('{"city":', ' "Ulm"}')),
    ]
    head = {"id": "chatcmpl-1", "model": "gpt-4o-2024-08-06"}
    return streamed_completion(*(event({**head, "choices": [{"index": 0, "delta": delta}]}) for delta in deltas))


@pytest.mark.parametrize(
    ("model", "whole", "streamed"),
    [
        ("gpt-4o", lambda: json_answer(completion("Hi.")), lambda: streamed_completion(piece("H"), piece("i."))),
        ("claude-sonnet-4-6", lambda: json_answer(anthropic_message("Hi.")), lambda: streamed_message("H", "i.")),
        ("gpt-4o", lambda: json_answer(completion("Hm", tool_calls=[TOOL_CALL])), streamed_tool_call),
    ],
    ids=["openai", "anthropic", "tool call"],
)
async def test_last_chunk_has_the_response_that_chat_gives(
    service: ModelService,
    upstream: ScriptedUpstream,
    model: str,
    whole: Callable[[], Script],
    streamed: Callable[[], Script],
) -> None:
    upstream.play(whole(), streamed())
    request = chat_request(model, tools=[TOOL])
    response = await service.stub.Chat(request)
    chunks = [chunk async for chunk in service.stub.ChatStream(request)]
    assert comparable(chunks[-1].response) == comparable(response)
    assert "".join(chunk.token for chunk in chunks) == response.text
    assert "".join(chunk.tool_call_delta.arguments_json for chunk in chunks) == "".join(
        call.arguments_json for call in response.tool_calls
    )


def comparable(response: models_pb2.ChatResponse) -> models_pb2.ChatResponse:
    """A response without what is its own in every call."""
    response.ClearField("response_id")
    response.ClearField("timing")
    for attempt in response.attempts:
        attempt.ClearField("latency")
    return response


async def test_message_of_a_response_can_be_sent_back_untouched(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(json_answer(completion("Hm", tool_calls=[TOOL_CALL])), json_answer(completion("Rain.")))
    first = await service.stub.Chat(chat_request(tools=[TOOL]))
    result = models_pb2.ChatMessage(role="tool", tool_call_id=first.tool_calls[0].id, content="rain")
    asked = models_pb2.ChatMessage(role="user", content="Weather?")
    await service.stub.Chat(chat_request(messages=[asked, first.message, result], tools=[TOOL]))
    assert upstream.requests[1].json()["messages"][1:] == [
        {"role": "assistant", "content": "Hm", "tool_calls": [TOOL_CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]


async def test_adapted_parameter_is_named_and_strict_refuses_it(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(json_answer(completion()))
    request = chat_request(config=models_pb2.ChatConfig(top_k=3))
    response = await service.stub.Chat(request)
    assert ("PARAMETER_DROPPED", "config.top_k") in [(notice.code, notice.field) for notice in response.warnings]
    request.parameter_policy = models_pb2.PARAMETER_POLICY_STRICT
    failure = await failure_of(service.stub.Chat(request))
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PARAMETER_UNSUPPORTED")
    assert list(failure.fields) == ["config.top_k"]
    assert len(upstream.requests) == 1


async def test_rate_limit_of_the_provider_says_when_to_try_again(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    error = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
    upstream.default = json_answer(error, status=429, headers={"Retry-After": "7", "x-request-id": "req_1"})
    for failure in (
        await failure_of(service.stub.Chat(chat_request())),
        (await stream_failure(service.stub.ChatStream(chat_request())))[1],
    ):
        assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "UPSTREAM_RATE_LIMITED")
        assert failure.retry_seconds == 7
        assert failure.metadata == {
            "provider": "openai",
            "http_status": "429",
            "upstream_request_id": "req_1",
            "phase": "pre_stream",
            "attempts": failure.metadata["attempts"],
        }


async def test_rejected_key_of_the_platform_is_not_the_callers_fault(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(json_answer({"error": {"message": "bad key", "code": "invalid_api_key"}}, status=401))
    failure = await failure_of(service.stub.Chat(chat_request()))
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UPSTREAM_AUTH")


async def test_provider_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    async with model_service(tmp_path) as service:
        failure = await failure_of(service.stub.Chat(chat_request()))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNREACHABLE")


MID_STREAM_FAULTS = {
    "cut": (Ending.CUT, (), "UPSTREAM_STREAM_INTERRUPTED"),
    "reset": (Ending.RESET, (), "UPSTREAM_STREAM_INTERRUPTED"),
    "clean end without a terminal marker": (Ending.CLEAN, (), "UPSTREAM_STREAM_TRUNCATED"),
    "error event": (
        Ending.CLEAN,
        (event({"error": {"message": "busy", "type": "overloaded_error"}}),),
        "UPSTREAM_OVERLOADED",
    ),
    "event that is no JSON": (Ending.CLEAN, (event("{oops"),), "UPSTREAM_PROTOCOL_ERROR"),
}


@pytest.mark.parametrize(("ending", "steps", "reason"), MID_STREAM_FAULTS.values(), ids=MID_STREAM_FAULTS.keys())
async def test_fault_in_mid_stream_comes_after_the_tokens_and_is_never_ok(
    service: ModelService, upstream: ScriptedUpstream, ending: Ending, steps: tuple[str, ...], reason: str
) -> None:
    gate = asyncio.Event()
    upstream.play(event_stream(piece("par"), piece("tial"), gate, *steps, ending=ending))
    stream = aiter(service.stub.ChatStream(chat_request()))
    text = ""
    while text != "partial":
        text += (await asyncio.wait_for(anext(stream), 5)).token
    gate.set()
    chunks, failure = await stream_failure(stream)
    assert not chunks
    code = grpc.StatusCode.INTERNAL if reason == "UPSTREAM_PROTOCOL_ERROR" else grpc.StatusCode.UNAVAILABLE
    assert (failure.code, failure.reason) == (code, reason)
    assert failure.metadata["phase"] == "mid_stream"
    assert int(failure.metadata["chunks"]) > 0


async def test_page_of_html_is_no_answer(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.default = answer(b"<html>Welcome!</html>", headers={"Content-Type": "text/html"})
    _, streamed = await stream_failure(service.stub.ChatStream(chat_request()))
    for failure in (await failure_of(service.stub.Chat(chat_request())), streamed):
        assert (failure.code, failure.reason) == (grpc.StatusCode.INTERNAL, "UPSTREAM_PROTOCOL_ERROR")


async def test_answer_that_was_cut_by_its_length_is_ok_and_says_so(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    body = completion("Hi the")
    body["choices"][0]["finish_reason"] = "length"
    upstream.play(json_answer(body))
    response = await service.stub.Chat(chat_request())
    assert response.finish_reason == "length"


async def test_calls_run_side_by_side(service: ModelService, upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    upstream.default = streamed_completion(piece("a"), gate)

    async def read(stream: Any) -> str:
        return "".join([chunk.token async for chunk in stream])

    running = [asyncio.create_task(read(service.stub.ChatStream(chat_request()))) for _ in range(50)]
    await upstream.received(50)
    gate.set()
    assert await asyncio.gather(*running) == ["a"] * 50


async def test_end_of_a_stream_does_not_wait_for_the_end_of_the_body(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(event_stream(piece("a"), END, ending=Ending.STALL))
    chunks = await asyncio.wait_for(_all(service.stub.ChatStream(chat_request())), 2)
    assert chunks[-1].response.text == "a"
    await upstream.requests[0].closed_by_peer(1)


async def _all(stream: Any) -> list[models_pb2.ChatChunk]:
    return [chunk async for chunk in stream]
