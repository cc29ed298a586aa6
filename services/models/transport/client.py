"""The one way that generation reaches a provider: POST bytes, read the whole answer or a stream of bytes.

It knows HTTP and nothing above it: no JSON, no provider, no retry of what a provider may have begun to answer.
An abandoned answer closes its socket at once, an answer cut short never looks whole, and a pooled connection that
died unnoticed costs a new connection and not an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from services.models.transport.connection import (
    Connection,
    Fault,
    NotHTTP,
    Origin,
    Silence,
    Stale,
    header_lines,
    request_lines,
)
from services.models.transport.egress import EndpointPolicy
from services.models.transport.host_names import ResolveError
from services.models.transport.payload import Payload
from services.models.transport.pool import Pool
from services.models.transport.unpacking import Unpackable, Unpacker
from services.shared import errors
from services.shared.pacing import Pace
from services.shared.shares import Shares

CONNECTIONS = 512
MAX_BODY_BYTES = 32 * 1024 * 1024

MAX_ERROR_BYTES = 1024 * 1024
"""What is read of the body of an answer that is an error."""

UPSTREAM_HOST = "upstream_host"
"""The name of the fact where a connection leads, or was to lead."""
CAUSE = "cause"
"""The name of the fact why it broke, or is not there."""

CAUSES = {
    errno.ECONNREFUSED: "it refused the connection",
    errno.ECONNRESET: "it broke the connection",
    errno.EHOSTUNREACH: "no way leads to its host",
    errno.ENETUNREACH: "no way leads to its network",
}
"""Why there is no connection, by the system's number for it."""

TLS_CAUSES = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    62: "its certificate is for another host",
}
"""The same of a certificate, by OpenSSL's number (x509_vfy.h)."""

PIECE_BYTES = 16 * 1024
"""What a reader of a stream is given at a time: to decode so much takes the loop some 10 ms at the worst."""


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


Hold = Callable[[int], None]
"""Is told how many bytes of an answer are held by now, and raises where that is too many."""


class StreamedAnswer:
    """An answer whose body is read as it arrives, by one reader."""

    def __init__(self, connection: Connection, idle_seconds: float) -> None:
        self.status: int = connection.status
        self.headers: Mapping[str, str] = connection.headers
        """Names are found in any case."""
        self._connection = connection
        self._idle_seconds = idle_seconds
        self._unpacker = _unpacker(self.headers.get("content-encoding", "identity"))
        self._pace = Pace()
        self._rest = b""
        """Of what arrived together, what was not given yet."""

    @property
    def goes_on(self) -> bool:
        """Whether the next read returns at once: more has arrived, and there is time for it before others' turn."""
        has_more = self._rest or (self._unpacker and self._unpacker.has_more)
        return bool(has_more) and not self._pace.is_over

    async def read(self) -> bytes:
        """Returns what has arrived, from one byte to PIECE_BYTES; b"" only when the body has come to its proper end.

        Whoever reads on for long where more has arrived already, or can be unpacked, lets others have their turn.
        What arrived before a fault is returned before the fault is raised:
        Unavailable (UPSTREAM_IDLE, UPSTREAM_STREAM_INTERRUPTED) or Internal (UPSTREAM_PROTOCOL_ERROR).
        """
        try:
            if self._unpacker:
                data = await self._unpack(self._unpacker)
            elif self._rest:
                await self._pace.rest()
                data = self._rest
            else:
                data = await self._connection.read(self._idle_seconds)
        except (Fault, Unpackable) as fault:
            error = _body_error(fault)
            error.logged[CAUSE] = _told(fault)
            raise error from None
        if len(data) <= PIECE_BYTES:
            self._rest = b""
            return data
        if not self._rest:
            self._pace.begin()
        self._rest = data[PIECE_BYTES:]
        return data[:PIECE_BYTES]

    async def read_all(self, limit: int = MAX_BODY_BYTES, hold: Hold | None = None) -> bytes:
        """Returns the rest of the body. Raises what `read` and `hold` raise, and Internal when there is more than
        `limit`."""
        body = await self._gather(limit, hold)
        if len(body) > limit:
            raise _too_large(limit)
        return body

    async def read_start(self, limit: int) -> bytes:
        """Returns the rest of the body, or its first `limit` bytes. Raises what `read` raises."""
        return (await self._gather(limit))[:limit]

    async def _gather(self, limit: int, hold: Hold | None = None) -> bytes:
        # Pieces may be as small as a byte, and a list of them many times as large as they are.
        body = bytearray()
        while len(body) <= limit and (data := await self.read()):
            body += data
            if hold:
                hold(len(body))
        return bytes(body)

    async def _unpack(self, unpacker: Unpacker) -> bytes:
        if unpacker.has_more:
            await self._pace.rest()
        while not (data := unpacker.take()):
            packed = await self._connection.read(self._idle_seconds)
            if not packed:
                unpacker.end()
                return b""
            self._pace.begin()
            unpacker.feed(packed)
        return data


