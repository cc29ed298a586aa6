"""The client that puts load on a server: raw bytes over grpc.aio, or raw bytes over a socket."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType

import grpc

from benchmarks.work import CHAT, CHAT_STREAM, TOKEN, Work
from proto import models_pb2

Metadata = Sequence[tuple[str, str]]

AT_ONCE = 16
PACED_AT_ONCE = 50
SPREAD_PACES = 10.5
"""Over how many paces the first streams begin; a fraction, so that no two have the same phase."""


async def run_at_once(call: Callable[[], Awaitable[object]], work: Work, calls: int, at_once: int) -> None:
    """Makes `calls` calls for `work`, `at_once` at any time.

    Paced streams do not begin together: they would stay together, their tokens would arrive as if they were one, and
    what is measured would be the crowd at the start.
    """
    remaining = iter(range(calls))
    step = work.pace_ms * SPREAD_PACES / 1000 / at_once

    async def work_off(delay: float) -> None:
        await asyncio.sleep(delay)
        for _ in remaining:
            await call()

    async with asyncio.TaskGroup() as group:
        for index in range(at_once):
            group.create_task(work_off(index * step))


class GrpcClient:
    """Calls Chat and ChatStream of one server, without looking at the bytes that pass unless it must."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Metadata = ()) -> None:
        self._chat = functools.partial(channel.unary_unary(CHAT), metadata=metadata)
        self._chat_stream = functools.partial(channel.unary_stream(CHAT_STREAM), metadata=metadata)

    async def check(self, work: Work) -> None:
        """Raises an assertion when the server does not give the whole answer, both ways."""
        request = work.chat_request()
        response = models_pb2.ChatResponse.FromString(await self._chat(request, timeout=30))
        assert response.text == work.text, "Chat gave another text"
        assert response.usage.completion_tokens == work.tokens, "Chat gave another usage"
        chunks = [models_pb2.ChatChunk.FromString(message) async for message in self._chat_stream(request, timeout=30)]
        assert "".join(chunk.token for chunk in chunks) == work.text, "ChatStream gave another text"
        assert chunks[-1].usage.completion_tokens == work.tokens, "ChatStream gave another usage"

    async def run(self, work: Work, calls: int, at_once: int, *, stream: bool) -> None:
        request = work.chat_request()

        async def read() -> None:
            call = self._chat_stream(request, timeout=60)
            while await call.read() is not grpc.aio.EOF:
                pass

        async def ask() -> None:
            await self._chat(request, timeout=60)

        await run_at_once(read if stream else ask, work, calls, at_once)

    async def time_call(self, request: bytes) -> float:
        """Seconds until the whole answer of Chat."""
        start = time.perf_counter()
        await self._chat(request, timeout=30)
        return time.perf_counter() - start

    async def time_first_token(self, request: bytes) -> float:
        """Seconds until the first token of ChatStream. Reads the stream to its end."""
        start = time.perf_counter()
        seconds = 0.0
        async for message in self._chat_stream(request, timeout=30):
            if not seconds and models_pb2.ChatChunk.FromString(message).token:
                seconds = time.perf_counter() - start
        return seconds


@contextlib.asynccontextmanager
async def connected(address: str, metadata: Metadata = ()) -> AsyncIterator[GrpcClient]:
    """A client of the server at HOST:PORT, which sends the metadata in every call, for the length of a block."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield GrpcClient(channel, metadata)


class HttpClient:
    """Calls the upstream itself, over one connection that stays open for the length of a block."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.partition(":")

    async def __aenter__(self) -> HttpClient:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def time_call(self, body: bytes) -> float:
        start = time.perf_counter()
        self._send(body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        await self._reader.readexactly(int(head.rpartition(b"Content-Length: ")[2]))
        return time.perf_counter() - start

    async def time_first_token(self, body: bytes) -> float:
        start = time.perf_counter()
        self._send(body)
        await self._reader.readuntil(f'"content":"{TOKEN}"'.encode())
        seconds = time.perf_counter() - start
        await self._reader.readuntil(b"\r\n0\r\n\r\n")
        return seconds

    def _send(self, body: bytes) -> None:
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: upstream\r\nContent-Length: %d\r\n\r\n"
        self._writer.write((head % len(body)).encode() + body)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
