"""Adoption: a project gets what was stored while nobody was asked who calls, and so belongs to no project."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from sqlalchemy import Table, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.shared.database import Database
from services.shared.errors import PlatformError, StartupError
from services.shared.logs import Log

Adopt = Callable[[AsyncConnection, str], Awaitable[str]]
"""Gives all of a service's rows to a project, in one transaction. Returns what these are, in words."""


async def adopt(url: str, migrations: Path, log: Log, project_id: str, give: Adopt) -> str:
    """Lets a project adopt the rows of a database. Returns what it has got, and the location of the data.

    Raises StartupError when the database cannot be reached or written, and as `refuse_conflicts` does.
    """
    if not project_id.strip() or not project_id.isprintable():
        raise StartupError("--adopt: name the project that is to have what belongs to none")
    await Database.migrate(url, migrations, log)
    database = await Database.open(url, migrations, log, serves=True)
    try:
        async with database.write() as connection:
            given = await give(connection, project_id)
    except PlatformError as error:
        raise StartupError(f"{database.location}: {error.message}") from None
    finally:
        await database.close()
    return f"project {project_id} has {given}, in {database.location}"


async def refuse_conflicts(connection: AsyncConnection, table: Table, names: Sequence[str], project_id: str) -> None:
    """Raises StartupError, naming one, when the project has rows with the same names as rows of no project."""
    ours, theirs = table.alias(), table.alias()
    same = [ours.c[name] == theirs.c[name] for name in names]
    conflicts = select(*(ours.c[name] for name in names)).where(ours.c.project_id == "", *same)
    found = (await connection.execute(conflicts.where(theirs.c.project_id == project_id).limit(1))).first()
    if found:
        shown = " of ".join(filter(None, map(str, found)))
        raise StartupError(f"project {project_id} has {shown} already ({table.name}); nothing was changed")


async def give_rows(connection: AsyncConnection, table: Table, project_id: str) -> int:
    """Gives all rows of no project to one. Returns their number."""
    given = await connection.execute(update(table).where(table.c.project_id == "").values(project_id=project_id))
    return given.rowcount
