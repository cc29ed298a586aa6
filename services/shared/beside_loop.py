"""Work that would hold up the event loop, done beside it where a message is large, and in slices where it is not small.

20 MiB of media take 0.1 s to encode, and large schemas that have to be fitted take seconds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from services.shared.fair_threads import FairThreads, PerLoop
from services.shared.pacing import SharedSlice

LARGE_BYTES = 1024 * 1024

SMALL_BYTES = 64 * 1024
"""What takes less than half a millisecond: a crowd of such work holds up nobody for long."""

THREADS = 2
"""More would not be faster: they hold Python's lock. It takes two so that one caller's work is not in another's way."""

WAITING_BYTES = 512 * 1024 * 1024
"""How much work may wait, of all callers."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_slices = PerLoop(SharedSlice)
_threads = PerLoop(lambda: FairThreads("to be encoded", THREADS, WAITING_BYTES))


async def run_beside_if_large(
    size: int, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """What `work` returns or raises. It runs in a thread when what it works on has `LARGE_BYTES` or more, and takes
    its turn among that of all callers then. Raises LimitExceeded SERVER_BUSY when too much waits already."""
    if size < LARGE_BYTES:
        if size > SMALL_BYTES:
            await wait_for_slice()
        return work(*args, **kwargs)
    return await run_beside(size, work, *args, **kwargs)


async def wait_for_slice() -> None:
    """Returns when the caller may work on the event loop for a millisecond: at once, unless many want to."""
    await _slices.get().wait()


async def run_beside(
    size: int, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """The same, in a thread in any case."""
    return await _threads.get().run(functools.partial(work, *args, **kwargs), size)
