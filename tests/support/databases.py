"""Databases at the newest schema, copied from one: to bring each to it would take longer than most tests."""

from __future__ import annotations

import asyncio
import functools
import io
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from services.shared.database import Database
from services.shared.logs import LineWriter, Log
from services.shared.migrations import version_table
from tests.support.postgresql import dump_schema, is_served, schema_of

on_postgresql_too = pytest.mark.parametrize("database_kind", ["sqlite", "postgresql"])
"""For tests of what each kind of database does in its own way: order, locks, constraints, bytes. That all answers are
the same otherwise, random operations show."""

SERVICES = Path(__file__).resolve().parents[2] / "services"
MIGRATIONS = {
    "models": "models/migrations",
    "calls": "models/calls/migrations",
    "limits": "models/limits/migrations",
    "ledger": "models/ledger/migrations",
    "sessions": "sessions/migrations",
    "access": "access/migrations",
}


def provide(file: Path, service: str) -> None:
    """Puts an empty database of a service, or of one of its parts, there, unless there is one."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_template_file(service))


def provide_behind(url: str, service: str) -> None:
    """The same for the file or the PostgreSQL schema that a URL names; where no server runs, nothing is done."""
    scheme, _, path = url.partition(":///")
    if scheme == "sqlite":
        provide(Path(path), service)
    elif is_served(url):
        _provide_schema(url, service)


def _provide_schema(url: str, service: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        [found] = connection.execute("SELECT to_regclass(%s)", [version_table(service)])
        if found == (None,):
            connection.execute(_template_script(url, service))


@functools.cache
def _template_file(service: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="genai-template-") as directory:
        file = Path(directory) / f"{service}.db"
        _migrate(f"sqlite:///{file}", service)
        return file.read_bytes()


_scripts: dict[str, bytes] = {}


def _template_script(url: str, service: str) -> bytes:
    """The statements that make the tables of a service, whatever server the URL is of."""
    if service not in _scripts:
        schema = f"template_{service}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
        template = url.removesuffix(schema_of(url)) + schema
        _migrate(template, service)
        _scripts[service] = dump_schema(template)
    return _scripts[service]


def _migrate(url: str, service: str) -> None:
    log = Log(LineWriter(io.BytesIO()), "test", "error")
    # The caller's own loop is running.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, Database.migrate(url, SERVICES / MIGRATIONS[service], log)).result()
