"""What the tests of the Messages dialect share: models by what they take, and requests on their way into bodies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from proto import models_pb2
from proto.models_pb2 import ChatMessage, ChatRequest, ContentPart, ToolDefinition
from services.models.providers.anthropic.dialect import ANTHROPIC
from services.models.providers.base import Conversation, Encoded, Target
from services.models.providers.encoding import encode as encode_for
from services.models.providers.facts import ModelFacts, ReasoningFacts

UNKNOWN = frozenset({"seed", "frequency_penalty", "presence_penalty"})
EFFORTS = ("low", "medium", "high", "xhigh", "max")


def model(default_options_json: str = "", **facts: Any) -> Target:
    """A model that is called `claude-test`, and takes what most do but for `facts`."""
    known = {
        "unsupported": UNKNOWN,
        "max_temperature": 1.0,
        "default_max_tokens": 16_384,
        "developer_role": False,
    }
    return Target(
        ANTHROPIC,
        "anthropic",
        "claude-test",
        "",
        {},
        ModelFacts(**(known | facts)),
        state_owner="anthropic",
        default_options_json=default_options_json,
    )


CLAUDE = model(exclusive=("temperature", "top_p"))
OLD = model(default_max_tokens=4096, schema_output="tool", can_reason=False)
NO_PREFILL = model(prefill=False)
UNFORCED = model(forced_tool_choice=False)
WITH_SYSTEM_TURNS = model(system_turns=True, prefill=False)
WITH_BUDGET = model(can_reason=True, reasoning=ReasoningFacts(takes_budget=True))
WITH_BUDGET_AND_EFFORT = model(
    can_reason=True, reasoning=ReasoningFacts(efforts=("low", "medium", "high"), takes_budget=True)
)
ADAPTIVE = model(can_reason=True, reasoning=ReasoningFacts(efforts=EFFORTS, adaptive=True))
ADAPTIVE_OR_BUDGET = model(
    can_reason=True,
    reasoning=ReasoningFacts(efforts=("low", "medium", "high", "max"), adaptive=True, takes_budget=True),
)
ALWAYS_REASONING = model(can_reason=True, reasoning=ReasoningFacts(efforts=EFFORTS, adaptive=True, on_by_default=True))

STRICT = models_pb2.PARAMETER_POLICY_STRICT
PASSTHROUGH = models_pb2.PARAMETER_POLICY_PASSTHROUGH

HELLO = ChatMessage(role="user", content="Hello")
TOOL = ToolDefinition(name="find")


def encode(
    target: Target = CLAUDE, messages: Sequence[ChatMessage] = (HELLO,), *, stream: bool = False, **fields: Any
) -> Encoded:
    request = ChatRequest(model="any", **fields)
    return encode_for(Conversation(request, messages), target, stream=stream)


def body_of(*arguments: Any, **fields: Any) -> Any:
    """The body of a request that needs no warning."""
    body = encode(*arguments, **fields)
    assert body.notices == []
    return json.loads(body.request.body)


def sent(body: Encoded) -> Any:
    """What a body says beside the conversation."""
    return {
        name: value
        for name, value in json.loads(body.request.body).items()
        if name not in ("model", "messages", "max_tokens", "tools")
    }


def told(body: Encoded) -> list[tuple[str, str]]:
    return [(warning.code, warning.field) for warning in body.notices]


def text(content: str) -> dict[str, str]:
    return {"type": "text", "text": content}


def system(content: str) -> ChatMessage:
    return ChatMessage(role="system", content=content)


def user(*parts: ContentPart) -> ChatMessage:
    return ChatMessage(role="user", parts=parts)


def assistant(*parts: ContentPart) -> ChatMessage:
    return ChatMessage(role="assistant", parts=parts)


def state(data: str | bytes, provider: str = "anthropic") -> models_pb2.ProviderState:
    raw = data if isinstance(data, bytes) else data.encode()
    return models_pb2.ProviderState(provider=provider, model="claude-test", data=raw)
