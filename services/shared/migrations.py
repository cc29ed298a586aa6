"""Migrations: bring a service's tables to the newest schema, with Alembic.

A service has its scripts in a folder of its own, in files named `0001_description.py`; the number is the `revision`.
Alembic is imported only for an upgrade, because the import takes a good part of a start.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, column, inspect, select, table
from sqlalchemy.ext.asyncio import AsyncConnection

ENVIRONMENT = Path(__file__).parent / "migration_environment"


def known_revisions(migrations: Path) -> list[str]:
    """The revisions of the scripts in a folder, oldest first."""
    return sorted(script.stem.partition("_")[0] for script in migrations.glob("[0-9]*.py"))


def version_table(service: str) -> str:
    """The name of the table with the schema revision of a service."""
    return f"{service}_schema"


async def current_revision(connection: AsyncConnection, service: str) -> str | None:
    """The revision of a service's tables, or None if it has no tables yet."""
    name = version_table(service)
    if not await connection.run_sync(lambda sync: inspect(sync).has_table(name)):
        return None
    revision: str | None = await connection.scalar(select(column("version_num")).select_from(table(name)))
    return revision


async def has_tables(connection: AsyncConnection) -> bool:
    """Whether the database has any table."""
    return bool(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


def upgrade(connection: Connection, migrations: Path, service: str) -> None:
    """Runs the scripts that are newer than the tables, inside the connection's open transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection, "version_table": version_table(service)})
    config.set_main_option("script_location", str(ENVIRONMENT).replace("%", "%%"))
    config.set_main_option("version_locations", str(migrations.resolve()).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    command.upgrade(config, "head")
