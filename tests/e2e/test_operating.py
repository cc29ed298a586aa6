"""The commands of docs/operating.md, run as they stand there."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from genai_platform import GenAIPlatform, NotFound
from tests.support.processes import ROOT, environment, running

PAGE = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
BACKUP, RESTORE = re.findall(r"^## (?:Backup|Restore)\n.*?```bash\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)


def bash(program: str, data: Path, backup: Path) -> None:
    variables = environment(GENAI_DATA_DIR=str(data), BACKUP=str(backup))
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
    subprocess.run(["bash", "-euo", "pipefail", "-c", program], env=variables, check=True, timeout=60)


@contextlib.contextmanager
def clients(directory: Path, data: Path) -> Iterator[tuple[GenAIPlatform, GenAIPlatform]]:
    """Clients of a Model Service and a Session Service with their data there."""
    settings = {"GENAI_DATA_DIR": str(data)}
    with (
        running("models", directory, **settings) as models,
        running("sessions", directory, **settings) as sessions,
        GenAIPlatform(models.address) as of_models,
        GenAIPlatform(sessions.address) as of_sessions,
    ):
        yield of_models, of_sessions


def test_backup_of_running_services_is_restored(tmp_path: Path) -> None:
    old, new, backup = tmp_path / "data", tmp_path / "restored", tmp_path / "backup"
    with clients(tmp_path, old) as (models, sessions):
        models.prompts.register("kept", "Be brief.", labels=["production"])
        sessions.sessions.memory("u").set("likes", ["tea"])
        # What was committed is in the file beside the database alone.
        assert (old / "models.db-wal").stat().st_size > 0
        bash(BACKUP, old, backup)
        models.prompts.register("late", "Be long.")
    assert all(not path.stat().st_mode & 0o077 for path in backup.iterdir())
    new.mkdir()
    (new / "models.db-wal").write_bytes(b"of another file")
    bash(RESTORE, new, backup)
    with clients(tmp_path, new) as (models, sessions):
        assert models.prompts.get("kept", label="production").content == "Be brief."
        with pytest.raises(NotFound):
            models.prompts.get("late")
        assert sessions.sessions.memory("u").get("likes") == ["tea"]
