"""Several processes with the same prompts, and databases that are away, older, or from before labels were known."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from services.models.storage.tables import prompt_events, prompt_labels, prompt_versions
from services.shared.database import Database
from services.shared.errors import Conflict, NotFound, Unavailable
from tests.services.prompt_registries import (
    LOG,
    MIGRATIONS,
    NAME,
    Replica,
    archive,
    events,
    get,
    insert_row,
    load,
    names,
    new_registry,
    open_database,
    prompt,
    register_versions,
    replica,
    set_label,
    shows,
    versions,
)


@pytest.fixture
async def replicas(database_url: str) -> AsyncIterator[tuple[Replica, Replica]]:
    async with replica(database_url) as here, replica(database_url) as there:
        yield here, there


async def test_every_change_reaches_another_replica_within_a_second(replicas: tuple[Replica, Replica]) -> None:
    here, there = replicas
    await register_versions(here.registry, 2)
    await there.sees(shows(version=2, content="text 2"))
    await set_label(there.registry, "production", 1)
    await here.sees(shows(version=1, resolved_label="production"))
    await set_label(here.registry, "production", 0)
    await there.sees(shows(version=2))
    await archive(there.registry, 2)
    await here.sees(shows(version=1, resolved_label=""))
    assert await versions(here.registry, include_archived=True) == [2, 1]


async def test_outdated_replica_decides_by_the_database(database_url: str) -> None:
    ours, theirs = [await open_database(database_url) for _ in range(2)]
    here, deaf = await load(ours), await load(theirs)
    await register_versions(here, 2)
    await set_label(here, "production", 1)
    with pytest.raises(Conflict):
        await set_label(deaf, "production", 2, expected_version=0)
    with pytest.raises(Exception, match="labels of prompt support/answer still point there: production"):
        await archive(deaf, 1)
    assert not (await deaf.register(prompt(content="text 2"))).created
    assert (await set_label(deaf, "production", 2, expected_version=1)).previous_version == 1
    assert [event.type for event in await events(deaf)] == ["label_set", "label_set", "registered", "registered"]
    await ours.close()
    await theirs.close()


async def test_replicas_with_concurrent_writes_become_equal(replicas: tuple[Replica, Replica]) -> None:
    here, there = (replica.registry for replica in replicas)
    writes = [
        registry.register(prompt(content=f"text {number}", labels=[f"label-{number}"]))
        for number in range(10)
        for registry in (here, there)
    ]
    responses = await asyncio.gather(*writes)
    assert {response.version for response in responses} == set(range(1, max(r.version for r in responses) + 1))
    await here.memory.load()
    await there.memory.load()
    for version in await versions(here):
        assert await get(here, version=version) == await get(there, version=version)
    labels = [label for version in await versions(here) for label in (await get(here, version=version)).labels]
    assert sorted(labels) == [f"label-{number}" for number in range(10)]


async def test_repeated_loading_neither_loses_nor_repeats_prompts(database_url: str) -> None:
    async with replica(database_url) as running:
        registry = running.registry

        async def reload() -> None:
            for _ in range(20):
                await registry.memory.load()

        async def write() -> None:
            for number in range(20):
                response = await registry.register(prompt(content=f"text {number}", labels=["production"]))
                assert (await registry.resolve(NAME)).prompt == response.prompt

        await asyncio.gather(write(), reload(), reload())
        assert await versions(registry) == list(range(20, 0, -1))


async def test_registry_before_its_first_load_is_unavailable_and_can_write(database_url: str) -> None:
    """The service may start without its database: then nobody knows what prompts there are."""
    database = await open_database(database_url)
    registry = new_registry(database)
    with pytest.raises(Unavailable) as raised:
        await get(registry)
    assert raised.value.retry_after
    with pytest.raises(Unavailable):
        await names(registry)
    await registry.register(prompt())
    assert (await get(registry)).version == 1
    with pytest.raises(Unavailable):
        await get(registry, "other")
    await registry.memory.load()
    assert await names(registry) == [NAME]
    with pytest.raises(NotFound):
        await get(registry, "other")
    await database.close()


async def test_restored_older_database_replaces_the_memory(database_url: str) -> None:
    """An operator has restored a backup."""
    database = await open_database(database_url)
    registry = await load(database)
    await register_versions(registry, 1)
    [backup] = await events(registry)
    await register_versions(registry, 3)
    await registry.register(prompt("gone", labels=["production"]))
    await registry.memory.load()
    async with database.write() as connection:
        await connection.execute(delete(prompt_labels))
        await connection.execute(delete(prompt_events).where(prompt_events.c.version > backup.version))
        await connection.execute(delete(prompt_events).where(prompt_events.c.name == "gone"))
        await connection.execute(delete(prompt_versions).where(prompt_versions.c.version > backup.version))
        await connection.execute(delete(prompt_versions).where(prompt_versions.c.name == "gone"))
    await registry.memory.load()
    assert await names(registry) == [NAME]
    assert await versions(registry) == [1]
    await database.close()


async def test_versions_from_before_labels_keep_their_history(database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "migrations"
    folder.mkdir(parents=True)
    first = next(MIGRATIONS.glob("0001_*.py"))
    shutil.copy(first, folder)
    database = await Database.open(database_url, folder, LOG)
    columns = {
        "commit_message": "why",
        "defaults_json": "",
        "content_hash": "h",
        "created_at": "2026-11-01T10:00:00.123Z",
    }
    async with database.write() as connection:
        for version, metadata in ((1, '{"author": "Åsa"}'), (2, "")):
            row = {"name": NAME, "version": version, "content": f"text {version}", "metadata_json": metadata}
            await insert_row(connection, "prompt_versions", row | columns)
    await database.close()

    database = await open_database(database_url)
    registry = await load(database)
    assert [(await get(registry, version=version)).content for version in (1, 2)] == ["text 1", "text 2"]
    told = await events(registry)
    assert [(event.type, event.version, event.actor, event.reason) for event in told] == [
        ("registered", 2, "", "why"),
        ("registered", 1, "Åsa", "why"),
    ]
    assert told[0].time.ToJsonString() == "2026-11-01T10:00:00.123Z"
    await set_label(registry, "production", 1)
    assert (await registry.register(prompt(content="text 3"))).version == 3
    await database.close()
