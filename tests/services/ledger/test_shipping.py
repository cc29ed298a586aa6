"""From the outbox into the database: once each, whatever happens to files, database and processes."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from services.models.ledger import outbox as outbox_module
from services.models.ledger import store as store_module
from services.models.ledger.budgets import LedgerSpentSource
from services.models.ledger.ledger import Ledger
from services.models.ledger.metrics import reading_ledger
from services.models.ledger.outbox import Outbox
from services.models.ledger.records import (
    PROCESS_LOST,
    UNKNOWN,
    Kind,
    UsageRecord,
    encode_frame,
    encode_record,
    hash_end_user,
    read_frames,
)
from services.models.ledger.reports import Reports, UsageQuery
from services.models.ledger.rollups import OTHER, Sums
from services.models.ledger.segments import Segment, left_over
from services.models.ledger.spending import Scope, Spending, Spent
from services.models.ledger.store import Added, UsageStore
from services.models.limits.rules import Rule
from services.models.limits.spent_source import SpentQuery
from services.models.limits.windows import TOTAL, Span
from services.models.main import LEDGER_MIGRATIONS
from services.shared import metric_names as names
from services.shared.database import Database
from services.shared.errors import PlatformError, Unavailable
from services.shared.logs import LineWriter, Log
from services.shared.metrics import REGISTRY
from tests.support.databases import provide_behind
from tests.support.postgresql import PostgreSQLServer

LONG = UsageQuery(datetime(2000, 1, 1, tzinfo=UTC).date(), datetime(2100, 1, 1, tzinfo=UTC).date())


def record(call_id: str, **fields: Any) -> UsageRecord:
    defaults: dict[str, Any] = {"at": time.time(), "provider": "openai", "model_served": "gpt-4o", "input": 3}
    return UsageRecord(call_id=call_id, **defaults | {"output": 2, "cost_nano_usd": 10} | fields)


class Told:
    """A log that can be read."""

    def __init__(self) -> None:
        self._lines = io.BytesIO()
        self.log = Log(LineWriter(self._lines), "models", "info")

    def events(self) -> list[dict[str, Any]]:
        self.log.flush()
        return [json.loads(line) for line in self._lines.getvalue().splitlines()]


@contextlib.asynccontextmanager
async def opened(directory: Path, url: str, **options: Any) -> AsyncIterator[Ledger]:
    """A ledger whose background work does not run: a test ships by `flush`."""
    provide_behind(url, "ledger")
    told = options.pop("told", None) or Told()
    tag_keys, event_days = options.pop("tag_keys", ()), options.pop("event_days", 90)
    outbox = Outbox(directory / "usage", told.log, **{"max_bytes": 1024**3, **options})
    database = await Database.open(url, LEDGER_MIGRATIONS, told.log, announced=False)
    ledger = Ledger(outbox, UsageStore(database, tag_keys), told.log, event_days=event_days)
    try:
        yield ledger
    finally:
        await ledger.close()
        await database.close()


async def events(ledger: Ledger, columns: str = "call_id, status") -> list[tuple[Any, ...]]:
    async with ledger.store.database.read() as connection:
        rows = await connection.execute(text(f"SELECT {columns} FROM usage_events ORDER BY call_id"))
        return [tuple(row) for row in rows]


async def total(ledger: Ledger) -> Sums:
    return await Reports(ledger.store).total(LONG)


def files(directory: Path) -> list[Path]:
    return sorted((directory / "usage").glob("*.log"))


async def until(condition: Callable[[], bool]) -> None:
    """Waits until the background work has done something."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 nothing tells of it
            await asyncio.sleep(0.02)


def abandon(ledger: Ledger) -> None:
    """Loses the ledger's process, as far as its files go: their locks are released, and nothing is shipped."""
    box = ledger.outbox
    box._close_current()
    for segment, _ in box._closed:
        segment.close()
    box._closed.clear()
    box._closed_bytes = 0


# ------------------------------------------------------------------------------------------------------ once each


