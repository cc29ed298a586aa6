"""Words for how much a model reasons, and the tokens that they stand for.

https://developers.openai.com/api/docs/guides/reasoning
"""

from __future__ import annotations

from collections.abc import Sequence

SCALE = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""OpenAI's words, the weakest first."""

# A budget up to so many tokens is that effort. OpenAI names no numbers; these lie between the budgets that providers
# which do take one use for the same words.
BUDGETS = ((2_048, "low"), (8_192, "medium"))


def nearest_effort(effort: str, taken: Sequence[str]) -> str | None:
    """The effort nearest to `effort` among those that a model takes, the weaker of two; None if none is comparable.

    Reasoning that was asked for is not turned off, unless the model takes nothing else.
    """
    if effort not in SCALE:
        return None
    known = [word for word in taken if word in SCALE]
    reasoning = [word for word in known if word != "none"]
    wanted = SCALE.index(effort)
    candidates = sorted(reasoning or known, key=SCALE.index)
    return min(candidates, key=lambda word: abs(SCALE.index(word) - wanted), default=None)


def effort_of_budget(tokens: int) -> str:
    """The effort that a budget of so many tokens comes near to, one of those that every reasoning model takes."""
    return next((effort for limit, effort in BUDGETS if tokens <= limit), "high")
