"""Repricing: stored calls without a cost get the one that today's prices give them.

Only calls of which nothing but the rates was missing are priced: what else a cost depends on is not stored, and is not
guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple, Protocol

import msgspec
from sqlalchemy import bindparam, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from proto import models_pb2
from services.models.ledger.records import PRICE_NOT_LISTED, PRICE_NOT_REGISTERED
from services.models.ledger.rollups import DAY_SECONDS, RollupKey, day_of
from services.models.ledger.spending import matches_model
from services.models.ledger.store import UsageStore
from services.models.ledger.tables import usage_daily, usage_events

CAUSE_NOT_RECORDED = "CAUSE_NOT_RECORDED"
"""Why a call stays without a cost: a program that did not tell the cause has recorded it."""

REPRICE_BATCH = 500
"""Calls that one transaction looks at: the shipping waits for it."""

_COLUMNS = (
    *("call_id", "at", "team_id", "project_id", "key_id", "user_id", "provider", "model_served"),
    *("input", "output", "cache_read", "cache_write", "unpriced", "counted_tags"),
)
_KEY = tuple(column.name for column in usage_daily.primary_key)


class CurrentPrices(Protocol):
    """The prices of today. Costs are in nano-USD, None if they are not known."""

    @property
    def name(self) -> str:
        """The name and version of the price list."""

    def require_loaded(self) -> None:
        """Raises Unavailable while the registrations are not known yet."""

    def listed(self, provider: str, model_id: str, day: date, usage: models_pb2.TokenUsage) -> int | None:
        """The cost at a vendor on a day."""

    def registered(self, name: str, provider: str, usage: models_pb2.TokenUsage) -> int | None:
        """The cost by a registration."""


class RepriceQuery(NamedTuple):
    """The calls that are looked at, by the days on which they ended, in UTC."""

    from_day: date
    to_day: date
    """The last day."""
    model_glob: str = ""
    """Models by their names or as `provider/name`; empty for all."""


@dataclass
class RepricedModel:
    """The calls of a model that had no cost, and what becomes of them."""

    calls: int = 0
    """Those that have one now."""
    cost_nano_usd: int = 0
    unpriced: Counter[str] = field(default_factory=Counter)
    """The others, by the reasons why they have none."""


class Priced(NamedTuple):
    """A stored call with its cost."""

    event: Any
    cost_nano_usd: int
    price_as_of: str


class Repricing:
    """Prices stored calls by the prices of today."""

    def __init__(self, store: UsageStore, prices: CurrentPrices) -> None:
        self._database = store.database
        self._prices = prices

    async def run(self, query: RepriceQuery, *, apply: bool) -> dict[tuple[str, str], RepricedModel]:
        """The calls by provider and model, and what becomes of them. Without `apply`, nothing is changed.

        Each transaction stores the costs of some calls together with their sums, so that a run that breaks off has
        priced some calls wholly, and a further one prices the others. Raises PlatformErrors of the storage, and
        Unavailable while the registrations are not known yet.
        """
        self._prices.require_loaded()
        models: dict[tuple[str, str], RepricedModel] = {}
        after, end = (_start_of(query.from_day), ""), _start_of(query.to_day) + DAY_SECONDS
        while True:
            async with self._database.write() if apply else self._database.read() as connection:
                events = await _read_unpriced(connection, after, end)
                chosen = [each for each in events if matches_model(query.model_glob, each.provider, each.model_served)]
                decided = [self._price(event) for event in chosen]
                if apply:
                    await _store(connection, [each for each in decided if isinstance(each, Priced)])
            for event, result in zip(chosen, decided, strict=True):
                _note(models.setdefault((event.provider, event.model_served), RepricedModel()), result)
            if len(events) < REPRICE_BATCH:
                return models
            after = (events[-1].at, events[-1].call_id)

    def _price(self, event: Any) -> Priced | str:
        """A call with its cost, or why it has none."""
        usage = models_pb2.TokenUsage(
            prompt_tokens=event.input,
            completion_tokens=event.output,
            cached_prompt_tokens=event.cache_read,
            cache_write_tokens=event.cache_write,
        )
        cost, price_as_of = None, ""
        if event.unpriced == PRICE_NOT_LISTED:
            day = date.fromisoformat(day_of(event.at))
            cost, price_as_of = self._prices.listed(event.provider, event.model_served, day, usage), self._prices.name
        elif event.unpriced == PRICE_NOT_REGISTERED:
            cost = self._prices.registered(event.model_served, event.provider, usage)
        if cost is None:
            return event.unpriced or CAUSE_NOT_RECORDED
        return Priced(event, cost, price_as_of)


async def _read_unpriced(connection: AsyncConnection, after: tuple[float, str], end: float) -> Sequence[Any]:
    """The first calls without a cost after this one, in the order of their ends."""
    t = usage_events.c
    query = (
        select(*(t[name] for name in _COLUMNS))
        .where(t.cost_nano_usd.is_(None), t.at >= after[0], t.at < end, tuple_(t.at, t.call_id) > tuple_(*after))
        .order_by(t.at, t.call_id)
        .limit(REPRICE_BATCH)
    )
    return (await connection.execute(query)).all()


async def _store(connection: AsyncConnection, priced: Sequence[Priced]) -> None:
    """Stores costs of calls that have none, with the sums. Nobody else writes meanwhile."""
    if not priced:
        return
    t = usage_events.c
    of_event = (
        update(usage_events)
        .where(t.call_id == bindparam("event"))
        .values(cost_nano_usd=bindparam("cost"), price_as_of=bindparam("as_of"), unpriced="")
    )
    await connection.execute(
        of_event,
        [{"event": each.event.call_id, "cost": each.cost_nano_usd, "as_of": each.price_as_of} for each in priced],
    )
    d = usage_daily.c
    of_day = (
        update(usage_daily)
        .where(*(d[name] == bindparam(f"of_{name}") for name in _KEY))
        .values(
            cost_nano_usd=d.cost_nano_usd + bindparam("cost"), unpriced_calls=d.unpriced_calls - bindparam("number")
        )
    )
    await connection.execute(
        of_day,
        [
            {"cost": cost, "number": calls, **{f"of_{name}": getattr(key, name) for name in _KEY}}
            for key, (cost, calls) in sorted(_sums(priced).items())
        ],
    )


def _sums(priced: Sequence[Priced]) -> dict[RollupKey, tuple[int, int]]:
    """The costs and numbers of calls, by the rows in which they are counted."""
    sums: dict[RollupKey, tuple[int, int]] = {}
    for each in priced:
        event = each.event
        key = RollupKey(
            day_of(event.at),
            event.team_id,
            event.project_id,
            event.key_id,
            event.user_id,
            event.provider,
            event.model_served,
        )
        tags = msgspec.json.decode(event.counted_tags, type=dict[str, str])
        for row in (key, *(key._replace(tag_key=name, tag_value=value) for name, value in tags.items())):
            cost, calls = sums.get(row, (0, 0))
            sums[row] = cost + each.cost_nano_usd, calls + 1
    return sums


def _note(model: RepricedModel, result: Priced | str) -> None:
    if isinstance(result, str):
        model.unpriced[result] += 1
        return
    model.calls += 1
    model.cost_nano_usd += result.cost_nano_usd


def _start_of(day: date) -> float:
    return datetime.combine(day, time(), UTC).timestamp()
