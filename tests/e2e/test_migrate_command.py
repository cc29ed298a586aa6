"""`genai migrate` on real databases."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from services.shared.migrations import version_table
from tests.support.processes import EXIT_CONFIG, Finished, run_genai


def migrate(data: Path) -> Finished:
    return run_genai(data.parent, "migrate", GENAI_DATA_DIR=str(data), AUTH_MODE="required", CAPTURE="all")


def test_migrate_makes_every_database_and_ends_with_78_at_one_of_a_newer_version(tmp_path: Path) -> None:
    ended = migrate(tmp_path / "data")
    assert ended.code == 0, ended.log
    assert [line.partition(":")[0] for line in ended.output.splitlines()] == ["sessions", "models", "gateway"]
    files = {path.name for path in (tmp_path / "data").glob("*.db")}
    assert files == {f"{name}.db" for name in ("sessions", "models", "calls", "usage", "capture", "access")}
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "access.db")) as connection, connection:
        connection.execute(f"UPDATE {version_table('access')} SET version_num = '9999'")
    ended = migrate(tmp_path / "data")
    assert ended.code == EXIT_CONFIG
    assert "gateway: " in ended.log
    assert "which is newer than this program's" in ended.log
