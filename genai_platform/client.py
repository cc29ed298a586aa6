"""The client for code that blocks."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import grpc

from genai_platform.calls import Metadata
from genai_platform.connection import Connection
from genai_platform.models import Models
from genai_platform.prompt_cache import DEFAULT_CACHE_SECONDS, PromptCache
from genai_platform.prompts import Prompts
from genai_platform.sessions import Sessions


class GenAIPlatform:
    """The platform, as `models`, `prompts` and `sessions`. Safe to use from many threads, and after a fork.

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
        channel: grpc.Channel | None = None,
        prompt_cache_seconds: float = DEFAULT_CACHE_SECONDS,
    ) -> None:
        self._connection = Connection(target, timeout, metadata, channel)
        self.models = Models(self._connection)
        self.prompts = Prompts(self.models, PromptCache(prompt_cache_seconds))
        self.sessions = Sessions(self._connection, self.models)

    def close(self) -> None:
        """Closes the connection and cancels the calls that are running. A second time does nothing."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.target.address!r})"
