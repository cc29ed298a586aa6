"""MODELS_MAX_REQUESTS: as many requests in flight as the operator allows, and what becomes of the others."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from tests.rows import for_each
from tests.scripted_upstream import Received, Script, ScriptedUpstream
from tests.services.model_service import ModelService, answered, chat_request, model_service
from tests.support.errors import failure_of, stream_failure

LIMITS = "gpt-4o=2,anthropic=1"


@pytest.fixture
def go_on() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def upstream(go_on: asyncio.Event) -> AsyncIterator[ScriptedUpstream]:
    def answered_later(request: Received) -> Script:
        waits = request.method == "POST" and request.json()["model"] in ("gpt-4o", "claude-opus-4-5")
        return dataclasses.replace(answered(request), before=[go_on] if waits else [])

    async with ScriptedUpstream(default=answered_later) as upstream:
        yield upstream


@pytest.fixture
async def service(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[ModelService]:
    async with model_service(tmp_path, upstream, MODELS_MAX_ATTEMPTS="3", MODELS_MAX_REQUESTS=LIMITS) as service:
        yield service


@for_each("streams", [False, True])
async def test_request_beyond_the_limit_is_refused_until_one_has_ended(
    tmp_path: Path, upstream: ScriptedUpstream, go_on: asyncio.Event, streams: bool
) -> None:
    async with model_service(tmp_path, upstream, MODELS_MAX_REQUESTS=LIMITS) as service:
        go_on.clear()
        seen = len(upstream.requests)
        first, second = (service.stub.ChatStream(chat_request("gpt-4o"), timeout=30) for _ in range(2))
        await upstream.received(seen + 2)
        if streams:
            chunks, refusal = await stream_failure(service.stub.ChatStream(chat_request("gpt-4o")))
            assert not chunks
        else:
            refusal = await failure_of(service.stub.Chat(chat_request("gpt-4o")))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "PLACES_TAKEN")
        assert (refusal.retry_seconds, refusal.metadata["limit"]) == (1, "gpt-4o")
        first.cancel()
        closed = [asyncio.create_task(request.closed_by_peer()) for request in upstream.requests[seen:]]
        await asyncio.wait(closed, return_when=asyncio.FIRST_COMPLETED)
        go_on.set()
        assert (await service.stub.Chat(chat_request("gpt-4o"))).text == "Hi."
        # Another model of the provider has no limit.
        assert (await service.stub.Chat(chat_request("gpt-4o-mini"))).text == "Hi."
        assert [chunk async for chunk in second][-1].response.text == "Hi."


async def test_fallback_answers_for_a_model_whose_places_are_taken(
    service: ModelService, upstream: ScriptedUpstream, go_on: asyncio.Event
) -> None:
    held = service.stub.Chat(chat_request("claude-opus-4-5"), timeout=30)
    await upstream.received(1)
    response = await service.stub.Chat(chat_request("claude-sonnet-4-5", fallback_models=["gpt-4o-mini"]))
    assert [(attempt.model, attempt.outcome) for attempt in response.attempts] == [
        ("claude-sonnet-4-5", "PLACES_TAKEN"),
        ("gpt-4o-mini", "ok"),
    ]
    assert "FALLBACK_SERVED" in {warning.code for warning in response.warnings}
    go_on.set()
    assert (await held).text == "Hi."
    assert (await service.stub.Chat(chat_request("claude-sonnet-4-5"))).attempts[0].outcome == "ok"
