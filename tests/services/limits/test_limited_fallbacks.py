"""Limits and fallbacks: each model of a chat is admitted by its own limits, and a chat counts once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from proto import models_pb2, usage_pb2
from proto.identity_pb2 import CallerIdentity, LimitRule
from services.models.limits.estimate import FIRST_ANSWER_TOKENS
from services.shared.identity import Callers, IdentitySigner
from services.shared.metadata import IDENTITY_KEY
from tests.scripted_upstream import ScriptedUpstream, event_stream, json_answer
from tests.services.model_service import (
    END,
    ModelService,
    anthropic_message,
    chat_request,
    completion,
    model_service,
    piece,
    streamed_completion,
)
from tests.support.errors import failure_of

SIGNER = IdentitySigner([b"k" * 32])

BROKEN = json_answer({"error": {"message": "broken"}}, status=500)
CLAUDE, MINI = "claude-sonnet-4-6", "gpt-4o-mini"


def limit(name: str, resource: str, window: str, amount: int, glob: str = "*") -> LimitRule:
    return LimitRule(
        id=name, scope_kind="key", scope_id="*", resource=resource, window=window, amount=amount, model_glob=glob
    )


LIMITS = [
    limit("chats", "requests", "min", 60),
    limit("slots", "concurrent", "", 1),
    limit("tokens", "tokens", "day", 100_000),
    limit("gpt", "tokens", "day", 100_000, "gpt-4o"),
    limit("claude", "tokens", "day", 100_000, "claude*"),
    limit("claude chats", "requests", "day", 100, "anthropic/*"),
]
NO_CLAUDE = limit("no claude", "requests", "min", 0, "anthropic/*")


def caller(*limits: LimitRule) -> list[tuple[str, bytes]]:
    identity = CallerIdentity(key_id="k", project_id="p", scopes=["generate"], limits=limits)
    return [(IDENTITY_KEY, SIGNER.sign(identity))]


@pytest.fixture
async def service(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[ModelService]:
    callers = Callers()
    callers.require(SIGNER)
    async with model_service(tmp_path, upstream, callers=callers, MODELS_MAX_ATTEMPTS="2") as service:
        yield service


async def left(service: ModelService, *limits: LimitRule) -> dict[str, int]:
    """What is left of limits that have been asked for."""
    answer = await service.usage.GetMyUsage(usage_pb2.GetMyUsageRequest(), metadata=caller(*limits))
    return {use.limit.id: use.remaining for use in answer.limits if use.HasField("remaining")}


def outcomes(response: models_pb2.ChatResponse) -> list[tuple[str, str]]:
    return [(attempt.model, attempt.outcome) for attempt in response.attempts]


async def test_a_reservation_moves_to_the_fallback(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.play(BROKEN, json_answer(anthropic_message()))
    request = chat_request(fallback_models=[CLAUDE])
    response = await service.stub.Chat(request, metadata=caller(*LIMITS))
    used = response.usage.prompt_tokens + response.usage.completion_tokens
    assert [outcome for _, outcome in outcomes(response)] == ["UPSTREAM_SERVER_ERROR", "ok"]
    assert await left(service, *LIMITS) == {
        "chats": 59,
        "slots": 1,
        "tokens": 100_000 - used,
        "gpt": 100_000,
        "claude": 100_000 - used,
        "claude chats": 99,
    }


async def test_a_stream_that_ends_before_its_model_has_said_anything_costs_what_was_estimated(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    gate = asyncio.Event()
    # The model may be working behind a stream that has begun.
    upstream.play(event_stream(piece(""), gate, END))
    call = service.stub.ChatStream(chat_request(), timeout=0.5, metadata=caller(*LIMITS))
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()
    async with asyncio.timeout(10):
        while (found := await left(service, *LIMITS))["slots"] != 1:  # noqa: ASYNC110 nothing tells of it
            await asyncio.sleep(0.02)
    gate.set()
    assert 100_000 - found["tokens"] > FIRST_ANSWER_TOKENS


async def test_a_fallback_that_limits_refuse_gives_way_to_the_next(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    limits = [*LIMITS, NO_CLAUDE]
    upstream.play(BROKEN, json_answer(completion()))
    request = chat_request(fallback_models=[CLAUDE, MINI])
    response = await service.stub.Chat(request, metadata=caller(*limits))
    # The refused one is no attempt, of which there may be two.
    assert [outcome for _, outcome in outcomes(response)] == ["UPSTREAM_SERVER_ERROR", "RATE_LIMITED", "ok"]
    assert [received.json()["model"] for received in upstream.requests] == ["gpt-4o", MINI]
    used = response.usage.prompt_tokens + response.usage.completion_tokens
    remaining = await left(service, *limits)
    assert (remaining["chats"], remaining["slots"], remaining["tokens"]) == (59, 1, 100_000 - used)
    assert (remaining["gpt"], remaining["claude"]) == (100_000, 100_000)


async def test_streams_fall_back_by_the_same_limits(service: ModelService, upstream: ScriptedUpstream) -> None:
    limits = [*LIMITS, NO_CLAUDE]
    upstream.play(BROKEN, streamed_completion(piece("Hi."), END))
    request = chat_request(fallback_models=[CLAUDE, MINI])
    chunks = [chunk async for chunk in service.stub.ChatStream(request, metadata=caller(*limits))]
    response = chunks[-1].response
    assert [outcome for _, outcome in outcomes(response)] == ["UPSTREAM_SERVER_ERROR", "RATE_LIMITED", "ok"]
    assert (await left(service, *limits))["slots"] == 1


async def test_where_all_fallbacks_are_refused_the_error_is_that_of_the_first_model(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    limits = [*LIMITS, NO_CLAUDE]
    upstream.default = BROKEN
    request = chat_request(fallback_models=[CLAUDE])
    failure = await failure_of(service.stub.Chat(request, metadata=caller(*limits)))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_SERVER_ERROR")
    assert "RATE_LIMITED" in failure.metadata["attempts"]
    assert {received.json()["model"] for received in upstream.requests} == {"gpt-4o"}
    remaining = await left(service, *limits)
    assert (remaining["chats"], remaining["slots"], remaining["tokens"]) == (59, 1, 100_000)


async def test_the_callers_own_choice_is_refused_before_any_fallback(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    request = chat_request(CLAUDE, fallback_models=[MINI])
    failure = await failure_of(service.stub.Chat(request, metadata=caller(*LIMITS, NO_CLAUDE)))
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert not upstream.requests
