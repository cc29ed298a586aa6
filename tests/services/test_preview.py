"""PreviewChat says what Chat would send, without asking anybody and without any key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from proto import models_pb2
from tests.scripted_upstream import ScriptedUpstream
from tests.services.model_service import (
    ANTHROPIC_KEY,
    OPENAI_KEY,
    ModelService,
    chat_request,
    model_service,
    registration,
)
from tests.support.errors import failure_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

Part = models_pb2.ContentPart
TOOL = models_pb2.ToolDefinition(name="weather", parameters_json='{"type": "object", "properties": {}}')
SCHEMA = '{"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(shared_service: ModelService, module_upstream: ScriptedUpstream) -> ModelService:
    await shared_service.stub.RegisterModel(registration(module_upstream, adapter_type="openai-compatible"))
    await shared_service.stub.RegisterPrompt(models_pb2.RegisterPromptRequest(name="brief", content="Be brief."))
    return shared_service


@pytest.fixture
def upstream(shared_upstream: ScriptedUpstream) -> ScriptedUpstream:
    return shared_upstream


def posted(upstream: ScriptedUpstream) -> list[Any]:
    """What was sent, but for probes."""
    return [request for request in upstream.requests if request.method == "POST"]


def preview(request: models_pb2.ChatRequest, *, stream: bool = False) -> models_pb2.PreviewChatRequest:
    return models_pb2.PreviewChatRequest(request=request, stream=stream)


REQUESTS: dict[str, dict[str, Any]] = {
    "text": {},
    "sampling that some do not take": {"config": models_pb2.ChatConfig(temperature=1.5, seed=7, top_k=3)},
    "a long answer": {"config": models_pb2.ChatConfig(max_tokens=30_000)},
    "tools": {"tools": [TOOL], "tool_choice": models_pb2.ToolChoice(tool_name="weather")},
    "a schema": {"response_format": models_pb2.ResponseFormat(type="json_schema", schema_json=SCHEMA, strict=True)},
    "an image": {
        "messages": [
            models_pb2.ChatMessage(
                role="user",
                parts=[Part(text="What?"), Part(media=models_pb2.Media(data=b"\x89PNG", mime_type="image/png"))],
            )
        ]
    },
    "a prompt and options": {
        "prompt": models_pb2.PromptRef(name="brief", variables={"unused": "x"}),
        "provider_options_json": {"openai": '{"store": false}', "anthropic": '{"service_tier": "auto"}'},
    },
    "sent as given": {
        "config": models_pb2.ChatConfig(temperature=1.5),
        "parameter_policy": models_pb2.PARAMETER_POLICY_PASSTHROUGH,
    },
}


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-6-luna", "claude-sonnet-4-6", "claude-3-5-haiku", "mine"])
@pytest.mark.parametrize("fields", REQUESTS.values(), ids=REQUESTS.keys())
async def test_preview_is_what_chat_and_chat_stream_send(
    service: ModelService, upstream: ScriptedUpstream, fields: dict[str, Any], model: str
) -> None:
    request = chat_request(model, **fields)
    previews = [await service.stub.PreviewChat(preview(request, stream=stream)) for stream in (False, True)]
    assert not posted(upstream)
    whole = await service.stub.Chat(request)
    async for chunk in service.stub.ChatStream(request):
        last = chunk
    for told, sent, response in zip(previews, posted(upstream), (whole, last.response), strict=True):
        assert (told.method, f"/v1{told.path}") == (sent.method, sent.path)
        assert told.body_json.encode() == sent.body
        assert told.warnings == response.warnings
        assert (told.provider, told.model) == (response.provider, sent.json()["model"])


async def test_preview_of_a_server_that_is_always_asked_for_a_stream_has_the_streamed_body(
    service: ModelService,
) -> None:
    told = await service.stub.PreviewChat(preview(chat_request("mine")))
    assert '"stream":true' in told.body_json


async def test_preview_needs_no_key(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with model_service(tmp_path, upstream, OPENAI_API_KEY=None, ANTHROPIC_API_KEY=None) as service:
        for model, path in (("gpt-4o", "/chat/completions"), ("claude-sonnet-4-6", "/messages")):
            told = await service.stub.PreviewChat(preview(chat_request(model)))
            assert (told.path, told.model) == (path, model)
            assert (
                await failure_of(service.stub.Chat(chat_request(model)))
            ).code is grpc.StatusCode.FAILED_PRECONDITION
    assert not posted(upstream)


async def test_preview_of_a_registered_model_reads_no_credential(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    credential = models_pb2.Credential(env_var="ABSENT_API_KEY")
    await service.stub.RegisterModel(registration(upstream, "locked", credential=credential))
    told = await service.stub.PreviewChat(preview(chat_request("locked")))
    assert told.path == "/chat/completions"
    assert not posted(upstream)


async def test_no_credential_is_in_a_preview(service: ModelService) -> None:
    for model, key in (("gpt-4o", OPENAI_KEY), ("claude-sonnet-4-6", ANTHROPIC_KEY)):
        told = await service.stub.PreviewChat(preview(chat_request(model)))
        assert key not in str(told)


async def test_preview_reads_no_session_and_says_so(service: ModelService) -> None:
    """No Session Service runs here."""
    told = await service.stub.PreviewChat(preview(chat_request(session_id="s-1")))
    assert (told.warnings[-1].code, told.warnings[-1].field) == ("SESSION_NOT_PREVIEWED", "session_id")
    assert '"Hello!"' in told.body_json


async def test_preview_without_a_request_is_refused(service: ModelService) -> None:
    failure = await failure_of(service.stub.PreviewChat(models_pb2.PreviewChatRequest()))
    assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["request"])


WRONG: dict[str, dict[str, Any]] = {
    "a role of nobody": {"messages": [models_pb2.ChatMessage(role="robot", content="x")]},
    "no such model": {"model": "gtp-4o"},
    "no such prompt": {"system_prompt_name": "absent"},
    "no such fallback": {"fallback_models": ["gtp-4o"]},
    "what STRICT refuses": {
        "model": "claude-sonnet-4-6",
        "config": models_pb2.ChatConfig(seed=1),
        "parameter_policy": models_pb2.PARAMETER_POLICY_STRICT,
    },
}


@pytest.mark.parametrize("fields", WRONG.values(), ids=WRONG.keys())
async def test_preview_is_refused_as_chat_is(
    service: ModelService, upstream: ScriptedUpstream, fields: dict[str, Any]
) -> None:
    request = chat_request(**fields)
    told = await failure_of(service.stub.PreviewChat(preview(request)))
    chat = await failure_of(service.stub.Chat(request))
    assert (told.code, told.message, told.reason, told.fields) == (chat.code, chat.message, chat.reason, chat.fields)
    assert not posted(upstream)


async def test_body_that_does_not_fit_into_an_answer_is_refused_by_its_own_reason(service: ModelService) -> None:
    """In a body bytes are in base64, a third longer than in the request."""
    media = models_pb2.Media(data=bytes(24 * 1024 * 1024), mime_type="image/png")
    message = models_pb2.ChatMessage(role="user", parts=[Part(media=media)])
    failure = await failure_of(service.stub.PreviewChat(preview(chat_request(messages=[message]))))
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "PREVIEW_TOO_LARGE")
