"""What a call costs where others have stored thousands of models and prompts, and where storing ends."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from sqlalchemy import insert

from proto import models_pb2
from services.models.catalog.provider_registry import ProviderRegistry
from services.models.catalog.vendor_models import VendorModels
from services.models.custom_models import memory
from services.models.custom_models.model_registry import ModelRegistry
from services.models.health.monitor import HealthMonitor
from services.models.health.probes import ModelProbe
from services.models.prompts import bounds
from services.models.prompts.memory import PromptMemory
from services.models.prompts.prompt_registry import PromptRegistry
from services.models.prompts.record import PromptRecord
from services.models.routing.all_models import AllModels
from services.models.routing.directory import ModelDirectory
from services.models.settings import Settings
from services.models.storage.stored_messages import to_json
from services.models.storage.tables import prompt_events, prompt_versions, registered_model_names, registered_models
from services.shared import garbage_collection
from services.shared.backoff import Backoff
from services.shared.database import Database
from services.shared.errors import LimitExceeded, NotFound
from tests.services.event_loop import watched_loop
from tests.services.model_registries import LOG, NOWHERE, model, new_registry, probing_clients
from tests.services.prompt_registries import open_database, prompt

COUNT = 1000
ALIASES = 4
DAY = "2026-01-01T00:00:00.000Z"
in_one_loop = pytest.mark.asyncio(loop_scope="module")

NEVER = Backoff(interval=1e6, first_retry=1e6)

QUICK_SECONDS = 0.02
"""CPU time of a call that shows one entry, with room of a factor of ten."""
HOLD_SECONDS = 0.15
"""The same of one that shows a thousand."""


class Stored(NamedTuple):
    """Two registries with thousands of entries each, and what answers of them."""

    models: ModelRegistry
    prompts: PromptRegistry
    every: AllModels
    directory: ModelDirectory


@pytest.fixture
async def database(sqlite_file: Path) -> AsyncIterator[Database]:
    database = await open_database(f"sqlite:///{sqlite_file}")
    yield database
    await database.close()


@pytest.fixture
async def board() -> AsyncIterator[HealthMonitor]:
    board = HealthMonitor(LOG, probing_clients(), NEVER, fresh_seconds=1e6)
    yield board
    await board.close()


@contextlib.asynccontextmanager
async def filled(file: Path) -> AsyncIterator[Stored]:
    """The registries over a file with all these entries."""
    database = await open_database(f"sqlite:///{file}")
    board = HealthMonitor(LOG, probing_clients(), NEVER, fresh_seconds=1e6)
    await fill(database)
    models, vendor_models = new_registry(database, board), VendorModels()
    prompts = PromptRegistry(PromptMemory(database), "")
    every = AllModels(models, vendor_models, {})
    directory = ModelDirectory(every, models, ProviderRegistry(Settings().accounts()), board)
    async with watched_loop() as loop:
        await models.load()
        await prompts.memory.load()
    assert loop.longest < HOLD_SECONDS
    yield Stored(models, prompts, every, directory)
    await board.close()
    await database.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stored(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stored]:
    async with filled(tmp_path_factory.mktemp("models") / "models.db") as stored:
        yield stored


@pytest.fixture
def nothing_apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(garbage_collection, "_unfrozen_entries", 0)
    gc.unfreeze()
    yield
    gc.unfreeze()


async def test_entries_are_nothing_to_the_collector_of_garbage(nothing_apart: None, sqlite_file: Path) -> None:
    """It looks at whatever lives, for as long as nothing else runs."""
    async with filled(sqlite_file) as stored:
        assert list(stored.models.names)
        entries = PromptRecord | models_pb2.RegisteredModel | ModelProbe
        assert not [each for each in gc.get_objects() if isinstance(each, entries)]


async def fill(database: Database) -> None:
    definitions = [
        models_pb2.RegisteredModel(
            name=f"model{number:0120}",
            endpoint=NOWHERE,
            adapter_type="openai",
            aliases=[f"alias{number}-{alias}" for alias in range(ALIASES)],
        )
        for number in range(COUNT)
    ]
    names = [{"name": name, "model": each.name} for each in definitions for name in (each.name, *each.aliases)]
    rows = [{"name": each.name, "definition_json": to_json(each), "registered_at": DAY} for each in definitions]
    versions = [version(f"prompt{number:0120}") for number in range(COUNT)]
    async with database.write() as connection:
        await connection.execute(insert(registered_models), rows)
        await connection.execute(insert(registered_model_names), names)
        await connection.execute(insert(prompt_versions), versions)
        await connection.execute(insert(prompt_events), [event(each["name"]) for each in versions])


def version(name: str) -> dict[str, Any]:
    texts = dict.fromkeys(("content", "metadata_json", "commit_message", "defaults_json", "content_hash"), "")
    return {"project_id": "", "name": name, "version": 1, "created_at": DAY} | texts


def event(name: str) -> dict[str, Any]:
    texts = {"type": "registered", "label": "", "actor": "", "reason": "", "time": DAY}
    return {"project_id": "", "name": name, "version": 1, "previous_version": 0} | texts


# ------------------------------------------------------------------------------------------------------------ costs


async def list_models(stored: Stored, **fields: Any) -> Any:
    return await stored.directory.list(models_pb2.ListModelsRequest(**fields))


async def list_registered(stored: Stored, **fields: Any) -> Any:
    return await stored.models.list(models_pb2.ListRegisteredModelsRequest(**fields))


async def list_prompts(stored: Stored, **fields: Any) -> Any:
    return await stored.prompts.list(models_pb2.ListPromptsRequest(**fields))


async def find_no_model(stored: Stored, **_: Any) -> None:
    with pytest.raises(NotFound, match="did you mean"):
        stored.every.find(f"model{'0' * 100}x")


async def deregister_no_model(stored: Stored, **_: Any) -> None:
    with pytest.raises(NotFound, match="did you mean"):
        await stored.models.deregister(models_pb2.DeregisterModelRequest(name=f"model{'0' * 100}x"))


async def find_no_prompt(stored: Stored, **_: Any) -> None:
    with pytest.raises(NotFound, match="did you mean"):
        await stored.prompts.resolve(f"prompt{'0' * 100}x")


LISTS: list[Callable[..., Awaitable[Any]]] = [list_models, list_registered, list_prompts]
MISSES: list[Callable[..., Awaitable[Any]]] = [find_no_model, deregister_no_model, find_no_prompt]


@in_one_loop
async def test_calls_cost_what_they_show_and_not_what_is_stored(stored: Stored) -> None:
    for call in (*LISTS, *MISSES):
        async with watched_loop() as loop:
            answer = await call(stored, page_size=1)
        assert loop.longest < QUICK_SECONDS, call
        if call in LISTS:
            async with watched_loop() as loop:
                second = await call(stored, page_size=1, page_token=answer.next_page_token)
            assert loop.longest < QUICK_SECONDS, call
            assert len(second.ListFields()[0][1]) == 1
    for call in LISTS:
        async with watched_loop() as loop:
            await call(stored, page_size=1000)
        assert loop.longest < HOLD_SECONDS, call


@in_one_loop
async def test_what_no_entry_has_is_found_nowhere_without_holding_the_loop(stored: Stored) -> None:
    for fields in ({"query": "x" * 64}, {"label": "none"}, {"tags": ["none"]}):
        async with watched_loop() as loop:
            assert not (await list_prompts(stored, **fields)).prompts
        assert loop.longest < HOLD_SECONDS
    async with watched_loop() as loop:
        assert not (await list_models(stored, provider="none")).models
    assert loop.longest < HOLD_SECONDS


@in_one_loop
async def test_one_change_among_many_models_costs_what_it_changes(stored: Stored) -> None:
    """Without the database: what becomes of memory."""
    rows = [stored.models._memory._rows[name] for name in list(stored.models.names)[:100]]
    started = time.thread_time()
    for row in rows:
        stored.models._memory.remove(row.name)
        stored.models._memory.apply(row)
    assert time.thread_time() - started < 100 * 0.0005 * 10
    assert len(list(stored.models.names)) == COUNT
    assert stored.models.find("alias7-1") is stored.models.find(f"model{7:0120}")


# ----------------------------------------------------------------------------------------------------------- limits


async def test_models_can_be_registered_up_to_a_number(
    database: Database, board: HealthMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MAX_REGISTERED_MODELS", 2)
    registry = new_registry(database, board)
    await registry.load()
    await registry.register(model("a"))
    await registry.register(model("b"))
    for validate_only in (False, True):
        with pytest.raises(LimitExceeded, match="at most 2 can be; deregister") as raised:
            await registry.register(model("c", validate_only=validate_only))
        assert raised.value.reason == "REGISTERED_MODELS_LIMIT"
    assert not (await registry.register(model("a"))).created
    assert (await registry.register(model("b", upstream_model="other"))).created
    await registry.deregister(models_pb2.DeregisterModelRequest(name="a"))
    assert (await registry.register(model("c"))).created


async def test_registrations_can_be_large_up_to_a_sum(
    database: Database, board: HealthMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MAX_REGISTERED_BYTES", 50_000)
    registry = new_registry(database, board)
    await registry.load()
    large = {"default_options_json": f'{{"a":"{"x" * 30_000}"}}'}
    await registry.register(model("a", **large))
    with pytest.raises(LimitExceeded, match="50000 bytes together"):
        await registry.register(model("b", **large))
    assert (await registry.register(model("a", upstream_model="other", **large))).created
    assert (await registry.register(model("a"))).created
    assert (await registry.register(model("b", **large))).created


async def test_prompts_can_be_registered_up_to_a_number_and_versions_of_them_beyond(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MAX_PROMPTS", 2)
    registry = PromptRegistry(PromptMemory(database), "")
    await registry.memory.load()
    await registry.register(prompt("a"))
    await registry.register(prompt("b"))
    with pytest.raises(LimitExceeded, match="at most 2 can be; register a version of one of them") as raised:
        await registry.register(prompt("c"))
    assert raised.value.reason == "PROMPTS_LIMIT"
    assert (await registry.register(prompt("a", "Another."))).version == 2
