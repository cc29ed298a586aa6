"""From the name in a request to where the call goes."""

from __future__ import annotations

import dataclasses
import datetime
import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import pytest

from proto import models_pb2
from services.models.access.credentials import Credentials
from services.models.access.trust import ByTrust
from services.models.catalog.families import COMPATIBLE_FACTS
from services.models.catalog.listings import ListedModel
from services.models.catalog.provider_registry import ProviderRegistry
from services.models.catalog.vendor_models import VendorModels
from services.models.catalog.vendors import VENDORS, anthropic, openai
from services.models.custom_models.model_registry import ModelRegistry
from services.models.custom_models.name_rules import NameRules
from services.models.health.monitor import HealthMonitor
from services.models.main import MIGRATIONS
from services.models.providers.anthropic.dialect import ANTHROPIC, API_VERSION
from services.models.providers.base import Target
from services.models.providers.endpoints import Endpoint
from services.models.providers.openai.chat_completions.dialect import OPENAI_COMPATIBLE
from services.models.providers.openai.select import OPENAI
from services.models.providers.vllm import VLLM
from services.models.routing.all_models import AllModels
from services.models.routing.registered_target import registered_target
from services.models.routing.router import Router
from services.models.settings import Settings
from services.models.transport.client import open_probing_client
from services.models.transport.egress import EndpointPolicy
from services.shared.database import Database, sqlite_url
from services.shared.errors import NotFound, PreconditionFailed, StartupError
from services.shared.logs import open_log
from tests.rows import for_each
from tests.support.databases import provide

KEYS = {"OPENAI_API_KEY": "sk-openai", "ANTHROPIC_API_KEY": "sk-ant"}
LOG = open_log("test", file=io.BytesIO())
BEFORE = datetime.date(2026, 11, 1)
AFTER = datetime.date(2027, 2, 1)


@pytest.fixture(autouse=True)
def no_providers_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for vendor in VENDORS.values():
        for variable in (vendor.key_variable, vendor.url_variable, *vendor.header_variables.values()):
            monkeypatch.delenv(variable, raising=False)


@pytest.fixture
async def models(tmp_path: Path) -> AsyncIterator[ModelRegistry]:
    provide(tmp_path / "models.db", "models")
    database = await Database.open(sqlite_url(tmp_path, "models"), MIGRATIONS, LOG)
    endpoints = ByTrust(EndpointPolicy(), EndpointPolicy())
    board = HealthMonitor(LOG, ByTrust(*map(open_probing_client, endpoints)))
    registry = ModelRegistry(database, board, NameRules(VendorModels()), endpoints, Credentials())
    await registry.load()
    yield registry
    await board.close()
    await database.close()


def providers(**variables: str) -> ProviderRegistry:
    return ProviderRegistry(Settings.model_validate(variables).accounts())


class SingleEndpoints(Router):
    """A router of models that have one endpoint each."""

    def target(self, name: str, *, for_preview: bool = False) -> Target:
        target = self.resolve(name, self._choose, for_preview=for_preview)
        assert target
        return target

    def _choose(self, endpoints: Sequence[Endpoint]) -> NoReturn:
        raise AssertionError(endpoints)


def router(
    models: ModelRegistry,
    today: datetime.date = BEFORE,
    policy: Literal["replace", "reject"] = "replace",
    vendor_models: VendorModels | None = None,
    aliases: dict[str, str] | None = None,
    **variables: str,
) -> SingleEndpoints:
    every = AllModels(models, vendor_models or VendorModels(), aliases or {}, lambda: today)
    return SingleEndpoints(every, providers(**(variables or KEYS)), Credentials(), policy)


def registered(adapter_type: str, **fields: Any) -> models_pb2.RegisteredModel:
    defaults: dict[str, Any] = {"name": "mine", "provider": "me", "upstream_model": "up", "endpoint": "http://h/v1"}
    return models_pb2.RegisteredModel(adapter_type=adapter_type, **(defaults | fields))


# ------------------------------------------------------------------------------------------------------- providers


def test_openai_by_its_sdks_variables() -> None:
    registry = providers(
        OPENAI_API_KEY="sk-1", OPENAI_ORG_ID="org-1", OPENAI_PROJECT_ID="proj-1", OPENAI_BASE_URL="http://proxy:8/x/v1/"
    )
    target = registry.get(openai.VENDOR, "gpt-4o").target("gpt-4o-2024-11-20")
    assert (target.dialect, target.provider, target.model) == (OPENAI, "openai", "gpt-4o-2024-11-20")
    assert target.endpoint == "http://proxy:8/x/v1"
    assert target.headers == {
        "authorization": "Bearer sk-1",
        "openai-organization": "org-1",
        "openai-project": "proj-1",
    }
    assert target.facts == openai.VENDOR.facts("gpt-4o-2024-11-20")
    assert not target.streams_unary


