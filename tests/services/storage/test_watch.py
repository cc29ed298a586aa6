"""Copies in memory follow the stored data of all writers."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import insert

from services.shared.database import Database
from services.shared.errors import NotFound
from services.shared.watches import PAUSE_SECONDS
from tests.services.storage.notes import names, notes, opened, put, quiet_log, write_migrations
from tests.support.postgresql import PostgreSQLServer

SOON = 1.0
"""What is promised, in seconds."""


class Copy:
    """The names in a database, as they were when it was last told to look."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looked = asyncio.Condition()
        self.names: list[str] = []
        self.looks = 0
        self.at_once = 0
        self.most_at_once = 0

    async def load(self) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.names = await names(self._database)
        finally:
            self.at_once -= 1
        async with self._looked:
            self.looks += 1
            self._looked.notify_all()

    async def wait(self, condition: Callable[[], bool], seconds: float) -> None:
        async with asyncio.timeout(seconds), self._looked:
            await self._looked.wait_for(condition)


@pytest.fixture
async def writer(database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(database_url, tmp_path) as database:
        yield database


@pytest.fixture
async def reader(database_url: str, tmp_path: Path, writer: Database) -> AsyncIterator[Database]:
    async with opened(database_url, tmp_path) as database:
        yield database


async def watched(database: Database) -> Copy:
    """A copy that is kept fresh, and has nothing more to learn."""
    copy = Copy(database)
    await database.watch(copy.load)
    # It looks once more when it has begun to listen.
    await copy.wait(lambda: copy.looks == 2, 5)
    return copy


async def test_a_copy_is_loaded_when_the_watch_begins(writer: Database, reader: Database) -> None:
    await put(writer, "before")
    copy = Copy(reader)
    await reader.watch(copy.load)
    assert copy.names == ["before"]


async def test_a_commit_of_another_is_seen_within_a_second(writer: Database, reader: Database) -> None:
    copy = await watched(reader)
    for name in ("a", "b", "c"):
        await put(writer, name)
        await copy.wait(lambda name=name: name in copy.names, SOON)  # type: ignore[misc]


async def test_a_commit_of_one_s_own_is_seen_too(reader: Database) -> None:
    copy = await watched(reader)
    await put(reader, "own")
    await copy.wait(lambda: copy.names == ["own"], SOON)


async def test_every_copy_of_a_process_is_refreshed(writer: Database, reader: Database) -> None:
    copies = [await watched(reader), Copy(reader)]
    await reader.watch(copies[1].load)
    await put(writer, "a")
    for copy in copies:
        await copy.wait(lambda copy=copy: copy.names == ["a"], SOON)  # type: ignore[misc]


async def test_many_commits_in_a_row_end_in_the_newest_state_with_few_looks(writer: Database, reader: Database) -> None:
    copy = await watched(reader)
    looks, begun = copy.looks, time.monotonic()
    # Not at once: on a busy machine, the last of them would be refused after four seconds of waiting.
    for number in range(40):
        await put(writer, f"{number:02}")
    await copy.wait(lambda: len(copy.names) == 40, 20)
    # One at the beginning, and one after each pause: how many that may be, the time of the commits tells.
    assert copy.looks - looks <= 1 + (time.monotonic() - begun) / (0.9 * PAUSE_SECONDS)
    assert copy.most_at_once == 1


async def test_what_is_undone_is_not_announced(writer: Database, reader: Database) -> None:
    async def write() -> None:
        async with writer.write() as connection:
            await connection.execute(insert(notes).values(name="undone", number=1))
            raise NotFound("never mind")

    copy = await watched(reader)
    with pytest.raises(NotFound):
        await write()
    await put(writer, "done")
    await copy.wait(lambda: copy.names == ["done"], SOON)
    assert copy.looks == 3


async def test_a_load_that_fails_is_logged_and_tried_again(database_url: str, tmp_path: Path, writer: Database) -> None:
    log = io.BytesIO()
    database = await Database.open(database_url, write_migrations(tmp_path), quiet_log(log))
    copy = Copy(database)
    broken = False

    async def load() -> None:
        nonlocal broken
        if broken:
            broken = False
            raise RuntimeError("canary-1234")
        await copy.load()

    await database.watch(load)
    await copy.wait(lambda: copy.looks == 2, 5)
    broken = True
    await put(writer, "a")
    await copy.wait(lambda: copy.names == ["a"], 5)
    await database.close()
    database_log = log.getvalue().decode()
    assert "canary" not in database_log


async def test_a_first_load_that_fails_fails_the_watch(reader: Database) -> None:
    async def load() -> None:
        raise RuntimeError("what is stored makes no sense")

    with pytest.raises(RuntimeError):
        await reader.watch(load)


async def test_closed_database_refreshes_no_copy(writer: Database, reader: Database) -> None:
    copy = await watched(reader)
    await reader.close()
    await put(writer, "late")
    with pytest.raises(TimeoutError):
        await copy.wait(lambda: copy.looks > 2, 0.6)


async def test_changes_are_seen_again_when_the_connection_that_listens_was_lost(
    postgresql_url: str, postgresql_server: PostgreSQLServer, tmp_path: Path
) -> None:
    """The copy is loaded once more: a change may have been missed."""
    async with opened(postgresql_url, tmp_path) as database:
        copy = await watched(database)
        postgresql_server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        postgresql_server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT 1'")
        await copy.wait(lambda: copy.looks == 3, 5)
        await put(database, "after")
        await copy.wait(lambda: copy.names == ["after"], SOON)


async def test_writes_that_are_not_announced_are_not_seen_by_those_who_listen(
    postgresql_url: str, tmp_path: Path
) -> None:
    """What it is for: PostgreSQL commits announced writes one after the other."""
    silent = await Database.open(postgresql_url, write_migrations(tmp_path), quiet_log(), announced=False)
    async with opened(postgresql_url, tmp_path) as database:
        copy = await watched(database)
        await put(silent, "silent")
        await put(database, "loud")
        await copy.wait(lambda: copy.names == ["loud", "silent"], SOON)
        assert copy.looks == 3
    await silent.close()
