"""Prompt registries over real databases, and short ways to ask them."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import column, insert, table
from sqlalchemy.ext.asyncio import AsyncConnection

from proto import models_pb2
from services.models.prompts.memory import PromptMemory
from services.models.prompts.prompt_registry import PromptRegistry
from services.shared.database import Database
from services.shared.errors import NotFound, Unavailable
from services.shared.logs import open_log
from tests.support.databases import provide_behind

LOG = open_log("test", file=io.BytesIO())
MIGRATIONS = Path(__file__).parents[2] / "services" / "models" / "migrations"
NAME = "support/answer"


class Replica(NamedTuple):
    """What one process holds."""

    database: Database
    registry: PromptRegistry
    refreshed: asyncio.Condition

    async def sees(self, is_so: Callable[[PromptRegistry], Awaitable[bool]], seconds: float = 1) -> None:
        """Waits for what this replica must have heard of in time."""
        async with asyncio.timeout(seconds), self.refreshed:
            while not await is_so(self.registry):
                await self.refreshed.wait()


async def open_database(url: str) -> Database:
    provide_behind(url, "models")
    return await Database.open(url, MIGRATIONS, LOG)


def new_registry(database: Database, project_id: str = "") -> PromptRegistry:
    return PromptRegistry(PromptMemory(database), project_id)


async def insert_row(connection: AsyncConnection, name: str, row: dict[str, Any]) -> None:
    """Inserts a row of an earlier schema."""
    await connection.execute(insert(table(name, *map(column, row))).values(row))


async def load(database: Database) -> PromptRegistry:
    """A registry that knows what is in the database now, and hears of no change."""
    registry = new_registry(database)
    await registry.memory.load()
    return registry


@contextlib.asynccontextmanager
async def replica(url: str) -> AsyncIterator[Replica]:
    """A registry over a database of its own, kept fresh as in a process of its own."""
    database = await open_database(url)
    here = Replica(database, new_registry(database), asyncio.Condition())

    async def refresh() -> None:
        await here.registry.memory.load()
        async with here.refreshed:
            here.refreshed.notify_all()

    try:
        await database.watch(refresh)
        yield here
    finally:
        await database.close()


def prompt(name: str = NAME, content: str = "Answer {{question}}.", **fields: Any) -> models_pb2.RegisterPromptRequest:
    return models_pb2.RegisterPromptRequest(name=name, content=content, **fields)


async def register_versions(registry: PromptRegistry, count: int, name: str = NAME) -> None:
    """Registers versions whose contents are `text 1` and so on."""
    for number in range(1, count + 1):
        await registry.register(prompt(name, f"text {number}"))


async def get(registry: PromptRegistry, name: str = NAME, **selector: Any) -> models_pb2.Prompt:
    return await registry.get(models_pb2.GetPromptRequest(name=name, **selector))


async def set_label(
    registry: PromptRegistry, label: str, version: int, *, name: str = NAME, **fields: Any
) -> models_pb2.SetPromptLabelResponse:
    return await registry.set_label(models_pb2.SetPromptLabelRequest(name=name, label=label, version=version, **fields))


async def archive(registry: PromptRegistry, version: int = 0, *, name: str = NAME, **fields: Any) -> list[int]:
    """Returns the versions that changed."""
    response = await registry.archive(models_pb2.ArchivePromptRequest(name=name, version=version, **fields))
    return [changed.version for changed in response.prompts]


async def unarchive(registry: PromptRegistry, version: int = 0, *, name: str = NAME) -> list[int]:
    return await archive(registry, version, name=name, unarchive=True)


async def events(registry: PromptRegistry, name: str = NAME, **fields: Any) -> list[models_pb2.PromptEvent]:
    """The newest events first."""
    response = await registry.list_events(models_pb2.ListPromptEventsRequest(name=name, **fields))
    return list(response.events)


async def names(registry: PromptRegistry, **fields: Any) -> list[str]:
    response = await registry.list(models_pb2.ListPromptsRequest(**fields))
    return [entry.name for entry in response.prompts]


async def versions(registry: PromptRegistry, name: str = NAME, **fields: Any) -> list[int]:
    response = await registry.list_versions(models_pb2.ListPromptVersionsRequest(name=name, **fields))
    return [entry.version for entry in response.prompts]


def shows(**wanted: object) -> Callable[[PromptRegistry], Awaitable[bool]]:
    """Whether the version in force in memory has these fields."""

    async def is_so(registry: PromptRegistry) -> bool:
        try:
            found = (await registry.resolve(NAME)).describe()
        except (NotFound, Unavailable):
            return False
        return all(getattr(found, field) == value for field, value in wanted.items())

    return is_so
