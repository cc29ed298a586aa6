"""Chats that are answered once: an earlier answer is given again, whole or as a stream."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

from proto import models_pb2
from services.models.calls.replay import replay
from services.shared.rpc import Call

Keep: TypeAlias = Callable[[models_pb2.ChatResponse], Coroutine[Any, Any, None]]
"""Stores a complete answer before its caller has it."""


class Answer(Protocol):
    """Answers a chat whole."""

    async def __call__(
        self, request: models_pb2.ChatRequest, call: Call, keep: Keep | None = None
    ) -> models_pb2.ChatResponse: ...


class Stream(Protocol):
    """Answers a chat as a stream."""

    def __call__(
        self, request: models_pb2.ChatRequest, call: Call, keep: Keep | None = None
    ) -> AsyncGenerator[models_pb2.ChatChunk, None]: ...


class Once(Protocol):
    """A call inside the block of its store."""

    @property
    def response(self) -> models_pb2.ChatResponse | None:
        """The earlier answer; None if this call must answer."""

    async def keep(self, response: models_pb2.ChatResponse) -> None:
        """Stores the answer of this call, before its caller has it."""


class AnswerStore(Protocol):
    """A store of answers."""

    async def begin(self, request: models_pb2.ChatRequest, call: Call) -> AbstractAsyncContextManager[Once]:
        """The call, as a context manager. Waits while an equal call is running."""


async def answer_once(
    store: AnswerStore, answer: Answer, request: models_pb2.ChatRequest, call: Call, keep: Keep | None = None
) -> models_pb2.ChatResponse:
    """The earlier answer, or else a new one, which is stored. Another store takes either by `keep`."""
    async with await store.begin(request, call) as once:
        if once.response is None:
            return await answer(request, call, _both(once.keep, keep))
        if keep:
            await keep(once.response)
        return once.response


async def stream_once(
    store: AnswerStore, stream: Stream, request: models_pb2.ChatRequest, call: Call, keep: Keep | None = None
) -> AsyncGenerator[models_pb2.ChatChunk, None]:
    """The chunks of the earlier answer, or else of a new one, which is stored when it is complete. Another store takes
    either by `keep`."""
    async with await store.begin(request, call) as once:
        if once.response is not None:
            if keep:
                await keep(once.response)
            for chunk in replay(once.response):
                yield chunk
            return
        async with contextlib.aclosing(stream(request, call, _both(once.keep, keep))) as chunks:
            async for chunk in chunks:
                yield chunk


def _both(first: Keep, second: Keep | None) -> Keep:
    async def keep(response: models_pb2.ChatResponse) -> None:
        await first(response)
        if second:
            await second(response)

    return keep
