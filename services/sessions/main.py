"""The Session Service: stores conversations, and the memory of users between them."""

from __future__ import annotations

import argparse
import asyncio
import functools
from pathlib import Path

from pydantic import Field, SecretStr

from proto import sessions_pb2, turns_pb2
from services.sessions.adoption import give_sessions
from services.sessions.expiry import purge_expired_sessions
from services.sessions.memories import MemoryStore
from services.sessions.servicer import SessionServicer
from services.sessions.store import SessionStore
from services.sessions.turn_servicer import TurnServicer
from services.shared.admin_port import open_admin_port
from services.shared.adoption import adopt
from services.shared.database import Database, sqlite_url
from services.shared.descriptors import raise_descriptor_limit
from services.shared.identity import PROCESS_CALLERS
from services.shared.internal_keys import open_signer
from services.shared.listener import check_port
from services.shared.logs import open_log
from services.shared.misspelt import tell_misspelt
from services.shared.rpc import NoSuchMethod, service_handler
from services.shared.server import announce, run, serve
from services.shared.settings import ServiceSettings, load_settings
from services.shared.settings_help import describe_environment
from services.shared.storage_health import StorageServer
from services.shared.tls import open_server_tls
from services.shared.tracing import open_tracing

SERVICE = sessions_pb2.DESCRIPTOR.services_by_name["SessionService"]
TURN_SERVICE = turns_pb2.DESCRIPTOR.services_by_name["TurnService"]
MIGRATIONS = Path(__file__).resolve().parent / "migrations"

NOTES = """\
One line on standard output says when it serves; the log goes to standard error.
A start also migrates. A PostgreSQL that cannot be reached is waited for: the service starts and answers
UNAVAILABLE to what needs it; --migrate refuses, with exit code 78.
"""


class SessionsSettings(ServiceSettings):
    """The settings of the Session Service, in addition to those of every process."""

    port: int = Field(
        50052, ge=0, le=65535, validation_alias="SESSIONS_PORT", description="port to listen on, 0 for any free one"
    )
    admin_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        validation_alias="SESSIONS_ADMIN_PORT",
        description="port of `/metrics`, `/livez` and `/readyz` over HTTP, 0 for any free one; none is open without it",
        json_schema_extra={"example": "50062"},
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias="SESSIONS_DATABASE_URL",
        description="database of sessions: `sqlite:///path` or `postgresql://user:password@host/database`",
        json_schema_extra={
            "default": "`sessions.db` in `GENAI_DATA_DIR`",
            "example": "postgresql://user:password@localhost/sessions",
        },
    )

    def choose_database_url(self) -> str:
        if self.database_url:
            return self.database_url.get_secret_value()
        return sqlite_url(self.data_path(), "sessions")


async def start() -> None:
    """Runs the Session Service until a signal stops it. Raises StartupError."""
    settings = load_settings(SessionsSettings)
    log = open_log("sessions", settings.log_level, form=settings.log_format)
    tell_misspelt(SessionsSettings, log)
    raise_descriptor_limit(log)
    # Checked before the database is opened and possibly migrated.
    check_port(settings.host, settings.port)
    tls = open_server_tls(settings, log)
    PROCESS_CALLERS.require(open_signer(settings))
    async with (
        open_admin_port("sessions", settings.admin_host, settings.admin_port, log) as admin,
        open_tracing("sessions", settings.otlp_endpoint, log),
    ):
        # Commits are not announced, because this service has no copies in memory.
        database = await Database.open(settings.choose_database_url(), MIGRATIONS, log, announced=False, serves=True)
        try:
            server = StorageServer(database, [SERVICE.full_name, TURN_SERVICE.full_name], needs_storage=True)
            port = server.bind(settings.host, settings.port, tls=tls)
            sessions = SessionStore(database)
            servicer = SessionServicer(sessions, MemoryStore(database))
            server.add(service_handler(servicer, SERVICE, log))
            server.add(service_handler(TurnServicer(sessions), TURN_SERVICE, log))
            server.add(NoSuchMethod([SERVICE.full_name], log))
            await server.start()
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            announcement = f"sessions: listening on {host}:{port}, data in {database.location}"
            async with asyncio.TaskGroup() as background:
                purging = background.create_task(purge_expired_sessions(sessions, log))
                await serve(server, settings, log, announcement, admin)
                purging.cancel()
        finally:
            await database.close()


async def migrate() -> None:
    """Brings the database to this program's schema. Raises StartupError."""
    settings = load_settings(SessionsSettings)
    log = open_log("sessions", settings.log_level, form=settings.log_format)
    location = await Database.migrate(settings.choose_database_url(), MIGRATIONS, log)
    announce(f"sessions: schema is up to date in {location}")


async def adopt_all(project_id: str) -> None:
    """Gives a project all that belongs to none. Raises StartupError."""
    settings = load_settings(SessionsSettings)
    log = open_log("sessions", settings.log_level, form=settings.log_format)
    given = await adopt(settings.choose_database_url(), MIGRATIONS, log, project_id, give_sessions)
    announce(f"sessions: {given}")


def main() -> None:
    """Runs the Session Service from the command line."""
    parser = argparse.ArgumentParser(
        prog="sessions",
        description=__doc__,
        epilog=f"{describe_environment(SessionsSettings)}\n\n{NOTES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--migrate", action="store_true", help="bring the database to this program's schema, and end")
    what = "give PROJECT all that was stored without AUTH_MODE=required, and end; stop the service before"
    parser.add_argument("--adopt", metavar="PROJECT", help=what)
    arguments = parser.parse_args()
    adopting = functools.partial(adopt_all, arguments.adopt)
    run("sessions", adopting if arguments.adopt is not None else migrate if arguments.migrate else start)


if __name__ == "__main__":
    main()
