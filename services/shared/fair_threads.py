"""Threads for what would hold up the event loop, where one caller's heap of work does not keep the others waiting."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from services.shared.admission import CALLER
from services.shared.descriptors import lack_of
from services.shared.errors import LimitExceeded
from services.shared.shares import Shares

RETRY_SECONDS = 1.0

Result = TypeVar("Result")
Made = TypeVar("Made")


class FairThreads:
    """At most `threads` at a time; callers (`CALLER`) whose work waits take turns. Belongs to one event loop.

    Neither the threads nor the room to wait can be one caller's alone (`Shares`). `room` is the sum of the sizes that
    may wait, in whatever unit; `purpose` is what the threads are for, in words.

    A turn lasts until its thread has ended, also when nobody waits for that any more: a thread cannot be stopped.
    """

    def __init__(self, purpose: str, threads: int, room: int) -> None:
        self._purpose = purpose
        self._threads = Shares(threads)
        self._room = Shares(room)
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """By caller; the one whose turn is next stands first."""

    async def run(self, work: Callable[[], Result], size: int = 1) -> Result:
        """What `work` returns or raises. Raises LimitExceeded SERVER_BUSY when too much waits already."""
        await self.turn(size)
        return await self.start(work)

    async def turn(self, size: int = 1) -> None:
        """Waits for the caller's turn, which `start` or `pass_on` must follow. Raises LimitExceeded SERVER_BUSY."""
        caller = CALLER.get()
        if caller not in self._waiting and self._threads.take(caller):
            return
        if not self._room.take(caller, size):
            raise self.busy()
        try:
            await self._wait(caller)
        finally:
            self._room.give_back(caller, size)

    def start(self, work: Callable[[], Result]) -> asyncio.Future[Result]:
        """Begins to work, in the caller's turn. Raises what `start_thread` raises."""
        caller = CALLER.get()
        try:
            return start_thread(work, functools.partial(self._end, caller))
        except LimitExceeded:
            self._end(caller)
            raise

    def pass_on(self) -> None:
        """Leaves the caller's turn to the next."""
        self._end(CALLER.get())

    def busy(self) -> LimitExceeded:
        """What is raised where no turn can be had."""
        return LimitExceeded(
            f"the server is busy: too much waits {self._purpose} already; try again later",
            reason="SERVER_BUSY",
            retry_after=RETRY_SECONDS,
        )

    async def _wait(self, caller: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._leave(caller, turn)
            else:
                # The turn and the cancellation came together.
                self._end(caller)
            raise

    def _leave(self, caller: str, turn: asyncio.Future[None]) -> None:
        # It may be gone from there already, with everything of the caller's.
        with contextlib.suppress(KeyError, ValueError):
            self._waiting[caller].remove(turn)
            if not self._waiting[caller]:
                del self._waiting[caller]

    def _end(self, caller: str) -> None:
        self._threads.give_back(caller)
        for next_caller, waiting in list(self._waiting.items()):
            while waiting and waiting[0].cancelled():
                waiting.popleft()
            if waiting and not self._threads.take(next_caller):
                continue
            del self._waiting[next_caller]
            if waiting:
                waiting.popleft().set_result(None)
            if waiting:
                # Behind the others.
                self._waiting[next_caller] = waiting


def start_thread(work: Callable[[], Result], on_end: Callable[[], object] | None = None) -> asyncio.Future[Result]:
    """Runs `work` in a thread of its own, which the process does not wait for when it ends. `on_end` is called in the
    event loop when the thread is done. Raises LimitExceeded SYSTEM_EXHAUSTED when the system has no thread."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        loop.call_soon_threadsafe(_settle, future, on_end, result, error)

    thread = threading.Thread(target=_work, args=(work, settle), name="beside the event loop", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        raise lack_of(errno.ENOMEM) from None
    return future


def _work(work: Callable[[], Result], settle: Callable[[Result | None, BaseException | None], object]) -> None:
    result, error = None, None
    try:
        result = work()
    except BaseException as fault:
        error = fault
    # The loop may be closed by now.
    with contextlib.suppress(RuntimeError):
        settle(result, error)
    # The error knows this frame, and would keep alive all that was worked on.
    del work, settle, result, error


def _settle(
    future: asyncio.Future[Result],
    on_end: Callable[[], object] | None,
    result: Result | None,
    error: BaseException | None,
) -> None:
    if on_end:
        on_end()
    if future.done():
        return
    if error:
        future.set_exception(error)
    else:
        future.set_result(cast(Result, result))


class PerLoop(Generic[Made]):
    """One of something for each event loop: a service has one loop, its tests have many."""

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._made: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Made] = weakref.WeakKeyDictionary()

    def get(self) -> Made:
        """That of the running loop."""
        loop = asyncio.get_running_loop()
        made = self._made.get(loop)
        if made is None:
            made = self._made[loop] = self._make()
        return made
