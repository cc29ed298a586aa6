"""The limits of a chat: asked before its first attempt, and settled by its account at its end."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence

from proto import models_pb2
from proto.identity_pb2 import LimitRule
from services.models.chat.account import Account
from services.models.limits.budget_alerts import BudgetAlerts
from services.models.limits.decisions import LIMITS_TRAILER, Decision, Standing
from services.models.limits.estimate import WORST_ANSWER_TOKENS, Estimator
from services.models.limits.fitting import FittingDecision
from services.models.limits.limiter import Admission, Limiter
from services.models.limits.metrics import LimitMeter
from services.models.limits.rules import RATE_WINDOWS, Facts, Resource, Rule
from services.models.providers.base import Conversation, Target
from services.shared.call import Call
from services.shared.errors import InvalidRequest, PreconditionFailed
from services.shared.identity import MAX_KNOWN, Identity


class ChatLimits:
    """Opens the limits of chats."""

    def __init__(self, limiter: Limiter, estimator: Estimator, meter: LimitMeter, alerts: BudgetAlerts) -> None:
        self.limiter = limiter
        self.estimator = estimator
        self.meter = meter
        self.alerts = alerts
        self._rules: dict[int, tuple[Identity, tuple[Rule, ...]]] = {}
        """The rules of identities, with these, by their ids."""

    def open(self, call: Call) -> LimitedChat:
        """The limits of a chat, which is not admitted yet."""
        return LimitedChat(self, call)

    async def standings(self, identity: Identity) -> Sequence[Standing]:
        """The limits of a caller as its next chat finds them; none where one of them cannot be kept here."""
        try:
            rules = self.rules_of(identity)
        except PreconditionFailed:
            return []
        facts = Facts(identity.team_id, identity.project_id, identity.key_id, identity.user_id)
        return await self.limiter.reader.read(facts, rules)

    def rules_of(self, identity: Identity) -> tuple[Rule, ...]:
        """The rules of an identity, which are remembered for its next call. Raises as `read_rules` does."""
        known = self._rules.get(id(identity))
        # As long as an identity is kept here, no other one has its id.
        if known is None:
            if len(self._rules) >= MAX_KNOWN:
                self._rules.clear()
            known = self._rules[id(identity)] = identity, read_rules(identity.limits)
        return known[1]


class LimitedChat:
    """The limits of one chat. Without a rule for its caller nothing is estimated, and no store is asked."""

    def __init__(self, limits: ChatLimits, call: Call) -> None:
        self._limits = limits
        self._call = call
        self._admission: Admission | None = None
        self._admitted: tuple[str, ...] | None = None
        """The model that is admitted: as it was asked for, its provider, and its name there."""
        self._admissions = 0
        self._counted: set[str] = set()
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
        identity = self._call.identity
        if identity is None or not identity.limits:
            return
        served = target.registered_model or target.model
        asked = (model, target.provider, served)
        if asked == self._admitted:
            return
        await self._settle_attempts(account)
        facts = Facts(
            identity.team_id,
            identity.project_id,
            identity.key_id,
            identity.user_id,
            conversation.request.end_user_id,
            (model, served, f"{target.provider}/{served}"),
        )
        estimate = self._limits.estimator.estimate(conversation, target, identity.project_id)
        rules = self._limits.rules_of(identity)
        if self._counted:
            rules = _rules_without(rules, frozenset(self._counted))
        self._began = time.perf_counter()
        self._admissions += 1
        # A store settles each id once.
        call_id = self._call.call_id if self._admissions == 1 else f"{self._call.call_id}/{self._admissions}"
        self._admission = await self._limits.limiter.admit(facts, rules, estimate, call_id, self._note)
        self._admitted = asked

    async def _settle_attempts(self, account: Account) -> None:
        """Settles the reservation of a model that has not answered."""
        admission, self._admission, self._admitted = self._admission, None, None
        if admission is None:
            return
        self._counted |= {charge.rule.id for charge in admission.charges if charge.rule.resource == "requests"}
        await self._settle_by(admission, account)
        self._settled_usages = account.usages

    async def settle(self, account: Account, sent: int) -> None:
        """Settles the chat by its account; `sent` attempts have begun. Only the first call counts."""
        admission, self._admission = self._admission, None
        if admission is None:
            return
        if sent:
            await self._settle_by(admission, account)
        else:
            await admission.cancel()

    async def _settle_by(self, admission: Admission, account: Account) -> None:
        usage = account.usage_after(self._settled_usages)
        cost = usage.cost_nano_usd if usage.HasField("cost_nano_usd") else None
        await admission.settle(usage.prompt_tokens + usage.completion_tokens, cost)

    def probable_usage(self, conversation: Conversation, target: Target) -> models_pb2.TokenUsage:
        """The usage that is estimated for a chat, without its cost; also where it has no limits."""
        return self._limits.estimator.usage(conversation, target, self._call.project_id)

    def note_answer(self, usage: models_pb2.TokenUsage, target: Target) -> None:
        """Records the length of a whole answer, for the estimates of others."""
        if self._admission:
            tokens = usage.completion_tokens
            if target.untrusted:
                tokens = min(tokens, WORST_ANSWER_TOKENS)
            self._limits.estimator.lengths.add(self._call.project_id, target.model, tokens)

    def _note(self, decision: Decision | FittingDecision) -> None:
        call = self._call
        assert call.identity
        # Of a limit that is not asked again, what it has said holds.
        self._told |= decision.told()
        call.trailers = ((LIMITS_TRAILER, ", ".join(self._told.values())),) if self._told else ()
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
