"""Model registries over real databases, as each replica of the Model Service has one."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

from proto import models_pb2
from services.models.access.credential_bounds import read_bounds
from services.models.access.credentials import Credentials
from services.models.access.key_files import KeyFiles
from services.models.access.trust import ByTrust
from services.models.catalog.provider_registry import ProviderRegistry
from services.models.catalog.vendor_models import VendorModels
from services.models.custom_models.model_registry import ModelRegistry
from services.models.custom_models.name_rules import NameRules
from services.models.health.monitor import HealthMonitor
from services.models.settings import Settings
from services.models.transport.client import HttpClient, open_probing_client
from services.models.transport.egress import EndpointPolicy
from services.shared.backoff import Backoff
from services.shared.database import Database
from services.shared.logs import open_log
from tests.support.databases import provide_behind

LOG = open_log("test", file=io.BytesIO())
MIGRATIONS = Path(__file__).parents[2] / "services" / "models" / "migrations"
ENDPOINTS = ByTrust(EndpointPolicy(), EndpointPolicy(discreet=True))
SLOW = Backoff(interval=300.0, first_retry=300.0)
FRESH_SECONDS = 30.0
NOWHERE = "http://127.0.0.1:9/v1"


class Replica(NamedTuple):
    """What one process holds."""

    database: Database
    board: HealthMonitor
    registry: ModelRegistry
    refreshed: asyncio.Condition

    async def sees(self, is_so: Callable[[ModelRegistry], bool]) -> None:
        """Waits for what this replica must have heard of within a second."""
        async with asyncio.timeout(1), self.refreshed:
            await self.refreshed.wait_for(lambda: is_so(self.registry))


def new_registry(database: Database, board: HealthMonitor, **settings: str) -> ModelRegistry:
    """A registry that has loaded nothing yet. `settings` are those of the vendors."""
    names = NameRules(VendorModels())
    return ModelRegistry(database, board, names, ENDPOINTS, credentials(**settings))


def credentials(**settings: str) -> Credentials:
    """What a service with these settings takes for keys."""
    chosen = Settings(**settings)  # type: ignore[arg-type]
    files = KeyFiles(chosen.choose_credentials_directory())
    return Credentials(files, read_bounds(chosen.credentials, files, ProviderRegistry(chosen.accounts()).vendor_keys()))


def probing_clients() -> ByTrust[HttpClient]:
    """What a monitor of this module's endpoints asks with."""
    return ByTrust(*map(open_probing_client, ENDPOINTS))


@contextlib.asynccontextmanager
async def replica(url: str, *, watching: bool = True) -> AsyncIterator[Replica]:
    """A registry over a database of its own; unless it is watching, it hears of no change."""
    provide_behind(url, "models")
    database = await Database.open(url, MIGRATIONS, LOG)
    board = HealthMonitor(LOG, probing_clients(), SLOW, FRESH_SECONDS)
    here = Replica(database, board, new_registry(database, board), asyncio.Condition())

    async def refresh() -> None:
        await here.registry.load()
        async with here.refreshed:
            here.refreshed.notify_all()

    try:
        if watching:
            await database.watch(refresh)
        yield here
    finally:
        await board.close()
        await database.close()


def model(name: str = "mine", endpoint: str = NOWHERE, **fields: Any) -> models_pb2.RegisterModelRequest:
    return models_pb2.RegisterModelRequest(
        **({"name": name, "endpoint": endpoint, "adapter_type": "openai-compatible"} | fields)
    )


def endpoint_of(registry: ModelRegistry, name: str) -> str | None:
    """Where a name leads now."""
    found = registry.find(name)
    return found.endpoint if found else None
