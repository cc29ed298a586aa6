"""Every chat that has asked a provider is in the ledger once, however it ends, and no other one is."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import models_pb2
from services.models.limits.estimate import FIRST_ANSWER_TOKENS
from tests.scripted_upstream import Ending, ScriptedUpstream, event_stream, json_answer, no_answer
from tests.services.ledger.books import Books, books, left_files
from tests.services.model_service import (
    ModelService,
    answered,
    anthropic_message,
    chat_request,
    completion,
    model_service,
    piece,
    registration,
    streamed_completion,
)
from tests.support.errors import failure_of, stream_failure

USED = {"input": 9, "output": 4, "estimated": 0}


def only(found: Books) -> dict[str, Any]:
    """The one event, whose numbers the rollups have too."""
    [event] = found.events
    [day] = found.totals
    assert (day["calls"], day["input"], day["output"]) == (1, event["input"], event["output"])
    assert day["cost_nano_usd"] == (event["cost_nano_usd"] or 0)
    assert day["unpriced_calls"] == (event["cost_nano_usd"] is None)
    assert day["failed"] == (event["status"] != "OK")
    return event


def has(event: dict[str, Any], **expected: Any) -> None:
    assert {name: event[name] for name in expected} == expected


async def test_a_whole_answer_with_all_that_is_known_of_it(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.play(json_answer(completion()))
    async with model_service(tmp_path, upstream, USAGE_TAG_KEYS="customer") as service:
        request = chat_request(tags={"customer": "acme", "other": "x"}, end_user_id="u-1")
        response = await service.stub.Chat(request, metadata=[("x-request-id", "mine")])
    found = books(tmp_path)
    event = only(found)
    has(event, **USED, call_id=response.response_id.removeprefix("chat-"), request_id="mine", status="OK", reason="")
    has(event, model_asked="gpt-4o", model_served="gpt-4o", provider="openai", attempts=1, verb="chat")
    has(event, cost_nano_usd=response.usage.cost_nano_usd, tags='{"customer":"acme","other":"x"}')
    assert event["price_as_of"].startswith("genai-prices ")
    assert event["end_user_hash"] not in ("", "u-1")
    assert [(day["tag_key"], day["tag_value"]) for day in found.days] == [("", ""), ("customer", "acme")]
    assert left_files(tmp_path) == []


async def test_a_stream(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.play(streamed_completion(piece("Hi."), piece(" You.")))
    async with model_service(tmp_path, upstream) as service:
        chunks = [chunk async for chunk in service.stub.ChatStream(chat_request())]
    event = only(books(tmp_path))
    has(event, **USED, status="OK", call_id=chunks[-1].response.response_id.removeprefix("chat-"))
    assert event["first_chunk_ms"] <= event["duration_ms"]


async def test_a_stream_that_breaks_off_is_estimated(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.play(event_stream(piece("Hello, you."), ending=Ending.CUT))
    async with model_service(tmp_path, upstream) as service:
        _, failure = await stream_failure(service.stub.ChatStream(chat_request()))
    event = only(books(tmp_path))
    has(event, status="UNAVAILABLE", reason=failure.reason, estimated=1, attempts=1)
    assert str(event["output"]) == failure.metadata["completion_tokens"]
    assert event["cost_nano_usd"] > 0


async def test_a_stream_whose_caller_leaves(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    upstream.play(event_stream(piece("Hello, you."), gate))
    async with model_service(tmp_path, upstream) as service:
        call = service.stub.ChatStream(chat_request())
        await call.read()
        call.cancel()
        await upstream.requests[0].closed_by_peer()
    has(only(books(tmp_path)), status="CANCELLED", reason="", estimated=1)


async def test_a_stream_that_expires(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.play(event_stream(piece("Hello, you."), ending=Ending.STALL))
    async with model_service(tmp_path, upstream) as service:
        with pytest.raises(grpc.aio.AioRpcError, match="DEADLINE_EXCEEDED"):
            [_ async for _ in service.stub.ChatStream(chat_request(), timeout=2)]
        await upstream.requests[0].closed_by_peer()
    has(only(books(tmp_path)), status="DEADLINE_EXCEEDED", estimated=1)


async def test_a_chat_that_was_left_before_an_answer_is_estimated(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.play(no_answer())
    async with model_service(tmp_path, upstream) as service:
        call = service.stub.Chat(chat_request())
        await upstream.received(1)
        call.cancel()
        await upstream.requests[0].closed_by_peer()
    event = only(books(tmp_path))
    has(event, status="CANCELLED", output=FIRST_ANSWER_TOKENS, estimated=1, unpriced="")
    assert min(event["input"], event["cost_nano_usd"]) > 0


async def test_a_refusal_of_the_provider_costs_nothing(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.play(json_answer({"error": {"message": "slow down"}}, status=429))
    async with model_service(tmp_path, upstream) as service:
        failure = await failure_of(service.stub.Chat(chat_request()))
    has(only(books(tmp_path)), status=failure.code.name, reason=failure.reason, input=0, cost_nano_usd=0, attempts=1)


async def test_a_fallback_is_the_same_call(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.play(json_answer({"error": {}}, status=500))
    upstream.play(json_answer(anthropic_message()))
    async with model_service(tmp_path, upstream, MODELS_MAX_ATTEMPTS="3") as service:
        await service.stub.Chat(chat_request(fallback_models=["claude-sonnet-4-6"]))
    event = only(books(tmp_path))
    has(event, **USED, model_asked="gpt-4o", model_served="claude-sonnet-4-6", provider="anthropic", attempts=2)


async def test_an_attempt_that_broke_off_is_paid_for_too(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """The caller of a whole answer has not seen the first one, of a server that is asked for a stream."""
    upstream.play(json_answer({}, status=200))
    async with model_service(tmp_path, upstream, MODELS_MAX_ATTEMPTS="3") as service:
        await service.stub.RegisterModel(registration(upstream))
        await upstream.received(1)
        upstream.play(event_stream(piece("Hello, you. "), ending=Ending.CUT))
        upstream.play(streamed_completion(piece("Hi.")))
        response = await service.stub.Chat(chat_request("mine"))
    event = only(books(tmp_path))
    broken = response.attempts[0].usage
    assert broken.completion_tokens
    has(event, attempts=2, estimated=1, model_served="mine", price_as_of="", cost_nano_usd=None)
    has(event, input=9 + broken.prompt_tokens, output=4 + broken.completion_tokens)


async def test_what_asks_no_provider_is_not_recorded(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with model_service(tmp_path, upstream) as service:
        refused = [
            chat_request("no-such-model"),
            chat_request(config=models_pb2.ChatConfig(temperature=9)),
            # Refused when the request is encoded, after the attempt has begun.
            chat_request(
                "claude-opus-4-1",
                parameter_policy=models_pb2.PARAMETER_POLICY_STRICT,
                config=models_pb2.ChatConfig(seed=1),
            ),
        ]
        codes = [(await failure_of(service.stub.Chat(request))).code for request in refused]
    assert codes == [grpc.StatusCode.NOT_FOUND, *[grpc.StatusCode.INVALID_ARGUMENT] * 2]
    assert upstream.requests == []
    assert books(tmp_path) == ([], [])
    assert left_files(tmp_path) == []


@pytest.mark.parametrize("fields", [{"request_id": "r-1"}, {"cache": {"max_age": {"seconds": 60}}}])
async def test_an_answer_that_is_given_again_is_not_spent_again(
    tmp_path: Path, upstream: ScriptedUpstream, fields: dict[str, Any]
) -> None:
    upstream.play(json_answer(completion()))
    async with model_service(tmp_path, upstream) as service:
        first = await service.stub.Chat(chat_request(**fields))
        again = await service.stub.Chat(chat_request(**fields))
    assert first.response_id == again.response_id
    assert only(books(tmp_path))["call_id"] == first.response_id.removeprefix("chat-")


async def test_a_repeated_x_request_id_is_another_call(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with model_service(tmp_path, upstream) as service:
        for _ in range(2):
            upstream.play(json_answer(completion()))
            await service.stub.Chat(chat_request(), metadata=[("x-request-id", "the-same")])
    found = books(tmp_path)
    assert [event["request_id"] for event in found.events] == ["the-same"] * 2
    assert found.totals[0]["calls"] == 2


async def test_chats_go_on_without_the_database_until_there_is_no_room(tmp_path: Path) -> None:
    tags = {f"tag-{number}": "x" * 256 for number in range(16)}
    async with (
        ScriptedUpstream(default=answered) as upstream,
        model_service(tmp_path, upstream, USAGE_OUTBOX_MAX="1") as service,
        contextlib.aclosing(answers(service, tags)) as answered_chats,
    ):
        with contextlib.closing(sqlite3.connect(tmp_path / "usage.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            number = len([_ async for _ in answered_chats])
            failure = await failure_of(service.stub.Chat(chat_request(tags=tags)))
            assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "LEDGER_FULL")
            asked = len(upstream.requests)
        async with asyncio.timeout(20):
            # The database is there again.
            while await is_refused(service):
                pass
    assert asked == number > 10
    assert len(books(tmp_path).events) == number + 1


async def answers(service: ModelService, tags: dict[str, str]) -> AsyncIterator[models_pb2.ChatResponse]:
    """Answers, one after the other, until a chat is refused."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        while True:
            yield await service.stub.Chat(chat_request(tags=tags))


async def is_refused(service: ModelService) -> bool:
    try:
        await service.stub.Chat(chat_request())
    except grpc.aio.AioRpcError:
        return True
    return False
