"""Slow readers: what a caller does not read is bounded, and a stream that nobody reads is ended.

grpc passes a message on only when its reader has room for it; meanwhile nothing more is read from the provider. So a
stream that is not read costs a message and two windows, and a place among the running calls.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import grpc

from services.shared.errors import LimitExceeded
from services.shared.fair_quota import FairQuota
from services.shared.stream_ends import SLOW_READER

STALLED_SECONDS = 60.0
"""Time for which a message may wait for its reader."""

CHECK_SECONDS = 5.0

RESPONSE_BYTES = 256 * 1024 * 1024
"""Bytes of all larger responses that wait for their readers."""

SMALL_BYTES = 4 * 1024
"""Size up to which a response is not counted. Larger ones wait too: the streams of a connection share one window."""

RETRY_SECONDS = 1.0


class StreamWriter:
    """The writer of one stream's messages, for the length of a block in the task of the call."""

    __slots__ = ("_context", "_task", "_waits_since", "is_stalled")

    def __init__(self, context: grpc.aio.ServicerContext) -> None:
        self.is_stalled = False
        self._context = context
        self._waits_since = 0.0
        """The time at which the present message began to wait; 0 while there is none."""

    def __enter__(self) -> StreamWriter:
        task = asyncio.current_task()
        assert task
        self._task: asyncio.Task[Any] = task
        _WATCH.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        _WATCH.discard(self)
        if self.is_stalled and kind is asyncio.CancelledError:
            self._task.uncancel()
            raise LimitExceeded(
                f"the stream was ended because no message of it was read for {STALLED_SECONDS:g} s",
                reason=SLOW_READER,
            ) from None

    async def write(self, message: bytes) -> None:
        """Writes a message, once its reader has room for it."""
        self._waits_since = monotonic()
        await self._context.write(message)
        self._waits_since = 0.0

    def end_if_stalled(self) -> None:
        """Cancels the call if its message has waited for too long."""
        if self.is_stalled or not self._waits_since:
            return
        if monotonic() - self._waits_since > STALLED_SECONDS:
            self.is_stalled = True
            self._task.cancel()


class _Watch:
    """Looks at all running streams now and then."""

    def __init__(self) -> None:
        self._writers: set[StreamWriter] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop in which a check is due."""

    def add(self, writer: StreamWriter) -> None:
        self._writers.add(writer)
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(CHECK_SECONDS, self._check)

    def discard(self, writer: StreamWriter) -> None:
        self._writers.discard(writer)

    def _check(self) -> None:
        for writer in self._writers:
            writer.end_if_stalled()
        if self._writers:
            asyncio.get_running_loop().call_later(CHECK_SECONDS, self._check)
        else:
            self._loop = None


_WATCH = _Watch()


def is_slow_reader(error: BaseException) -> bool:
    """Whether a stream ended because nobody reads it. Its status waits behind the message that is not read, so the call
    should keep its place until its caller reads on or leaves."""
    return isinstance(error, LimitExceeded) and error.reason == SLOW_READER


class UnreadResponses:
    """The memory of large responses until they are read: a fair quota by callers."""

    def __init__(self, limit: int = RESPONSE_BYTES) -> None:
        self._quota = FairQuota(limit)

    def hold(self, response: bytes, caller: str, context: grpc.aio.ServicerContext) -> None:
        """Counts a response until the call is over. Raises LimitExceeded SERVER_BUSY if the quota does not allow it."""
        size = len(response)
        if size <= SMALL_BYTES:
            return
        if not self._quota.try_take(caller, size):
            raise LimitExceeded(
                "the answer is not sent, because too many large ones have not been read yet; read those first",
                reason="SERVER_BUSY",
                retry_after=RETRY_SECONDS,
            )
        context.add_done_callback(lambda _: self._quota.release(caller, size))


PROCESS_RESPONSES = UnreadResponses()
