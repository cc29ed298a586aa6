"""Decisions: the standing of each limit after a call was charged or refused, and what the caller is told of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from services.models.limits.charges import Charge
from services.models.limits.rules import RATE_WINDOWS, Resource, Rule
from services.models.limits.store import FITS, OVER, Outcome, Reading
from services.models.limits.windows import FOREVER, MICROSECONDS
from services.shared.errors import LimitExceeded, PlatformError, PreconditionFailed, QuotaViolation, Unavailable

SLOT_RETRY_SECONDS = 1.0
STORE_RETRY_SECONDS = 1.0

NANO = 10**9

LIMITS_TRAILER = "ratelimit"
"""The trailing metadata with the tightest limit of each resource, as the header of the same name in
draft-ietf-httpapi-ratelimit-headers has them."""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """A limit after a decision."""

    charge: Charge
    is_over: bool
    """Whether the charge did not fit."""
    used: int
    """The units that are spent and held, with those of this call if it was charged; of a rate the same in units."""
    remaining: int
    """The units that are left, 0 or more."""
    reset_seconds: float | None
    """Seconds until a rate is unused again or the window of a budget ends; None where neither is known."""
    retry_seconds: float | None
    """Seconds after which a refused call may fit; None where waiting does not help."""
    crossed: tuple[int, ...] = ()
    """The soft percents of a budget that this call has crossed, as the first one in the window."""

    @property
    def rule(self) -> Rule:
        return self.charge.rule

    @property
    def window_end(self) -> str:
        return self.charge.span.ends_text() if self.charge.kind == "budget" else ""


class Crossing(msgspec.Struct, frozen=True, gc=False):
    """A soft percent of a budget that was crossed for the first time in a window."""

    key: str
    """The counter of the budget in this window."""
    rule: Rule
    scope: str
    percent: int
    used: int
    window_end: str


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The decision about a call, with the standing of each limit that applies to it."""

    standings: Sequence[Standing] = ()
    is_degraded: bool = False
    """Whether the store was away, and this process has decided alone."""
    is_unpriced: bool = False
    """Whether a limit on money applies to a model without a known price."""
    store_refused: bool = False
    """Whether the allowance of this process for money is used up while the store is away."""

    over: Sequence[Standing] = ()
    """Those of the standings that the call is over."""
    has_crossed: bool = False
    """Whether the call has crossed a soft percent."""

    @property
    def refused_by(self) -> Standing | None:
        """The tightest limit that refuses the call: a budget, else the one with the longest wait."""
        if not self.over:
            return None
        refusing = self.refusing
        return max(refusing, key=_tightness) if refusing else None

    @property
    def refusing(self) -> Sequence[Standing]:
        """The limits that refuse the call."""
        return [standing for standing in self.over if standing.charge.is_enforced]

    @property
    def warnings(self) -> Sequence[Standing]:
        """The limits that only warn, and that the call is over."""
        return [standing for standing in self.over if not standing.charge.is_enforced]

    @property
    def crossings(self) -> Sequence[Crossing]:
        return [
            Crossing(
                standing.charge.key, standing.rule, standing.charge.scope, percent, standing.used, standing.window_end
            )
            for standing in self.standings
            for percent in standing.crossed
        ]

    def refusal(self) -> PlatformError | None:
        """The error of a refused call."""
        standing = self.refused_by
        if standing is None:
            return None
        if self.store_refused:
            return store_unavailable(standing)
        return refusal(standing, [other for other in self.refusing if other is not standing])

    def told(self) -> dict[Resource, str]:
        """The tightest limits, which a caller is told of on success and failure alike: an item of `LIMITS_TRAILER` for
        each resource."""
        tightest: dict[Resource, Standing] = {}
        for standing in self.standings:
            if standing.charge.is_told:
                resource = standing.rule.resource
                known = tightest.get(resource)
                if known is None or standing.remaining < known.remaining:
                    tightest[resource] = standing
        return {
            resource: item_of(resource, standing.rule.amount, standing.remaining, standing.reset_seconds)
            for resource, standing in tightest.items()
        }

    def budgets(self) -> Sequence[Standing]:
        """The standings of the budgets."""
        return [standing for standing in self.standings if standing.charge.kind == "budget"]


