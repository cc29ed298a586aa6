"""ReasoningConfig → `thinking` and `output_config.effort`.

Older models think with a budget of tokens, newer ones choose the length themselves, by an effort; each form is
translated into the other for models that have only the other. Sources:
https://platform.claude.com/docs/en/build-with-claude/thinking, /effort and /extended-thinking.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from proto import models_pb2
from services.models.providers.facts import ModelFacts, ReasoningFacts
from services.models.providers.notices import changed, dropped
from services.models.providers.requests.efforts import BUDGETS
from services.models.providers.requests.parameters import NEUTRAL
from services.models.providers.requests.translation import Translation

MIN_BUDGET = 1024
ROOM_FOR_AN_ANSWER = 4096
"""Tokens beside the budget, when the request does not say how long the answer may be."""
MIN_TOP_P = 0.95
"""The lowest that goes with thinking."""


class Reasoning(NamedTuple):
    """The members of the body about thinking; those that are None are not sent."""

    thinking: dict[str, Any] | None = None
    effort: str | None = None
    max_tokens: int | None = None
    """The length of the whole answer, if the budget needs more than the default."""
    changes: tuple[models_pb2.Notice, ...] = ()
    """Notices that are added only if the thinking is sent."""


class Length(NamedTuple):
    """Limits of the answer's length, thoughts included."""

    asked: int | None
    default: int | None
    limit: int | None
    """The model's own limit; None if it is unknown."""


def choose_reasoning(facts: ModelFacts, length: Length, translation: Translation) -> Reasoning:
    """The members for the request's reasoning; a changed effort has a notice. Refuses an effort that is unknown to
    every model."""
    wanted = translation.request.reasoning
    if facts.can_reason is False:
        if wanted.effort not in ("", "none") or wanted.HasField("budget_tokens") or wanted.include_text:
            translation.warn_dropped("reasoning", f"{translation.target.model} does not reason; it was not sent")
        return Reasoning()
    return _Choice(facts.reasoning, length, translation).choose()


def pass_reasoning(translation: Translation) -> Reasoning:
    """The members for the request's reasoning, unchanged: the provider decides whether it accepts them."""
    wanted = translation.request.reasoning
    if wanted.effort == "none":
        if wanted.HasField("budget_tokens"):
            translation.notices.append(_dropped_beside_none())
        return Reasoning({"type": "disabled"})
    if wanted.HasField("budget_tokens"):
        thinking: dict[str, Any] = {"type": "enabled", "budget_tokens": wanted.budget_tokens}
    elif wanted.effort or wanted.HasField("include_text"):
        thinking = {"type": "adaptive"}
    else:
        return Reasoning()
    return Reasoning(_with_display(thinking, wanted), wanted.effort or None)


def fit_sampling(parameters: dict[str, Any], translation: Translation) -> None:
    """Removes parameters that exclude thinking, unless their value is the neutral one."""
    for name in ("temperature", "top_k", "top_p"):
        value = parameters.get(name)
        if value is None or value == NEUTRAL.get(name) or (name == "top_p" and value >= MIN_TOP_P):
            continue
        del parameters[name]
        problem = f"{translation.target.model} does not take this {name} while it thinks; it was not sent"
        translation.warn_dropped(f"config.{name}", problem)


def without_thinking(reasoning: Reasoning, why: str, translation: Translation) -> Reasoning:
    """The reasoning without thinking, for a request that excludes thinking; the effort stays."""
    if reasoning.effort is None:
        translation.warn_dropped("reasoning", f"{why}; it was not sent")
    else:
        translation.warn_changed("reasoning", f"{why}; only the effort was sent")
    return Reasoning(effort=reasoning.effort)


