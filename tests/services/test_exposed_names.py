"""Whose names strangers cannot take, what answers tell of who served, and what the log tells of registrations."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import models_pb2
from proto.models_pb2 import MODEL_SOURCE_BUILT_IN, MODEL_SOURCE_REGISTERED, ChatResponse, Credential
from services.shared.logs import open_log
from tests.rows import row
from tests.scripted_upstream import ScriptedUpstream
from tests.services.chat_in_session import chat, platform, turn
from tests.services.gateway.gateways import gateway
from tests.services.log_file import LogFile
from tests.services.model_registries import model as registered
from tests.services.model_registries import replica
from tests.services.model_service import STRANGER, ModelService, answered, chat_request, model_service, registration
from tests.support.errors import failure_of

PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
ALIASES = "fast=gpt-4o-mini,best=team-large"


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    """Where the operator's models are."""
    async with ScriptedUpstream(default=answered) as server:
        yield server


@pytest.fixture
async def theirs() -> AsyncIterator[ScriptedUpstream]:
    """A stranger's server."""
    async with ScriptedUpstream(default=answered) as server:
        yield server


def settings(**others: str) -> dict[str, Any]:
    return {"MODELS_ALLOWED_ENDPOINTS": "private", "MODELS_ALIASES": ALIASES, **others}


def deregister(service: ModelService, name: str, caller: Any = ()) -> Any:
    return service.stub.DeregisterModel(models_pb2.DeregisterModelRequest(name=name), metadata=caller)


def told(response: ChatResponse) -> tuple[Any, ...]:
    """What a caller sees of who served."""
    codes = [notice.code for notice in response.warnings if notice.code == "REGISTERED_MODEL_SERVED"]
    return response.source, response.registered_model, codes


# ------------------------------------------------------------------------------------------------- taking names


async def test_strangers_take_no_name_that_leads_to_something_else(
    tmp_path: Path, upstream: ScriptedUpstream, theirs: ScriptedUpstream
) -> None:
    names = ["gpt-4o", "GPT-4o", "gpt-9", "openai/gpt-4o", "claude-9", "fast", "FAST", "team-large"]
    async with model_service(tmp_path, upstream, **settings()) as service:
        for name, validate_only in itertools.product(names, (True, False)):
            for request in (registration(theirs, name), registration(theirs, "free", aliases=[name])):
                with row(name, validate_only, request.name):
                    request.validate_only = validate_only
                    failure = await failure_of(service.stub.RegisterModel(request, metadata=STRANGER))
                    assert failure.reason in ("NAME_RESERVED", "ALIAS_TAKEN")
                    if failure.reason == "NAME_RESERVED":
                        assert failure.metadata["endpoint_status"] == "healthy"
        listed = await service.stub.ListRegisteredModels(models_pb2.ListRegisteredModelsRequest())
    assert not listed.models
    assert {request.path for request in theirs.requests} <= {"/health"}


async def test_strangers_change_and_remove_nothing_that_is_registered(
    tmp_path: Path, upstream: ScriptedUpstream, theirs: ScriptedUpstream
) -> None:
    async with model_service(tmp_path, upstream, **settings()) as service:
        await service.stub.RegisterModel(registration(upstream, "ours"))
        await service.stub.RegisterModel(registration(upstream, "a-strangers", aliases=["other"]), metadata=STRANGER)
        for name in ("ours", "a-strangers"):
            for validate_only in (True, False):
                request = registration(theirs, name, validate_only=validate_only)
                failure = await failure_of(service.stub.RegisterModel(request, metadata=STRANGER))
                assert (failure.code, failure.reason, failure.metadata["name"]) == (PRECONDITION, "NAME_TAKEN", name)
                assert "told apart" in failure.message
            failure = await failure_of(deregister(service, name, STRANGER))
            assert (failure.code, failure.reason) == (PRECONDITION, "NAME_TAKEN")
            await service.stub.Chat(chat_request(name))
        failure = await failure_of(service.stub.RegisterModel(registration(theirs, "other"), metadata=STRANGER))
        assert failure.code is grpc.StatusCode.ALREADY_EXISTS
        assert (await failure_of(deregister(service, "nobodys", STRANGER))).code is grpc.StatusCode.NOT_FOUND
        assert {request.path for request in theirs.requests} == {"/health"}

        same = await service.stub.RegisterModel(registration(upstream, "ours"), metadata=STRANGER)
        assert not same.created
        replaced = await service.stub.RegisterModel(registration(theirs, "a-strangers"))
        assert (replaced.created, replaced.model.untrusted) == (True, False)
        await deregister(service, "a-strangers")


