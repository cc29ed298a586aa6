"""Offloading: large work runs in threads, work of a middle size in time slices of the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest

from services.shared import time_slices
from services.shared.admission import CALLER
from services.shared.offload import LARGE_BYTES, SMALL_BYTES, run_in_thread_if_large

WAIT_SECONDS = 10.0


@pytest.mark.parametrize(("size", "is_offloaded"), [(LARGE_BYTES - 1, False), (LARGE_BYTES, True)])
async def test_only_work_on_a_large_message_runs_in_another_thread(size: int, is_offloaded: bool) -> None:
    assert (await run_in_thread_if_large(size, threading.get_ident) != threading.get_ident()) is is_offloaded


@pytest.mark.parametrize("size", [0, LARGE_BYTES])
async def test_work_gets_its_arguments_and_its_error_is_raised(size: int) -> None:
    assert await run_in_thread_if_large(size, int, "z", base=36) == 35
    with pytest.raises(ValueError, match="base 10"):
        await run_in_thread_if_large(size, int, "z")


async def test_large_work_of_one_caller_leaves_a_thread_for_another() -> None:
    opened = threading.Event()
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        assert opened.wait(WAIT_SECONDS)

    def offloaded(caller: str, work: Callable[..., Any], *arguments: Any) -> asyncio.Task[Any]:
        context = copy_context()
        context.run(CALLER.set, caller)
        return asyncio.create_task(run_in_thread_if_large(LARGE_BYTES, work, *arguments), context=context)

    heap = [offloaded("greedy", work, number) for number in range(50)]
    await asyncio.sleep(0)
    try:
        assert await asyncio.wait_for(offloaded("modest", len, "abc"), WAIT_SECONDS) == 3
        assert len(begun) == 1
    finally:
        opened.set()
    await asyncio.gather(*heap)
    assert begun == list(range(50))


async def test_only_work_that_fits_a_time_slice_runs_in_a_round_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_slices, "SLICE_SECONDS", 0.0)
    done = 0

    def work() -> None:
        nonlocal done
        done += 1

    crowd = [asyncio.create_task(run_in_thread_if_large(SMALL_BYTES + 1, work)) for _ in range(20)]
    while done < len(crowd):
        before = done
        await asyncio.sleep(0)
        # The end of one slice and the beginning of the next.
        assert done <= before + 2
    await asyncio.gather(*crowd)


@pytest.mark.parametrize("slice_seconds", [0.0, 60.0])
async def test_cancelled_waiters_block_no_one(monkeypatch: pytest.MonkeyPatch, slice_seconds: float) -> None:
    monkeypatch.setattr(time_slices, "SLICE_SECONDS", slice_seconds)
    done: list[int] = []
    crowd = [asyncio.create_task(run_in_thread_if_large(SMALL_BYTES + 1, done.append, number)) for number in range(9)]
    await asyncio.sleep(0)
    for left in crowd[1:8:2]:
        left.cancel()
    await asyncio.wait_for(asyncio.wait(crowd), WAIT_SECONDS)
    assert [number for number in done if number % 2 == 0] == [0, 2, 4, 6, 8]
    await run_in_thread_if_large(SMALL_BYTES + 1, done.append, 9)
    assert done[-1] == 9


async def test_small_work_runs_at_once() -> None:
    done: list[int] = []
    crowd = [asyncio.create_task(run_in_thread_if_large(SMALL_BYTES, done.append, number)) for number in range(9)]
    await asyncio.sleep(0)
    assert len(done) == len(crowd)
    await asyncio.gather(*crowd)
