"""Which model a name leads to: built-in names, their vendors' calendars, ids, and what is not there."""

from __future__ import annotations

import datetime
from pathlib import Path

import grpc
import pytest

from proto import models_pb2
from services.models.catalog.lifecycle import WARNING_DAYS
from services.shared.logs import open_log
from tests.built_in_models import BUILT_IN, CHAT_MODELS
from tests.scripted_upstream import ScriptedUpstream, answer
from tests.services.log_file import LogFile
from tests.services.model_service import ModelService, chat_request, model_service, registration
from tests.support.errors import failure_of, stream_failure

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = ["claude-3-5-haiku", "claude-3-5-sonnet", "gpt-4o", "gpt-4o-mini"]
RETIRED = {"claude-3-5-sonnet": "claude-sonnet-4-6", "claude-3-5-haiku": "claude-haiku-4-5"}
SHUTDOWN = datetime.date(2027, 1, 14)
DAY = datetime.timedelta(days=1)


def codes(response: models_pb2.ChatResponse) -> list[str]:
    return [notice.code for notice in response.warnings]


async def test_built_in_models_are_listed_with_what_is_known_of_them(shared_service: ModelService) -> None:
    listed = (await shared_service.stub.ListModels(models_pb2.ListModelsRequest())).models
    assert [model.name for model in listed] == sorted(BUILT_IN)
    for model in listed:
        assert model.source == models_pb2.MODEL_SOURCE_BUILT_IN
        assert model.configured
        assert model.capabilities.supports_tools or model.name not in CHAT_MODELS
        assert model.name not in NAMES or model.capabilities.context_window >= 100_000
        assert model.capabilities == await shared_service.stub.GetModelCapabilities(
            models_pb2.GetCapabilitiesRequest(model=model.name)
        )
    only = await shared_service.stub.ListModels(models_pb2.ListModelsRequest(provider="openai"))
    assert [model.name for model in only.models] == [
        name for name in sorted(BUILT_IN) if BUILT_IN[name].vendor.name == "openai"
    ]


async def test_capabilities_tell_what_the_model_that_answers_can_do(shared_service: ModelService) -> None:
    capabilities = await shared_service.stub.GetModelCapabilities(
        models_pb2.GetCapabilitiesRequest(model="gpt-5.6-luna")
    )
    assert capabilities.context_window == 1_050_000
    assert capabilities.max_output_tokens == 128_000
    assert (capabilities.supports_vision, capabilities.supports_documents, capabilities.supports_audio) == (
        True,
        True,
        False,
    )
    assert (capabilities.supports_reasoning, capabilities.supports_json_schema) == (True, True)
    assert list(capabilities.reasoning_efforts) == ["none", "low", "medium", "high", "xhigh", "max"]
    assert capabilities.prices == models_pb2.ModelPrices(
        prompt_nano_usd=200_000_000,
        completion_nano_usd=1_200_000_000,
        cached_prompt_nano_usd=20_000_000,
        cache_write_nano_usd=250_000_000,
    )
    assert capabilities.lifecycle.state == models_pb2.LIFECYCLE_STATE_ACTIVE
    replaced = await shared_service.stub.GetModelCapabilities(
        models_pb2.GetCapabilitiesRequest(model="claude-3-5-sonnet")
    )
    successor = await shared_service.stub.GetModelCapabilities(
        models_pb2.GetCapabilitiesRequest(model="claude-sonnet-4-6")
    )
    assert replaced.lifecycle.state == models_pb2.LIFECYCLE_STATE_RETIRED
    replaced.lifecycle.CopyFrom(successor.lifecycle)
    assert replaced == successor


async def test_what_is_not_known_of_an_id_is_unset(shared_service: ModelService) -> None:
    unknown = await shared_service.stub.GetModelCapabilities(models_pb2.GetCapabilitiesRequest(model="openai/anything"))
    assert unknown.ListFields()[0][0].name == "supports_streaming"
    for field in ("context_window", "supports_vision", "supports_tools", "supports_reasoning", "prices", "lifecycle"):
        assert not unknown.HasField(field)


async def test_answer_says_what_it_cost(shared_service: ModelService) -> None:
    for name, nano_usd in (("gpt-4o", 9 * 2500 + 4 * 10_000), ("claude-3-5-sonnet", 9 * 3000 + 4 * 15_000)):
        response = await shared_service.stub.Chat(chat_request(name))
        assert response.usage.cost_nano_usd == nano_usd
    unknown = await shared_service.stub.Chat(chat_request("openai/anything"))
    assert not unknown.usage.HasField("cost_nano_usd")


