"""A turn's hold on its session, which the Session Service keeps: no second turn begins there, in whichever replica.

A lease is short, and extended while the turn lasts. A process that is killed blocks its sessions for that long and no
longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator

from proto import turns_pb2
from services.models.sessions.client import Read, SessionClient
from services.shared.errors import Conflict, NotFound, PlatformError

END_SECONDS = 1.0
"""How long a turn that failed may wait until others can begin; then they wait for the end of the lease."""

EXTENSIONS_PER_LEASE = 3


class Lease:
    """One turn's hold on one session. `request_id` is the id under which its calls are logged."""

    def __init__(self, client: SessionClient, session_id: str, user_id: str, request_id: str) -> None:
        self.turn_id = uuid.uuid4().hex
        self.user_id = user_id
        """Whose the session is, as soon as the turn has begun."""
        self.spent = False
        """Whether the turn was appended, which ends it."""
        self._client = client
        self._session_id = session_id
        self._request_id = request_id

    @contextlib.asynccontextmanager
    async def held(self, request: turns_pb2.BeginTurnRequest) -> AsyncIterator[Read[turns_pb2.BeginTurnResponse]]:
        """Begins the turn and gives what it answers; the session is the turn's for the length of the block.

        Raises NotFound SESSION_NOT_FOUND, Conflict SESSION_BUSY or SEQUENCE_CONFLICT, LimitExceeded SESSION_FULL,
        Unavailable SESSIONS_UNAVAILABLE.
        """
        begun = await self._begin(request)
        self.user_id = begun.answer.user_id or self.user_id
        extending = asyncio.create_task(self._extend(begun.answer.lease.ToTimedelta().total_seconds()))
        try:
            yield begun
        finally:
            extending.cancel()
            if not self.spent:
                await self._end()

    async def _begin(self, request: turns_pb2.BeginTurnRequest) -> Read[turns_pb2.BeginTurnResponse]:
        request.turn_id = self.turn_id
        try:
            return await self._client.begin_turn(request, self._request_id)
        except asyncio.CancelledError:
            # It may have begun all the same.
            await self._end()
            raise

    async def _extend(self, seconds: float) -> None:
        """Keeps the turn until it is cancelled, or lost: then the append says so."""
        request = turns_pb2.ExtendTurnRequest(session_id=self._session_id, turn_id=self.turn_id, user_id=self.user_id)
        while True:
            await asyncio.sleep(seconds / EXTENSIONS_PER_LEASE)
            try:
                await self._client.extend_turn(request, self._request_id)
            except (Conflict, NotFound):
                return
            except PlatformError:
                # There is time for another attempt before the lease is over.
                continue

    async def _end(self) -> None:
        request = turns_pb2.EndTurnRequest(session_id=self._session_id, turn_id=self.turn_id, user_id=self.user_id)
        with contextlib.suppress(PlatformError):
            await self._client.end_turn(request, self._request_id, END_SECONDS)
