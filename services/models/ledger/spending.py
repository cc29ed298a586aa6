"""Spending: what was spent in the window of a limit, for its callers and for stores that have lost count."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Select, case, func, select

from services.models.ledger.ledger import Ledger
from services.models.ledger.tables import usage_daily, usage_events
from services.shared.globs import matches_glob

_SCOPES = {
    "team": "team_id",
    "project": "project_id",
    "key": "key_id",
    "user": "user_id",
    "end_user": "end_user_hash",
}


class Scope(NamedTuple):
    """The calls that a limit counts."""

    kind: str
    """`org` for all, `team`, `project`, `key`, `user` or `end_user`."""
    id: str = ""
    """The id; of an end user its hash, as `hash_end_user` makes it."""
    project_id: str = ""
    """The project of an end user; empty for other kinds."""
    model_glob: str = ""
    """The models: a name with `*` for any characters, or `provider/name`. Empty means all."""


class Spent(NamedTuple):
    """The sums of a limit's window."""

    calls: int = 0
    tokens: int = 0
    cost_nano_usd: int = 0
    unpriced_calls: int = 0


class Spending:
    """Reads what was spent. All methods raise PlatformErrors of the storage."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def up_to_now(self, scope: Scope, since: datetime | None = None) -> Spent:
        """The same as `shipped`, with all that this process has recorded until now."""
        await self._ledger.flush()
        return await self.shipped(scope, since)

    async def shipped(self, scope: Scope, since: datetime | None = None) -> Spent:
        """The sums of a scope since the begin of a window, in UTC, or since ever, by what the database has.

        Whole days are read from the rollups, and the rest of the first day from the events. Of an end user there are
        events only.
        """
        statements = _statements(scope, since)
        async with self._ledger.store.database.read() as connection:
            rows = [row for statement in statements for row in (await connection.execute(statement)).all()]
        matching = [row for row in rows if matches_model(scope.model_glob, row.provider, row.model)]
        return Spent(*(int(sum(row[place] for row in matching)) for place in range(2, 6)))


def matches_model(glob: str, provider: str, model: str) -> bool:
    """Whether a model of a provider matches a name with `*` for any characters, by its name or by `provider/name`."""
    return not glob or any(matches_glob(glob, name) for name in (model, f"{provider}/{model}"))


def _statements(scope: Scope, since: datetime | None) -> list[Select[Any]]:
    """The statements for the events and for the days of a window."""
    if scope.kind == "end_user":
        return [_sum_events(scope, since.timestamp() if since else 0.0, None)]
    if since is None:
        return [_sum_days(scope, "")]
    midnight = since.replace(hour=0, minute=0, second=0, microsecond=0)
    if since == midnight:
        return [_sum_days(scope, since.date().isoformat())]
    next_day = midnight + timedelta(days=1)
    events = _sum_events(scope, since.timestamp(), next_day.timestamp())
    return [events, _sum_days(scope, next_day.date().isoformat())]


def _sum_days(scope: Scope, from_day: str) -> Select[Any]:
    c = usage_daily.c
    tokens = func.sum(c.input + c.output)
    statement = select(
        c.provider, c.model, func.sum(c.calls), tokens, func.sum(c.cost_nano_usd), func.sum(c.unpriced_calls)
    ).where(c.day >= from_day, c.tag_key == "")
    if scope.kind != "org":
        statement = statement.where(c[_SCOPES[scope.kind]] == scope.id)
    return statement.group_by(c.provider, c.model)


def _sum_events(scope: Scope, start: float, end: float | None) -> Select[Any]:
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
    if scope.kind != "org":
        statement = statement.where(c[_SCOPES[scope.kind]] == scope.id)
    if scope.project_id:
        statement = statement.where(c.project_id == scope.project_id)
    return statement.group_by(c.provider, c.model_served)
