"""The intake of a process: bounds the requests that are received at a time, and the memory of large requests.

Until a handler reads its request, grpc leaves it with the caller, except for 64 KiB. Once it is read, grpc buffers it
until it is whole, and its size is not known before. So only a few requests are read at a time. That does not slow down
small ones, which arrive at once. Waiting callers take turns, and a request that takes too long is preempted.

Calls that ask a provider and all others have turns of their own. A gateway gives none to the former while the service
behind it has a backlog (`backlog`).

The memory of large requests is shared fairly too: a caller who has as much as would be left waits, and lets others
pass.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Iterator
from time import thread_time
from types import TracebackType
from typing import NamedTuple

import grpc

from services.shared.errors import InvalidRequest, LimitExceeded
from services.shared.fair_quota import FairQuota
from services.shared.loop_lag import PROCESS_LAG

SLOTS = 4
"""Requests that are received at once. Each may be as large as a message can be."""

RECEIVE_SECONDS = 5.0
"""Time after which an incomplete request is preempted, if others wait."""

CROWDING_RECEIVE_SECONDS = 0.25
"""The same if its own caller waits with further ones, or has too much memory for it. Time in which this process works
does not count: it reads late what has arrived in time."""

BUSY = 4.0
"""Seconds that do not count for each second of the event loop's work: a loop that works for a quarter of the time may
share its core with others that do the rest."""

SMALL_BYTES = 64 * 1024
"""Requests up to this size reserve no memory: thousands of them fit in addition to the others."""

MEMORY_BYTES = 256 * 1024 * 1024
"""Memory of all larger requests together, in all their copies."""

COPIES = 4
"""Copies of a request: as received, parsed, and encoded for the upstream in one or two steps."""

RETRY_SECONDS = 1.0

MAX_WAITING = 600
"""Calls that may wait for their turn. Further ones stay in grpc, which refuses them at next to no cost where they are
too many."""

OVERLOADED_WAITING = 100
"""The same in a process whose turns have been held for the service behind it, from the moment when so many waited until
few do. The rest then waits in grpc in the order of its arrival, whatever is done here, and a call that waits in both
places for long is answered too late. Where turns are never held, a crowd that comes at once is begun sooner if all of
it waits here."""

BACKLOG = 64
RESUMED = 24
"""Calls that wait for their turn: so many are a backlog, until no more than the latter wait. They are less than a tenth
of a second's work, and enough for the time in which a gateway learns that it may go on."""

STUCK_SECONDS = 1.0
"""Wait for a turn from which on a caller whose requests do not arrive keeps others out of a full intake."""

HELD_SECONDS = 0.02
"""Delay of a timer from which on the event loop was held."""

LEAST_SECONDS = 0.005
ROUNDS = 10
"""Time that a call needs from its turn to its answer: so many rounds of the event loop, each of which takes about as
long as the loop's lag, and at least so many seconds."""


class Reservation:
    """Memory that is reserved for a request of `size` bytes in `COPIES`. Leaving the block releases it."""

    __slots__ = ("_bytes", "_caller", "_memory", "size")

    def __init__(self, memory: _Memory, caller: str, size: int) -> None:
        self.size = size
        self._memory = memory
        self._caller = caller
        self._bytes = COPIES * size

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shrink_to(0)

    def shrink_to(self, copies: int) -> None:
        """Releases all but `copies` of the request."""
        needed = copies * self.size
        if needed < self._bytes:
            self._memory.release(self._caller, self._bytes - needed)
            self._bytes = needed

    def resize_to(self, copies: int) -> None:
        """Holds as many copies of the request as are needed now. Raises LimitExceeded SERVER_BUSY without memory for
        more of them."""
        more = copies * self.size - self._bytes
        if more > 0:
            self._memory.take_now(self._caller, more)
            self._bytes += more
        else:
            self.shrink_to(copies)


class _Waiter(NamedTuple):
    """A request that waits for memory."""

    caller: str
    bytes: int
    granted: asyncio.Future[None]


