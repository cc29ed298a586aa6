"""Memories of users: JSON values by key."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sessions.owners import Owner
from services.sessions.store import read_clock
from services.sessions.tables import memories
from services.shared.database import Database
from services.shared.errors import LimitExceeded, NotFound
from services.shared.row_pages import RowPage, fetch_page
from services.shared.storage_errors import retried

MAX_MEMORIES = 10_000
"""Limit for the values of a user."""


class Memory(NamedTuple):
    """A row of `memories`, in the order of its columns."""

    project_id: str
    user_id: str
    key: str
    value_json: bytes
    update_time: int


class MemoryStore:
    """The store of all users' values."""

    def __init__(self, database: Database, now: Callable[[], int] = read_clock) -> None:
        self._database = database
        self._now = now

    @retried
    async def put(self, owner: Owner, key: str, value_json: bytes) -> Memory:
        """Stores a value; replaces the key's earlier one. Raises LimitExceeded MEMORY_FULL."""
        async with self._database.write(owner.scope("user", owner.user_id)) as connection:
            memory = Memory(*owner, key, value_json, self._now())
            replaced = await connection.execute(
                update(memories)
                .where(owner.owns(memories), memories.c.key == key)
                .values(value_json=value_json, update_time=memory.update_time)
            )
            if replaced.rowcount == 0:
                await _require_capacity(connection, owner)
                await connection.execute(insert(memories).values(memory._asdict()))
        return memory

    async def list_memories(self, owner: Owner, key_prefix: str, after: str | None, size: int) -> RowPage[Memory]:
        """A page of values whose keys begin with `key_prefix` and follow the key `after`, ordered by key."""
        c = memories.c
        statement = select(memories).where(owner.owns(memories))
        if key_prefix:
            statement = statement.where(func.substr(c.key, 1, len(key_prefix)) == key_prefix)
        if after is not None:
            statement = statement.where(c.key > after)
        statement = statement.order_by(c.key)
        async with self._database.read() as connection:
            rows = await fetch_page(connection, statement, func.length(c.value_json) + 4 * func.length(c.key), size)
        return RowPage([Memory(*row) for row in rows.entries], rows.more)

    @retried
    async def delete(self, owner: Owner, key: str) -> None:
        """Deletes a value. Raises NotFound MEMORY_NOT_FOUND."""
        async with self._database.write(owner.scope("user", owner.user_id)) as connection:
            deleted = await connection.execute(delete(memories).where(owner.owns(memories), memories.c.key == key))
        if deleted.rowcount == 0:
            raise NotFound("nothing is stored under this user's key", reason="MEMORY_NOT_FOUND")


async def _require_capacity(connection: AsyncConnection, owner: Owner) -> None:
    count = await connection.scalar(select(func.count()).select_from(memories).where(owner.owns(memories)))
    if count and count >= MAX_MEMORIES:
        raise LimitExceeded(
            f"the user has {count} values, and may have {MAX_MEMORIES} at most; delete some first", reason="MEMORY_FULL"
        )
