"""The contract of a limit store: one decision over all charges of a call, in one step.

A store checks every charge, then writes all of them or none. Its time is its own, in microseconds since 1970, so that
the clocks of replicas do not matter. What a call holds has an expiry, which the process that runs the call renews; a
process that was killed renews nothing, and the next admission gives back what it held.

The limits of rates are times (GCRA), those of slots and budgets counters. A counter of a budget that the store does not
have is cold: it is loaded before anything is admitted. A counter of slots begins with none.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from services.models.limits.charges import Charge, Matches
from services.models.limits.windows import MICROSECONDS

if TYPE_CHECKING:
    # Knows the stores' decisions.
    from services.models.limits.fitting import FittingCalls

LEASE_SECONDS = 30
LEASE = LEASE_SECONDS * MICROSECONDS
"""Time after which the slots and reservations of a call are given back, unless they are renewed."""

KEPT_SECONDS = 24 * 3600
KEPT = KEPT_SECONDS * MICROSECONDS
"""Time within which a call can be settled, also when its reservation has expired, and after which a counter is deleted
whose window is over."""


class State(enum.IntEnum):
    """The state of a charge at its limit."""

    FITS = 0
    OVER = 1
    COLD = 2
    """A budget whose counter must be loaded first."""
    STALE = 3
    """A budget whose window is not that of the store's time."""


# To find a member in its class takes several times as long.
FITS, OVER, COLD, STALE = State


class Reading(msgspec.Struct, frozen=True, gc=False):
    """A limit before a charge to it."""

    state: State
    used: int
    """Of a counter the units that are spent; of a rate the time up to which it is used, not before now."""
    held: int = 0
    peak: int = 0
    """The most that was ever spent and held of a counter."""


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The decision of a store, with a reading for each charge in the order of the charges."""

    now: int
    readings: Sequence[Reading]
    worst: State
    """The state of the reading that is farthest from letting the call be admitted."""
    is_admitted: bool
    """Whether all that is enforced fits, and nothing is cold or stale."""


class CounterChange(msgspec.Struct, frozen=True, gc=False):
    """The end of a charge to a counter: the units that it has held, and those that it spends."""

    key: str
    held: int
    spent: int


class RateChange(msgspec.Struct, frozen=True, gc=False):
    """The end of a charge to a rate: the microseconds by which its real units differ from those that were taken."""

    key: str
    microseconds: int


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """The end of a call at its limits. However often it is sent, it counts once."""

    id: str
    rates: Sequence[RateChange]
    counters: Sequence[CounterChange]
    was_admitted: bool = True
    """False for a call that the store may not know: it was away when the call began, or is when it ends, and a crash
    may have lost the admission."""


class Holding(msgspec.Struct, frozen=True, gc=False):
    """A running call with the charges to renew: the keys of its counters, and the units that each holds."""

    id: str
    counters: Sequence[tuple[str, int]]


class StoreUnavailable(Exception):
    """The error of a store that cannot be reached, does not answer in time or refuses to work."""


class LimitStore(Protocol):
    """The state of all limits. Every method raises StoreUnavailable."""

    @property
    def largest_amount(self) -> int:
        """The largest amount of a counter that it keeps exactly."""

    @property
    def immediate(self) -> ImmediateStore | None:
        """The store itself if it never waits, so that no cancellation comes in between."""

    async def admit(self, call_id: str, charges: Sequence[Charge]) -> Outcome:
        """Charges a call, if every enforced charge fits, and none is cold or stale; else changes nothing.

        A charge to a rate that does not fit and is not enforced is left out, as if the call had been refused.
        """

    async def load(self, key: str, spent: int, end: int) -> None:
        """Creates the counter of a budget with what is spent in its window, unless there is one."""

    async def settle(self, settlement: Settlement) -> None:
        """Ends a call: gives back what it holds, and adds what it has spent."""

    async def renew(self, holdings: Sequence[Holding]) -> None:
        """Extends the lease of what has not expired yet."""

    async def ping(self) -> None:
        """Returns when the store works."""

    async def purge(self) -> None:
        """Deletes what no decision needs any more."""

    async def close(self) -> None:
        """Closes all connections."""


class ImmediateStore(Protocol):
    """A store that never waits."""

    def admit_now(self, call_id: str, charges: Sequence[Charge]) -> Outcome:
        """`admit`, at once."""

    def settle_now(self, settlement: Settlement) -> None:
        """`settle`, at once."""

    def fitting_calls(self, matches: Matches) -> FittingCalls | None:
        """The limits of calls with these matches, which many of them may fit; None where the first one cannot."""


def outcome_of(charges: Sequence[Charge], now: int, readings: Sequence[Reading]) -> Outcome:
    """The decision about charges by their readings."""
    worst, is_admitted = FITS, True
    for charge, reading in zip(charges, readings, strict=True):
        state = reading.state
        if state is FITS:
            continue
        if state is not OVER or charge.is_enforced:
            is_admitted = False
        if state > worst:
            worst = state
    return Outcome(now, readings, worst, is_admitted)
