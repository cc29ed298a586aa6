"""Which of OpenAI's dialects carries a request."""

from __future__ import annotations

import dataclasses
from typing import Any

from proto.models_pb2 import (
    PARAMETER_POLICY_PASSTHROUGH,
    ChatMessage,
    ChatRequest,
    ContentPart,
    Media,
    ProviderState,
    ProviderTool,
    Reasoning,
    ReasoningConfig,
    ToolDefinition,
    ToolResult,
)
from services.models.providers.anthropic.dialect import ANTHROPIC
from services.models.providers.base import Conversation, Target
from services.models.providers.facts import ModelFacts, ReasoningFacts
from services.models.providers.openai.chat_completions.dialect import OPENAI_COMPATIBLE
from services.models.providers.openai.responses.dialect import OPENAI_RESPONSES
from services.models.providers.openai.select import OPENAI
from services.models.providers.vllm import VLLM
from tests.rows import for_each

PLAIN = Target(OPENAI, "openai", "gpt-4o", "https://api.openai.com/v1", {}, ModelFacts(can_reason=False), "openai")
UNKNOWN = dataclasses.replace(PLAIN, facts=ModelFacts())
ALWAYS = dataclasses.replace(
    PLAIN,
    facts=ModelFacts(
        can_reason=True,
        reasoning=ReasoningFacts(on_by_default=True),
        tools_with_reasoning_need_responses=True,
    ),
)
ON_DEMAND = dataclasses.replace(
    ALWAYS, facts=dataclasses.replace(ALWAYS.facts, reasoning=ReasoningFacts(("none", "low", "high")))
)

RESPONSES_ONLY = dataclasses.replace(PLAIN, facts=ModelFacts(can_reason=False, responses_only=True))

FIND = ToolDefinition(name="find")
SEARCH = ToolDefinition(provider_tool=ProviderTool(type="web_search"))
HELLO = ChatMessage(role="user", content="Hello")


def said(part: ContentPart, role: str = "user") -> dict[str, Any]:
    return {"messages": [ChatMessage(role=role, parts=[part])]}


def options(text: str) -> dict[str, Any]:
    return {"provider_options_json": {"openai": text}}


def thought(provider: str) -> ChatMessage:
    state = ProviderState(provider=provider, data=b"{}")
    return ChatMessage(role="assistant", parts=[ContentPart(reasoning=Reasoning(), provider_state=state)])


SEARCHED = ChatMessage(
    role="assistant",
    parts=[
        ContentPart(provider_state=ProviderState(provider="openai", data=b'{"type":"web_search_call"}')),
        ContentPart(text="Found."),
    ],
)
IMAGE = ContentPart(media=Media(url="https://x.test/a.png"))
RESULT_WITH_IMAGE = ContentPart(tool_result=ToolResult(tool_call_id="a", content=[IMAGE]))

ON_RESPONSES: dict[str, tuple[Target, dict[str, Any]]] = {
    "tools and reasoning by default": (ALWAYS, {"tools": [FIND]}),
    "tools and an effort": (ON_DEMAND, {"tools": [FIND], "reasoning": ReasoningConfig(effort="low")}),
    "tools and a budget": (ON_DEMAND, {"tools": [FIND], "reasoning": ReasoningConfig(budget_tokens=2048)}),
    "tools and an effort in the options": (ON_DEMAND, {"tools": [FIND], **options('{"reasoning_effort": "high"}')}),
    "tools and reasoning in the options": (ON_DEMAND, {"tools": [FIND], **options('{"reasoning": {"effort": "low"}}')}),
    "tools and reasoning in the options alone": (
        ON_DEMAND,
        {"tools": [FIND], "reasoning": ReasoningConfig(effort="none"), **options('{"reasoning_effort": "low"}')},
    ),
    "own state in the history": (ALWAYS, {"messages": [thought("openai"), HELLO]}),
    "own state, perhaps with reasoning": (UNKNOWN, {"messages": [thought("openai"), HELLO]}),
    "own state without reasoning": (PLAIN, {"messages": [SEARCHED, HELLO]}),
    "own reasoning, as given": (
        PLAIN,
        {"messages": [thought("openai"), HELLO], "parameter_policy": PARAMETER_POLICY_PASSTHROUGH},
    ),
    "a model that is served there only": (RESPONSES_ONLY, {"messages": [HELLO]}),
    "what only Responses knows in the options": (PLAIN, options('{"truncation": "auto"}')),
    "text of the reasoning": (ALWAYS, {"reasoning": ReasoningConfig(include_text=True)}),
    "text of the reasoning, perhaps": (UNKNOWN, {"reasoning": ReasoningConfig(include_text=True)}),
    "a tool of OpenAI's": (PLAIN, {"tools": [FIND, SEARCH]}),
    "a document by URL": (PLAIN, said(ContentPart(media=Media(url="https://x.test/a.pdf")))),
    "an image by file id": (PLAIN, said(ContentPart(media=Media(file_id="file-1", mime_type="image/png")))),
    "an image as a result": (PLAIN, said(RESULT_WITH_IMAGE, "tool")),
}

