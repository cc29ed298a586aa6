"""Events of prompts: actors, times and reasons of all changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from proto import models_pb2
from services.models.prompts.prompt_registry import PromptRegistry
from services.shared.errors import Conflict, InvalidRequest, NotFound, PreconditionFailed
from tests.rows import row
from tests.services.prompt_registries import NAME, archive, events, prompt, register_versions, set_label, unarchive
from tests.support.databases import on_postgresql_too


async def test_events_of_all_changes_are_listed_newest_first(registry: PromptRegistry) -> None:
    metadata = models_pb2.PromptMetadata(author="åsa")
    await registry.register(prompt(content="a", metadata=metadata, commit_message="first", labels=["staging"]))
    await registry.register(prompt(content="b"))
    await set_label(registry, "staging", 2, actor="bo", reason="better\nby far")
    await set_label(registry, "staging", 0, actor="bo", reason="worse")
    await archive(registry, 2, actor="cy", reason="unused")
    await unarchive(registry, 2)
    await archive(registry)
    told = await events(registry)
    assert [(e.type, e.version, e.label, e.previous_version, e.actor, e.reason) for e in told] == [
        ("archived", 0, "", 0, "", ""),
        ("unarchived", 2, "", 0, "", ""),
        ("archived", 2, "", 0, "cy", "unused"),
        ("label_removed", 2, "staging", 2, "bo", "worse"),
        ("label_set", 2, "staging", 1, "bo", "better\nby far"),
        ("registered", 2, "", 0, "", ""),
        ("label_set", 1, "staging", 0, "åsa", "first"),
        ("registered", 1, "", 0, "åsa", "first"),
    ]
    assert {event.name for event in told} == {NAME}
    times = [event.time.ToDatetime(UTC) for event in told]
    assert times == sorted(times, reverse=True)
    assert datetime.now(UTC) - times[-1] < timedelta(seconds=60)


async def test_refused_changes_add_no_event(registry: PromptRegistry) -> None:
    await register_versions(registry, 1)
    await set_label(registry, "staging", 1)
    before = await events(registry)
    with pytest.raises(Conflict):
        await set_label(registry, "staging", 0, expected_version=2)
    with pytest.raises(PreconditionFailed):
        await archive(registry, 1)
    assert not (await registry.register(prompt(content="text 1"))).created
    assert await events(registry) == before


@on_postgresql_too
async def test_pages_of_events_are_not_shifted_by_new_events(registry: PromptRegistry) -> None:
    await register_versions(registry, 7)
    await register_versions(registry, 2, "other")
    request = models_pb2.ListPromptEventsRequest(name=NAME, page_size=3)
    seen: list[int] = []
    while True:
        page = await registry.list_events(request)
        seen += [event.version for event in page.events]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
        await registry.register(prompt(content=f"meanwhile {len(seen)}"))
    assert seen == [7, 6, 5, 4, 3, 2, 1]


async def test_history_of_an_unknown_prompt_is_not_found(registry: PromptRegistry) -> None:
    await register_versions(registry, 1)
    with pytest.raises(NotFound, match="did you mean"):
        await events(registry, "support/anser")
    with pytest.raises(InvalidRequest):
        await events(registry, "")


async def test_token_of_another_history_is_refused(registry: PromptRegistry) -> None:
    await register_versions(registry, 3)
    await register_versions(registry, 3, "other")
    page = await registry.list_events(models_pb2.ListPromptEventsRequest(name=NAME, page_size=1))
    for name, token in (("other", page.next_page_token), (NAME, "x"), (NAME, page.next_page_token[:-3])):
        with pytest.raises(InvalidRequest, match="page_token"):
            await events(registry, name, page_token=token)


@on_postgresql_too
async def test_invalid_name_is_not_found_without_a_query(registry: PromptRegistry) -> None:
    for name in ["a\0b", "A", "\ud7ff", "a" * 5_000_000]:
        with row(name[:20]):
            await register_versions(registry, 1)
            for ask in (
                events(registry, name),
                set_label(registry, "staging", 1, name=name),
                archive(registry, name=name),
            ):
                with pytest.raises(NotFound):
                    await ask