class Transport:
    """Connections to all providers. Belongs to the event loop of its first call.

    Nothing of the environment changes where it connects: no proxies, no netrc. It keeps no cookies, follows no
    redirects and always verifies TLS; `authorities` is a PEM file of certificate authorities that are trusted beside
    the system's, for providers inside a private network. `endpoints` says where it may connect; unless told otherwise,
    everywhere but to link-local addresses and metadata services. If it is discreet, nobody is told why there is no
    connection: UPSTREAM_UNREACHABLE stands for UPSTREAM_TLS, too. `places` are those of its connections, and of other
    transports' that share them; no server may have more than are left free.

    Every call may raise, before there is an answer:

      * Unavailable: UPSTREAM_UNREACHABLE (no connection, or it broke), UPSTREAM_TIMEOUT (no head within `first_byte`)
      * PreconditionFailed: UPSTREAM_TLS, UPSTREAM_REDIRECT, UPSTREAM_REQUEST_INVALID (the address or a header, a key
        with a line break for one, cannot be sent), ENDPOINT_NOT_ALLOWED (`endpoints` forbids the host or an address)
      * LimitExceeded: what `Pool.connect` raises when a connection is missing for a lack on our side
      * Internal: UPSTREAM_PROTOCOL_ERROR (what came is not HTTP)

    A request is sent a second time only when the connection was a pooled one and closed without one byte of an answer.
    One that is let go of once it is written (`Payload`) always goes over a new connection.
    """

    def __init__(
        self,
        timers: Timers | None = None,
        *,
        authorities: Path | None = None,
        endpoints: EndpointPolicy | None = None,
        places: Shares | None = None,
    ) -> None:
        self._timers = timers or Timers()
        endpoints = endpoints or EndpointPolicy()
        self._pool = Pool(endpoints, places or Shares(CONNECTIONS), authorities=authorities)
        self._discreet = endpoints.discreet

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes | Payload, hold: Hold | None = None
    ) -> Answer:
        """Sends `body` and returns the answer, whatever its status: up to MAX_BODY_BYTES of it, and the first
        MAX_ERROR_BYTES of one that is an error.

        Raises what opening a call (see the class), reading a body (`StreamedAnswer.read_all`) and `hold` raise.
        """
        origin, connection = await self._send(url, headers, body, self._timers.answer)
        try:
            _check_status(connection.status)
            headers = connection.headers
            if connection.complete and "content-encoding" not in headers:
                # Most answers have come whole by the time that their head is looked at.
                return Answer(connection.status, headers, connection.take())
            answer = StreamedAnswer(connection, self._timers.idle)
            is_error = answer.status >= 400
            read = await (answer.read_start(MAX_ERROR_BYTES) if is_error else answer.read_all(hold=hold))
            return Answer(answer.status, headers, read)
        finally:
            self._pool.leave(origin, connection)

    @asynccontextmanager
    async def stream(
        self, url: str, headers: Mapping[str, str], body: bytes | Payload
    ) -> AsyncIterator[StreamedAnswer]:
        """Sends `body` and gives the answer, whatever its status, as soon as its head is there.

        Leaving the block before the end of the body closes the socket at once.
        """
        origin, connection = await self._send(url, headers, body, self._timers.first_byte)
        try:
            _check_status(connection.status)
            yield StreamedAnswer(connection, self._timers.idle)
        finally:
            self._pool.leave(origin, connection)

    async def close(self) -> None:
        """Closes all connections. Answers in progress are broken off."""
        self._pool.close()

    async def _send(
        self, url: str, headers: Mapping[str, str], body: bytes | Payload, head_seconds: float
    ) -> tuple[Origin, Connection]:
        if self._pool.closed:
            raise _unreachable("this service is stopping")
        payload = body if isinstance(body, Payload) else Payload(body)
        try:
            origin, first_lines = request_lines("POST", url)
            head = b"%b%bContent-Length: %d\r\n\r\n" % (first_lines, header_lines(headers), len(payload.data))
        except ValueError:
            raise _unwritable() from None
        due = self._pool.now() + head_seconds
        used = self._pool.take(origin) if payload.is_kept else None
        if used:
            with contextlib.suppress(Stale):
                return origin, await self._exchange(origin, used, head, payload, due)
        return origin, await self._exchange(origin, await self._connect(origin), head, payload, due)

    async def _connect(self, origin: Origin) -> Connection:
        try:
            async with asyncio.timeout(self._timers.connect):
                return await self._pool.connect(origin)
        except OSError as fault:
            discreet = _unreachable("nothing that could be talked to is there") if self._discreet else None
            raise _logging(discreet or _connect_error(fault), origin, fault) from None

    async def _exchange(
        self, origin: Origin, connection: Connection, head: bytes, body: Payload, due: float
    ) -> Connection:
        try:
            await connection.send(head, body, due)
        except BaseException as fault:
            connection.abort()
            if isinstance(fault, Fault) and not isinstance(fault, Stale):
                raise _logging(_head_error(fault), origin, fault) from None
            raise
        return connection