async def test_operators_alias_is_listed_with_its_model_and_can_be_called(
    tmp_path: Path, shared_upstream: ScriptedUpstream
) -> None:
    aliases = "fast=gpt-4o-mini, smart=anthropic/claude-opus-5-5, tuned=openai/ft:gpt-4o:acme, later=mine"
    async with model_service(tmp_path, shared_upstream, MODELS_ALIASES=aliases) as service:
        for alias, model in (("fast", "gpt-4o-mini"), ("smart", "claude-opus-5-5"), ("tuned", "ft:gpt-4o:acme")):
            assert (await service.stub.Chat(chat_request(alias))).model == model
            asked = models_pb2.GetCapabilitiesRequest(model=alias)
            assert (await service.stub.GetModelCapabilities(asked)).supports_tools
        failure = await failure_of(service.stub.Chat(chat_request("later")))
        assert (failure.reason, failure.metadata) == ("MODEL_NOT_FOUND", {"model": "later"})
        assert "which later stands for" in failure.message
        listed = (await service.stub.ListModels(models_pb2.ListModelsRequest())).models
        aliases_listed = {model.name: list(model.aliases) for model in listed if model.aliases}
    assert aliases_listed == {
        "gpt-4o-mini": ["fast"],
        "claude-opus-5-5": ["smart"],
        "openai/ft:gpt-4o:acme": ["tuned"],
    }


async def test_operator_is_told_which_names_an_alias_hides_and_which_aliases_are_hidden(
    tmp_path: Path, shared_upstream: ScriptedUpstream
) -> None:
    shared_upstream.play(answer(b"{}"))
    async with model_service(tmp_path, shared_upstream) as service:
        await service.stub.RegisterModel(registration(shared_upstream, "mine"))
    lines = LogFile()
    log = open_log("models", file=lines)
    aliases = "gpt-4o=gpt-5.2,mine=gpt-5.2,fast=gpt-5.2"
    async with model_service(tmp_path, shared_upstream, log=log, MODELS_ALIASES=aliases) as service:
        assert (await service.stub.Chat(chat_request("gpt-4o"))).model == "gpt-5.2"
        listed = (await service.stub.ListModels(models_pb2.ListModelsRequest())).models
    log.flush()
    told = {entry["alias"]: entry["event"] for entry in lines.entries() if "alias" in entry}
    assert told == {"gpt-4o": "alias hides a built-in model", "mine": "alias is hidden by a registered model"}
    assert {model.name: list(model.aliases) for model in listed if model.aliases} == {"gpt-5.2": ["fast", "gpt-4o"]}
    assert "gpt-4o" not in [model.name for model in listed]


@pytest.mark.parametrize("name", NAMES)
async def test_built_in_model_answers_by_its_name(
    shared_service: ModelService, shared_upstream: ScriptedUpstream, name: str
) -> None:
    response = await shared_service.stub.Chat(chat_request(name))
    assert response.text == "Hi."
    assert response.model == shared_upstream.requests[0].json()["model"] == RETIRED.get(name, name)


@pytest.mark.parametrize(("name", "replacement"), RETIRED.items())
async def test_retired_model_is_served_by_its_replacement_and_the_answer_says_so(
    shared_service: ModelService, name: str, replacement: str
) -> None:
    response = await shared_service.stub.Chat(chat_request(name))
    warning = response.warnings[0]
    assert (warning.code, warning.field) == ("MODEL_RETIRED", "model")
    assert name in warning.message
    assert replacement in warning.message
    lifecycle = (
        await shared_service.stub.GetModelCapabilities(models_pb2.GetCapabilitiesRequest(model=name))
    ).lifecycle
    assert lifecycle.state == models_pb2.LIFECYCLE_STATE_RETIRED
    assert lifecycle.replacement == replacement


async def test_parameters_that_programs_set_for_retired_models_are_still_taken(
    shared_service: ModelService, shared_upstream: ScriptedUpstream
) -> None:
    config = models_pb2.ChatConfig(temperature=0.5, max_tokens=10)
    response = await shared_service.stub.Chat(chat_request("claude-3-5-sonnet", config=config))
    assert codes(response) == ["MODEL_RETIRED"]
    assert shared_upstream.requests[0].json()["temperature"] == 0.5


