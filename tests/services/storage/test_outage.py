"""A PostgreSQL server that is away, at the start and at any other time, and comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from services.shared.database import Database
from services.shared.errors import PlatformError, StartupError, Unavailable
from tests.services.log_file import LogFile
from tests.services.storage.notes import FIRST_SCRIPT, SECOND_SCRIPT, names, opened, put, quiet_log, write_migrations
from tests.support.postgresql import PostgreSQLServer

REFUSED_SECONDS = 3.0
RECOVERED_SECONDS = 10.0


async def refusal(call: Awaitable[Any]) -> PlatformError:
    """The error of a call that must fail in time."""
    begin = time.monotonic()
    with pytest.raises(PlatformError) as caught:
        await call
    assert time.monotonic() - begin < REFUSED_SECONDS
    return caught.value


async def assert_away(*calls: Awaitable[Any]) -> None:
    for error in await asyncio.gather(*(refusal(call) for call in calls)):
        assert isinstance(error, Unavailable)
        assert (error.reason, error.retry_after) == ("STORAGE_UNAVAILABLE", 1.0)


async def eventually(call: Callable[[], Awaitable[Any]]) -> Any:
    """What the call returns when the storage has recovered, as it must in time."""
    async with asyncio.timeout(RECOVERED_SECONDS):
        while True:
            try:
                return await call()
            except Unavailable:
                await asyncio.sleep(0.1)


async def test_a_server_that_stops_is_away_at_once_and_found_again(
    postgresql_server: PostgreSQLServer, postgresql_url: str, tmp_path: Path
) -> None:
    async with opened(postgresql_url, tmp_path) as database:
        await put(database, "before")
        postgresql_server.stop()
        for _ in range(3):
            await assert_away(put(database, "away"), names(database))
        assert not database.available
        assert not await database.check()
        postgresql_server.start()
        assert await eventually(lambda: names(database)) == ["before"]
        assert database.available
        await put(database, "after")
        assert await names(database) == ["after", "before"]


async def test_a_server_that_is_away_at_the_start_is_waited_for(
    postgresql_server: PostgreSQLServer, postgresql_url: str, tmp_path: Path
) -> None:
    postgresql_server.stop()
    async with opened(postgresql_url, tmp_path) as database:
        assert not database.available
        await assert_away(put(database, "away"), names(database))
        postgresql_server.start()
        assert await eventually(lambda: names(database)) == []
        await put(database, "first")
        assert await names(database) == ["first"]


async def test_a_copy_is_loaded_when_the_server_comes_for_the_first_time_and_again_after_each_outage(
    postgresql_server: PostgreSQLServer, postgresql_url: str, tmp_path: Path
) -> None:
    loaded = asyncio.Queue[list[str]]()
    postgresql_server.stop()
    async with opened(postgresql_url, tmp_path) as database:

        async def load() -> None:
            loaded.put_nowait(await names(database))

        async def wait_for(expected: list[str]) -> None:
            async with asyncio.timeout(RECOVERED_SECONDS):
                while await loaded.get() != expected:
                    pass

        await database.watch(load)
        assert loaded.empty()
        postgresql_server.start()
        await wait_for([])
        await eventually(lambda: put(database, "a"))
        await wait_for(["a"])
        postgresql_server.stop()
        postgresql_server.start()
        # Somebody else is back sooner, and writes before this one listens again.
        async with opened(postgresql_url, tmp_path) as other:
            await eventually(lambda: put(other, "b"))
        await wait_for(["a", "b"])


async def test_silent_server_is_unavailable(
    postgresql_server: PostgreSQLServer, postgresql_url: str, tmp_path: Path
) -> None:
    """Nothing is refused and nothing comes back, as when a network parts; there are more callers than connections."""
    async with opened(postgresql_url, tmp_path) as database:
        await put(database, "before")
        with postgresql_server.frozen():
            await assert_away(
                *(put(database, f"{number}") for number in range(12)), *(names(database) for _ in range(12))
            )
            begin = time.monotonic()
            await assert_away(put(database, "later"), names(database))
            assert time.monotonic() - begin < 0.5
        assert "before" in await eventually(lambda: names(database))
        await eventually(lambda: put(database, "after"))


async def test_callers_of_a_silent_server_can_be_cancelled(
    postgresql_server: PostgreSQLServer, postgresql_url: str, tmp_path: Path
) -> None:
    async with opened(postgresql_url, tmp_path) as database:
        await put(database, "before")
        with postgresql_server.frozen():
            begin = time.monotonic()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await put(database, "left")
            assert time.monotonic() - begin < 1
        await eventually(lambda: put(database, "after"))


async def test_a_schema_that_turns_out_to_be_newer_is_not_used(
    postgresql_server: PostgreSQLServer, postgresql_url: str, tmp_path: Path
) -> None:
    newer = await Database.open(
        postgresql_url, write_migrations(tmp_path / "new", FIRST_SCRIPT, SECOND_SCRIPT), quiet_log()
    )
    await newer.close()
    postgresql_server.stop()
    log = LogFile()
    older = await Database.open(postgresql_url, write_migrations(tmp_path / "old", FIRST_SCRIPT), quiet_log(log))
    postgresql_server.start()
    await log.wait_for("the storage cannot be used", RECOVERED_SECONDS)
    await assert_away(put(older, "never"))
    await older.close()


async def test_a_migration_by_command_needs_the_server(
    postgresql_server: PostgreSQLServer, postgresql_url: str, tmp_path: Path
) -> None:
    migrations = write_migrations(tmp_path)
    postgresql_server.stop()
    with pytest.raises(StartupError) as caught:
        await Database.migrate(postgresql_url, migrations, quiet_log())
    assert "cannot be reached" in str(caught.value)
    postgresql_server.start()
    first, again = [await Database.migrate(postgresql_url, migrations, quiet_log()) for _ in range(2)]
    assert first == again
    _, _, schema = postgresql_url.rpartition("%3D")
    tables = postgresql_server.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", schema)
    assert ("notes",) in tables


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("postgres@", "stranger@"), 'role "stranger" does not exist'),
        (("/postgres?", "/elsewhere?"), 'database "elsewhere" does not exist'),
        (("postgres@", "guarded:wrong@"), "authentication failed"),
        (("postgres@", "guarded@"), "no password supplied"),
    ],
)
async def test_a_server_that_refuses_the_user_is_not_waited_for(
    postgresql_server: PostgreSQLServer, postgresql_url: str, tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    postgresql_server.require_password("guarded", "right")
    with pytest.raises(StartupError) as caught:
        await Database.open(postgresql_url.replace(*change), write_migrations(tmp_path), quiet_log())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_the_url_s_own_password_is_used(postgresql_server: PostgreSQLServer, tmp_path: Path) -> None:
    postgresql_server.require_password("guarded", "right")
    url = postgresql_server.new_url("guarded").replace("guarded@", "guarded:right@")
    async with opened(url, tmp_path) as database:
        assert database.available
