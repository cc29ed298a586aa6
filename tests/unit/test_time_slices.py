"""Long work leaves the event loop to others now and then."""

from __future__ import annotations

import asyncio
import time

import pytest

from services.sessions.appends import hash_contents
from services.shared.time_slices import SLICE_SECONDS, TimeSlices


async def count_turns(turns: list[int]) -> None:
    while True:
        turns.append(0)
        await asyncio.sleep(0)


async def test_others_have_their_turn_after_each_slice_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    turns: list[int] = []
    other = asyncio.create_task(count_turns(turns))
    slices = TimeSlices()
    for count in (1, 2, 3):
        await slices.yield_if_over()
        assert len(turns) == count - 1
        now += SLICE_SECONDS
        await slices.yield_if_over()
        assert len(turns) == count
    other.cancel()


async def test_what_is_large_by_itself_is_hashed_in_slices() -> None:
    """Whatever the machine: 64 MiB take longer than a slice."""
    turns: list[int] = []
    other = asyncio.create_task(count_turns(turns))
    once = await hash_contents([bytes(64 * 1024 * 1024)])
    other.cancel()
    assert len(turns) > 1
    assert once != await hash_contents([bytes(32 * 1024 * 1024)] * 2)