def test_anthropic_by_its_sdks_variables() -> None:
    registry = providers(ANTHROPIC_API_KEY="sk-1", ANTHROPIC_BASE_URL="http://proxy/")
    target = registry.get(anthropic.VENDOR, "x").target("claude-opus-4-7")
    assert (target.dialect, target.provider, target.endpoint) == (ANTHROPIC, "anthropic", "http://proxy/v1")
    assert target.headers == {"x-api-key": "sk-1", "anthropic-version": API_VERSION}
    assert not target.streams_unary


def test_providers_are_there_when_their_key_is_there() -> None:
    assert providers().configured() == []
    assert providers(OPENAI_API_KEY="sk-1").configured() == ["openai"]
    assert providers(**KEYS).configured() == ["anthropic", "openai"]
    assert providers(**KEYS).base_urls() == {
        "openai": "https://api.openai.com/v1",
        "anthropic": "https://api.anthropic.com/v1",
    }


@for_each("url", ["api.openai.com", "ftp://x", "http://", "http://x:0", "http://x:99999", "http://["])
def test_base_url_that_is_none_stops_the_start(url: str) -> None:
    with pytest.raises(StartupError, match="OPENAI_BASE_URL"):
        providers(OPENAI_API_KEY="sk-1", OPENAI_BASE_URL=url)


# ----------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "provider", "model"),
    [
        ("gpt-4o", "openai", "gpt-4o"),
        ("gpt-6-luna", "openai", "gpt-6-luna"),
        ("o3-mini", "openai", "o3-mini"),
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("openai/claude-opus-5-5", "openai", "claude-opus-5-5"),
        ("openai/anything/at:all", "openai", "anything/at:all"),
        ("claude-opus-5-5", "anthropic", "claude-opus-5-5"),
        ("anthropic/claude-3-5-sonnet", "anthropic", "claude-3-5-sonnet"),
    ],
)
async def test_names_lead_to_their_vendor(models: ModelRegistry, name: str, provider: str, model: str) -> None:
    target = router(models).target(name)
    assert (target.provider, target.model) == (provider, model)
    assert list(target.warnings) == []


async def test_retired_model_is_served_by_its_replacement_and_the_caller_is_told(models: ModelRegistry) -> None:
    target = router(models).target("claude-3-5-sonnet")
    assert target.model == "claude-sonnet-4-6"
    known = anthropic.VENDOR.facts("claude-sonnet-4-6")
    assert target.facts == dataclasses.replace(known, kind="chat", max_output_tokens=64_000)
    assert [warning.code for warning in target.warnings] == ["MODEL_RETIRED"]
    assert router(models, AFTER).target("gpt-4o").model == "gpt-6-luna"


async def test_retired_model_is_refused_where_the_operator_wants_that(models: ModelRegistry) -> None:
    with pytest.raises(PreconditionFailed) as raised:
        router(models, policy="reject").target("claude-3-5-haiku")
    assert raised.value.reason == "MODEL_RETIRED"
    assert raised.value.metadata == {"model": "claude-3-5-haiku", "replacement": "claude-haiku-4-5"}
    assert router(models, policy="reject").target("gpt-4o").model == "gpt-4o"


@pytest.mark.parametrize(
    ("name", "variable"),
    [("gpt-4o", "OPENAI_API_KEY"), ("openai/x", "OPENAI_API_KEY"), ("claude-x", "ANTHROPIC_API_KEY")],
)
async def test_provider_without_a_key_names_the_variable(models: ModelRegistry, name: str, variable: str) -> None:
    others: Any = {key: value for key, value in KEYS.items() if key != variable}
    with pytest.raises(PreconditionFailed, match=variable) as raised:
        router(models, **others).target(name)
    assert raised.value.reason == "PROVIDER_NOT_CONFIGURED"
    assert raised.value.metadata["variable"] == variable


@pytest.mark.parametrize("name", ["nobody", "openai/", "/x", "mistral/large", "x" * 256])
async def test_unknown_name(models: ModelRegistry, name: str) -> None:
    with pytest.raises(NotFound) as raised:
        router(models).target(name)
    assert raised.value.reason == "MODEL_NOT_FOUND"
    assert len(raised.value.message) < 256


@pytest.mark.parametrize("name", ["claud-3-5-haiku", "Claude-3-5-Haiku", "CLAUDE-3-5-HAIKU"])
async def test_mistyped_name_gets_a_suggestion(models: ModelRegistry, name: str) -> None:
    with pytest.raises(NotFound, match="claude-3-5-haiku"):
        router(models).target(name)


