"""Estimated usage: about how many tokens a call has used, where its provider has not counted them."""

from __future__ import annotations

from proto import models_pb2
from services.models.providers.answers.answer import Answer
from services.models.providers.base import Conversation
from services.shared.tokens import estimate_tokens, measure, text_bytes


def estimate_usage(answer: Answer, conversation: Conversation) -> models_pb2.TokenUsage:
    """The estimated usage of a call."""
    prompt = estimate_prompt_tokens(conversation)
    completion = answer.estimated_completion_tokens()
    return models_pb2.TokenUsage(
        prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion, estimated=True
    )


def with_told_prompt(estimate: models_pb2.TokenUsage, told: models_pb2.TokenUsage) -> models_pb2.TokenUsage:
    """What a provider tells at the beginning is true of the prompt and its cache, and not yet of the answer."""
    usage = models_pb2.TokenUsage()
    usage.CopyFrom(told)
    usage.ClearField("reasoning_tokens")
    usage.completion_tokens = estimate.completion_tokens
    usage.total_tokens = usage.prompt_tokens + usage.completion_tokens
    usage.estimated = True
    return usage


def estimate_prompt_tokens(conversation: Conversation) -> int:
    """About how many tokens a conversation and its tools have."""
    messages = sum(measure(message, message.ByteSize()).tokens for message in conversation.messages)
    tools = sum(text_bytes(tool.description) + len(tool.parameters_json) for tool in conversation.request.tools)
    return messages + estimate_tokens(tools)
