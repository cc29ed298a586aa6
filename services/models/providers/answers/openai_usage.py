"""Usage of a call and its rates, as OpenAI's dialects and servers that imitate them write it.

OpenAI counts in `usage`, prompt and completion on Chat Completions, input and output on Responses, with details beside
them. Others use the names of the other dialect, or write details at the top: DeepSeek the hits and misses of its cache
(https://api-docs.deepseek.com/guides/kv_cache), Moonshot `cached_tokens`, proxies of Claude its own names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from services.models.providers.answers.answer import Answer
from services.models.providers.answers.dropped_members import warn_of_detail_counts
from services.models.providers.answers.usage_counts import CountedTokens
from services.shared.json_text import count_of, object_of

TIERS_AT_OTHER_RATES = frozenset({"flex", "scale", "priority", "fast", "ultrafast"})
"""Values of `service_tier`, the tier that served a request (https://developers.openai.com/api/docs/pricing), at other
rates."""

PROMPT = ("prompt_tokens", "input_tokens", "prompt_eval_count")
COMPLETION = ("completion_tokens", "output_tokens", "eval_count")
"""The names of the two counts; the last of each are Ollama's."""
ELSEWHERE = frozenset({*PROMPT, *COMPLETION, "x_groq", "timings"})
"""Members of a completion that are counts, or hold some."""


class _Terms(NamedTuple):
    """Names of OpenAI's counts in one of its dialects."""

    prompt: str
    completion: str

    of_prompt: str
    """The members with the parts of the prompt, and of the completion."""
    of_completion: str

    members: frozenset[str]


CHAT_TERMS, RESPONSES_TERMS = (
    _Terms(*names, frozenset({*names, "total_tokens"}))
    for names in (
        ("prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"),
        ("input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"),
    )
)


def read_usage(answer: Answer, usage: Any) -> None:
    """Reads the counts in an object, if there are any."""
    if not isinstance(usage, dict):
        return
    counts = answer.counts
    if settled := counts.settle_agreeing(_openai_counts(usage)):
        answer.usage, answer.counts_agree = settled
        warn_of_detail_counts(answer, usage)
        return
    cache_hit, cache_missed = usage.get("prompt_cache_hit_tokens"), usage.get("prompt_cache_miss_tokens")
    prompt = [usage.get(name) for name in PROMPT]
    if isinstance(cache_hit, int) and isinstance(cache_missed, int):
        prompt.append(cache_hit + cache_missed)
    before = counts["prompt"], counts["completion"]
    counts.take("prompt", *prompt)
    counts.take("completion", *(usage.get(name) for name in COMPLETION))
    counts.take_total(usage.get("total_tokens"), of=before)
    _take_details(counts, usage, cache_hit)
    answer.usage, answer.counts_agree = counts.settle()
    warn_of_detail_counts(answer, usage)


def _openai_counts(usage: dict[str, Any]) -> dict[str, int]:
    """The counts of an object that has OpenAI's own members and no others; empty for any other object."""
    terms = CHAT_TERMS if CHAT_TERMS.prompt in usage else RESPONSES_TERMS
    if not usage.keys() <= terms.members:
        return {}
    of_prompt, of_completion = object_of(usage.get(terms.of_prompt)), object_of(usage.get(terms.of_completion))
    counts = {
        "prompt": usage.get(terms.prompt),
        "completion": usage.get(terms.completion),
        "total": usage.get("total_tokens"),
        "cached": of_prompt.get("cached_tokens"),
        "written": of_prompt.get("cache_write_tokens"),
        "reasoning": of_completion.get("reasoning_tokens"),
    }
    return {name: count for name, value in counts.items() if (count := count_of(value)) is not None}


def _take_details(counts: CountedTokens, usage: dict[str, Any], cache_hit: Any) -> None:
    of_prompt = [object_of(usage.get(f"{name}_tokens_details")) for name in ("prompt", "input")]
    of_completion = [object_of(usage.get(f"{name}_tokens_details")) for name in ("completion", "output")]
    cached = [details.get("cached_tokens") for details in (*of_prompt, usage)]
    written = [details.get("cache_write_tokens") for details in (*of_prompt, usage)]
    counts.take("cached", *cached, cache_hit, usage.get("cache_read_input_tokens"))
    counts.take("written", *written, usage.get("cache_creation_input_tokens"))
    counts.take("reasoning", *(details.get("reasoning_tokens") for details in (*of_completion, usage)))


def read_counts_elsewhere(answer: Answer, completion: dict[str, Any], choice: dict[str, Any]) -> None:
    """Reads counts outside of the member `usage` of a completion or a chunk of one."""
    if "usage" in choice or "usage" in _message_of(choice) or not ELSEWHERE.isdisjoint(completion):
        for usage in _usages(completion, choice):
            read_usage(answer, usage)


def _message_of(choice: dict[str, Any]) -> dict[str, Any]:
    return object_of(choice.get("message")) or object_of(choice.get("delta"))


def _usages(completion: dict[str, Any], choice: dict[str, Any]) -> Iterator[Any]:
    # Moonshot's (https://platform.moonshot.ai/docs/api/chat), Groq's in streams, and those of servers that have none.
    yield choice.get("usage")
    yield _message_of(choice).get("usage")
    yield object_of(completion.get("x_groq")).get("usage")
    if any(name in completion for name in (*PROMPT, *COMPLETION)):
        yield completion
    timings = completion.get("timings")
    if isinstance(timings, dict) and not completion.get("usage"):
        yield _of_timings(timings)


def _of_timings(timings: dict[str, Any]) -> dict[str, Any]:
    """The counts in llama.cpp's `timings`, which are always there; the prompt's count is without its cached tokens."""
    evaluated, cached = timings.get("prompt_n"), timings.get("cache_n")
    counts = {"completion_tokens": timings.get("predicted_n")}
    if isinstance(evaluated, int) and isinstance(cached, int):
        counts |= {"prompt_tokens": evaluated + cached, "cached_tokens": cached}
    return counts


def read_rates(answer: Answer, service_tier: Any) -> None:
    """Marks an answer that was served at other rates than those of a model's price."""
    if isinstance(service_tier, str) and service_tier in TIERS_AT_OTHER_RATES:
        answer.at_standard_rates = False
