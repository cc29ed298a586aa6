"""What is learned of registered models from their servers' own lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proto import models_pb2
from services.models.catalog.listings import MAX_SERVED_NAMES, Listing, listed_facts
from services.shared import json_text
from tests.scripted_upstream import ScriptedUpstream, answer, json_answer
from tests.services.model_service import ModelService, model_service, registration
from tests.services.recent_days import recent_days


@pytest.fixture
async def service(tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[ModelService]:
    async with model_service(tmp_path) as service:
        yield service


def vllm_list(*names: str, max_model_len: Any = 4096) -> Any:
    """As vLLM lists what it serves under several names."""
    cards = [{"id": name, "object": "model", "owned_by": "vllm", "max_model_len": max_model_len} for name in names]
    return json_answer({"object": "list", "data": cards})


def llama_cpp_list(name: str, n_ctx: int) -> Any:
    """As llama.cpp lists its one model."""
    meta = {"n_ctx": n_ctx, "n_ctx_train": 131072, "n_vocab": 49152}
    return json_answer({"object": "list", "data": [{"id": name, "owned_by": "llamacpp", "meta": meta}]})


async def told_of(service: ModelService, name: str = "mine") -> models_pb2.ModelCapabilities:
    """What all three calls that show a model's capabilities say alike."""
    request = models_pb2.GetCapabilitiesRequest(model=name)
    told: models_pb2.ModelCapabilities = await service.stub.GetModelCapabilities(request)
    models = (await service.stub.ListModels(models_pb2.ListModelsRequest())).models
    registered = (await service.stub.ListRegisteredModels(models_pb2.ListRegisteredModelsRequest())).models
    assert told == next(model.capabilities for model in models if model.name == name)
    assert told == next(model.capabilities for model in registered if model.name == name)
    return told


