"""Prompts while the database is away: what is in memory is served, and nothing else is claimed."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from proto import models_pb2
from services.models.chat.system_prompt import with_system_prompt
from services.models.prompts.prompt_registry import PromptRegistry
from services.shared.errors import Unavailable
from tests.services.prompt_registries import (
    NAME,
    archive,
    events,
    get,
    names,
    prompt,
    register_versions,
    replica,
    set_label,
    shows,
    versions,
)
from tests.support.postgresql import PostgreSQLServer

RECOVERED_SECONDS = 10.0


async def assert_unavailable(*calls: Awaitable[Any]) -> None:
    """That all of them, asked at once, say in time that one may try again."""
    begin = time.monotonic()
    for error in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(error, Unavailable)
        assert error.retry_after
    assert time.monotonic() - begin < 3


async def assert_served(registry: PromptRegistry) -> None:
    """That what is in production, what is newest and what was asked for before are served without the database."""
    assert (await get(registry)).resolved_label == "production"
    for version in (1, 2, 4):
        assert (await get(registry, version=version)).content == f"text {version}"
    assert await names(registry) == [NAME]
    request = models_pb2.ChatRequest(prompt=models_pb2.PromptRef(name=NAME))
    assert (await with_system_prompt(request, registry)).conversation.messages[0].content == "text 1"


async def test_reads_continue_and_writes_are_unavailable_during_an_outage(
    postgresql_server: PostgreSQLServer, postgresql_url: str
) -> None:
    async with replica(postgresql_url) as here:
        registry = here.registry
        await register_versions(registry, 4)
        await set_label(registry, "production", 1)
        await get(registry, version=2)
        postgresql_server.stop()
        for _ in range(2):
            await assert_unavailable(
                registry.register(prompt()),
                set_label(registry, "production", 2),
                archive(registry, 2),
                events(registry),
                versions(registry),
                get(registry, version=3),
                registry.memory.load(),
            )
            await assert_served(registry)
        postgresql_server.start()
        async with replica(postgresql_url) as other:
            await other.sees(shows(version=1), RECOVERED_SECONDS)
            await set_label(other.registry, "production", 2)
        await here.sees(shows(version=2), RECOVERED_SECONDS)
        assert (await registry.register(prompt())).version == 5


async def test_prompts_are_loaded_when_the_database_becomes_available(
    postgresql_server: PostgreSQLServer, postgresql_url: str
) -> None:
    async with replica(postgresql_url) as before:
        await register_versions(before.registry, 1)
    postgresql_server.stop()
    async with replica(postgresql_url) as here:
        await assert_unavailable(get(here.registry), names(here.registry), here.registry.register(prompt()))
        postgresql_server.start()
        await here.sees(shows(version=1), RECOVERED_SECONDS)


@pytest.mark.usefixtures("hasty_sqlite")
async def test_locked_file_stops_writes_only(sqlite_file: Path) -> None:
    async with replica(f"sqlite:///{sqlite_file}") as here:
        await register_versions(here.registry, 4)
        await set_label(here.registry, "production", 1)
        other = sqlite3.connect(sqlite_file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await assert_unavailable(here.registry.register(prompt()))
        await assert_served(here.registry)
        assert len(await events(here.registry)) == 5
        assert await versions(here.registry) == [4, 3, 2, 1]
        other.execute("ROLLBACK")
        other.close()
        assert (await here.registry.register(prompt())).version == 5
