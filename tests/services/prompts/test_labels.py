"""Labels of prompts: moved by compare-and-set, never guessed."""

from __future__ import annotations

import asyncio

import pytest

from proto import models_pb2
from services.models.prompts.prompt_registry import PromptRegistry
from services.shared.errors import Conflict, InvalidRequest, NotFound
from tests.rows import row
from tests.services.prompt_registries import NAME, archive, events, get, prompt, register_versions, set_label
from tests.support.databases import on_postgresql_too


@on_postgresql_too
async def test_label_is_set_moved_and_removed(registry: PromptRegistry) -> None:
    await register_versions(registry, 2)
    response = await set_label(registry, "staging", 1)
    assert (response.prompt.version, list(response.prompt.labels), response.previous_version) == (1, ["staging"], 0)
    response = await set_label(registry, "staging", 2)
    assert (response.prompt.version, list(response.prompt.labels), response.previous_version) == (2, ["staging"], 1)
    assert list((await get(registry, version=1)).labels) == []
    response = await set_label(registry, "staging", 0)
    assert (response.HasField("prompt"), response.previous_version) == (False, 2)
    with pytest.raises(NotFound):
        await get(registry, label="staging")


async def test_label_finds_its_version(registry: PromptRegistry) -> None:
    await register_versions(registry, 3)
    await set_label(registry, "staging", 2)
    await set_label(registry, "canary", 2)
    found = await get(registry, label="staging")
    assert (found.version, found.resolved_label, list(found.labels)) == (2, "staging", ["canary", "staging"])
    asked = await get(registry, version=2)
    assert (asked.resolved_label, list(asked.labels)) == ("", ["canary", "staging"])


async def test_production_is_in_force_and_without_it_the_newest(registry: PromptRegistry) -> None:
    await register_versions(registry, 3)
    newest = await get(registry)
    assert (newest.version, newest.resolved_label) == (3, "")
    await set_label(registry, "production", 1)
    in_force = await get(registry)
    assert (in_force.version, in_force.resolved_label) == (1, "production")
    await set_label(registry, "production", 0)
    assert (await get(registry)).version == 3


async def test_unknown_label_is_not_found_and_the_error_lists_the_labels(registry: PromptRegistry) -> None:
    await register_versions(registry, 1)
    with pytest.raises(NotFound, match="it has none; SetPromptLabel sets one") as raised:
        await get(registry, label="production")
    assert raised.value.reason == "PROMPT_LABEL_NOT_FOUND"
    await set_label(registry, "staging", 1)
    await set_label(registry, "canary", 1)
    with pytest.raises(NotFound) as raised:
        await get(registry, label="production")
    assert raised.value.metadata == {"prompt": NAME, "label": "production", "labels": "canary, staging"}


async def test_outdated_move_conflicts_with_the_current_version(registry: PromptRegistry) -> None:
    await register_versions(registry, 3)
    await set_label(registry, "production", 1, expected_version=0)
    await set_label(registry, "production", 2, expected_version=1)
    for expected in (0, 1):
        with pytest.raises(Conflict) as raised:
            await set_label(registry, "production", 3, expected_version=expected)
        assert raised.value.reason == "LABEL_CONFLICT"
        assert raised.value.metadata == {"prompt": NAME, "label": "production", "current_version": "2"}
    with pytest.raises(Conflict):
        await set_label(registry, "production", 0, expected_version=3)
    assert (await get(registry, label="production")).version == 2
    assert (await set_label(registry, "production", 0, expected_version=2)).previous_version == 2


@on_postgresql_too
async def test_one_of_many_concurrent_moves_succeeds(registry: PromptRegistry) -> None:
    await register_versions(registry, 5)
    await set_label(registry, "production", 1)
    moves = (set_label(registry, "production", version, expected_version=1) for version in (2, 3, 4, 5))
    answers = await asyncio.gather(*moves, return_exceptions=True)
    moved = [answer for answer in answers if isinstance(answer, models_pb2.SetPromptLabelResponse)]
    assert [type(answer) for answer in answers if not isinstance(answer, models_pb2.SetPromptLabelResponse)] == [
        Conflict
    ] * 3
    assert [answer.prompt.version for answer in moved] == [(await get(registry, label="production")).version]


