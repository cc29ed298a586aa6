"""Copies of PostgreSQL databases, by the server's own programs. A password goes to them by their environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


def dump(url: URL, file: Path) -> None:
    """Writes a database into a file in pg_dump's custom format. Raises ValueError, saying why, when that fails."""
    _run("pg_dump", ["--format=custom", "--file", str(file)], url)


def load(url: URL, file: Path, *, force: bool) -> None:
    """Restores all of a database or nothing; with `force` in place of what it has. Raises ValueError."""
    replacing = ["--clean", "--if-exists"] if force else []
    options = ["--single-transaction", "--exit-on-error", "--no-owner", *replacing, str(file)]
    _run("pg_restore", options, url)


def require(program: str) -> None:
    """Raises ValueError where a program of PostgreSQL is missing."""
    if not shutil.which(program):
        raise ValueError(f"{program} is not installed; PostgreSQL needs it, of the server's version or newer")


def _run(program: str, options: Sequence[str], url: URL) -> None:
    require(program)
    plain = url._replace(drivername="postgresql", password=None)
    environment = dict(os.environ)
    if url.password:
        environment["PGPASSWORD"] = str(url.password)
    command = [program, "--no-password", "--dbname", plain.render_as_string(), *options]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 no shell
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[0]
        raise ValueError(f"{plain.render_as_string()}: {last}")
