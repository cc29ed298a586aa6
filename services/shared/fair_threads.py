"""Threads for blocking work, shared fairly by the callers of the service."""

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
from services.shared.descriptors import shortage_error
from services.shared.errors import LimitExceeded
from services.shared.fair_quota import FairQuota

RETRY_SECONDS = 1.0

Result = TypeVar("Result")
Instance = TypeVar("Instance")


class FairThreads:
    """At most `threads` at a time; callers (`CALLER`) with queued work take turns. Belongs to one event loop.

    Threads and queue are fair quotas, so that no caller can have them alone. `queue_limit` is the sum of the sizes of
    queued work, in any unit; `purpose` names the work in error messages.

    A turn lasts until its thread has ended, even if its task was cancelled: a thread cannot be stopped.
    """

    def __init__(self, purpose: str, threads: int, queue_limit: int) -> None:
        self._purpose = purpose
        self._threads = FairQuota(threads)
        self._queue = FairQuota(queue_limit)
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """Waiting tasks by caller; the caller with the next turn is first."""

    async def run(self, work: Callable[[], Result], size: int = 1) -> Result:
        """Returns or raises what `work` does. Raises LimitExceeded SERVER_BUSY when the queue is full."""
        await self.acquire_turn(size)
        return await self.start(work)

    async def acquire_turn(self, size: int = 1) -> None:
        """Waits for the caller's turn, which `start` or `release_turn` must follow.

        Raises LimitExceeded SERVER_BUSY when the queue is full.
        """
        caller = CALLER.get()
        if caller not in self._waiting and self._threads.try_take(caller):
            return
        if not self._queue.try_take(caller, size):
            raise self.busy_error()
        try:
            await self._wait(caller)
        finally:
            self._queue.release(caller, size)

    def start(self, work: Callable[[], Result]) -> asyncio.Future[Result]:
        """Starts `work` in the caller's turn. Raises what `start_thread` raises."""
        caller = CALLER.get()
        try:
            return start_thread(work, functools.partial(self._end, caller))
        except LimitExceeded:
            self._end(caller)
            raise

    def release_turn(self) -> None:
        """Ends the caller's turn without work."""
        self._end(CALLER.get())

    def busy_error(self) -> LimitExceeded:
        """The error for a full queue."""
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
                self._leave_queue(caller, turn)
            else:
                # The turn and the cancellation came together.
                self._end(caller)
            raise

    def _leave_queue(self, caller: str, turn: asyncio.Future[None]) -> None:
        # `_end` may have removed it already, or the caller's whole queue.
        with contextlib.suppress(KeyError, ValueError):
            self._waiting[caller].remove(turn)
            if not self._waiting[caller]:
                del self._waiting[caller]

    def _end(self, caller: str) -> None:
        self._threads.release(caller)
        for next_caller, waiting in list(self._waiting.items()):
            while waiting and waiting[0].cancelled():
                waiting.popleft()
            if waiting and not self._threads.try_take(next_caller):
                continue
            del self._waiting[next_caller]
            if waiting:
                waiting.popleft().set_result(None)
            if waiting:
                # To the end of the order of callers.
                self._waiting[next_caller] = waiting


def start_thread(work: Callable[[], Result], on_end: Callable[[], object] | None = None) -> asyncio.Future[Result]:
    """Runs `work` in a new daemon thread. `on_end` is called in the event loop when the thread is done.

    Raises LimitExceeded SYSTEM_EXHAUSTED when the system has no thread.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        loop.call_soon_threadsafe(_settle, future, on_end, result, error)

    thread = threading.Thread(target=_work, args=(work, settle), name="beside the event loop", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        raise shortage_error(errno.ENOMEM) from None
    return future


def _work(work: Callable[[], Result], settle: Callable[[Result | None, BaseException | None], object]) -> None:
    result, error = None, None
    try:
        result = work()
    except BaseException as fault:
        error = fault
    # RuntimeError: the loop is closed by now.
    with contextlib.suppress(RuntimeError):
        settle(result, error)
    # The error's traceback refers to this frame, which would keep the arguments of `work` alive.
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


class PerLoop(Generic[Instance]):
    """One instance for each event loop: a service has one loop, its tests have many."""

    def __init__(self, create: Callable[[], Instance]) -> None:
        self._create = create
        self._instances: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Instance] = weakref.WeakKeyDictionary()

    def get(self) -> Instance:
        """The running loop's instance."""
        loop = asyncio.get_running_loop()
        instance = self._instances.get(loop)
        if instance is None:
            instance = self._instances[loop] = self._create()
        return instance
