"""Rules of reasoning in both of OpenAI's dialects: whether it is asked for, how much, and the parameters that it
excludes."""

from __future__ import annotations

from typing import Any

from services.models.providers.openai.common.translation import OpenAITranslation
from services.models.providers.requests.efforts import effort_of_budget, nearest_effort
from services.models.providers.requests.parameters import NEUTRAL


def asks_about_reasoning(translation: OpenAITranslation) -> bool:
    """Whether members about reasoning are needed. A model that cannot reason needs none; notices say so."""
    if not translation.request.HasField("reasoning"):
        return False
    if translation.target.facts.can_reason is False and translation.adapts:
        _warn_of_no_reasoning(translation)
        return False
    return True


def _warn_of_no_reasoning(translation: OpenAITranslation) -> None:
    """Adds a notice for each reasoning field that has no effect; effort `none` and hidden text hold anyway."""
    for field, value in translation.request.reasoning.ListFields():
        if value not in ("none", False):
            problem = f"{translation.target.model} does not reason; {field.name} was not sent"
            translation.warn_dropped(f"reasoning.{field.name}", problem)


def wanted_effort(translation: OpenAITranslation) -> str | None:
    """The effort to send: the requested one, or one in place of a budget that the server has no field for."""
    wanted, title = translation.request.reasoning, translation.traits.title
    effort = _fit(wanted.effort, translation) if wanted.effort else None
    if not wanted.HasField("budget_tokens") or translation.traits.reasoning.budget:
        return effort
    path, problem = "reasoning.budget_tokens", f"{title} takes an effort, not a budget"
    if wanted.effort:
        translation.warn_dropped(path, f"{problem}; only the effort was sent")
        return effort
    effort = _effort_in_place_of(wanted.budget_tokens, translation)
    translation.warn_changed(path, f"{problem}; effort {effort} was sent in its place")
    return effort


def _fit(effort: str, translation: OpenAITranslation) -> str | None:
    known, model = translation.target.facts.reasoning, translation.target.model
    if not translation.adapts or known is None or not known.efforts or effort in known.efforts:
        return effort
    nearest, words = nearest_effort(effort, known.efforts), ", ".join(known.efforts)
    if nearest is None:
        translation.warn_dropped("reasoning.effort", f"{model} takes {words} as effort; it was not sent")
    else:
        translation.warn_changed("reasoning.effort", f"{model} takes {words} as effort; {nearest} was sent")
    return nearest


def _effort_in_place_of(budget_tokens: int, translation: OpenAITranslation) -> str:
    known, effort = translation.target.facts.reasoning, effort_of_budget(budget_tokens)
    return (nearest_effort(effort, known.efforts) if known else None) or effort


def drop_excluded(parameters: dict[str, Any], effort: str | None, translation: OpenAITranslation) -> None:
    """Removes from `parameters`, named as in ChatConfig, those that the model refuses while it reasons, by `effort` or
    by default."""
    known, model = translation.target.facts.reasoning, translation.target.model
    if known is None or not translation.adapts:
        return
    reasons = effort != "none" if effort else known.on_by_default
    if not reasons:
        return
    for name in [name for name in parameters if name in known.excludes]:
        if parameters.pop(name) != NEUTRAL.get(name):
            translation.warn_dropped(
                f"config.{name}", f"{model} does not take {name} while it reasons; it was not sent"
            )
