"""The store of the ledger: events and rollups in a database, into which each call is added once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, fields
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from services.models.ledger.records import UsageRecord
from services.models.ledger.rollups import OTHER, RollupKey, Sums, roll_up
from services.models.ledger.tables import usage_daily, usage_events, usage_tag_values
from services.shared.database import Database

MAX_TAG_KEYS = 5
"""Tags that may have rollups of their own."""

MAX_TAG_VALUES = 1000
"""Values of a tag that are counted; further ones are counted together."""

PURGE_BATCH = 500
"""Events that one transaction of a purge deletes: the shipping waits for it."""

LOOKUP_BATCH = 500

_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_SUMS = tuple(field.name for field in fields(Sums))


class Added(NamedTuple):
    """Records that were added."""

    events: int
    duplicates: int
    """Records of calls that the ledger had already."""


class UsageStore:
    """The tables of the ledger. `tag_keys` are the tags that have rollups of their own."""

    def __init__(self, database: Database, tag_keys: Sequence[str]) -> None:
        self.database = database
        self.tag_keys = tuple(tag_keys)
        self._counted: set[tuple[str, str]] = set()
        """Values of tags that are known to be counted."""

    async def add(self, records: Sequence[UsageRecord]) -> Added:
        """Adds the records that the ledger does not have, with their sums, or none of them. Raises PlatformErrors of
        the storage."""
        unique = {record.call_id: record for record in records}
        # Without a scope: shippers of all processes exclude each other, so that nobody adds what is added here.
        async with self.database.write() as connection:
            known = await _known(connection, unique.keys())
            new = [record for call_id, record in sorted(unique.items()) if call_id not in known]
            counted = await self._count_values(connection, new)
            rows = roll_up(new, self.tag_keys, lambda key, value: value if (key, value) in counted else OTHER)
            await _insert_events(connection, [_event_row(record) for record in new])
            await _add_to_days(connection, [_rollup_row(key, sums) for key, sums in rows])
        self._counted = counted
        return Added(len(new), len(records) - len(new))

    async def purge(self, before: float) -> int:
        """Deletes some of the events that ended before a time, and returns their number. Rollups stay."""
        old = select(usage_events.c.call_id).where(usage_events.c.at < before).limit(PURGE_BATCH)
        async with self.database.write() as connection:
            result = await connection.execute(delete(usage_events).where(usage_events.c.call_id.in_(old)))
        return int(result.rowcount)

    async def _count_values(self, connection: AsyncConnection, records: Sequence[UsageRecord]) -> set[tuple[str, str]]:
        """The values of the records' tags that are counted, of which some may be so from now on."""
        seen = {(key, record.tags[key]) for record in records for key in self.tag_keys if key in record.tags}
        if seen <= self._counted:
            return self._counted
        t = usage_tag_values.c
        keys = {key for key, _ in seen}
        rows = await connection.execute(select(t.tag_key, t.tag_value).where(t.tag_key.in_(keys)))
        counted = {(row.tag_key, row.tag_value) for row in rows}
        numbers = {key: sum(known_key == key for known_key, _ in counted) for key in keys}
        added = []
        for key, value in sorted(seen - counted):
            if numbers[key] < MAX_TAG_VALUES:
                numbers[key] += 1
                added.append((key, value))
        if added:
            rows_added = [{"tag_key": key, "tag_value": value} for key, value in added]
            await connection.execute(insert(usage_tag_values), rows_added)
        return counted | set(added) | self._counted


async def _known(connection: AsyncConnection, call_ids: Collection[str]) -> set[str]:
    """The calls among these that the ledger has."""
    ids = sorted(call_ids)
    known: set[str] = set()
    for start in range(0, len(ids), LOOKUP_BATCH):
        query = select(usage_events.c.call_id).where(usage_events.c.call_id.in_(ids[start : start + LOOKUP_BATCH]))
        known.update(await connection.scalars(query))
    return known


def _event_row(record: UsageRecord) -> dict[str, Any]:
    return {**msgspec.structs.asdict(record), "tags": msgspec.json.encode(record.tags, order="sorted").decode()}


def _rollup_row(key: RollupKey, sums: Sums) -> dict[str, Any]:
    return {**key._asdict(), **asdict(sums)}


async def _insert_events(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        statement = _INSERTS[connection.dialect.name](usage_events)
        await connection.execute(statement.on_conflict_do_nothing(), rows)


async def _add_to_days(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        statement = _INSERTS[connection.dialect.name](usage_daily)
        sums = {name: usage_daily.c[name] + statement.excluded[name] for name in _SUMS}
        await connection.execute(statement.on_conflict_do_update(index_elements=RollupKey._fields, set_=sums), rows)
