"""Usage of a call: its cost, and its estimate if the provider has not counted."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import NamedTuple

from proto import models_pb2
from services.models.providers.answers.answer import Answer
from services.models.providers.base import Conversation, Target
from services.shared.tokens import TOKENS_PER_MEDIA, estimate_tokens, measure, text_bytes, text_message_tokens


class Counts(NamedTuple):
    """The counts of a usage: numbers, which a message takes long to give, and which do not keep it in memory."""

    prompt: int
    completion: int
    total: int
    cached: int
    """Tokens of the prompt that a cache had."""
    written: int
    """Tokens of the prompt that were cached."""
    reasoning: int
    are_estimated: bool
    nano_usd: int | None
    """The cost; None if it is not known."""


_COUNTS = operator.attrgetter(
    *("prompt_tokens", "completion_tokens", "total_tokens"),
    *("cached_prompt_tokens", "cache_write_tokens", "reasoning_tokens", "estimated"),
)


def counts_of(usage: models_pb2.TokenUsage) -> Counts:
    """The counts of a usage."""
    return Counts._make((*_COUNTS(usage), usage.cost_nano_usd if usage.HasField("cost_nano_usd") else None))


def estimate_usage(answer: Answer, conversation: Conversation) -> models_pb2.TokenUsage:
    """The estimated usage of a chat."""
    return estimated_usage(estimate_prompt_tokens(conversation), answer.estimated_completion_tokens())


def estimated_usage(prompt: int, completion: int = 0) -> models_pb2.TokenUsage:
    """The usage of a call by estimates of its tokens."""
    return models_pb2.TokenUsage(
        prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion, estimated=True
    )


def with_counted_prompt(estimate: models_pb2.TokenUsage, counted: models_pb2.TokenUsage) -> models_pb2.TokenUsage:
    """The estimate, with the prompt and its cache as the provider counted them at the beginning of the answer."""
    usage = models_pb2.TokenUsage()
    usage.CopyFrom(counted)
    usage.ClearField("reasoning_tokens")
    usage.completion_tokens = estimate.completion_tokens
    usage.total_tokens = usage.prompt_tokens + usage.completion_tokens
    usage.estimated = True
    return usage


def estimate_prompt_tokens(conversation: Conversation) -> int:
    """The estimated tokens of a conversation and its tools."""
    if conversation.forwarded:
        return _body_tokens(conversation.forwarded.body)
    tokens, are_plain = 0, conversation.contents.are_plain
    for message in conversation.messages:
        tokens += text_message_tokens(message) if are_plain else measure(message, message.ByteSize()).tokens
    if conversation.request.tools:
        tools = sum(text_bytes(tool.description) + len(tool.parameters_json) for tool in conversation.request.tools)
        tokens += estimate_tokens(tools)
    return tokens


def _body_tokens(body: bytes) -> int:
    """The estimated tokens of a forwarded body: media in base64 are not as many tokens as a text of their length."""
    tokens = estimate_tokens(len(body))
    if tokens <= TOKENS_PER_MEDIA:
        return tokens
    for start, end in _base64_texts(body):
        length = estimate_tokens(end - start)
        if length > TOKENS_PER_MEDIA:
            tokens -= length - TOKENS_PER_MEDIA
    return tokens


def _base64_texts(body: bytes) -> Iterator[tuple[int, int]]:
    """The places of what may be base64, each once: behind the head of a URL in OpenAI's dialects, and in a member
    `data` in Anthropic's, which OpenAI has for audio."""
    for mark in (b";base64,", b'"data"'):
        end = 0
        while (start := body.find(mark, end)) >= 0:
            start += len(mark)
            if mark == b'"data"':
                start = body.find(b'"', start) + 1
            end = body.find(b'"', start)
            if end < 0 or not start:
                break
            # The second sign is in a URL, which has its turn.
            if body.find(b" ", start, end) < 0 and (mark == b";base64," or body.find(b";", start, end) < 0):
                yield start, end


def usage_fields(usage: models_pb2.TokenUsage) -> dict[str, int | bool]:
    """Fields of a usage for logs and for the metadata of errors."""
    facts: dict[str, int | bool] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
    }
    if usage.estimated:
        facts["usage_estimated"] = True
    if usage.HasField("cost_nano_usd"):
        facts["cost_nano_usd"] = usage.cost_nano_usd
    return facts


def add_cost_of_answer(usage: models_pb2.TokenUsage, answer: Answer, target: Target) -> None:
    """Adds the cost of an answer, unless it has other than the standard rates, or its counts contradict each other."""
    if answer.at_standard_rates and answer.counts_agree:
        add_cost(usage, target)
    elif not (answer.at_standard_rates and usage.estimated):
        # An estimate stands in the place of the counts that contradict each other.
        usage.not_at_list_price = True


def add_cost(usage: models_pb2.TokenUsage, target: Target) -> None:
    """Adds the cost of the usage at the standard rates, if they are known."""
    cost = target.price(usage) if target.price else None
    if cost is not None:
        usage.cost_nano_usd = cost
