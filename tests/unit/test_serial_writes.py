"""Serial writes: one at a time, each whole, and none for a caller that was cancelled before."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from services.shared.serial_writes import SerialWrites


class Writes:
    """Writes that wait until they may go on."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.one_has_begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def write(self, name: str) -> str:
        self.begun.append(name)
        self.one_has_begun.set()
        await self.may_end.wait()
        self.ended.append(name)
        return name


async def leave(call: asyncio.Task[str]) -> None:
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_cancelled_caller_leaves_a_whole_write_or_none() -> None:
    writes, serial = Writes(), SerialWrites()
    first, second, third = (asyncio.create_task(serial.run(writes.write(name))) for name in ("a", "b", "c"))
    await writes.one_has_begun.wait()
    await leave(second)
    await leave(first)
    writes.may_end.set()
    assert await third == "c"
    assert writes.begun == writes.ended == ["a", "c"]


async def test_a_write_that_raises_lets_the_next_one_begin() -> None:
    serial = SerialWrites()

    async def fail() -> None:
        raise ValueError("full")

    for _ in range(2):
        with pytest.raises(ValueError, match="full"):
            await serial.run(fail())


async def test_write_that_fails_when_its_caller_has_left_is_no_error_of_the_loop() -> None:
    """asyncio would log an exception that was never retrieved."""
    logged: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
    begun, going_on = asyncio.Event(), asyncio.Event()
    writes = SerialWrites()

    async def fail() -> None:
        begun.set()
        await going_on.wait()
        raise ValueError

    caller = asyncio.create_task(writes.run(fail()))
    await begun.wait()
    caller.cancel()
    await asyncio.wait({caller})
    going_on.set()
    # The next one begins when that has ended.
    await writes.run(asyncio.sleep(0))
    del caller, writes
    gc.collect()
    assert logged == []
