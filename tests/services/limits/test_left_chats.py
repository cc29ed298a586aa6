"""Chats whose callers leave: limits and ledger count the same, however far the chat has come, in every store."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest

from proto import usage_pb2
from proto.identity_pb2 import LimitRule
from services.models.limits.estimate import FIRST_ANSWER_TOKENS
from services.shared.identity import Callers
from services.shared.metadata import Metadata
from tests.rows import row
from tests.scripted_upstream import Script, ScriptedUpstream, event, event_stream, json_answer, no_answer
from tests.services.model_service import (
    ModelService,
    anthropic_message,
    chat_request,
    completion,
    model_service,
    piece,
    streamed_completion,
)
from tests.support.callers import caller, require, signed
from tests.support.databases import provide_behind

CLAUDE = "claude-sonnet-4-6"

AMOUNT = 10**12
COUNTED = {"calls": "requests", "tokens": "tokens", "money": "nano_usd"}
LIMITS = [
    *(
        LimitRule(id=name, scope_kind="key", scope_id="*", resource=resource, window="day", amount=AMOUNT)
        for name, resource in COUNTED.items()
    ),
    LimitRule(id="slots", scope_kind="key", scope_id="*", resource="concurrent", amount=1),
]

FINISHED = event({"id": "c", "model": "gpt-4o", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
"""The end of an answer before its usage."""


class Used(NamedTuple):
    """What was used of a caller's limits."""

    calls: int
    tokens: int
    nano_usd: int


@pytest.fixture(params=["memory", "postgresql", "redis"])
async def service(
    request: pytest.FixtureRequest, tmp_path: Path, upstream: ScriptedUpstream, patient_stores: None
) -> AsyncIterator[ModelService]:
    settings = {"LIMITS_STORE": request.param}
    if request.param == "postgresql":
        settings["LIMITS_DATABASE_URL"] = request.getfixturevalue("postgresql_url")
        provide_behind(settings["LIMITS_DATABASE_URL"], "limits")
    elif request.param == "redis":
        settings["LIMITS_REDIS_URL"] = request.getfixturevalue("redis_url")
    async with model_service(tmp_path, upstream, callers=require(Callers()), **settings) as service:
        yield service


def of_key(name: str) -> Metadata:
    return signed(caller("p", key_id=name, limits=LIMITS, scopes=["generate"]))


async def used(service: ModelService, metadata: Metadata) -> Used:
    """What was used of limits whose one slot is free again; the store and the ledger must say the same."""

    async def limits() -> dict[str, usage_pb2.LimitUse]:
        answer = await service.usage.GetMyUsage(usage_pb2.GetMyUsageRequest(), metadata=metadata)
        return {use.limit.id: use for use in answer.limits}

    async with asyncio.timeout(20):
        while not (await limits())["slots"].remaining:  # noqa: ASYNC110 nothing tells of the end of a call that was left
            await asyncio.sleep(0.02)
    found = await limits()
    by_store = Used(*(AMOUNT - found[name].remaining for name in COUNTED))
    by_ledger = Used(*(found[name].used for name in COUNTED))
    assert by_store == by_ledger
    return by_ledger


Leave = Callable[[ModelService, ScriptedUpstream, Metadata], Awaitable[None]]


async def leave_chat(service: ModelService, upstream: ScriptedUpstream, metadata: Metadata) -> None:
    """Leaves a chat whose request has arrived."""
    call = service.stub.Chat(chat_request(), metadata=metadata)
    await upstream.received(len(upstream.requests) + 1)
    call.cancel()


async def leave_stream(service: ModelService, upstream: ScriptedUpstream, metadata: Metadata) -> None:
    """Leaves a stream whose request has arrived."""
    call = service.stub.ChatStream(chat_request(), metadata=metadata)
    await upstream.received(len(upstream.requests) + 1)
    call.cancel()


async def expire(service: ModelService, upstream: ScriptedUpstream, metadata: Metadata) -> None:
    """Waits for a stream without output until its deadline."""
    with pytest.raises(grpc.aio.AioRpcError, match="DEADLINE_EXCEEDED"):
        await service.stub.ChatStream(chat_request(), metadata=metadata, timeout=1).read()


async def leave_counted_prompt(service: ModelService, upstream: ScriptedUpstream, metadata: Metadata) -> None:
    """The same for a model that counts the prompt before its answer."""
    with pytest.raises(grpc.aio.AioRpcError, match="DEADLINE_EXCEEDED"):
        await service.stub.ChatStream(chat_request(CLAUDE), metadata=metadata, timeout=1).read()


