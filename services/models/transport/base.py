"""Transport: sends a request to a model's server and reads its response.

Other packages use this protocol only, so that a test can replace the transport.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from services.models.transport.payload import Payload

MAX_START_BYTES = 1024 * 1024
"""Limit for a body that the platform reads for itself: an error, or a list of models."""

SizeCheck = Callable[[int], None]
"""A callback with the number of bytes of a response in memory so far; it raises when there are too many."""


class HttpTimeouts(NamedTuple):
    """Timeouts of an exchange, in seconds."""

    connect: float = 5.0
    """Timeout of opening a connection: name resolution, TCP and TLS."""
    answer: float = 600.0
    """Time from the beginning of the call to the head of a whole answer, which is sent when all is generated."""
    first_byte: float = 300.0
    """Time from the beginning of the call to the head of a streamed answer."""
    idle: float = 300.0
    """Time until the next bytes of the body. It runs only while a reader waits for them."""


class HttpResponse(NamedTuple):
    """A response that has been read to its end."""

    status: int
    headers: Mapping[str, str]
    """Names are found in any case."""
    body: bytes


class StreamedResponse(Protocol):
    """A response whose body is read as it arrives, by one reader."""

    @property
    def status(self) -> int:
        """The HTTP status, whichever it is."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The fields of the head. Names are found in any case."""

    @property
    def can_read_now(self) -> bool:
        """Whether the next read returns at once: more bytes have arrived, and this task's time slice is not over."""

    async def read(self) -> bytes:
        """Returns the bytes that have arrived, at least one; b"" only at the body's proper end.

        Bytes that arrived before a fault are returned first; the next read raises the fault: Unavailable
        (UPSTREAM_IDLE, UPSTREAM_STREAM_INTERRUPTED) or Internal (UPSTREAM_PROTOCOL_ERROR).
        """

    async def read_start(self, limit: int = MAX_START_BYTES) -> bytes:
        """Returns the rest of the body, or its first `limit` bytes. Raises what `read` raises."""


class Transport(Protocol):
    """Sends requests to models' servers. `HttpClient` is the one that uses the network, and documents the errors."""

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Payload,
        check_size: SizeCheck | None = None,
        timeouts: HttpTimeouts | None = None,
    ) -> HttpResponse:
        """Sends `body` and returns the whole response, whatever its status. `timeouts` are those of this exchange,
        where they are not the client's own."""

    def stream(
        self, url: str, headers: Mapping[str, str], body: bytes | Payload, timeouts: HttpTimeouts | None = None
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        """Sends `body` and gives the response as soon as its head has arrived. Leaving the block ends it."""

    def get(self, url: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[StreamedResponse]:
        """Asks for `url` and gives the response as soon as its head has arrived. Leaving the block ends it."""
