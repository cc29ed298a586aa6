"""Faults of storage, D1 to D16 of the fault matrix, where no test of the storage layer shows them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import select, update

from services.shared.database import Database
from tests.services.storage.notes import notes, opened, put

WRITES = 20


async def test_d2_transactions_that_read_before_they_write_lose_nothing(database_url: str, tmp_path: Path) -> None:
    """Two processes, as it were: a transaction of SQLite that begins as a reader would be refused as soon as another
    one has written."""

    async def count(database: Database) -> None:
        for _ in range(WRITES):
            async with database.write("a") as connection:
                number = await connection.scalar(select(notes.c.number).where(notes.c.name == "sum"))
                await asyncio.sleep(0)
                await connection.execute(update(notes).where(notes.c.name == "sum").values(number=number + 1))

    async with opened(database_url, tmp_path) as one, opened(database_url, tmp_path) as two:
        await put(one, "sum", 0)
        await asyncio.gather(count(one), count(one), count(two), count(two))
        async with one.read() as connection:
            assert await connection.scalar(select(notes.c.number)) == 4 * WRITES