async def test_records_are_added_once_and_their_files_deleted(tmp_path: Path, database_url: str) -> None:
    async with opened(tmp_path, database_url) as ledger:
        for call_id in ("a", "b", "b"):
            await ledger.outbox.end(record(call_id))
        await ledger.flush()
        assert files(tmp_path) == []
        await ledger.outbox.end(record("a", input=1000))
        await ledger.outbox.end(record("c"))
        await ledger.flush()
        assert await events(ledger, "call_id, input") == [("a", 3), ("b", 3), ("c", 3)]
        assert (await total(ledger)).input == 9
        assert ledger.duplicates == 2


async def test_what_is_recorded_meanwhile_is_shipped_by_the_next(tmp_path: Path, sqlite_file: Path) -> None:
    async with opened(tmp_path, f"sqlite:///{sqlite_file}") as ledger:
        add, added = ledger.store.add, 0

        async def add_while_calls_end(records: Sequence[UsageRecord]) -> Added:
            nonlocal added
            added += 1
            await ledger.outbox.end(record(f"meanwhile-{added}"))
            return await add(records)

        await ledger.outbox.end(record("before"))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(ledger.store, "add", add_while_calls_end)
            async with asyncio.timeout(20):
                await ledger.flush()
        assert await events(ledger) == [("before", "OK")]
        await ledger.flush()
        assert await events(ledger) == [("before", "OK"), ("meanwhile-1", "OK")]


async def test_two_ledgers_share_directory_and_database(tmp_path: Path, database_url: str) -> None:
    async with opened(tmp_path, database_url) as one, opened(tmp_path, database_url) as other:
        for number in range(20):
            await (one, other)[number % 2].outbox.end(record(f"{number:02}"))
        # Neither takes files of the other, which runs.
        assert (one.outbox.adopt(), other.outbox.adopt()) == (0, 0)
        await asyncio.gather(one.flush(), other.flush())
        assert len(await events(one)) == (await total(one)).calls == 20


async def test_files_of_a_lost_process_are_shipped_first_and_by_one(tmp_path: Path, database_url: str) -> None:
    async with opened(tmp_path, database_url) as lost:
        lost.outbox.begin(record("running"))
        lost.outbox.begin(record("ended"))
        lost.outbox.begin(record("nothing-asked"))
        lost.outbox.void("nothing-asked")
        await lost.outbox.end(record("ended"))
        # The next file begins with the call that runs, and the first alone would not say that this one ended.
        lost.outbox._close_current()
        await lost.outbox.end(record("later"))
        abandon(lost)
        assert len(files(tmp_path)) == 2
        async with opened(tmp_path, database_url) as one, opened(tmp_path, database_url) as other:
            await one.outbox.end(record("new"))
            taken = [ledger.outbox.adopt() for ledger in (one, other)]
            assert taken == [2, 0]
            one.outbox.close_segment()
            segment = one.outbox.closed()[0]
            assert segment
            assert segment[0].path.name.endswith("-1.log")
            await one.flush()
            assert await events(one, "call_id, status, reason") == [
                ("ended", "OK", ""),
                ("later", "OK", ""),
                ("new", "OK", ""),
                ("running", UNKNOWN, PROCESS_LOST),
            ]
            assert (await total(one)).failed == 1
        assert files(tmp_path) == []


async def test_a_call_that_runs_while_others_are_shipped_is_not_lost(tmp_path: Path, sqlite_file: Path) -> None:
    url = f"sqlite:///{sqlite_file}"
    async with opened(tmp_path, url) as lost:
        lost.outbox.begin(record("running"))
        await lost.outbox.end(record("ended"))
        await lost.flush()
        abandon(lost)
        async with opened(tmp_path, url) as ledger:
            ledger.outbox.adopt()
            await ledger.flush()
            assert await events(ledger) == [("ended", "OK"), ("running", UNKNOWN)]


