"""The client for asyncio."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import grpc

from genai_platform.async_models import AsyncModels
from genai_platform.async_prompts import AsyncPrompts
from genai_platform.async_sessions import AsyncSessions
from genai_platform.calls import Metadata
from genai_platform.connection import AsyncConnection
from genai_platform.prompt_cache import DEFAULT_CACHE_SECONDS, PromptCache


class AsyncGenAIPlatform:
    """The platform, as `models`, `prompts` and `sessions`. For one event loop: the one of the first call.

    `target`    `host:port`, or a URL of http, grpc, https or grpcs (the latter two mean TLS); without it the
                environment's GENAI_GATEWAY_URL, else 127.0.0.1:50051
    `timeout`   seconds that every call may take; without it 600 for chats and 30 for everything else
    `metadata`  gRPC metadata that goes with every call
    `channel`   a channel of your own instead of a target; closing it stays with you
    `prompt_cache_seconds`  how long `prompts.get` takes what a label points at for granted; 0 asks every time

    Nothing is connected before the first call. Raises ValueError for an argument that cannot be.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        channel: grpc.aio.Channel | None = None,
        prompt_cache_seconds: float = DEFAULT_CACHE_SECONDS,
    ) -> None:
        self._connection = AsyncConnection(target, timeout, metadata, channel)
        self.models = AsyncModels(self._connection)
        self.prompts = AsyncPrompts(self.models, PromptCache(prompt_cache_seconds))
        self.sessions = AsyncSessions(self._connection, self.models)

    async def close(self) -> None:
        """Closes the connection and cancels the calls that are running. A second time does nothing."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.target.address!r})"
