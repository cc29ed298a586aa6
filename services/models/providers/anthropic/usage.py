"""Usage of a call and its rates, as Messages writes it.

https://platform.claude.com/docs/en/api/messages: the input does not include the tokens that the cache gave and took. A
stream sends cumulative usage several times, so the counts are not added up; the first count of the output is a guess.
"""

from __future__ import annotations

from typing import Any

from services.models.providers.answers.answer import Answer
from services.models.providers.answers.dropped_members import warn_of_iterations
from services.models.providers.answers.openai_usage import read_usage as read_usage_of_openai
from services.shared.json_text import count_of, object_of

OTHER_RATES = {"service_tier": ("priority", "batch"), "speed": ("fast",), "inference_geo": ("us",)}
"""Values of usage for a call at other rates (https://platform.claude.com/docs/en/about-claude/pricing)."""


def read_usage(answer: Answer, usage: Any) -> None:
    """Reads the counts in an object, if there are any."""
    if not isinstance(usage, dict):
        return
    if any(usage.get(name) in words for name, words in OTHER_RATES.items()):
        answer.at_standard_rates = False
    if "prompt_tokens" in usage and "input_tokens" not in usage:
        # A server that writes Anthropic's dialect with OpenAI's usage.
        read_usage_of_openai(answer, usage)
        return
    warn_of_iterations(answer, usage)
    _take(answer, usage)
    answer.usage, answer.counts_agree = answer.counts.settle(cache_is_beside=True)


def _take(answer: Answer, usage: dict[str, Any]) -> None:
    counts = answer.counts
    creation = object_of(usage.get("cache_creation"))
    by_lifetime = sum(count_of(tokens) or 0 for tokens in creation.values())
    counts.take("cached", usage.get("cache_read_input_tokens"))
    counts.take("written", usage.get("cache_creation_input_tokens"), by_lifetime if "cache_creation" in usage else None)
    counts.take("written_for_long", creation.get("ephemeral_1h_input_tokens"))
    counts.take("reasoning", object_of(usage.get("output_tokens_details")).get("thinking_tokens"))
    cache, before = counts["cached"] + counts["written"], (counts["prompt"], counts["completion"])
    read = usage.get("input_tokens")
    if not (cache and counts["prompt"] and read == counts["prompt"] + cache):
        # Otherwise it is the earlier count with that of the cache added.
        counts.take("prompt", read)
    counts.take("completion", usage.get("output_tokens"))
    counts.take_total(usage.get("total_tokens"), of=before)
