"""The one way that generation reaches a provider: POST bytes, read the whole answer or a stream of bytes.

It knows HTTP and nothing above it: no JSON, no provider, no retry of what a provider may have begun to answer.
An abandoned answer closes its socket at once, an answer cut short never looks whole, and a pooled connection that
died unnoticed costs a new connection and not an error.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
from aiohttp.http import HttpProcessingError
from yarl import URL

from services.models.endpoints import EndpointPolicy
from services.models.providers.connections import Connector, StaleConnection
from services.shared import errors

MAX_BODY_BYTES = 32 * 1024 * 1024

READ_BUFFER_BYTES = 64 * 1024
"""How much may wait for a slow reader; at twice as much the provider's socket is no longer read."""

LARGE_REQUEST_BYTES = 1024 * 1024
"""From here on aiohttp wants a file: bytes are written in one go, which would hold up the loop."""


class Timers(NamedTuple):
    """How long to wait, in seconds."""

    connect: float = 5.0
    """For a connection: name, TCP and TLS."""
    answer: float = 600.0
    """For the head of a whole answer, from the beginning of the call: it comes when all of it has been generated."""
    first_byte: float = 300.0
    """For the head of a streamed answer, from the beginning of the call."""
    idle: float = 300.0
    """For the next bytes of the body. Runs only while somebody waits for them."""


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    """Names are found in any case."""
    body: bytes


class StreamedAnswer:
    """An answer whose body is read as it arrives, by one reader."""

    def __init__(self, response: aiohttp.ClientResponse, idle_seconds: float) -> None:
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers
        """Names are found in any case."""
        self._content = response.content
        self._idle_seconds = idle_seconds
        self._loop = asyncio.get_running_loop()
        self._waiting_since: float | None = None
        self._idle_timer: asyncio.TimerHandle | None = None

    async def read(self) -> bytes:
        """Returns what has arrived, at least one byte; b"" only when the body has come to its proper end.

        What arrived before a fault is returned before the fault is raised:
        Unavailable (UPSTREAM_IDLE, UPSTREAM_STREAM_INTERRUPTED) or Internal (UPSTREAM_PROTOCOL_ERROR).
        """
        content = self._content
        try:
            data = content.read_nowait()
            if data or content.at_eof():
                return data
            self._watch()
            return await content.readany()
        except _BODY_FAULTS as fault:
            if data := _take_arrived(content):
                return data
            raise _body_error(fault) from None
        finally:
            self._waiting_since = None

    async def read_all(self, limit: int = MAX_BODY_BYTES) -> bytes:
        """Returns the rest of the body. Raises what `read` raises, and Internal when there is more than `limit`."""
        pieces: list[bytes] = []
        size = 0
        while data := await self.read():
            pieces.append(data)
            size += len(data)
            if size > limit:
                raise _protocol_error(f"the provider's answer is larger than {limit} bytes; ask for a shorter one")
        return b"".join(pieces)

    def stop_watching(self) -> None:
        if self._idle_timer:
            self._idle_timer.cancel()

    def _watch(self) -> None:
        # One timer for the whole stream, looked at when it fires: setting one for each read would cost more than the
        # read itself.
        self._waiting_since = self._loop.time()
        if self._idle_timer is None:
            self._idle_timer = self._loop.call_later(self._idle_seconds, self._check_idle)

    def _check_idle(self) -> None:
        self._idle_timer = None
        if self._waiting_since is None:
            return
        due = self._waiting_since + self._idle_seconds
        if self._loop.time() < due:
            self._idle_timer = self._loop.call_at(due, self._check_idle)
        else:
            self._content.set_exception(_Silence())


