"""Bounds of prompts, in the database and in memory."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from proto import models_pb2
from services.models.prompts import bounds
from services.models.prompts.prompt_registry import PromptRegistry
from services.shared.database import Database
from services.shared.errors import InvalidRequest, LimitExceeded
from services.shared.page_tokens import MAX_PAGE_BYTES
from tests.services.prompt_registries import (
    LOG,
    MIGRATIONS,
    NAME,
    archive,
    events,
    get,
    insert_row,
    load,
    open_database,
    prompt,
    register_versions,
    set_label,
    unarchive,
    versions,
)
from tests.support.databases import on_postgresql_too

MEGABYTE = 1_000_000


async def register_large(registry: PromptRegistry, count: int, name: str = NAME) -> None:
    for number in range(1, count + 1):
        await registry.register(prompt(name, f"{number} {'x' * MEGABYTE}"))


async def refused(call: Awaitable[Any]) -> tuple[str, str]:
    with pytest.raises(LimitExceeded) as raised:
        await call
    return raised.value.reason, raised.value.message


def loaded(registry: PromptRegistry) -> dict[str, list[int]]:
    """The versions in memory."""
    return {prompt.name: sorted(record.loaded) for prompt, record in registry.memory._records.items()}


# ---------------------------------------------------------------------------------------------------------- memory


async def test_only_newest_and_labelled_versions_are_in_memory(database: Database, registry: PromptRegistry) -> None:
    await register_versions(registry, 5)
    await set_label(registry, "production", 2)
    await archive(registry, 5)
    await register_versions(registry, 2, "archived")
    await archive(registry, name="archived")
    for known in (registry, await load(database)):
        assert loaded(known) == {NAME: [2, 4], "archived": []}
        for version in range(1, 6):
            found = await get(known, version=version)
            assert (found.version, found.content) == (version, f"text {version}")
            assert list(found.labels) == (["production"] if version == 2 else [])
            assert found.HasField("archived_at") == (version == 5)
    await unarchive(registry, 5)
    await set_label(registry, "production", 0)
    assert loaded(registry)[NAME] == [5]


async def test_cached_version_follows_later_changes(registry: PromptRegistry) -> None:
    await register_versions(registry, 3)
    for _ in range(2):
        assert not (await get(registry, version=1)).HasField("archived_at")
    await archive(registry, 1)
    assert (await get(registry, version=1)).HasField("archived_at")
    await unarchive(registry, 1)
    await set_label(registry, "staging", 1)
    assert list((await get(registry, version=1)).labels) == ["staging"]
    await set_label(registry, "staging", 0)
    assert list((await get(registry, version=1)).labels) == []


@on_postgresql_too
async def test_large_versions_make_smaller_pages(registry: PromptRegistry) -> None:
    await register_large(registry, 5)
    request = models_pb2.ListPromptVersionsRequest(name=NAME)
    pages = [await registry.list_versions(request)]
    while pages[-1].next_page_token:
        request.page_token = pages[-1].next_page_token
        pages.append(await registry.list_versions(request))
    assert [[entry.version for entry in page.prompts] for page in pages] == [[5, 4, 3], [2, 1]]
    assert all(page.ByteSize() <= MAX_PAGE_BYTES for page in pages)


async def test_archived_prompts_are_listed_with_their_texts_where_these_fit(registry: PromptRegistry) -> None:
    metadata = models_pb2.PromptMetadata(tags=["a"])
    await registry.register(prompt("small", "text", metadata=metadata, commit_message="why"))
    await archive(registry, name="small")
    listing = models_pb2.ListPromptsRequest(include_archived=True, tags=["a"])
    [small] = (await registry.list(listing)).prompts
    assert (small.content, small.commit_message) == ("text", "why")
    for number in range(4):
        await registry.register(prompt(f"large-{number}", f"{number}" * MEGABYTE, metadata=metadata))
        await archive(registry, name=f"large-{number}")
    listed = (await registry.list(listing)).prompts
    assert [entry.name for entry in listed] == ["large-0", "large-1", "large-2", "large-3", "small"]
    assert [(entry.content, entry.metadata, entry.HasField("archived_at")) for entry in listed] == [
        ("", metadata, True)
    ] * 5


async def test_prompts_of_an_earlier_schema_are_migrated(database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "migrations"
    folder.mkdir(parents=True)
    for script in sorted(MIGRATIONS.glob("000[12]_*.py")):
        shutil.copy(script, folder)
    database = await Database.open(database_url, folder, LOG)
    texts = {"metadata_json": "", "commit_message": "", "defaults_json": ""}
    facts = {"content_hash": "h", "created_at": "2026-11-01T10:00:00.123Z"}
    event = {
        "type": "registered",
        "label": "",
        "previous_version": 0,
        "actor": "",
        "reason": "",
        "time": "2026-11-01T10:00:00.123Z",
    }
    async with database.write() as connection:
        for version in (1, 2, 3, 4):
            row = {"name": NAME, "version": version, "content": "é" * (MEGABYTE // 2), **texts, **facts}
            await insert_row(connection, "prompt_versions", row)
            await insert_row(connection, "prompt_events", {"name": NAME, "version": version, **event})
        await insert_row(connection, "prompt_labels", {"name": NAME, "label": "production", "version": 1})
    await database.close()

    database = await open_database(database_url)
    registry = await load(database)
    assert loaded(registry) == {NAME: [1, 4]}
    assert await versions(registry) == [4, 3, 2]
    assert (await get(registry)).version == 1
    assert [event.version for event in await events(registry)] == [4, 3, 2, 1]
    await database.close()


# ---------------------------------------------------------------------------------------------------------- bounds


async def test_number_of_versions_is_limited(registry: PromptRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_VERSIONS", 2)
    await register_versions(registry, 2)
    reason, message = await refused(registry.register(prompt(content="text 3")))
    assert reason == "PROMPT_LIMIT"
    assert "register it under another name" in message
    assert not (await registry.register(prompt(content="text 2", labels=["production"]))).created
    await registry.register(prompt("other"))
    assert await versions(registry) == [2, 1]


async def test_number_of_labels_is_limited(registry: PromptRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_LABELS", 2)
    await registry.register(prompt(labels=["a", "b"]))
    for call in (set_label(registry, "c", 1), registry.register(prompt(content="other", labels=["c"]))):
        assert (await refused(call))[0] == "PROMPT_LIMIT"
    await set_label(registry, "a", 0)
    await set_label(registry, "c", 1)
    assert await versions(registry) == [1]


@pytest.mark.parametrize(
    ("limit", "reason"), [("MAX_PROMPT_BYTES", "PROMPT_LIMIT"), ("MAX_STORED_BYTES", "PROMPTS_LIMIT")]
)
async def test_size_of_versions_is_limited(
    registry: PromptRegistry, monkeypatch: pytest.MonkeyPatch, limit: str, reason: str
) -> None:
    monkeypatch.setattr(bounds, limit, 2_500)
    await registry.register(prompt(content="1" * 1000))
    await registry.register(prompt(content="2" * 1000))
    assert (await refused(registry.register(prompt(content="3" * 1000))))[0] == reason
    other = registry.register(prompt("other", "1" * 1000))
    if reason == "PROMPT_LIMIT":
        await other
    else:
        assert (await refused(other))[0] == reason
    await set_label(registry, "production", 1)


async def test_memory_of_prompts_is_limited_and_archiving_frees_it(
    database: Database, registry: PromptRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MAX_MEMORY_BYTES", 3_500_000)
    for name in ("a", "b", "c"):
        await register_large(registry, 3, name)
    for known in (registry, await load(database)):
        for call in (known.register(prompt("d", "x" * MEGABYTE)), set_label(known, "old", 1, name="a")):
            reason, message = await refused(call)
            assert reason == "PROMPTS_LIMIT"
            assert "archive prompts that nobody uses, or remove labels" in message
    assert (await registry.register(prompt("a", "y" * MEGABYTE))).version == 4
    await archive(registry, name="a")
    await registry.register(prompt("d", "x" * MEGABYTE))
    assert (await refused(unarchive(registry, name="a")))[0] == "PROMPTS_LIMIT"
    assert (await get(registry, "a", version=4)).HasField("archived_at")


async def test_number_of_variables_is_limited(registry: PromptRegistry) -> None:
    names = [f"{{{{v{number}}}}}" for number in range(1001)]
    assert len((await registry.register(prompt(content="".join([*names[:1000], names[0]])))).prompt.variables) == 1000
    with pytest.raises(InvalidRequest) as raised:
        await registry.register(prompt(content="".join(names)))
    assert raised.value.violations[0].field == "content"
