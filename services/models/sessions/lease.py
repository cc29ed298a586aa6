"""The lease of a turn on its session, kept by the Session Service: no other turn can begin there, in any replica.

A lease is short, and is extended while the turn runs. A killed process therefore blocks its sessions only briefly.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator

from proto import turns_pb2
from services.models.sessions.client import HistoryResponse, SessionClient
from services.shared.errors import Conflict, NotFound, PlatformError

END_SECONDS = 1.0
"""Time limit for ending a failed turn; after it, other turns wait until the lease expires."""

EXTENSIONS_PER_LEASE = 3

Begun = HistoryResponse[turns_pb2.BeginTurnResponse]


class Lease:
    """The lease of one turn on one session. `request_id` is the id under which its calls are logged."""

    def __init__(self, client: SessionClient, session_id: str, user_id: str, request_id: str) -> None:
        self.turn_id = uuid.uuid4().hex
        self.user_id = user_id
        """The session's user, known when the turn has begun."""
        self.is_appended = False
        """Whether the turn was appended, which ends it."""
        self._client = client
        self._session_id = session_id
        self._request_id = request_id

    @contextlib.asynccontextmanager
    async def hold(
        self, request: turns_pb2.BeginTurnRequest
    ) -> AsyncIterator[HistoryResponse[turns_pb2.BeginTurnResponse]]:
        """Begins the turn, yields the response, and holds the lease inside the block. A turn that was appended before
        has none.

        Raises NotFound SESSION_NOT_FOUND, Conflict SESSION_BUSY or SEQUENCE_CONFLICT, LimitExceeded SESSION_FULL,
        Unavailable SESSIONS_UNAVAILABLE.
        """
        begun = await self._begin(request)
        if begun.response.HasField("appended"):
            yield begun
            return
        self.user_id = begun.response.user_id or self.user_id
        extending = asyncio.create_task(self._extend(begun.response.lease.ToTimedelta().total_seconds()))
        try:
            yield begun
        finally:
            extending.cancel()
            if not self.is_appended:
                await self._end()

    async def _begin(self, request: turns_pb2.BeginTurnRequest) -> Begun:
        request.turn_id = self.turn_id
        try:
            return await self._client.begin_turn(request, self._request_id)
        except asyncio.CancelledError:
            # The turn may have begun in spite of the cancellation.
            await self._end()
            raise

    async def _extend(self, seconds: float) -> None:
        """Extends the lease until cancelled, or until the turn is lost: the append then raises the error."""
        request = turns_pb2.ExtendTurnRequest(session_id=self._session_id, turn_id=self.turn_id, user_id=self.user_id)
        while True:
            await asyncio.sleep(seconds / EXTENSIONS_PER_LEASE)
            try:
                await self._client.extend_turn(request, self._request_id)
            except (Conflict, NotFound):
                return
            except PlatformError:
                # The lease lasts long enough for another attempt.
                continue

    async def _end(self) -> None:
        request = turns_pb2.EndTurnRequest(session_id=self._session_id, turn_id=self.turn_id, user_id=self.user_id)
        with contextlib.suppress(PlatformError):
            await self._client.end_turn(request, self._request_id, END_SECONDS)
