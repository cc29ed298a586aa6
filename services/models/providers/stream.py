"""The reader of a streamed answer, which decides how it ended: it is complete if the provider has marked its end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, NamedTuple

from proto import models_pb2
from services.models.providers.answers.answer import MAX_CHARACTERS, Answer
from services.models.providers.answers.memory import FREE_BYTES
from services.models.providers.base import Decoder, Dialect
from services.models.providers.client import Exchange
from services.models.providers.errors.faults import Fault
from services.models.providers.framing import MAX_EVENTS, Framing, feed_rest, read_body
from services.models.transport.base import StreamedResponse
from services.models.transport.sse import Event
from services.shared.errors import PlatformError
from services.shared.json_text import LIGHT_BYTES, decoding_work
from services.shared.loop_lag import PROCESS_LAG
from services.shared.offload import LARGE_BYTES, run_in_thread_if_large, wait_for_time_slice

SMALL_LAG = 0.005
"""Lag of the event loop, in seconds, up to which no stream waits."""
REST_PER_LAG = 15.0
LONGEST_REST = 0.6
"""Rest of a stream between two reads while the event loop lags: a multiple of the lag, at most so many seconds. Each
read then has more tokens, and the loop has time for new calls."""

FEW_BYTES = 4096
"""Size up to which bytes are decoded at once: many tokens that arrived together."""

MAX_STREAM_BYTES = 64 * 1024 * 1024
"""Limit for the bytes of one streamed answer, far above the output of any model."""


class StreamTimeouts(NamedTuple):
    """Timeouts of the silences in a stream, in seconds."""

    content: float = 300.0
    """Time between two pieces of the answer: a provider that only sends pings has stopped.

    Long, because reasoning may be silent.
    """
    usage: float = 2.0
    """Time from the end of the answer to its usage, which is optional."""
    close: float = 0.1
    """Time from the last event to the end of the body, after which the connection can be used again."""


STREAM_TIMEOUTS = StreamTimeouts()


StreamState = Literal["content", "usage", "failed", "ended"]
"""State of a stream: more content may follow; only its usage may be missing, which has a short timeout; it has failed,
and the error is raised once all chunks before it have been returned; or it has ended."""


class StreamReader:
    """Reads one streamed answer: `read` until it has ended, then `finish`, then `drain`.

    Pieces that arrived together are returned together, and none waits for later ones.
    """

    def __init__(
        self,
        exchange: Exchange,
        response: StreamedResponse,
        dialect: Dialect,
        timeouts: StreamTimeouts = STREAM_TIMEOUTS,
        tap: Callable[[bytes], None] | None = None,
    ) -> None:
        """`tap` gets the bytes of each read as they are."""
        self._tap = tap
        self.decoder: Decoder = dialect.decoder()
        self.state: StreamState = "content"
        self._exchange = exchange
        self._response = response
        self._dialect = dialect
        self._timeouts = timeouts
        self._framing = Framing()
        self._error: PlatformError | None = None
        self._size = 0
        self._events = 0
        self._now = asyncio.get_running_loop().time
        limits, started = exchange.timeouts, exchange.started
        self._silence = limits.silence or timeouts.content
        self._content_due = started + limits.first_output if limits.first_output else self._now() + timeouts.content
        self._total_due = limits.total_due(started)
        self._is_timed = limits.are_set
        self._usage_due: float | None = None
        self._has_come = False
        """Whether the last read brought content."""

    @property
    def answer(self) -> Answer:
        """The answer so far."""
        return self.decoder.answer

    async def read(self) -> Sequence[models_pb2.ChatChunk]:
        """The chunks of the next bytes; none if they have no content.

        Raises an error of the stream after all chunks before it were returned.
        """
        if self._error:
            raise self._error
        # The time starts only now, because the caller may have needed long for the last chunks.
        if self._has_come:
            if (lag := PROCESS_LAG.seconds()) > SMALL_LAG:
                await asyncio.sleep(min(LONGEST_REST, REST_PER_LAG * lag))
            self._content_due = self._now() + self._silence
        if self.state == "usage":
            self._usage_due = self._usage_due or self._now() + self._timeouts.usage
        decoder = self.decoder
        while not decoder.ended:
            data = await (self._read_usage(self._usage_due) if self._usage_due else self._read_content())
            if not data:
                break
            if self._tap:
                self._tap(data)
            try:
                if len(data) > FEW_BYTES:
                    await wait_for_time_slice()
                if self._is_large(data):
                    await self._feed_large(data)
                else:
                    events = self._framing.feed(data)
                    decoder.feed(events)
                    self._events += len(events)
            except (Fault, RecursionError) as fault:
                self._error = self._failure(fault)
            if self._error or not self._response.can_read_now:
                return self._take_chunks()
        self.state = "ended"
        return ()

    async def finish(self) -> Sequence[models_pb2.ChatChunk]:
        """The last chunks of an answer that has ended. Raises an error if the provider has not marked it as whole."""
        if not self.decoder.ended:
            await self._read_end_of_body()
        if not self.decoder.finished:
            raise self._exchange.error(self._fault_of_early_end(), self._response)
        await self._complete()
        return self.answer.drain_chunks()

    async def drain(self) -> None:
        """Reads the end of the body, so that the connection can be used again; without it, it is closed."""
        with contextlib.suppress(TimeoutError, PlatformError):
            async with asyncio.timeout(self._timeouts.close):
                await self._response.read()

    # ------------------------------------------------------------------------------------------- steps of a read

    def _read_content(self) -> Awaitable[bytes]:
        reading = self._read_in_time() if self._is_timed else self._response.read()
        return reading if self._exchange.chunks_sent else self._wait_for(reading)

    async def _wait_for(self, reading: Awaitable[bytes]) -> bytes:
        begun = time.perf_counter()
        try:
            return await reading
        finally:
            self._exchange.waiting.waited += time.perf_counter() - begun

    async def _read_in_time(self) -> bytes:
        """Reads where the timeouts are not the transport's own. Raises Unavailable (UPSTREAM_TIMEOUT, _IDLE)."""
        due = self._content_due if self._total_due is None else min(self._content_due, self._total_due)
        try:
            async with asyncio.timeout_at(due):
                return await self._response.read()
        except TimeoutError:
            raise self._exchange.error(self._timeout_fault(is_total=due == self._total_due)) from None

    def _timeout_fault(self, *, is_total: bool) -> Fault:
        """The fault of a stream that a timeout ends: by its name, since callers and the operator can set it."""
        has_begun = self.answer.has_begun and not is_total
        name = "total" if is_total else "silence" if has_begun else "first_output"
        limit = self._exchange.timeouts.describe(name)
        return Fault("UPSTREAM_IDLE" if has_begun else "UPSTREAM_TIMEOUT", limit=limit)

    async def _read_usage(self, due: float) -> bytes:
        try:
            async with asyncio.timeout_at(due):
                return await self._response.read()
        except (TimeoutError, PlatformError):
            return b""

    def _is_large(self, data: bytes) -> bool:
        """Whether the next bytes may end something large. Raises LimitExceeded where there is no memory for it."""
        self._size += len(data)
        held, answer = self._framing.held_bytes, self.decoder.answer
        if self._size <= FREE_BYTES:
            return held > LIGHT_BYTES
        self._exchange.held.grow(held + answer.size)
        return held > LIGHT_BYTES or answer.waiting_bytes > LARGE_BYTES

    async def _feed_large(self, data: bytes) -> None:
        """Feeds bytes that may end a large event, or a block that is large, in a thread if that takes long."""
        events = self._framing.feed(data)
        await run_in_thread_if_large(self._work(events), _feed_and_flush, self.decoder, events)

    def _work(self, events: Sequence[Event]) -> int:
        return self.answer.waiting_bytes + sum(decoding_work(event.data) for event in events)

    def _take_chunks(self) -> Sequence[models_pb2.ChatChunk]:
        """The chunks of the last reads, and the state that these lead to."""
        decoder = self.decoder
        chunks = decoder.answer.drain_chunks()
        self._has_come = bool(chunks)
        if decoder.awaits_usage and not decoder.ended:
            self.state = "usage"
        else:
            self.state = "ended" if decoder.ended else "content"
            self._usage_due = None
        if self._error is None:
            self._check_limits(decoder.answer.characters)
        if self._error:
            self.state = "failed"
        return chunks

    def _check_limits(self, characters: int) -> None:
        """Sets the error for a stream that is too long, or has had no content for too long."""
        if self._size > MAX_STREAM_BYTES or self._events > MAX_EVENTS or characters > MAX_CHARACTERS:
            self._error = self._exchange.error(Fault("OUTPUT_LIMIT"))
        elif not self._has_come and self.state == "content" and self._now() > self._content_due:
            # Pings have come until then. The timer for the next bytes would find the same.
            fault = self._timeout_fault(is_total=False) if self._is_timed else Fault("UPSTREAM_IDLE")
            self._error = self._exchange.error(fault)

    def _failure(self, problem: Fault | RecursionError) -> PlatformError:
        # JSON may be nested so deeply that it can be decoded, and not encoded again.
        fault = problem if isinstance(problem, Fault) else Fault("UPSTREAM_PROTOCOL_ERROR")
        return self._exchange.error(fault, self._response)

    # -------------------------------------------------------------------------------------------------- the end

    async def _read_end_of_body(self) -> None:
        """Reads what the end of the body completes: a last event without its blank line, or a single document."""
        document = self._framing.document
        if document is not None:
            await self._read_document(document)
            return
        events = self._framing.end()
        try:
            await run_in_thread_if_large(self._work(events), feed_rest, self.decoder, events)
        except Fault as fault:
            raise self._exchange.error(fault, self._response) from None

    async def _read_document(self, document: bytes) -> None:
        begun = self.answer
        answer = await self._exchange.read(self._response, document, functools.partial(read_body, self._dialect))
        answer.state_owner, answer.tool_names = begun.state_owner, begun.tool_names
        self.decoder.answer = answer
        self.decoder.finished = self.decoder.ended = True

    def _fault_of_early_end(self) -> Fault:
        """The fault of a stream that was cut, or of a body that is no stream, as an empty one or a page of HTML."""
        content_type = self._response.headers.get("content-type", "text/event-stream")
        is_stream = self._size and content_type.startswith("text/event-stream")
        return Fault("UPSTREAM_STREAM_TRUNCATED" if is_stream else "UPSTREAM_PROTOCOL_ERROR")

    async def _complete(self) -> None:
        try:
            await run_in_thread_if_large(self.answer.size, self.answer.complete)
        except Fault as fault:
            raise self._exchange.error(fault) from None
        except RecursionError:
            raise self._exchange.error(Fault("UPSTREAM_PROTOCOL_ERROR")) from None


def _feed_and_flush(decoder: Decoder, events: Sequence[Event]) -> None:
    decoder.feed(events)
    decoder.answer.flush()
