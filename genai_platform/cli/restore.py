"""`genai restore`: the databases of a backup, in place of those of the settings, while no service runs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from genai_platform.cli import postgresql
from genai_platform.cli.archives import Damaged, Entry, Manifest, member_file, opened, sync, temporary
from genai_platform.cli.backup import describe
from genai_platform.cli.ending import EXIT_CONFIG, fail
from genai_platform.cli.installed import require_services
from genai_platform.cli.output import say

if TYPE_CHECKING:
    from genai_platform.cli.databases import Store

SIDE_FILES = ("-wal", "-shm", "-journal")
IN_USE_SECONDS = 0.5


class Refused(Exception):
    """Nothing was restored. The message says why."""


class Step(NamedTuple):
    """A file of the backup, and where it goes."""

    entry: Entry
    store: Store


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace the data that are there.")
@click.option("-o", "--output", type=click.Choice(["json"]), help="Print the manifest.")
def restore(file: Path, force: bool, output: str | None) -> None:
    """Put the databases and the internal key of a backup where the settings say, while no service runs.

    The whole FILE is verified before anything is changed, and each database is replaced as a whole or not at all.
    """
    require_services("restore replaces the data of")
    # Here, because it comes with the services.
    from genai_platform.cli.databases import list_stores

    try:
        with opened(file) as (archive, manifest):
            steps = _plan(manifest, list_stores())
            with _reserved(steps):
                _refuse(steps, force=force)
                _restore(archive, steps, force=force)
    except Damaged as error:
        fail(f"{file}: {error}; nothing was restored")
    except Refused as error:
        fail(f"{error}; nothing was restored")
    except ValueError as error:
        fail(str(error), EXIT_CONFIG)
    except (OSError, sqlite3.Error) as error:
        fail(f"the restore did not end: {describe(error)}; what is named above was restored, and nothing else changed")
    if output:
        click.echo(json.dumps(manifest, indent=2))


def _plan(manifest: Manifest, stores: list[Store]) -> list[Step]:
    """The place of each file. Raises Refused for one that the settings have no place for."""
    steps = []
    for entry in manifest["files"]:
        stores_of_entry = [store for store in stores if set(store.variables) & set(entry["variables"])]
        if not stores_of_entry:
            raise Refused(f"{entry['name']} has no place: the settings have a value in {entry['variables'][0]} itself")
        for store in stores_of_entry:
            if store.kind != entry["kind"]:
                raise Refused(f"{entry['name']} is of {entry['kind']}, and {store.variables[0]} leads to {store.kind}")
            steps.append(Step(entry, store))
    return steps


@contextlib.contextmanager
def _reserved(steps: list[Step]) -> Iterator[None]:
    """Keeps services from serving the SQLite files until the block ends. Raises Refused where one does."""
    # Here, because it comes with the services.
    from genai_platform.cli.databases import served_lock

    with contextlib.ExitStack() as stack:
        for _, store in steps:
            # Nothing is served in a directory that is not there.
            if store.kind != "sqlite" or not store.path.parent.exists():
                continue
            lock = served_lock(store)
            stack.callback(lock.close)
            if not lock.try_to_acquire():
                raise Refused(f"{store.place} is in use; stop the services first")
        yield


def _refuse(steps: list[Step], *, force: bool) -> None:
    """Raises Refused where a service runs, or where data are and shall not be replaced."""
    for _, store in steps:
        if store.kind == "sqlite" and store.path.exists() and is_open(store.path):
            raise Refused(f"{store.place} is in use; stop the services first")
    for _, store in steps:
        if store.kind != "postgresql" and store.path.exists() and not force:
            raise Refused(f"{store.place} exists; --force replaces it")
    if any(store.kind == "postgresql" for _, store in steps):
        postgresql.require("pg_restore")
        _refuse_while_ports_answer()


def _refuse_while_ports_answer() -> None:
    """Raises Refused where a service answers: PostgreSQL does not tell whose its connections are."""
    from genai_platform.cli.databases import ports

    for variable, port in ports().items():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), IN_USE_SECONDS):
            raise Refused(f"a service runs at port {port} ({variable}); stop the services first")


def is_open(path: Path) -> bool:
    """Whether another connection has a database open. What its write-ahead log holds is then in the file itself."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=IN_USE_SECONDS, isolation_level=None)) as connection:
            # SQLite leaves the mode only for a connection that is alone (sqlite.org/pragma.html#pragma_journal_mode).
            connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    except sqlite3.DatabaseError:
        # It is no database, so nobody can have it open as one.
        return False
    return False


def _restore(archive: tarfile.TarFile, steps: list[Step], *, force: bool) -> None:
    with contextlib.ExitStack() as stack:
        # All are on the disk before the first is replaced, so that a full disk changes nothing.
        copies = [stack.enter_context(_copied(archive, step)) for step in steps]
        for (entry, store), copy in zip(steps, copies, strict=True):
            if store.kind == "postgresql" and store.url is not None:
                postgresql.load(store.url, copy, force=force)
            else:
                _replace(store.path, copy)
            say(f"genai: restored {store.place}: {entry['size']:,} bytes of {entry['copied_at']}")


@contextlib.contextmanager
def _copied(archive: tarfile.TarFile, step: Step) -> Iterator[Path]:
    """A file of the backup, beside the one that it is to replace. PostgreSQL's is in a directory for temporary ones."""
    if step.store.kind == "postgresql":
        path = Path(tempfile.gettempdir()) / "genai-restore.dump"
    else:
        path = step.store.path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with temporary(path) as copy:
        with copy.open("wb") as file:
            shutil.copyfileobj(member_file(archive, step.entry["name"]), file)
        sync(copy)
        yield copy


def _replace(path: Path, copy: Path) -> None:
    for suffix in SIDE_FILES:
        # They belong to the old file.
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    os.replace(copy, path)
    sync(path.parent)