async def leave_after_output(service: ModelService, upstream: ScriptedUpstream, metadata: Metadata) -> None:
    """Leaves a stream after its first output."""
    call = service.stub.ChatStream(chat_request(), metadata=metadata)
    await call.read()
    call.cancel()


async def leave_after_last_chunk(service: ModelService, upstream: ScriptedUpstream, metadata: Metadata) -> None:
    """Leaves a stream after its last chunk, before its status."""
    call = service.stub.ChatStream(chat_request(), metadata=metadata)
    while not (await call.read()).HasField("response"):
        pass
    call.cancel()


def started_message(tokens: int) -> str:
    start = anthropic_message() | {"content": [], "stop_reason": None}
    counts = {"input_tokens": tokens, "output_tokens": 1}
    return event({"type": "message_start", "message": start | {"usage": counts}}, "message_start")


async def test_limits_and_ledger_count_the_same_of_chats_that_are_left(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    never = asyncio.Event()
    # Whether the answer is what the project's answers are like; else it is what had come of it.
    cases: Sequence[tuple[str, Leave, Script, bool]] = [
        ("chat", leave_chat, no_answer(), True),
        ("stream", leave_stream, no_answer(), True),
        ("stream that has begun", expire, event_stream(piece(""), never), True),
        ("counted prompt", leave_counted_prompt, event_stream(started_message(5000), never), True),
        ("mid-stream", leave_after_output, event_stream(piece("Hello."), never), False),
        ("before the usage", leave_after_output, event_stream(piece("Hello.") + FINISHED, never), False),
        ("after the last chunk", leave_after_last_chunk, streamed_completion(piece("Hello.")), False),
    ]
    for name, leave, script, is_assumed in cases:
        with row(name):
            metadata = of_key(name)
            upstream.play(script)
            await leave(service, upstream, metadata)
            found = await used(service, metadata)
            assert found.calls == 1
            assert found.nano_usd > 0
            assert (found.tokens > FIRST_ANSWER_TOKENS) == is_assumed
            if name == "counted prompt":
                assert found.tokens == 5000 + FIRST_ANSWER_TOKENS


async def test_a_chat_that_was_left_before_anything_was_sent_costs_nothing(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    loop, metadata = asyncio.get_running_loop(), of_key("k")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.setblocking(False)
        url = f"https://127.0.0.1:{deaf.getsockname()[1]}"
        async with model_service(tmp_path, upstream, callers=require(Callers()), ANTHROPIC_BASE_URL=url) as service:
            for start in (service.stub.Chat, service.stub.ChatStream):
                call: Any = start(chat_request(CLAUDE), metadata=metadata)
                # TLS does not get an answer.
                connection, _ = await loop.sock_accept(deaf)
                with connection:
                    call.cancel()
                    found = await used(service, metadata)
                    assert (found.tokens, found.nano_usd) == (0, 0)


async def test_a_fallback_that_is_left_is_added_to_what_broke_off_before(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    metadata = of_key("k")
    upstream.play(json_answer({"error": {"message": "broken"}}, status=500), no_answer())
    settings = {"MODELS_MAX_ATTEMPTS": "2"}
    async with model_service(tmp_path, upstream, callers=require(Callers()), **settings) as service:
        call = service.stub.Chat(chat_request(fallback_models=[CLAUDE]), metadata=metadata)
        await upstream.received(2)
        call.cancel()
        found = await used(service, metadata)
        assert found.tokens > FIRST_ANSWER_TOKENS
        upstream.play(json_answer(completion()))
        await service.stub.Chat(chat_request(), metadata=metadata)
        after = await used(service, metadata)
        assert (after.calls, after.tokens - found.tokens) == (2, 13)


async def test_estimates_are_told_from_counts_in_the_ledger(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    metadata = of_key("k")
    upstream.play(no_answer())
    async with model_service(tmp_path, upstream, callers=require(Callers())) as service:
        await leave_chat(service, upstream, metadata)
        await used(service, metadata)
        listed = await service.usage.ListUsage(
            usage_pb2.ListUsageRequest(group_by=["model"]), metadata=signed(caller("p", scopes=["usage.read"]))
        )
        [sums] = [entry.sums for entry in listed.rows]
        assert (sums.calls, sums.failed_calls, sums.completion_tokens) == (1, 1, FIRST_ANSWER_TOKENS)
        assert (sums.unpriced_calls, sums.cost_nano_usd > 0) == (0, True)
