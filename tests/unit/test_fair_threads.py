"""FairThreads: work of one caller leaves threads for others, and threads that cannot be stopped still count."""

from __future__ import annotations

import asyncio
import functools
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextvars import copy_context

import pytest

from services.shared.admission import CALLER
from services.shared.errors import LimitExceeded
from services.shared.fair_threads import FairThreads

WAIT_SECONDS = 10.0


class Gate:
    """Work that lasts until the gate is opened."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._open = threading.Event()

    def work(self, name: str) -> Callable[[], str]:
        def wait() -> str:
            self.begun.append(name)
            assert self._open.wait(WAIT_SECONDS)
            return name

        return wait

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


def begin(threads: FairThreads, caller: str, work: Callable[[], str], size: int = 1) -> asyncio.Task[str]:
    context = copy_context()
    context.run(CALLER.set, caller)
    return asyncio.create_task(threads.run(work, size), context=context)


async def settle() -> None:
    """Lets everything happen that can happen now."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("threads", "greedy"), [(2, 1), (3, 2), (32, 16)])
async def test_caller_with_much_work_leaves_threads_for_another(gate: Gate, threads: int, greedy: int) -> None:
    fair = FairThreads("", threads, queue_limit=1000)
    heap = [begin(fair, "greedy", gate.work(f"greedy {number}")) for number in range(50)]
    await settle()
    assert await asyncio.wait_for(begin(fair, "modest", lambda: "done"), WAIT_SECONDS) == "done"
    assert len(gate.begun) == greedy
    gate.open()
    assert await asyncio.gather(*heap) == [f"greedy {number}" for number in range(50)]


async def test_waiting_callers_take_turns(gate: Gate) -> None:
    fair = FairThreads("", 1, queue_limit=1000)
    first = begin(fair, "first", gate.work("first"))
    await settle()
    order: list[str] = []

    def note(name: str) -> Callable[[], str]:
        return lambda: order.append(name) or name

    waiting = [begin(fair, "heap", note(f"heap {number}")) for number in range(3)]
    await settle()
    waiting += [begin(fair, caller, note(caller)) for caller in ("another", "third")]
    await settle()
    gate.open()
    await asyncio.gather(first, *waiting)
    assert order == ["heap 0", "another", "third", "heap 1", "heap 2"]


async def test_queue_is_bounded_and_shared_by_the_callers(gate: Gate) -> None:
    fair = FairThreads("to be tested", 1, queue_limit=40)
    running = begin(fair, "greedy", gate.work("running"))
    await settle()
    waiting = [begin(fair, "greedy", gate.work("waiting"), size=5) for _ in range(10)]
    await settle()
    refused = [task for task in waiting if task.done()]
    assert len(refused) == 6
    for task in refused:
        error = task.exception()
        assert isinstance(error, LimitExceeded)
        assert error.reason == "SERVER_BUSY"
        assert error.retry_after
        assert "to be tested" in error.message
    modest = begin(fair, "modest", lambda: "done", size=15)
    await settle()
    assert not modest.done()
    gate.open()
    await asyncio.gather(running, modest, *(task for task in waiting if task not in refused))
    # The queue is free again.
    assert fair._queue.free == 40


async def test_work_larger_than_the_queue_runs_where_nothing_else_waits(gate: Gate) -> None:
    fair = FairThreads("", 1, queue_limit=10)
    running = begin(fair, "one", gate.work("running"))
    await settle()
    large = begin(fair, "one", lambda: "large", size=1000)
    await settle()
    gate.open()
    assert await asyncio.gather(running, large) == ["running", "large"]


async def test_cancelled_waiter_leaves_the_queue_at_once(gate: Gate) -> None:
    fair = FairThreads("", 1, queue_limit=10)
    running = begin(fair, "one", gate.work("running"))
    await settle()
    left = begin(fair, "one", gate.work("never"), size=5)
    await settle()
    assert fair._queue.free == 5
    left.cancel()
    await settle()
    assert fair._queue.free == 10
    assert not fair._waiting
    gate.open()
    assert await running == "running"
    assert await begin(fair, "one", lambda: "next") == "next"
    assert gate.begun == ["running"]


async def test_cancelled_work_counts_until_its_thread_ends(gate: Gate) -> None:
    fair = FairThreads("", 1, queue_limit=10)
    running = begin(fair, "one", gate.work("running"))
    await settle()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    behind = begin(fair, "another", lambda: "behind")
    await settle()
    assert not behind.done()
    gate.open()
    assert await asyncio.wait_for(behind, WAIT_SECONDS) == "behind"


async def test_turn_of_a_cancelled_waiter_passes_to_the_next() -> None:
    fair = FairThreads("", 1, queue_limit=10)
    await fair.acquire_turn()
    left = begin(fair, "left", lambda: "never")
    behind = begin(fair, "behind", lambda: "behind")
    await settle()
    fair.release_turn()
    left.cancel()
    assert await asyncio.wait_for(behind, WAIT_SECONDS) == "behind"
    assert left.cancelled()


async def test_cancelled_waiter_gets_no_turn() -> None:
    fair = FairThreads("", 1, queue_limit=10)
    await fair.acquire_turn()
    left = begin(fair, "left", lambda: "never")
    behind = begin(fair, "behind", lambda: "behind")
    await settle()
    left.cancel()
    fair.release_turn()
    assert await asyncio.wait_for(behind, WAIT_SECONDS) == "behind"
    assert left.cancelled()
    assert not fair._waiting


async def test_errors_are_raised_and_end_the_turn() -> None:
    fair = FairThreads("", 1, queue_limit=10)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await fair.run(lambda: 1 // 0)


async def test_system_without_a_thread_is_busy_and_the_turn_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    fair = FairThreads("", 1, queue_limit=10)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(LimitExceeded) as refused:
            await fair.run(lambda: "never")
    assert refused.value.reason == "SYSTEM_EXHAUSTED"
    assert await fair.run(lambda: "done") == "done"


async def test_arguments_of_failed_work_are_released() -> None:
    class Large:
        pass

    large = Large()
    kept = weakref.ref(large)
    fair = FairThreads("", 1, queue_limit=10)

    def fail(_: Large) -> None:
        raise ValueError

    gc.disable()
    try:
        with pytest.raises(ValueError):  # noqa: PT011
            await fair.run(functools.partial(fail, large))
        del large, fail
        for thread in threading.enumerate():
            if thread.name == "beside the event loop":
                thread.join(WAIT_SECONDS)
        await settle()
        assert kept() is None
    finally:
        gc.enable()
