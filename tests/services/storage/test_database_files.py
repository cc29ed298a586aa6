"""The files of SQLite are their user's only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.shared.database import Database
from services.shared.logs import open_log
from tests.services.log_file import LogFile
from tests.services.storage.notes import names, opened, put, quiet_log, write_migrations


@pytest.fixture(autouse=True)
def lenient_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory that is there already, and open to everybody."""
    directory = tmp_path / "data"
    directory.mkdir(mode=0o755)
    return directory


def modes(directory: Path) -> dict[str, str]:
    return {file.name: f"{file.stat().st_mode & 0o777:o}" for file in sorted(directory.iterdir())}


LOG_SECONDS = 5.0
PRIVATE = {"notes.db": "600", "notes.db-shm": "600", "notes.db-turn": "600", "notes.db-wal": "600"}


async def test_new_files_are_private_in_a_directory_that_is_not(data: Path, tmp_path: Path) -> None:
    async with opened(f"sqlite:///{data}/notes.db", tmp_path) as database:
        await put(database, "a")
        assert modes(data) == PRIVATE


async def test_files_that_were_open_to_others_are_closed_and_that_is_logged(data: Path, tmp_path: Path) -> None:
    async with opened(f"sqlite:///{data}/notes.db", tmp_path) as running:
        await put(running, "a")
        for file in data.iterdir():
            file.chmod(0o664)
        log = LogFile()
        database = await Database.open(
            f"sqlite:///{data}/notes.db", write_migrations(tmp_path), open_log("test", file=log)
        )
        assert modes(data) == PRIVATE
        await log.wait_for("notes.db-shm", LOG_SECONDS)
        told = {Path(entry["file"]).name: entry["mode"] for entry in log.entries() if "open to other" in entry["event"]}
        assert told == dict.fromkeys(PRIVATE, "0664")
        assert await names(database) == ["a"]
        await database.close()
        await put(running, "b")


async def test_what_a_link_leads_to_is_closed(data: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (data / "notes.db").symlink_to(elsewhere / "notes.db")
    for name in ("a", "b"):
        async with opened(f"sqlite:///{data}/notes.db", tmp_path) as database:
            await put(database, name)
            assert modes(elsewhere) == PRIVATE
        (elsewhere / "notes.db").chmod(0o644)


async def test_a_file_whose_mode_cannot_be_changed_is_used_and_warned_of(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is another user's, in a group of ours."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    (data / "notes.db").touch(0o664)
    (data / "notes.db").chmod(0o664)
    monkeypatch.setattr(Path, "chmod", refuse)
    log = LogFile()
    database = await Database.open(f"sqlite:///{data}/notes.db", write_migrations(tmp_path), open_log("test", file=log))
    await put(database, "a")
    assert await names(database) == ["a"]
    await database.close()
    await log.wait_for("operation not permitted", LOG_SECONDS)
    [warning] = [entry for entry in log.entries() if entry["event"].startswith("a storage file")]
    assert (warning["level"], warning["mode"], warning["why"]) == ("warning", "0664", "operation not permitted")


async def test_a_link_beside_the_database_is_not_followed(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    other.chmod(0o644)
    async with opened(f"sqlite:///{data}/notes.db", tmp_path):
        pass
    (data / "notes.db-journal").symlink_to(other)
    await (await Database.open(f"sqlite:///{data}/notes.db", write_migrations(tmp_path), quiet_log())).close()
    assert other.stat().st_mode & 0o777 == 0o644
