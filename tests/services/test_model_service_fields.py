"""Fields of a chat: each changes what is sent, or has a test of its own."""

from __future__ import annotations

from typing import Any

import pytest

from proto import models_pb2
from services.models.providers.requests.policy import CHANGES
from tests.rows import row
from tests.scripted_upstream import ScriptedUpstream
from tests.services.model_service import ModelService, chat_request

pytestmark = pytest.mark.asyncio(loop_scope="module")


# One value for each field of ChatRequest that changes what is sent, or what is logged: a request with it has another
# body than one without it. Adding a field to the contract makes the test below fail until it is in one of the lists.
EFFECTS: dict[str, dict[str, Any]] = {
    "model": {"model": "gpt-4o-mini"},
    "messages": {"messages": [models_pb2.ChatMessage(role="user", content="Bye!")]},
    "config": {"config": models_pb2.ChatConfig(temperature=0)},
    "tools": {"tools": [models_pb2.ToolDefinition(name="clock")]},
    "response_format": {"response_format": models_pb2.ResponseFormat(type="json_object")},
    "system_prompt_name": {"system_prompt_name": "support"},
    "prompt": {"prompt": models_pb2.PromptRef(name="support")},
    "tool_choice": {"tool_choice": models_pb2.ToolChoice(mode=models_pb2.TOOL_CHOICE_MODE_NONE)},
    "provider_options_json": {"provider_options_json": {"openai": '{"store": true}'}},
    "reasoning": {"model": "gpt-6-luna", "reasoning": models_pb2.ReasoningConfig(effort="low")},
    "end_user_id": {"end_user_id": "u"},
    "prompt_cache_key": {"prompt_cache_key": "k"},
}
WITHOUT_EFFECT_ON_THE_BODY = {"tags", "parameter_policy", "session_id", "session"} | {
    "fallback_models",
    "timeouts",
    "request_id",
    "cache",
    "provider_headers",
}
"""Logged, and tested in test_model_service_secrets; how parameters are fitted, tested in test_model_service_chat; what
was said before, tested in test_chat_in_session; who answers and when, tested in test_attempts and test_timeouts;
whether a model is called at all, tested in test_idempotency and test_shared_answers; what stands before the
body, tested below."""


async def test_every_field_of_a_chat_request_has_an_effect() -> None:
    fields = {field.name for field in models_pb2.ChatRequest.DESCRIPTOR.fields}
    assert fields == set(EFFECTS) | WITHOUT_EFFECT_ON_THE_BODY


@pytest.mark.parametrize("field", EFFECTS)
async def test_field_changes_what_is_sent(
    shared_service: ModelService, shared_upstream: ScriptedUpstream, field: str
) -> None:
    await shared_service.stub.RegisterPrompt(models_pb2.RegisterPromptRequest(name="support", content="Be brief."))
    common: dict[str, Any] = {"tools": [models_pb2.ToolDefinition(name="weather")]}
    if field != "model":
        common["model"] = EFFECTS[field].get("model", "gpt-4o")
    for fields in ({}, EFFECTS[field]):
        await shared_service.stub.Chat(chat_request(**(common | fields)))
    plain, changed = shared_upstream.requests
    assert plain.body != changed.body


@pytest.mark.parametrize(("model", "own"), [("gpt-4o", "openai-beta"), ("claude-sonnet-4-6", "anthropic-beta")])
async def test_headers_go_to_servers_of_their_vendors_dialect_alone(
    shared_service: ModelService, shared_upstream: ScriptedUpstream, model: str, own: str
) -> None:
    given = {"openai-beta": "assistants=v2", "anthropic-beta": "effort-2025-11-24,context-1m"}
    await shared_service.stub.Chat(chat_request(model, provider_headers=given))
    [request] = shared_upstream.requests
    assert {name: value for name, value in request.headers.items() if name in given} == {own: given[own]}


CONFIG: dict[str, Any] = {
    "temperature": 0.0,
    "max_tokens": 70,
    "top_p": 0.5,
    "stop_sequences": ["END"],
    "seed": 0,
    "top_k": 3,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "parallel_tool_calls": False,
    "logprobs": True,
    "top_logprobs": 2,
}


async def test_every_parameter_is_sent_or_named_in_a_warning(
    shared_service: ModelService, shared_upstream: ScriptedUpstream
) -> None:
    for model in ["gpt-4o", "gpt-6-luna", "claude-sonnet-4-6", "claude-opus-9"]:
        for field in list(models_pb2.ChatConfig.DESCRIPTOR.fields_by_name):
            with row(model, field):
                tools = [models_pb2.ToolDefinition(name="clock")]
                config = models_pb2.ChatConfig(**{field: CONFIG[field]})
                await shared_service.stub.Chat(chat_request(model, tools=tools))
                response = await shared_service.stub.Chat(chat_request(model, tools=tools, config=config))
                plain, changed = (request.json() for request in shared_upstream.requests[-2:])
                left_out = [notice.field for notice in response.warnings if notice.code in CHANGES]
                assert (plain != changed) != (f"config.{field}" in left_out)
