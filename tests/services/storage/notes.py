"""A small schema of its own for the tests of the storage layer, and ways to look at what was stored."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator
from pathlib import Path

from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table, Text, insert, select

from services.shared.database import Database
from services.shared.logs import Log, open_log

FIRST_SCRIPT = """\
import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.create_table(
        "notes",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("content", sa.LargeBinary),
    )
"""

SECOND_SCRIPT = """\
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.add_column("notes", sa.Column("colour", sa.Text, nullable=False, server_default="blue"))
"""

notes = Table(
    "notes",
    MetaData(),
    Column("name", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("content", LargeBinary),
)


def write_migrations(directory: Path, *scripts: str) -> Path:
    """A service's folder of migrations; FIRST_SCRIPT alone when no other is given."""
    folder = directory / "notebook" / "migrations"
    folder.mkdir(parents=True, exist_ok=True)
    for number, script in enumerate(scripts or (FIRST_SCRIPT,), start=1):
        (folder / f"{number:04}_step.py").write_text(script)
    return folder


def quiet_log(file: io.BytesIO | None = None) -> Log:
    return open_log("test", file=file or io.BytesIO())


@contextlib.asynccontextmanager
async def opened(url: str, directory: Path) -> AsyncIterator[Database]:
    database = await Database.open(url, write_migrations(directory), quiet_log())
    try:
        yield database
    finally:
        await database.close()


async def put(database: Database, name: str, number: int = 1, content: bytes | None = None) -> None:
    async with database.write() as connection:
        await connection.execute(insert(notes).values(name=name, number=number, content=content))


async def names(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.scalars(select(notes.c.name).order_by(notes.c.name))).all())
