"""The client for HTTP: Chat Completions in bytes over connections that stay open, and a look at every answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, cast

import httptools

from benchmarks.load import run_at_once
from benchmarks.work import MODEL, TOKEN, Work

CALL_SECONDS = 60.0

_token = TOKEN.encode()


class Place(NamedTuple):
    """Where Chat Completions are asked, and in which words."""

    address: str
    path: str = "/v1/chat/completions"
    model: str = MODEL
    headers: Sequence[tuple[str, str]] = ()

    def request(self, work: Work, *, stream: bool) -> bytes:
        """The request for an answer."""
        body = work.http_request(stream=stream, model=self.model)
        fields = {
            "Host": self.address,
            "Authorization": "Bearer bench",
            "Content-Type": "application/json",
            **dict(self.headers),
            "Content-Length": str(len(body)),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + body


class Answer(NamedTuple):
    """An answer that has ended."""

    status: int
    body: bytes
    first_token_seconds: float
    """From the request to the first read with a token."""

    def is_whole(self, work: Work) -> bool:
        return self.status == 200 and self.body.count(_token) == work.tokens

    def check(self, work: Work) -> None:
        """Raises an assertion unless the answer has every token."""
        assert self.is_whole(work), f"{self.status} with {self.body.count(_token)} of {work.tokens} tokens"


class Connection(asyncio.Protocol):
    """One connection, one request at a time; it is made again when the server has closed it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._ended: asyncio.Future[Answer] | None = None

    async def ask(self, place: Place, request: bytes) -> Answer:
        """The answer to a request. Raises OSError, and AssertionError for an answer that was cut."""
        self._asked = self._loop.time()
        self._first_token = 0.0
        self._pieces: list[bytes] = []
        if self._transport is None:
            host, _, port = place.address.rpartition(":")
            await self._loop.create_connection(lambda: self, host, int(port))
        assert self._transport
        self._ended = self._loop.create_future()
        self._transport.write(request)
        return await self._ended

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    # ------------------------------------------------------------------------------------------- of asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are none by inheritance.
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._ended and not self._ended.done():
            self._ended.set_exception(AssertionError(f"the answer was cut: {error}"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    # ------------------------------------------------------------------------------------------ of httptools

    def on_body(self, body: bytes) -> None:
        if not self._first_token and _token in body:
            self._first_token = self._loop.time() - self._asked
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self._ended and not self._ended.done():
            self._ended.set_result(Answer(self._parser.get_status_code(), b"".join(self._pieces), self._first_token))
        if self._transport and not self._parser.should_keep_alive():
            self._transport.close()
            self._transport = None


class HttpLoad:
    """Calls one place over as many connections as there are calls at once."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._idle: list[Connection] = []

    async def check(self, work: Work) -> None:
        """Raises an assertion when the server does not give the whole answer, both ways."""
        for stream in (False, True):
            (await self._ask(self._place.request(work, stream=stream))).check(work)

    async def run(self, work: Work, calls: int, at_once: int, *, stream: bool) -> None:
        """Makes `calls` calls. Raises an ExceptionGroup when one fails."""
        request = self._place.request(work, stream=stream)

        async def call() -> None:
            (await self._ask(request)).check(work)

        await run_at_once(call, work, calls, at_once)

    async def time_call(self, work: Work) -> float:
        """Seconds until the whole answer."""
        request = self._place.request(work, stream=False)
        start = time.perf_counter()
        (await self._ask(request)).check(work)
        return time.perf_counter() - start

    async def crowd(self, work: Work, streams: int, seconds: float) -> tuple[float, list[Answer]]:
        """Streams at once on connections of their own, each followed by another one: how long all of them took, and
        their answers. What has not ended after so many seconds is left."""
        request = self._place.request(work, stream=True)
        answers: list[Answer] = []
        start = time.perf_counter()

        async def twice(connection: Connection) -> None:
            for _ in range(2):
                with contextlib.suppress(OSError, AssertionError):
                    answers.append(await connection.ask(self._place, request))

        connections = [Connection() for _ in range(streams)]
        tasks = [asyncio.create_task(twice(connection)) for connection in connections]
        _, running = await asyncio.wait(tasks, timeout=seconds)
        taken = time.perf_counter() - start
        for task in running:
            task.cancel()
        for connection in connections:
            connection.close()
        return taken, answers

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _ask(self, request: bytes) -> Answer:
        connection = self._idle.pop() if self._idle else Connection()
        async with asyncio.timeout(CALL_SECONDS):
            answer = await connection.ask(self._place, request)
        self._idle.append(connection)
        return answer


@contextlib.asynccontextmanager
async def loading(place: Place) -> AsyncIterator[HttpLoad]:
    """A client for the length of a block."""
    load = HttpLoad(place)
    try:
        yield load
    finally:
        load.close()
