"""Chats that are answered once: an earlier answer is given again, whole or as a stream."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol, TypeAlias

from proto import models_pb2
from services.models.calls.replay import replay

Keep: TypeAlias = Callable[[models_pb2.ChatResponse], Coroutine[Any, Any, None]]
"""Stores a complete answer before its caller has it."""

Answer: TypeAlias = Callable[[Keep], Awaitable[models_pb2.ChatResponse]]
"""Answers a chat whole."""

Stream: TypeAlias = Callable[[Keep], AsyncGenerator[models_pb2.ChatChunk, None]]
"""Answers a chat as a stream."""


class Once(Protocol):
    """A call inside the block of its store."""

    @property
    def response(self) -> models_pb2.ChatResponse | None:
        """The earlier answer; None if this call must answer."""

    def passing_on(self) -> AbstractContextManager[None]:
        """A block in which a chunk of this call's answer waits until its caller takes it."""

    async def keep(self, response: models_pb2.ChatResponse) -> None:
        """Stores the answer of this call, before its caller has it."""


Begin: TypeAlias = Callable[[], Awaitable[AbstractAsyncContextManager[Once]]]
"""Begins a call at its store. Waits while an equal call is running."""


async def answer_once(begin: Begin, answer: Answer, keep: Keep | None = None) -> models_pb2.ChatResponse:
    """The earlier answer, or else a new one, which is stored. Another store takes either by `keep`."""
    async with await begin() as once:
        if once.response is None:
            return await answer(_both(once.keep, keep))
        if keep:
            await keep(once.response)
        return once.response


async def stream_once(
    begin: Begin, stream: Stream, keep: Keep | None = None
) -> AsyncGenerator[models_pb2.ChatChunk, None]:
    """The chunks of the earlier answer, or else of a new one, which is stored when it is complete. Another store takes
    either by `keep`."""
    async with await begin() as once:
        if once.response is not None:
            if keep:
                await keep(once.response)
            for chunk in replay(once.response):
                yield chunk
            return
        async with contextlib.aclosing(stream(_both(once.keep, keep))) as chunks:
            async for chunk in chunks:
                with once.passing_on():
                    yield chunk


def _both(first: Keep, second: Keep | None) -> Keep:
    if second is None:
        return first

    async def keep(response: models_pb2.ChatResponse) -> None:
        await first(response)
        await second(response)

    return keep
