"""The HTTP exchange with a provider, under every verb: a request is sent once, and the result is a success, or an error
that names the provider.

This module does not know the content of requests, and the dialects do not know the network.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from services.models.providers.answers.memory import PROCESS_EXCHANGES
from services.models.providers.base import Target
from services.models.providers.errors.faults import Fault, error_for
from services.models.providers.http_request import HttpRequest
from services.models.providers.rate_limits import note_rate_limits
from services.models.transport.api_roots import RootSearch
from services.models.transport.base import HttpResponse, StreamedResponse, Transport
from services.models.transport.failures import UPSTREAM_HOST
from services.models.transport.payload import Payload
from services.shared.call_metrics import Alone, Waiting
from services.shared.errors import PlatformError
from services.shared.intake import Reservation
from services.shared.json_text import decoding_work
from services.shared.offload import run_in_thread_if_large

PHASE = "phase"
"""Metadata key of errors of an exchange: whether output had come, `mid_stream`, or not, `pre_stream`."""

SUCCESSES = range(200, 300)
"""Statuses of an answer. Frameworks answer a POST with 201 by default."""

ENCODED_COPIES = 3
"""Forms in which a request is held while it is sent: parsed, and as a body, which is larger by a third if it has media.
"""

PARSED_COPY = 1
"""Forms in which a request is held while its answer is awaited."""

JSON = {"content-type": "application/json"}

Result = TypeVar("Result")

ReadFault = Callable[[int, bytes], Fault]
"""Reads the fault in a refusal of a status, by its body."""


class Head(Protocol):
    """Status and header fields of a response."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