class _Memory:
    """The memory of all large requests, shared fairly by the callers."""

    def __init__(self, limit: int) -> None:
        self._quota = FairQuota(limit)
        self._waiters: list[_Waiter] = []

    @property
    def free_bytes(self) -> int:
        return self._quota.free

    @property
    def has_waiters(self) -> bool:
        return bool(self._waiters)

    def resize(self, limit: int) -> None:
        self._quota.resize(limit)
        self._grant()

    def may_have(self, caller: str, size: int) -> bool:
        """Whether `size` more bytes are the caller's fair share."""
        return self._quota.may_have(caller, size)

    async def take(self, caller: str, size: int) -> None:
        """Takes `size` bytes, as soon as the caller may have them."""
        if not self._waiters and self._quota.try_take_all(caller, size):
            return
        waiter = _Waiter(caller, size, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._grant()
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
                self._grant()
            else:
                self.release(caller, size)
            raise

    def take_now(self, caller: str, size: int) -> None:
        """Takes `size` bytes at once. Raises LimitExceeded SERVER_BUSY when that much is not free."""
        if self._waiters or not self._quota.try_take_all(caller, size):
            raise _busy("other large requests take all the memory there is for these")

    def release(self, caller: str, size: int) -> None:
        self._quota.release(caller, size)
        self._grant()

    def _grant(self) -> None:
        """Gives memory to those that wait, in their order, but for callers who have too much already."""
        for waiter in list(self._waiters):
            if waiter.granted.done():
                # Its call was cancelled a moment ago, and will take it off the list itself.
                continue
            if not self._quota.may_have(waiter.caller, waiter.bytes):
                continue
            if not self._quota.try_take_all(waiter.caller, waiter.bytes):
                # Smaller requests would keep a large one waiting without end.
                return
            self._waiters.remove(waiter)
            waiter.granted.set_result(None)


class _Reception:
    """A request that is being received."""

    __slots__ = ("_worked", "caller", "has_too_much", "preempted", "since", "task")

    def __init__(self, since: float, caller: str) -> None:
        self.since = since
        self.caller = caller
        self.has_too_much = False
        """Whether the caller holds too much memory to have any for this request."""
        task = asyncio.current_task()
        assert task
        self.task = task
        self.preempted = False
        self._worked = thread_time()

    def worked_seconds(self) -> float:
        """The seconds that the event loop has worked since then."""
        return thread_time() - self._worked


class Intake:
    """The intake of requests; one for each process."""

    def __init__(
        self, slots: int = SLOTS, memory_bytes: int = MEMORY_BYTES, receive_seconds: float = RECEIVE_SECONDS
    ) -> None:
        self._slots = slots
        self._free_slots = slots
        self._receive_seconds = receive_seconds
        self._receptions: dict[_Reception, None] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """Calls that wait for a slot, by caller; the caller with the next turn is first."""
        self._waiting_calls = 0
        self._is_overloaded = False
        self._last_waits: dict[str, float] = {}
        """The wait of the call that had the last turn, in seconds, of each caller whose calls wait."""
        self.is_held = False
        """Whether waiting calls get no turns."""
        self._has_been_held = False
        self.has_backlog = False
        """Whether more calls wait for their turn than are begun soon."""
        self.on_backlog: Callable[[bool], None] = lambda _: None
        """Called when `has_backlog` has changed."""
        self._accepting: deque[asyncio.Future[None]] = deque()
        """Those that wait for room, to accept a call."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self.memory = _Memory(memory_bytes)
        self._empty = Reservation(self.memory, "", 0)

    def resize(self, memory_bytes: int) -> None:
        """Sets the memory limit."""
        self.memory.resize(memory_bytes)

    @functools.cached_property
    def others(self) -> Intake:
        """The intake of calls that do not ask a provider. It shares the memory, and neither waits for the other."""
        others = Intake(self._slots, receive_seconds=self._receive_seconds)
        others.memory = self.memory
        others._empty = self._empty
        return others

    def hold(self, is_held: bool) -> None:
        """Gives no further turns while `is_held`. Requests that are being received are not held."""
        self.is_held = is_held
        self._has_been_held = self._has_been_held or is_held
        while self._waiting and self._free_slots and not self.is_held:
            self._free_slots -= 1
            self._pass_slot_on()

    @property
    def is_full(self) -> bool:
        """Whether so many calls wait that no further ones should be accepted."""
        return self._waiting_calls >= (OVERLOADED_WAITING if self._is_overloaded else MAX_WAITING)

    async def wait_for_room(self) -> None:
        """Waits until there is room for a call, or `end_waits_for_room`."""
        room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._accepting.append(room)
        await room

    def end_waits_for_room(self) -> None:
        """Ends the waits for room that have begun."""
        while self._accepting:
            self._give_room()

    def _give_room(self) -> None:
        """Ends the longest wait for room."""
        while self._accepting:
            room = self._accepting.popleft()
            if not room.done():
                room.set_result(None)
                return

    def is_too_late(self, remaining: Callable[[], float | None], caller: Callable[[], str]) -> bool:
        """Whether a new call cannot be answered before its deadline. `remaining` gives the seconds until that, `caller`
        the one whose earlier calls it has to wait for."""
        seconds = remaining()
        if seconds is None:
            return False
        seconds -= _needed_seconds()
        return seconds < 0 or (bool(self._last_waits) and seconds < self._last_waits.get(caller(), 0.0))

    async def receive(
        self, context: grpc.aio.ServicerContext, caller: str, remaining: Callable[[], float | None]
    ) -> tuple[bytes, Reservation]:
        """Waits for the caller's turn, and returns the request and its reserved memory. `remaining` gives the seconds
        until the deadline of the call.

        Raises InvalidRequest when the caller sends no request, and LimitExceeded SERVER_BUSY when it is preempted, or
        its turn comes too late for its deadline.
        """
        if self._free_slots and not self._waiting and not self.is_held:
            self._free_slots -= 1
        else:
            await self._wait_for_slot(caller)
            seconds = remaining()
            if seconds is not None and seconds < _needed_seconds():
                self._pass_slot_on()
                raise too_late()
        reception = _Reception(asyncio.get_running_loop().time(), caller)
        self._receptions[reception] = None
        try:
            data = await context.read()
            if data is grpc.aio.EOF:
                raise InvalidRequest("the call has no request message")
            return data, self._empty if len(data) <= SMALL_BYTES else await self._reserve(reception, len(data))
        except asyncio.CancelledError:
            if not reception.preempted:
                raise
            reception.task.uncancel()
            if reception.has_too_much:
                raise _busy("the caller's other large requests have as much memory as is left for others") from None
            raise _busy("the request took too long to arrive while others waited") from None
        finally:
            del self._receptions[reception]
            self._pass_slot_on()

    async def _reserve(self, reception: _Reception, request_bytes: int) -> Reservation:
        caller, needed = reception.caller, COPIES * request_bytes
        if not self.memory.may_have(caller, needed):
            reception.has_too_much = True
            self._schedule_preemption()
        await self.memory.take(caller, needed)
        return Reservation(self.memory, caller, request_bytes)

    async def _wait_for_slot(self, caller: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        self._count_waiting(1)
        self._schedule_preemption()
        since = asyncio.get_running_loop().time()
        try:
            await turn
            if caller in self._waiting:
                self._last_waits[caller] = asyncio.get_running_loop().time() - since
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and not turn.exception():
                self._pass_slot_on()
            raise
        finally:
            self._count_waiting(-1)
            if not self.is_full:
                self._give_room()

    def _count_waiting(self, change: int) -> None:
        self._waiting_calls += change
        if self._is_overloaded:
            self._is_overloaded = self._waiting_calls > RESUMED
        else:
            self._is_overloaded = self._has_been_held and self._waiting_calls >= MAX_WAITING
        has_backlog = self._waiting_calls > RESUMED if self.has_backlog else self._waiting_calls >= BACKLOG
        if has_backlog is not self.has_backlog:
            self.has_backlog = has_backlog
            self.on_backlog(has_backlog)

    def _pass_slot_on(self) -> None:
        """Passes the slot on to the caller with the next turn."""
        while self._waiting and not self.is_held:
            caller, turns = next(iter(self._waiting.items()))
            turn = turns.popleft()
            del self._waiting[caller]
            if turns:
                self._waiting[caller] = turns
            else:
                self._last_waits.pop(caller, None)
            if not turn.done():
                turn.set_result(None)
                return
        self._free_slots += 1

    def _schedule_preemption(self) -> None:
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        due = min(map(self._due, self._running()), default=loop.time() + self._receive_seconds)
        if self._timer:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer, self._timer_due = loop.call_at(due, self._preempt), due

    def _running(self) -> Iterator[_Reception]:
        return (reception for reception in self._receptions if not reception.preempted)

    def _due(self, reception: _Reception) -> float:
        """The loop's time at which a reception may be preempted."""
        if reception.has_too_much or reception.caller in self._waiting:
            crowding = CROWDING_RECEIVE_SECONDS + BUSY * reception.worked_seconds()
            return reception.since + min(crowding, self._receive_seconds)
        return reception.since + self._receive_seconds

    def _preempt(self) -> None:
        """Cancels the oldest due reception, if there is one and a call waits."""
        self._timer = None
        late = asyncio.get_running_loop().time() - self._timer_due
        if late > HELD_SECONDS:
            # The loop was held: what has arrived meanwhile could not be read.
            for reception in self._receptions:
                reception.since += late + HELD_SECONDS
        if not any(not turn.done() for turns in self._waiting.values() for turn in turns):
            return
        first = min(self._running(), key=self._due, default=None)
        if first and self._due(first) <= asyncio.get_running_loop().time():
            first.preempted = True
            first.task.cancel()
            if self.is_full and self._last_waits.get(first.caller, 0.0) >= STUCK_SECONDS:
                self._refuse_half(first.caller)
        self._schedule_preemption()

    def _refuse_half(self, caller: str) -> None:
        """Refuses the newer half of the caller's waiting calls, for which the calls of others cannot be accepted."""
        turns = self._waiting[caller]
        for _ in range(len(turns) // 2):
            turn = turns.pop()
            if not turn.done():
                turn.set_exception(_busy("too many of the caller's requests wait for others that do not arrive"))


PROCESS_INTAKE = Intake()


def _busy(why: str) -> LimitExceeded:
    return LimitExceeded(f"{why}; try again", reason="SERVER_BUSY", retry_after=RETRY_SECONDS)


def _needed_seconds() -> float:
    """The time that a call needs from its turn to its answer, at least."""
    return max(LEAST_SECONDS, ROUNDS * PROCESS_LAG.seconds())


def too_late() -> LimitExceeded:
    """The refusal of a call that could not be answered before its deadline."""
    return LimitExceeded(
        "the server has so much to do that it could not answer before the deadline; try again later, or set a longer "
        "one",
        reason="SERVER_BUSY",
        retry_after=RETRY_SECONDS,
    )
