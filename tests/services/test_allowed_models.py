"""The models that a key may call, in every call that names one, and the trust in callers with keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from proto import models_pb2
from proto.identity_pb2 import CallerIdentity
from services.models.access.allowed_models import AllowedModels
from tests.scripted_upstream import ScriptedUpstream, json_answer
from tests.services.model_service import (
    STRANGER,
    ModelService,
    answered,
    chat_request,
    model_service,
    registration,
)
from tests.support.callers import SCOPES, all_asked, caller, signed
from tests.support.errors import Failure, failure_of

DENIED = (grpc.StatusCode.PERMISSION_DENIED, "MODEL_NOT_ALLOWED")
NOT_FOUND = (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
RETIRED, REPLACEMENT = "claude-3-5-haiku", "claude-haiku-4-5"


@pytest.fixture(autouse=True)
def asked() -> Iterator[None]:
    with all_asked():
        yield


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=answered) as server:
        yield server


@pytest.fixture
async def service(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[ModelService]:
    """A service with aliases and fallbacks of the operator's, and a registered model `mine` called `own`."""
    settings = {
        "MODELS_ALIASES": "fast=gpt-4o-mini,old=claude-3-5-haiku",
        "MODELS_FALLBACKS": "gpt-4o=gpt-4o-mini+claude-haiku-4-5",
        "MODELS_MAX_ATTEMPTS": "3",
        "MODELS_ALLOWED_ENDPOINTS": "private",
    }
    async with model_service(tmp_path, upstream, **settings) as service:
        request = registration(upstream, provider="house", upstream_model="llama", aliases=["own"])
        await service.stub.RegisterModel(request, metadata=signed(caller("p", scopes=(*SCOPES, "admin"))))
        upstream.requests.clear()
        yield service


def limited(*patterns: str, **fields: Any) -> CallerIdentity:
    return caller("p", model_globs=patterns, **fields)


@pytest.mark.parametrize(
    ("patterns", "names", "is_match"),
    [
        (["gpt-4o"], ["gpt-4o"], True),
        (["gpt-4o"], ["gpt-4o-mini"], False),
        (["gpt-4o*"], ["gpt-4o-mini"], True),
        (["*"], ["anything/at all"], True),
        (["openai/*"], ["gpt-4o", "openai/gpt-4o"], True),
        (["*/llama-*-8b"], ["house/llama-3.1-8b"], True),
        (["gpt.4o", "gpt-[45]o", "gpt-?o"], ["gpt-4o"], False),
        (["a", "b*"], ["bc"], True),
        ([""], ["a"], False),
        ([], ["a"], True),
    ],
)
def test_patterns_have_one_sign(patterns: Sequence[str], names: Sequence[str], is_match: bool) -> None:
    assert AllowedModels(patterns).has(names) == is_match


@pytest.mark.parametrize(
    ("pattern", "can", "cannot"),
    [
        ("gpt-4o-mini", ["gpt-4o-mini", "fast", "openai/gpt-4o-mini"], ["gpt-4o", "mine"]),
        ("openai/*", ["gpt-4o-mini", "fast", "gpt-4o"], ["mine", REPLACEMENT]),
        ("fast", ["fast"], ["gpt-4o-mini", "openai/gpt-4o-mini"]),
        ("mine", ["mine", "own"], ["fast"]),
        ("own", ["own"], ["mine"]),
        ("house/llama", ["mine", "own"], ["gpt-4o"]),
        (RETIRED, [], [RETIRED, "old", REPLACEMENT]),
        ("old", [], ["old", RETIRED]),
        (REPLACEMENT, [REPLACEMENT, RETIRED, "old"], ["anthropic/claude-3-5-haiku-20241022"]),
    ],
)
async def test_the_name_or_what_answers_must_be_allowed(
    service: ModelService, upstream: ScriptedUpstream, pattern: str, can: Sequence[str], cannot: Sequence[str]
) -> None:
    metadata = signed(limited(pattern))
    for name in can:
        request = chat_request(name)
        assert (await service.stub.Chat(request, metadata=metadata)).text == "Hi."
        assert await service.stub.PreviewChat(models_pb2.PreviewChatRequest(request=request), metadata=metadata)
        assert await service.stub.GetModelCapabilities(models_pb2.GetCapabilitiesRequest(model=name), metadata=metadata)
    upstream.requests.clear()
    for name in cannot:
        for failure in await refusals(service, chat_request(name), metadata):
            assert (failure.code, failure.reason) == DENIED
            assert failure.metadata.items() >= {"model": name, "allowed": pattern, "field": "model"}.items()
        for failure in await questions(service, name, metadata):
            unknown = await questions(service, "no-such-model", metadata)
            assert (failure.code, failure.reason) == NOT_FOUND
            assert failure.message.replace(name, "no-such-model") == unknown[0].message
    assert not [request for request in upstream.requests if request.method == "POST"]


async def refusals(service: ModelService, request: models_pb2.ChatRequest, metadata: Any) -> list[Failure]:
    """The errors of a chat by every verb."""
    cached = models_pb2.ChatRequest()
    cached.CopyFrom(request)
    cached.cache.SetInParent()
    preview = models_pb2.PreviewChatRequest(request=request)
    return [
        await failure_of(service.stub.Chat(request, metadata=metadata)),
        await failure_of(service.stub.Chat(cached, metadata=metadata)),
        await failure_of(service.stub.ChatStream(request, metadata=metadata).read()),
        await failure_of(service.stub.PreviewChat(preview, metadata=metadata)),
    ]


