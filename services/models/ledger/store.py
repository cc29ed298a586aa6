"""The store of the ledger: events and rollups in a database, into which each call is added once.

Records go to the database many at a time, as one JSON text that becomes rows there, or as the parameters of one
statement: a statement for each row would let the event loop and the thread of SQLite wait for each other at each row,
at several times the cost of the work itself.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import astuple, fields
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Float,
    Integer,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    column,
    delete,
    func,
    select,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from services.models.ledger.records import PRICEABLE, UsageRecord
from services.models.ledger.rollups import OTHER, CountedValue, RollupKey, Sums, roll_up
from services.models.ledger.tables import usage_daily, usage_events, usage_tag_values
from services.shared.database import Database

MAX_TAG_KEYS = 5
"""Tags that may have rollups of their own."""

MAX_TAG_VALUES = 1000
"""Values of a tag that are counted; further ones are counted together."""

PURGE_BATCH = 500
"""Events that one transaction of a purge deletes: the shipping waits for it."""

ROWS_AT_ONCE = (100, 10, 1)
"""Rows that one statement of SQLite inserts."""

ROWS = "rows"
"""The parameter with the JSON text."""

_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_EACH = {"sqlite": "json_each", "postgresql": "json_array_elements"}
_EACH_TEXT = {"sqlite": "json_each", "postgresql": "json_array_elements_text"}
_GATHER = {"sqlite": "json_group_array", "postgresql": "json_agg"}
_SUMS = tuple(field.name for field in fields(Sums))

_TAGS, _COUNTED_TAGS, _ESTIMATED = map(UsageRecord.__struct_fields__.index, ("tags", "counted_tags", "estimated"))
"""The places of values in a record that SQLite has in another form: JSON objects, and a yes or no."""

_encode = msgspec.json.Encoder(order="sorted").encode


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
            known = await _known(connection, list(unique))
            new = [record for call_id, record in sorted(unique.items()) if call_id not in known]
            counted = await self._count_values(connection, new)

            def value_of(key: str, value: str) -> str:
                return value if (key, value) in counted else OTHER

            rows = roll_up(new, self.tag_keys, value_of)
            await _insert_events(connection, [self._with_counted_tags(record, value_of) for record in new])
            names = (*RollupKey._fields, *_SUMS)
            await _insert(connection, usage_daily, names, [(*key, *astuple(sums)) for key, sums in rows], sums=_SUMS)
        self._counted = counted
        return Added(len(new), len(records) - len(new))

    async def purge(self, before: float) -> int:
        """Deletes some of the events that ended before a time, and returns their number. Rollups stay."""
        old = select(usage_events.c.call_id).where(usage_events.c.at < before).limit(PURGE_BATCH)
        async with self.database.write() as connection:
            result = await connection.execute(delete(usage_events).where(usage_events.c.call_id.in_(old)))
        return int(result.rowcount)

    def _with_counted_tags(self, record: UsageRecord, value_of: CountedValue) -> UsageRecord:
        """The record with the tags under which it is counted, if it may still get its price: the sums of those and of
        no others must then move."""
        if record.unpriced not in PRICEABLE:
            return record
        tags = {key: value_of(key, record.tags[key]) for key in self.tag_keys if key in record.tags}
        return msgspec.structs.replace(record, counted_tags=tags)

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
        await _insert(connection, usage_tag_values, ("tag_key", "tag_value"), added)
        return counted | set(added) | self._counted


async def _known(connection: AsyncConnection, call_ids: Sequence[str]) -> set[str]:
    """The calls among these that the ledger has."""
    query = _known_query(connection.dialect.name)
    found = await connection.scalar(query, {ROWS: _encode(call_ids).decode()})
    return set(msgspec.json.decode(found)) if found else set()


async def _insert_events(connection: AsyncConnection, records: Sequence[UsageRecord]) -> None:
    if connection.dialect.name != "sqlite":
        await _insert(connection, usage_events, UsageRecord.__struct_fields__, records)
        return
    # SQLite reads the JSON again for each column, which costs four times as much as the parameters.
    start = 0
    for count in ROWS_AT_ONCE:
        while start + count <= len(records):
            values: list[Any] = []
            for record in records[start : start + count]:
                _add_event_values(values, record)
            await connection.exec_driver_sql(_event_statement(count), tuple(values))
            start += count


def _add_event_values(values: list[Any], record: UsageRecord) -> None:
    first = len(values)
    values += msgspec.structs.astuple(record)
    values[first + _TAGS] = _encode(record.tags).decode() if record.tags else "{}"
    values[first + _COUNTED_TAGS] = _encode(record.counted_tags).decode() if record.counted_tags else "{}"
    # Python looks for an adapter of all that is no number or text, which takes as long as to bind ten of those.
    values[first + _ESTIMATED] = int(record.estimated)


@functools.cache
def _event_statement(count: int) -> str:
    """The statement of SQLite that inserts so many events; the few there are stay prepared."""
    names = UsageRecord.__struct_fields__
    row = f"({', '.join('?' * len(names))})"
    rows = ", ".join([row] * count)
    return f"INSERT INTO {usage_events.name} ({', '.join(names)}) VALUES {rows} ON CONFLICT DO NOTHING"  # noqa: S608


async def _insert(
    connection: AsyncConnection,
    table: Table,
    names: tuple[str, ...],
    rows: Sequence[UsageRecord] | Sequence[tuple[Any, ...]],
    sums: tuple[str, ...] = (),
) -> None:
    """Inserts rows with values for these columns. Of a row that is there already, the `sums` grow; it stays the same
    without."""
    if rows:
        statement = _insert_statement(connection.dialect.name, table, names, sums)
        await connection.execute(statement, {ROWS: _encode(rows).decode()})


# SQLAlchemy takes several milliseconds to build each of them.
@functools.cache
def _known_query(dialect: str) -> Select[Any]:
    asked = select(_values(dialect, _EACH_TEXT[dialect]))
    gather = getattr(func, _GATHER[dialect])
    return select(cast(gather(usage_events.c.call_id), Text)).where(usage_events.c.call_id.in_(asked))


@functools.cache
def _insert_statement(dialect: str, table: Table, names: tuple[str, ...], sums: tuple[str, ...]) -> Any:
    value = _values(dialect, _EACH[dialect])
    selected = select(*(_read(value[place], table.c[name].type) for place, name in enumerate(names))).where(true())
    statement = _INSERTS[dialect](table).from_select(list(names), selected)
    if not sums:
        return statement.on_conflict_do_nothing()
    grown = {name: table.c[name] + statement.excluded[name] for name in sums}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=grown)


def _values(dialect: str, each_name: str) -> Any:
    """The values of a JSON array in the parameter `ROWS`, as a column with a row for each."""
    rows = bindparam(ROWS, type_=Text)
    each = getattr(func, each_name)(rows if dialect == "sqlite" else cast(rows, JSON))
    return each.table_valued(column("value", JSON)).c.value


def _read(value: Any, kind: Any) -> Any:
    """A member of a JSON array as a value of a column."""
    match kind:
        case Boolean():
            return value.as_boolean()
        case BigInteger() | Integer():
            return cast(value.as_string(), BigInteger)
        case Float():
            return value.as_float()
    return value.as_string()
