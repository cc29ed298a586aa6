"""Metrics of limits: decisions and refusals as they happen, the store and budgets as they are at each scrape."""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from collections.abc import Iterator

from services.models.limits.decisions import Decision, Standing
from services.models.limits.fitting import FittingCalls, FittingCounter
from services.models.limits.limiter import Limiter
from services.models.limits.windows import MICROSECONDS
from services.shared import metric_names as names
from services.shared.call_metrics import team_labels
from services.shared.identity import Identity
from services.shared.metrics import Batch, Counters, Histograms, Readings, Values

MAX_BUDGETS = 1000
"""Budgets whose part that is spent is remembered: those that were charged last."""

REFUSALS = Counters(names.LIMIT_REFUSALS, "Calls that limits have refused.", ("team", "resource"))
DECISION = Histograms(
    names.LIMIT_DECISION,
    "Seconds that a decision takes, with the wait for the store.",
    ("store",),
    (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1),
)
STORE_DEGRADED = Readings(
    names.LIMIT_STORE_DEGRADED, "1 while this process decides alone, because the store is away, else 0.", ("store",)
)
SPENT_RATIO = Readings(
    names.BUDGET_SPENT_RATIO,
    "Part of a budget that is spent or reserved; of a rule for each member of a scope, of the one with the largest.",
    ("rule",),
)


class LimitMeter:
    """Measures the decisions of a process."""

    def __init__(self, store: str) -> None:
        self._seconds = DECISION.of((store,))
        self._budgets: OrderedDict[str, Standing | FittingCounter] = OrderedDict()
        self._remembered: FittingCalls | None = None
        """Those whose budgets were remembered last."""

    def note(self, decision: Decision, seconds: float, identity: Identity) -> None:
        """Records a decision about a call of a caller."""
        self._seconds.observe(seconds)
        if decision.over and (refused_by := decision.refused_by):
            team, _ = team_labels(identity.team_id, identity.project_id)
            REFUSALS.add((team, refused_by.rule.resource))
        if decision.is_degraded:
            return
        self._remembered = None
        for standing in decision.budgets():
            self._remember(standing)

    def count_fitting(self, calls: FittingCalls, seconds: float) -> None:
        """Counts a call that was admitted because it fits."""
        self._seconds.observe(seconds)
        if calls is not self._remembered:
            self._remembered = calls
            for budget in calls.budgets:
                self._remember(budget)

    def _remember(self, budget: Standing | FittingCounter) -> None:
        key = budget.charge.key
        self._budgets[key] = budget
        self._budgets.move_to_end(key)
        if len(self._budgets) > MAX_BUDGETS:
            self._budgets.popitem(last=False)

    def ratios(self) -> Iterator[tuple[Values, float]]:
        """The ratio of each rule whose window is not over."""
        largest: dict[str, float] = {}
        now = time.time() * MICROSECONDS
        for budget in list(self._budgets.values()):
            rule = budget.rule
            if budget.charge.span.end > now:
                ratio = budget.used / rule.amount if rule.amount else 1.0
                largest[rule.id] = max(ratio, largest.get(rule.id, 0.0))
        return (((rule,), ratio) for rule, ratio in largest.items())


FITTING_CALLS = Batch(LimitMeter.count_fitting)
"""Calls that were admitted because they fit: the meter, their limits, and the seconds that it took."""


@contextlib.contextmanager
def measuring_limits(limiter: Limiter, store: str) -> Iterator[LimitMeter]:
    """Measures a limiter for the length of a block."""
    meter = LimitMeter(store)

    def degraded() -> Iterator[tuple[Values, float]]:
        yield (store,), limiter.is_degraded

    sources = ((STORE_DEGRADED, degraded), (SPENT_RATIO, meter.ratios))
    for metric, read in sources:
        metric.follow(read)
    try:
        yield meter
    finally:
        for metric, read in sources:
            metric.forget(read)
