"""The HTTP client that probes go through: it connects only where the endpoint policy allows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

from services.models.transport.connection import Connection, header_lines, request_lines
from services.models.transport.egress import EndpointPolicy
from services.models.transport.payload import Payload
from services.models.transport.pool import Pool
from services.shared import descriptors
from services.shared.shares import Shares

PROBE_SECONDS = 2.0
MAX_ANSWER_BYTES = 1024 * 1024


class ProbeAnswer:
    """What a server answers to a probe."""

    def __init__(self, connection: Connection) -> None:
        self.status = connection.status
        self._connection = connection

    async def read(self) -> bytes:
        """The body, or its first `MAX_ANSWER_BYTES`. It is not unpacked: that could explode. Raises http1's faults."""
        body = bytearray()
        while len(body) < MAX_ANSWER_BYTES and (data := await self._connection.read(PROBE_SECONDS)):
            body += data
        return bytes(body[:MAX_ANSWER_BYTES])


class ProbeClient:
    """It follows no redirect, takes no proxy from the environment, and keeps no connection: one that the server has
    closed meanwhile would look like a server that is down. Nor does it remember addresses."""

    def __init__(self, endpoints: EndpointPolicy) -> None:
        # Out of reach of the chats, so that a model's status is known when they take all of theirs.
        self._pool = Pool(endpoints, Shares(descriptors.for_connections() // 18), resolved_seconds=0)

    @contextlib.asynccontextmanager
    async def get(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[ProbeAnswer]:
        """Asks, and gives the answer as soon as its head is there; leaving the block closes the connection.

        Raises ValueError for a URL or a header that cannot be sent, what `Pool.connect` raises, and http1's faults.
        """
        origin, first_lines = request_lines("GET", url)
        head = b"%bUser-Agent: genai-platform-probe\r\n%b\r\n" % (first_lines, header_lines(headers))
        connection = await self._pool.connect(origin)
        try:
            await connection.send(head, Payload(b""), asyncio.get_running_loop().time() + PROBE_SECONDS)
            yield ProbeAnswer(connection)
        finally:
            connection.abort()

    def close(self) -> None:
        """Breaks off whatever is asked now."""
        self._pool.close()
