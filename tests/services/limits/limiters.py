"""Limiters to test, in front of a store of a real server."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator
from typing import Any
from zoneinfo import ZoneInfo

from services.models.limits.charges import Estimate
from services.models.limits.limiter import Admission, Limiter, LimiterSettings
from services.models.limits.rules import Facts, Rule
from services.models.limits.spent_source import NothingSpent, SpentQuery, SpentSource
from services.models.limits.store import LimitStore
from services.models.limits.windows import Calendar
from services.shared.errors import PlatformError, Unavailable
from services.shared.logs import LineWriter, Log
from tests.services.log_file import LogFile

CALLER = Facts(team="t", project="p", key="k", user="u", models=("gpt-4o", "openai/gpt-4o"))
SMALL = Estimate(100, 1000)


class Spent:
    """A ledger that says what was spent, and remembers what it was asked."""

    def __init__(self, units: int = 0) -> None:
        self.units = units
        self.asked: list[SpentQuery] = []
        self.is_away = False

    async def spent(self, query: SpentQuery) -> int:
        self.asked.append(query)
        if self.is_away:
            raise Unavailable("the ledger is away")
        return self.units


@contextlib.asynccontextmanager
async def limiter_on(
    store: LimitStore, spent: SpentSource | None = None, log: io.BytesIO | None = None, **settings: Any
) -> AsyncIterator[Limiter]:
    limits = LimiterSettings(Calendar(ZoneInfo("UTC")), **settings)
    writer = Log(LineWriter(log or LogFile()), "models", "info")
    limiter = Limiter(store, limits, spent or NothingSpent(), writer)
    limiter.start()
    try:
        yield limiter
    finally:
        await limiter.close()


async def admitted(limiter: Limiter, *rules: Rule, facts: Facts = CALLER, estimate: Estimate = SMALL) -> Admission:
    return await limiter.admit(facts, rules, estimate)


async def refused(limiter: Limiter, *rules: Rule, facts: Facts = CALLER, estimate: Estimate = SMALL) -> PlatformError:
    """The error by which a call is refused."""
    try:
        await limiter.admit(facts, rules, estimate)
    except PlatformError as error:
        return error
    raise AssertionError("it was admitted")
