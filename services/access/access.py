"""Access as a gateway has it: the database, the snapshot of it, and what is built upon them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import grpc

from services.access.audit_retention import AuditRetention
from services.access.authentication import Authenticator, ReadCertificate
from services.access.forwarded_audit import ForwardedAudit
from services.access.last_used import LastUsed
from services.access.metrics import measured
from services.access.servicer import SERVICE, AccessServicer
from services.access.settings import AccessSettings
from services.access.snapshot import SnapshotKeeper
from services.shared.database import Database
from services.shared.identity import IdentitySigner
from services.shared.logs import Log
from services.shared.rpc import service_handler

if TYPE_CHECKING:
    from services.access.issuers.tokens import TokenVerifier

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


class Opened(NamedTuple):
    """The parts of access that answer who calls."""

    authenticator: Authenticator
    database: Database
    keeper: SnapshotKeeper
    last_used: LastUsed


@contextlib.asynccontextmanager
async def open_authenticator(
    settings: AccessSettings, signer: IdentitySigner, log: Log, *, serves: bool = False
) -> AsyncIterator[Opened]:
    """Opens the access database and follows it, for the length of a block; `serves` if the process is its own. Raises
    StartupError."""
    tokens = _open_tokens(settings.auth_issuers, log) if settings.auth_issuers else None
    database = await Database.open(settings.choose_access_database_url(), MIGRATIONS, log, serves=serves)
    keeper, last_used = SnapshotKeeper(database, log), LastUsed(database)
    try:
        await keeper.start()
        last_used.start()
        read = _certificate_reader() if settings.tls_client_ca_file else None
        authenticator = Authenticator(keeper, signer, last_used, settings.access_max_staleness, tokens, read)
        yield Opened(authenticator, database, keeper, last_used)
    finally:
        if tokens:
            await tokens.close()
        await keeper.close()
        await last_used.close()
        await database.close()


@contextlib.asynccontextmanager
async def open_access(settings: AccessSettings, signer: IdentitySigner, log: Log) -> AsyncIterator[Access]:
    """Opens the access database, follows it and serves its calls, for the length of a block. Raises StartupError."""
    async with open_authenticator(settings, signer, log, serves=True) as opened:
        authenticator, database, keeper, last_used = opened
        if keeper.is_current and not keeper.snapshot.keys:
            log.warning(
                "there is no API key yet; `genai keys create --admin` makes the first", database=database.location
            )
        servicer = AccessServicer(database, keeper, settings.access_max_key_days)
        handler = service_handler(servicer, SERVICE, log, callers=authenticator)
        days = settings.audit_retention_days
        retention = AuditRetention(database, days, log) if days else None
        if retention:
            retention.start()
        try:
            with measured(keeper):
                yield Access(
                    authenticator, SERVICE.full_name, handler, database, keeper, last_used, ForwardedAudit(database)
                )
        finally:
            if retention:
                await retention.close()


def _open_tokens(path: Path, log: Log) -> TokenVerifier:
    # Here, because a gateway without issuers does not need PyJWT.
    from services.access.issuers.settings import read_issuers
    from services.access.issuers.tokens import TokenVerifier

    return TokenVerifier(read_issuers(path.expanduser().absolute()), log)


def _certificate_reader() -> ReadCertificate:
    # Here, because a gateway without client certificates does not need cryptography.
    from services.access.certificates import read_certificate

    return read_certificate
