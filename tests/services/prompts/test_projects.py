"""Projects of prompts: each has names of its own, and a share of what all may have together."""

from __future__ import annotations

import pytest

from proto import models_pb2
from services.models.prompts import bounds
from services.models.prompts.prompt_registry import PromptRegistry
from services.shared.database import Database
from services.shared.errors import LimitExceeded, NotFound
from tests.services.prompt_registries import (
    NAME,
    archive,
    events,
    get,
    load,
    names,
    prompt,
    register_versions,
    set_label,
    versions,
)
from tests.support.databases import on_postgresql_too


def of_project(registry: PromptRegistry, project_id: str) -> PromptRegistry:
    return PromptRegistry(registry.memory, project_id)


@on_postgresql_too
async def test_projects_have_names_of_their_own(database: Database, registry: PromptRegistry) -> None:
    first, second = of_project(registry, "p"), of_project(registry, "q")
    await register_versions(first, 3)
    await set_label(first, "production", 2)
    await archive(first, 1)
    await second.register(prompt(content="other", labels=["staging"]))
    for known in (registry, await load(database)):
        here, there, nobodys = of_project(known, "p"), of_project(known, "q"), of_project(known, "")
        assert (await get(here)).content == "text 2"
        assert (await get(there)).content == "other"
        assert (await get(here, version=1)).content == "text 1"
        assert (await versions(here), await versions(there)) == ([3, 2], [1])
        assert ([event.version for event in await events(here)], len(await events(there))) == ([1, 2, 3, 2, 1], 2)
        assert (await names(here), await names(there), await names(nobodys)) == ([NAME], [NAME], [])
        with pytest.raises(NotFound, match="has no version 2"):
            await get(there, version=2)
        with pytest.raises(NotFound, match="has no label production"):
            await get(there, label="production")


async def test_an_unknown_name_is_not_answered_with_those_of_others(registry: PromptRegistry) -> None:
    await of_project(registry, "p").register(prompt("support/answer"))
    with pytest.raises(NotFound) as raised:
        await get(of_project(registry, "q"), "support/answers")
    assert raised.value.message == "there is no prompt support/answers; RegisterPrompt makes one"


async def refuses(registry: PromptRegistry, name: str, content: str = "text") -> str:
    with pytest.raises(LimitExceeded) as raised:
        await registry.register(prompt(name, content))
    return raised.value.reason


async def test_a_project_leaves_as_many_names_as_it_has(
    registry: PromptRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MAX_PROMPTS", 8)
    first, second, nobodys = (of_project(registry, project) for project in ("p", "q", ""))
    for number in range(4):
        await first.register(prompt(f"{number}"))
    assert await refuses(first, "4") == "PROJECT_PROMPTS_LIMIT"
    assert (await first.register(prompt("0", "Another version."))).created
    for number in range(2):
        await second.register(prompt(f"{number}"))
    assert await refuses(second, "2") == "PROJECT_PROMPTS_LIMIT"
    # Without projects, everybody may have all that is left.
    for number in range(2):
        await nobodys.register(prompt(f"{number}"))
    assert await refuses(nobodys, "2") == "PROMPTS_LIMIT"


@pytest.mark.parametrize("limit", ["MAX_STORED_BYTES", "MAX_MEMORY_BYTES"])
async def test_a_project_leaves_as_many_bytes_as_it_has(
    registry: PromptRegistry, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(bounds, limit, 100_000)
    first, second = (of_project(registry, project) for project in ("p", "q"))
    await first.register(prompt(content="x" * 40_000))
    assert await refuses(first, "other", "y" * 10_000) == "PROJECT_PROMPTS_LIMIT"
    assert await refuses(second, "other", "y" * 40_000) == "PROJECT_PROMPTS_LIMIT"
    await second.register(prompt(content="y" * 20_000))
    await archive(first)
    assert await names(first) == []
    assert (await second.register(prompt(content="y" * 20_000, labels=["a"]))).prompt.labels == ["a"]


async def test_pages_are_of_one_project(registry: PromptRegistry) -> None:
    for project in ("p", "q"):
        for number in range(3):
            await of_project(registry, project).register(prompt(f"{project}{number}"))
    listing = models_pb2.ListPromptsRequest(page_size=2)
    listing.page_token = (await of_project(registry, "p").list(listing)).next_page_token
    assert [entry.name for entry in (await of_project(registry, "p").list(listing)).prompts] == ["p2"]
