"""A gateway that asks for keys, for tests of what it accepts and refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.services.access.gateways import AccessGateway, Front, Recorder, front


@pytest_asyncio.fixture
async def fronted(tmp_path: Path) -> AsyncIterator[Front]:
    async with front(f"sqlite:///{tmp_path}/access.db") as fronted:
        yield fronted


@pytest_asyncio.fixture
async def gateway(fronted: Front) -> AccessGateway:
    return fronted.gateway


@pytest_asyncio.fixture
async def recorder(fronted: Front) -> Recorder:
    return fronted.recorder
