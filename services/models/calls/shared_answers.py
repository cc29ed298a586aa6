"""Shared answers: equal requests of one caller share an answer for a time, in the memory of this process."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, TypeAlias

from proto import models_pb2
from services.models.calls.fingerprints import fingerprint
from services.shared.call import Call
from services.shared.durations import nanoseconds_of
from services.shared.errors import PlatformError

MAX_BYTES = 64 * 1024 * 1024
"""Memory of all answers; those that were used longest ago give way."""
MAX_ANSWER_BYTES = 4 * 1024 * 1024
ENTRY_BYTES = 512
"""Memory of an entry beside its answer."""

STALLED_SECONDS = 1.0
"""Time for which a chunk of an answer may wait for its reader while other callers wait for the answer."""

NOT_COMPARED = ("cache", "request_id", "tags", "timeouts")
"""Fields that may differ in requests with the same answer."""

Outcome: TypeAlias = bytes | PlatformError | None
"""The serialized answer of a call that has ended, or its error; None if it has none that others can have."""

Key: TypeAlias = tuple[str, bytes]
"""The fingerprint of requests with the same answer, and their timeouts, by which one may fail and another not."""


class _Kept(NamedTuple):
    response: bytes
    kept_at: float


class _Leader:
    """A running call that answers for all equal ones."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._outcome: asyncio.Future[Outcome] = self._loop.create_future()
        self._waits_since: float | None = None
        """The loop's time at which a chunk began to wait for its reader."""

    @contextlib.contextmanager
    def passing_on(self) -> Iterator[None]:
        self._waits_since = self._loop.time()
        try:
            yield
        finally:
            self._waits_since = None

    def end(self, outcome: Outcome) -> None:
        self._outcome.set_result(outcome)

    @property
    def is_stalled(self) -> bool:
        """Whether its caller has stopped reading, so that its end may be far."""
        return self._stalls_in() <= 0

    async def wait(self) -> Outcome:
        """Waits for its outcome, which is None if it stalls."""
        while not self._outcome.done() and not self.is_stalled:
            await asyncio.wait({self._outcome}, timeout=self._stalls_in())
        return self._outcome.result() if self._outcome.done() else None

    def _stalls_in(self) -> float:
        if self._waits_since is None:
            return STALLED_SECONDS
        return self._waits_since + STALLED_SECONDS - self._loop.time()


class SharedAnswers:
    """The answers of one process. `now` is a monotonic clock, in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0
        self._leaders: dict[Key, _Leader] = {}

    async def begin(self, request: models_pb2.ChatRequest, source: Sequence[str], call: Call) -> Sharing:
        """The call, with an answer that is young enough, or to be answered. Waits while an equal one runs, as long as
        the caller of that one reads.

        `source` has what the answer depends on beside the request: the models, and the text of the prompt.
        """
        compared = await fingerprint(request, call, without=NOT_COMPARED, beside=[call.answer_scope(), *source])
        max_age = (nanoseconds_of(request.cache.max_age) or 0) / 1e9
        key = compared, request.timeouts.SerializeToString(deterministic=True)
        data = self._find(compared, max_age)
        while data is None and (leader := self._leaders.get(key)) and not leader.is_stalled:
            outcome = await leader.wait()
            if isinstance(outcome, PlatformError):
                raise copy.copy(outcome)
            data = outcome or self._find(compared, max_age)
        call.log_fields["shared"] = data is not None
        return Sharing(self, key, data)

    def lead(self, key: Key) -> _Leader:
        """Notes that a call answers for all equal ones."""
        leader = self._leaders[key] = _Leader()
        return leader

    def end(self, key: Key, leader: _Leader, outcome: Outcome) -> None:
        """Gives the calls that wait the outcome of the one that has ended."""
        # Another one may have taken the place of one that stalled.
        if self._leaders.get(key) is leader:
            del self._leaders[key]
        leader.end(outcome)

    def keep(self, key: Key, data: bytes) -> None:
        """Keeps a serialized answer, unless it is large."""
        if len(data) > MAX_ANSWER_BYTES:
            return
        compared, _ = key
        self._drop(compared)
        self._kept[compared] = _Kept(data, self._now())
        self._bytes += len(data) + ENTRY_BYTES
        while self._bytes > MAX_BYTES:
            self._drop(next(iter(self._kept)))

    def _find(self, compared: str, max_age: float) -> bytes | None:
        kept = self._kept.get(compared)
        if kept is None or self._now() - kept.kept_at > max_age:
            return None
        self._kept.move_to_end(compared)
        return kept.response

    def _drop(self, compared: str) -> None:
        kept = self._kept.pop(compared, None)
        if kept:
            self._bytes -= len(kept.response) + ENTRY_BYTES


class Sharing:
    """A call that shares its answer, for the length of a block. Calls that wait for it go on when the block ends."""

    def __init__(self, answers: SharedAnswers, key: Key, earlier: bytes | None) -> None:
        self.response = None if earlier is None else _read(earlier)
        """The answer of an earlier call; None if this one must answer."""
        self._answers = answers
        self._key = key
        self._leader = answers.lead(key) if earlier is None else None

    async def __aenter__(self) -> Sharing:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(error if isinstance(error, PlatformError) else None)

    def passing_on(self) -> contextlib.AbstractContextManager[None]:
        return self._leader.passing_on() if self._leader else contextlib.nullcontext()

    async def keep(self, response: models_pb2.ChatResponse) -> None:
        """Keeps the answer for equal requests."""
        data = response.SerializeToString()
        self._answers.keep(self._key, data)
        # At once: the caller may be slow to take the end of its stream.
        self._end(data)

    def _end(self, outcome: Outcome) -> None:
        if self._leader:
            self._answers.end(self._key, self._leader, outcome)
            self._leader = None


def _read(data: bytes) -> models_pb2.ChatResponse:
    response = models_pb2.ChatResponse.FromString(data)
    message = "this is the answer of an earlier equal request; no model was called"
    response.warnings.add(code="ANSWER_FROM_MEMORY", field="cache", message=message)
    return response