def _unpacker(encoding: str) -> Unpacker | None:
    match encoding.lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return Unpacker()
        case "deflate":
            return Unpacker(may_be_bare=True)
        case _:
            raise _protocol_error("the provider packs its answer in a way that it was not asked for")


def _too_large(limit: int) -> errors.Internal:
    return _protocol_error(f"the provider's answer is larger than {limit} bytes; ask for a shorter one")


def _check_status(status: int) -> None:
    if 300 <= status < 400:
        raise errors.PreconditionFailed(
            "the provider redirects to another address; nothing was sent there: change its address in the settings",
            reason="UPSTREAM_REDIRECT",
            metadata={"http_status": str(status)},
        )
    if status < 200:
        raise _protocol_error("the provider answered with a status that is not final")


def _logging(error: errors.PlatformError, origin: Origin, cause: BaseException) -> errors.PlatformError:
    """The error, with what the log is told beside it: where nobody could be talked to, and why."""
    error.logged |= {UPSTREAM_HOST: f"{origin.host}:{origin.port}", CAUSE: _told(cause)}
    return error


def _told(cause: BaseException) -> str:
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__


def _connect_error(fault: OSError) -> errors.PlatformError:
    match fault:
        case ssl.SSLError():
            why = TLS_CAUSES.get(getattr(fault, "verify_code", 0), "its certificate is not trusted")
            return errors.PreconditionFailed(
                f"no secure connection to the provider: {why}, or it does not speak TLS there", reason="UPSTREAM_TLS"
            )
        case TimeoutError():
            return _unreachable("it did not accept a connection in time")
        case ResolveError():
            return _unreachable("its name cannot be resolved")
        case _:
            return _unreachable(CAUSES.get(fault.errno or 0, "the connection was refused or broke"))


def _head_error(fault: Fault) -> errors.PlatformError:
    match fault:
        case Silence():
            return errors.Unavailable(
                "the provider did not begin to answer in time; try again later", reason="UPSTREAM_TIMEOUT"
            )
        case NotHTTP():
            return _protocol_error("the provider's answer is not HTTP")
        case _:
            return _unreachable("the connection closed before an answer")


def _body_error(fault: Fault | Unpackable) -> errors.PlatformError:
    match fault:
        case Unpackable():
            return _protocol_error("the provider's answer cannot be unpacked")
        case Silence():
            return errors.Unavailable(
                "the provider fell silent in the middle of its answer; try again", reason="UPSTREAM_IDLE"
            )
        case NotHTTP():
            return _protocol_error("the provider's answer is not HTTP")
        case _:
            return errors.Unavailable(
                "the provider's answer broke off; try again", reason="UPSTREAM_STREAM_INTERRUPTED"
            )


def _unwritable() -> errors.PreconditionFailed:
    return errors.PreconditionFailed(
        "the request to the provider cannot be written: look for line breaks or foreign characters in its address and "
        "its key",
        reason="UPSTREAM_REQUEST_INVALID",
    )


def _unreachable(what_happened: str) -> errors.Unavailable:
    return errors.Unavailable(
        f"the provider cannot be reached: {what_happened}; try again, or check its address",
        reason="UPSTREAM_UNREACHABLE",
    )


def _protocol_error(what_happened: str) -> errors.Internal:
    return errors.Internal(what_happened, reason="UPSTREAM_PROTOCOL_ERROR")
