"""Streams while the event loop lags: fewer, larger reads, and none held up at rest."""

from __future__ import annotations

import asyncio
import time

import pytest

from services.models.providers.chat import chat_stream
from services.models.transport.client import HttpClient
from services.shared import loop_lag
from services.shared.loop_lag import PROCESS_LAG, LoopLag
from tests.scripted_upstream import Ending, Pause, ScriptedUpstream, event_stream
from tests.services.model_service import END, piece
from tests.wire.adapters import talk
from tests.wire.test_api_roots import target_of

TOKENS = 30


async def chunks_of(upstream: ScriptedUpstream) -> list[str]:
    upstream.play(event_stream(*[piece("x"), Pause(0.01)] * TOKENS, END))
    client = HttpClient()
    try:
        stream = chat_stream(client, target_of(f"{upstream.url}/v1", "vllm"), talk())
        return [chunk.token async for chunk in stream if chunk.token]
    finally:
        await client.close()


async def test_reads_are_fewer_and_lose_nothing_while_the_loop_lags(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PROCESS_LAG, "seconds", lambda: 0.05)
    tokens = await chunks_of(upstream)
    assert "".join(tokens) == "x" * TOKENS
    # The first one waits for nothing.
    assert tokens[0] == "x"
    assert len(tokens) <= TOKENS / 3


async def test_nothing_is_lost_when_the_connection_breaks_behind_the_end(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PROCESS_LAG, "seconds", lambda: 1.0)
    upstream.play(event_stream(*[piece("x"), Pause(0.002)] * 100, END, ending=Ending.RESET))
    client = HttpClient()
    try:
        stream = chat_stream(client, target_of(f"{upstream.url}/v1", "vllm"), talk())
        assert "".join([chunk.token async for chunk in stream]) == "x" * 100
    finally:
        await client.close()


async def test_each_token_leaves_as_it_comes_at_rest(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PROCESS_LAG, "seconds", lambda: 0.001)
    assert len(await chunks_of(upstream)) > TOKENS / 2


async def test_lag_is_how_late_the_loop_is() -> None:
    lag = LoopLag()
    assert lag.seconds() == 0
    time.sleep(0.1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert lag.seconds() >= 0.05


async def test_lag_is_measured_only_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_lag, "INTERVAL_SECONDS", 0.001)
    lag = LoopLag()
    lag.seconds()
    # One interval for the reading, one without any, and time for a busy machine.
    await asyncio.sleep(0.1)
    assert lag._timer is None
    assert lag.seconds() == 0
    assert lag._timer


def test_lag_of_a_loop_that_has_ended_is_not_that_of_the_next() -> None:
    lag = LoopLag()

    async def read() -> float:
        return lag.seconds()

    asyncio.run(read())
    lag._seconds = 1.0
    assert asyncio.run(read()) == 0
