"""The writing of an answer in events: when its head is sent, and what is sent in silences.

The head waits for the first event, so that an error before it keeps its status. A model may reason for minutes before
that, and clients, proxies and load balancers give up on a response that says nothing: after ten seconds the head is
sent, and heartbeats follow. Later errors are events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType

from services.models.faces.base import Encoder
from services.models.http_port.exchange import HttpExchange
from services.shared.errors import PlatformError
from services.shared.slow_readers import StreamWriter

HEAD_SECONDS = 10.0
"""Longest time that the head of a response waits for its first event."""

SILENT_SECONDS = 15.0
"""Silence after which a heartbeat is sent; the shortest idle time of common proxies is 60 s."""


class EventWriter:
    """The writer of one answer, for the length of a block."""

    def __init__(self, exchange: HttpExchange, encoder: Encoder, head: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self._exchange = exchange
        self._encoder = encoder
        self._head = head
        self._writer = StreamWriter(exchange)
        self._loop = asyncio.get_running_loop()
        self._beginning: asyncio.Task[None] | None = None
        """The sending of a head without a first event."""

    def __enter__(self) -> EventWriter:
        self._timer = self._loop.call_later(HEAD_SECONDS, self._beat)
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._writer.__exit__(kind, error, trace)

    async def write(self, events: bytes) -> None:
        """Sends events, and the head before the first of them."""
        if not events:
            return
        if self._beginning:
            await self._beginning
        elif not self._exchange.status:
            await self._exchange.begin_events(self._head())
        await self._writer.write(events)

    async def end(self) -> None:
        """Ends the answer: it is whole."""
        if self._beginning:
            await self._beginning
        elif not self._exchange.status:
            await self._exchange.begin_events(self._head())
        await self._exchange.end_events()

    async def fail(self, error: PlatformError, request_id: str) -> None:
        """Ends an answer that has begun with an error."""
        if self._exchange.connection.is_full:
            # It is not read.
            self._exchange.abort()
            return
        if self._beginning:
            await self._beginning
        await self._exchange.write(self._encoder.fail(error, request_id))
        self._exchange.cut()

    def _beat(self) -> None:
        if self._exchange.status:
            self._exchange.write_if_idle(self._encoder.heartbeat, SILENT_SECONDS)
        else:
            self._beginning = self._loop.create_task(self._begin_early())
        self._timer = self._loop.call_later(SILENT_SECONDS, self._beat)

    async def _begin_early(self) -> None:
        await self._exchange.begin_events(self._head())
        await self._exchange.write(self._encoder.begin() or self._encoder.heartbeat)
