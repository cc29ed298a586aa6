"""Archiving: out of the way, never gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from proto import models_pb2
from services.models.prompts.prompt_registry import PromptRegistry
from services.shared.errors import InvalidRequest, NotFound, PreconditionFailed
from tests.services.prompt_registries import (
    NAME,
    archive,
    events,
    get,
    names,
    prompt,
    register_versions,
    set_label,
    unarchive,
    versions,
)
from tests.support.databases import on_postgresql_too


@on_postgresql_too
async def test_archived_version_is_hidden_from_lists_and_found_by_its_number(registry: PromptRegistry) -> None:
    await register_versions(registry, 3)
    assert await archive(registry, 2) == [2]
    assert await versions(registry) == [3, 1]
    assert await versions(registry, include_archived=True) == [3, 2, 1]
    found = await get(registry, version=2)
    assert found.content == "text 2"
    assert datetime.now(UTC) - found.archived_at.ToDatetime(UTC) < timedelta(seconds=60)


async def test_version_in_force_is_the_newest_that_is_not_archived(registry: PromptRegistry) -> None:
    await register_versions(registry, 3)
    await archive(registry, 3)
    assert (await get(registry)).version == 2
    assert await unarchive(registry, 3) == [3]
    found = await get(registry)
    assert (found.version, found.HasField("archived_at")) == (3, False)


@on_postgresql_too
async def test_archived_prompt_is_hidden_until_it_is_unarchived(registry: PromptRegistry) -> None:
    await register_versions(registry, 3)
    await registry.register(prompt("other"))
    await archive(registry, 2)
    before = (await get(registry, version=2)).archived_at
    assert await archive(registry) == [3, 1]
    assert (await get(registry, version=2)).archived_at == before
    assert await names(registry) == ["other"]
    assert await names(registry, include_archived=True) == ["other", NAME]
    assert await versions(registry) == []
    with pytest.raises(NotFound, match="is archived; ask for a version") as raised:
        await get(registry)
    assert raised.value.reason == "PROMPT_NOT_FOUND"
    assert (await get(registry, version=3)).HasField("archived_at")
    assert await unarchive(registry) == [3, 2, 1]
    assert (await get(registry)).version == 3


async def test_archived_prompt_is_listed_as_its_newest_version_when_asked(registry: PromptRegistry) -> None:
    await register_versions(registry, 2)
    await archive(registry)
    listed = await registry.list(models_pb2.ListPromptsRequest(include_archived=True))
    assert [(entry.version, entry.HasField("archived_at")) for entry in listed.prompts] == [(2, True)]


async def test_archiving_is_refused_while_a_label_points_there(registry: PromptRegistry) -> None:
    await register_versions(registry, 3)
    await set_label(registry, "staging", 1)
    await set_label(registry, "canary", 1)
    for version in (1, 0):
        with pytest.raises(PreconditionFailed) as raised:
            await archive(registry, version)
        assert raised.value.reason == "PROMPT_LABELED"
        assert raised.value.metadata == {"prompt": NAME, "labels": "canary, staging"}
    assert await versions(registry) == [3, 2, 1]
    assert await archive(registry, 2) == [2]
    await set_label(registry, "staging", 3)
    await set_label(registry, "canary", 0)
    assert await archive(registry, 1) == [1]


async def test_repeated_archiving_adds_no_event(registry: PromptRegistry) -> None:
    await register_versions(registry, 2)
    assert await unarchive(registry, 1) == []
    assert await archive(registry, 1) == [1]
    before = await events(registry)
    assert await archive(registry, 1) == []
    assert await events(registry) == before


async def test_archived_content_registered_again_is_a_new_version(registry: PromptRegistry) -> None:
    await register_versions(registry, 2)
    await archive(registry, 2)
    again = await registry.register(prompt(content="text 2"))
    assert (again.version, again.created, again.prompt.HasField("archived_at")) == (3, True, False)
    assert (await get(registry, version=2)).HasField("archived_at")


async def test_content_of_the_newest_unarchived_version_is_that_version(registry: PromptRegistry) -> None:
    await register_versions(registry, 2)
    await archive(registry, 2)
    again = await registry.register(prompt(content="text 1", labels=["production"]))
    assert (again.version, again.created, list(again.prompt.labels)) == (1, False, ["production"])


async def test_new_version_of_an_archived_prompt_is_in_force(registry: PromptRegistry) -> None:
    await register_versions(registry, 1)
    await archive(registry)
    assert (await registry.register(prompt(content="text 1"))).version == 2
    assert await versions(registry) == [2]


async def test_missing_prompt_and_missing_version_are_not_found(registry: PromptRegistry) -> None:
    await register_versions(registry, 1)
    for ask in (archive(registry, name="nope"), archive(registry, 2), unarchive(registry, 2)):
        with pytest.raises(NotFound):
            await ask


async def test_wrong_fields_are_named(registry: PromptRegistry) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await registry.archive(models_pb2.ArchivePromptRequest(version=-1, actor="a\n", reason="\0"))
    assert [violation.field for violation in raised.value.violations] == ["name", "version", "reason", "actor"]


async def test_versions_with_too_large_texts_are_returned_without_them(registry: PromptRegistry) -> None:
    for number in range(4):
        await registry.register(prompt(content=f"{number}" * 1_000_000))
    response = await registry.archive(models_pb2.ArchivePromptRequest(name=NAME))
    assert response.ByteSize() < 3_000_000
    assert [(entry.version, entry.HasField("archived_at")) for entry in response.prompts] == [
        (version, True) for version in (4, 3, 2, 1)
    ]
