"""The intake of a process: how many requests are received at a time, and how many of their bytes are held.

grpc keeps a request that nobody has asked for in the caller, but for 64 KiB of it; one that was asked for it collects
until it is whole, and nothing says how large it will be. So only a few are asked for at a time. That is no limit for
small ones, which have come as soon as they are asked for. The places go around among the callers who wait, and who has
had one for long gives way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from types import TracebackType

import grpc

from services.shared.errors import InvalidRequest, LimitExceeded

PLACES = 4
"""How many requests are received at once. Each may be as large as a message can be."""

PATIENCE_SECONDS = 5.0
"""After this time a request that is still not here gives way to others that wait."""

GREED_SECONDS = 0.25
"""The same for one of a caller who waits with more of them."""

SMALL_BYTES = 64 * 1024
"""Requests up to this size are not counted: thousands of them fit beside the others."""

HELD_BYTES = 256 * 1024 * 1024
"""Of all larger requests together, in whatever form they are held."""

FORMS = 4
"""A request is held as it came, parsed, and encoded in one or two steps for whoever is asked next."""

RETRY_SECONDS = 1.0


class Room:
    """What one request of `size` bytes takes of those that are held, in `FORMS`. Leaving the block gives it back."""

    __slots__ = ("_bytes", "_intake", "_size")

    def __init__(self, intake: Intake, size: int) -> None:
        self._intake = intake
        self._size = size
        self._bytes = FORMS * size

    def __enter__(self) -> Room:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.keep(0)

    def keep(self, forms: int) -> None:
        """Says in how many forms the request is held from now on, at most."""
        kept = forms * self._size
        if kept < self._bytes:
            self._intake.give_back(self._bytes - kept)
            self._bytes = kept


class _Reception:
    """One request that is being received."""

    __slots__ = ("caller", "displaced", "since", "task")

    def __init__(self, since: float, caller: str) -> None:
        self.since = since
        self.caller = caller
        task = asyncio.current_task()
        assert task
        self.task = task
        self.displaced = False


class Intake:
    """The requests on their way into a process; one for each process."""

    def __init__(
        self, places: int = PLACES, held_bytes: int = HELD_BYTES, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._free = places
        self._patience = patience_seconds
        self._receptions: dict[_Reception, None] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """Who waits for a place, by caller; the caller whose turn it is stands first."""
        self._displacing: asyncio.TimerHandle | None = None
        self._held = self._left = held_bytes
        self._no_room = Room(self, 0)
        self._crowded: deque[tuple[int, asyncio.Future[None]]] = deque()

    def resize(self, held_bytes: int) -> None:
        """Holds as many bytes from now on."""
        self._held, more = held_bytes, held_bytes - self._held
        self.give_back(more)

    async def receive(self, context: grpc.aio.ServicerContext, caller: str) -> tuple[bytes, Room]:
        """The request of a call of `caller`, when its turn has come, and the room that it takes.

        Raises InvalidRequest when the caller sends none, and LimitExceeded SERVER_BUSY when it takes so long that
        others go first.
        """
        if self._free and not self._waiting:
            self._free -= 1
        else:
            await self._wait_for_place(caller)
        reception = _Reception(asyncio.get_running_loop().time(), caller)
        self._receptions[reception] = None
        try:
            data = await context.read()
            if data is grpc.aio.EOF:
                raise InvalidRequest("the call has no request message")
            return data, self._no_room if len(data) <= SMALL_BYTES else await self._take_room(len(data))
        except asyncio.CancelledError:
            if not reception.displaced:
                raise
            reception.task.uncancel()
            raise _busy("the request took too long to arrive while others waited") from None
        finally:
            del self._receptions[reception]
            self._leave_place()

    def give_back(self, size: int) -> None:
        """Frees room that was taken."""
        self._left += size
        while self._crowded and self._crowded[0][0] <= self._left:
            size, waiter = self._crowded.popleft()
            if not waiter.done():
                self._left -= size
                waiter.set_result(None)

    async def _take_room(self, request_bytes: int) -> Room:
        size = FORMS * request_bytes
        if size <= self._left and not self._crowded:
            self._left -= size
            return Room(self, request_bytes)
        waiter = asyncio.get_running_loop().create_future()
        self._crowded.append((size, waiter))
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.give_back(size)
            raise
        return Room(self, request_bytes)

    async def _wait_for_place(self, caller: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        self._watch_receptions()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave_place()
            raise

    def _leave_place(self) -> None:
        """Hands the place on to the caller whose turn it is."""
        while self._waiting:
            caller, turns = next(iter(self._waiting.items()))
            turn = turns.popleft()
            del self._waiting[caller]
            if turns:
                self._waiting[caller] = turns
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _watch_receptions(self) -> None:
        if self._displacing is None and self._waiting:
            loop = asyncio.get_running_loop()
            due = min(map(self._due, self._held_up()), default=loop.time() + self._patience)
            self._displacing = loop.call_at(due, self._displace)

    def _held_up(self) -> Iterator[_Reception]:
        return (reception for reception in self._receptions if not reception.displaced)

    def _due(self, reception: _Reception) -> float:
        """When a reception has to give way."""
        greedy = reception.caller in self._waiting
        return reception.since + (min(GREED_SECONDS, self._patience) if greedy else self._patience)

    def _displace(self) -> None:
        """Ends the reception that has lasted too long, if there is one, for a call that waits."""
        self._displacing = None
        if not any(not turn.done() for turns in self._waiting.values() for turn in turns):
            return
        first = min(self._held_up(), key=self._due, default=None)
        if first and self._due(first) <= asyncio.get_running_loop().time():
            first.displaced = True
            first.task.cancel()
        self._watch_receptions()


PROCESS_INTAKE = Intake()


def _busy(why: str) -> LimitExceeded:
    return LimitExceeded(f"{why}; try again", reason="SERVER_BUSY", retry_after=RETRY_SECONDS)
