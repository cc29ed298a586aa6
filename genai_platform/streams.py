"""Answers as they are generated.

A stream that is left early must not go on costing money: a `break`, an error, the end of a `with` block, `close` and
garbage collection all cancel the call, and the server stops generating. grpc.aio does not do so by itself
(github.com/grpc/grpc/issues/43462).
"""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self

import grpc

from genai_platform.calls import Call
from genai_platform.errors import Cancelled, ServerError
from proto.models_pb2 import ChatChunk, ChatResponse


class _Answer:
    """What was seen of the end of a stream."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._response: ChatResponse | None = None

    @property
    def response(self) -> ChatResponse | None:
        """The whole answer, equal to what `chat` returns; None before the last chunk."""
        return self._response

    def _see(self, chunk: ChatChunk) -> ChatChunk:
        if chunk.finish_reason and chunk.HasField("response"):
            self._response = chunk.response
        return chunk

    def _check_end(self) -> None:
        if self._response is None:
            raise ServerError(
                "the stream ended without a last chunk, so the answer may be cut short; ask again",
                reason="STREAM_INCOMPLETE",
                request_id=self._call.request_id,
            )


class ChatStream(_Answer):
    """The chunks of one answer, to be iterated once.

    It ends after a chunk with `finish_reason` and `response`, or by raising a GenAIError: never silently.
    """

    def __init__(self, stream: grpc.Call, call: Call) -> None:
        super().__init__(call)
        self._stream = stream

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ChatChunk:
        try:
            return self._see(next(self._stream))
        except StopIteration:
            self._check_end()
            raise
        except grpc.RpcError as error:
            raise self._call.translate(error) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Cancels what is left of the call; nothing when it has ended."""
        self._stream.cancel()

    cancel = close

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # A call of grpc does so itself when it is collected, but promises it nowhere.
        self.close()


class AsyncChatStream(_Answer):
    """The chunks of one answer, to be iterated once, in the event loop that it was made in.

    It ends after a chunk with `finish_reason` and `response`, or by raising a GenAIError: never silently.
    """

    def __init__(self, stream: grpc.aio.UnaryStreamCall, call: Call) -> None:
        super().__init__(call)
        self._stream = stream
        self._loop = asyncio.get_running_loop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatChunk:
        try:
            chunk = await self._stream.read()
        except grpc.RpcError as error:
            raise self._call.translate(error) from None
        except asyncio.CancelledError:
            self.cancel()
            if task_is_cancelled():
                raise
            raise Cancelled("the stream was closed", request_id=self._call.request_id) from None
        if chunk is grpc.aio.EOF:
            self._check_end()
            raise StopAsyncIteration
        return self._see(chunk)

    def cancel(self) -> None:
        """Cancels what is left of the call; nothing when it has ended."""
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
        # The collector may run in any thread; and a loop that is closed has taken the connection with it.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stream.cancel)


def task_is_cancelled() -> bool:
    """Whether a CancelledError was meant for the current task.

    grpc.aio raises the same error when only the call was cancelled: by closing its channel, or by another task.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
