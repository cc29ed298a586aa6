"""Targets that speak Chat Completions, and the bodies that they are sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from proto.models_pb2 import ChatMessage, ChatRequest
from services.models.catalog.families import COMPATIBLE_FACTS
from services.models.catalog.vendors import openai
from services.models.providers.base import Conversation, Encoded, Target
from services.models.providers.encoding import encode as encode_for
from services.models.providers.facts import ModelFacts
from services.models.providers.openai.chat_completions.dialect import OPENAI_COMPATIBLE, ChatCompletionsDialect
from services.models.providers.openai.select import OPENAI
from services.models.providers.vllm import VLLM
from services.shared.errors import InvalidRequest

HELLO = ChatMessage(role="user", content="Hello")


def openai_target(model: str, facts: ModelFacts | None = None) -> Target:
    known = facts or openai.VENDOR.facts(model)
    return Target(OPENAI, "openai", model, "https://api.openai.com/v1", {}, known, state_owner="openai")


def own_target(dialect: ChatCompletionsDialect, facts: ModelFacts = COMPATIBLE_FACTS, **fields: Any) -> Target:
    return Target(dialect, "mine", "qwen", "http://localhost/v1", {}, facts, **fields)


GPT_4O = openai_target("gpt-4o")
GPT_5 = openai_target("gpt-5")
ON_VLLM = own_target(VLLM)
COMPATIBLE = own_target(OPENAI_COMPATIBLE)
EVERY_TARGET = [GPT_4O, ON_VLLM, COMPATIBLE]
NAMES = [target.dialect.name for target in EVERY_TARGET]


def encode(
    target: Target = GPT_4O, messages: Sequence[ChatMessage] = (HELLO,), *, stream: bool = False, **fields: Any
) -> Encoded:
    request = ChatRequest(model="any", **fields)
    return encode_for(Conversation(request, messages), target, stream=stream)


def body_of(*arguments: Any, **fields: Any) -> Any:
    """The body of a request about which there is nothing to tell."""
    body = encode(*arguments, **fields)
    assert told(body) == []
    return json.loads(body.request.body)


def sent_messages(*messages: ChatMessage, target: Target = GPT_4O) -> Any:
    return body_of(target, messages)["messages"]


def refused(target: Target, *messages: ChatMessage, **fields: Any) -> list[str]:
    """The fields of a request that cannot be said."""
    with pytest.raises(InvalidRequest) as raised:
        encode(target, messages, **fields)
    return [violation.field for violation in raised.value.violations]


def told(body: Encoded) -> list[tuple[str, str]]:
    return [(warning.code, warning.field) for warning in body.notices]
