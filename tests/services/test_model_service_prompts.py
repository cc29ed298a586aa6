"""Chats with a registered prompt before the conversation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import models_pb2
from services.models.chat.system_prompt import with_defaults
from tests.rows import row
from tests.scripted_upstream import ScriptedUpstream
from tests.services.model_service import ModelService, answered, chat_request, model_service
from tests.support.errors import failure_of


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=answered) as server:
        yield server


async def register(service: ModelService, content: str, name: str = "support", **fields: Any) -> int:
    """Registers a prompt and returns its version."""
    request = models_pb2.RegisterPromptRequest(name=name, content=content, **fields)
    response = await service.stub.RegisterPrompt(request)
    return int(response.version)


async def test_registration_tells_at_its_top_when_the_version_was_stored(service: ModelService) -> None:
    request = models_pb2.RegisterPromptRequest(name="support", content="Be brief.")
    first = await service.stub.RegisterPrompt(request)
    assert first.created_at
    assert first.created_at == first.prompt.created_at
    assert (await service.stub.RegisterPrompt(request)).created_at == first.created_at


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


STATED = {
    "temperature": 0.0,
    "max_tokens": 1,
    "top_p": 0.5,
    "stop_sequences": ["a"],
    "seed": 0,
    "top_k": 1,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "parallel_tool_calls": False,
    "logprobs": False,
    "top_logprobs": 0,
}
DEFAULTS = {
    "temperature": 1.0,
    "max_tokens": 2,
    "top_p": 0.6,
    "stop_sequences": ["b", "c"],
    "seed": 2,
    "top_k": 2,
    "frequency_penalty": 1.0,
    "presence_penalty": 1.0,
    "parallel_tool_calls": True,
    "logprobs": True,
    "top_logprobs": 2,
}


@pytest.mark.parametrize("field", list(models_pb2.ChatConfig.DESCRIPTOR.fields_by_name))
def test_stated_field_wins_and_the_defaults_beside_it_stay(field: str) -> None:
    request = models_pb2.ChatRequest(config=models_pb2.ChatConfig(**{field: STATED[field]}))
    defaults = models_pb2.PromptDefaults(config=models_pb2.ChatConfig(**DEFAULTS))
    merged = with_defaults(request, defaults)
    assert merged.config == models_pb2.ChatConfig(**(DEFAULTS | {field: STATED[field]}))


def test_no_default_of_the_contract_is_forgotten() -> None:
    every = defaults()
    assert {field.name for field, _ in every.ListFields()} == set(models_pb2.PromptDefaults.DESCRIPTOR.fields_by_name)
    merged = with_defaults(models_pb2.ChatRequest(), every)
    for field, value in every.ListFields():
        assert getattr(merged, field.name) == value


async def test_request_without_a_model_and_a_prompt_without_one_is_refused(service: ModelService) -> None:
    await register(service, "Be brief.")
    failure = await failure_of(service.stub.Chat(chat_request(model="", system_prompt_name="support")))
    assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["model"])


async def test_defaults_that_no_chat_could_use_are_refused_when_they_are_registered(service: ModelService) -> None:
    wrong = models_pb2.PromptDefaults(config=models_pb2.ChatConfig(temperature=3))
    failure = await failure_of(register(service, "Be brief.", defaults=wrong))
    assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["defaults.config.temperature"])


# ------------------------------------------------------------------------------- a prompt by version, label, variables


def reference(name: str = "support", **fields: Any) -> models_pb2.PromptRef:
    return models_pb2.PromptRef(name=name, **fields)


async def label(service: ModelService, name: str, version: int, **fields: Any) -> models_pb2.SetPromptLabelResponse:
    request = models_pb2.SetPromptLabelRequest(name="support", label=name, version=version, **fields)
    return await service.stub.SetPromptLabel(request)


async def test_chat_uses_the_version_asked_for_and_says_which(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    for content in ("one", "two", "three"):
        await register(service, content)
    await label(service, "production", 2)
    await label(service, "staging", 1)
    for wanted, content, resolved in (
        (reference(), "two", models_pb2.ResolvedPrompt(name="support", version=2, label="production")),
        (reference(version=0), "two", models_pb2.ResolvedPrompt(name="support", version=2, label="production")),
        (reference(version=3), "three", models_pb2.ResolvedPrompt(name="support", version=3)),
        (reference(label="staging"), "one", models_pb2.ResolvedPrompt(name="support", version=1, label="staging")),
    ):
        response = await service.stub.Chat(chat_request(prompt=wanted))
        assert response.prompt == resolved
        assert upstream.requests[-1].json()["messages"][0] == {"role": "system", "content": content}
        chunks = [chunk async for chunk in service.stub.ChatStream(chat_request(prompt=wanted))]
        assert chunks[-1].response.prompt == resolved
        rendered = await service.stub.RenderPrompt(models_pb2.RenderPromptRequest(prompt=wanted))
        assert (rendered.text, rendered.prompt.version, rendered.prompt.resolved_label) == (
            content,
            resolved.version,
            resolved.label,
        )


async def test_prompt_by_its_name_alone_is_the_one_in_production(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    await register(service, "one", labels=["production"])
    await register(service, "two")
    response = await service.stub.Chat(chat_request(system_prompt_name="support"))
    assert response.prompt == models_pb2.ResolvedPrompt(name="support", version=1, label="production")


async def test_variables_are_filled_once_and_values_are_never_read_as_variables(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    await register(service, "{{a}} {{b}}{{a}} {{ a }} {{{b}}}")
    variables = {"a": "{{b}}", "b": r"\\1 \\g<0> {{a}}", "c": "unused"}
    text = r"{{b}} \\1 \\g<0> {{a}}{{b}} {{ a }} {\\1 \\g<0> {{a}}}"
    response = await service.stub.Chat(chat_request(prompt=reference(variables=variables)))
    assert upstream.requests[0].json()["messages"][0]["content"] == text
    unused = [notice for notice in response.warnings if notice.code == "VARIABLE_UNUSED"]
    assert [notice.field for notice in unused] == ["prompt.variables[c]"]
    rendered = await service.stub.RenderPrompt(models_pb2.RenderPromptRequest(prompt=reference(variables=variables)))
    assert (rendered.text, list(rendered.warnings)) == (text, unused)


async def test_missing_variables_are_all_named(service: ModelService, upstream: ScriptedUpstream) -> None:
    await register(service, "{{a}} {{b}} {{c}}")
    wanted = reference(variables={"b": ""})
    for call in (
        service.stub.Chat(chat_request(prompt=wanted)),
        service.stub.RenderPrompt(models_pb2.RenderPromptRequest(prompt=wanted)),
    ):
        failure = await failure_of(call)
        assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PROMPT_VARIABLES_MISSING")
        assert failure.metadata == {"prompt": "support", "version": "1", "variables": "a, c"}
        assert list(failure.fields) == ["prompt.variables[a]", "prompt.variables[c]"]
        assert failure.message.endswith("a, c")
    assert not upstream.requests


async def test_text_that_would_fill_the_memory_is_refused(service: ModelService) -> None:
    await register(service, "{{a}}" * 100_000)
    failure = await failure_of(service.stub.Chat(chat_request(prompt=reference(variables={"a": "x" * 1_000_000}))))
    assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["prompt.variables"])


async def test_prompt_that_cannot_be_used_is_refused_before_anything_is_sent(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    for fields, code, reason, violations in [
        (
            {"prompt": reference(), "system_prompt_name": "support"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_REQUEST",
            ["system_prompt_name"],
        ),
        ({"prompt": reference("")}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", ["prompt.name"]),
        ({"prompt": reference(version=-1)}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", ["prompt.version"]),
        ({"prompt": reference("nope")}, grpc.StatusCode.NOT_FOUND, "PROMPT_NOT_FOUND", []),
        ({"prompt": reference(version=2)}, grpc.StatusCode.NOT_FOUND, "PROMPT_NOT_FOUND", []),
        ({"prompt": reference(label="production")}, grpc.StatusCode.NOT_FOUND, "PROMPT_LABEL_NOT_FOUND", []),
        ({"prompt": reference(), "messages": []}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", ["messages"]),
    ]:
        with row(reason, fields):
            await register(service, "Be brief.")
            failure = await failure_of(service.stub.Chat(chat_request(**fields)))
            assert (failure.code, failure.reason, list(failure.fields)) == (code, reason, violations)
            assert not upstream.requests


async def test_archived_version_serves_whoever_asks_for_it_by_number(service: ModelService) -> None:
    await register(service, "one")
    await service.stub.ArchivePrompt(models_pb2.ArchivePromptRequest(name="support"))
    response = await service.stub.Chat(chat_request(prompt=reference(version=1)))
    assert response.prompt.version == 1
    failure = await failure_of(service.stub.Chat(chat_request(prompt=reference())))
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "PROMPT_NOT_FOUND")


async def test_model_may_come_from_the_version_that_a_label_points_at(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    await register(service, "one", defaults=models_pb2.PromptDefaults(model="gpt-4o-mini"))
    await register(service, "one", defaults=models_pb2.PromptDefaults(model="gpt-4o"))
    await label(service, "production", 1)
    await service.stub.Chat(chat_request(model="", prompt=reference()))
    await service.stub.Chat(chat_request(model="", prompt=reference(version=2)))
    assert [request.json()["model"] for request in upstream.requests] == ["gpt-4o-mini", "gpt-4o"]


# ------------------------------------------------------------------------------------------- codes of the other calls


async def test_label_that_somebody_else_has_moved_is_aborted_with_its_place(service: ModelService) -> None:
    await register(service, "one")
    await register(service, "two")
    moved = await label(service, "production", 1, actor="åsa", reason="first", expected_version=0)
    assert (moved.prompt.version, moved.previous_version) == (1, 0)
    failure = await failure_of(label(service, "production", 2, expected_version=0))
    assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "LABEL_CONFLICT")
    assert failure.metadata["current_version"] == "1"
    failure = await failure_of(label(service, "latest", 2))
    assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["label"])
    failure = await failure_of(service.stub.ArchivePrompt(models_pb2.ArchivePromptRequest(name="support", version=1)))
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PROMPT_LABELED")
    told = await service.stub.ListPromptEvents(models_pb2.ListPromptEventsRequest(name="support"))
    assert [(event.type, event.version, event.actor) for event in told.events] == [
        ("label_set", 1, "åsa"),
        ("registered", 2, ""),
        ("registered", 1, ""),
    ]


async def test_reference_without_a_prompt_is_refused(service: ModelService) -> None:
    failure = await failure_of(service.stub.RenderPrompt(models_pb2.RenderPromptRequest()))
    assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["prompt.name"])
