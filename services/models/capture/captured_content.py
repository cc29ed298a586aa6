"""Captured content: the store of the texts of chats. It never makes a chat wait, and drops what it cannot keep up with.

Nothing else keeps texts of chats: no log, no span, no ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import zlib
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from services.models.capture.redaction import Redactor
from services.models.capture.tables import captured_content
from services.models.capture.transcripts import Transcript
from services.shared.database import Database
from services.shared.errors import NotFound, PlatformError
from services.shared.logs import Log

MAX_WAITING_CHARACTERS = 16 * 1024 * 1024
"""Characters that may wait to be stored; further chats are not captured."""

BATCH = 50
"""Chats that one transaction stores."""

PURGE_SECONDS = 600.0
PURGE_BATCH = 500
REPORT_SECONDS = 60.0
DAY_SECONDS = 24 * 3600.0
CLOSE_SECONDS = 2.0


class Captured(NamedTuple):
    """The content of a chat that has ended."""

    call_id: str
    project_id: str
    model: str
    request: Transcript
    answer: Transcript | None

    @property
    def characters(self) -> int:
        return len(self.request.text) + (len(self.answer.text) if self.answer else 0)


class StoredText(NamedTuple):
    """A stored text of a chat."""

    direction: str
    model: str
    captured_at: float
    text: str
    characters: int
    redactions: dict[str, int]


class CapturedContent:
    """The store, with the task that fills it."""

    def __init__(self, database: Database, redactor: Redactor, log: Log, keep_days: float) -> None:
        self._database = database
        self._redactor = redactor
        self._log = log
        self._keep_seconds = keep_days * DAY_SECONDS
        self._waiting: deque[Captured] = deque()
        self._waiting_characters = 0
        self._has_come = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._dropped = 0
        self._reported_at = -REPORT_SECONDS
        self._tasks = [asyncio.create_task(self._store_all()), asyncio.create_task(self._purge_all())]

    def keep(self, captured: Captured) -> None:
        """Keeps the content of a chat, soon. It is dropped, which the log says, where too much waits."""
        if self._waiting_characters + captured.characters > MAX_WAITING_CHARACTERS:
            self._drop(1, "too much content waits to be stored")
            return
        self._waiting.append(captured)
        self._waiting_characters += captured.characters
        self._idle.clear()
        self._has_come.set()

    async def find(self, call_id: str, project_id: str | None) -> list[StoredText]:
        """The texts of a chat, of a project or of any (None). Raises NotFound."""
        c = captured_content.c
        query = select(captured_content).where(c.call_id == call_id, c.expires_at > time.time())
        if project_id is not None:
            query = query.where(c.project_id == project_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(c.direction.desc()))).all()
        if not rows:
            raise NotFound("no content of such a call is kept", reason="CONTENT_NOT_FOUND")
        return [
            StoredText(
                row.direction,
                row.model,
                row.captured_at,
                zlib.decompress(row.body).decode(),
                row.characters,
                json.loads(row.redactions_json),
            )
            for row in rows
        ]

    async def wait_until_stored(self) -> None:
        """Waits until nothing waits to be stored."""
        await self._idle.wait()

    async def close(self) -> None:
        """Stores what waits, for a moment, and ends the tasks."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.wait_until_stored()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _store_all(self) -> None:
        while True:
            await self._has_come.wait()
            self._has_come.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                await self._store(batch)
                self._waiting_characters -= sum(captured.characters for captured in batch)
            self._idle.set()

    async def _store(self, batch: Sequence[Captured]) -> None:
        try:
            rows = await asyncio.to_thread(self._rows, batch)
            async with self._database.write() as connection:
                await connection.execute(insert(captured_content), rows)
        except (PlatformError, SQLAlchemyError) as error:
            # The texts of the others are still to come.
            self._drop(len(batch), error.message if isinstance(error, PlatformError) else type(error).__name__)

    def _rows(self, batch: Sequence[Captured]) -> list[dict[str, Any]]:
        return [
            self._row(captured, direction, transcript)
            for captured in batch
            for direction, transcript in (("request", captured.request), ("answer", captured.answer))
            if transcript
        ]

    def _row(self, captured: Captured, direction: str, transcript: Transcript) -> dict[str, Any]:
        redacted, now = self._redactor.redact(transcript.text), time.time()
        return {
            "call_id": captured.call_id,
            "direction": direction,
            "project_id": captured.project_id,
            "model": captured.model,
            "captured_at": now,
            "expires_at": now + self._keep_seconds,
            "body": zlib.compress(redacted.text.encode("utf-8", "replace")),
            "characters": transcript.characters,
            "redactions_json": json.dumps(redacted.counts),
        }

    def _drop(self, chats: int, why: str) -> None:
        self._dropped += chats
        now = time.monotonic()
        if now - self._reported_at >= REPORT_SECONDS:
            self._log.warning("content of chats was not captured", chats=self._dropped, why=why)
            self._reported_at, self._dropped = now, 0

    async def _purge_all(self) -> None:
        while True:
            with contextlib.suppress(PlatformError, SQLAlchemyError):
                await self.purge()
            await asyncio.sleep(PURGE_SECONDS)

    async def purge(self) -> None:
        """Deletes what has expired, a little at a time: other writers wait meanwhile."""
        c = captured_content.c
        expired = select(c.call_id).where(c.expires_at <= time.time()).limit(PURGE_BATCH)
        while True:
            async with self._database.write() as connection:
                ids = (await connection.execute(expired)).scalars().all()
                if ids:
                    await connection.execute(delete(captured_content).where(c.call_id.in_(set(ids))))
            if len(ids) < PURGE_BATCH:
                return