NO_DECISION = Decision()
"""The decision about a call to which no limit applies."""


def item_of(resource: Resource, amount: int, remaining: int, reset_seconds: float | None) -> str:
    """An item of `LIMITS_TRAILER`."""
    item = f'"{resource}";q={amount};r={remaining}'
    return item if reset_seconds is None else f"{item};t={math.ceil(reset_seconds)}"


def decide(charges: Sequence[Charge], outcome: Outcome) -> Decision:
    """Reads the decision of a store. No charge is cold or stale."""
    now, is_charged = outcome.now, outcome.is_admitted
    standings, has_crossed = [], False
    for charge, reading in zip(charges, outcome.readings, strict=True):
        if charge.kind == "rate":
            standing = rate_standing(charge, reading, now, is_charged)
        else:
            standing = counter_standing(charge, reading, now, is_charged)
            if standing.crossed:
                has_crossed = True
        standings.append(standing)
    over = () if outcome.worst is FITS else [standing for standing in standings if standing.is_over]
    return Decision(standings, over=over, has_crossed=has_crossed)


def counter_standing(charge: Charge, reading: Reading, now: int, is_charged: bool) -> Standing:
    """The standing of slots or of a budget, by their reading before the charge."""
    is_over = reading.state is OVER
    used = reading.used + reading.held
    if is_charged:
        used += charge.units
    remaining = charge.rule.amount - used
    if remaining < 0:
        remaining = 0
    if charge.kind == "slots":
        return Standing(charge, is_over, used, remaining, None, SLOT_RETRY_SECONDS)
    end = charge.span.end
    reset = None if end == FOREVER else max(0, end - now) / MICROSECONDS
    crossed = crossed_percents(charge, reading.peak, used) if is_charged and charge.rule.soft_percents else ()
    return Standing(charge, is_over, used, remaining, reset, None, crossed)


