"""Inspection of a database from outside its service: nothing in it is made or changed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Select
from sqlalchemy.exc import DBAPIError

from services.shared import migrations as schema
from services.shared.database import choose_backend
from services.shared.errors import StartupError
from services.shared.sqlite import SQLite

INSPECTION_SECONDS = 5.0


class Inspection(NamedTuple):
    """A database as it was found."""

    location: str
    revision: str | None
    """The schema of the service's tables; None where there are none yet."""
    known: Sequence[str]
    """The schemas that this program knows, the newest last."""
    rows: Sequence[str]
    """The first column of what was asked for."""


async def inspect(url: str, migrations: Path, query: Select[Any] | None = None) -> Inspection:
    """Reads the schema of the service whose migrations are given, and the query's rows if the schema is the newest.

    Raises StartupError, saying why, for a database that cannot be read or, where it is a file, written.
    """
    backend = choose_backend(url)
    known = schema.known_revisions(migrations)
    if isinstance(backend, SQLite) and not _writable_file_exists(Path(backend.location)):
        return Inspection(backend.location, None, known, ())
    reader, writer = backend.create_engines()
    try:
        async with asyncio.timeout(INSPECTION_SECONDS), reader.connect() as connection:
            await backend.begin_read(connection)
            revision = await schema.current_revision(connection, migrations.parent.name)
            rows: Sequence[str] = ()
            if query is not None and revision == known[-1]:
                rows = [str(row[0]) for row in await connection.execute(query)]
            return Inspection(backend.location, revision, known, rows)
    except TimeoutError:
        raise StartupError(f"{backend.location}: no answer within {INSPECTION_SECONDS:.0f} s") from None
    except DBAPIError as error:
        reason = str(error.orig).strip().partition("\n")[0]
        raise StartupError(f"{backend.location}: {reason}") from None
    finally:
        await reader.dispose()
        await writer.dispose()
        await backend.close()


def _writable_file_exists(file: Path) -> bool:
    """Whether the file exists. Raises StartupError unless it, or what it would be made in, can be written."""
    directory = next(path for path in file.parents if path.exists())
    if not directory.is_dir() or not os.access(directory, os.W_OK | os.X_OK):
        raise StartupError(f"{directory} is no directory that can be written")
    if file.exists() and not os.access(file, os.R_OK | os.W_OK):
        raise StartupError(f"{file} cannot be read and written")
    return file.exists()
