"""Access as a gateway has it: the database, the snapshot of it, and what is built upon them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import grpc

from services.gateway.access.authentication import Authenticator
from services.gateway.access.forwarded_audit import ForwardedAudit
from services.gateway.access.last_used import LastUsed
from services.gateway.access.servicer import SERVICE, AccessServicer
from services.gateway.access.settings import AccessSettings
from services.gateway.access.snapshot import SnapshotKeeper
from services.shared.database import Database
from services.shared.identity import IdentitySigner
from services.shared.logs import Log
from services.shared.rpc import service_handler

MIGRATIONS = Path(__file__).resolve().parent / "migrations"


class Access(NamedTuple):
    """The parts of access that a gateway uses."""

    authenticator: Authenticator
    service_name: str
    handler: grpc.GenericRpcHandler
    database: Database
    keeper: SnapshotKeeper
    last_used: LastUsed
    audit: ForwardedAudit


@contextlib.asynccontextmanager
async def open_access(settings: AccessSettings, signer: IdentitySigner, log: Log) -> AsyncIterator[Access]:
    """Opens the access database and follows it, for the length of a block. Raises StartupError."""
    database = await Database.open(settings.choose_access_database_url(), MIGRATIONS, log)
    keeper, last_used = SnapshotKeeper(database, log), LastUsed(database)
    try:
        await keeper.start()
        last_used.start()
        authenticator = Authenticator(keeper, signer, last_used, settings.access_max_staleness)
        servicer = AccessServicer(database, keeper, settings.access_max_key_days)
        handler = service_handler(servicer, SERVICE, log, callers=authenticator)
        yield Access(authenticator, SERVICE.full_name, handler, database, keeper, last_used, ForwardedAudit(database))
    finally:
        await keeper.close()
        await last_used.close()
        await database.close()
