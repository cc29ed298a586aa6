"""Efforts of reasoning, and the budgets of tokens that they stand for where a model takes only the other form.

The words are OpenAI's: https://developers.openai.com/api/docs/guides/reasoning. No provider names numbers for them.
"""

from __future__ import annotations

from collections.abc import Sequence

SCALE = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""OpenAI's words, the weakest first."""

BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 20_480, "max": 24_576}
"""The efforts but `none`, the weakest first, each with its budget. All leave a model that takes a budget room for an
answer."""


def nearest_effort(effort: str, taken: Sequence[str]) -> str | None:
    """The nearest of the efforts that a model takes, the weaker one of two; None if none is comparable.

    Requested reasoning is not turned off, unless the model takes only `none`.
    """
    if effort not in SCALE:
        return None
    known = [word for word in taken if word in SCALE]
    reasoning = [word for word in known if word != "none"]
    wanted = SCALE.index(effort)
    candidates = sorted(reasoning or known, key=SCALE.index)
    return min(candidates, key=lambda word: abs(SCALE.index(word) - wanted), default=None)


def effort_of_budget(tokens: int) -> str:
    """The effort nearest to a budget of `tokens`, one of those that every reasoning model takes."""
    return next((effort for effort in ("low", "medium") if tokens <= BUDGETS[effort]), "high")
