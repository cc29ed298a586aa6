"""The source of what has been spent already, from which the store loads budgets that it does not have."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from services.models.limits.charges import Charge
from services.models.limits.rules import Rule
from services.models.limits.windows import Span


class SpentQuery(NamedTuple):
    """The question for the units that a rule's window has spent: tokens, requests or nano-USD, as the rule's resource
    is."""

    rule: Rule
    member: str
    """The member of the rule's scope: a team, project, key, user or end user; "" for all calls."""
    project: str
    """The project in which an end user is known by its id; "" for other scopes."""
    span: Span

    @classmethod
    def of(cls, charge: Charge, project: str) -> SpentQuery:
        is_of_end_user = charge.rule.scope_kind == "end_user"
        return cls(charge.rule, charge.member, project if is_of_end_user else "", charge.span)


class SpentSource(Protocol):
    """The ledger, as limits need it."""

    async def spent(self, query: SpentQuery) -> int:
        """The units that were spent in a window by calls that have ended. Raises PlatformErrors."""


class NothingSpent:
    """The source of a platform that records nothing."""

    async def spent(self, query: SpentQuery) -> int:
        return 0
