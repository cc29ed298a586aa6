"""Rollups: the sums of records by day, and by all that reports ask for."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import NamedTuple

from services.models.ledger.records import OK, UsageRecord

DAY_SECONDS = 24 * 3600

OTHER = "_OTHER"
"""The value that stands for all values of a tag beyond the counted ones."""


_OWNER = attrgetter("team_id", "project_id", "key_id", "user_id", "provider", "model_served")
_COUNTED = attrgetter("status", "input", "output", "cache_read", "reasoning", "cost_nano_usd")


class RollupKey(NamedTuple):
    """The primary key of a row, in the order of its columns."""

    day: str
    team_id: str
    project_id: str
    key_id: str
    user_id: str
    provider: str
    model: str
    tag_key: str = ""
    tag_value: str = ""


@dataclass
class Sums:
    """The sums of a row, in the order of its columns."""

    calls: int = 0
    failed: int = 0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    reasoning: int = 0
    cost_nano_usd: int = 0
    unpriced_calls: int = 0

    @classmethod
    def of(cls, records: Sequence[UsageRecord]) -> Sums:
        """The sums of records."""
        status, *counts, costs = zip(*map(_COUNTED, records), strict=True)
        known_costs = [cost for cost in costs if cost is not None]
        calls, failed = len(records), len(records) - status.count(OK)
        prompt, answer, cache_read, reasoning = map(sum, counts)
        unpriced = calls - len(known_costs)
        return cls(calls, failed, prompt, answer, cache_read, reasoning, sum(known_costs), unpriced)


CountedValue = Callable[[str, str], str]
"""The value of a tag under which it is counted: itself, or `OTHER`."""


def day_of(at: float) -> str:
    """The day of a time in UTC, as 2026-11-30."""
    return _day(int(at // DAY_SECONDS))


@functools.lru_cache(16)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * DAY_SECONDS, UTC).date().isoformat()


def roll_up(
    records: Iterable[UsageRecord], tag_keys: Sequence[str], counted: CountedValue
) -> list[tuple[RollupKey, Sums]]:
    """The rows of the records, in the order of their primary keys: writers that lock rows in one order cannot wait for
    each other."""
    groups: dict[tuple[str, ...], list[UsageRecord]] = defaultdict(list)
    for record in records:
        owner = (day_of(record.at), *_OWNER(record))
        groups[(*owner, "", "")].append(record)
        for tag_key in tag_keys:
            if tag_key in record.tags:
                groups[(*owner, tag_key, counted(tag_key, record.tags[tag_key]))].append(record)
    return [(RollupKey(*key), Sums.of(group)) for key, group in sorted(groups.items())]
