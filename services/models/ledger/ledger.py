"""The ledger of one process: records its calls, and ships the records to the database in the background."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence

from sqlalchemy.exc import DataError, IntegrityError

from services.models.ledger.outbox import SHIP_RECORDS, Outbox
from services.models.ledger.records import UsageRecord, encode_record
from services.models.ledger.segments import Contents, Segment, keep_refused
from services.models.ledger.store import Added, UsageStore
from services.shared.errors import PlatformError
from services.shared.logs import Log

SHIP_SECONDS = 1.0
RETRY_SECONDS = 1.0
"""Pause after the database could not be written."""

ADOPT_SECONDS = 10.0
"""Time between two looks for files of processes that have ended."""

PURGE_SECONDS = 600.0
PURGE_PAUSE_SECONDS = 0.1
"""Pause between two transactions of a purge."""

FLUSH_SECONDS = 2.0
CLOSE_SECONDS = 5.0

DAY_SECONDS = 24 * 3600.0


class Ledger:
    """Records calls in the outbox, and ships them. `close` ships what is left, if the database is there."""

    def __init__(self, outbox: Outbox, store: UsageStore, log: Log, *, event_days: int) -> None:
        self.outbox = outbox
        self.store = store
        self.duplicates = 0
        """Records of calls that the database had already."""
        self.damaged = 0
        """Places in files that could not be read; the files are kept."""
        self._log = log
        self._event_seconds = event_days * DAY_SECONDS
        self._shipping = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_away = False

    def start(self) -> None:
        """Ships and purges in the background, first what killed processes have left behind."""
        self._adopt()
        self._tasks = [asyncio.create_task(self._keep_shipping()), asyncio.create_task(self._keep_purging())]

    async def flush(self) -> None:
        """Ships all that this process has recorded so far. Raises PlatformErrors of the storage, after which it is
        kept."""
        async with self._shipping:
            await self._ship_closed()
            # Not what is recorded meanwhile: on a busy service that would go on for ever, a few records at a time.
            self.outbox.close_segment()
            await self._ship_closed()
            await self._ship_unwritten()
        if self._is_away:
            self._is_away = False
            self._log.info("the ledger is written to its database again")

    async def try_flush(self) -> bool:
        """The same for as long as a report may wait; returns whether the database has all now."""
        with contextlib.suppress(PlatformError, TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await self.flush()
                return True
        return False

    async def close(self) -> None:
        """Ends the background work, and ships what is left; files that cannot be shipped now wait for the next
        start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(PlatformError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.flush()
        self.outbox.close()

    # ------------------------------------------------------------------------------------------------ shipping

    async def _keep_shipping(self) -> None:
        next_look = time.monotonic() + ADOPT_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHIP_SECONDS):
                    await self.outbox.due.wait()
            self.outbox.due.clear()
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + ADOPT_SECONDS
                self._adopt()
            try:
                await self.flush()
            except Exception as error:
                self._note_failure(error)
                await asyncio.sleep(RETRY_SECONDS)

    def _adopt(self) -> None:
        try:
            found = self.outbox.adopt()
        except OSError as error:
            self._log.warning("the ledger's outbox cannot be read", why=error.strerror or str(error))
            return
        if found:
            self._log.info("the ledger takes over files of processes that have ended", files=found)

    async def _ship_closed(self) -> None:
        for segment, process_is_lost in self.outbox.closed():
            await self._ship(segment, process_is_lost)

    async def _ship(self, segment: Segment, process_is_lost: bool) -> None:
        contents = await self._read(segment, process_is_lost)
        for start in range(0, len(contents.records), SHIP_RECORDS):
            await self._add(contents.records[start : start + SHIP_RECORDS])
        if not contents.damaged:
            self.outbox.drop(segment)
            return
        self.damaged += contents.damaged
        kept = self.outbox.set_aside(segment)
        self._log.error(
            "records of the ledger are damaged; their file is kept", file=str(kept), places=contents.damaged
        )

    async def _read(self, segment: Segment, process_is_lost: bool) -> Contents:
        if segment.kept is not None:
            return Contents(segment.kept, 0)
        return await asyncio.to_thread(segment.read, process_is_lost=process_is_lost)

    async def _ship_unwritten(self) -> None:
        while records := self.outbox.unwritten[:SHIP_RECORDS]:
            await self._add(records)
            self.outbox.drop_unwritten(len(records))

    async def _add(self, records: Sequence[UsageRecord]) -> None:
        """Adds records to the database. One whose values it refuses is kept aside, and does not stop those behind it.
        Raises PlatformErrors of the storage."""
        try:
            added = await self.store.add(records)
        except (DataError, IntegrityError) as error:
            if len(records) == 1:
                self._log.error("the database refuses a record of the ledger", error=error, call_id=records[0].call_id)
                keep_refused(self.outbox.directory, encode_record(records[0]))
                return
            for record in records:
                await self._add([record])
            return
        self._note_duplicates(added)

    def _note_duplicates(self, added: Added) -> None:
        self.duplicates += added.duplicates
        if added.duplicates:
            self._log.info("the ledger had these calls already", calls=added.duplicates)

    def _note_failure(self, error: Exception) -> None:
        if not isinstance(error, PlatformError):
            self._log.error("the ledger cannot be shipped", error=error)
        elif not self._is_away:
            self._is_away = True
            bytes_waiting = self.outbox.bytes
            self._log.warning("the ledger waits for its database", reason=error.reason, outbox_bytes=bytes_waiting)

    # ------------------------------------------------------------------------------------------------- purging

    async def _keep_purging(self) -> None:
        while True:
            try:
                await self.purge()
            except Exception as error:
                # The next round tries again.
                reason = error.reason if isinstance(error, PlatformError) else ""
                self._log.warning("old events of the ledger are not removed", error=error, reason=reason)
            await asyncio.sleep(PURGE_SECONDS)

    async def purge(self) -> None:
        """Deletes the events that are older than they are kept, a few at a time."""
        before = time.time() - self._event_seconds
        purged = await self.store.purge(before)
        while purged:
            await asyncio.sleep(PURGE_PAUSE_SECONDS)
            purged = await self.store.purge(before)
