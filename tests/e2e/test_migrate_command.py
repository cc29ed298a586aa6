"""`genai migrate` on real databases."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

from services.shared.migrations import version_table
from tests.support.processes import EXIT_CONFIG, ROOT, environment


def migrate(data: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    settings = environment(GENAI_DATA_DIR=str(data), AUTH_MODE="required", CAPTURE="all", PYTHONPATH=str(ROOT))
    command = [sys.executable, "-c", "from genai_platform.cli import main; main()", "migrate"]
    return subprocess.run(
        command, env=settings | variables, cwd=data.parent, capture_output=True, text=True, timeout=60, check=False
    )


def test_migrate_makes_every_database(tmp_path: Path) -> None:
    ended = migrate(tmp_path / "data")
    assert ended.returncode == 0, ended.stderr
    assert [line.partition(":")[0] for line in ended.stdout.splitlines()] == ["sessions", "models", "gateway"]
    files = {path.name for path in (tmp_path / "data").glob("*.db")}
    assert files == {f"{name}.db" for name in ("sessions", "models", "calls", "usage", "capture", "access")}


def test_migrate_ends_with_78_at_a_database_of_a_newer_version(tmp_path: Path) -> None:
    assert migrate(tmp_path / "data").returncode == 0
    with sqlite3.connect(tmp_path / "data" / "access.db") as connection:
        connection.execute(f"UPDATE {version_table('access')} SET version_num = '9999'")
    connection.close()
    ended = migrate(tmp_path / "data")
    assert ended.returncode == EXIT_CONFIG
    assert "gateway: " in ended.stderr
    assert "which is newer than this program's" in ended.stderr
