"""Work that would hold up the event loop, done beside it where a message is large.

20 MiB of media take 0.1 s to encode, and large schemas that have to be fitted take seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

LARGE_BYTES = 1024 * 1024

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


async def run_beside_if_large(
    size: int, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """What `work` returns or raises. It runs in a thread when what it works on has `LARGE_BYTES` or more."""
    if size < LARGE_BYTES:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)