async def test_retired_model_is_refused_where_the_operator_wants_that(
    tmp_path: Path, shared_upstream: ScriptedUpstream
) -> None:
    async with model_service(tmp_path, shared_upstream, MODELS_RETIRED_POLICY="reject") as service:
        for name, replacement in RETIRED.items():
            failure = await failure_of(service.stub.Chat(chat_request(name)))
            assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_RETIRED")
            assert replacement in failure.message
            assert failure.metadata == {"model": name, "replacement": replacement}
        assert not shared_upstream.requests
        await service.stub.Chat(chat_request("gpt-4o"))


@pytest.mark.parametrize(
    ("today", "served", "warnings"),
    [
        (SHUTDOWN - (WARNING_DAYS + 1) * DAY, "gpt-4o", []),
        (SHUTDOWN - WARNING_DAYS * DAY, "gpt-4o", ["MODEL_RETIRING"]),
        (SHUTDOWN - DAY, "gpt-4o", ["MODEL_RETIRING"]),
        (SHUTDOWN, "gpt-6-luna", ["MODEL_RETIRED"]),
    ],
    ids=["long before", "60 days before", "on the last day", "from the shutdown on"],
)
async def test_model_warns_before_its_shutdown_and_is_replaced_after_it(
    tmp_path: Path, shared_upstream: ScriptedUpstream, today: datetime.date, served: str, warnings: list[str]
) -> None:
    async with model_service(tmp_path, shared_upstream, today=today) as service:
        response = await service.stub.Chat(chat_request("gpt-4o"))
    assert response.model == shared_upstream.requests[0].json()["model"] == served
    assert codes(response) == warnings
    assert WARNING_DAYS == 60


@pytest.mark.parametrize(
    ("name", "provider", "sent"),
    [
        ("gpt-4.1-nano", "openai", "gpt-4.1-nano"),
        ("gpt-9-hypothetical", "openai", "gpt-9-hypothetical"),
        ("o3-mini", "openai", "o3-mini"),
        ("ft:gpt-4o-mini:acme::abc", "openai", "ft:gpt-4o-mini:acme::abc"),
        ("claude-opus-9", "anthropic", "claude-opus-9"),
        ("openai/anything", "openai", "anything"),
        ("openai/gpt-5.2", "openai", "gpt-5.2"),
        ("anthropic/anything", "anthropic", "anything"),
    ],
)
async def test_id_of_a_vendor_passes_through_without_being_listed(
    shared_service: ModelService, shared_upstream: ScriptedUpstream, name: str, provider: str, sent: str
) -> None:
    response = await shared_service.stub.Chat(chat_request(name))
    assert (response.provider, response.model) == (provider, sent)
    assert shared_upstream.requests[0].json()["model"] == sent
    assert not response.warnings


@pytest.mark.parametrize("name", ["text-embedding-3-small", "openai/text-embedding-3-large", "vectors"])
async def test_model_for_embeddings_is_refused_before_anything_is_sent(
    shared_service: ModelService, shared_upstream: ScriptedUpstream, name: str
) -> None:
    await shared_service.stub.RegisterModel(
        registration(shared_upstream, "vectors", adapter_type="openai", upstream_model="text-embedding-ada-002")
    )
    before = len(shared_upstream.requests)
    for failure in (
        await failure_of(shared_service.stub.Chat(chat_request(name))),
        (await stream_failure(shared_service.stub.ChatStream(chat_request(name))))[1],
        await failure_of(shared_service.stub.PreviewChat(models_pb2.PreviewChatRequest(request=chat_request(name)))),
    ):
        assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
        assert (failure.reason, list(failure.fields)) == ("MODEL_KIND_UNSUPPORTED", ["model"])
        assert failure.metadata["kind"] == "embedding"
    assert len(shared_upstream.requests) == before
    await shared_service.stub.DeregisterModel(models_pb2.DeregisterModelRequest(name="vectors"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gpt4o", "did you mean gpt-4o"),
        ("claud-3-5-sonnet", "did you mean claude-3-5-sonnet"),
        ("no-such-thing", "ListModels lists them all"),
        ("openai/", "ListModels lists them all"),
    ],
)
async def test_unknown_model_is_not_found_with_the_nearest_names(
    shared_service: ModelService, shared_upstream: ScriptedUpstream, name: str, hint: str
) -> None:
    for failure in (
        await failure_of(shared_service.stub.Chat(chat_request(name))),
        (await stream_failure(shared_service.stub.ChatStream(chat_request(name))))[1],
        await failure_of(shared_service.stub.GetModelCapabilities(models_pb2.GetCapabilitiesRequest(model=name))),
        await failure_of(shared_service.stub.GetModelStatus(models_pb2.GetModelStatusRequest(name=name))),
    ):
        assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
        assert hint in failure.message
        assert failure.metadata == {"model": name}
    assert not shared_upstream.requests


