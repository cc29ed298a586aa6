"""A registry of prompts for each test, over a new database, as one process has it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.models.prompts.prompt_registry import PromptRegistry
from services.shared.database import Database
from tests.services.prompt_registries import load, open_database


@pytest.fixture
async def database(default_database_url: str) -> AsyncIterator[Database]:
    database = await open_database(default_database_url)
    yield database
    await database.close()


@pytest.fixture
async def registry(database: Database) -> PromptRegistry:
    return await load(database)
