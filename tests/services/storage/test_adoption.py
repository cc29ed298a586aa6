"""Adoption: what was stored while nobody was asked who calls goes to a project, whole or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proto import sessions_pb2 as pb
from services.models.prompts.adoption import give_prompts
from services.models.prompts.prompt_registry import PromptRegistry
from services.sessions.adoption import give_sessions
from services.sessions.main import MIGRATIONS as SESSION_MIGRATIONS
from services.shared.adoption import adopt
from services.shared.errors import StartupError
from tests.services.prompt_registries import (
    LOG,
    MIGRATIONS,
    NAME,
    archive,
    events,
    get,
    load,
    names,
    open_database,
    register_versions,
    set_label,
    versions,
)
from tests.services.session_service import Service, served
from tests.support.callers import caller, require
from tests.support.processes import EXIT_CONFIG, run


async def use(url: str, work: Callable[[Service], Awaitable[None]], *, project: str = "") -> None:
    """Uses a Session Service without authentication, or as a project."""
    if not project:
        async with served(url) as service:
            await work(service)
        return
    async with served(url, callers=require()) as service:
        await work(service.by(caller(project)))


async def test_sessions_and_memories_are_adopted(database_url: str) -> None:
    async def store(service: Service) -> None:
        await service.create("s", user_id="ann")
        await service.append("Hello!", session_id="s")
        await service.call("PutMemory", pb.PutMemoryRequest(user_id="ann", key="k", value_json="1"))

    async def find(service: Service) -> None:
        assert await service.sequences("s") == [1]
        assert (await service.append("More.", session_id="s", user_id="ann")).next_sequence == 3
        [memory] = (await service.call("ListMemories", pb.ListMemoriesRequest(user_id="ann"))).memories
        assert memory.value_json == "1"

    async def find_nothing(service: Service) -> None:
        assert not (await service.call("ListSessions", pb.ListSessionsRequest())).sessions

    await use(database_url, store)
    given = await adopt(database_url, SESSION_MIGRATIONS, LOG, "p", give_sessions)
    assert given.startswith("project p has 1 sessions and 1 memories more, in ")
    await use(database_url, find, project="p")
    await use(database_url, find_nothing, project="q")
    await use(database_url, find_nothing)
    await use(database_url, store)
    with pytest.raises(StartupError, match=r"project p has s of ann already \(sessions\); nothing was changed"):
        await adopt(database_url, SESSION_MIGRATIONS, LOG, "p", give_sessions)
    assert "project q has 1 sessions" in await adopt(database_url, SESSION_MIGRATIONS, LOG, "q", give_sessions)


async def test_prompts_are_adopted(database_url: str) -> None:
    database = await open_database(database_url)
    registry = await load(database)
    await register_versions(registry, 3)
    await set_label(registry, "production", 2)
    await archive(registry, 1)
    assert "project p has 3 versions of prompts more" in await adopt(database_url, MIGRATIONS, LOG, "p", give_prompts)
    registry = await load(database)
    adopted = PromptRegistry(registry.memory, "p")
    assert await names(registry) == []
    assert (await get(adopted)).content == "text 2"
    assert await versions(adopted, include_archived=True) == [3, 2, 1]
    assert [event.type for event in await events(adopted)] == ["archived", "label_set", *["registered"] * 3]
    await register_versions(registry, 1)
    with pytest.raises(StartupError, match=f"project p has {NAME} already"):
        await adopt(database_url, MIGRATIONS, LOG, "p", give_prompts)
    assert await names(await load(database)) == [NAME]
    await database.close()


@pytest.mark.parametrize(
    ("name", "given"), [("models", "0 versions of prompts"), ("sessions", "0 sessions and 0 memories")]
)
def test_the_command_says_what_it_gave_and_ends(tmp_path: Path, name: str, given: str) -> None:
    done = run(name, tmp_path, "--adopt", "default")
    file = tmp_path / "data" / f"{name}.db"
    assert (done.code, done.output) == (0, f"{name}: project default has {given} more, in {file}\n")
    assert run(name, tmp_path, "--adopt", "").code == EXIT_CONFIG
