"""Idempotency: a request_id that is sent again, within a day, gets the answer of its first call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from proto import models_pb2
from services.models.calls.fingerprints import fingerprint
from services.models.calls.kept_answers import LEASE_SECONDS, Found, KeptAnswers, Key
from services.shared.call import Call, new_request_id
from services.shared.errors import PlatformError
from services.shared.logs import Log

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
"""Pauses between two looks at a call that is running."""

KEEP_SECONDS = 2.0
"""Time for which an answer waits until it is stored; at most half of the caller's time."""

RELEASE_SECONDS = 1.0
"""Time for which an error waits until its id is free."""

PURGE_SECONDS = 600.0


class Idempotency:
    """Gives each request_id one answer. `close` waits for the ids that are being freed."""

    def __init__(self, answers: KeptAnswers) -> None:
        self._answers = answers
        self._endings: set[asyncio.Task[None]] = set()

    async def begin(self, request: models_pb2.ChatRequest, call: Call) -> Repeatable:
        """The call under the request's id: with the kept answer, or to be answered. Waits while another one runs.

        The kept answer is the first one, whatever has happened to its model or prompt since.
        Raises InvalidRequest (REQUEST_ID_REUSED), and Unavailable while the storage is away.
        """
        key, holder = Key(call.answer_scope(), request.request_id), new_request_id()
        content, pause = await fingerprint(request, call), FIRST_PAUSE_SECONDS
        found = await self._claim(key, content, holder)
        while not found.claimed and found.response is None:
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
            found = await self._answers.find(key, content) or await self._claim(key, content, holder)
        return Repeatable(self._answers, key, holder, call, found.response, self._endings)

    async def _claim(self, key: Key, content: str, holder: str) -> Found:
        try:
            return await self._answers.claim(key, content, holder)
        except asyncio.CancelledError:
            # The id may have been claimed in spite of the cancellation.
            _end_later(self._endings, self._release(key, holder))
            raise

    async def _release(self, key: Key, holder: str) -> None:
        with contextlib.suppress(PlatformError):
            await self._answers.release(key, holder)

    async def close(self) -> None:
        """Waits until the ids of ended calls are freed. Close it before the storage."""
        if self._endings:
            await asyncio.wait(self._endings)


class Repeatable:
    """A call under a request_id, for the length of a block. A block that ends without `keep` frees the id."""

    def __init__(
        self,
        answers: KeptAnswers,
        key: Key,
        holder: str,
        call: Call,
        kept: bytes | None,
        endings: set[asyncio.Task[None]],
    ) -> None:
        self.response = _read(kept) if kept is not None else None
        """The answer of the first call; None if this one must answer."""
        self._answers = answers
        self._key = key
        self._holder = holder
        self._call = call
        self._endings = endings
        self._is_kept = kept is not None
        self._lease: asyncio.Task[None] | None = None
        self._storing: asyncio.Task[str] | None = None
        call.log_fields["repeated"] = self._is_kept

    async def __aenter__(self) -> Repeatable:
        if not self._is_kept:
            self._lease = asyncio.create_task(self._hold())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lease is None:
            return
        # The id is freed although its caller may leave just now.
        ending = _end_later(self._endings, self._end(self._lease))
        if error is None and not self._is_kept:
            # The storage is away: the answer does not wait for it once more.
            return
        await asyncio.wait({ending}, timeout=RELEASE_SECONDS)

    def passing_on(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    async def keep(self, response: models_pb2.ChatResponse) -> None:
        """Keeps the answer. One that cannot be stored, or not in time, has a warning instead: it has been paid for."""
        self._storing = asyncio.create_task(self._store(response.SerializeToString()))
        await asyncio.wait({self._storing}, timeout=self._keep_seconds())
        why = self._storing.result() if self._storing.done() else "the storage did not answer in time"
        if why:
            message = f"the answer was not stored, a repetition of request_id may be answered anew: {why}"
            response.warnings.add(code="ANSWER_NOT_KEPT", field="request_id", message=message)

    def _keep_seconds(self) -> float:
        remaining = self._call.remaining_seconds()
        return KEEP_SECONDS if remaining is None else min(KEEP_SECONDS, remaining / 2)

    async def _store(self, response: bytes) -> str:
        """Stores the answer. Returns the problem, or an empty text."""
        try:
            await self._answers.keep(self._key, self._holder, response)
        except PlatformError as error:
            return error.message
        except Exception:
            return "the storage failed"
        self._is_kept = True
        return ""

    async def _end(self, lease: asyncio.Task[None]) -> None:
        if self._storing:
            await asyncio.wait({self._storing})
        lease.cancel()
        await asyncio.wait({lease})
        # Tasks refer to this through their frames: without the references back nothing waits for the collector.
        self._lease = self._storing = None
        if not self._is_kept:
            # If that fails, the lease ends by itself.
            with contextlib.suppress(PlatformError):
                await self._answers.release(self._key, self._holder)

    async def _hold(self) -> None:
        """Extends the lease, until cancelled or until another call has it: `keep` then finds that out."""
        is_held = True
        while is_held:
            await asyncio.sleep(LEASE_SECONDS / 3)
            with contextlib.suppress(PlatformError):
                is_held = await self._answers.extend(self._key, self._holder)


async def append_id_of(request: models_pb2.ChatRequest, call: Call) -> str:
    """The id of the append of a chat in a session: the same for each call with this request_id and request."""
    return await fingerprint(request, call, beside=[call.answer_scope()])


async def purge_answers(answers: KeptAnswers, log: Log, interval_seconds: float = PURGE_SECONDS) -> None:
    """Purges the answers at an interval, and whenever many have been stored, until cancelled."""
    while True:
        await answers.wait_for_purge(interval_seconds)
        try:
            await answers.purge()
        except Exception as error:
            # The next round tries again.
            log.error("old answers not removed", error=error)


def _end_later(endings: set[asyncio.Task[None]], ending: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Runs `ending` to its end, also if the call is cancelled."""
    task = asyncio.create_task(ending)
    endings.add(task)
    task.add_done_callback(endings.discard)
    return task


def _read(kept: bytes) -> models_pb2.ChatResponse:
    response = models_pb2.ChatResponse.FromString(kept)
    message = "this is the answer of the first call with this request_id; no model was called"
    response.warnings.add(code="ANSWER_REPEATED", field="request_id", message=message)
    return response
