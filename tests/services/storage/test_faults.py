"""Faults of the storage during a transaction: the errors of callers, and the stored state."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from sqlalchemy import insert, select, text, update

from services.models.prompts.events import REGISTERED
from services.shared.database import Database
from services.shared.errors import Conflict, Unavailable
from services.shared.storage_errors import retried
from tests.services import prompt_registries
from tests.services.model_registries import model
from tests.services.model_registries import replica as registries
from tests.services.session_service import served
from tests.services.storage.commit_proxy import CommitProxy
from tests.services.storage.notes import names, notes, opened, put
from tests.support.errors import failure_of
from tests.support.postgresql import PostgreSQLServer

CUTS = int(os.environ.get("GENAI_TEST_WAL_POINTS", "60"))


# ------------------------------------------------------------------------------------------- crowded


async def hold(database: Database, scopes: list[str], release: asyncio.Event) -> None:
    """Holds a connection for each scope until it is told otherwise."""

    async def write(scope: str, held: asyncio.Event) -> None:
        async with database.write(scope):
            held.set()
            await release.wait()

    async with asyncio.TaskGroup() as group:
        for scope in scopes:
            held = asyncio.Event()
            group.create_task(write(scope, held))
            await held.wait()
        group.create_task(refuse_one_more(database, release))


async def refuse_one_more(database: Database, release: asyncio.Event) -> None:
    begin = time.monotonic()
    try:
        with pytest.raises(Unavailable) as caught:
            await put(database, "one too many")
        assert (caught.value.reason, caught.value.retry_after) == ("STORAGE_BUSY", 0.5)
        assert time.monotonic() - begin < 6
        # Those who read have connections of their own.
        assert await names(database) == []
    finally:
        release.set()


@pytest.mark.usefixtures("hasty_sqlite")
async def test_writer_without_a_free_connection_is_busy(database_url: str, tmp_path: Path) -> None:
    scopes = ["a"] if database_url.startswith("sqlite") else ["a", "b", "c", "d", "e"]
    async with opened(database_url, tmp_path) as database:
        await hold(database, scopes, asyncio.Event())
        assert database.available
        await put(database, "in time")
        assert await names(database) == ["in time"]


async def test_writer_without_a_lock_is_busy(postgresql_url: str, tmp_path: Path) -> None:
    async with opened(postgresql_url, tmp_path) as database:
        await hold(database, ["a"], asyncio.Event())
        assert database.available


# ------------------------------------------------------------------------------------------- conflicts


async def test_both_writers_of_a_deadlock_succeed(postgresql_url: str, tmp_path: Path, patient_storage: None) -> None:
    """PostgreSQL ends one of the two; it is run again, and once more if it was quicker than the other."""
    runs = 0
    meeting = asyncio.Barrier(2)

    @retried
    async def move(database: Database, scope: str, first: str, second: str) -> None:
        nonlocal runs
        runs += 1
        async with database.write(scope) as connection:
            await connection.execute(update(notes).where(notes.c.name == first).values(number=notes.c.number + 1))
            if runs <= 2:
                await meeting.wait()
            await connection.execute(update(notes).where(notes.c.name == second).values(number=notes.c.number + 1))

    async with opened(postgresql_url, tmp_path) as database:
        await put(database, "left", 0)
        await put(database, "right", 0)
        await asyncio.gather(move(database, "a", "left", "right"), move(database, "b", "right", "left"))
        async with database.read() as connection:
            assert (await connection.scalars(select(notes.c.number))).all() == [2, 2]
    assert runs >= 3


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_a_transaction_that_always_conflicts_is_given_up_after_three_repetitions(
    postgresql_url: str, tmp_path: Path, state: str
) -> None:
    runs = 0

    @retried
    async def conflict(database: Database) -> None:
        nonlocal runs
        runs += 1
        async with database.write() as connection:
            await connection.execute(text(f"DO $$ BEGIN RAISE SQLSTATE '{state}'; END $$"))

    async with opened(postgresql_url, tmp_path) as database:
        with pytest.raises(Conflict) as caught:
            await conflict(database)
    assert (caught.value.reason, runs) == ("STORAGE_CONFLICT", 4)


@pytest.mark.parametrize(("losses", "stored"), [(1, ["kept"]), (2, [])])
async def test_a_transaction_whose_connection_was_lost_before_the_commit_is_run_once_more(
    postgresql_url: str, tmp_path: Path, losses: int, stored: list[str]
) -> None:
    runs = 0

    @retried
    async def write(database: Database) -> None:
        nonlocal runs
        runs += 1
        async with database.write() as connection:
            await connection.execute(insert(notes).values(name="kept", number=1))
            if runs <= losses:
                await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    async with opened(postgresql_url, tmp_path) as database:
        with contextlib.nullcontext() if stored else pytest.raises(Unavailable):
            await write(database)
        assert await names(database) == stored
    assert runs == 2


async def test_a_broken_constraint_is_not_tried_again(database_url: str, tmp_path: Path) -> None:
    runs = 0

    @retried
    async def write(database: Database) -> None:
        nonlocal runs
        runs += 1
        await put(database, "twin")

    async with opened(database_url, tmp_path) as database:
        await put(database, "twin")
        with pytest.raises(Exception, match=r"(?i)unique"):
            await write(database)
    assert runs == 1


# ------------------------------------------------------------------------------------------- killed


def terminate(server: PostgreSQLServer, condition: str) -> None:
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE application_name = 'genai-platform' AND {condition}"
    )


async def test_a_connection_killed_between_the_last_statement_and_the_commit_leaves_nothing(
    postgresql_url: str, postgresql_server: PostgreSQLServer, tmp_path: Path
) -> None:
    async with opened(postgresql_url, tmp_path) as database:

        async def write() -> None:
            async with database.write() as connection:
                await connection.execute(insert(notes).values(name="lost", number=1))
                terminate(postgresql_server, "state = 'idle in transaction'")

        with pytest.raises(Unavailable) as caught:
            await write()
        assert (caught.value.reason, caught.value.retry_after) == ("COMMIT_UNKNOWN", 1.0)
        assert await names(database) == []
        await put(database, "next")


@pytest.mark.parametrize("arrives", [True, False])
async def test_an_append_lost_in_its_commit_is_there_once_after_it_is_repeated(
    postgresql_url: str, arrives: bool
) -> None:
    """The connection breaks when COMMIT has been sent: before the server got it, or before it could answer."""
    async with CommitProxy(postgresql_url) as proxy, served(proxy.url) as service:
        await service.create()
        await service.append("first", request_id="r1")
        proxy.break_next_commit(arrives=arrives)
        failed = await failure_of(service.append("second", request_id="r2"))
        assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "COMMIT_UNKNOWN")
        assert await service.sequences() == ([1, 2] if arrives else [1])
        repeated = await service.append("second", request_id="r2")
        assert [entry.sequence for entry in repeated.messages] == [2]
        assert repeated.duplicate is arrives
        assert await service.sequences() == [1, 2]


async def test_all_connections_killed_at_once_cost_no_call(
    postgresql_url: str, postgresql_server: PostgreSQLServer, patient_storage: None
) -> None:
    async with served(postgresql_url) as service:
        await service.create()
        for number in range(5):
            await asyncio.gather(*(service.append(f"{number} {index}") for index in range(8)))
            terminate(postgresql_server, "state = 'idle'")
            assert len(await service.sequences()) == 8 * (number + 1)


# ------------------------------------------------------------------------------------------- power


async def test_a_log_of_sessions_cut_or_garbled_anywhere_yields_the_whole_transactions_before(tmp_path: Path) -> None:
    """What a loss of power may leave of the write-ahead log. Each append is two messages and the session's counter."""
    file = tmp_path / "sessions.db"
    async with served(f"sqlite:///{file}") as service:
        await service.create()
        for number in range(40):
            await service.append(f"{number} question", f"{number} answer", request_id=str(number))
        data, log = file.read_bytes(), Path(f"{file}-wal").read_bytes()
    assert len(left_after_damage(tmp_path, data, log, count_messages)) > 20