async def questions(service: ModelService, name: str, metadata: Any) -> list[Failure]:
    """The errors of the calls that ask about a model."""
    return [
        await failure_of(
            service.stub.GetModelCapabilities(models_pb2.GetCapabilitiesRequest(model=name), metadata=metadata)
        ),
        await failure_of(service.stub.GetModelStatus(models_pb2.GetModelStatusRequest(name=name), metadata=metadata)),
    ]


async def test_lists_have_what_may_be_called(service: ModelService) -> None:
    async def listed(*patterns: str) -> dict[str, list[str]]:
        request = models_pb2.ListModelsRequest(page_size=1000)
        response = await service.stub.ListModels(request, metadata=signed(limited(*patterns)))
        return {model.name: list(model.aliases) for model in response.models}

    assert await listed("gpt-4o-mini", "house/*") == {"gpt-4o-mini": ["fast"], "mine": ["own"]}
    assert await listed("fast") == {"gpt-4o-mini": ["fast"]}
    assert {RETIRED, REPLACEMENT} <= (await listed(REPLACEMENT)).keys()
    assert RETIRED not in await listed(RETIRED)
    assert len(await listed()) > 10

    async def registered(*patterns: str) -> list[str]:
        request = models_pb2.ListRegisteredModelsRequest()
        response = await service.stub.ListRegisteredModels(request, metadata=signed(limited(*patterns)))
        return [model.name for model in response.models]

    assert [await registered(pattern) for pattern in ("own", "house/*", "gpt-*")] == [["mine"], ["mine"], []]


async def test_a_refusal_names_ten_patterns(service: ModelService) -> None:
    patterns = [f"model-{number}" for number in range(20)]
    failure = await failure_of(service.stub.Chat(chat_request(), metadata=signed(limited(*patterns))))
    assert failure.metadata["allowed"].split(", ") == patterns[:10]


async def test_fallbacks_must_be_allowed_too(service: ModelService, upstream: ScriptedUpstream) -> None:
    request = chat_request("gpt-4o", fallback_models=["gpt-4o-mini", "mine"])
    for failure in await refusals(service, request, signed(limited("gpt-*"))):
        assert (failure.code, failure.reason) == DENIED
        assert failure.metadata.items() >= {"model": "mine", "field": "fallback_models[1]"}.items()
    assert not upstream.requests

    # Of the operator's, those that are not allowed are not tried.
    no_quota = json_answer({"error": {"message": "no", "code": "insufficient_quota"}}, status=429)
    for patterns, served in [(["gpt-*"], "gpt-4o-mini"), (["gpt-4o", REPLACEMENT], REPLACEMENT), ([], "gpt-4o-mini")]:
        upstream.play(no_quota)
        response = await service.stub.Chat(chat_request("gpt-4o"), metadata=signed(limited(*patterns)))
        assert response.model == served
    upstream.requests.clear()
    upstream.play(no_quota)
    failure = await failure_of(service.stub.Chat(chat_request("gpt-4o"), metadata=signed(limited("gpt-4o"))))
    assert len(upstream.requests) == 1
    assert "mini" not in str(failure)


async def test_a_session_needs_its_scope_before_anything_is_spent(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    metadata = signed(caller("p", scopes=["generate"]))
    assert (await service.stub.Chat(chat_request(), metadata=metadata)).text == "Hi."
    upstream.requests.clear()
    failure = await failure_of(service.stub.Chat(chat_request(session_id="s"), metadata=metadata))
    assert (failure.reason, failure.metadata["scope"]) == ("SCOPE_MISSING", "sessions")
    assert not upstream.requests


async def test_administrators_are_no_strangers(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with model_service(tmp_path, upstream, MODELS_ALLOWED_ENDPOINTS="private") as service:
        for scopes, untrusted in [(SCOPES, True), ((*SCOPES, "admin"), False)]:
            request = registration(upstream, name=f"by-{len(scopes)}")
            metadata = (*signed(caller("p", scopes=scopes)), *STRANGER)
            response = await service.stub.RegisterModel(request, metadata=metadata)
            assert response.model.untrusted == untrusted


async def test_rates_are_administrators_to_set(service: ModelService, upstream: ScriptedUpstream) -> None:
    rates = {"capabilities": {"prices": {"prompt_nano_usd": 10**9}}}
    # A new model, and a change of one that is there.
    for name in ("dear", "mine"):
        for validate_only in (True, False):
            request = registration(upstream, name=name, validate_only=validate_only, **rates)
            failure = await failure_of(service.stub.RegisterModel(request, metadata=signed(caller("p"))))
            assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
            expected = {"field": "capabilities.prices", "scope": "admin"}
            assert failure.metadata.items() >= expected.items()
            assert "capabilities.prices" in failure.message
            assert "`admin`" in failure.message
    assert (await service.stub.Chat(chat_request("mine"), metadata=signed(caller("p")))).text == "Hi."
    assert not (await service.stub.Chat(chat_request("mine"), metadata=signed(caller("p")))).usage.HasField(
        "cost_nano_usd"
    )
    administrator = signed(caller("p", scopes=(*SCOPES, "admin")))
    response = await service.stub.RegisterModel(registration(upstream, name="dear", **rates), metadata=administrator)
    assert response.model.capabilities.prices.prompt_nano_usd == 10**9
