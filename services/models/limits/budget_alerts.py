"""The budget alerts: the operator is told of each soft percent of a budget once in a window, by log and webhook.

The store says which call is the first to reach a percent, and it says so once, to whichever replica has asked: with the
decision, in one step. PostgreSQL and Redis remember it over restarts. Memory does not, and neither does a store that
has come back empty: the first call after that tells again of what is crossed, under the same `id`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from services.models.limits.decisions import Crossing, limit_text
from services.models.limits.webhook import Webhook
from services.shared.logs import Log

KIND = "budget.soft_limit"


class BudgetAlerts:
    """Tells of crossed soft percents."""

    def __init__(self, log: Log, webhook: Webhook | None = None) -> None:
        self._log = log
        self._webhook = webhook

    def tell(self, crossings: Sequence[Crossing]) -> None:
        """Logs each crossing, and hands it to the webhook. Never waits."""
        for crossing in crossings:
            self._log.warning(
                "budget crossed a soft percent",
                limit=crossing.rule.id,
                scope=crossing.scope,
                percent=crossing.percent,
                used=crossing.used,
                amount=crossing.rule.amount,
                window_end=crossing.window_end,
            )
            if self._webhook:
                self._webhook.tell(crossing.rule.id, event_of(crossing, datetime.now(UTC)))


def event_of(crossing: Crossing, now: datetime) -> dict[str, Any]:
    """The event about a crossing. Its `id` is the same whenever the same percent of the same window is told."""
    rule = crossing.rule
    name = f"{crossing.key}|{crossing.percent}".encode()
    budget = limit_text(rule)
    return {
        "id": hashlib.blake2b(name, digest_size=16).hexdigest(),
        "kind": KIND,
        "at": now.isoformat(timespec="seconds"),
        "text": f"{crossing.percent} % of the limit {rule.id} of {crossing.scope}, {budget}, is used or reserved",
        "limit_id": rule.id,
        "scope": crossing.scope,
        "resource": rule.resource,
        "window": rule.window,
        "percent": crossing.percent,
        "used": crossing.used,
        "amount": rule.amount,
        "window_end": crossing.window_end,
    }
