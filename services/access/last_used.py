"""The times at which keys were last used, stored together once a minute."""

from __future__ import annotations

import asyncio
import time
from typing import NoReturn

from sqlalchemy import bindparam, or_, update

from services.access.tables import api_keys
from services.shared.database import Database
from services.shared.errors import PlatformError

STORE_SECONDS = 60.0

_LATER = (
    update(api_keys)
    .where(api_keys.c.id == bindparam("key"))
    .where(or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < bindparam("used")))
    .values(last_used_at=bindparam("used"))
)


class LastUsed:
    """The keys that were used since they were last stored."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._used: dict[str, int] = {}
        self._storing: asyncio.Task[NoReturn] | None = None

    def note(self, key_id: str) -> None:
        """Notes that a key is used now. What is noted and not stored when the process is killed is lost."""
        if key_id not in self._used:
            self._used[key_id] = int(time.time() * 1e6)

    def start(self) -> None:
        self._storing = asyncio.create_task(self._store_each_minute())

    async def store(self) -> None:
        """Stores what was noted; keeps it if the database is away."""
        if not self._used:
            return
        # What is noted meanwhile is stored the next time.
        used, self._used = self._used, {}
        try:
            async with self._database.write() as connection:
                await connection.execute(_LATER, [{"key": key, "used": used[key]} for key in sorted(used)])
        except PlatformError:
            self._used = used | self._used

    async def close(self) -> None:
        if self._storing:
            self._storing.cancel()
            await asyncio.wait({self._storing})
        await self.store()

    async def _store_each_minute(self) -> NoReturn:
        while True:
            await asyncio.sleep(STORE_SECONDS)
            await self.store()
