"""Registered models: callable at once, under their names and aliases, until they are deregistered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import models_pb2
from tests.rows import row
from tests.scripted_upstream import Received, ScriptedUpstream, answer, event, event_stream
from tests.services.model_service import (
    ModelService,
    answered,
    chat_request,
    model_service,
    piece,
    registration,
    streamed_completion,
)
from tests.support.errors import failure_of, stream_failure


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=answered) as server:
        yield server


def chats(upstream: ScriptedUpstream) -> list[Received]:
    """The generating requests, without the probes."""
    return [request for request in upstream.requests if request.method == "POST"]


async def deregister(service: ModelService, name: str) -> models_pb2.DeregisterModelResponse:
    response: models_pb2.DeregisterModelResponse = await service.stub.DeregisterModel(
        models_pb2.DeregisterModelRequest(name=name)
    )
    return response


async def test_registered_model_is_called_at_once_by_name_and_alias(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    request = registration(upstream, "mine", aliases=["also-mine"], upstream_model="tiny", provider="acme")
    registered = await service.stub.RegisterModel(request)
    assert registered.created
    assert registered.model.status == "healthy"
    model = registered.model
    assert (registered.name, registered.status, registered.registered_at) == ("mine", "healthy", model.registered_at)
    assert registered.registered_at
    for name in ("mine", "also-mine"):
        response = await service.stub.Chat(chat_request(name))
        assert (response.text, response.provider) == ("Hi.", "acme")
        tokens = [chunk.token async for chunk in service.stub.ChatStream(chat_request(name))]
        assert "".join(tokens) == "Hi."
    assert {request.json()["model"] for request in chats(upstream)} == {"tiny"}
    assert not any("authorization" in request.headers for request in chats(upstream))


@pytest.mark.parametrize(
    ("adapter_type", "path", "streams"),
    [
        ("openai", "/v1/chat/completions", False),
        ("vllm", "/v1/chat/completions", False),
        ("openai-compatible", "/v1/chat/completions", True),
        ("anthropic", "/v1/messages", True),
    ],
)
async def test_registered_model_is_asked_in_its_dialect(
    service: ModelService, upstream: ScriptedUpstream, adapter_type: str, path: str, streams: bool
) -> None:
    """Servers that would generate to the end for a caller who has left are asked for a stream by Chat, too."""
    await service.stub.RegisterModel(registration(upstream, adapter_type=adapter_type))
    assert (await service.stub.Chat(chat_request("mine"))).text == "Hi."
    sent = chats(upstream)[0]
    assert sent.path == path
    assert sent.json().get("stream", False) == streams
    assert ("anthropic-version" in sent.headers) == (adapter_type == "anthropic")


async def test_registered_model_overrides_a_built_in_one_and_gives_its_name_back(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    registered = await service.stub.RegisterModel(registration(upstream, "gpt-4o", upstream_model="tiny"))
    assert registered.model.overrides_builtin
    assert [notice.code for notice in registered.warnings] == ["OVERRIDES_BUILTIN"]
    response = await service.stub.Chat(chat_request("gpt-4o"))
    assert (response.provider, chats(upstream)[-1].json()["model"]) == ("openai-compatible", "tiny")
    assert [(notice.code, notice.field) for notice in response.warnings] == [("REGISTERED_MODEL_SERVED", "model")]
    assert (response.source, response.registered_model) == (models_pb2.MODEL_SOURCE_REGISTERED, "gpt-4o")
    listed = await service.stub.ListModels(models_pb2.ListModelsRequest())
    assert [model.source for model in listed.models if model.name == "gpt-4o"] == [models_pb2.MODEL_SOURCE_REGISTERED]

    assert (await deregister(service, "gpt-4o")).builtin_restored
    response = await service.stub.Chat(chat_request("gpt-4o"))
    assert (response.provider, chats(upstream)[-1].json()["model"]) == ("openai", "gpt-4o")
    assert (response.source, response.registered_model) == (models_pb2.MODEL_SOURCE_BUILT_IN, "")


async def test_deregistered_model_is_gone_at_once(service: ModelService, upstream: ScriptedUpstream) -> None:
    await service.stub.RegisterModel(registration(upstream, aliases=["also-mine"]))
    assert not (await deregister(service, "mine")).builtin_restored
    for name in ("mine", "also-mine"):
        failure = await failure_of(service.stub.Chat(chat_request(name)))
        assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
    failure = await failure_of(deregister(service, "mine"))
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")


async def test_stream_of_a_model_that_is_deregistered_meanwhile_comes_to_its_end(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    await service.stub.RegisterModel(registration(upstream))
    gate = asyncio.Event()
    upstream.play(streamed_completion(piece("a"), gate, piece("b")))
    stream = aiter(service.stub.ChatStream(chat_request("mine")))
    assert (await anext(stream)).token == "a"
    await deregister(service, "mine")
    gate.set()
    assert "".join([chunk.token async for chunk in stream]) == "b"


async def test_registration_survives_a_restart(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    request = registration(upstream, "mine", aliases=["also-mine"], upstream_model="tiny")
    async with model_service(tmp_path, upstream) as before:
        await before.stub.RegisterModel(request)
    async with model_service(tmp_path, upstream) as after:
        assert (await after.stub.Chat(chat_request("also-mine"))).text == "Hi."
        assert chats(upstream)[-1].json()["model"] == "tiny"
        listed = await after.stub.ListRegisteredModels(models_pb2.ListRegisteredModelsRequest())
        assert [model.name for model in listed.models] == ["mine"]
        assert not (await after.stub.RegisterModel(request)).created
        await deregister(after, "mine")
    async with model_service(tmp_path, upstream) as later:
        failure = await failure_of(later.stub.Chat(chat_request("mine")))
        assert failure.code is grpc.StatusCode.NOT_FOUND


async def test_default_options_lie_under_the_request(service: ModelService, upstream: ScriptedUpstream) -> None:
    options = '{"chat_template_kwargs": {"thinking": false}, "temperature": 0.25, "top_p": 0.5}'
    await service.stub.RegisterModel(registration(upstream, default_options_json=options))
    config = models_pb2.ChatConfig(temperature=0)
    await service.stub.Chat(chat_request("mine", config=config))
    body = chats(upstream)[0].json()
    assert body["chat_template_kwargs"] == {"thinking": False}
    assert (body["temperature"], body["top_p"]) == (0, 0.5)


async def test_options_of_the_request_reach_only_the_provider_they_are_for(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    await service.stub.RegisterModel(registration(upstream, adapter_type="vllm"))
    options = {"vllm": '{"min_p": 0.1}', "openai": '{"store": true}'}
    for model in ("mine", "gpt-4o"):
        await service.stub.Chat(chat_request(model, provider_options_json=options))
    of_vllm, of_openai = (request.json() for request in chats(upstream))
    assert ("min_p" in of_vllm, "store" in of_vllm) == (True, False)
    assert ("min_p" in of_openai, "store" in of_openai) == (False, True)


async def test_options_that_would_change_the_question_are_refused(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    for member in ["model", "messages", "stream", "system", "mod\\u0065l"]:
        with row(member):
            options = f'{{"temperature": 1, "{member}": "x"}}'
            failure = await failure_of(
                service.stub.RegisterModel(registration(upstream, "other", default_options_json=options))
            )
            assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
            assert list(failure.fields) == ["default_options_json"]
            failure = await failure_of(service.stub.Chat(chat_request(provider_options_json={"openai": options})))
            assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
            assert list(failure.fields) == ["provider_options_json[openai]"]
            assert not upstream.requests


async def test_credential_is_read_from_its_variable(
    service: ModelService, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential = models_pb2.Credential(env_var="ACME_API_KEY")
    monkeypatch.delenv("ACME_API_KEY", raising=False)
    for name, adapter_type in (("mine", "openai-compatible"), ("claudish", "anthropic")):
        request = registration(upstream, name, adapter_type=adapter_type, credential=credential)
        await service.stub.RegisterModel(request)
    failure = await failure_of(service.stub.Chat(chat_request("mine")))
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CREDENTIAL_MISSING")
    assert "ACME_API_KEY" in failure.message
    assert not upstream.requests

    monkeypatch.setenv("ACME_API_KEY", "acme-key\n")
    await service.stub.Chat(chat_request("mine"))
    await service.stub.Chat(chat_request("claudish"))
    of_mine, of_claudish = (request.headers for request in chats(upstream))
    assert of_mine["authorization"] == "Bearer acme-key"
    assert of_claudish["x-api-key"] == "acme-key"
    assert "authorization" not in of_claudish


async def test_parameter_that_the_registration_names_as_unsupported_is_left_out(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    capabilities = models_pb2.ModelCapabilities(unsupported_parameters=["temperature"])
    await service.stub.RegisterModel(registration(upstream, capabilities=capabilities))
    config = models_pb2.ChatConfig(temperature=0.5, top_p=0.5)
    response = await service.stub.Chat(chat_request("mine", config=config))
    assert [(notice.code, notice.field) for notice in response.warnings] == [
        ("PARAMETER_DROPPED", "config.temperature")
    ]
    body = chats(upstream)[0].json()
    assert ("temperature" in body, body["top_p"]) == (False, 0.5)


async def test_capabilities_are_those_of_the_registration(service: ModelService, upstream: ScriptedUpstream) -> None:
    capabilities = models_pb2.ModelCapabilities(context_window=2048, supports_tools=False)
    await service.stub.RegisterModel(registration(upstream, capabilities=capabilities, aliases=["also-mine"]))
    for name in ("mine", "also-mine"):
        found = await service.stub.GetModelCapabilities(models_pb2.GetCapabilitiesRequest(model=name))
        assert (found.context_window, found.source) == (2048, "registration")
        assert found.HasField("supports_tools")
        assert not found.HasField("supports_vision")


@pytest.mark.parametrize("name", ["mine", "also-mine"])
async def test_status_of_a_registered_model_is_what_its_server_says(
    service: ModelService, upstream: ScriptedUpstream, name: str
) -> None:
    upstream.play(answer(b"", status=503))
    registered = await service.stub.RegisterModel(registration(upstream, aliases=["also-mine"]))
    assert registered.model.status == "unhealthy"
    assert [notice.code for notice in registered.warnings] == ["HTTP_STATUS"]
    status = await service.stub.GetModelStatus(models_pb2.GetModelStatusRequest(name=name))
    assert (status.name, status.reason) == ("mine", "HTTP_STATUS")
    assert status.endpoint == f"{upstream.url}/health"


async def test_fault_of_a_registered_model_names_its_provider(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    await service.stub.RegisterModel(registration(upstream, provider="acme"))
    upstream.play(event_stream(piece("a"), event({"error": {"message": "dead", "code": 500}})))
    _, failure = await stream_failure(service.stub.ChatStream(chat_request("mine")))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_SERVER_ERROR")
    assert failure.metadata["provider"] == "acme"


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"name": ""}, "name"),
    "no endpoint": ({"endpoint": ""}, "endpoint"),
    "a file": ({"endpoint": "file:///etc/passwd"}, "endpoint"),
    "a key in the endpoint": ({"endpoint": "http://user:key@localhost/v1"}, "endpoint"),
    "an adapter of nobody": ({"adapter_type": "carrier-pigeon"}, "adapter_type"),
    "options that are no object": ({"default_options_json": "[1]"}, "default_options_json"),
    "options that are no JSON": ({"default_options_json": "{"}, "default_options_json"),
    "a variable that is no key": ({"credential": models_pb2.Credential(env_var="PATH")}, "credential.env_var"),
    "the key of a vendor": ({"credential": models_pb2.Credential(env_var="OPENAI_API_KEY")}, "credential.env_var"),
}


async def test_registration_that_cannot_work_is_refused_by_its_field(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    for fields, path in INVALID.values():
        with row(path):
            failure = await failure_of(service.stub.RegisterModel(registration(upstream, **{"name": "mine", **fields})))
            assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
            assert list(failure.fields) == [path]
            assert not upstream.requests
