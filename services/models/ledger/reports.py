"""Reports: sums of the rollups, by groups and over windows of time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, case, func, select, tuple_

from services.models.ledger.rollups import Sums
from services.models.ledger.store import UsageStore
from services.models.ledger.tables import usage_daily, usage_events

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
_SCOPES = {
    "team": "team_id",
    "project": "project_id",
    "key": "key_id",
    "user": "user_id",
    "end_user": "end_user_hash",
}


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


class Spent(NamedTuple):
    """The sums of a limit's window."""

    calls: int = 0
    tokens: int = 0
    cost_nano_usd: int = 0
    unpriced_calls: int = 0


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

    async def spent(self, scope_kind: str, scope_id: str, model_glob: str = "", since: datetime | None = None) -> Spent:
        """The sums of a limit: of a scope, such as `project` and its id, or `org` for all, and of the models that match
        a name with `*` for any characters. `since` is the begin of its window; None means always.

        Whole days of UTC are read from the rollups, and the rest of the first day from the events. Of an end user there
        are events only, by the hash of its id (`hash_end_user`).
        """
        by_events, by_days = _parts(scope_kind, scope_id, since)
        async with self._database.read() as connection:
            rows = [
                row
                for statement in (by_events, by_days)
                if statement is not None
                for row in (await connection.execute(statement)).all()
            ]
        matching = [row for row in rows if matches_model(model_glob, row.provider, row.model)]
        return Spent(*(int(sum(row[place] for row in matching)) for place in range(2, 6)))


def matches_model(glob: str, provider: str, model: str) -> bool:
    """Whether a model of a provider matches a name with `*` for any characters, by its name or by `provider/name`."""
    return not glob or any(_matches(glob.split("*"), name) for name in (model, f"{provider}/{model}"))


def _matches(pieces: Sequence[str], name: str) -> bool:
    """Whether a name has these pieces in order, the first at its begin and the last at its end."""
    first, *others = pieces
    if not others:
        return name == first
    if not name.startswith(first):
        return False
    place = len(first)
    for piece in others[:-1]:
        place = name.find(piece, place)
        if place < 0:
            return False
        place += len(piece)
    return name[place:].endswith(others[-1])


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


def _parts(scope_kind: str, scope_id: str, since: datetime | None) -> tuple[Select[Any] | None, Select[Any] | None]:
    """The statements for the events and for the days of a window; None where there is nothing to read."""
    if scope_kind == "end_user":
        return _spent_by_events(scope_kind, scope_id, since.timestamp() if since else 0.0, None), None
    if since is None:
        return None, _spent_by_days(scope_kind, scope_id, "")
    midnight = since.replace(hour=0, minute=0, second=0, microsecond=0)
    if since == midnight:
        return None, _spent_by_days(scope_kind, scope_id, since.date().isoformat())
    next_day = midnight + timedelta(days=1)
    return (
        _spent_by_events(scope_kind, scope_id, since.timestamp(), next_day.timestamp()),
        _spent_by_days(scope_kind, scope_id, next_day.date().isoformat()),
    )


def _spent_by_days(scope_kind: str, scope_id: str, from_day: str) -> Select[Any]:
    c = usage_daily.c
    tokens = func.sum(c.input + c.output)
    statement = select(
        c.provider, c.model, func.sum(c.calls), tokens, func.sum(c.cost_nano_usd), func.sum(c.unpriced_calls)
    ).where(c.day >= from_day, c.tag_key == "")
    if scope_kind != "org":
        statement = statement.where(c[_SCOPES[scope_kind]] == scope_id)
    return statement.group_by(c.provider, c.model)


def _spent_by_events(scope_kind: str, scope_id: str, start: float, end: float | None) -> Select[Any]:
    c = usage_events.c
    statement = select(
        c.provider,
        c.model_served.label("model"),
        func.count(),
        func.sum(c.input + c.output),
        func.coalesce(func.sum(c.cost_nano_usd), 0),
        func.sum(case((c.cost_nano_usd.is_(None), 1), else_=0)),
    ).where(c.at >= start)
    if end is not None:
        statement = statement.where(c.at < end)
    if scope_kind != "org":
        statement = statement.where(c[_SCOPES[scope_kind]] == scope_id)
    return statement.group_by(c.provider, c.model_served)
