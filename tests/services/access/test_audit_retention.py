"""The retention of the audit log: old events are deleted, and those that are left can still be verified."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from proto import access_pb2 as pb
from services.access import audit_retention
from services.access.audit_retention import DAY_SECONDS, AuditRetention
from services.access.snapshot import Snapshot
from tests.services.access.gateways import AccessGateway, access_gateway, front
from tests.services.model_service import LOG

DAYS = 400


async def make_teams(gateway: AccessGateway, *names: str) -> None:
    for name in names:
        await gateway.call(pb.CreateTeamRequest(team=pb.Team(id=name)))


async def events_of(gateway: AccessGateway) -> list[pb.AuditEvent]:
    """All events, oldest first."""
    listed = await gateway.call(pb.ListAuditEventsRequest(page_size=500))
    return list(reversed(listed.events))


async def purge(gateway: AccessGateway, until: float) -> int:
    """Lets the retention work at the time when all that was written before `until` is too old."""
    retention = AuditRetention(gateway.access.database, DAYS, LOG, lambda: until + DAYS * DAY_SECONDS)
    return await retention.purge()


async def verified(gateway: AccessGateway) -> pb.VerifyAuditEventsResponse:
    answer: pb.VerifyAuditEventsResponse = await gateway.call(pb.VerifyAuditEventsRequest())
    return answer


@pytest.mark.parametrize("batch", [1000, 2], ids=["at once", "in batches"])
async def test_old_events_are_deleted_and_the_others_verified(
    database_url: str, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(audit_retention, "PURGE_BATCH", batch)
    async with front(database_url) as fronted:
        gateway = fronted.gateway
        await make_teams(gateway, "a", "b")
        cut = time.time()
        await make_teams(gateway, "c", "d")
        before = await events_of(gateway)
        assert await purge(gateway, cut - 60) == 0
        assert await events_of(gateway) == before
        assert await purge(gateway, cut) == len(before) - 2
        after = await events_of(gateway)
        assert after[:2] == before[-2:]
        purges = after[2:]
        assert {(event.action, event.actor_kind, event.reason) for event in purges} == {
            ("audit.purge", "gateway", "older than 400 days")
        }
        assert purges[-1].object_id == str(before[-3].seq)
        assert before[-3].hash in purges[-1].after_json
        found = await verified(gateway)
        assert (found.broken_seq, found.events, found.first_seq) == (0, len(after), before[-2].seq)
        assert found.head_hash == after[-1].hash
        assert await purge(gateway, cut) == 0
        # Once more, with the events that say so.
        await make_teams(gateway, "e")
        assert await purge(gateway, time.time() + 1) == len(after) + 1
        left = await events_of(gateway)
        assert {event.action for event in left} == {"audit.purge"}
        assert (await verified(gateway)).broken_seq == 0


async def test_nothing_else_is_deleted(database_url: str) -> None:
    async with front(database_url) as fronted:
        gateway, database = fronted.gateway, fronted.gateway.access.database
        await make_teams(gateway, "a")
        cut = time.time()
        await make_teams(gateway, "b", "c")
        await purge(gateway, cut)
        [first, *_] = await events_of(gateway)
        for seq in (first.seq, first.seq + 1):
            with pytest.raises(DBAPIError, match="audit events are never changed"):
                async with database.write() as connection:
                    await connection.execute(text(f"DELETE FROM audit_events WHERE seq <= {seq}"))
        assert (await verified(gateway)).broken_seq == 0


@pytest.mark.parametrize("was_purged", [False, True])
async def test_beginning_that_is_missing_without_a_word_is_noticed(gateway: AccessGateway, was_purged: bool) -> None:
    await make_teams(gateway, "a")
    cut = time.time()
    await make_teams(gateway, "b", "c")
    if was_purged:
        await purge(gateway, cut)
    [first, *_] = await events_of(gateway)
    async with gateway.access.database.write() as connection:
        await connection.execute(text("DROP TRIGGER audit_events_no_delete"))
        await connection.execute(text(f"DELETE FROM audit_events WHERE seq = {first.seq}"))
    found = await verified(gateway)
    assert (found.broken_seq, found.events) == (first.seq, 0)


async def test_snapshot_that_has_missed_deleted_events_is_read_anew(gateway: AccessGateway) -> None:
    snapshot, database = Snapshot(), gateway.access.database
    async with database.read() as connection:
        await snapshot.update(connection)
    key, _ = await gateway.new_key()
    assert key.id not in snapshot.keys
    await purge(gateway, time.time() + 1)
    async with database.read() as connection:
        await snapshot.update(connection)
    assert key.id in snapshot.keys


async def test_gateway_deletes_by_itself_unless_all_is_to_be_kept(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if all days were over.
    monkeypatch.setattr(audit_retention, "DAY_SECONDS", 0.0)
    async with front(postgresql_url, AUDIT_RETENTION_DAYS="0") as fronted:
        before = await events_of(fronted.gateway)
        assert "audit.purge" not in {event.action for event in before}
        async with access_gateway(postgresql_url, fronted.models, AUDIT_RETENTION_DAYS="1"):
            deadline = time.monotonic() + 10
            while before[0] in await events_of(fronted.gateway):
                assert time.monotonic() < deadline
        assert (await verified(fronted.gateway)).first_seq > 1
