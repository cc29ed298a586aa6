"""About how many tokens something has, where nobody counted."""

from __future__ import annotations

import math

from proto import models_pb2
from services.models.providers.answers.answer import CHARACTERS_PER_TOKEN, Answer
from services.models.providers.base import Conversation

CHARACTERS_PER_MEDIA = 1000 * CHARACTERS_PER_TOKEN
"""About what an image costs, as the Session Service counts it too."""


def estimate_usage(answer: Answer, conversation: Conversation) -> models_pb2.TokenUsage:
    """What a call has used, about."""
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
    """About how many tokens a conversation and its tools have, by their length."""
    characters = sum(_count_characters(message) for message in conversation.messages)
    characters += sum(len(tool.description) + len(tool.parameters_json) for tool in conversation.request.tools)
    return math.ceil(characters / CHARACTERS_PER_TOKEN)


def _count_characters(message: models_pb2.ChatMessage) -> int:
    if not message.parts:
        return len(message.content) + sum(len(call.arguments_json) for call in message.tool_calls)
    return sum(_count_part(part) for part in message.parts)


def _count_part(part: models_pb2.ContentPart) -> int:
    own = len(part.text) + len(part.tool_call.arguments_json) + CHARACTERS_PER_MEDIA * part.HasField("media")
    return own + sum(_count_part(piece) for piece in part.tool_result.content)
