"""The retention of the audit log: events that are older than they must be kept are deleted, and the log says so itself.

An event `audit.purge` has the number and the hash of the last event that was deleted, before the first deletion. So the
chain of hashes goes on from there, and a log whose beginning is missing without such an event is noticed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NoReturn

from sqlalchemy import delete, select

from proto.access_pb2 import AuditPurge
from services.access.audit import PURGE, PURGED_KIND, Actor, add_event, newest_seq
from services.access.tables import audit_events
from services.shared.database import Database
from services.shared.errors import PlatformError
from services.shared.logs import Log

DAY_SECONDS = 24 * 3600.0

PURGE_SECONDS = 3600.0
"""Pause between two looks at the oldest events."""

PURGE_BATCH = 1000
"""Events that one transaction deletes: other writers wait meanwhile."""


class AuditRetention:
    """Deletes the events of the audit log that are older than `days`."""

    def __init__(self, database: Database, days: int, log: Log, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._days = days
        self._log = log
        self._now = now
        self._purging: asyncio.Task[NoReturn] | None = None

    def start(self) -> None:
        """Deletes in the background, until `close`."""
        self._purging = asyncio.create_task(self._keep_purging())

    async def close(self) -> None:
        if self._purging:
            self._purging.cancel()
            await asyncio.wait({self._purging})

    async def purge(self) -> int:
        """Deletes the events that are too old now, and returns their number. Raises PlatformError."""
        before = int((self._now() - self._days * DAY_SECONDS) * 1e6)
        async with self._database.read() as connection:
            # Those that are written here are for the next time.
            newest = await newest_seq(connection)
            at = await connection.scalar(select(audit_events.c.at).order_by(audit_events.c.seq).limit(1))
        if at is None or at >= before:
            return 0
        purged = batch = await self._purge_batch(before, newest)
        while batch:
            batch = await self._purge_batch(before, newest)
            purged += batch
        return purged

    async def _keep_purging(self) -> NoReturn:
        while True:
            try:
                if purged := await self.purge():
                    self._log.info("old events of the audit log were deleted", events=purged, days=self._days)
            except Exception as error:
                # The next round tries again.
                reason = error.reason if isinstance(error, PlatformError) else ""
                self._log.warning("old events of the audit log are not deleted", error=error, reason=reason)
            await asyncio.sleep(PURGE_SECONDS)

    async def _purge_batch(self, before: int, newest: int) -> int:
        c = audit_events.c
        oldest = select(c.seq, c.at, c.hash).where(c.seq <= newest).order_by(c.seq).limit(PURGE_BATCH)
        async with self._database.write() as connection:
            rows = (await connection.execute(oldest)).all()
            # Up to the first one that is kept, by numbers: clocks may be set back.
            kept = next((place for place, row in enumerate(rows) if row.at >= before), len(rows))
            if not kept:
                return 0
            last = rows[kept - 1]
            purge = AuditPurge(last_seq=last.seq, last_hash=last.hash, events=kept)
            by = Actor("gateway", "", reason=f"older than {self._days} days")
            await add_event(connection, PURGE, PURGED_KIND, str(last.seq), None, purge, by)
            await connection.execute(delete(audit_events).where(c.seq <= last.seq))
        return kept
