"""Servers for clients that block."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

START_SECONDS = 30.0

Served = TypeVar("Served")


@contextlib.contextmanager
def in_thread(serving: AbstractAsyncContextManager[Served]) -> Iterator[Served]:
    """What `serving` gives, while it serves in an event loop and a thread of its own."""
    started = Future[Served]()
    done = threading.Event()

    async def run() -> None:
        async with serving as served:
            started.set_result(served)
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="server")
    thread.start()
    try:
        yield started.result(START_SECONDS)
    finally:
        done.set()
        thread.join()
