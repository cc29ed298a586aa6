"""Offloading: work on large messages runs in threads, so that it does not block the event loop.

Encoding 20 MiB of media takes 0.1 s, and fitting large schemas takes seconds. Work of a middle size stays on the event
loop, in a time slice of each of its rounds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from services.shared.fair_threads import FairThreads, PerLoop
from services.shared.time_slices import SharedTimeSlice

LARGE_BYTES = 1024 * 1024

SMALL_BYTES = 64 * 1024
"""Work on fewer bytes takes less than half a millisecond and runs at once, however much of it there is."""

THREADS = 2
"""More threads are not faster, because of the GIL. With two, one caller's work does not block another's."""

WAITING_BYTES = 512 * 1024 * 1024
"""The limit of queued work, of all callers together."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_slices = PerLoop(SharedTimeSlice)
_threads = PerLoop(lambda: FairThreads("to be encoded", THREADS, WAITING_BYTES))


async def run_in_thread_if_large(
    size: int, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Runs `work`: in a thread if its input has `LARGE_BYTES` or more, else on the event loop.

    Returns or raises what `work` does. Threads are shared fairly by all callers; raises LimitExceeded SERVER_BUSY when
    too much work is queued.
    """
    if size < LARGE_BYTES:
        if size > SMALL_BYTES:
            await wait_for_time_slice()
        return work(*args, **kwargs)
    return await run_in_thread(size, work, *args, **kwargs)


async def wait_for_time_slice() -> None:
    """Waits for time on the event loop, for a millisecond of work. Returns at once while the loop is not busy."""
    await _slices.get().wait()


async def run_in_thread(
    size: int, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Runs `work` in a thread, also if it is small."""
    return await _threads.get().run(functools.partial(work, *args, **kwargs), size)
