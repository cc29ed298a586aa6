"""Fitting calls: calls that fit all their limits in the memory of their process, which are admitted in one step.

They are admitted, told of their limits and settled as by a store and by `decide`, without the work that is for
refusals, warnings and windows that end. Every other call goes that way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from services.models.limits.charges import Charge, Matches
from services.models.limits.decisions import Crossing, Standing, counter_standing, item_of, rate_standing
from services.models.limits.rules import RATE_WINDOWS, Resource
from services.models.limits.store import FITS, Reading, Taken
from services.models.limits.windows import FOREVER, MICROSECONDS


class FittingDecision(msgspec.Struct, frozen=True, gc=False):
    """The decision about a call that fits all its limits."""

    matches: Matches
    units: Sequence[int]
    """The units of each charge."""
    taken: Taken

    @property
    def charges(self) -> Sequence[Charge]:
        """The charges that were made."""
        return self.matches.charges_of(self.units)

    @property
    def standings(self) -> Sequence[Standing]:
        """The standing of each limit."""
        now = self.taken.now
        return [
            rate_standing(charge, Reading(FITS, level - charge.cost), now, True)
            if charge.kind == "rate"
            else counter_standing(charge, Reading(FITS, level - charge.units), now, True)
            for charge, level in zip(self.charges, self.taken.levels, strict=True)
        ]

    @property
    def over(self) -> Sequence[Standing]:
        return ()

    @property
    def warnings(self) -> Sequence[Standing]:
        return ()

    @property
    def crossings(self) -> Sequence[Crossing]:
        return ()

    @property
    def refused_by(self) -> None:
        return None

    @property
    def has_crossed(self) -> Literal[False]:
        return False

    @property
    def is_degraded(self) -> Literal[False]:
        return False

    @property
    def is_unpriced(self) -> Literal[False]:
        return False

    def refusal(self) -> None:
        """None: it is not refused."""

    def budgets(self) -> Sequence[Standing]:
        """The standings of the budgets."""
        return [
            Standing(charge, False, level, charge.rule.amount - level, None, None)
            for charge, level in zip(self.matches.charges, self.taken.levels, strict=True)
            if charge.kind == "budget"
        ]

    def told(self) -> dict[Resource, str]:
        """As of any other decision."""
        now = self.taken.now
        least: dict[Resource, int] = {}
        told: dict[Resource, str] = {}
        for charge, level in zip(self.matches.charges, self.taken.levels, strict=True):
            if not charge.is_enforced or charge.kind == "slots":
                continue
            rule, reset = charge.rule, None
            if charge.kind == "rate":
                ahead = level - now
                left = charge.tolerance - ahead
                units = ((left + 1) * rule.amount - 1) // RATE_WINDOWS[rule.window] if left > 0 else 0
                remaining = units if units < charge.burst else charge.burst
                reset = ahead / MICROSECONDS
            else:
                remaining = rule.amount - level
                if charge.span.end != FOREVER:
                    reset = (charge.span.end - now) / MICROSECONDS
            resource = rule.resource
            if remaining < least.get(resource, math.inf):
                least[resource] = remaining
                told[resource] = item_of(resource, rule.amount, remaining, reset)
        return told