async def test_setting_a_label_again_adds_no_event(registry: PromptRegistry) -> None:
    await register_versions(registry, 1)
    await set_label(registry, "staging", 1)
    before = await events(registry)
    again = await set_label(registry, "staging", 1)
    assert (again.prompt.version, again.previous_version) == (1, 1)
    absent = await set_label(registry, "canary", 0)
    assert (absent.HasField("prompt"), absent.previous_version) == (False, 0)
    assert await events(registry) == before


async def test_missing_prompt_and_missing_version_are_not_found(registry: PromptRegistry) -> None:
    await register_versions(registry, 2)
    with pytest.raises(NotFound, match="did you mean support/answer"):
        await set_label(registry, "staging", 1, name="support/anser")
    with pytest.raises(NotFound) as raised:
        await set_label(registry, "staging", 3)
    assert raised.value.metadata["newest_version"] == "2"
    with pytest.raises(NotFound):
        await set_label(registry, "staging", 2**31 - 1)
    with pytest.raises(NotFound):
        await get(registry, label="staging")


async def test_label_of_the_contract_is_taken(registry: PromptRegistry) -> None:
    for label in ["a", "0", "production", "v1.2_x-y", "a" * 64]:
        with row(label):
            await register_versions(registry, 1)
            assert label in (await set_label(registry, label, 1)).prompt.labels


async def test_any_other_label_is_refused(registry: PromptRegistry) -> None:
    for label in ["", "latest", "Prod", "-a", ".a", "a b", "a/b", "a\n", "é", "a" * 65]:
        with row(label):
            await register_versions(registry, 1)
            with pytest.raises(InvalidRequest) as raised:
                await set_label(registry, label, 1)
            assert [violation.field for violation in raised.value.violations] == ["label"]
            with pytest.raises(InvalidRequest) as raised:
                await registry.register(prompt(labels=["ok", label]))
            assert [violation.field for violation in raised.value.violations] == ["labels[1]"]


async def test_wrong_field_of_a_move_is_named(registry: PromptRegistry) -> None:
    for fields, field in [
        ({"name": ""}, "name"),
        ({"version": -1}, "version"),
        ({"expected_version": -1}, "expected_version"),
        ({"actor": "a\nb"}, "actor"),
        ({"actor": "a" * 257}, "actor"),
        ({"reason": "a\0"}, "reason"),
        ({"reason": "a" * 1025}, "reason"),
    ]:
        with row(fields, field):
            request = models_pb2.SetPromptLabelRequest(**({"name": NAME, "label": "staging", "version": 1} | fields))
            with pytest.raises(InvalidRequest) as raised:
                await registry.set_label(request)
            assert [violation.field for violation in raised.value.violations] == [field]


async def test_label_of_an_archived_version_is_refused(registry: PromptRegistry) -> None:
    await register_versions(registry, 2)
    await archive(registry, 1)
    with pytest.raises(Exception, match="bring it back with ArchivePrompt first") as raised:
        await set_label(registry, "staging", 1)
    assert getattr(raised.value, "reason", None) == "PROMPT_ARCHIVED"


async def test_registration_sets_its_labels_on_the_new_version(registry: PromptRegistry) -> None:
    response = await registry.register(prompt(content="a", labels=["staging", "canary", "staging"]))
    assert list(response.prompt.labels) == ["canary", "staging"]
    response = await registry.register(prompt(content="b", labels=["staging"]))
    assert (response.version, list(response.prompt.labels)) == (2, ["staging"])
    assert list((await get(registry, version=1)).labels) == ["canary"]


async def test_registration_of_a_known_content_sets_its_labels_too(registry: PromptRegistry) -> None:
    await registry.register(prompt())
    response = await registry.register(prompt(labels=["production"]))
    assert (response.created, list(response.prompt.labels)) == (False, ["production"])
    assert (await get(registry)).resolved_label == "production"


@on_postgresql_too
async def test_registration_that_is_refused_moves_no_label(registry: PromptRegistry) -> None:
    await registry.register(prompt(labels=["staging"]))
    with pytest.raises(InvalidRequest):
        await registry.register(prompt(content="", labels=["staging", "canary"]))
    assert list((await get(registry)).labels) == ["staging"]


async def test_labels_of_two_prompts_are_separate(registry: PromptRegistry) -> None:
    await registry.register(prompt("a", labels=["staging"]))
    await registry.register(prompt("b"))
    with pytest.raises(NotFound):
        await get(registry, "b", label="staging")
