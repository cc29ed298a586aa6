"""Chats with a registered prompt before the conversation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import models_pb2
from tests.scripted_upstream import ScriptedUpstream
from tests.services.model_service import (
    ModelService,
    answered,
    chat_request,
    failure_of,
    model_service,
)


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=answered) as server:
        yield server


@pytest.fixture
async def service(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[ModelService]:
    async with model_service(tmp_path, upstream) as running:
        yield running


async def register(service: ModelService, content: str, name: str = "support", **fields: Any) -> int:
    """Registers a prompt and returns its version."""
    request = models_pb2.RegisterPromptRequest(name=name, content=content, **fields)
    response = await service.stub.RegisterPrompt(request)
    return int(response.version)


async def test_prompt_in_force_is_sent_first_and_the_answer_names_it(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    for version, content in ((1, "Be brief."), (2, "Be kind.")):
        assert await register(service, content) == version
        response = await service.stub.Chat(chat_request(system_prompt_name="support"))
        assert response.prompt == models_pb2.ResolvedPrompt(name="support", version=version)
        assert upstream.requests[-1].json()["messages"] == [
            {"role": "system", "content": content},
            {"role": "user", "content": "Hello!"},
        ]


async def test_prompt_is_put_before_a_stream_and_in_every_dialect(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    await register(service, "Be brief.")
    chunks = [chunk async for chunk in service.stub.ChatStream(chat_request(system_prompt_name="support"))]
    assert chunks[-1].response.prompt == models_pb2.ResolvedPrompt(name="support", version=1)
    assert upstream.requests[0].json()["messages"][0] == {"role": "system", "content": "Be brief."}
    await service.stub.Chat(chat_request("claude-sonnet-4-6", system_prompt_name="support"))
    assert upstream.requests[1].json()["system"] == [{"type": "text", "text": "Be brief."}]


async def test_answer_without_a_prompt_names_none(service: ModelService) -> None:
    assert not (await service.stub.Chat(chat_request())).HasField("prompt")


async def test_prompt_survives_a_restart(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with model_service(tmp_path, upstream) as before:
        await register(before, "Be brief.")
    async with model_service(tmp_path, upstream) as after:
        response = await after.stub.Chat(chat_request(system_prompt_name="support"))
        assert response.prompt.version == 1
        found = await after.stub.GetPrompt(models_pb2.GetPromptRequest(name="support"))
        assert found.content == "Be brief."
        listed = await after.stub.ListPromptVersions(models_pb2.ListPromptVersionsRequest(name="support"))
        assert [prompt.version for prompt in listed.prompts] == [1]


async def test_prompt_with_variables_that_nobody_fills_is_refused(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    await register(service, "You help {{team}} with {{product}}, {{team}}.")
    failure = await failure_of(service.stub.Chat(chat_request(system_prompt_name="support")))
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PROMPT_VARIABLES_MISSING")
    assert "team, product" in failure.message
    assert list(failure.fields) == ["system_prompt_name"]
    assert not upstream.requests


async def test_unknown_prompt_is_not_found_with_the_nearest_names(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    await register(service, "Be brief.")
    failure = await failure_of(service.stub.Chat(chat_request(system_prompt_name="suport")))
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "PROMPT_NOT_FOUND")
    assert "did you mean support" in failure.message
    assert not upstream.requests


def defaults() -> models_pb2.PromptDefaults:
    return models_pb2.PromptDefaults(
        model="gpt-4o-mini",
        config=models_pb2.ChatConfig(temperature=0, max_tokens=100, stop_sequences=["END"]),
        tools=[models_pb2.ToolDefinition(name="weather")],
        response_format=models_pb2.ResponseFormat(type="json_object"),
    )


async def test_defaults_of_a_prompt_hold_where_the_request_says_nothing(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    await register(service, "Be brief.", defaults=defaults())
    await service.stub.Chat(chat_request(model="", system_prompt_name="support"))
    body = upstream.requests[0].json()
    assert body["model"] == "gpt-4o-mini"
    assert (body["temperature"], body["max_tokens"], body["stop"]) == (0, 100, ["END"])
    assert [tool["function"]["name"] for tool in body["tools"]] == ["weather"]
    assert body["response_format"] == {"type": "json_object"}


async def test_defaults_of_a_prompt_give_way_to_the_request_field_by_field(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    await register(service, "Be brief.", defaults=defaults())
    await service.stub.Chat(
        chat_request(
            model="gpt-4o",
            system_prompt_name="support",
            config=models_pb2.ChatConfig(temperature=1, stop_sequences=["STOP"]),
            tools=[models_pb2.ToolDefinition(name="clock")],
            response_format=models_pb2.ResponseFormat(type="text"),
        )
    )
    body = upstream.requests[0].json()
    assert body["model"] == "gpt-4o"
    assert (body["temperature"], body["max_tokens"], body["stop"]) == (1, 100, ["STOP"])
    assert [tool["function"]["name"] for tool in body["tools"]] == ["clock"]
    assert "response_format" not in body


async def test_defaults_leave_the_request_of_the_next_caller_alone(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    await register(service, "Be brief.", defaults=defaults())
    for _ in range(2):
        await service.stub.Chat(chat_request(model="", system_prompt_name="support"))
    await service.stub.Chat(chat_request())
    first, second, plain = (request.json() for request in upstream.requests)
    assert first == second
    assert set(plain) == {"model", "messages"}
    found = await service.stub.GetPrompt(models_pb2.GetPromptRequest(name="support"))
    assert found.defaults == defaults()


async def test_request_without_a_model_and_a_prompt_without_one_is_refused(service: ModelService) -> None:
    await register(service, "Be brief.")
    failure = await failure_of(service.stub.Chat(chat_request(model="", system_prompt_name="support")))
    assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["model"])


async def test_defaults_that_no_chat_could_use_are_refused_when_they_are_registered(service: ModelService) -> None:
    wrong = models_pb2.PromptDefaults(config=models_pb2.ChatConfig(temperature=3))
    failure = await failure_of(register(service, "Be brief.", defaults=wrong))
    assert (failure.code, list(failure.fields)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        ["defaults.config.temperature"],
    )