async def test_a_torn_end_is_skipped_and_counted(tmp_path: Path, database_url: str) -> None:
    async with opened(tmp_path, database_url) as lost:
        for call_id in ("a", "b"):
            await lost.outbox.end(record(call_id))
        abandon(lost)
        [file] = files(tmp_path)
        whole = file.read_bytes()
        frame = len(encode_frame(Kind.ENDED, encode_record(record("a"))))
        for size in (len(whole) - 1, len(whole) - frame + 4):
            file.write_bytes(whole[:size])
            async with opened(tmp_path, database_url) as ledger:
                ledger.outbox.adopt()
                await ledger.flush()
                assert await events(ledger) == [("a", "OK")]
                assert ledger.damaged == 1


async def test_a_damaged_file_is_kept_and_told_once(tmp_path: Path, database_url: str) -> None:
    async with opened(tmp_path, database_url) as lost:
        for call_id in ("a", "b", "c"):
            await lost.outbox.end(record(call_id))
        abandon(lost)
    [file] = files(tmp_path)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    told = Told()
    for starts in range(2):
        async with opened(tmp_path, database_url, told=told) as ledger:
            with reading_ledger(ledger):
                ledger.start()
                await ledger.outbox.end(record(f"d{starts}"))
                await ledger.flush()
                assert REGISTRY.get_sample_value(names.USAGE_DAMAGED) == (1 if starts == 0 else 0)
            assert ledger.outbox.bytes == 0
    kept = file.with_suffix(".damaged")
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]
    assert kept.read_bytes() == data
    [line] = [entry for entry in told.events() if "damaged" in entry["event"]]
    assert (line["level"], line["file"], line["places"]) == ("error", str(kept), 1)


async def test_a_record_that_is_none_holds_up_no_other(tmp_path: Path, sqlite_file: Path) -> None:
    url = f"sqlite:///{sqlite_file}"
    async with opened(tmp_path, url) as lost:
        await lost.outbox.end(record("a"))
        abandon(lost)
    [file] = files(tmp_path)
    with file.open("ab") as end:
        end.write(encode_frame(Kind.ENDED, b"none") + encode_frame(Kind.VOID, b"\xff"))
        end.write(encode_frame(Kind.ENDED, encode_record(record("b"))))
    async with opened(tmp_path, url) as ledger:
        ledger.outbox.adopt()
        await ledger.flush()
        assert await events(ledger) == [("a", "OK"), ("b", "OK")]
    assert file.with_suffix(".damaged").exists()


def test_zeros_and_garbage_hide_no_later_record() -> None:
    first, second = ((Kind.ENDED, encode_record(record(name))) for name in ("first", "second"))
    for damage in (bytes(4096), b"\xff" * 100, encode_frame(*first)[:-20], b"\x05\x00\x00\x00"):
        data = encode_frame(*first) + damage + encode_frame(*second)
        assert list(read_frames(data)) == [first, None, second]


async def test_a_damaged_record_hides_no_other(tmp_path: Path, database_url: str) -> None:
    async with opened(tmp_path, database_url) as lost:
        for call_id in ("a", "b", "c"):
            await lost.outbox.end(record(call_id))
        abandon(lost)
        [file] = files(tmp_path)
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        async with opened(tmp_path, database_url) as ledger:
            ledger.outbox.adopt()
            await ledger.flush()
            assert await events(ledger) == [("a", "OK"), ("c", "OK")]


async def test_a_record_that_the_database_refuses_is_kept_aside(tmp_path: Path, postgresql_url: str) -> None:
    told = Told()
    async with opened(tmp_path, postgresql_url, told=told) as ledger:
        for call_id in ("a", "b\0", "c"):
            await ledger.outbox.end(record(call_id))
        await ledger.flush()
        assert await events(ledger) == [("a", "OK"), ("c", "OK")]
        assert b"b\0" in (tmp_path / "usage" / "refused.records").read_bytes()
        assert files(tmp_path) == []
    assert "the database refuses a record of the ledger" in {entry["event"] for entry in told.events()}


# ------------------------------------------------------------------------------------------------ what is away


