"""`genai backup`: a consistent copy of all databases in one file, while the services run."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import tarfile
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genai_platform.cli.archives import FORMAT, Entry, Manifest, add_file, add_manifest, sync, temporary
from genai_platform.cli.ending import EXIT_CONFIG, fail
from genai_platform.cli.installed import require_services
from genai_platform.cli.output import say
from genai_platform.cli.postgresql import dump

if TYPE_CHECKING:
    from genai_platform.cli.databases import Store

DISTRIBUTION = "genai-platform"


@click.command()
@click.argument("target", type=click.Path(path_type=Path), metavar="DIRECTORY|FILE")
@click.option("-o", "--output", type=click.Choice(["json"]), help="Print the manifest.")
def backup(target: Path, output: str | None) -> None:
    """Copy all databases and the internal key into one file, while the services run.

    In a DIRECTORY the file is named by the time. Each copy is of one moment. The databases are those of the environment
    and of `.env`; PostgreSQL is copied by `pg_dump`. The file is readable for its user alone, and is there whole or not
    at all. The keys of providers are not in it.
    """
    require_services("backup copies the data of")
    # Here, because it comes with the services.
    from genai_platform.cli.databases import list_stores

    path = _choose_path(target)
    try:
        manifest = _write(path, list_stores())
    except ValueError as error:
        fail(str(error), EXIT_CONFIG)
    except (OSError, sqlite3.Error) as error:
        fail(f"{path} was not written: {describe(error)}")
    say(f"genai: the backup is {path}")
    click.echo(json.dumps(manifest, indent=2) if output else path)


def describe(error: OSError | sqlite3.Error) -> str:
    """The failure, in a few words."""
    if isinstance(error, OSError):
        what = (error.strerror or str(error)).lower()
        return f"{what}: {error.filename}" if error.filename else what
    return str(error)


def _choose_path(target: Path) -> Path:
    if target.is_dir():
        target /= f"genai-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar"
    if target.exists():
        fail(f"{target} exists; a backup replaces no file")
    if not target.parent.is_dir():
        fail(f"the directory {target.parent} does not exist; make it, for its user alone")
    return target.absolute()


def _write(path: Path, stores: list[Store]) -> Manifest:
    started, files = _now(), list[Entry]()
    with temporary(path) as written:
        with tarfile.open(written, "w") as archive:
            for store in stores:
                if entry := _add(archive, store, path):
                    files.append(entry)
            if not files:
                raise ValueError("there is nothing to back up; is GENAI_DATA_DIR that of the services?")
            version = metadata.version(DISTRIBUTION)
            manifest = Manifest(format=FORMAT, version=version, created_at=started, files=files)
            add_manifest(archive, manifest)
        sync(written)
        # A link is made only where no file is, unlike a renaming.
        os.link(written, path)
    sync(path.parent)
    return manifest


def _add(archive: tarfile.TarFile, store: Store, path: Path) -> Entry | None:
    """Adds a copy of a database or file; None where there is none yet."""
    if store.kind != "postgresql" and not store.path.exists():
        say(f"genai: {store.place}: there is none")
        return None
    name = store.variables[0].removesuffix("_DATABASE_URL").lower() + (".dump" if store.kind == "postgresql" else "")
    copied_at = _now()
    with temporary(path.with_name(f"{path.name}.{name}")) as copy:
        if store.kind == "sqlite":
            copy_sqlite(store.path, copy)
        elif store.url is not None:
            dump(store.url, copy)
        else:
            copy.write_bytes(store.path.read_bytes())
        size, digest = add_file(archive, name, copy)
    say(f"genai: {store.place}: {size:,} bytes")
    return Entry(
        name=name, kind=store.kind, variables=list(store.variables), size=size, sha256=digest, copied_at=copied_at
    )


def copy_sqlite(source: Path, copy: Path) -> None:
    """Copies a database that others may write to, as it is at one moment. Raises sqlite3.Error."""
    with (
        contextlib.closing(sqlite3.connect(f"{source.as_uri()}?mode=rw", uri=True)) as read,
        contextlib.closing(sqlite3.connect(copy)) as written,
    ):
        # All pages in one step, which reads one snapshot: in several, every commit would begin the copy anew.
        read.backup(written)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
