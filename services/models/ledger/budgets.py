"""Budgets as the ledger knows them: what limits have spent, for a store that has lost count or is new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.models.ledger.ledger import Ledger
from services.models.ledger.records import hash_end_user
from services.models.ledger.spending import Scope, Spending
from services.models.limits.spent_source import SpentQuery

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LedgerSpentSource:
    """The `SpentSource` of limits. Calls of this process count up to now, those of others up to a second ago."""

    def __init__(self, ledger: Ledger) -> None:
        self._spending = Spending(ledger)

    async def spent(self, query: SpentQuery) -> int:
        """The units that were spent in a window by calls that have ended. Raises PlatformErrors."""
        rule = query.rule
        member = hash_end_user(query.member) if rule.scope_kind == "end_user" else query.member
        since = EPOCH + timedelta(microseconds=query.span.start) if query.span.start else None
        spent = await self._spending.up_to_now(Scope(rule.scope_kind, member, query.project, rule.model_glob), since)
        match rule.resource:
            case "tokens":
                return spent.tokens
            case "nano_usd":
                return spent.cost_nano_usd
        return spent.calls