class Transport:
    """Connections to all providers. Belongs to the event loop of its first call.

    Nothing of the environment changes where it connects: no proxies, no netrc. It keeps no cookies, follows no
    redirects and always verifies TLS; `authorities` is a PEM file of certificate authorities that are trusted beside
    the system's, for providers inside a private network. `endpoints` says where it may connect; unless told otherwise,
    everywhere but to link-local addresses and metadata services.

    Every call may raise, before there is an answer:

      * Unavailable: UPSTREAM_UNREACHABLE (no connection, or it broke), UPSTREAM_TIMEOUT (no head within `first_byte`)
      * PreconditionFailed: UPSTREAM_TLS, UPSTREAM_REDIRECT, UPSTREAM_REQUEST_INVALID (the address or a header, a key
        with a line break for one, cannot be sent), ENDPOINT_NOT_ALLOWED (`endpoints` forbids the host or an address)
      * Internal: UPSTREAM_PROTOCOL_ERROR (what came is not HTTP)

    A request is sent a second time only when the connection was a pooled one and closed without one byte of an answer.
    """

    def __init__(
        self,
        timers: Timers | None = None,
        *,
        authorities: Path | None = None,
        endpoints: EndpointPolicy | None = None,
    ) -> None:
        self._timers = timers or Timers()
        self._authorities = authorities
        self._endpoints = endpoints or EndpointPolicy()
        self._pooled: aiohttp.ClientSession | None = None
        self._unpooled: aiohttp.ClientSession | None = None

    async def post(self, url: str | URL, headers: Mapping[str, str], body: bytes) -> Answer:
        """Sends `body` and returns the answer, whatever its status, up to MAX_BODY_BYTES.

        Raises what opening a call (see the class) and reading a body (`StreamedAnswer.read_all`) raise.
        """
        response = await self._send(url, headers, body, self._timers.answer)
        answer = StreamedAnswer(response, self._timers.idle)
        try:
            _check_status(response.status)
            return Answer(answer.status, answer.headers, await answer.read_all())
        finally:
            _leave(response, answer)

    @asynccontextmanager
    async def stream(self, url: str | URL, headers: Mapping[str, str], body: bytes) -> AsyncIterator[StreamedAnswer]:
        """Sends `body` and gives the answer, whatever its status, as soon as its head is there.

        Leaving the block before the end of the body closes the socket at once.
        """
        response = await self._send(url, headers, body, self._timers.first_byte)
        answer = StreamedAnswer(response, self._timers.idle)
        try:
            _check_status(response.status)
            yield answer
        finally:
            _leave(response, answer)

    async def close(self) -> None:
        """Closes all connections. Answers in progress are broken off."""
        for session in (self._pooled, self._unpooled):
            if session:
                await session.close()

    async def _send(
        self, url: str | URL, headers: Mapping[str, str], body: bytes, head_seconds: float
    ) -> aiohttp.ClientResponse:
        if self._pooled is None:
            self._open()
        assert self._pooled
        assert self._unpooled
        try:
            async with asyncio.timeout(head_seconds):
                try:
                    return await _post(self._pooled, url, headers, body)
                except StaleConnection:
                    return await _post(self._unpooled, url, headers, body)
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            raise _head_error(fault) from None

    def _open(self) -> None:
        trusted: ssl.SSLContext | None = None
        if self._authorities:
            trusted = ssl.create_default_context()
            trusted.load_verify_locations(self._authorities)
        self._pooled = self._session(Connector(self._endpoints, trusted=trusted))
        self._unpooled = self._session(Connector(self._endpoints, trusted=trusted, force_close=True))

    def _session(self, connector: Connector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
            read_bufsize=READ_BUFFER_BYTES,
            skip_auto_headers=("User-Agent",),
            # aiohttp's other timers are set anew at each read.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, connect=self._timers.connect),
        )


async def _post(
    session: aiohttp.ClientSession, url: str | URL, headers: Mapping[str, str], body: bytes
) -> aiohttp.ClientResponse:
    if session.closed:
        raise _unreachable("this service is stopping")
    data = io.BytesIO(body) if len(body) > LARGE_REQUEST_BYTES else body
    return await session.post(url, data=data, headers=headers, allow_redirects=False)


class _Silence(Exception):
    """No byte of the body came in time."""


_BODY_FAULTS = (aiohttp.ClientError, HttpProcessingError, OSError, _Silence)


def _take_arrived(content: aiohttp.StreamReader) -> bytes:
    # aiohttp gives out nothing of a broken body, not even what came before the break: the last event of a stream, say.
    arrived = b"".join(content._buffer)
    content._buffer.clear()
    return arrived


def _leave(response: aiohttp.ClientResponse, answer: StreamedAnswer) -> None:
    """Ends the watch of an answer, and its socket unless the answer came to its end."""
    answer.stop_watching()
    if not response.closed:
        response.close()


def _check_status(status: int) -> None:
    if 300 <= status < 400:
        raise errors.PreconditionFailed(
            "the provider redirects to another address; nothing was sent there: change its address in the settings",
            reason="UPSTREAM_REDIRECT",
            metadata={"http_status": str(status)},
        )
    if status < 200:
        raise _protocol_error("the provider answered with a status that is not final")


def _head_error(fault: Exception) -> errors.PlatformError:
    match fault:
        case aiohttp.ClientSSLError():
            return errors.PreconditionFailed(
                "no secure connection to the provider: its certificate is not trusted, or it does not speak TLS there",
                reason="UPSTREAM_TLS",
            )
        case aiohttp.ConnectionTimeoutError():
            return _unreachable("it did not accept a connection in time")
        case aiohttp.ClientConnectorDNSError():
            return _unreachable("its name cannot be resolved")
        case aiohttp.ClientConnectorError():
            return _unreachable("the connection was refused or broke")
        case aiohttp.ClientResponseError():
            return _protocol_error("the provider's answer is not HTTP")
        case TimeoutError():
            return errors.Unavailable(
                "the provider did not begin to answer in time; try again later", reason="UPSTREAM_TIMEOUT"
            )
        case aiohttp.ClientConnectionError() | OSError():
            return _unreachable("the connection closed before an answer")
        case _:
            return errors.PreconditionFailed(
                "the request to the provider cannot be written: look for line breaks or foreign characters in its "
                "address and its key",
                reason="UPSTREAM_REQUEST_INVALID",
            )


def _body_error(fault: Exception) -> errors.PlatformError:
    match fault:
        case _Silence():
            return errors.Unavailable(
                "the provider fell silent in the middle of its answer; try again", reason="UPSTREAM_IDLE"
            )
        case HttpProcessingError():
            return _protocol_error("the provider's answer is not HTTP")
        case _:
            return errors.Unavailable(
                "the provider's answer broke off; try again", reason="UPSTREAM_STREAM_INTERRUPTED"
            )


def _unreachable(what_happened: str) -> errors.Unavailable:
    return errors.Unavailable(
        f"the provider cannot be reached: {what_happened}; try again, or check its address",
        reason="UPSTREAM_UNREACHABLE",
    )


def _protocol_error(what_happened: str) -> errors.Internal:
    return errors.Internal(what_happened, reason="UPSTREAM_PROTOCOL_ERROR")