async def test_id_of_a_vendor_is_never_replaced_but_its_end_is_told(models: ModelRegistry) -> None:
    soon = datetime.date(2027, 1, 1)
    pinned = router(models, soon).target("openai/gpt-4o")
    assert [warning.code for warning in pinned.warnings] == ["MODEL_RETIRING"]
    assert "gpt-6-luna" in pinned.warnings[0].message
    assert router(models, AFTER).target("openai/gpt-4o").model == "gpt-4o"


async def test_found_target_is_kept_for_its_day_and_until_something_is_learned(models: ModelRegistry) -> None:
    day = BEFORE
    vendor_models = VendorModels()
    routing = SingleEndpoints(AllModels(models, vendor_models, {}, lambda: day), providers(**KEYS), Credentials())
    first = routing.target("gpt-4o")
    assert routing.target("gpt-4o") is first
    vendor_models.learn(openai.VENDOR, [ListedModel("gpt-4o", shutdown=day)], day)
    assert routing.target("gpt-4o").model == "gpt-6-luna"
    vendor_models.learn(openai.VENDOR, [ListedModel("gpt-4o", shutdown=AFTER)], day)
    assert routing.target("gpt-4o").model == "gpt-4o"
    day = AFTER
    assert routing.target("gpt-4o").model == "gpt-6-luna"


async def test_discovered_id_is_callable_although_it_does_not_look_like_its_vendors(models: ModelRegistry) -> None:
    vendor_models = VendorModels()
    with pytest.raises(NotFound):
        router(models, vendor_models=vendor_models).target("chat-latest")
    vendor_models.learn(openai.VENDOR, [ListedModel("chat-latest"), ListedModel("claude-house-model")], BEFORE)
    for name in ("chat-latest", "claude-house-model"):
        target = router(models, vendor_models=vendor_models).target(name)
        assert (target.provider, target.model) == ("openai", name)


# --------------------------------------------------------------------------------------------------------- aliases


async def test_alias_leads_where_its_model_leads(models: ModelRegistry) -> None:
    routing = router(models, aliases={"fast": "gpt-4o-mini", "smart": "anthropic/claude-opus-5-5", "gpt-4o": "gpt-5.2"})
    assert routing.target("fast").model == "gpt-4o-mini"
    assert (routing.target("smart").provider, routing.target("smart").model) == ("anthropic", "claude-opus-5-5")
    assert routing.target("gpt-4o").model == "gpt-5.2"


async def test_registered_model_wins_over_an_alias_and_can_be_meant_by_one(models: ModelRegistry) -> None:
    routing = router(models, aliases={"fast": "mine", "smart": "gpt-4o"})
    with pytest.raises(NotFound, match='mine", which fast stands for'):
        routing.target("fast")
    for name in ("mine", "smart"):
        await models.register(
            models_pb2.RegisterModelRequest(name=name, endpoint="http://127.0.0.1:9/v1/", adapter_type="vllm")
        )
    assert routing.target("fast").provider == "vllm"
    assert routing.target("smart").provider == "vllm"


# ---------------------------------------------------------------------------------------------------------- prices


async def test_target_of_a_vendors_model_knows_what_a_call_costs(models: ModelRegistry) -> None:
    usage = models_pb2.TokenUsage(prompt_tokens=1000, completion_tokens=100)
    for name in ("gpt-4o", "openai/gpt-4o", "gpt-4o-2024-11-20"):
        price = router(models).target(name).price
        assert price is not None
        assert price(usage) == 3_500_000
    replaced = router(models, AFTER).target("gpt-4o").price
    assert replaced is not None
    assert replaced(usage) == 150_000
    assert router(models).target("gpt-9-hypothetical").price is None


def test_registered_model_costs_what_its_registration_says() -> None:
    assert registered_target(registered("openai", upstream_model="gpt-4o")).price is None
    told = models_pb2.ModelPrices(prompt_nano_usd=2_000_000, completion_nano_usd=0)
    price = registered_target(registered("vllm", capabilities=models_pb2.ModelCapabilities(prices=told))).price
    assert price is not None
    assert price(models_pb2.TokenUsage(prompt_tokens=10, completion_tokens=5)) == 20


# --------------------------------------------------------------------------------------------------------- preview


async def test_preview_needs_no_key_and_carries_none(models: ModelRegistry) -> None:
    for keys in ({"OPENAI_ORG_ID": ""}, KEYS):
        routing = router(models, **keys)
        for name, dialect in (("gpt-4o", OPENAI), ("openai/x", OPENAI), ("claude-sonnet-5", ANTHROPIC)):
            target = routing.target(name, for_preview=True)
            assert target.dialect is dialect
            assert set(target.headers) <= {"anthropic-version"}
    told = router(models).target("claude-3-5-sonnet", for_preview=True)
    assert (told.model, [warning.code for warning in told.warnings]) == ("claude-sonnet-4-6", ["MODEL_RETIRED"])


