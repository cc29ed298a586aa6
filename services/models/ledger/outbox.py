"""The outbox: records of calls in files, from where they are shipped to the database."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from pathlib import Path

from services.models.ledger.records import BEGUN, ENDED, VOID, UsageRecord, encode_frame, encode_record
from services.models.ledger.segments import PRIVATE_DIRECTORY, Segment, left_over, segment_path
from services.shared.errors import StartupError, Unavailable
from services.shared.logs import Log

SHIP_RECORDS = 500
"""Records after which they are shipped at once."""

SEGMENT_BYTES = 4 * 1024 * 1024
"""Size from which on a segment is closed."""

MAX_UNWRITTEN_BYTES = 16 * 1024 * 1024
"""Bytes of the records that the disk refuses, which are kept in memory until the database has them."""

RETRY_SECONDS = 5.0
REPORT_SECONDS = 60.0


class Outbox:
    """The records of one process, and of the processes that were killed before they could ship theirs."""

    def __init__(self, directory: Path, log: Log, *, max_bytes: int, syncs: bool = False) -> None:
        """`syncs`: records are on the disk before `end` returns. Raises StartupError if the directory cannot be
        made."""
        try:
            directory.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        except OSError as error:
            raise StartupError(f"the directory {directory} cannot be created: {error.strerror}") from None
        self.directory = directory
        self.due = asyncio.Event()
        """Set when so many records wait that they should be shipped at once."""
        self.unwritten: list[UsageRecord] = []
        """The records that the disk has refused."""
        self._log = log
        self._max_bytes = max_bytes
        self._syncs = syncs
        self._process = f"{time.time_ns() // 1_000_000:x}-{os.getpid()}"
        self._number = 0
        self._current: Segment | None = None
        self._records = 0
        """Records in the current segment."""
        self._closed: deque[tuple[Segment, bool]] = deque()
        """The segments to ship, oldest first, and whether each is the last one of a process that was lost. That one has
        all calls that were running then, because each segment begins with those of the one before."""
        self._closed_bytes = 0
        self._unwritten_bytes = 0
        self._running: dict[str, bytes] = {}
        """The frames of the calls that have begun, by their ids: each new segment begins with them."""
        self._syncing: asyncio.Lock = asyncio.Lock()
        self._next_report = 0.0

    # ------------------------------------------------------------------------------------------------- writing

    def check_room(self) -> None:
        """Raises Unavailable LEDGER_FULL if no further call can be recorded."""
        if self.bytes < self._max_bytes and self._unwritten_bytes < MAX_UNWRITTEN_BYTES:
            return
        raise Unavailable(
            "what calls have used cannot be recorded any more, because the database of the ledger is away;"
            " its operator must bring it back",
            reason="LEDGER_FULL",
            retry_after=RETRY_SECONDS,
        )

    def begin(self, record: UsageRecord) -> None:
        """Notes that a call is about to ask a provider: it is in the ledger even if the process is killed."""
        frame = encode_frame(BEGUN, encode_record(record))
        self._running[record.call_id] = frame
        self._append(frame)

    async def end(self, record: UsageRecord) -> None:
        """Records a call that has ended; call it before its answer ends. It does not fail: a record that the disk
        refuses is kept in memory until the database has it."""
        self._running.pop(record.call_id, None)
        payload = encode_record(record)
        segment = self._append(encode_frame(ENDED, payload))
        if segment is None:
            self.unwritten.append(record)
            self._unwritten_bytes += len(payload)
            self.due.set()
            return
        segment.keep(record)
        self._records += 1
        if self._records == SHIP_RECORDS:
            self.due.set()
        if self._syncs:
            await self._sync(segment)

    def void(self, call_id: str) -> None:
        """Forgets a call that has begun, and has asked no provider."""
        if self._running.pop(call_id, None):
            self._append(encode_frame(VOID, call_id.encode()))

    def _append(self, frame: bytes) -> Segment | None:
        """The segment that the frame is in; None if it could not be written."""
        segment = self._current
        try:
            if segment is None or segment.size >= SEGMENT_BYTES:
                segment = self._open_next()
            segment.append(frame)
        except OSError as error:
            self._report(error)
            return None
        return segment

    def _open_next(self) -> Segment:
        """Opens a segment in place of one that is full, if there is one."""
        if self._current:
            # The database is behind: these wait in the file alone.
            self._current.kept = None
            self._close_current()
        return self._open()

    def _open(self) -> Segment:
        self._number += 1
        path = segment_path(self.directory, self._process, self._number)
        self._current = Segment.create(path, b"".join(self._running.values()))
        return self._current

    def _close_current(self) -> None:
        if self._current:
            self._closed.append((self._current, False))
            self._closed_bytes += self._current.size
            self._current = None
        self._records = 0

    def _carry_over(self) -> None:
        """Begins the next segment, if calls run: the one before, which has them too, may soon be deleted."""
        if not self._running:
            return
        try:
            self._open()
        except OSError as error:
            self._report(error)

    async def _sync(self, segment: Segment) -> None:
        """Waits until all that the segment has now is on the disk; calls that wait together are one wait of the
        disk's."""
        size = segment.size
        async with self._syncing:
            if segment.synced >= size:
                return
            try:
                await asyncio.to_thread(segment.sync)
            except OSError as error:
                # Meanwhile the segment may have been shipped and deleted.
                if segment.synced < size:
                    self._report(error)

    def _report(self, error: OSError) -> None:
        now = time.monotonic()
        if now >= self._next_report:
            self._next_report = now + REPORT_SECONDS
            why = error.strerror or str(error)
            self._log.error("the ledger's outbox cannot be written", directory=str(self.directory), why=why)

    # ------------------------------------------------------------------------------------------------ shipping

    @property
    def bytes(self) -> int:
        """The bytes that have not been shipped."""
        return self._closed_bytes + (self._current.size if self._current else 0)

    @property
    def oldest_seconds(self) -> float:
        """The age of the oldest segment that has not been shipped, in seconds; 0 if there is none. Safe to call in any
        thread."""
        closed, current = self._closed, self._current if self._records else None
        oldest = closed[0][0] if closed else current
        return max(0.0, time.time() - oldest.modified) if oldest else 0.0

    def adopt(self) -> int:
        """Takes over the segments of processes that have ended, and returns their number. They are shipped first."""
        own = frozenset(segment.path for segment, _ in self._closed)
        found = list(left_over(self.directory, own | ({self._current.path} if self._current else set())))
        for segment, is_last in reversed(found):
            self._closed.appendleft((segment, is_last))
            self._closed_bytes += segment.size
        return len(found)

    def closed(self) -> list[tuple[Segment, bool]]:
        """The segments that are complete, oldest first, and whether each is the last of a lost process. Each stays
        until `drop`."""
        return list(self._closed)

    def close_segment(self) -> None:
        """Closes the segment that is being written, if it has records to ship."""
        if self._records:
            self._close_current()
            self._carry_over()

    def drop(self, segment: Segment) -> None:
        """Deletes a segment that was shipped."""
        self._forget(segment)
        segment.delete()

    def set_aside(self, segment: Segment) -> Path:
        """Keeps the file of a segment of which only a part could be shipped; returns its path. Raises OSError."""
        self._forget(segment)
        return segment.set_aside()

    def _forget(self, segment: Segment) -> None:
        self._closed = deque(entry for entry in self._closed if entry[0] is not segment)
        self._closed_bytes -= segment.size

    def drop_unwritten(self, count: int) -> None:
        """Forgets the first records that the disk had refused, after they were shipped."""
        del self.unwritten[:count]
        self._unwritten_bytes = sum(len(encode_record(record)) for record in self.unwritten)

    def close(self) -> None:
        """Gives up the files that have not been shipped, for the next process to take over."""
        if not self._running and not self._records and self._current:
            self._current.delete()
        else:
            self._close_current()
        for segment, _ in self._closed:
            segment.close()
        self._closed.clear()