ON_CHAT_COMPLETIONS: dict[str, tuple[Target, dict[str, Any]]] = {
    "text": (ALWAYS, {"messages": [HELLO]}),
    "an effort without tools": (ALWAYS, {"reasoning": ReasoningConfig(effort="high")}),
    "tools without reasoning": (ALWAYS, {"tools": [FIND], "reasoning": ReasoningConfig(effort="none")}),
    "tools, reasoning not asked for": (ON_DEMAND, {"tools": [FIND]}),
    "tools and an effort where both are taken": (
        UNKNOWN,
        {"tools": [FIND], "reasoning": ReasoningConfig(effort="low")},
    ),
    "tools and no reasoning in the options": (ALWAYS, {"tools": [FIND], **options('{"reasoning_effort": "none"}')}),
    "tools and an effort of no kind in the options": (
        ON_DEMAND,
        {"tools": [FIND], **options('{"reasoning_effort": null}')},
    ),
    "tools and other options": (ON_DEMAND, {"tools": [FIND], **options('{"service_tier": "flex"}')}),
    "tools and options for another provider": (
        ON_DEMAND,
        {"tools": [FIND], "provider_options_json": {"anthropic": '{"reasoning_effort": "high"}'}},
    ),
    "an effort in the options without tools": (ON_DEMAND, options('{"reasoning_effort": "high"}')),
    "state of others": (ALWAYS, {"messages": [thought("anthropic"), HELLO]}),
    "own reasoning for what does not reason": (PLAIN, {"messages": [thought("openai"), HELLO]}),
    "no text of the reasoning": (ALWAYS, {"reasoning": ReasoningConfig(include_text=False)}),
    "text of what does not reason": (PLAIN, {"reasoning": ReasoningConfig(include_text=True)}),
    "an image by URL": (ALWAYS, said(IMAGE)),
    "a document by value": (ALWAYS, said(ContentPart(media=Media(data=b"x", mime_type="application/pdf")))),
    "a text as a result": (
        ALWAYS,
        said(ContentPart(tool_result=ToolResult(tool_call_id="a", content=[ContentPart(text="b")])), "tool"),
    ),
}


def dialect_for(target: Target, fields: dict[str, Any]) -> Any:
    return target.dialect.select(asking(**fields), target)


def asking(**fields: Any) -> Conversation:
    request = ChatRequest(model="any", **fields)
    return Conversation(request, request.messages)


@for_each("case", ON_RESPONSES)
def test_responses_carries_what_only_it_can(case: str) -> None:
    assert dialect_for(*ON_RESPONSES[case]) is OPENAI_RESPONSES


@for_each("case", ON_CHAT_COMPLETIONS)
def test_chat_completions_carries_everything_else(case: str) -> None:
    target, fields = ON_CHAT_COMPLETIONS[case]
    assert dialect_for(target, fields) is target.dialect


def test_messages_that_go_before_the_request_count_too() -> None:
    request = ChatRequest(model="any", messages=[HELLO])
    conversation = Conversation(request, [thought("openai"), HELLO], added=["session_id"])
    assert ALWAYS.dialect.select(conversation, ALWAYS) is OPENAI_RESPONSES


@for_each("dialect", [OPENAI_COMPATIBLE, VLLM, ANTHROPIC], ids=lambda dialect: dialect.name)
@for_each("case", ON_RESPONSES)
def test_others_than_openai_are_left_alone(dialect: Any, case: str) -> None:
    target, fields = ON_RESPONSES[case]
    assert dialect_for(dataclasses.replace(target, dialect=dialect), fields) is dialect
