"""Streamed answers.

A stream that is left early must not go on costing money: a `break`, an error, the end of a `with` block, `close` and
garbage collection all cancel the call, and the server stops generating. grpc.aio does not do so by itself
(github.com/grpc/grpc/issues/43462).

Written by hand for both clients: threads and interrupts concern the blocking one, event loops and tasks the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc

from genai_platform.calls import PreparedCall
from genai_platform.errors import GATEWAY_LOST, Cancelled, ServerError, Unavailable
from genai_platform.v1.models_pb2 import ChatChunk, ChatResponse

APPEND_FAILED = "SESSION_APPEND_FAILED"


class _ChatStreamBase:
    """The common part of both streams: the response, and the check that a stream is complete.

    A stream is complete with its response: a connection that breaks between the last chunk and the status, as when a
    process is killed just then, is no error.
    """

    def __init__(self, call: PreparedCall) -> None:
        self._call = call
        self._begun = False
        self._closed = False
        self._response: ChatResponse | None = None

    @property
    def response(self) -> ChatResponse | None:
        """The complete answer, equal to the one that `chat` returns; None before the last chunk."""
        return self._response

    def _see(self, chunk: ChatChunk) -> ChatChunk:
        if not self._begun:
            self._begun = True
            self._call.attempts.succeeded()
        if chunk.finish_reason and chunk.HasField("response"):
            self._response = chunk.response
        return chunk

    def _pause_or_raise(self, error: grpc.RpcError) -> float:
        """The pause before the stream is started anew; raises the GenAIError if it is not, as after its first chunk."""
        if not self._begun:
            return self._call.pause_or_raise(error)
        translated = self._call.translate(error)
        if translated.reason == GATEWAY_LOST:
            # As the gateway says it of a service that is lost.
            translated.metadata["phase"] = "mid_stream"
        raise translated from None

    def _check_open(self) -> None:
        if self._closed:
            raise Cancelled("the stream was closed", request_id=self._call.request_id)

    def _check_end(self) -> None:
        if self._response is None:
            raise ServerError(
                "the stream ended without a last chunk, so the answer may be cut short; ask again",
                reason="STREAM_INCOMPLETE",
                request_id=self._call.request_id,
            )


class ChatStream(_ChatStreamBase):
    """The chunks of one answer, to be iterated once.

    It ends after a chunk with `finish_reason` and `response`, or raises a GenAIError; a cut stream never looks whole.
    """

    def __init__(self, stream: grpc.Call, restart: Callable[[], grpc.Call], call: PreparedCall) -> None:
        super().__init__(call)
        self._stream = stream
        self._restart = restart

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ChatChunk:
        while True:
            try:
                return self._see(next(self._stream))
            except StopIteration:
                self._check_end()
                raise
            except grpc.RpcError as error:
                if self._response is not None:
                    raise StopIteration from None
                pause = self._pause_or_raise(error)
            except BaseException:
                self.close()
                raise
            time.sleep(pause)
            self._check_open()
            self._stream = self._restart()

    def close(self) -> None:
        """Cancels the call; does nothing when it has ended."""
        self._closed = True
        self._stream.cancel()

    cancel = close

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # A collected call of grpc cancels itself, but its documentation does not promise it.
        self.close()


class AsyncChatStream(_ChatStreamBase):
    """The chunks of one answer, to be iterated once, in the event loop that made it.

    It ends after a chunk with `finish_reason` and `response`, or raises a GenAIError; a cut stream never looks whole.
    """

    def __init__(
        self, stream: grpc.aio.UnaryStreamCall, restart: Callable[[], grpc.aio.UnaryStreamCall], call: PreparedCall
    ) -> None:
        super().__init__(call)
        self._stream = stream
        self._restart = restart
        self._loop = asyncio.get_running_loop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatChunk:
        while True:
            try:
                chunk = await self._stream.read()
            except grpc.RpcError as error:
                if self._response is not None:
                    raise StopAsyncIteration from None
                pause = self._pause_or_raise(error)
            except asyncio.CancelledError:
                self.cancel()
                if task_is_cancelled():
                    raise
                raise Cancelled("the stream was closed", request_id=self._call.request_id) from None
            else:
                return self._see_read(chunk)
            await asyncio.sleep(pause)
            self._check_open()
            self._stream = self._restart()

    def _see_read(self, chunk: Any) -> ChatChunk:
        if chunk is grpc.aio.EOF:
            self._check_end()
            raise StopAsyncIteration
        return self._see(chunk)

    def cancel(self) -> None:
        """Cancels the call; does nothing when it has ended."""
        self._closed = True
        self._stream.cancel()

    async def close(self) -> None:
        """The same as `cancel`."""
        self.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancel()

    def __del__(self) -> None:
        if self._stream.done():
            return
        # The collector may run in any thread. The connection of a closed loop is closed too.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stream.cancel)


def check_stored(response: ChatResponse | None) -> None:
    """Raises Unavailable SESSION_APPEND_FAILED for an answer that its session does not have; who reads only its text
    would not see the warning."""
    if response is None:
        return
    for warning in response.warnings:
        if warning.code == APPEND_FAILED:
            text = f"the answer was given whole, but {warning.message}"
            raise Unavailable(text, reason=APPEND_FAILED, metadata={"session_id": response.session_id})


def task_is_cancelled() -> bool:
    """Whether a CancelledError is for the current task.

    grpc.aio raises the same error when only the call was cancelled: by closing its channel, or by another task.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
