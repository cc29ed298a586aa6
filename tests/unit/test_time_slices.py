"""Time slices: long work on the event loop lets other tasks run."""

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


async def test_other_tasks_run_after_each_slice(monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_single_large_message_is_hashed_in_slices() -> None:
    """64 MiB take longer than a slice on any machine."""
    turns: list[int] = []
    other = asyncio.create_task(count_turns(turns))
    once = await hash_contents([bytes(64 * 1024 * 1024)])
    other.cancel()
    assert len(turns) > 1
    assert once != await hash_contents([bytes(32 * 1024 * 1024)] * 2)
