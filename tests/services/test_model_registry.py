"""The ModelRegistry over real database files and real servers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection

from proto import models_pb2
from services.models.access.credentials import Credentials
from services.models.custom_models.model_registry import ModelRegistry
from services.models.custom_models.registration import build_registered_model
from services.models.health.monitor import HealthMonitor
from services.models.storage import tables
from services.shared.database import Database
from services.shared.errors import AlreadyExists, InvalidRequest, NotFound
from tests.rows import row
from tests.scripted_upstream import ScriptedUpstream, answer, json_answer, no_answer
from tests.services.model_registries import (
    FRESH_SECONDS,
    LOG,
    MIGRATIONS,
    SLOW,
    credentials,
    model,
    new_registry,
    probing_clients,
)
from tests.support.databases import provide_behind


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(default=json_answer({"data": [{"id": "mine"}]})) as server:
        yield server


@pytest.fixture
async def database(sqlite_file: Path) -> AsyncIterator[Database]:
    database = await open_database(f"sqlite:///{sqlite_file}")
    yield database
    await database.close()


@pytest.fixture
async def board() -> AsyncIterator[HealthMonitor]:
    board = HealthMonitor(LOG, probing_clients(), SLOW, FRESH_SECONDS)
    yield board
    await board.close()


@pytest.fixture
async def registry(database: Database, board: HealthMonitor) -> ModelRegistry:
    return await load(database, board)


async def open_database(url: str) -> Database:
    provide_behind(url, "models")
    return await Database.open(url, MIGRATIONS, LOG)


async def load(database: Database, board: HealthMonitor, **settings: str) -> ModelRegistry:
    registry = new_registry(database, board, **settings)
    await registry.load()
    return registry


def full_model(endpoint: str) -> models_pb2.RegisterModelRequest:
    return model(
        endpoint=endpoint,
        endpoints=[endpoint, "http://127.0.0.1:9/v1"],
        adapter_type="openai",
        provider="Unsere Küche",
        upstream_model="org/model:7b v2",
        health_check="/health",
        credential=models_pb2.Credential(env_var="GENAI_KITCHEN"),
        aliases=["fast", "kitchen/fast@1"],
        default_options_json='{"top_k":  20}',
        capabilities=models_pb2.ModelCapabilities(context_window=8192, supports_tools=False, source="model card"),
    )


async def names_listed(registry: ModelRegistry) -> list[str]:
    listed = await registry.list(models_pb2.ListRegisteredModelsRequest())
    return [entry.name for entry in listed.models]


# ----------------------------------------------------------------------------------------------------- registering


async def test_registered_model_can_be_found_at_once_with_its_defaults_filled_in(
    registry: ModelRegistry, upstream: ScriptedUpstream
) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    response = await registry.register(model(endpoint=f"{upstream.url}/v1/"))
    assert response.created
    assert list(response.warnings) == []
    described = response.model
    assert (described.endpoint, described.provider, described.upstream_model) == (
        f"{upstream.url}/v1",
        "openai-compatible",
        "mine",
    )
    assert (described.status, described.overrides_builtin) == ("healthy", False)
    assert described.registered_at.endswith("Z")
    registered_at = Timestamp()
    registered_at.FromJsonString(described.registered_at)
    assert before <= registered_at.ToDatetime(UTC) <= datetime.now(UTC)
    found = registry.find("mine")
    assert found is not None
    assert (found.endpoint, found.upstream_model) == (described.endpoint, "mine")


async def test_everything_that_was_said_is_kept(
    registry: ModelRegistry, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENAI_KITCHEN", "canary-key")
    request = full_model(f"{upstream.url}/v1")
    described = (await registry.register(request)).model
    for field in request.DESCRIPTOR.fields:
        if field.name != "validate_only":
            assert getattr(described, field.name) == getattr(request, field.name)
    assert "canary-key" not in str(described)


async def test_server_that_is_down_is_no_reason_to_refuse_a_model(registry: ModelRegistry) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        response = await registry.register(model(endpoint=f"http://127.0.0.1:{unused.getsockname()[1]}/v1"))
    assert (response.created, response.model.status) == (True, "unhealthy")
    assert [(warning.code, warning.field) for warning in response.warnings] == [("CONNECT_FAILED", "endpoint")]
    assert registry.find("mine") is not None


@pytest.mark.usefixtures("hasty_probes")
async def test_server_that_is_silent_holds_up_the_answer_for_a_probe_only(
    registry: ModelRegistry, upstream: ScriptedUpstream
) -> None:
    upstream.play(no_answer())
    response = await registry.register(model(endpoint=f"{upstream.url}/v1"))
    assert response.model.status == "unhealthy"
    assert [warning.code for warning in response.warnings] == ["TIMEOUT"]


async def test_same_definition_again_changes_nothing(registry: ModelRegistry, upstream: ScriptedUpstream) -> None:
    first = await registry.register(model(endpoint=f"{upstream.url}/v1"))
    again = await registry.register(model(endpoint=f"{upstream.url}/v1/", provider="openai-compatible"))
    assert not again.created
    assert again.model == first.model
    assert list(again.warnings) == []


async def test_other_definition_replaces_the_first_with_its_aliases(
    registry: ModelRegistry, upstream: ScriptedUpstream
) -> None:
    await registry.register(model(endpoint=f"{upstream.url}/v1", aliases=["old", "both"]))
    response = await registry.register(model(endpoint=f"{upstream.url}/v2", aliases=["new", "both"]))
    assert response.created
    assert [warning.code for warning in response.warnings] == ["REPLACED"]
    assert registry.find("old") is None
    for name in ("mine", "new", "both"):
        found = registry.find(name)
        assert found is not None
        assert found.endpoint == f"{upstream.url}/v2"
    assert await names_listed(registry) == ["mine"]


async def test_name_comes_before_alias_and_case_matters(registry: ModelRegistry) -> None:
    await registry.register(model("a", aliases=["B"]))
    assert (await registry.register(model("b"))).created
    found = registry.find("b")
    assert found is not None
    assert found.name == "b"
    assert registry.find("A") is None
    assert registry.find("") is None


async def test_validate_only_checks_and_probes_and_stores_nothing(
    database: Database, registry: ModelRegistry, board: HealthMonitor, upstream: ScriptedUpstream
) -> None:
    response = await registry.register(model(endpoint=f"{upstream.url}/v1", validate_only=True))
    assert (response.name, response.status, response.registered_at) == ("mine", "healthy", "")
    assert (response.created, response.model.status, response.model.registered_at) == (False, "healthy", "")
    assert len(upstream.requests) == 1
    assert registry.find("mine") is None
    assert board.newest("mine") is None
    assert list((await load(database, board)).names) == []


async def test_validate_only_refuses_what_registering_would(registry: ModelRegistry) -> None:
    await registry.register(model("first", aliases=["taken"]))
    with pytest.raises(AlreadyExists):
        await registry.register(model("second", aliases=["taken"], validate_only=True))


async def test_model_with_the_name_of_a_built_in_says_that_it_hides_it(registry: ModelRegistry) -> None:
    response = await registry.register(model("gpt-4o"))
    assert response.model.overrides_builtin
    assert "OVERRIDES_BUILTIN" in [warning.code for warning in response.warnings]


# ---------------------------------------------------------------------------------------------------- taken names


async def test_name_that_leads_elsewhere_is_refused_and_nothing_changes(registry: ModelRegistry) -> None:
    for request_, taken in [
        (model("second", aliases=["first"]), "first"),
        (model("second", aliases=["alias"]), "alias"),
        (model("alias"), "alias"),
        (model("second", aliases=["free", "gpt-4o"]), "gpt-4o"),
    ]:
        with row(taken):
            await registry.register(model("first", aliases=["alias"]))
            with pytest.raises(AlreadyExists) as raised:
                await registry.register(request_)
            assert raised.value.reason == "ALIAS_TAKEN"
            assert raised.value.metadata["alias"] == taken
            assert await names_listed(registry) == ["first"]
            assert registry.find("free") is None


async def test_alias_is_free_again_after_its_model_is_gone(registry: ModelRegistry) -> None:
    await registry.register(model("first", aliases=["alias"]))
    await registry.deregister(models_pb2.DeregisterModelRequest(name="first"))
    assert (await registry.register(model("second", aliases=["alias"]))).created


async def test_of_two_models_that_want_one_alias_at_once_one_gets_it(registry: ModelRegistry) -> None:
    results = await asyncio.gather(
        *(registry.register(model(f"m{number}", aliases=["alias"])) for number in range(5)), return_exceptions=True
    )
    assert sum(isinstance(result, AlreadyExists) for result in results) == 4
    assert len(await names_listed(registry)) == 1


# ------------------------------------------------------------------------------------------------- deregistering


async def test_deregistered_model_is_gone_from_memory_disk_and_probing(
    database: Database, registry: ModelRegistry, board: HealthMonitor
) -> None:
    await registry.register(model(aliases=["alias"]))
    response = await registry.deregister(models_pb2.DeregisterModelRequest(name="mine"))
    assert not response.builtin_restored
    assert registry.find("mine") is registry.find("alias") is None
    assert board.newest("mine") is None
    assert list((await load(database, board)).names) == []


async def test_deregistering_an_override_restores_the_built_in(registry: ModelRegistry) -> None:
    await registry.register(model("gpt-4o"))
    response = await registry.deregister(models_pb2.DeregisterModelRequest(name="gpt-4o"))
    assert response.builtin_restored


@pytest.mark.parametrize(
    ("name", "hint"),
    [("qwen-lokal", "did you mean qwen-local?"), ("alias", "it is an alias of qwen-local"), ("gpt-4o", "gpt-4o")],
)
async def test_model_that_is_not_registered_cannot_be_removed(registry: ModelRegistry, name: str, hint: str) -> None:
    await registry.register(model("qwen-local", aliases=["alias"]))
    with pytest.raises(NotFound) as raised:
        await registry.deregister(models_pb2.DeregisterModelRequest(name=name))
    assert raised.value.reason == "MODEL_NOT_FOUND"
    assert raised.value.metadata == {"model": name}
    assert hint in raised.value.message


async def test_removing_needs_a_name(registry: ModelRegistry) -> None:
    with pytest.raises(InvalidRequest, match="name"):
        await registry.deregister(models_pb2.DeregisterModelRequest())


# ------------------------------------------------------------------------------------------------------ durability


async def test_models_survive_a_restart_and_are_probed_again(
    database_url: str, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENAI_KITCHEN", "canary-key")
    database, board = await open_database(database_url), HealthMonitor(LOG, probing_clients(), SLOW, FRESH_SECONDS)
    registry = await load(database, board)
    await registry.register(full_model(f"{upstream.url}/v1"))
    await registry.register(model("second", f"{upstream.url}/v1"))
    stored = [registry.find(name) for name in ("mine", "second")]
    await board.close()
    await database.close()

    asked = len(upstream.requests)
    database, board = await open_database(database_url), HealthMonitor(LOG, probing_clients(), SLOW, FRESH_SECONDS)
    reloaded = await load(database, board)
    assert [reloaded.find(name) for name in ("mine", "second")] == stored
    assert reloaded.find("kitchen/fast@1") == stored[0]
    await upstream.received(asked + 2)
    assert not (await reloaded.register(full_model(f"{upstream.url}/v1"))).created
    await board.close()
    await database.close()


async def test_alias_that_another_process_has_given_away_is_taken(database_url: str, board: HealthMonitor) -> None:
    ours, theirs = [await open_database(database_url) for _ in range(2)]
    here, there = await load(ours, board), await load(theirs, board)
    await there.register(model("theirs", aliases=["alias"]))
    with pytest.raises(AlreadyExists):
        await here.register(model("ours", aliases=["alias"]))
    assert not (await here.register(model("theirs", aliases=["alias"]))).created
    found = here.find("alias")
    assert found is not None
    assert found.name == "theirs"
    await ours.close()
    await theirs.close()


async def test_registration_is_in_the_database_before_the_probe_ends(
    database: Database, registry: ModelRegistry, board: HealthMonitor, upstream: ScriptedUpstream
) -> None:
    gate = asyncio.Event()
    upstream.play(json_answer({"data": []}, before=[gate]))
    registering = asyncio.create_task(registry.register(model(endpoint=f"{upstream.url}/v1")))
    await upstream.received(1)
    assert registry.find("mine") is not None
    assert list((await load(database, board)).names) == ["mine"]
    gate.set()
    await registering


async def test_chats_find_models_without_the_database(registry: ModelRegistry, database: Database) -> None:
    await registry.register(model())
    await database.close()
    assert registry.find("mine") is not None


async def test_no_secret_is_in_the_database(
    sqlite_file: Path, registry: ModelRegistry, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENAI_KITCHEN", "canary-key")
    await registry.register(full_model(f"{upstream.url}/v1"))
    files = [path.read_bytes() for path in sqlite_file.parent.iterdir()]
    assert any(b"GENAI_KITCHEN" in data for data in files)
    assert not any(b"canary-key" in data for data in files)


async def test_scripts_leave_the_schema_that_the_tables_declare(database_url: str) -> None:
    def differences(connection: Connection) -> list[Any]:
        found = compare_metadata(MigrationContext.configure(connection), tables.metadata)
        # The tables of the schema's own version are not in the metadata.
        return [difference for difference in found if difference[0] != "remove_table"]

    database = await open_database(database_url)
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


# ------------------------------------------------------------------------------------------------- status and list


async def test_status_is_fresh_and_goes_by_the_models_own_name(
    registry: ModelRegistry, upstream: ScriptedUpstream
) -> None:
    await registry.register(model(endpoint=f"{upstream.url}/v1", aliases=["alias"]))
    found = registry.find("alias")
    assert found is not None
    status = await registry.check(found)
    assert (status.name, status.status, status.reason) == ("mine", "healthy", "OK")


async def test_list_has_models_in_the_order_of_names_in_pages_with_their_status(
    registry: ModelRegistry, upstream: ScriptedUpstream
) -> None:
    upstream.play(answer(b"", status=500))
    for name in ("mine", "z", "gpt-4o"):
        await registry.register(model(name, f"{upstream.url}/v1", upstream_model="mine"))
    first = await registry.list(models_pb2.ListRegisteredModelsRequest(page_size=2))
    rest = await registry.list(models_pb2.ListRegisteredModelsRequest(page_size=2, page_token=first.next_page_token))
    listed = [*first.models, *rest.models]
    assert [(entry.name, entry.status, entry.overrides_builtin) for entry in listed] == [
        ("gpt-4o", "healthy", True),
        ("mine", "unhealthy", False),
        ("z", "healthy", False),
    ]
    assert rest.next_page_token == ""


# ------------------------------------------------------------------------------------------------------ validation


def test_endpoint_that_is_no_plain_base_url_is_refused() -> None:
    for endpoint in [
        "",
        "localhost:8000/v1",
        "ftp://localhost/v1",
        "file:///etc/passwd",
        "http://",
        "http:///v1",
        "http://:8000/v1",
        "http://user:password@host/v1",
        "http://@host/v1",
        "http://host/v1?key=1",
        "http://host/v1?",
        "http://host/v1#",
        "http://host:0/v1",
        "http://host:/v1",
        "http://host:65536/v1",
        "http://host:a/v1",
        "http://ho st/v1",
        "http://host\n/v1",
        "http://host\\@evil/v1",
        "http://-hö.st/v1",
        "http://h☃.st/v1",
        "http://ho.st/ö/v1",
        "http://ho%73t/v1",
        "http://[::1/v1",
        "http://[fe80::1%eth0]/v1",
        "http://[v1.x]/v1",
        "http://-host/v1",
        "http://host/" + "a" * 2048,
    ]:
        with row(endpoint):
            with pytest.raises(InvalidRequest) as raised:
                build_registered_model(model(endpoint=endpoint), Credentials())
            assert [violation.field for violation in raised.value.violations] == ["endpoint"]
            assert "password" not in raised.value.message.replace("user or password", "")


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://[::1]:9/v1",
        "http://my_container:9/v1",
        "https://models.example.invalid./team/v1",
        "http://127.0.0.1:9",
        "HTTP://localhost:9/v1",
    ],
)
def test_endpoint_that_is_a_base_url_is_taken(endpoint: str) -> None:
    assert build_registered_model(model(endpoint=endpoint), Credentials()).endpoint == endpoint


@pytest.mark.parametrize(
    ("written", "endpoint"),
    [
        ("https://bücher.example:8443/v1/", "https://xn--bcher-kva.example:8443/v1"),
        # By IDNA 2003 this was fass.example, which may be somebody else's.
        ("https://faß.example/v1", "https://xn--fa-hia.example/v1"),
        ("http://ＡＢＣ。example", "http://abc.example"),
    ],
)
def test_endpoint_has_its_host_in_ascii(written: str, endpoint: str) -> None:
    assert build_registered_model(model(endpoint=written), Credentials()).endpoint == endpoint


def test_wrong_field_is_named() -> None:
    for fields, field in [
        ({"name": ""}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "a" * 129}, "name"),
        ({"name": "a\n"}, "name"),
        ({"adapter_type": ""}, "adapter_type"),
        ({"adapter_type": "gemini"}, "adapter_type"),
        ({"health_check": "health"}, "health_check"),
        ({"health_check": "http://evil/"}, "health_check"),
        ({"health_check": "/a b"}, "health_check"),
        ({"health_check": "/a?b"}, "health_check"),
        ({"upstream_model": "a\tb"}, "upstream_model"),
        ({"upstream_model": "a" * 257}, "upstream_model"),
        ({"provider": "a" * 65}, "provider"),
        ({"provider": "a\nb"}, "provider"),
        ({"provider": "a\u202eb"}, "provider"),
        ({"aliases": ["ok", "not ok"]}, "aliases[1]"),
        ({"aliases": ["a", "a"]}, "aliases[1]"),
        ({"aliases": ["mine"]}, "aliases[0]"),
        ({"aliases": [f"a{n}" for n in range(33)]}, "aliases"),
        ({"default_options_json": "[]"}, "default_options_json"),
        ({"default_options_json": "{"}, "default_options_json"),
        ({"default_options_json": '{"a":' * 65 + "1" + "}" * 65}, "default_options_json"),
        ({"default_options_json": '{"a":"' + "x" * 65536 + '"}'}, "default_options_json"),
        ({"default_options_json": '{"stream":true}'}, "default_options_json"),
        ({"default_options_json": '{"a":"\\ud800"}'}, "default_options_json"),
        ({"capabilities": models_pb2.ModelCapabilities(context_window=0)}, "capabilities.context_window"),
        ({"capabilities": models_pb2.ModelCapabilities(max_output_tokens=-1)}, "capabilities.max_output_tokens"),
        ({"capabilities": models_pb2.ModelCapabilities(as_of="today")}, "capabilities.as_of"),
        (
            {"capabilities": models_pb2.ModelCapabilities(unsupported_parameters=["seed", "warmth"])},
            "capabilities.unsupported_parameters[1]",
        ),
        (
            {"capabilities": models_pb2.ModelCapabilities(prices=models_pb2.ModelPrices(prompt_nano_usd=-1))},
            "capabilities.prices.prompt_nano_usd",
        ),
    ]:
        with row(fields, field):
            with pytest.raises(InvalidRequest) as raised:
                build_registered_model(model(**fields), Credentials())
            assert [violation.field for violation in raised.value.violations] == [field]


async def test_unknown_adapter_type_is_refused(registry: ModelRegistry) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await registry.register(model(adapter_type="bedrock"))
    assert [violation.field for violation in raised.value.violations] == ["adapter_type"]


async def test_every_wrong_field_is_named_at_once(registry: ModelRegistry) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await registry.register(models_pb2.RegisterModelRequest())
    assert [violation.field for violation in raised.value.violations] == ["name", "endpoint", "adapter_type"]
    assert await names_listed(registry) == []


async def test_free_models_may_cost_nothing(registry: ModelRegistry) -> None:
    capabilities = models_pb2.ModelCapabilities(prices=models_pb2.ModelPrices(prompt_nano_usd=0))
    response = await registry.register(model(capabilities=capabilities))
    assert response.model.capabilities.prices.HasField("prompt_nano_usd")


# ----------------------------------------------------------------------------------------------------- credentials

VENDORS = {
    "OPENAI_API_KEY": "sk-openai",
    "OPENAI_BASE_URL": "https://gateway.invalid/ours/v1",
    "ANTHROPIC_API_KEY": "sk-anthropic",
    "ANTHROPIC_BASE_URL": "http://proxy.invalid:9090",
}


async def test_variables_that_hold_no_model_key_cannot_be_sent_anywhere(
    registry: ModelRegistry, upstream: ScriptedUpstream
) -> None:
    for variable in [
        "PATH",
        "HOME",
        "MODELS_DATABASE_URL",
        "mine_api_key",
        "MINE_API_KEY\n",
        "_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
    ]:
        with row(variable):
            request = model(endpoint=f"{upstream.url}/v1", credential=models_pb2.Credential(env_var=variable))
            with pytest.raises(InvalidRequest) as raised:
                await registry.register(request)
            assert [violation.field for violation in raised.value.violations] == ["credential.env_var"]
            assert upstream.requests == []


@pytest.mark.parametrize(
    ("variable", "adapter_type", "endpoint"),
    [
        ("OPENAI_API_KEY", "openai", "http://127.0.0.1:9/v1"),
        ("OPENAI_API_KEY", "openai", "http://api.openai.com/v1"),
        ("OPENAI_API_KEY", "openai", "https://api.openai.com.evil.invalid/v1"),
        ("OPENAI_API_KEY", "openai", "https://api.openai.com:8443/v1"),
        ("OPENAI_API_KEY", "openai-compatible", "https://api.openai.com/v1"),
        ("OPENAI_API_KEY", "vllm", "http://localhost:8000/v1"),
        ("OPENAI_API_KEY", "anthropic", "https://api.anthropic.com/v1"),
        ("ANTHROPIC_API_KEY", "anthropic", "https://api.openai.com/v1"),
        ("ANTHROPIC_API_KEY", "anthropic", "http://proxy.invalid:8080/v1"),
        ("ANTHROPIC_API_KEY", "anthropic", "http://proxy.invalid:9090/theirs/v1"),
        ("OPENAI_API_KEY", "openai", "https://api.openai.com/v2"),
        ("OPENAI_API_KEY", "openai", "https://api.openai.com/v1x"),
        ("OPENAI_API_KEY", "openai", "https://api.openai.com/v1/../x/v1"),
        ("OPENAI_API_KEY", "openai", "https://gateway.invalid/theirs/v1"),
        ("OPENAI_API_KEY", "openai", "https://gateway.invalid/v1"),
        ("OPENAI_API_KEY", "openai", "https://gateway.invalid/ours/v1/%2e%2e/%2e%2e/theirs/v1"),
        ("OPENAI_API_KEY", "openai", "https://gateway.invalid//ours/v1"),
        ("OPENAI_API_KEY", "openai", "https://gateway.invalid./ours/v1"),
        ("OPENAI_API_KEY", "openai", "https://gateway.invalid/OURS/v1"),
        ("OPENAI_API_KEY", "openai", "http://gateway.invalid/ours/v1"),
    ],
)
def test_vendors_key_goes_to_the_vendor_alone(variable: str, adapter_type: str, endpoint: str) -> None:
    request = model(endpoint=endpoint, adapter_type=adapter_type, credential=models_pb2.Credential(env_var=variable))
    with pytest.raises(InvalidRequest) as raised:
        build_registered_model(request, credentials(**VENDORS))
    assert [violation.field for violation in raised.value.violations] == ["credential.env_var"]


@pytest.mark.parametrize(
    ("variable", "adapter_type", "endpoint"),
    [
        ("OPENAI_API_KEY", "openai", "https://api.openai.com/v1"),
        ("OPENAI_API_KEY", "openai", "https://API.openai.com:443/v1/"),
        ("ANTHROPIC_API_KEY", "anthropic", "https://api.anthropic.com/v1"),
        ("ANTHROPIC_API_KEY", "anthropic", "http://proxy.invalid:9090/v1"),
        ("OPENAI_API_KEY", "openai", "https://gateway.invalid/ours/v1"),
        ("OPENAI_API_KEY", "openai", "https://gateway.invalid/ours/v1/team-a"),
    ],
)
def test_vendors_key_goes_to_the_vendor(variable: str, adapter_type: str, endpoint: str) -> None:
    request = model(endpoint=endpoint, adapter_type=adapter_type, credential=models_pb2.Credential(env_var=variable))
    assert build_registered_model(request, credentials(**VENDORS)).credential.env_var == variable


async def test_vendors_key_goes_where_the_operator_has_sent_the_provider(
    database: Database, board: HealthMonitor, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary-key")
    registry = await load(database, board, OPENAI_API_KEY="canary-key", OPENAI_BASE_URL=f"{upstream.url}/ours/v1")
    request = model(
        endpoint=f"{upstream.url}/ours/v1",
        adapter_type="openai",
        credential=models_pb2.Credential(env_var="OPENAI_API_KEY"),
    )
    assert (await registry.register(request)).model.status == "healthy"
    assert upstream.requests[0].headers["authorization"] == "Bearer canary-key"


@pytest.mark.parametrize("variable", ["MINE_API_KEY", "GENAI_MINE"])
async def test_missing_key_makes_the_model_unhealthy_and_names_the_variable(
    registry: ModelRegistry, upstream: ScriptedUpstream, variable: str
) -> None:
    request = model(endpoint=f"{upstream.url}/v1", credential=models_pb2.Credential(env_var=variable))
    response = await registry.register(request)
    assert (response.created, response.model.status) == (True, "unhealthy")
    assert [warning.code for warning in response.warnings] == ["CREDENTIAL_MISSING"]
    assert variable in response.warnings[0].message
    assert upstream.requests == []