async def test_without_a_key_the_call_says_which_variable_to_set(
    tmp_path: Path, shared_upstream: ScriptedUpstream
) -> None:
    async with model_service(tmp_path, shared_upstream, OPENAI_API_KEY=None, ANTHROPIC_API_KEY=" \n") as service:
        for model, variable in (
            ("gpt-4o", "OPENAI_API_KEY"),
            ("openai/x", "OPENAI_API_KEY"),
            ("claude-3-5-haiku", "ANTHROPIC_API_KEY"),
            ("claude-x", "ANTHROPIC_API_KEY"),
        ):
            failure = await failure_of(service.stub.Chat(chat_request(model)))
            assert (failure.code, failure.reason) == (
                grpc.StatusCode.FAILED_PRECONDITION,
                "PROVIDER_NOT_CONFIGURED",
            )
            assert f"set {variable}" in failure.message
            assert failure.metadata["variable"] == variable
        listed = await service.stub.ListModels(models_pb2.ListModelsRequest())
        without_a_key = [model for model in listed.models if model.provider in ("openai", "anthropic")]
        assert without_a_key
        assert not any(model.configured for model in without_a_key)
    assert not shared_upstream.requests


async def test_key_out_of_a_file_loses_its_line_break(tmp_path: Path, shared_upstream: ScriptedUpstream) -> None:
    async with model_service(tmp_path, shared_upstream, OPENAI_API_KEY="sk-from-a-file\n") as service:
        await service.stub.Chat(chat_request())
    assert shared_upstream.requests[0].headers["authorization"] == "Bearer sk-from-a-file"


async def test_organization_and_project_are_told_to_openai(tmp_path: Path, shared_upstream: ScriptedUpstream) -> None:
    async with model_service(tmp_path, shared_upstream, OPENAI_ORG_ID="org-1", OPENAI_PROJECT_ID="proj-1") as service:
        await service.stub.Chat(chat_request())
    headers = shared_upstream.requests[0].headers
    assert (headers["openai-organization"], headers["openai-project"]) == ("org-1", "proj-1")


async def test_status_of_a_built_in_model_is_asked_for_without_a_completion(
    shared_service: ModelService, shared_upstream: ScriptedUpstream
) -> None:
    shared_upstream.play(answer(b"{}"))
    status = await shared_service.stub.GetModelStatus(models_pb2.GetModelStatusRequest(name="claude-3-5-sonnet"))
    assert (status.name, status.status) == ("claude-3-5-sonnet", "healthy")
    assert [(sent.method, sent.path) for sent in shared_upstream.requests] == [("GET", "/v1/models/claude-sonnet-4-6")]


@pytest.mark.parametrize(
    "name",
    ["openai/../../admin", "openai/x?y=1#z", "gpt-4/../../../admin", "anthropic/..", "openai/%2e%2e/x", "gpt-4//x"],
)
async def test_status_of_an_id_cannot_lead_to_another_path_of_the_provider(
    shared_service: ModelService, shared_upstream: ScriptedUpstream, name: str
) -> None:
    status = await shared_service.stub.GetModelStatus(models_pb2.GetModelStatusRequest(name=name))
    assert (status.status, status.reason) == ("unhealthy", "MODEL_NOT_SERVED")
    assert not shared_upstream.requests


async def test_status_of_a_model_whose_provider_has_no_key_says_so(
    tmp_path: Path, shared_upstream: ScriptedUpstream
) -> None:
    async with model_service(tmp_path, shared_upstream, OPENAI_API_KEY=None) as service:
        status = await service.stub.GetModelStatus(models_pb2.GetModelStatusRequest(name="gpt-4o"))
    assert (status.status, status.reason) == ("unconfigured", "CREDENTIAL_MISSING")
    assert "OPENAI_API_KEY" in status.message
    assert not shared_upstream.requests


async def test_list_is_cut_into_pages(shared_service: ModelService) -> None:
    names: list[str] = []
    request = models_pb2.ListModelsRequest(page_size=3)
    while True:
        page = await shared_service.stub.ListModels(request)
        names += [model.name for model in page.models]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert names == sorted(BUILT_IN)
    request.page_token = "nonsense"
    failure = await failure_of(shared_service.stub.ListModels(request))
    assert (failure.code, list(failure.fields)) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"])
