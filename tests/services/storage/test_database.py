"""The storage layer's guarantees, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError

from services.shared.database import Database, sqlite_url
from services.shared.errors import NotFound, PreconditionFailed
from services.shared.postgresql import PostgreSQL
from services.shared.sqlite import SQLite
from tests.services.storage.notes import FIRST_SCRIPT, names, notes, opened, put, quiet_log, write_migrations
from tests.support.postgresql import PostgreSQLServer

pytestmark = pytest.mark.usefixtures("patient_storage")

LONG_QUERY = {
    "sqlite": (
        "WITH RECURSIVE numbers(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM numbers WHERE x < 1000000)"
        " SELECT count(*) FROM numbers"
    ),
    "postgresql": "SELECT pg_sleep(4)",
}


@pytest.fixture
async def database(database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(database_url, tmp_path) as database:
        yield database


def long_query(url: str) -> str:
    return LONG_QUERY[url.partition(":")[0]]


async def test_a_write_is_there_for_the_next_process(database_url: str, tmp_path: Path) -> None:
    async with opened(database_url, tmp_path) as database:
        await put(database, "kept", content=b"\x00\xff")
    async with opened(database_url, tmp_path) as database, database.read() as connection:
        assert (await connection.execute(select(notes))).all() == [("kept", 1, b"\x00\xff")]


async def test_a_write_that_raises_leaves_nothing(database: Database) -> None:
    async def write() -> None:
        async with database.write() as connection:
            await connection.execute(insert(notes).values(name="half", number=1))
            raise NotFound("the other half is missing")

    with pytest.raises(NotFound):
        await write()
    assert await names(database) == []


async def test_a_write_whose_last_statement_fails_leaves_nothing(database: Database) -> None:
    await put(database, "first")

    async def write() -> None:
        async with database.write() as connection:
            await connection.execute(insert(notes).values(name="second", number=1))
            await connection.execute(insert(notes).values(name="first", number=1))

    with pytest.raises(IntegrityError):
        await write()
    assert await names(database) == ["first"]


async def test_a_table_made_in_a_write_that_raises_is_not_there(database: Database) -> None:
    """Python's sqlite3 used to commit before such statements."""

    async def write() -> None:
        async with database.write() as connection:
            await connection.execute(text("CREATE TABLE scraps (name text)"))
            raise NotFound("never mind")

    with pytest.raises(NotFound):
        await write()
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE scraps (name text)"))


async def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(PreconditionFailed):
        async with database.read() as connection:
            await connection.execute(insert(notes).values(name="sneaked in", number=1))
    assert await names(database) == []


async def test_a_read_sees_one_state_while_others_write(database: Database) -> None:
    await put(database, "before")
    async with database.read() as connection:
        assert (await connection.scalars(select(notes.c.name))).all() == ["before"]
        await put(database, "during")
        assert (await connection.scalars(select(notes.c.name))).all() == ["before"]
    assert await names(database) == ["before", "during"]


@pytest.mark.parametrize("scope", [None, "counter"])
async def test_writers_take_turns(database: Database, scope: str | None) -> None:
    """Each reads, then writes what it read plus one: without turns, some would be lost."""
    await put(database, "counter", 0)

    async def count() -> None:
        async with database.write(scope) as connection:
            number = await connection.scalar(select(notes.c.number))
            await asyncio.sleep(0)
            await connection.execute(update(notes).values(number=number + 1))

    await asyncio.gather(*(count() for _ in range(50)))
    async with database.read() as connection:
        assert await connection.scalar(select(notes.c.number)) == 50


async def test_a_writer_without_scope_excludes_every_other(database: Database) -> None:
    order: list[str] = []
    entered = asyncio.Event()

    async def whole() -> None:
        async with database.write() as connection:
            entered.set()
            await connection.execute(insert(notes).values(name="whole", number=1))
            order.append("whole")

    async def part() -> None:
        await entered.wait()
        async with database.write("part") as connection:
            order.extend((await connection.scalars(select(notes.c.name))).all())

    await asyncio.gather(part(), whole())
    assert order == ["whole", "whole"]


@pytest.mark.parametrize("within", ["a statement", "the transaction"])
async def test_a_cancelled_write_leaves_nothing_and_frees_its_place(
    database: Database, database_url: str, within: str
) -> None:
    begun = asyncio.Event()

    async def write() -> None:
        async with database.write() as connection:
            await connection.execute(insert(notes).values(name="cancelled", number=1))
            begun.set()
            if within == "a statement":
                await connection.execute(text(long_query(database_url)))
            await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await put(database, "next")
    assert await names(database) == ["next"]


