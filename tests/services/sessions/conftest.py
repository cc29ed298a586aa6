"""A Session Service for each test, over a new database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.services.session_service import Service, served


@pytest.fixture
async def service(default_database_url: str, patient_storage: None) -> AsyncIterator[Service]:
    async with served(default_database_url) as service:
        yield service
