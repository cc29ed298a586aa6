"""A SQLite file is of one service, and one process writes to it at a time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.shared.database import Database
from services.shared.errors import StartupError, Unavailable
from services.shared.file_lock import FileLock
from services.shared.sqlite import TURN
from tests.services.storage.notes import names, opened, put, quiet_log, write_migrations
from tests.support.processes import EXIT_CONFIG, run, running, start

SETTINGS = {"sessions": {}, "models": {}, "gateway": {"AUTH_MODE": "required"}}
FILES = {"sessions": "sessions.db", "models": "models.db", "gateway": "access.db"}
WRITTEN_SECONDS = 10.0

HOLDER = """\
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def held(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process with this lock, which ends with the block."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


async def serve(file: Path, directory: Path) -> Database:
    return await Database.open(f"sqlite:///{file}", write_migrations(directory), quiet_log(), serves=True)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_second_service_on_one_file_is_refused_and_the_first_goes_on(name: str, tmp_path: Path) -> None:
    with running(name, tmp_path, **SETTINGS[name]) as first:
        second = run(name, tmp_path, **SETTINGS[name])
        [refusal] = [line for line in second.log.splitlines() if not line.startswith("{")]
        assert (second.code, second.output) == (EXIT_CONFIG, "")
        assert f"{name}: the file {tmp_path / 'data' / FILES[name]} is served by another process" in refusal
        assert "replicas share a PostgreSQL" in refusal
        first.send(signal.SIGTERM)
        assert first.wait() == 0


def test_a_file_that_two_variables_lead_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link.db").symlink_to("models.db")
    ended = run("models", tmp_path, USAGE_DATABASE_URL=f"sqlite:///{tmp_path / 'data' / 'link.db'}")
    assert (ended.code, "link.db is served by another" in ended.log) == (EXIT_CONFIG, True)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_service_that_was_killed_is_started_again_at_once(name: str, tmp_path: Path) -> None:
    first = start(name, tmp_path, **SETTINGS[name])
    first.send(signal.SIGKILL)
    with running(name, tmp_path, **SETTINGS[name]):
        first.close()


def test_a_project_adopts_only_while_the_service_does_not_run(tmp_path: Path) -> None:
    with running("sessions", tmp_path):
        refused = run("sessions", tmp_path, "--adopt", "shop")
        assert (refused.code, "is served by another process" in refused.log) == (EXIT_CONFIG, True)
    assert run("sessions", tmp_path, "--adopt", "shop").code == 0


def test_the_schema_is_brought_up_to_date_beside_the_service(tmp_path: Path) -> None:
    with running("sessions", tmp_path):
        assert run("sessions", tmp_path, "--migrate").code == 0


async def test_a_start_waits_for_one_that_ends(sqlite_file: Path, tmp_path: Path) -> None:
    first = await serve(sqlite_file, tmp_path)
    starting = asyncio.create_task(serve(sqlite_file, tmp_path))
    await put(first, "a")
    assert not starting.done()
    await first.close()
    second = await starting
    assert await names(second) == ["a"]
    await second.close()


async def test_a_file_that_cannot_be_locked_is_refused(sqlite_file: Path, tmp_path: Path) -> None:
    sqlite_file.with_name(sqlite_file.name + "-served").mkdir(parents=True)
    with pytest.raises(StartupError, match="cannot be locked: is a directory"):
        await serve(sqlite_file, tmp_path)


async def test_a_command_writes_beside_the_service(sqlite_file: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{sqlite_file}"
    service = await serve(sqlite_file, tmp_path)
    async with opened(url, tmp_path) as command:
        await asyncio.gather(*(put(database, f"{number}") for number, database in enumerate([service, command] * 20)))
        assert await names(service) == sorted(str(number) for number in range(40))
    await service.close()


async def test_nobody_writes_in_the_turn_of_another_process(sqlite_file: Path, tmp_path: Path) -> None:
    async with opened(f"sqlite:///{sqlite_file}", tmp_path) as database:
        with held(sqlite_file.with_name(sqlite_file.name + TURN)) as other:
            writing = asyncio.create_task(put(database, "a"))
            # It would have written by now.
            await names(database)
            assert await names(database) == []
            other.send_signal(signal.SIGKILL)
            async with asyncio.timeout(WRITTEN_SECONDS):
                await writing
        assert await names(database) == ["a"]


@pytest.mark.usefixtures("hasty_sqlite")
async def test_a_turn_that_does_not_end_is_a_busy_storage(sqlite_file: Path, tmp_path: Path) -> None:
    async with opened(f"sqlite:///{sqlite_file}", tmp_path) as database:
        with held(sqlite_file.with_name(sqlite_file.name + TURN)):
            with pytest.raises(Unavailable) as caught:
                await put(database, "a")
            assert (caught.value.reason, caught.value.retry_after) == ("STORAGE_BUSY", 0.5)
        await put(database, "b")
        assert await names(database) == ["b"]


async def test_a_transaction_gives_its_turn_back_however_it_ends(sqlite_file: Path, tmp_path: Path) -> None:
    turn = FileLock(sqlite_file.with_name(sqlite_file.name + TURN))
    async with opened(f"sqlite:///{sqlite_file}", tmp_path) as database:
        await put(database, "a")
        assert turn.try_to_acquire()
        turn.release()
        with contextlib.suppress(KeyError):
            async with database.write():
                assert not turn.try_to_acquire()
                raise KeyError
        assert turn.try_to_acquire()
        turn.release()
        begun = asyncio.Event()

        async def write() -> None:
            async with database.write():
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(write())
        await begun.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await put(database, "b")
        assert turn.try_to_acquire()
    turn.close()