def rate_standing(charge: Charge, reading: Reading, now: int, is_charged: bool) -> Standing:
    """The standing of a rate, by its reading before the charge."""
    is_over, rule = reading.state is OVER, charge.rule
    ahead = reading.used - now
    if is_charged and not is_over:
        ahead += charge.cost
    left, remaining = charge.tolerance - ahead, 0
    if left > 0 and rule.amount:
        # As many units as cost no more than what is left, each rounded down as its charge is.
        remaining = min(charge.burst, ((left + 1) * rule.amount - 1) // RATE_WINDOWS[rule.window])
    wait = None
    # A call that is larger than the whole burst never fits.
    if is_over and rule.amount > 0 and charge.cost <= charge.tolerance:
        wait = (charge.cost - left) / MICROSECONDS
    used = charge.burst - remaining
    return Standing(charge, is_over, used if used > 0 else 0, remaining, ahead / MICROSECONDS, wait)


def crossed_percents(charge: Charge, before: int, now: int) -> tuple[int, ...]:
    """The soft percents of a budget that were not reached before, with the most of its units that ever counted, and are
    now."""
    amount = charge.rule.amount
    return tuple(
        percent for percent in sorted(charge.rule.soft_percents) if before * 100 < percent * amount <= now * 100
    )


def _tightness(standing: Standing) -> tuple[int, float]:
    if standing.charge.kind == "budget":
        return 2, standing.charge.span.end
    return (1, standing.retry_seconds or math.inf) if standing.charge.kind == "rate" else (0, 0)


WORDS: dict[Resource, str] = {
    "requests": "requests",
    "tokens": "tokens",
    "concurrent": "calls at once",
    "nano_usd": "USD",
}
EVERY = {"min": " a minute", "hour": " an hour", "day": " a day", "week": " a week", "month": " a month"}


def amount_text(rule: Rule, units: int | None = None) -> str:
    """Units of a limit for people, by default its amount: money in USD, whose billionths are counted."""
    number = rule.amount if units is None else units
    return f"{(Decimal(number) / NANO).normalize():f}" if rule.resource == "nano_usd" else str(number)


def limit_text(rule: Rule) -> str:
    """The amount of a limit with its unit and window, such as `50 USD a month`."""
    return f"{amount_text(rule)} {WORDS[rule.resource]}{EVERY.get(rule.window, '')}"


def refusal(standing: Standing, others: Sequence[Standing] = ()) -> LimitExceeded:
    """The error of a call that a limit refuses: RATE_LIMITED, CONCURRENCY_LIMITED or BUDGET_EXHAUSTED. `others` are
    limits that would have refused it too."""
    message = _message(standing)
    reason = {"slots": "CONCURRENCY_LIMITED", "budget": "BUDGET_EXHAUSTED", "rate": "RATE_LIMITED"}
    quotas = [_violation(standing, message), *(_violation(other, _message(other)) for other in others)]
    return LimitExceeded(
        message,
        reason=reason[standing.charge.kind],
        retry_after=standing.retry_seconds,
        metadata=_metadata(standing),
        quotas=quotas,
    )


def _message(standing: Standing) -> str:
    rule = standing.rule
    name = f"the limit {rule.id} of {standing.charge.scope}, {limit_text(rule)},"
    if standing.charge.kind == "slots":
        return f"{name} is reached; try again when a call has ended"
    if standing.charge.kind == "budget":
        until = f"; its window ends at {standing.window_end}" if standing.window_end else ""
        left, wanted = (amount_text(rule, units) for units in (standing.remaining, standing.charge.units))
        return f"{name} leaves {left}, and this call probably takes {wanted}{until}"
    if standing.retry_seconds is None:
        return f"{name} allows {standing.charge.burst} at once, and this call probably takes {standing.charge.units}"
    return f"{name} is reached; try again in {standing.retry_seconds:.1f} s"


def _violation(standing: Standing, message: str) -> QuotaViolation:
    rule = standing.rule
    return QuotaViolation(standing.charge.scope, message, rule.id, rule.resource, rule.window, rule.amount)


def store_unavailable(standing: Standing | None = None) -> Unavailable:
    """The error of a call with a budget that cannot be checked, or not beyond the allowance of this process."""
    return Unavailable(
        "the store of the limits cannot be reached, and without it no more of the budget may be spent; try again",
        reason="LIMIT_STORE_UNAVAILABLE",
        retry_after=STORE_RETRY_SECONDS,
        metadata=_metadata(standing) if standing else {},
    )


def price_unknown(rule: Rule) -> PreconditionFailed:
    """The error of a call to a model without a known price, to which a limit on money applies."""
    return PreconditionFailed(
        f"the limit {rule.id} is one of money, and the price of the model is not known; choose another model, or ask"
        " the operator to give it a price",
        reason="PRICE_UNKNOWN",
        metadata={"limit_id": rule.id, "resource": rule.resource},
    )


def too_large(rule: Rule, largest: int) -> PreconditionFailed:
    """The error of a limit with an amount that the store cannot keep exactly."""
    return PreconditionFailed(
        f"the limit {rule.id} has the amount {rule.amount}, and its store keeps at most {largest}; its operator must"
        " lower it, or choose another store",
        reason="LIMIT_TOO_LARGE",
        metadata={"limit_id": rule.id, "amount": str(rule.amount)},
    )


def _metadata(standing: Standing) -> dict[str, str]:
    rule = standing.rule
    metadata = {
        "limit_id": rule.id,
        "scope": standing.charge.scope,
        "resource": rule.resource,
        "amount": str(rule.amount),
        "remaining": str(standing.remaining),
        "window_end": standing.window_end,
    }
    if standing.charge.kind == "budget" and rule.resource == "nano_usd":
        metadata |= {"spent_nano_usd": str(standing.used), "amount_nano_usd": str(rule.amount)}
    return metadata