async def test_a_locked_database_is_waited_for(tmp_path: Path, sqlite_file: Path) -> None:
    async with opened(tmp_path, f"sqlite:///{sqlite_file}") as ledger:
        await ledger.outbox.end(record("a"))
        with contextlib.closing(sqlite3.connect(sqlite_file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(PlatformError, match="busy"):
                await ledger.flush()
            await ledger.outbox.end(record("b"))
        await ledger.flush()
        assert await events(ledger) == [("a", "OK"), ("b", "OK")]
        assert (await total(ledger)).calls == 2


async def test_a_stopped_database_is_waited_for(tmp_path: Path, postgresql_server: PostgreSQLServer) -> None:
    url = postgresql_server.new_url()
    told = Told()
    async with opened(tmp_path, url, told=told) as ledger:
        postgresql_server.stop()
        ledger.start()
        for number in range(3):
            await ledger.outbox.end(record(f"{number}"))
        await until(lambda: "the ledger waits for its database" in {entry["event"] for entry in told.events()})
        with reading_ledger(ledger):
            assert REGISTRY.get_sample_value(names.USAGE_OUTBOX_BYTES) == ledger.outbox.bytes > 0
            assert REGISTRY.get_sample_value(names.USAGE_OUTBOX_OLDEST, {}) > 0  # type: ignore[operator]
            assert REGISTRY.get_sample_value(names.USAGE_DUPLICATES) == 0
        postgresql_server.start()
        await until(lambda: not ledger.outbox.bytes)
        assert len(await events(ledger)) == (await total(ledger)).calls == 3


async def test_chats_are_refused_when_the_outbox_is_full(tmp_path: Path, sqlite_file: Path) -> None:
    async with opened(tmp_path, f"sqlite:///{sqlite_file}", max_bytes=2000) as ledger:
        while ledger.outbox.bytes < 2000:
            ledger.outbox.check_room()
            await ledger.outbox.end(record(f"{ledger.outbox.bytes}"))
        with pytest.raises(Unavailable) as refused:
            ledger.outbox.check_room()
        assert refused.value.reason == "LEDGER_FULL"
        # One that runs is recorded nevertheless.
        await ledger.outbox.end(record("last"))
        await ledger.flush()
        ledger.outbox.check_room()
        assert ("last", "OK") in await events(ledger)


async def test_a_large_outbox_is_in_several_files(
    tmp_path: Path, sqlite_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "SEGMENT_BYTES", 1000)
    async with opened(tmp_path, f"sqlite:///{sqlite_file}") as ledger:
        for number in range(123):
            ledger.outbox.begin(record(f"{number:03}"))
            await ledger.outbox.end(record(f"{number:03}"))
        assert len(files(tmp_path)) > 5
        await ledger.flush()
        assert len(await events(ledger)) == 123
        assert ledger.outbox.bytes == 0


async def test_a_disk_that_refuses_records_loses_none(
    tmp_path: Path, sqlite_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    async with opened(tmp_path, f"sqlite:///{sqlite_file}", told=told) as ledger:
        await ledger.outbox.end(record("a"))
        real_write = os.write

        def write_half(descriptor: int, data: bytes) -> int:
            return real_write(descriptor, data[: len(data) // 2])

        monkeypatch.setattr(os, "write", write_half)
        await ledger.outbox.end(record("b"))
        monkeypatch.setattr(outbox_module, "MAX_UNWRITTEN_BYTES", 1)
        with pytest.raises(Unavailable, match="cannot be recorded"):
            ledger.outbox.check_room()
        monkeypatch.setattr(os, "write", real_write)
        await ledger.outbox.end(record("c"))
        await ledger.flush()
        ledger.outbox.check_room()
        assert await events(ledger) == [("a", "OK"), ("b", "OK"), ("c", "OK")]
        assert ledger.damaged == 0
    assert "the ledger's outbox cannot be written" in {entry["event"] for entry in told.events()}


async def test_records_are_on_the_disk_when_that_is_asked_for(
    tmp_path: Path, sqlite_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real_sync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: (synced.append(descriptor), real_sync(descriptor)))
    async with opened(tmp_path, f"sqlite:///{sqlite_file}", syncs=True) as ledger:
        await asyncio.gather(*(ledger.outbox.end(record(f"{number}")) for number in range(10)))
        # Those that were written while the disk was busy have waited together.
        assert 1 <= len(synced) < 10
        await ledger.outbox.end(record("last"))
        assert len(synced) >= 2


def test_only_one_takes_a_file_over(tmp_path: Path) -> None:
    path = tmp_path / "1-1-1.log"
    segment = Segment.create(path)
    assert Segment.adopt(path) is None
    segment.close()
    adopted = Segment.adopt(path)
    assert adopted
    assert Segment.adopt(path) is None
    adopted.delete()
    assert Segment.adopt(path) is None


def test_files_that_were_never_locked_are_deleted(tmp_path: Path) -> None:
    new, old = tmp_path / "2-2-1.new", tmp_path / "1-1-1.new"
    new.touch()
    old.touch()
    os.utime(old, (0, 0))
    assert list(left_over(tmp_path, frozenset())) == []
    assert list(tmp_path.iterdir()) == [new]


# ------------------------------------------------------------------------------------------------------- sums

ids = st.sampled_from(["", "a", "b"])
records = st.builds(
    record,
    call_id=st.uuids().map(str),
    at=st.floats(1.76e9, 1.77e9),
    project_id=ids,
    key_id=ids,
    user_id=ids,
    model_served=ids,
    tags=st.dictionaries(st.sampled_from(["customer", "other"]), st.sampled_from("xyz")),
    input=st.integers(0, 10**6),
    output=st.integers(0, 10**6),
    cost_nano_usd=st.none() | st.integers(0, 10**12),
    status=st.sampled_from(["OK", "CANCELLED", "UNAVAILABLE"]),
)


@given(history=st.lists(records, max_size=20), cuts=st.lists(st.integers(0, 20), max_size=3))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_rollups_are_the_sums_of_the_events(
    tmp_path_factory: pytest.TempPathFactory, history: list[UsageRecord], cuts: list[int]
) -> None:
    directory = tmp_path_factory.mktemp("ledger")
    async with opened(directory, f"sqlite:///{directory / 'usage.db'}", tag_keys=["customer"]) as ledger:
        for place, each in enumerate(history):
            await ledger.outbox.end(each)
            if place in cuts:
                await ledger.flush()
                await ledger.outbox.end(each)
        await ledger.flush()
        reports = Reports(ledger.store)
        for query in (LONG._replace(group_by=("day", "project", "model")), LONG):
            rows = {row.groups: row.sums for row in [row async for row in reports.all_rows(query)]}
            assert {groups: sums for groups, sums in rows.items() if sums.calls} == summed(history, query)
        tagged = LONG._replace(group_by=("tag",), tag_key="customer")
        rows = {row.groups: row.sums for row in [row async for row in reports.all_rows(tagged)]}
        assert rows == summed([each for each in history if "customer" in each.tags], tagged)


def summed(history: list[UsageRecord], query: UsageQuery) -> dict[tuple[str, ...], Sums]:
    """The sums of a history, by the values of the groups."""
    values = {
        "day": lambda each: datetime.fromtimestamp(each.at, UTC).date().isoformat(),
        "project": lambda each: each.project_id,
        "model": lambda each: each.model_served,
        "tag": lambda each: each.tags["customer"],
    }
    found: dict[tuple[str, ...], Sums] = defaultdict(Sums)
    for each in history:
        sums = found[tuple(values[group](each) for group in query.group_by)]
        sums.calls += 1
        sums.failed += each.status != "OK"
        sums.input += each.input
        sums.output += each.output
        sums.cache_read += each.cache_read
        sums.reasoning += each.reasoning
        sums.cost_nano_usd += each.cost_nano_usd or 0
        sums.unpriced_calls += each.cost_nano_usd is None
    return found


async def test_values_of_a_tag_beyond_a_number_are_counted_together(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MAX_TAG_VALUES", 2)
    async with (
        opened(tmp_path, database_url, tag_keys=["customer"]) as one,
        opened(tmp_path, database_url, tag_keys=["customer"]) as other,
    ):
        for number, (ledger, value) in enumerate([(one, "a"), (other, "b"), (one, "c"), (other, "a"), (one, "d")]):
            await ledger.outbox.end(record(f"{number}", tags={"customer": value}))
            await ledger.flush()
        query = LONG._replace(group_by=("tag",), tag_key="customer")
        rows = [row async for row in Reports(one.store).all_rows(query)]
        assert {row.groups[0]: row.sums.calls for row in rows} == {"a": 2, "b": 1, OTHER: 2}


async def test_old_events_are_purged_and_rollups_stay(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "PURGE_BATCH", 2)
    async with opened(tmp_path, database_url, event_days=30) as ledger:
        now = time.time()
        for age in (0, 29, 31, 40, 50, 60, 70):
            await ledger.outbox.end(record(f"{age:02}", at=now - age * 24 * 3600))
        await ledger.flush()
        await ledger.purge()
        assert await events(ledger) == [("00", "OK"), ("29", "OK")]
        assert (await total(ledger)).calls == 7


async def test_what_a_limit_has_spent(tmp_path: Path, database_url: str) -> None:
    now = datetime(2026, 11, 30, 15, 30, tzinfo=UTC)
    async with opened(tmp_path, database_url) as ledger:
        for number, (hours, fields) in enumerate(
            [
                (0.1, {"project_id": "red", "end_user_hash": "u"}),
                (1, {"project_id": "red", "model_served": "claude-opus-5", "provider": "anthropic"}),
                (20, {"project_id": "red", "cost_nano_usd": None}),
                (100, {"project_id": "red"}),
                (0.1, {"project_id": "blue"}),
            ]
        ):
            at = (now - timedelta(hours=hours)).timestamp()
            await ledger.outbox.end(record(f"{number}", at=at, **fields))

        async def spent(*scope: str, model: str = "", hours: float | None = None) -> Spent:
            since = None if hours is None else now - timedelta(hours=hours)
            return await Spending(ledger).up_to_now(Scope(*scope, model_glob=model), since)

        midnight = 15.5
        assert await spent("project", "red") == Spent(4, 20, 30, 1)
        assert await spent("project", "red", hours=midnight) == Spent(2, 10, 20, 0)
        # A window that begins within a day: the events of its rest, and the days after it.
        assert await spent("project", "red", hours=21) == Spent(3, 15, 20, 1)
        assert await spent("project", "red", hours=0.5) == Spent(1, 5, 10, 0)
        assert await spent("org", hours=midnight) == Spent(3, 15, 30, 0)
        assert await spent("project", "red", model="claude*") == Spent(1, 5, 10, 0)
        assert await spent("project", "red", model="anthropic/*5") == Spent(1, 5, 10, 0)
        assert await spent("project", "red", model="opus") == Spent()
        assert await spent("end_user", "u", "red", hours=1) == Spent(1, 5, 10, 0)
        assert await spent("end_user", "u", "blue", hours=1) == Spent()


async def test_limits_load_their_budgets(tmp_path: Path, sqlite_file: Path) -> None:
    now = datetime(2026, 11, 30, 15, 30, tzinfo=UTC)
    today = Span("2026-11-30", int(now.replace(hour=0, minute=0).timestamp()) * 10**6, 2**62)
    async with opened(tmp_path, f"sqlite:///{sqlite_file}") as ledger:
        budgets = LedgerSpentSource(ledger)
        for hours in (0, 1, 20):
            at, user = now.timestamp() - hours * 3600, hash_end_user("anna")
            await ledger.outbox.end(record(f"{hours:02}", at=at, project_id="red", end_user_hash=user))

        async def spent(kind: Any, member: str, resource: Any, span: Span, project: str = "", glob: str = "*") -> int:
            rule = Rule("rule", kind, "*", resource, "day", 100, glob)
            return await budgets.spent(SpentQuery(rule, member, project, span))

        assert await spent("project", "red", "nano_usd", today) == 20
        assert await spent("project", "red", "tokens", TOTAL) == 15
        assert await spent("org", "", "requests", today) == 2
        assert await spent("project", "red", "requests", today, glob="openai/*") == 2
        assert await spent("end_user", "anna", "requests", today, "red") == 2
        assert await spent("end_user", "anna", "requests", today, "blue") == 0
