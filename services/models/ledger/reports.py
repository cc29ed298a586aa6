"""Reports: sums of the rollups, by groups."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import fields
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, func, select, tuple_

from services.models.ledger.rollups import Sums
from services.models.ledger.store import UsageStore
from services.models.ledger.tables import usage_daily

GROUPS = {
    "day": "day",
    "team": "team_id",
    "project": "project_id",
    "key": "key_id",
    "user": "user_id",
    "provider": "provider",
    "model": "model",
    "tag": "tag_value",
}
"""The column of each group."""

EXPORT_ROWS = 500
"""Rows of an export that are read at a time."""

_SUMS = tuple(field.name for field in fields(Sums))


class UsageQuery(NamedTuple):
    """A question for sums."""

    from_day: date
    to_day: date
    """The last day."""
    group_by: Sequence[str] = ()
    """Names of `GROUPS`."""
    tag_key: str = ""
    filters: Mapping[str, str] = {}
    """Values that columns must have."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the groups."""
        return tuple(GROUPS[group] for group in self.group_by)


class UsageSum(NamedTuple):
    """A row of a report: the values of its groups, in their order, and the sums."""

    groups: tuple[str, ...]
    sums: Sums


class Reports:
    """Reads the ledger. All methods raise PlatformErrors of the storage."""

    def __init__(self, store: UsageStore) -> None:
        self._database = store.database

    async def page(self, query: UsageQuery, after: Sequence[str] | None, size: int) -> list[UsageSum]:
        """The first rows after the one with these values, in the order of the groups."""
        statement = _sums_of_days(query)
        columns = [usage_daily.c[name] for name in query.columns]
        if columns:
            statement = statement.order_by(*columns).limit(size)
            if after is not None:
                statement = statement.where(tuple_(*columns) > tuple_(*after))
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        width = len(columns)
        return [UsageSum(tuple(row[:width]), _read_sums(row[width:])) for row in rows]

    async def all_rows(self, query: UsageQuery) -> AsyncIterator[UsageSum]:
        """All rows, of which only some are in memory at a time."""
        after = None
        while rows := await self.page(query, after, EXPORT_ROWS):
            for row in rows:
                yield row
            after = rows[-1].groups
            if not after:
                return

    async def total(self, query: UsageQuery) -> Sums:
        """The sums of all."""
        [row] = await self.page(query._replace(group_by=()), None, 1)
        return row.sums


def _sums_of_days(query: UsageQuery) -> Select[Any]:
    columns = [usage_daily.c[name] for name in query.columns]
    conditions: list[ColumnElement[bool]] = [
        usage_daily.c.day.between(query.from_day.isoformat(), query.to_day.isoformat()),
        usage_daily.c.tag_key == query.tag_key,
        *(usage_daily.c[name] == value for name, value in query.filters.items()),
    ]
    sums = [func.coalesce(func.sum(usage_daily.c[name]), 0) for name in _SUMS]
    return select(*columns, *sums).where(*conditions).group_by(*columns)


def _read_sums(values: Sequence[Any]) -> Sums:
    # PostgreSQL's sums of large integers are decimals.
    return Sums(*map(int, values))
