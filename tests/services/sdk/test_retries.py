"""Calls that are made again: only those that have changed nothing and generated nothing, and only a few."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator

import pytest
from google.protobuf import message_factory
from google.protobuf.message import Message

import genai_platform
from genai_platform import (
    AsyncGenAIPlatform,
    Cancelled,
    ChatRequest,
    ChatResponse,
    GenAIPlatform,
    ListModelsRequest,
    ListModelsResponse,
    ModelInfo,
    RateLimited,
    Unavailable,
)
from genai_platform.retries import Attempts, RetryBudget
from services.shared import errors
from services.shared.call import Call
from tests.services.sdk.backend import Backend, happens, serving, whole_stream
from tests.services.sdk.test_calls import UNARY, call, snake_case

BUSY = errors.Unavailable("busy", reason="SERVER_BUSY", retry_after=0.01)


def refuse(backend: Backend, times: int, error: Exception = BUSY) -> None:
    """Scripts chats and streams to be refused so many times, then to be answered."""
    left = times

    async def chat(request: ChatRequest, _: Call) -> ChatResponse:
        nonlocal left
        left -= 1
        if left >= 0:
            raise error
        return ChatResponse(text="Hello you")

    async def stream(request: Message, call: Call) -> AsyncGenerator[Message]:
        await chat(ChatRequest(), call)
        async for chunk in whole_stream(request, call):
            yield chunk

    backend.answers["Chat"] = chat
    backend.stream = stream


async def test_refusal_that_marks_itself_as_safe_is_tried_again(backend: Backend) -> None:
    with GenAIPlatform(backend.address) as platform:
        refuse(backend, 2)
        assert platform.models.chat("Hi", model="m").text == "Hello you"
        refuse(backend, 2)
        assert "".join(platform.models.stream_text("Hi", model="m")) == "Hello you"
    async with AsyncGenAIPlatform(backend.address) as async_platform:
        refuse(backend, 2)
        assert (await async_platform.models.chat("Hi", model="m")).text == "Hello you"
        refuse(backend, 2)
        assert [text async for text in async_platform.models.stream_text("Hi", model="m")] == ["Hello", " you"]
    assert backend.names() == ["Chat"] * 3 + ["ChatStream"] * 3 + ["Chat"] * 3 + ["ChatStream"] * 3
    ids = {dict(received.metadata)["x-request-id"] for received in backend.received}
    assert len(ids) == 4


@pytest.mark.parametrize("max_retries", [0, 1])
async def test_number_of_retries_is_the_clients(backend: Backend, max_retries: int) -> None:
    refuse(backend, 5)
    with GenAIPlatform(backend.address, max_retries=max_retries) as platform, pytest.raises(Unavailable):
        platform.models.chat("Hi", model="m")
    async with AsyncGenAIPlatform(backend.address, max_retries=max_retries) as async_platform:
        with pytest.raises(Unavailable):
            await async_platform.models.chat("Hi", model="m")
    assert backend.names() == ["Chat"] * 2 * (max_retries + 1)


@pytest.mark.parametrize("max_retries", [-1, 1.5, True, None])
def test_number_of_retries_is_whole(max_retries: int) -> None:
    with pytest.raises(ValueError, match="max_retries must be a whole number from 0"):
        GenAIPlatform(max_retries=max_retries)


TRIED = json.dumps([{"model": "m", "provider": "p", "outcome": "UPSTREAM_RATE_LIMITED", "http_status": 429}])


@pytest.mark.parametrize(
    "error",
    [
        errors.Unavailable("lost", reason="BACKEND_LOST"),
        errors.LimitExceeded("limited", reason="RATE_LIMITED", retry_after=0.01, metadata={"attempts": TRIED}),
        errors.LimitExceeded("limited", reason="RATE_LIMITED", retry_after=60),
        errors.Internal("no"),
    ],
    ids=["may have begun", "tried by the service", "too long a wait", "a fault"],
)
async def test_error_that_is_not_safe_or_was_tried_by_the_service_is_raised_at_once(
    backend: Backend, error: Exception
) -> None:
    refuse(backend, 5, error)
    started = time.monotonic()
    with GenAIPlatform(backend.address) as platform:
        with pytest.raises(genai_platform.GenAIError):
            platform.models.chat("Hi", model="m")
        with pytest.raises(genai_platform.GenAIError):
            list(platform.models.chat_stream("Hi", model="m"))
    assert backend.names() == ["Chat", "ChatStream"]
    assert time.monotonic() - started < 5


async def test_nothing_is_tried_again_after_the_first_chunk(backend: Backend) -> None:
    async def breaks(request: Message, call: Call) -> AsyncGenerator[Message]:
        async for chunk in whole_stream(request, call):
            yield chunk
            raise BUSY

    backend.stream = breaks
    with GenAIPlatform(backend.address) as platform, pytest.raises(Unavailable):
        list(platform.models.chat_stream("Hi", model="m"))
    async with AsyncGenAIPlatform(backend.address) as async_platform:
        with pytest.raises(Unavailable):
            [chunk async for chunk in async_platform.models.chat_stream("Hi", model="m")]
    assert backend.names() == ["ChatStream"] * 2


async def test_only_reads_are_tried_again_when_nothing_says_that_it_is_safe(backend: Backend) -> None:
    async with AsyncGenAIPlatform(backend.address) as platform:
        for client, method in UNARY:
            if method.name.startswith(("Get", "List")):
                continue
            backend.raises(method.name, errors.Unavailable("no"))
            backend.received.clear()
            request = message_factory.GetMessageClass(method.input_type)()
            with pytest.raises(Unavailable):
                await call(platform, client, snake_case(method.name), request)
            assert backend.names() == [method.name]


def test_read_is_tried_again_while_the_gateway_is_unavailable(backend: Backend) -> None:
    async def list_models(request: ListModelsRequest, _: object) -> ListModelsResponse:
        if len(backend.received) < 3:
            raise errors.Unavailable("not yet")
        return ListModelsResponse(models=[ModelInfo(name="m")])

    backend.answers["ListModels"] = list_models
    with GenAIPlatform(backend.address) as platform:
        assert platform.models.list_models().models[0].name == "m"
    assert backend.names() == ["ListModels"] * 3


async def test_gateway_that_comes_late_is_reached_by_a_retry_or_by_waiting() -> None:
    async with serving() as first:
        address = first.address
    port = int(address.rpartition(":")[2])
    for options in ({"max_retries": 20}, {"max_retries": 0, "wait_for_ready": True}):
        async with AsyncGenAIPlatform(address, **options) as platform:  # type: ignore[arg-type]
            chat = asyncio.create_task(platform.models.chat("Hi", model="m", timeout=20))
            stream = asyncio.create_task(anext(platform.models.chat_stream("Hi", model="m", timeout=20)))
            await asyncio.sleep(0.3)
            assert not chat.done()
            async with serving(port=port) as backend:
                await asyncio.gather(chat, stream)
                assert sorted(backend.names()) == ["Chat", "ChatStream"]


async def test_deadline_holds_for_all_attempts_together(backend: Backend) -> None:
    pauses = [1.1, 9.5]

    async def chat(request: ChatRequest, _: Call) -> ChatResponse:
        raise errors.Unavailable("busy", retry_after=pauses.pop(0))

    backend.answers["Chat"] = chat
    with GenAIPlatform(backend.address, max_retries=50) as platform, pytest.raises(Unavailable):
        platform.models.chat("Hi", model="m", timeout=9)
    # The second pause would be over after the deadline. On the wire, seconds are rounded up.
    _, second = (received.seconds or 0 for received in backend.received)
    assert 0 < second <= 8


async def test_stream_that_is_closed_in_a_pause_is_not_started_again(backend: Backend) -> None:
    async def refuses(request: Message, call: Call) -> AsyncGenerator[Message]:
        backend.started.set()
        raise errors.Unavailable("busy", retry_after=0.3)
        yield ChatResponse()

    backend.stream = refuses
    async with AsyncGenAIPlatform(backend.address) as platform:
        stream = platform.models.chat_stream("Hi", model="m")
        reading = asyncio.create_task(anext(stream))
        assert await happens(backend.started)
        stream.cancel()
        with pytest.raises(Cancelled):
            await reading
    assert len(backend.received) == 1


def test_read_is_not_tried_again_where_tls_refuses_the_connection() -> None:
    attempts = Attempts(60, is_read=True, max_retries=2, budget=RetryBudget())
    assert attempts.pause_after(Unavailable("no TLS connection", reason="GATEWAY_UNREACHABLE")) is None
    assert attempts.pause_after(Unavailable("lost", reason="GATEWAY_LOST")) is not None


def test_budget_ends_retries_while_most_calls_fail() -> None:
    budget = RetryBudget()
    error = RateLimited("busy", retry_after=0.01)

    def made() -> int:
        attempts = Attempts(100, is_read=False, max_retries=2, budget=budget)
        return sum(attempts.pause_after(error) is not None for _ in range(3))

    assert [made() for _ in range(4)] == [2, 1, 0, 0]
    for _ in range(100):
        budget.add_success()
    assert made() == 2
