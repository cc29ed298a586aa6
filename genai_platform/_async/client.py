"""The client: one object for all calls of the platform."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import grpc

from genai_platform._async.models import AsyncModels
from genai_platform._async.prompts import AsyncPrompts
from genai_platform._async.sessions import AsyncSessions
from genai_platform._async.usage import AsyncUsage
from genai_platform.calls import Metadata
from genai_platform.connection import AsyncGatewayConnection
from genai_platform.prompt_cache import DEFAULT_CACHE_SECONDS, LocalPromptCache
from genai_platform.retries import MAX_RETRIES
from genai_platform.tls import PathText, TlsFiles


class AsyncGenAIPlatform:
    """The client of the platform: `models`, `prompts`, `sessions` and `usage`.

    For one event loop: that of the first call, or another one once that is closed.

    `target`    `host:port`, or a URL of http, grpc, https or grpcs (the latter two mean TLS); by default the
                environment's GENAI_GATEWAY_URL, else 127.0.0.1:50051
    `api_key`   the key of a gateway that asks for one; by default the environment's GENAI_API_KEY, or the file that
                GENAI_API_KEY_FILE names. To another machine it is sent in TLS only, unless GENAI_INSECURE is `yes`
    `timeout`   seconds, the deadline of every call; by default 600 for calls that ask a provider, and 30 for others
    `metadata`  gRPC metadata sent with every call
    `channel`   a channel of your own instead of a target; `close` leaves it open
    `ca_file`   PEM file of the authorities of gateways' certificates, for a target in TLS; by default the environment's
                GENAI_TLS_CA_FILE, else the system's authorities
    `client_cert_file`, `client_key_file`  PEM files of the client's own certificate with its chain, and of its key, for
                a gateway that requires one; by default the environment's GENAI_TLS_CLIENT_CERT_FILE and
                GENAI_TLS_CLIENT_KEY_FILE
    `max_retries`  how often a call is made again whose error has a `retry_after` of at most 10 s, if no model's server
                was asked for it: no gateway was reached, or the service was busy; and a read that is `Unavailable`.
                By default 2
    `wait_for_ready`  whether calls wait for a gateway that cannot be reached, as long as their deadline is
    `prompt_cache_seconds`  how long `prompts.get` answers from its cache when asked by label; 0 switches the cache off

    The files are read here, and the first call connects. Raises ValueError for an invalid argument or file, TypeError
    for a target or a file beside a channel.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        channel: grpc.aio.Channel | None = None,
        ca_file: PathText | None = None,
        client_cert_file: PathText | None = None,
        client_key_file: PathText | None = None,
        max_retries: int = MAX_RETRIES,
        wait_for_ready: bool = False,
        prompt_cache_seconds: float = DEFAULT_CACHE_SECONDS,
    ) -> None:
        files = TlsFiles(ca_file, client_cert_file, client_key_file)
        self._connection = AsyncGatewayConnection(
            target, timeout, metadata, channel, files, api_key, max_retries, wait_for_ready
        )
        self.models = AsyncModels(self._connection)
        self.prompts = AsyncPrompts(self.models, LocalPromptCache(prompt_cache_seconds))
        self.sessions = AsyncSessions(self._connection, self.models)
        self.usage = AsyncUsage(self._connection)

    async def close(self) -> None:
        """Closes the connection and cancels the running calls. Closing again does nothing."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.target.address!r})"
