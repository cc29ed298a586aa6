"""Settlements: the end of a call at its limits, from what it was charged and what it has really used."""

from __future__ import annotations

from collections.abc import Sequence

from services.models.limits.charges import Charge
from services.models.limits.store import CounterChange, RateChange, Settlement


def settlement_of(
    call_id: str, charges: Sequence[Charge], tokens: int | None, nano_usd: int | None, *, was_admitted: bool
) -> Settlement:
    """The settlement of a call by its usage; what is not known of that is as it was charged."""
    rates, counters = [], []
    for charge in charges:
        if not charge.is_settled:
            continue
        resource = charge.rule.resource
        if charge.kind == "slots":
            counters.append(CounterChange(charge.key, charge.units, 0))
            continue
        # Of a request that was made it is always one.
        real = tokens if resource == "tokens" else nano_usd if resource == "nano_usd" else None
        spent = charge.units if real is None else real
        if charge.kind == "rate":
            rates.append(RateChange(charge.key, charge.microseconds(spent) - charge.cost))
        else:
            counters.append(CounterChange(charge.key, charge.units, spent))
    return Settlement(call_id, rates, counters, was_admitted)