class _Choice:
    def __init__(self, facts: ReasoningFacts | None, length: Length, translation: Translation) -> None:
        self._wanted = translation.request.reasoning
        self._model = translation.target.model
        self._length = length
        self._translation = translation
        self._efforts = tuple(word for word in facts.efforts if word != "none") if facts else ()
        self._may_stop = facts is None or not facts.efforts or "none" in facts.efforts
        self._on_by_default = facts is not None and facts.on_by_default
        # Unknown facts count as supported; the provider decides.
        self._takes_budget = facts is None or facts.takes_budget
        self._adaptive = facts is None or facts.adaptive

    def choose(self) -> Reasoning:
        wanted = self._wanted
        if wanted.effort == "none":
            return self._none()
        if wanted.HasField("budget_tokens"):
            return self._budget() if self._takes_budget else self._effort_for_budget()
        if wanted.effort:
            return self._effort()
        return self._display_alone()

    def _none(self) -> Reasoning:
        if self._wanted.HasField("budget_tokens"):
            self._translation.notices.append(_dropped_beside_none())
        if self._may_stop or not self._on_by_default:
            return Reasoning({"type": "disabled"})
        weakest = self._efforts[0]
        self._translation.warn_changed("reasoning.effort", f"{self._model} always reasons; effort {weakest} was sent")
        return self._thinking({"type": "adaptive"} if self._adaptive else None, weakest)

    def _budget(self) -> Reasoning:
        wanted = self._wanted
        fitted = self._fit_budget(wanted.budget_tokens, "reasoning.budget_tokens")
        if not wanted.effort:
            return fitted
        if self._efforts or self._adaptive:
            return fitted._replace(effort=self._nearest_effort(wanted.effort))
        if fitted.thinking is None:
            return fitted
        notice = dropped("reasoning.effort", f"{self._model} takes a budget instead, which was sent")
        return fitted._replace(changes=(*fitted.changes, notice))

    def _effort_for_budget(self) -> Reasoning:
        field = "reasoning.budget_tokens"
        if self._wanted.effort:
            self._translation.warn_dropped(field, f"{self._model} takes an effort instead, which was sent")
            return self._effort()
        words = self._efforts or tuple(word for word in BUDGETS if word != "minimal")
        enough = (word for word in words if BUDGETS.get(word, 0) >= self._wanted.budget_tokens)
        effort = next(enough, words[-1])
        self._translation.warn_changed(field, f"{self._model} takes no budget; effort {effort} was sent")
        return self._thinking({"type": "adaptive"} if self._adaptive else None, effort)

    def _effort(self) -> Reasoning:
        word = self._wanted.effort
        if self._adaptive or not self._takes_budget:
            return self._thinking({"type": "adaptive"} if self._adaptive else None, self._nearest_effort(word))
        budget = BUDGETS.get(word)
        if budget is None:
            self._translation.refuse("reasoning.effort", f"must be one of none, {', '.join(BUDGETS)}")
            return Reasoning()
        if self._efforts:
            # The model uses the effort, too, but would not think at all without a budget.
            return self._fit_budget(budget, "reasoning.effort")._replace(effort=self._nearest_effort(word))
        fitted = self._fit_budget(budget, None)
        if fitted.thinking is None:
            return fitted
        sent = fitted.thinking["budget_tokens"]
        notice = changed("reasoning.effort", f"{self._model} takes a budget instead; {sent} tokens were sent")
        return fitted._replace(changes=(notice,))

    def _display_alone(self) -> Reasoning:
        wanted = self._wanted
        if self._on_by_default and self._adaptive and wanted.HasField("include_text"):
            return self._thinking({"type": "adaptive"}, None)
        if wanted.include_text:
            message = f"{self._model} reasons only when asked to; set an effort or a budget beside it"
            self._translation.warn_dropped("reasoning.include_text", message)
        return Reasoning()

    def _nearest_effort(self, word: str) -> str:
        """The word, or the next weaker one that the model takes."""
        efforts = self._efforts
        if not efforts or word in efforts:
            return word
        if word not in BUDGETS:
            self._translation.refuse("reasoning.effort", f"{self._model} takes {', '.join(efforts)}")
            return word
        weaker = [effort for effort in efforts if BUDGETS.get(effort, 0) <= BUDGETS[word]]
        nearest = weaker[-1] if weaker else efforts[0]
        self._translation.warn_changed("reasoning.effort", f"{self._model} does not take {word}; {nearest} was sent")
        return nearest

    def _fit_budget(self, budget: int, field: str | None) -> Reasoning:
        """A budget that the API accepts: at least 1024 tokens, and below the limit of the whole answer.

        A change has a notice for `field`; None: the caller of this method adds one.
        """
        length, default, limit = self._length
        longest = limit if length is None else length
        if longest is not None and longest <= MIN_BUDGET:
            whose = f"the longest answer of {self._model}" if length is None else "config.max_tokens"
            message = f"{whose} leaves no room for {MIN_BUDGET} tokens of reasoning; no budget was sent"
            self._translation.warn_dropped("reasoning", message)
            return Reasoning()
        fitted = max(budget, MIN_BUDGET)
        if longest is not None and fitted >= longest:
            fitted = max(longest // 2, MIN_BUDGET)
            if length is None:
                fitted = max(longest - ROOM_FOR_AN_ANSWER, fitted)
        changes: tuple[models_pb2.Notice, ...] = ()
        if fitted != budget and field:
            message = f"a budget is at least {MIN_BUDGET} and below the length of the answer; {fitted} was sent"
            changes = (changed(field, message),)
        longer = None
        if length is None and default and fitted >= default:
            longer = fitted + ROOM_FOR_AN_ANSWER
            longer = longer if limit is None else min(longer, limit)
        thinking = _with_display({"type": "enabled", "budget_tokens": fitted}, self._wanted)
        return Reasoning(thinking, max_tokens=longer, changes=changes)

    def _thinking(self, thinking: dict[str, Any] | None, effort: str | None) -> Reasoning:
        return Reasoning(_with_display(thinking, self._wanted) if thinking else None, effort)


def _dropped_beside_none() -> models_pb2.Notice:
    return dropped("reasoning.budget_tokens", "effort none asks for no reasoning; the budget was not sent")


def _with_display(thinking: dict[str, Any], wanted: models_pb2.ReasoningConfig) -> dict[str, Any]:
    if wanted.HasField("include_text"):
        thinking["display"] = "summarized" if wanted.include_text else "omitted"
    return thinking