async def test_close_waits_for_threads_of_abandoned_connections(sqlite_file: Path) -> None:
    """It tells what it has done to an event loop, which may be closed by then."""
    going_on = threading.Event()

    class Slow(sqlite3.Connection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            assert going_on.wait(5)
            super().__init__(*arguments, **options)

    backend = SQLite(make_url(f"sqlite:///{sqlite_file}"))
    backend.prepare(quiet_log())
    driver = backend._connect(str(sqlite_file), factory=Slow)
    connecting = asyncio.ensure_future(driver)
    await asyncio.sleep(0)
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
    closing = asyncio.create_task(backend.close())
    await asyncio.sleep(0)
    assert driver._thread.is_alive()
    going_on.set()
    await closing
    assert not driver._thread.is_alive()


async def test_writes_cancelled_at_any_moment_are_whole_or_absent(database: Database) -> None:
    """Each is cancelled a moment later than the one before it, until one has ended by then."""

    async def write(number: int) -> None:
        async with database.write() as connection:
            await connection.execute(insert(notes).values(name=f"{number} left", number=1))
            await connection.execute(insert(notes).values(name=f"{number} right", number=1))

    for steps in itertools.count(0, 3):
        task = asyncio.create_task(write(steps))
        for _ in range(steps):
            await asyncio.sleep(0.001)
        has_finished = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if has_finished:
            break
    stored = await names(database)
    assert len(stored) >= 2
    assert {name.split()[0] for name in stored if "left" in name} == {
        name.split()[0] for name in stored if "right" in name
    }
    await put(database, "still works")


async def test_task_cancelled_twice_does_not_block_forever(database: Database) -> None:
    """The second time while the connection is being closed for the first."""
    await put(database, "a")
    for first, second in itertools.product(range(0, 16, 2), range(4)):
        reading = asyncio.create_task(names(database))
        for pause in (first, second):
            for _ in range(pause):
                await asyncio.sleep(0)
            reading.cancel()
        await asyncio.wait({reading})
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left or not (await asyncio.wait(left, timeout=5))[1]


async def test_cancelled_reads_do_not_use_up_the_connections(database: Database, database_url: str) -> None:
    async def read(begun: asyncio.Event) -> None:
        async with database.read() as connection:
            await connection.execute(select(notes))
            begun.set()
            await asyncio.Event().wait()

    for _ in range(12):
        begun = asyncio.Event()
        task = asyncio.create_task(read(begun))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await names(database) == []


async def test_two_starters_at_once_both_find_the_newest_schema(database_url: str, tmp_path: Path) -> None:
    migrations = write_migrations(tmp_path)
    databases = await asyncio.gather(*(Database.open(database_url, migrations, quiet_log()) for _ in range(4)))
    for number, database in enumerate(databases):
        await put(database, str(number))
    assert await names(databases[0]) == ["0", "1", "2", "3"]
    for database in databases:
        await database.close()


async def test_the_location_shows_no_password(tmp_path: Path, postgresql_url: str) -> None:
    url = postgresql_url.replace("postgres@", "postgres:hunter2@") + "&password=hunter2"
    async with opened(url, tmp_path) as database:
        assert "hunter2" not in database.location
        assert database.location.startswith("postgresql://")


async def test_two_services_share_a_postgresql_database(postgresql_url: str, tmp_path: Path) -> None:
    """Each has a schema version of its own."""
    other = tmp_path / "diary" / "migrations"
    other.mkdir(parents=True)
    script = (write_migrations(tmp_path) / "0001_step.py").read_text()
    (other / "0001_step.py").write_text(script.replace('"notes"', '"entries"'))
    async with opened(postgresql_url, tmp_path) as notebook:
        diary = await Database.open(postgresql_url, other, quiet_log())
        await put(notebook, "a")
        async with diary.read() as connection:
            assert (await connection.execute(text("SELECT * FROM entries"))).all() == []
        await diary.close()


async def test_connections_that_the_server_closed_are_replaced_unnoticed(
    postgresql_url: str, postgresql_server: PostgreSQLServer, tmp_path: Path
) -> None:
    async with opened(postgresql_url, tmp_path) as database:
        await put(database, "before")
        assert await names(database) == ["before"]
        postgresql_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'genai-platform'"
        )
        await put(database, "after")
        assert await names(database) == ["after", "before"]


def test_the_default_file_has_its_service_s_name(tmp_path: Path) -> None:
    assert sqlite_url(tmp_path, "sessions") == f"sqlite:///{tmp_path}/sessions.db"


async def test_a_starter_waits_for_an_upgrade_that_takes_longer_than_any_call_may(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgreSQL, "answer_seconds", 0.2)
    monkeypatch.setattr(PostgreSQL, "crowded_seconds", 0.2)
    slow = FIRST_SCRIPT + '    op.execute("SELECT pg_sleep(1)")\n'
    migrations = write_migrations(tmp_path, slow)
    databases = await asyncio.gather(*(Database.open(postgresql_url, migrations, quiet_log()) for _ in range(2)))
    for database in databases:
        assert await names(database) == []
        await database.close()


async def test_a_start_with_nothing_to_upgrade_does_without_alembic(sqlite_file: Path, tmp_path: Path) -> None:
    """Importing it would take a good part of the start."""
    async with opened(f"sqlite:///{sqlite_file}", tmp_path):
        pass
    program = (
        "import asyncio, sys, pathlib\n"
        "from services.shared.database import Database\n"
        "from services.shared.logs import open_log\n"
        f"migrations = pathlib.Path({str(write_migrations(tmp_path))!r})\n"
        f"asyncio.run(Database.open('sqlite:///{sqlite_file}', migrations, open_log('test')))\n"
        "sys.exit('alembic' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).returncode == 0