class Exchange:
    """One exchange with the provider of a target, for the length of a block.

    Every error that leaves the block has the provider and the phase of the answer in its metadata, and the host for the
    log. `reservation` is the memory of the request; it shrinks as its copies are released. `read_fault` reads the fault
    in the body of a refusal, for a verb whose errors differ from those of the target's dialect for chats. `waiting`
    is the call that waits for the provider.
    """

    def __init__(
        self,
        transport: Transport,
        target: Target,
        reservation: Reservation | None = None,
        read_fault: ReadFault | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        self.held = PROCESS_EXCHANGES.begin(target.provider)
        """The memory that is reserved for the exchange."""
        self.chunks_sent = 0
        """The number of chunks that the caller has taken."""
        self.waiting = waiting or Alone()
        """The call that waits for the provider."""
        self.error_metadata: dict[str, str] = {}
        """Entries that are added to the metadata of errors."""
        self._transport = transport
        self._target = target
        self.timeouts = target.timeouts
        self.started = asyncio.get_running_loop().time() if self.timeouts.are_set else 0.0
        """The beginning on the loop's clock, where there are timeouts."""
        self._reservation = reservation
        self._read_fault = read_fault or target.dialect.fault
        self._stack: contextlib.AsyncExitStack | None = None
        """Closes the open response."""
        if reservation:
            # A first attempt holds more copies by now, a further one fewer.
            reservation.resize_to(ENCODED_COPIES)
            if reservation.size:
                self.held.take_request(reservation.size)

    async def __aenter__(self) -> Exchange:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._stack:
                await self._stack.__aexit__(kind, error, trace)
        finally:
            self.held.__exit__()
            if isinstance(error, PlatformError):
                self._attribute(error)

    async def post(self, request: HttpRequest) -> HttpResponse:
        """The whole response to the request, if it is a success. Raises the provider's refusal, and as the transport
        does."""
        payload, headers = self._take_payload(request), self._headers(request)
        search = RootSearch(self._target.api_roots, request.path)
        while True:
            post = self._transport.post(search.url, headers, payload, self.held.grow, self.timeouts.http())
            begun = time.perf_counter()
            try:
                response = await self._in_time(post, "total")
            finally:
                self._end_waiting(begun, payload)
            note_rate_limits(self._target, response.headers)
            if response.status in SUCCESSES:
                search.confirm(by_success=True)
                return response
            await self._try_next_root(search, payload, response, response.body)

    async def stream(self, request: HttpRequest) -> StreamedResponse:
        """The response to the request as soon as the head of a success has arrived; it is closed with the block.

        Raises as `post` does.
        """
        payload, headers = self._take_payload(request), self._headers(request)
        search = RootSearch(self._target.api_roots, request.path)
        stack = self._stack = contextlib.AsyncExitStack()
        while True:
            opening = self._transport.stream(search.url, headers, payload, self.timeouts.http())
            begun = time.perf_counter()
            try:
                response = await self._in_time(stack.enter_async_context(opening), "first_output", "total")
            finally:
                self._end_waiting(begun, payload)
            note_rate_limits(self._target, response.headers)
            if response.status in SUCCESSES:
                search.confirm(by_success=True)
                self._keep_parsed_form()
                return response
            await self._try_next_root(search, payload, response, await response.read_start())
            await stack.aclose()

    async def read(self, head: Head, body: bytes, read: Callable[[bytes], Result]) -> Result:
        """Reads the body of a success with `read`. A Fault that it raises becomes the provider's error."""
        try:
            return await run_in_thread_if_large(decoding_work(body), read, body)
        except Fault as fault:
            raise self.error(fault, head) from None
        except RecursionError:
            # Nested so deep that it could only just be read, and cannot be written again.
            raise self.error(Fault("UPSTREAM_PROTOCOL_ERROR"), head) from None

    def error(self, fault: Fault, head: Head | None = None, paths: Sequence[str] = ()) -> PlatformError:
        """The caller's error for a fault in the response with this head. `paths` are those that were not found."""
        return error_for(
            fault,
            self._target.provider,
            status=head.status if head else None,
            headers=head.headers if head else None,
            keys=self._target.keys,
            paths=paths,
        )

    def _end_waiting(self, begun: float, payload: Payload) -> None:
        self.waiting.waited += time.perf_counter() - begun
        self.waiting.has_asked = payload.is_sent

    def _in_time(self, response: Awaitable[Result], *names: str) -> Awaitable[Result]:
        """The response. Raises Unavailable (UPSTREAM_TIMEOUT) when one of these timeouts passes before it is there."""
        if not self.timeouts.are_set:
            return response
        limits = [(seconds, name) for name in names if (seconds := getattr(self.timeouts, name)) is not None]
        return self._until(*min(limits), response) if limits else response

    async def _until(self, seconds: float, name: str, response: Awaitable[Result]) -> Result:
        try:
            async with asyncio.timeout_at(self.started + seconds):
                return await response
        except TimeoutError:
            raise self.error(Fault("UPSTREAM_TIMEOUT", limit=self.timeouts.describe(name))) from None

    def _headers(self, request: HttpRequest) -> dict[str, str]:
        return {**self._target.headers, **request.headers, **JSON}

    def _take_payload(self, request: HttpRequest) -> Payload:
        """The body as a payload. A large one is taken out of the request, so that it can be freed once it is written:
        answers may take minutes."""
        payload = Payload(request.body, self._keep_parsed_form)
        if not payload.is_kept:
            request.body = b""
        return payload

    def _keep_parsed_form(self) -> None:
        if self._reservation:
            self._reservation.shrink_to(PARSED_COPY)

    async def _try_next_root(self, search: RootSearch, payload: Payload, head: Head, body: bytes) -> None:
        """Returns if the request can be sent to the next root, because this one does not have the path and has begun no
        answer. Raises the refusal otherwise."""
        fault = await run_in_thread_if_large(decoding_work(body), self._read_fault, head.status, body)
        if fault.reason != "UPSTREAM_PATH_NOT_FOUND":
            search.confirm(by_success=False)
            raise self.error(fault, head)
        paths = search.paths()
        if search.try_next():
            if payload.is_kept:
                return
            # The next call begins with this root.
            search.confirm(by_success=False)
        raise self.error(fault, head, paths)

    def _attribute(self, error: PlatformError) -> None:
        metadata = {"provider": self._target.provider, PHASE: "mid_stream" if self.chunks_sent else "pre_stream"}
        if self.chunks_sent:
            metadata["chunks"] = str(self.chunks_sent)
        error.metadata = {**metadata, **self.error_metadata, **error.metadata}
        error.logged = {UPSTREAM_HOST: urlsplit(self._target.endpoint).netloc, **error.logged}
