"""Shared answers: equal requests of one caller share an answer for a time, in the memory of this process."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

from proto import models_pb2
from services.shared.durations import nanoseconds_of
from services.shared.errors import InvalidRequest, PlatformError
from services.shared.rpc import Call

MAX_BYTES = 64 * 1024 * 1024
"""Memory of all answers; those that were used longest ago give way."""
MAX_AGE_SECONDS = 24 * 3600
MAX_ANSWER_BYTES = 4 * 1024 * 1024

NOT_COMPARED = ("cache", "request_id", "tags", "timeouts")
"""Fields that may differ in requests with the same answer."""


class _Kept(NamedTuple):
    response: bytes
    kept_at: float


class SharedAnswers:
    """The answers of one process. `now` is a monotonic clock, in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._bytes = 0
        self._running: dict[bytes, asyncio.Future[bytes | PlatformError | None]] = {}
        """The serialized answers of the calls that run, or their errors; None of one whose caller has left."""

    async def begin(self, request: models_pb2.ChatRequest, call: Call) -> Sharing:
        """The call, with an answer that is young enough, or to be answered. Waits while an equal one runs.

        Raises InvalidRequest for an age that is none, and for a chat in a session, which has its own history.
        """
        key, max_age = _key(request, call), _max_age(request)
        while True:
            data = self._find(key, max_age)
            running = self._running.get(key)
            if data is None and running is not None:
                outcome = await asyncio.shield(running)
                if outcome is None:
                    continue
                if isinstance(outcome, PlatformError):
                    raise copy.copy(outcome)
                data = outcome
            call.log_fields["shared"] = data is not None
            return Sharing(self, key, data)

    def lead(self, key: bytes) -> None:
        """Notes that a call answers for all equal ones."""
        self._running[key] = asyncio.get_running_loop().create_future()

    def end(self, key: bytes, outcome: bytes | PlatformError | None) -> None:
        """Gives the calls that wait the serialized answer of the one that has ended, or its error; None if its caller
        has left."""
        self._running.pop(key).set_result(outcome)

    def keep(self, key: bytes, data: bytes) -> None:
        """Keeps a serialized answer, unless it is large."""
        if len(data) > MAX_ANSWER_BYTES:
            return
        self._drop(key)
        self._kept[key] = _Kept(data, self._now())
        self._bytes += len(data)
        while self._bytes > MAX_BYTES:
            self._drop(next(iter(self._kept)))

    def _find(self, key: bytes, max_age: float) -> bytes | None:
        kept = self._kept.get(key)
        if kept is None or self._now() - kept.kept_at > max_age:
            return None
        self._kept.move_to_end(key)
        return kept.response

    def _drop(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept:
            self._bytes -= len(kept.response)


class Sharing:
    """A call that shares its answer, for the length of a block. Calls that wait for it go on when the block ends."""

    def __init__(self, answers: SharedAnswers, key: bytes, earlier: bytes | None) -> None:
        self.response = None if earlier is None else _read(earlier)
        """The answer of an earlier call; None if this one must answer."""
        self._answers = answers
        self._key = key
        self._is_kept = False
        if earlier is None:
            answers.lead(key)

    async def __aenter__(self) -> Sharing:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.response is None and not self._is_kept:
            self._answers.end(self._key, error if isinstance(error, PlatformError) else None)

    async def keep(self, response: models_pb2.ChatResponse) -> None:
        """Keeps the answer for equal requests."""
        data = response.SerializeToString()
        self._answers.keep(self._key, data)
        # At once: the caller may be slow to take the end of its stream.
        self._is_kept = True
        self._answers.end(self._key, data)


def _read(data: bytes) -> models_pb2.ChatResponse:
    response = models_pb2.ChatResponse.FromString(data)
    message = "this is the answer of an earlier equal request; no model was called"
    response.warnings.add(code="ANSWER_FROM_MEMORY", field="cache", message=message)
    return response


def _max_age(request: models_pb2.ChatRequest) -> float:
    nanoseconds = nanoseconds_of(request.cache.max_age)
    if nanoseconds is None or not 0 <= nanoseconds <= MAX_AGE_SECONDS * 1e9:
        raise InvalidRequest.field("cache.max_age", "must be at most 24 hours, and not negative")
    if request.session_id:
        raise InvalidRequest.field("cache", "does not go with session_id: each turn of a session is answered anew")
    return nanoseconds / 1e9


def _key(request: models_pb2.ChatRequest, call: Call) -> bytes:
    """A hash of the caller and of all that the answer depends on."""
    compared = models_pb2.ChatRequest()
    compared.CopyFrom(request)
    for name in NOT_COMPARED:
        compared.ClearField(name)
    return hashlib.sha256(call.caller_host().encode() + b"\0" + compared.SerializeToString(deterministic=True)).digest()
