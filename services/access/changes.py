"""Changes of the access database: each in one transaction with its audit event, and in force when it returns."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from services.access.audit import Actor, add_event
from services.access.validation import check_reason
from services.shared.database import Database
from services.shared.errors import PlatformError

Refresh = Callable[[], Awaitable[None]]


class Change:
    """A transaction that changes one object."""

    def __init__(self, connection: AsyncConnection, by: Actor) -> None:
        self.connection = connection
        self._by = by

    async def record(
        self, action: str, kind: str, object_id: str, before: Message | None, after: Message | None
    ) -> None:
        """Adds the audit event of the change."""
        await add_event(self.connection, action, kind, object_id, before, after, self._by)


class Changes:
    """The beginning of every change. `refresh` takes a change into this process's snapshot."""

    def __init__(self, database: Database, refresh: Refresh) -> None:
        self.database = database
        self._refresh = refresh

    @contextlib.asynccontextmanager
    async def begin(self, by: Actor) -> AsyncIterator[Change]:
        """A change, which is committed when the block ends."""
        check_reason(by.reason)
        async with self.database.write() as connection:
            yield Change(connection, by)
        # What is committed is done: the snapshot takes it in later, if not now.
        with contextlib.suppress(PlatformError):
            await self._refresh()
