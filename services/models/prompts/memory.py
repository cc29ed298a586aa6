"""The prompts of all projects in memory, a copy of those in the database: chats find prompts here.

A change is committed before it is answered, and then in memory; `load` reads the changes of other replicas.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from proto.models_pb2 import Prompt
from services.models.prompts import events
from services.models.prompts.bounds import PromptUsage, Usages, check_bounds
from services.models.prompts.loading import read_changes, read_record
from services.models.prompts.record import PromptId, PromptRecord
from services.models.prompts.rows import read_version
from services.models.prompts.version_cache import RecentVersions
from services.shared.database import Database
from services.shared.errors import Unavailable
from services.shared.ordered_names import OrderedNames
from services.shared.serial_writes import SerialWrites
from services.shared.storage_errors import retried

WRITERS = "prompts"
"""The scope of all writes. They run one at a time in all replicas, because prompts change rarely."""

RETRY_SECONDS = 1.0

PROMPTS_AT_ONCE = 500
"""Prompts that are processed before other tasks can run."""

Outcome = TypeVar("Outcome")
Change = Callable[[AsyncConnection, PromptRecord | None], Awaitable[Outcome]]


class PromptMemory:
    """The records of all prompts. Await `load` at each change of the database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._records: dict[PromptId, PromptRecord] = {}
        self._names: dict[str, OrderedNames] = {}
        self._usages = Usages()
        self._cache = RecentVersions()
        self._reading = asyncio.Lock()
        self._loading = asyncio.Lock()
        self._loaded = False
        self._last_event_id = 0
        """The id of the newest event that is in memory, with all before it."""
        self._writes = SerialWrites()

    def find(self, prompt: PromptId) -> PromptRecord | None:
        return self._records.get(prompt)

    def names_of(self, project_id: str) -> OrderedNames:
        """The names of a project's prompts. Not to be changed."""
        return self._names.get(project_id) or OrderedNames()

    def require_loaded(self) -> None:
        """Raises Unavailable before the first load: until then no prompt is known."""
        if not self._loaded:
            raise Unavailable(
                "the prompts have not been read from the storage yet; try again",
                reason="STORAGE_UNAVAILABLE",
                retry_after=RETRY_SECONDS,
            )

    async def load(self) -> None:
        """Loads the changes of the database into memory, at first all prompts. May be called at any time."""
        async with self._loading:
            async with self.database.read() as connection:
                newest = await events.newest_id(connection)
                # The database may have been replaced by an older one.
                restored = newest < self._last_event_id
                since, known = (0, {}) if restored else (self._last_event_id, self._records)
                changed = await read_changes(connection, since, known)
            if restored:
                self._records, self._names = {}, {}
                self._usages, self._cache = Usages(), RecentVersions()
            for start in range(0, len(changed), PROMPTS_AT_ONCE):
                self._apply(changed[start : start + PROMPTS_AT_ONCE])
                await asyncio.sleep(0)
            self._last_event_id = newest
            self._loaded = True

    async def find_version(self, record: PromptRecord, version: int) -> Prompt:
        """A version that is not loaded, from the database or from a cache. Raises NotFound."""
        # One at a time, so that a version that many calls request at once is read once.
        async with self._reading:
            prompt = self._cache.find(record, version)
            if prompt is None:
                async with self.database.read() as connection:
                    prompt = await read_version(connection, (record.id, version))
                if prompt is None:
                    raise record.version_not_found(version)
                self._cache.store(record, prompt)
        return prompt

    async def change(self, prompt: PromptId, change: Change[Outcome]) -> tuple[PromptRecord, Outcome]:
        """Runs a change of one prompt; once started, it is completed even if its caller is cancelled.

        Raises what the change raises, and LimitExceeded as `check_bounds` does.
        """
        return await self._writes.run(self._commit(prompt, change))

    @retried
    async def _commit(self, prompt: PromptId, change: Change[Outcome]) -> tuple[PromptRecord, Outcome]:
        async with self.database.write(WRITERS) as connection:
            known = self._records.get(prompt)
            before = await read_record(connection, prompt, known)
            outcome = await change(connection, before)
            record = await read_record(connection, prompt, before)
            assert record, "a change of a prompt leaves one, or raises"
            others = self._usages.without(known, prompt.project_id)
            check_bounds(prompt, PromptUsage.of(before), PromptUsage.of(record), others)
        self._apply([record])
        return record, outcome

    def _apply(self, records: Iterable[PromptRecord]) -> None:
        """Puts committed records into memory, unless newer ones are there already."""
        for record in records:
            known = self._records.get(record.id)
            if known is None:
                self._names.setdefault(record.project_id, OrderedNames()).add(record.name)
            if known is None or known.revision < record.revision:
                self._records[record.id] = record
                self._usages.replace(known, record)
