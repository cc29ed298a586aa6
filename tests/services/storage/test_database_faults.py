"""Faults of the storage, as callers and operators see them."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import text

from services.shared.database import Database
from services.shared.errors import (
    DataLoss,
    DeadlineExceeded,
    LimitExceeded,
    PlatformError,
    PreconditionFailed,
    StartupError,
    Unavailable,
)
from tests.services.storage.notes import (
    FIRST_SCRIPT,
    SECOND_SCRIPT,
    names,
    notes,
    opened,
    put,
    quiet_log,
    write_migrations,
)

BROKEN_SCRIPT = """\
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.drop_table("notes")
    raise RuntimeError("the power is gone")
"""


def url_of(file: Path) -> str:
    return f"sqlite:///{file}"


async def refusal(url: str, migrations: Path) -> str:
    with pytest.raises(StartupError) as caught:
        await Database.open(url, migrations, quiet_log())
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def failure(database: Database, statement: str) -> PlatformError:
    with pytest.raises(PlatformError) as caught:
        async with database.write() as connection:
            await connection.execute(text(statement))
    return caught.value


@pytest.mark.usefixtures("hasty_sqlite")
async def test_a_locked_file_is_busy_for_writers_only(sqlite_file: Path, tmp_path: Path) -> None:
    async with opened(url_of(sqlite_file), tmp_path) as database:
        other = sqlite3.connect(sqlite_file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable) as caught:
            await put(database, "blocked")
        assert (caught.value.reason, caught.value.retry_after) == ("STORAGE_BUSY", 0.5)
        assert await names(database) == []
        other.execute("ROLLBACK")
        other.close()
        await put(database, "free again")


async def test_a_full_disk_stores_nothing_and_heals_without_a_restart(sqlite_file: Path, tmp_path: Path) -> None:
    async with opened(url_of(sqlite_file), tmp_path) as database:
        await put(database, "small")
        async with database.write() as connection:
            pages = await connection.scalar(text("PRAGMA page_count"))
            await connection.execute(text(f"PRAGMA max_page_count = {pages + 2}"))
        with pytest.raises(LimitExceeded) as caught:
            await put(database, "large", content=bytes(100_000))
        assert (caught.value.reason, caught.value.retry_after) == ("STORAGE_FULL", None)
        assert await names(database) == ["small"]
        assert await database.check()
        assert not database.writable
        async with database.write() as connection:
            await connection.execute(text("PRAGMA max_page_count = 100000"))
        await put(database, "large", content=bytes(100_000))
        assert database.writable


async def test_a_file_that_breaks_while_it_is_used_is_data_loss(sqlite_file: Path, tmp_path: Path) -> None:
    async with opened(url_of(sqlite_file), tmp_path) as database:
        await put(database, "lost", content=bytes(50_000))
    data = bytearray(sqlite_file.read_bytes())
    async with opened(url_of(sqlite_file), tmp_path) as database:
        data[4096 * 2 :] = b"\xa5" * (len(data) - 4096 * 2)
        sqlite_file.write_bytes(data)
        with pytest.raises(DataLoss) as caught:
            await names(database)
        assert caught.value.reason == "STORAGE_CORRUPT"
        assert not await database.check()
        assert not database.writable


async def test_a_slow_statement_is_ended(postgresql_url: str, tmp_path: Path) -> None:
    async with opened(f"{postgresql_url}&options=-c%20statement_timeout%3D100", tmp_path) as database:
        error = await failure(database, "SELECT pg_sleep(10)")
        assert isinstance(error, DeadlineExceeded)
        assert error.reason == "STORAGE_TIMEOUT"
        await put(database, "next")


async def test_a_connection_lost_in_a_write_is_unavailable_and_leaves_nothing(
    postgresql_url: str, tmp_path: Path
) -> None:
    async with opened(postgresql_url, tmp_path) as database:

        async def write() -> None:
            async with database.write() as connection:
                await connection.execute(notes.insert().values(name="lost", number=1))
                await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

        with pytest.raises(Unavailable) as caught:
            await write()
        assert (caught.value.reason, caught.value.retry_after) == ("STORAGE_UNAVAILABLE", 1.0)
        await put(database, "next")
        assert await names(database) == ["next"]


async def test_a_read_only_postgresql_says_so(postgresql_url: str, tmp_path: Path) -> None:
    async with opened(postgresql_url, tmp_path):
        pass
    url = f"{postgresql_url}&options=-c%20default_transaction_read_only%3Don"
    async with opened(url, tmp_path) as database:
        error = await failure(database, "INSERT INTO notes (name, number) VALUES ('a', 1)")
        assert isinstance(error, PreconditionFailed)
        assert error.reason == "STORAGE_READ_ONLY"
        assert not database.writable


@pytest.mark.usefixtures("hasty_sqlite")
async def test_errors_and_their_log_lines_quote_no_data(sqlite_file: Path, tmp_path: Path) -> None:
    log = io.BytesIO()
    database = await Database.open(url_of(sqlite_file), write_migrations(tmp_path), quiet_log(log))
    other = sqlite3.connect(sqlite_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable) as caught:
        await put(database, "canary-1234")
    other.close()
    await database.close()
    assert "canary" not in str(caught.value) + log.getvalue().decode()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("no url", "cannot be read"),
        ("mysql://root:hunter2@host/db", "mysql"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("sqlite:///x.db?mode=ro", "must name a file"),
        ("postgresql://user:hunter2@host", "must name a database"),
        ("sqlite:////proc/nowhere/data/x.db", "cannot be created"),
        ("sqlite:////proc/x.db", "cannot be opened"),
        ("postgresql://user:hunter2@127.0.0.1:99999/db", "invalid port number"),
        ("postgresql://user:hunter2@127.0.0.1/db?bogus=1", "bogus"),
    ],
)
async def test_a_wrong_url_is_explained_in_one_line_without_secrets(url: str, words: str, tmp_path: Path) -> None:
    line = await refusal(url, write_migrations(tmp_path))
    assert words in line
    assert "hunter2" not in line


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "letters.db"
    file.write_bytes(b"Dear Sir or Madam,\n" * 1000)
    before = file.read_bytes()
    assert "no database" in await refusal(url_of(file), write_migrations(tmp_path))
    assert file.read_bytes() == before
    assert {entry.name for entry in tmp_path.iterdir()} == {"letters.db", "notebook"}


async def test_another_program_s_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "photos.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE photos (name text)")
    other.close()
    before = file.read_bytes()
    assert "another program" in await refusal(url_of(file), write_migrations(tmp_path))
    assert file.read_bytes() == before


async def test_a_newer_schema_is_refused_and_left_alone(database_url: str, tmp_path: Path) -> None:
    newer = await Database.open(database_url, write_migrations(tmp_path, FIRST_SCRIPT, SECOND_SCRIPT), quiet_log())
    await put(newer, "kept")
    (tmp_path / "notebook" / "migrations" / "0002_step.py").unlink()
    line = await refusal(database_url, tmp_path / "notebook" / "migrations")
    assert "has schema 0002, which is newer than this program's 0001" in line
    assert await names(newer) == ["kept"]
    await newer.close()


async def test_an_older_schema_is_upgraded_and_keeps_its_rows(database_url: str, tmp_path: Path) -> None:
    async with opened(database_url, tmp_path) as database:
        await put(database, "kept")
    newer = await Database.open(database_url, write_migrations(tmp_path, FIRST_SCRIPT, SECOND_SCRIPT), quiet_log())
    async with newer.read() as connection:
        assert (await connection.execute(text("SELECT name, colour FROM notes"))).all() == [("kept", "blue")]
    await newer.close()


async def test_an_upgrade_that_breaks_off_changes_nothing(database_url: str, tmp_path: Path) -> None:
    async with opened(database_url, tmp_path) as database:
        await put(database, "kept")
    broken = write_migrations(tmp_path, FIRST_SCRIPT, BROKEN_SCRIPT)
    with pytest.raises(RuntimeError):
        await Database.open(database_url, broken, quiet_log())
    (broken / "0002_step.py").unlink()
    async with opened(database_url, tmp_path) as database:
        assert await names(database) == ["kept"]


async def test_an_upgrade_that_is_killed_half_way_changes_nothing_and_the_next_start_completes_it(
    database_url: str, tmp_path: Path
) -> None:
    async with opened(database_url, tmp_path) as database:
        await put(database, "kept")
    deadly = SECOND_SCRIPT + "    import os; os.kill(os.getpid(), 9)\n"
    migrations = write_migrations(tmp_path, FIRST_SCRIPT, deadly)
    program = (
        "import asyncio, io, pathlib\n"
        "from services.shared.database import Database\n"
        "from services.shared.logs import open_log\n"
        f"migrations = pathlib.Path({str(migrations)!r})\n"
        f"asyncio.run(Database.open({database_url!r}, migrations, open_log('test', file=io.BytesIO())))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    # The older program still finds its own schema, and the newer one completes its upgrade.
    (migrations / "0002_step.py").unlink()
    async with opened(database_url, tmp_path) as database:
        assert await names(database) == ["kept"]
    newer = await Database.open(database_url, write_migrations(tmp_path, FIRST_SCRIPT, SECOND_SCRIPT), quiet_log())
    async with newer.read() as connection:
        assert (await connection.execute(text("SELECT name, colour FROM notes"))).all() == [("kept", "blue")]
    await newer.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user, whom permissions hold back")
@pytest.mark.parametrize("read_only", ["file", "directory"])
async def test_a_read_only_file_or_directory_is_refused(read_only: str) -> None:
    # A folder of its own: those above the test's are for root alone, and not to be changed.
    with tempfile.TemporaryDirectory() as name:
        folder, file = Path(name), Path(name) / "data" / "test.db"
        async with opened(url_of(file), folder):
            pass
        for directory in (folder, file.parent):
            directory.chmod(0o755)
        file.chmod(0o444 if read_only == "file" else 0o666)
        os.seteuid(65534)
        try:
            assert "cannot be written" in await refusal(url_of(file), folder / "notebook" / "migrations")
        finally:
            os.seteuid(0)