async def test_a_log_of_prompts_and_models_cut_or_garbled_anywhere_yields_the_whole_transactions_before(
    tmp_path: Path,
) -> None:
    """A version comes with its event, a move of a label with its own, a model with all of its names."""
    file = tmp_path / "models.db"
    async with registries(f"sqlite:///{file}") as here:
        prompts = await prompt_registries.load(here.database)
        for number in range(1, 21):
            await prompts.register(prompt_registries.prompt(content=f"text {number}"))
            await prompt_registries.set_label(prompts, "production", number)
            await here.registry.register(model(f"model-{number}", aliases=[f"alias-{number}"]))
        data, log = file.read_bytes(), Path(f"{file}-wal").read_bytes()
    assert len(left_after_damage(tmp_path, data, log, count_prompts_and_models)) > 20


def left_after_damage(
    directory: Path, data: bytes, log: bytes, examine: Callable[[sqlite3.Connection], int]
) -> set[int]:
    """How much was left of the log after each damage, when what was left was whole."""
    chance = random.Random(7)
    copy = directory / "copy.db"
    left = set()
    for _ in range(CUTS):
        copy.write_bytes(data)
        Path(f"{copy}-wal").write_bytes(damage(log, chance))
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            upgraded = connection.execute("SELECT name FROM sqlite_master WHERE name IN ('appends', 'prompt_events')")
            left.add(examine(connection) if upgraded.fetchall() else 0)
    return left


def damage(log: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(log))
    if chance.random() < 0.5:
        return log[:place]
    damaged = bytearray(log)
    damaged[place] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def count_messages(connection: sqlite3.Connection) -> int:
    sequences = [row[0] for row in connection.execute("SELECT sequence FROM messages ORDER BY sequence")]
    counters = connection.execute("SELECT next_sequence FROM sessions").fetchall()
    appends = connection.execute("SELECT count(*) FROM appends").fetchone()[0]
    assert sequences == list(range(1, len(sequences) + 1))
    assert len(sequences) == 2 * appends
    assert counters in ([], [(len(sequences) + 1,)])
    return len(sequences)


def count_prompts_and_models(connection: sqlite3.Connection) -> int:
    versions = [row[0] for row in connection.execute("SELECT version FROM prompt_versions ORDER BY version")]
    events = connection.execute("SELECT type, version FROM prompt_events ORDER BY id").fetchall()
    labels = connection.execute("SELECT version FROM prompt_labels").fetchall()
    names = connection.execute("SELECT model, count(*) FROM registered_model_names GROUP BY model").fetchall()
    models = connection.execute("SELECT name FROM registered_models").fetchall()
    assert versions == list(range(1, len(versions) + 1))
    assert [version for kind, version in events if kind == REGISTERED] == versions
    assert labels == [(version,) for kind, version in events if kind != REGISTERED][-1:]
    assert sorted(names) == sorted((name, 2) for (name,) in models)
    assert len(versions) - len(models) in (0, 1)
    return len(events) + len(models)
