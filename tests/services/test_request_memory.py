"""The memory of large requests while their answers are awaited."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from services.shared.intake import COPIES, MEMORY_BYTES, PROCESS_INTAKE
from tests.scripted_upstream import Received, Script, ScriptedUpstream
from tests.services.model_service import ModelService, answered, chat_request

SIZE = 3 * 1024 * 1024
COUNT = 6
OWN_FILES = tracemalloc.Filter(inclusive=True, filename_pattern="*/services/models/*")


@pytest.fixture
def waiting() -> asyncio.Event:
    """Set when the provider may answer."""
    return asyncio.Event()


@pytest.fixture
async def upstream(waiting: asyncio.Event) -> AsyncIterator[ScriptedUpstream]:
    def answered_later(request: Received) -> Script:
        script = answered(request)
        return Script(script.head, script.body, script.ending, [waiting], script.chunked)

    async with ScriptedUpstream(default=answered_later) as upstream:
        yield upstream


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Room for one request in all its forms beside the others as they were received, and as much for other callers."""
    PROCESS_INTAKE.resize(COPIES * SIZE + 2 * COUNT * SIZE)
    yield
    PROCESS_INTAKE.resize(MEMORY_BYTES)


async def ask(service: ModelService, model: str, *, streams: bool) -> str:
    request = chat_request(model, "x" * SIZE)
    if not streams:
        response = await service.stub.Chat(request, timeout=30)
        return str(response.text)
    return "".join([chunk.token async for chunk in service.stub.ChatStream(request, timeout=30)])


def held_bytes() -> int:
    """Memory that the Model Service has taken and not released."""
    held = tracemalloc.take_snapshot().filter_traces([OWN_FILES])
    return sum(each.size for each in held.statistics("filename"))


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-6"])
async def test_bodies_are_released_when_they_are_sent(
    service: ModelService,
    upstream: ScriptedUpstream,
    waiting: asyncio.Event,
    little_memory: None,
    model: str,
    streams: bool,
) -> None:
    """Otherwise the second would wait for the first one's answer."""
    tracemalloc.start()
    try:
        calls = [asyncio.create_task(ask(service, model, streams=streams)) for _ in range(COUNT)]
        await upstream.received(COUNT, 60)
        # The socket and the threads of encoders let go of the last one a moment after its bytes have arrived.
        async with asyncio.timeout(20):
            while held_bytes() >= SIZE:  # noqa: ASYNC110 nothing says so
                await asyncio.sleep(0.01)
    finally:
        tracemalloc.stop()
    waiting.set()
    assert await asyncio.gather(*calls) == ["Hi."] * COUNT


async def test_memory_is_released_however_the_request_ends(
    service: ModelService, upstream: ScriptedUpstream, waiting: asyncio.Event, little_memory: None
) -> None:
    free = PROCESS_INTAKE.memory.free_bytes
    calls: list[Any] = [service.stub.Chat(chat_request(text="x" * SIZE), timeout=30) for _ in range(COUNT)]
    await upstream.received(COUNT, 20)
    for call in calls:
        call.cancel()
    await asyncio.gather(*(request.closed_by_peer() for request in upstream.requests))
    waiting.set()
    assert await ask(service, "gpt-4o", streams=False) == "Hi."
    assert free == PROCESS_INTAKE.memory.free_bytes
