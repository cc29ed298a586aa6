"""Fitting calls: calls that fit all their limits in the memory of their process, which are admitted in one step.

What calls that are alike have in common is found once, down to the places where their limits are counted. A fitting
call is charged there, told of its limits and settled as by a store and by `decide`, without the work that is for
refusals, warnings and windows that end. Every other call goes that way.

It needs no lease: the memory that counts it ends with the process that runs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

from services.models.limits.charges import Charge, Estimate, Matches
from services.models.limits.decisions import crossed_percents
from services.models.limits.places import CounterPlace, Era, RatePlace
from services.models.limits.rules import RATE_WINDOWS, Resource, Rule
from services.models.limits.windows import FOREVER, MICROSECONDS

Units: TypeAlias = tuple[int, int, int, int]
"""The units that a call takes of its limits, or has really used: requests, tokens, nano-USD and slots."""

REQUESTS, TOKENS, MONEY, SLOTS = range(4)
"""The places of these."""

COUNTED: Mapping[Resource, int] = {
    "requests": REQUESTS,
    "tokens": TOKENS,
    "nano_usd": MONEY,
    "concurrent": SLOTS,
}


class _Limit:
    """A limit of fitting calls."""

    __slots__ = ("amount", "charge", "counted", "has_rival", "is_told", "resource", "text")

    def __init__(self, charge: Charge, rivals: Mapping[Resource, int]) -> None:
        self.charge = charge
        self.resource = charge.rule.resource
        self.counted = COUNTED[self.resource]
        self.amount = charge.rule.amount
        self.is_told = charge.is_told
        self.has_rival = rivals[self.resource] > 1
        """Whether another limit of the same resource may be the tighter one."""
        self.text = f'"{self.resource}";q={self.amount};r='
        """The beginning of its item in what callers are told."""

    @property
    def rule(self) -> Rule:
        return self.charge.rule


class FittingRate(_Limit):
    """A rate of fitting calls."""

    __slots__ = ("ahead", "burst", "place", "tolerance", "window")

    def __init__(self, charge: Charge, rivals: Mapping[Resource, int], place: RatePlace) -> None:
        super().__init__(charge, rivals)
        self.place = place
        self.window = RATE_WINDOWS[charge.rule.window]
        self.tolerance = charge.tolerance
        self.burst = charge.burst
        self.ahead = 0
        """The microseconds that it is ahead of now behind the call that is being admitted."""

    def correct(self, used: int, taken: int, now: int) -> None:
        """Counts the units that a call has really used in the place of those that it has taken."""
        window, amount, until = self.window, self.amount, self.place.used
        # As in `FittingCalls.take`.
        until = until if until > now else now
        until += (used * window // amount or min(used, 1)) - (taken * window // amount or min(taken, 1))
        self.place.used = until if until > now else now


class FittingCounter(_Limit):
    """Slots or a budget of fitting calls."""

    __slots__ = ("end", "level", "percents", "place")

    def __init__(self, charge: Charge, rivals: Mapping[Resource, int], place: CounterPlace) -> None:
        super().__init__(charge, rivals)
        self.place = place
        self.percents = charge.rule.soft_percents
        self.end = charge.span.end
        self.level = 0
        """The units that are spent and held behind the call that is being admitted."""

    @property
    def used(self) -> int:
        """The units that are spent and held now."""
        return self.place.spent + self.place.held


class FittingCalls:
    """The limits of calls that are alike, as long as they may fit them."""

    def __init__(
        self,
        matches: Matches,
        rates: Mapping[str, RatePlace],
        counters: Mapping[str, CounterPlace],
        era: Era,
        clock: Callable[[], int],
    ) -> None:
        """`rates` and `counters` have the places of all charges, by their keys, until the end of the era."""
        self._clock = clock
        self._era = era
        self._start = matches.start
        self._end = matches.end
        told = [charge.rule.resource for charge in matches.charges if charge.is_told]
        rivals = {resource: told.count(resource) for resource in COUNTED}
        charges = matches.charges
        self._rates = [FittingRate(each, rivals, rates[each.key]) for each in charges if each.kind == "rate"]
        self._counters = [FittingCounter(each, rivals, counters[each.key]) for each in charges if each.kind != "rate"]
        self._settled_rates = [rate for rate in self._rates if rate.charge.is_settled]
        self.budgets = [counter for counter in self._counters if counter.charge.kind == "budget"]
        self.request_limits = frozenset(each.rule.id for each in charges if each.rule.resource == "requests")
        """The ids of the limits on requests."""
        counted = {limit.counted for limit in (*self._rates, *self._counters)}
        self._needs_price = MONEY in counted
        self.needs_estimate = self._needs_price or TOKENS in counted

    @property
    def are_current(self) -> bool:
        """Whether the places and the windows are these."""
        return not self._era.is_over and self._start <= self._clock() < self._end

    def take(self, estimate: Estimate) -> FittingCall | None:
        """Charges a call with this estimate, if it fits; None, and nothing is changed, if the store must decide."""
        now, nano_usd = self._clock(), estimate.nano_usd
        if self._era.is_over or not self._start <= now < self._end or (nano_usd is None and self._needs_price):
            return None
        taken = (1, estimate.tokens, nano_usd or 0, 1)
        for rate in self._rates:
            used, count = rate.place.used, taken[rate.counted]
            # Each call moves a rate on by a microsecond at least, and nothing by none.
            ahead = (used - now if used > now else 0) + (count * rate.window // rate.amount or min(count, 1))
            if ahead > rate.tolerance:
                return None
            rate.ahead = ahead
        for counter in self._counters:
            place = counter.place
            level = place.spent + place.held + taken[counter.counted]
            if level > counter.amount or now >= place.first_expiry:
                return None
            if counter.percents and crossed_percents(counter.charge, place.peak, level):
                return None
            counter.level = level
        return FittingCall(self, taken, self._charge(taken, now))

    def _charge(self, taken: Units, now: int) -> dict[Resource, str]:
        """Charges a call that fits. Returns what it is told, as `Decision.told` does."""
        told: dict[Resource, str] = {}
        least: dict[Resource, int] = {}
        for rate in self._rates:
            ahead = rate.ahead
            rate.place.used = now + ahead
            if rate.is_told:
                left = rate.tolerance - ahead
                remaining = ((left + 1) * rate.amount - 1) // rate.window if left else 0
                if remaining > rate.burst:
                    remaining = rate.burst
                if not rate.has_rival or _is_least(least, rate.resource, remaining):
                    told[rate.resource] = f"{rate.text}{remaining};t={-(-ahead // MICROSECONDS)}"
        for counter in self._counters:
            place, level = counter.place, counter.level
            place.held += taken[counter.counted]
            if level > place.peak:
                place.peak = level
            if counter.is_told:
                remaining, end = counter.amount - level, counter.end
                if not counter.has_rival or _is_least(least, counter.resource, remaining):
                    text = f"{counter.text}{remaining}"
                    told[counter.resource] = text if end == FOREVER else f"{text};t={-((now - end) // MICROSECONDS)}"
        return told

    def settle(self, taken: Units, used: Units) -> None:
        """Settles a call: the units that it has taken, and those that it has really used."""
        for counter in self._counters:
            place, counted = counter.place, counter.counted
            place.held -= taken[counted]
            place.spent += used[counted]
        for rate in self._settled_rates:
            counted = rate.counted
            if used[counted] != taken[counted]:
                rate.correct(used[counted], taken[counted], self._clock())


class FittingCall:
    """A call that was admitted because it fits. Its end is settled once."""

    __slots__ = ("_calls", "_has_ended", "_taken", "told")

    def __init__(self, calls: FittingCalls, taken: Units, told: dict[Resource, str]) -> None:
        self.told = told
        """The tightest limit of each resource, as its caller is told."""
        self._calls = calls
        self._taken = taken
        self._has_ended = False

    @property
    def request_limits(self) -> frozenset[str]:
        """The ids of the limits on requests that have counted it."""
        return self._calls.request_limits

    def settle(self, tokens: int | None = None, nano_usd: int | None = None) -> None:
        """Ends the call, as `Admission.settle` does."""
        if self._has_ended:
            return
        self._has_ended = True
        taken = self._taken
        used_tokens = taken[TOKENS] if tokens is None else tokens
        used_money = taken[MONEY] if nano_usd is None else nano_usd
        self._calls.settle(taken, (1, used_tokens, used_money, 0))


def _is_least(least: dict[Resource, int], resource: Resource, remaining: int) -> bool:
    """Whether the limit is the tightest of its resource so far, which is remembered."""
    if remaining < least.get(resource, math.inf):
        least[resource] = remaining
        return True
    return False
