"""Members of answers that have no field in the contract: a notice names each of them, so that none is lost silently.

They are those of openai 3.54 and anthropic 2.12, Perplexity's and xAI's sources
(https://docs.perplexity.ai/api-reference/chat-completions-post) and vLLM's about tokens (ChatCompletionResponse in
vllm/entrypoints/openai). Bookkeeping, such as dates, fingerprints and copies of the request, is no part of an answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from services.models.providers.answers.answer import Answer
from services.shared.json_text import count_of, items_of, object_of

OF_COMPLETIONS = (
    "moderation",
    "citations",
    "search_results",
    "related_questions",
    "images",
    "prompt_logprobs",
    "prompt_token_ids",
)
OF_CHOICES = ("token_ids",)
OF_RESPONSES = ("moderation", "prompt_cache_diagnostics")
OF_MESSAGES = ("diagnostics", "context_management")

COUNTS_OF_OPENAI = ("audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens")
AT_OTHER_RATES = frozenset({"audio_tokens"})
"""Counts of tokens that cost more than text."""


def warn_of_members(answer: Answer, holder: dict[str, Any], names: Iterable[str]) -> None:
    """Adds a notice for each of these members that has a value."""
    for name in names:
        if name in holder and _has_value(holder[name]):
            answer.warn("MEMBERS_DROPPED", f"the provider's answer has {name}, which is not passed on")


def warn_of_counts(answer: Answer, holder: dict[str, Any], names: Iterable[str]) -> None:
    """Adds a notice for each of these counts that is not zero."""
    for name in names:
        if count_of(holder.get(name)):
            answer.warn("COUNTS_DROPPED", f"the provider counted {name}, which usage does not show by themselves")
            if name in AT_OTHER_RATES:
                answer.at_standard_rates = False


def warn_of_detail_counts(answer: Answer, usage: dict[str, Any]) -> None:
    """Adds a notice for each count in the details of an OpenAI usage that is not zero."""
    for side in ("prompt", "completion", "input", "output"):
        details = usage.get(f"{side}_tokens_details")
        if isinstance(details, dict):
            warn_of_counts(answer, details, COUNTS_OF_OPENAI)


def warn_of_tool_usage(answer: Answer, response: dict[str, Any]) -> None:
    """Adds a notice for images that OpenAI made for a response."""
    used = object_of(object_of(response.get("tool_usage")).get("image_gen"))
    warn_of_counts(answer, used, ["total_tokens"])


def warn_of_iterations(answer: Answer, usage: dict[str, Any]) -> None:
    """Adds a notice if Anthropic counted more than the usage has, as for compactions and other models' answers."""
    kinds = [entry.get("type") for entry in items_of(usage.get("iterations")) if isinstance(entry, dict)]
    if any(kind != "message" for kind in kinds):
        answer.warn("COUNTS_DROPPED", "the provider counted iterations that usage does not show")
        answer.at_standard_rates = False


def warn_of_dropped_thinking(answer: Answer, holder: dict[str, Any]) -> None:
    """Adds a notice if Anthropic did not pass earlier reasoning on to the model."""
    changes = [change for change in items_of(holder.get("input_transformations")) if isinstance(change, dict)]
    if any(change.get("type") == "thinking_dropped" for change in changes):
        problem = "Anthropic kept earlier reasoning from the model: it was not made for it"
        answer.warn("REASONING_DROPPED", problem, field="messages")


def warn_of_audio(answer: Answer) -> None:
    answer.warn("AUDIO_DROPPED", "the answer came as audio, which is not passed on")


def warn_of_cut_logprobs(answer: Answer) -> None:
    problem = "the provider sent more log probabilities than are read at once; ask for fewer, or for a stream"
    answer.warn("LOGPROBS_DROPPED", problem, field="config.logprobs")


def warn_of_images(answer: Answer) -> None:
    """Adds a notice that the images are opaque state, and not parts of their own."""
    answer.warn("IMAGES_IN_STATE", "the answer has images; they are in provider_state of its parts, as they came")


def warn_of_previews(answer: Answer) -> None:
    answer.warn("PREVIEWS_DROPPED", "previews of an image are not passed on; the image itself is")


def warn_of_unknown_part(answer: Answer) -> None:
    answer.warn("PART_DROPPED", "the provider added something of an unknown kind; it was not passed on")


def _has_value(value: Any) -> bool:
    """Whether a member has a value: many providers write all members that they know, with empty values."""
    if isinstance(value, dict):
        return any(map(_has_value, value.values()))
    return value not in (None, "", [])
