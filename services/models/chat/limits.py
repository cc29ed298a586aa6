"""The limits of a chat: asked before its first attempt, and settled by its account at its end."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from typing import TypeAlias

from proto import models_pb2
from proto.identity_pb2 import LimitRule
from services.models.chat.account import Account
from services.models.limits.budget_alerts import BudgetAlerts
from services.models.limits.charges import Estimate
from services.models.limits.decisions import LIMITS_TRAILER, Decision, Standing
from services.models.limits.estimate import WORST_ANSWER_TOKENS, Estimator
from services.models.limits.fitting import FittingCall, FittingCalls
from services.models.limits.limiter import Admission, Limiter
from services.models.limits.metrics import FITTING_CALLS, LimitMeter
from services.models.limits.rules import RATE_WINDOWS, Facts, Resource, Rule
from services.models.providers.base import Conversation, Target
from services.models.providers.usage import Counts
from services.shared.call import Call
from services.shared.errors import InvalidRequest, PreconditionFailed
from services.shared.identity import MAX_KNOWN, Identity

MAX_FITTING = 4096
"""Kinds of calls whose limits are remembered."""

NOTHING = Estimate(0, 0)
"""The estimate where no limit asks for one."""


class CallerLimits:
    """The limits of one caller: the same object as long as neither changes."""

    __slots__ = ("by_end_user", "key_id", "project_id", "rules", "team_id", "user_id")

    def __init__(self, identity: Identity, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self.team_id = identity.team_id
        self.project_id = identity.project_id
        self.key_id = identity.key_id
        self.user_id = identity.user_id
        self.by_end_user = any(rule.scope_kind == "end_user" for rule in rules)
        """Whether some of them are of its end users."""

    def facts(self, end_user: str, model: str, provider: str, served: str) -> Facts:
        """The facts of a call."""
        names = (model, served, f"{provider}/{served}")
        return Facts(self.team_id, self.project_id, self.key_id, self.user_id, end_user, names)


Asked: TypeAlias = tuple[CallerLimits, str, str, str, str]
"""The facts of a chat that its limits depend on: those of its caller, its end user where a limit is of such, and the
model as it was asked for, its provider and its name there."""


class ChatLimits:
    """Opens the limits of chats."""

    def __init__(self, limiter: Limiter, estimator: Estimator, meter: LimitMeter, alerts: BudgetAlerts) -> None:
        self.limiter = limiter
        self.estimator = estimator
        self.meter = meter
        self.alerts = alerts
        self._identified: dict[int, tuple[Identity, CallerLimits]] = {}
        """The limits of identities, with these, by their ids."""
        self._callers: dict[tuple[int, str, str, str, str], CallerLimits] = {}
        self._fitting: dict[Asked, FittingCalls] = {}

    def open(self, call: Call) -> LimitedChat:
        """The limits of a chat, which is not admitted yet."""
        return LimitedChat(self, call)

    async def standings(self, identity: Identity) -> Sequence[Standing]:
        """The limits of a caller as its next chat finds them; none where one of them cannot be kept here."""
        try:
            rules = self.of(identity).rules
        except PreconditionFailed:
            return []
        facts = Facts(identity.team_id, identity.project_id, identity.key_id, identity.user_id)
        return await self.limiter.reader.read(facts, rules)

    def of(self, identity: Identity) -> CallerLimits:
        """The limits of an identity, which are remembered for its next call. Raises as `read_rules` does."""
        known = self._identified.get(id(identity))
        # As long as an identity is kept here, no other one has its id.
        if known is None:
            if len(self._identified) >= MAX_KNOWN:
                self._identified.clear()
            known = self._identified[id(identity)] = identity, self._caller(identity)
        return known[1]

    def _caller(self, identity: Identity) -> CallerLimits:
        """The limits of a caller, which has a new identity every few seconds."""
        rules = read_rules(identity.limits)
        # As long as the rules are kept here, no others have their id.
        key = (id(rules), identity.team_id, identity.project_id, identity.key_id, identity.user_id)
        caller = self._callers.get(key)
        if caller is None:
            if len(self._callers) >= MAX_KNOWN:
                self._callers.clear()
            caller = self._callers[key] = CallerLimits(identity, rules)
        return caller

    def fitting_calls(self, asked: Asked) -> FittingCalls | None:
        """The limits of calls that ask for the same, if they may fit them. Raises as `Limiter.fitting_calls` does."""
        return self._fitting.get(asked) or self.renew_fitting_calls(asked)

    def renew_fitting_calls(self, asked: Asked) -> FittingCalls | None:
        """The same, found anew."""
        caller, *names = asked
        calls = self.limiter.fitting_calls(caller.facts(*names), caller.rules)
        if calls:
            if len(self._fitting) >= MAX_FITTING:
                self._fitting.clear()
            self._fitting[asked] = calls
        return calls


class LimitedChat:
    """The limits of one chat. Without a rule for its caller nothing is estimated, and no store is asked."""

    __slots__ = (
        "_admission",
        "_admissions",
        "_admitted",
        "_admitted_model",
        "_admitted_target",
        "_began",
        "_call",
        "_counted",
        "_limits",
        "_settled_usages",
        "_told",
    )

    def __init__(self, limits: ChatLimits, call: Call) -> None:
        self._limits = limits
        self._call = call
        self._admission: Admission | FittingCall | None = None
        self._admitted: Asked | None = None
        """The facts with which it is admitted."""
        self._admitted_model = ""
        self._admitted_target: Target | None = None
        """The target that it was admitted with first, whose attempt asks once more."""
        self._admissions = 0
        self._counted: frozenset[str] = frozenset()
        """The limits on requests that have counted the chat."""
        self._told: dict[Resource, str] = {}
        """The tightest limits that its caller is told of."""
        self._settled_usages = 0
        """The attempts whose usage is settled already."""
        self._began = 0.0

    async def admit(self, conversation: Conversation, model: str, target: Target, account: Account) -> None:
        """Admits the chat with a model, unless it is admitted with that one. Raises as `Limiter.admit` does.

        For another model, a fallback, the reservation moves: the one before is settled by what its attempts have used,
        and the limits of the new model are asked for what that one will probably use. A chat is one request, so limits
        on requests that have counted it are not asked again.
        """
        if target is self._admitted_target and model == self._admitted_model:
            return
        identity = self._call.identity
        if identity is None or not identity.limits:
            return
        limits = self._limits
        caller = limits.of(identity)
        end_user = conversation.request.end_user_id if caller.by_end_user else ""
        asked = (caller, end_user, model, target.provider, target.registered_model or target.model)
        if asked == self._admitted:
            return
        if self._admission:
            await self._settle_attempts(account)
        self._began = time.perf_counter()
        calls = None if self._counted else limits.fitting_calls(asked)
        estimate = NOTHING
        if calls is None or calls.needs_estimate:
            estimate = limits.estimator.estimate(conversation, target, caller.project_id)
        fitting = calls.take(estimate) if calls else None
        if calls and fitting:
            self._admission = fitting
            self._tell(fitting.told)
            FITTING_CALLS.note((limits.meter, calls, time.perf_counter() - self._began))
        else:
            await self._ask(asked, estimate)
            if calls and not calls.are_current:
                limits.renew_fitting_calls(asked)
        self._admitted, self._admitted_model, self._admitted_target = asked, model, target

    async def _ask(self, asked: Asked, estimate: Estimate) -> None:
        """Admits the chat by a decision of the limiter."""
        caller, *names = asked
        rules = _rules_without(caller.rules, self._counted) if self._counted else caller.rules
        self._admissions += 1
        # A store settles each id once.
        call_id = self._call.call_id if self._admissions == 1 else f"{self._call.call_id}/{self._admissions}"
        facts = caller.facts(*names)
        self._admission = await self._limits.limiter.admit(facts, rules, estimate, call_id, self._note)

    async def _settle_attempts(self, account: Account) -> None:
        """Settles the reservation of a model that has not answered."""
        assert self._admission
        self._counted |= self._admission.request_limits
        self._admitted = self._admitted_target = None
        await self.settle(account, account.usages)
        self._settled_usages = account.usages

    async def settle(self, account: Account, sent: int) -> None:
        """Settles the chat by its account; `sent` attempts have begun. Only the first call counts."""
        admission, self._admission = self._admission, None
        if admission is None:
            return
        tokens, nano_usd = self._used(account) if sent else (0, 0)
        if isinstance(admission, FittingCall):
            admission.settle(tokens, nano_usd)
        else:
            await admission.settle(tokens, nano_usd)

    def _used(self, account: Account) -> tuple[int, int | None]:
        """The tokens and the cost of the attempts that are not settled yet."""
        counts = account.counts_after(self._settled_usages)
        return counts.prompt + counts.completion, counts.nano_usd

    def probable_usage(self, conversation: Conversation, target: Target) -> models_pb2.TokenUsage:
        """The usage that is estimated for a chat, without its cost; also where it has no limits."""
        return self._limits.estimator.usage(conversation, target, self._call.project_id)

    def note_answer(self, counts: Counts, target: Target) -> None:
        """Records the length of a whole answer, for the estimates of others."""
        if self._admission:
            tokens = counts.completion
            if target.untrusted:
                tokens = min(tokens, WORST_ANSWER_TOKENS)
            self._limits.estimator.lengths.add(self._call.project_id, target.model, tokens)

    def _tell(self, told: dict[Resource, str]) -> None:
        # Of a limit that is not asked again, what it has said holds.
        self._told |= told
        self._call.trailers = ((LIMITS_TRAILER, ", ".join(self._told.values())),) if self._told else ()

    def _note(self, decision: Decision) -> None:
        call = self._call
        assert call.identity
        self._tell(decision.told())
        self._limits.meter.note(decision, time.perf_counter() - self._began, call.identity)
        if decision.over and (warnings := decision.warnings):
            call.log_fields["over_limits"] = [standing.rule.id for standing in warnings]
        if decision.has_crossed:
            self._limits.alerts.tell(decision.crossings)


def read_rules(limits: Sequence[LimitRule]) -> tuple[Rule, ...]:
    """The rules of an identity, for equal limits the same object. Raises PreconditionFailed LIMIT_INVALID for one that
    cannot be kept here."""
    return _rules(tuple(limit.SerializeToString(deterministic=True) for limit in limits))


# The same object for the same rules, by which the limiter knows them again.
@functools.lru_cache(maxsize=4096)
def _rules_without(rules: tuple[Rule, ...], left_out: frozenset[str]) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules if rule.id not in left_out)


@functools.lru_cache(maxsize=4096)
def _rules(limits: tuple[bytes, ...]) -> tuple[Rule, ...]:
    return tuple(_rule(LimitRule.FromString(data)) for data in limits)


def _rule(limit: LimitRule) -> Rule:
    try:
        return Rule(
            limit.id,
            limit.scope_kind,  # type: ignore[arg-type]
            limit.scope_id,
            limit.resource,  # type: ignore[arg-type]
            limit.window,  # type: ignore[arg-type]
            limit.amount,
            limit.model_glob or "*",
            limit.burst if limit.burst and limit.window in RATE_WINDOWS else None,
            tuple(limit.soft_percents),
            "warn" if limit.action == "warn" else "refuse",
        )
    except InvalidRequest as error:
        raise PreconditionFailed(
            f"the limit {limit.id} cannot be kept: {error.message}; the operator must change it",
            reason="LIMIT_INVALID",
            metadata={"limit_id": limit.id},
        ) from None