async def test_operator_may_let_anybody_take_names(
    tmp_path: Path, upstream: ScriptedUpstream, theirs: ScriptedUpstream
) -> None:
    async with model_service(tmp_path, upstream, **settings(MODELS_OVERRIDES="allow")) as service:
        await service.stub.RegisterModel(registration(upstream, "ours"))
        for name in ("ours", "gpt-4o", "fast"):
            await service.stub.RegisterModel(registration(theirs, name), metadata=STRANGER)
            await service.stub.Chat(chat_request(name))
        assert len([request for request in theirs.requests if request.method == "POST"]) == 3
        await deregister(service, "ours", STRANGER)


async def test_operator_may_keep_everybody_from_taking_names(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with model_service(tmp_path, upstream, **settings(MODELS_OVERRIDES="refuse")) as service:
        await service.stub.RegisterModel(registration(upstream, "ours"))
        for call, reason in (
            (service.stub.RegisterModel(registration(upstream, "gpt-4o")), "NAME_RESERVED"),
            (service.stub.RegisterModel(registration(upstream, "ours", provider="x")), "NAME_TAKEN"),
            (deregister(service, "ours"), "NAME_TAKEN"),
        ):
            assert (await failure_of(call)).reason == reason


async def test_name_that_the_operator_gives_later_is_the_operators(
    tmp_path: Path, upstream: ScriptedUpstream, theirs: ScriptedUpstream
) -> None:
    """And one that was taken while that was allowed comes back when it no longer is."""
    first = settings(MODELS_OVERRIDES="allow", MODELS_ALIASES="")
    async with model_service(tmp_path, upstream, **first) as service:
        await service.stub.RegisterModel(registration(theirs, "gpt-4o", aliases=["mine"]), metadata=STRANGER)
        await service.stub.RegisterModel(registration(theirs, "fast"), metadata=STRANGER)
    theirs.requests.clear()
    async with model_service(tmp_path, upstream, **settings()) as service:
        for name in ("gpt-4o", "fast"):
            assert told(await service.stub.Chat(chat_request(name))) == (MODEL_SOURCE_BUILT_IN, "", [])
        assert not [request for request in theirs.requests if request.method == "POST"]
        assert told(await service.stub.Chat(chat_request("mine"))) == (MODEL_SOURCE_REGISTERED, "gpt-4o", [])
        listed = await service.stub.ListModels(models_pb2.ListModelsRequest(page_size=1000))
        assert [model.source for model in listed.models if model.name == "gpt-4o"] == [MODEL_SOURCE_BUILT_IN]
        kept = await service.stub.ListRegisteredModels(models_pb2.ListRegisteredModelsRequest())
        assert {model.name: model.overrides_builtin for model in kept.models} == {"fast": False, "gpt-4o": False}


async def test_other_replicas_know_whose_a_registration_is(database_url: str) -> None:
    async with replica(database_url) as here, replica(database_url) as there:
        await here.registry.register(registered("ours"))
        await here.registry.register(registered("theirs"), by_stranger=True)
        await there.sees(lambda registry: set(registry.names) == {"ours", "theirs"})
        trust = {name: model.untrusted for name in ("ours", "theirs") if (model := there.registry.find(name))}
    assert trust == {"ours": False, "theirs": True}


# ------------------------------------------------------------------------------------------------ who has served


SERVED = [
    ("gpt-4o", (MODEL_SOURCE_BUILT_IN, "", [])),
    ("fast", (MODEL_SOURCE_BUILT_IN, "", [])),
    ("gpt-9-of-tomorrow", (models_pb2.MODEL_SOURCE_UNSPECIFIED, "", [])),
    ("mine", (MODEL_SOURCE_REGISTERED, "mine", [])),
    ("also-mine", (MODEL_SOURCE_REGISTERED, "mine", [])),
    ("best", (MODEL_SOURCE_REGISTERED, "team-large", [])),
    ("claude-sonnet-5", (MODEL_SOURCE_REGISTERED, "claude-sonnet-5", ["REGISTERED_MODEL_SERVED"])),
    ("smart", (MODEL_SOURCE_REGISTERED, "claude-sonnet-5", ["REGISTERED_MODEL_SERVED"])),
    ("quick", (MODEL_SOURCE_REGISTERED, "quick", ["REGISTERED_MODEL_SERVED"])),
]


async def test_every_answer_tells_whether_a_registered_model_served(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    aliases = f"{ALIASES},smart=claude-sonnet-5,quick=gpt-4o"
    log = LogFile()
    async with platform(tmp_path, upstream, log=open_log("models", file=log), **settings(MODELS_ALIASES=aliases)) as p:
        for registering in ("mine", "team-large", "claude-sonnet-5", "quick"):
            own_aliases = ["also-mine"] if registering == "mine" else []
            await p.models.RegisterModel(registration(upstream, registering, provider="openai", aliases=own_aliases))
        for number, (name, expected) in enumerate(SERVED, start=1):
            with row(name):
                for verb in ("Chat", "ChatStream"):
                    for request in (chat_request(name), turn("Hello!", name)):
                        assert told(await chat(p.models, request, verb)) == expected
                preview = await p.models.PreviewChat(models_pb2.PreviewChatRequest(request=chat_request(name)))
                assert told(preview) == expected
                logged = (await log.calls(4 + 5 * number))[-5:]
                assert [entry.get("registered_model", "") for entry in logged] == [expected[1]] * 5


# --------------------------------------------------------------------------------------------------------- the log


async def test_log_tells_of_every_registration_what_goes_where(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    log = LogFile()
    key = Credential(env_var="TEAM_API_KEY")
    endpoint = f"{upstream.url}/v1"
    async with model_service(tmp_path, upstream, log=open_log("models", file=log), **settings()) as service:
        await service.stub.RegisterModel(registration(upstream, credential=key, validate_only=True))
        await service.stub.RegisterModel(registration(upstream, credential=key, aliases=["also-mine"]))
        await service.stub.RegisterModel(registration(upstream, credential=key, aliases=["also-mine"]))
        await service.stub.RegisterModel(registration(upstream))
        for request in (
            registration(upstream, "gpt-4o"),
            registration(upstream, "other", credential=key),
            registration(upstream, "mine", provider="x"),
            registration(upstream, "other", endpoint="http://ann:hunter2@models.example/v1?key=hunter2"),
            registration(upstream, "other", credential=Credential(env_var="sk-hunter2")),
        ):
            await failure_of(service.stub.RegisterModel(request, metadata=STRANGER))
        await failure_of(deregister(service, "mine", STRANGER))
        await deregister(service, "mine")
        lines = await log.calls(11)
    facts = ("code", "reason", "model", "endpoint", "adapter", "credential", "outcome")
    known = {"model": "mine", "endpoint": endpoint, "adapter": "openai-compatible"}
    with_key = {"code": "OK", **known, "credential": "TEAM_API_KEY"}
    refused = {**known, "code": "FAILED_PRECONDITION"}
    assert [{fact: line[fact] for fact in facts if fact in line} for line in lines] == [
        {**with_key, "outcome": "validated"},
        {**with_key, "outcome": "created"},
        {**with_key, "outcome": "unchanged"},
        {**known, "code": "OK", "outcome": "replaced"},
        {**refused, "reason": "NAME_RESERVED", "model": "gpt-4o"},
        {**with_key, "code": "INVALID_ARGUMENT", "reason": "INVALID_REQUEST", "model": "other"},
        {**refused, "reason": "NAME_TAKEN"},
        {
            **known,
            "code": "INVALID_ARGUMENT",
            "reason": "INVALID_REQUEST",
            "model": "other",
            "endpoint": "http://models.example/v1",
        },
        {
            **known,
            "code": "INVALID_ARGUMENT",
            "reason": "INVALID_REQUEST",
            "model": "other",
            "credential": "(no variable)",
        },
        {"code": "FAILED_PRECONDITION", "reason": "NAME_TAKEN", "model": "mine"},
        {"code": "OK", "model": "mine", "outcome": "removed"},
    ]
    assert [line["untrusted"] for line in lines] == [False] * 4 + [True] * 6 + [False]
    assert all(line["caller"] for line in lines)
    assert lines[1]["aliases"] == ["also-mine"]
    assert "hunter2" not in json.dumps(lines)


# --------------------------------------------------------------------------------------------- through the gateway


@pytest.mark.parametrize("exposed", [True, False])
async def test_callers_of_an_exposed_gateway_are_strangers_whatever_they_say(
    tmp_path: Path, upstream: ScriptedUpstream, theirs: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, exposed: bool
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "canary")
    method = f"/{models_pb2.DESCRIPTOR.services_by_name['ModelService'].full_name}/RegisterModel"
    requests = (registration(theirs, "gpt-4o"), registration(theirs, credential=Credential(env_var="STRIPE_API_KEY")))
    async with model_service(tmp_path, upstream) as service, gateway(models=service.address, exposed=exposed) as front:
        for request in requests:
            call = front.channel.unary_unary(method)(
                request.SerializeToString(), metadata=(("x-genai-exposed", ""), ("x-genai-caller", "operator"))
            )
            if exposed:
                assert (await failure_of(call)).code is grpc.StatusCode.INVALID_ARGUMENT
            else:
                assert models_pb2.RegisterModelResponse.FromString(await call).created
            await service.stub.Chat(chat_request("gpt-4o"))
    assert bool([request for request in theirs.requests if request.method == "POST"]) is not exposed
    assert ("canary" in str([request.headers for request in theirs.requests])) is not exposed
