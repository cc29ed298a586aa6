"""Charges: what the rules that match a call take of their limits, in the terms of a store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from services.models.limits.rules import EACH, RATE_WINDOWS, Facts, Rule
from services.models.limits.windows import TOTAL, Calendar, Span
from services.shared.globs import matches_glob

MAX_MEMBER_LENGTH = 128
"""Characters of a scope's member in a key; a longer one stands there as its hash."""

Kind: TypeAlias = Literal["rate", "slots", "budget"]


class Estimate(NamedTuple):
    """The probable usage of a call, which is reserved until its real one is known."""

    tokens: int
    nano_usd: int | None
    """None if the price is unknown."""


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge to one limit: a rate, slots of calls at once, or a budget.

    A rate is a time (GCRA): each unit moves it on, and it may be ahead of now by `tolerance`. Slots and budgets are
    counters: `spent` for good and `held` by calls that run.
    """

    key: str
    rule: Rule
    kind: Kind
    units: int
    """The units that are taken now: of slots 1, of the others by the estimate."""
    span: Span = TOTAL
    """The window of a budget."""
    member: str = ""
    """The member of the rule's scope that is charged."""

    @property
    def is_enforced(self) -> bool:
        return self.rule.action == "refuse"

    @property
    def cost(self) -> int:
        """The microseconds by which its units move a rate on."""
        return self.microseconds(self.units)

    @property
    def tolerance(self) -> int:
        """The microseconds that a rate may be ahead of now."""
        return self.burst * RATE_WINDOWS[self.rule.window] // self.rule.amount if self.rule.amount else 0

    @property
    def burst(self) -> int:
        return self.rule.amount if self.rule.burst is None else self.rule.burst

    def microseconds(self, units: int) -> int:
        """The microseconds by which these units move a rate on: at least one for each call, and none for nothing."""
        window = RATE_WINDOWS[self.rule.window]
        if not self.rule.amount:
            return window
        return max(units * window // self.rule.amount, min(units, 1))

    @property
    def is_settled(self) -> bool:
        """Whether the end of the call changes anything: a request that was made stays one."""
        return self.kind != "rate" or self.rule.resource != "requests"

    @property
    def scope(self) -> str:
        """The scope for people and programs, such as `project:search`."""
        kind = self.rule.scope_kind
        return kind if kind == "org" else f"{kind}:{self.member}"


def charges_of(
    rules: Iterable[Rule], facts: Facts, estimate: Estimate, calendar: Calendar, now: int
) -> Sequence[Charge]:
    """The charges of all rules that match a call, in the order in which stores lock them: rates first, then by key."""
    charges = {}
    for rule in rules:
        if matches(rule, facts):
            charge = _charge(rule, facts, estimate, calendar, now)
            charges[charge.key] = charge
    return sorted(charges.values(), key=lambda charge: (charge.kind != "rate", charge.key))


def matches(rule: Rule, facts: Facts) -> bool:
    """Whether a rule applies to a call."""
    member = facts.member(rule.scope_kind)
    if rule.scope_kind != "org" and (not member or rule.scope_id not in (EACH, member)):
        return False
    glob = rule.model_glob
    return glob in ("", EACH) or any(matches_glob(glob, name) for name in facts.models)


def _charge(rule: Rule, facts: Facts, estimate: Estimate, calendar: Calendar, now: int) -> Charge:
    member = facts.member(rule.scope_kind)
    # An application gives its end users their ids; those of another one are other people.
    place = f"{facts.project}/{member}" if rule.scope_kind == "end_user" else member
    units = _units(rule, estimate)
    if rule.is_rate:
        return Charge(_key(rule, place, rule.window), rule, "rate", units, member=member)
    if rule.is_budget:
        span = calendar.span(rule.window, now)
        return Charge(_key(rule, place, span.label), rule, "budget", units, span, member)
    return Charge(_key(rule, place, "slots"), rule, "slots", units, member=member)


def _units(rule: Rule, estimate: Estimate) -> int:
    match rule.resource:
        case "tokens":
            return estimate.tokens
        case "nano_usd":
            return estimate.nano_usd or 0
    return 1


def _key(rule: Rule, member: str, window: str) -> str:
    return f"{_plain(rule.id)}|{_plain(member)}|{window}"


def _plain(text: str) -> str:
    """The text as a part of a key."""
    if len(text) <= MAX_MEMBER_LENGTH and text.isascii() and text.isprintable() and "|" not in text:
        return text
    return f"#{hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"