async def test_context_window_and_names_are_learned_from_vllm(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(answer(b""), vllm_list("qwen", "mine"))
    request = registration(upstream, adapter_type="vllm", health_check="")
    registered = (await service.stub.RegisterModel(request)).model
    told = await told_of(service)
    assert registered.capabilities == told
    assert (told.context_window, list(told.served_names)) == (4096, ["qwen", "mine"])
    assert told.source == "registration+provider"
    assert told.as_of in recent_days()


async def test_vllm_teaches_beside_a_health_check_of_its_own(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.play(answer(b""), vllm_list("mine"))
    await service.stub.RegisterModel(registration(upstream, adapter_type="vllm", health_check="/ready"))
    assert [request.path for request in upstream.requests] == ["/ready", "/v1/models"]
    assert (await told_of(service)).context_window == 4096


async def test_vllm_that_hides_its_list_is_judged_by_its_health_check(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(answer(b""), answer(b"", status=404))
    request = registration(upstream, adapter_type="vllm", health_check="/ready")
    assert (await service.stub.RegisterModel(request)).model.status == "healthy"


async def test_vllm_that_serves_another_model_is_degraded_whatever_its_health_check_says(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(answer(b""), vllm_list("other"))
    response = await service.stub.RegisterModel(registration(upstream, adapter_type="vllm", health_check="/ready"))
    assert response.model.status == "degraded"
    assert [notice.code for notice in response.warnings] == ["MODEL_NOT_SERVED"]


async def test_context_window_is_learned_from_llama_cpp(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.play(llama_cpp_list("smollm2.gguf", 2048))
    await service.stub.RegisterModel(registration(upstream, upstream_model="smollm2.gguf", health_check=""))
    told = await told_of(service)
    assert (told.context_window, list(told.served_names)) == (2048, ["smollm2.gguf"])


async def test_registration_wins_over_what_its_server_says(service: ModelService, upstream: ScriptedUpstream) -> None:
    upstream.play(answer(b""), vllm_list("mine", "other"))
    said = models_pb2.ModelCapabilities(
        context_window=1024, served_names=["mine"], source="model card", as_of="2026-01-01", supports_tools=False
    )
    request = registration(upstream, adapter_type="vllm", health_check="", capabilities=said)
    await service.stub.RegisterModel(request)
    assert await told_of(service) == said


async def test_what_the_registration_leaves_open_is_filled_and_says_so(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(answer(b""), vllm_list("mine"))
    said = models_pb2.ModelCapabilities(supports_vision=True, source="model card", as_of="2026-01-01")
    request = registration(upstream, adapter_type="vllm", health_check="", capabilities=said)
    await service.stub.RegisterModel(request)
    told = await told_of(service)
    assert (told.supports_vision, told.context_window) == (True, 4096)
    assert told.source == "model card+provider"
    assert told.as_of in recent_days()


async def test_newest_probe_replaces_what_was_learned_and_a_failed_one_does_not(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(vllm_list("mine"))
    await service.stub.RegisterModel(registration(upstream, health_check=""))
    upstream.default = answer(b"", status=500)
    await probe_anew(service, "unhealthy")
    assert (await told_of(service)).context_window == 4096
    upstream.default = vllm_list("mine", max_model_len=8192)
    await probe_anew(service, "healthy")
    assert (await told_of(service)).context_window == 8192


async def probe_anew(service: ModelService, expected: str) -> None:
    """Asks for the status until it is another: one that is younger than a second is not asked for again."""
    async with asyncio.timeout(5):
        while True:
            status = await service.stub.GetModelStatus(models_pb2.GetModelStatusRequest(name="mine"))
            if status.status == expected:
                return
            await asyncio.sleep(0.1)


async def test_other_definition_begins_without_what_was_learned_of_the_first(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(vllm_list("mine"))
    await service.stub.RegisterModel(registration(upstream, health_check=""))
    upstream.play(answer(b"", status=500))
    await service.stub.RegisterModel(registration(upstream, health_check="", endpoint=f"{upstream.url}/v2"))
    told = await service.stub.GetModelCapabilities(models_pb2.GetCapabilitiesRequest(model="mine"))
    assert not told.HasField("context_window")
    assert told.source == "registration"


async def test_validate_only_tells_what_it_has_learned_and_keeps_nothing(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(vllm_list("mine"))
    response = await service.stub.RegisterModel(registration(upstream, health_check="", validate_only=True))
    assert response.model.capabilities.context_window == 4096
    assert not (await service.stub.ListRegisteredModels(models_pb2.ListRegisteredModelsRequest())).models


async def test_only_model_of_a_server_is_advised_and_not_guessed(
    service: ModelService, upstream: ScriptedUpstream
) -> None:
    upstream.play(vllm_list("Qwen/Qwen3-8B"))
    response = await service.stub.RegisterModel(registration(upstream, health_check=""))
    assert response.model.status == "degraded"
    assert response.model.upstream_model == "mine"
    [notice] = response.warnings
    assert notice.code == "MODEL_NOT_SERVED"
    assert "upstream_model Qwen/Qwen3-8B" in notice.message
    told = await told_of(service)
    assert not told.HasField("context_window")
    assert list(told.served_names) == ["Qwen/Qwen3-8B"]


# --------------------------------------------------------------------------------------------------- strange lists


@pytest.mark.parametrize("tokens", [0, -1, 2**31, 4096.0, "4096", True, None, [4096]])
def test_length_that_is_none_is_not_believed(tokens: Any) -> None:
    body = json_text.encode({"data": [{"id": "mine", "max_model_len": tokens, "meta": {"n_ctx": tokens}}]})
    listing = Listing()
    assert listed_facts(listing, listing.read(body), "mine").context_window is None


def test_names_that_are_somebodys_text_are_not_repeated() -> None:
    names = ["<b>evil</b>", "two words", "x" * 129, "", "fine", *(f"model-{number}" for number in range(100))]
    body = json_text.encode({"data": [{"id": name} for name in names] + [7, {"id": 7}, None]})
    listing = Listing()
    served = listed_facts(listing, listing.read(body), "fine").served_names
    assert served[:2] == ("fine", "model-0")
    assert len(served) == MAX_SERVED_NAMES
