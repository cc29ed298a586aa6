"""What a call used and whether it is charged as usual, as both of OpenAI's dialects tell it."""

from __future__ import annotations

from typing import Any

from proto import models_pb2
from services.models.providers.answer import Answer
from services.models.providers.json_text import count_of, object_of

TIERS_AT_OTHER_RATES = frozenset({"flex", "scale", "priority", "fast", "ultrafast"})
"""Of `service_tier`, which tells how a request was served (https://developers.openai.com/api/docs/pricing)."""


def read_usage(answer: Answer, usage: Any, read: str, written: str) -> None:
    """Takes the counts, if there are any, of tokens that are called `<read>_tokens` and `<written>_tokens`.

    The first include cached and the second reasoning tokens here already.
    """
    if not isinstance(usage, dict):
        return
    prompt, completion = count_of(usage.get(f"{read}_tokens")), count_of(usage.get(f"{written}_tokens"))
    if prompt is None and completion is None:
        return
    of_prompt = object_of(usage.get(f"{read}_tokens_details"))
    of_completion = object_of(usage.get(f"{written}_tokens_details"))
    answer.usage = models_pb2.TokenUsage(
        prompt_tokens=prompt or 0,
        completion_tokens=completion or 0,
        total_tokens=(prompt or 0) + (completion or 0),
        cached_prompt_tokens=count_of(of_prompt.get("cached_tokens")),
        cache_write_tokens=count_of(of_prompt.get("cache_write_tokens")),
        reasoning_tokens=count_of(of_completion.get("reasoning_tokens")),
    )


def read_rates(answer: Answer, service_tier: Any) -> None:
    """Marks an answer that was served at other rates than those of a model's price."""
    if isinstance(service_tier, str) and service_tier in TIERS_AT_OTHER_RATES:
        answer.at_standard_rates = False
