"""Charges: what the rules that match a call take of their limits, in the terms of a store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

from services.models.limits.rules import EACH, RATE_WINDOWS, Facts, Rule
from services.models.limits.windows import FOREVER, TOTAL, Calendar, Span
from services.shared.globs import matches_glob

MAX_MEMBER_LENGTH = 128
"""Characters of a scope's member in a key; a longer one stands there as its hash."""

Kind: TypeAlias = Literal["rate", "slots", "budget"]


class Estimate(msgspec.Struct, frozen=True, gc=False):
    """The probable usage of a call, which is reserved until its real one is known."""

    tokens: int
    nano_usd: int | None
    """None if the price is unknown."""


class Charge(msgspec.Struct, frozen=True, gc=False):
    """A charge to one limit: a rate, slots of calls at once, or a budget.

    A rate is a time (GCRA): each unit moves it on, and it may be ahead of now by `tolerance`. Slots and budgets are
    counters: `spent` for good and `held` by calls that run.
    """

    key: str
    rule: Rule
    kind: Kind
    units: int
    """The units that are taken now: of slots 1, of the others by the estimate."""
    cost: int
    """The microseconds by which its units move a rate on."""
    tolerance: int
    """The microseconds that a rate may be ahead of now."""
    burst: int
    """The units that a rate allows at once."""
    is_enforced: bool
    is_settled: bool
    """Whether the end of the call changes anything: a request that was made stays one."""
    span: Span
    """The window of a budget."""
    member: str
    """The member of the rule's scope that is charged."""

    def microseconds(self, units: int) -> int:
        """The microseconds by which these units move a rate on: at least one for each call, and none for nothing."""
        return _microseconds(self.rule, units)

    def by(self, rule: Rule) -> Charge:
        """The same charge by another rule of its kind."""
        return _charge(self.key, rule, self.kind, self.units, self.span, self.member)

    @property
    def is_told(self) -> bool:
        """Whether callers are told of the limit."""
        return self.is_enforced and self.kind != "slots"

    @property
    def scope(self) -> str:
        """The scope for people and programs, such as `project:search`."""
        kind = self.rule.scope_kind
        return kind if kind == "org" else f"{kind}:{self.member}"


class Matches(msgspec.Struct, frozen=True, gc=False):
    """The rules that match a call, in the order in which stores lock them: rates first, then by key."""

    charges: Sequence[Charge]
    """The charges to them, for one unit each."""
    start: int
    end: int
    """The time in which they are these, until just before its end: then a window ends."""

    def charges_for(self, estimate: Estimate) -> Sequence[Charge]:
        """The charges for a call with an estimate."""
        units = {"tokens": estimate.tokens, "nano_usd": estimate.nano_usd or 0}
        return [_resize(charge, units.get(charge.rule.resource, 1)) for charge in self.charges]


def charges_of(
    rules: Iterable[Rule], facts: Facts, estimate: Estimate, calendar: Calendar, now: int
) -> Sequence[Charge]:
    """The charges of all rules that match a call."""
    return matches_of(rules, facts, calendar, now).charges_for(estimate)


def matches_of(rules: Iterable[Rule], facts: Facts, calendar: Calendar, now: int) -> Matches:
    """The rules that match a call at a time in microseconds since 1970."""
    charges: dict[str, Charge] = {}
    for rule in rules:
        if matches(rule, facts):
            charge = _unit_charge(rule, facts, calendar, now)
            charges[charge.key] = charge
    ordered = sorted(charges.values(), key=lambda charge: (charge.kind != "rate", charge.key))
    spans = [charge.span for charge in ordered]
    start, end = max((span.start for span in spans), default=0), min((span.end for span in spans), default=FOREVER)
    return Matches(ordered, start, end)


def matches(rule: Rule, facts: Facts) -> bool:
    """Whether a rule applies to a call."""
    member = facts.member(rule.scope_kind)
    if rule.scope_kind != "org" and (not member or rule.scope_id not in (EACH, member)):
        return False
    glob = rule.model_glob
    return glob in ("", EACH) or any(matches_glob(glob, name) for name in facts.models)


def _unit_charge(rule: Rule, facts: Facts, calendar: Calendar, now: int) -> Charge:
    member = facts.member(rule.scope_kind)
    # An application gives its end users their ids; those of another one are other people.
    place = f"{facts.project}/{member}" if rule.scope_kind == "end_user" else member
    if rule.is_rate:
        return _charge(_key(rule, place, rule.window), rule, "rate", 1, TOTAL, member)
    if rule.is_budget:
        span = calendar.span(rule.window, now)
        return _charge(_key(rule, place, span.label), rule, "budget", 1, span, member)
    return _charge(_key(rule, place, "slots"), rule, "slots", 1, TOTAL, member)


def _charge(key: str, rule: Rule, kind: Kind, units: int, span: Span, member: str) -> Charge:
    is_rate = kind == "rate"
    cost = _microseconds(rule, units) if is_rate else 0
    burst = rule.amount if rule.burst is None else rule.burst
    tolerance = burst * RATE_WINDOWS[rule.window] // rule.amount if is_rate and rule.amount else 0
    is_settled = not is_rate or rule.resource != "requests"
    return Charge(key, rule, kind, units, cost, tolerance, burst, rule.action == "refuse", is_settled, span, member)


def _resize(charge: Charge, units: int) -> Charge:
    """The charge with other units."""
    if units == charge.units:
        return charge
    rule, kind = charge.rule, charge.kind
    cost = _microseconds(rule, units) if kind == "rate" else 0
    # `replace` takes twice as long.
    return Charge(
        charge.key,
        rule,
        kind,
        units,
        cost,
        charge.tolerance,
        charge.burst,
        charge.is_enforced,
        charge.is_settled,
        charge.span,
        charge.member,
    )


def _microseconds(rule: Rule, units: int) -> int:
    window = RATE_WINDOWS[rule.window]
    if not rule.amount:
        return window
    return max(units * window // rule.amount, min(units, 1))


def _key(rule: Rule, member: str, window: str) -> str:
    return f"{_plain(rule.id)}|{_plain(member)}|{window}"


def _plain(text: str) -> str:
    """The text as a part of a key."""
    if len(text) <= MAX_MEMBER_LENGTH and text.isascii() and text.isprintable() and "|" not in text:
        return text
    return f"#{hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"