async def test_preview_of_a_registered_model_does_not_read_its_credential(models: ModelRegistry) -> None:
    request = models_pb2.RegisterModelRequest(name="mine", endpoint="http://127.0.0.1:9/v1", adapter_type="anthropic")
    request.credential.env_var = "GENAI_ABSENT_API_KEY"
    await models.register(request)
    with pytest.raises(PreconditionFailed):
        router(models).target("mine")
    assert router(models).target("mine", for_preview=True).headers == {"anthropic-version": API_VERSION}


async def test_registered_model_wins_over_a_built_in_until_it_is_gone(models: ModelRegistry) -> None:
    request = models_pb2.RegisterModelRequest(
        name="gpt-4o", endpoint="http://127.0.0.1:9/v1/", adapter_type="vllm", aliases=["tiny"], upstream_model="smol"
    )
    await models.register(request)
    for name in ("gpt-4o", "tiny"):
        target = router(models).target(name)
        assert (target.provider, target.model, target.endpoint) == ("vllm", "smol", "http://127.0.0.1:9/v1")
    await models.deregister(models_pb2.DeregisterModelRequest(name="gpt-4o"))
    assert router(models).target("gpt-4o").provider == "openai"


# ---------------------------------------------------------------------------------------------- registered models


@for_each(
    ("adapter_type", "dialect", "streams_unary"),
    [
        ("openai", OPENAI, False),
        ("vllm", VLLM, False),
        ("openai-compatible", OPENAI_COMPATIBLE, True),
        ("anthropic", ANTHROPIC, True),
    ],
)
def test_adapter_type_says_how_a_registered_model_is_called(
    adapter_type: str, dialect: Any, streams_unary: bool
) -> None:
    target = registered_target(registered(adapter_type, default_options_json='{"a": 1}'))
    assert target.dialect is dialect
    assert (target.provider, target.model, target.endpoint) == ("me", "up", "http://h/v1")
    assert target.default_options_json == '{"a": 1}'
    assert target.streams_unary is streams_unary
    assert "authorization" not in target.headers
    assert "x-api-key" not in target.headers


@pytest.mark.parametrize("adapter_type", ["openai", "openai-compatible", "vllm"])
def test_key_of_a_registered_model(monkeypatch: pytest.MonkeyPatch, adapter_type: str) -> None:
    monkeypatch.setenv("MY_KEY", "sk-mine\n")
    target = registered_target(registered(adapter_type, credential=models_pb2.Credential(env_var="MY_KEY")))
    assert target.headers == {"authorization": "Bearer sk-mine"}


def test_key_of_a_registered_model_that_speaks_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-mine")
    target = registered_target(registered("anthropic", credential=models_pb2.Credential(env_var="MY_KEY")))
    assert target.headers == {"anthropic-version": API_VERSION, "x-api-key": "sk-mine"}


@pytest.mark.parametrize("value", ["", " \n"])
def test_missing_key_of_a_registered_model_names_its_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(PreconditionFailed, match="MY_KEY") as raised:
        registered_target(registered("vllm", credential=models_pb2.Credential(env_var="MY_KEY")))
    assert raised.value.reason == "CREDENTIAL_MISSING"


def test_facts_of_a_registered_model_are_its_adapters_and_its_own() -> None:
    assert registered_target(registered("vllm")).facts == COMPATIBLE_FACTS
    assert registered_target(registered("openai", upstream_model="o3")).facts == openai.VENDOR.facts("o3")
    own = models_pb2.ModelCapabilities(unsupported_parameters=["seed"])
    assert registered_target(registered("vllm", capabilities=own)).facts.unsupported == {"seed"}


def test_what_a_registration_says_of_its_model_is_a_fact() -> None:
    own = models_pb2.ModelCapabilities(
        supports_vision=False,
        supports_tools=False,
        supports_json_schema=False,
        supports_reasoning=False,
        max_output_tokens=9,
    )
    facts = registered_target(registered("vllm", capabilities=own)).facts
    assert facts.media == {"document", "audio", "video"}
    assert (facts.tools, facts.json_schema, facts.can_reason, facts.max_output_tokens) == (False, False, False, 9)
    seeing = models_pb2.ModelCapabilities(supports_vision=True)
    assert registered_target(registered("vllm", capabilities=seeing)).facts.media is None
    whole = models_pb2.ModelCapabilities(supports_streaming=False)
    target = registered_target(registered("openai-compatible", capabilities=whole))
    assert (target.can_stream, target.streams_unary) == (False, False)
    known = models_pb2.ModelCapabilities(supports_audio=True, supports_documents=False)
    assert registered_target(registered("openai", upstream_model="gpt-4o", capabilities=known)).facts.media == {
        "image",
        "audio",
    }
