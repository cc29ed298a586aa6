"""Several gateways on one access database, and gateways whose database is away."""

from __future__ import annotations

import time

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from proto import access_pb2 as pb
from proto.identity_pb2 import LimitRule
from services.access import snapshot
from services.access.key_text import make_id, make_key
from services.access.snapshot import SnapshotKeeper
from services.shared import metric_names as names
from services.shared.errors import PlatformError
from services.shared.metrics import REGISTRY
from tests.services.access.gateways import AccessGateway, access_gateway, front, refused_within
from tests.support.errors import failure_of
from tests.support.postgresql import PostgreSQLServer

REVOKED_SECONDS = 1.0


@pytest.mark.usefixtures("patient_storage")
async def test_key_that_one_gateway_revokes_is_refused_by_all(postgresql_url: str) -> None:
    async with front(postgresql_url) as fronted, access_gateway(postgresql_url, fronted.models) as other:
        key, secret = await fronted.gateway.new_key()
        while not await other.accepts(secret):
            pass
        await fronted.gateway.call(pb.RevokeKeyRequest(key_id=key.id))
        assert not await fronted.gateway.accepts(secret)
        await refused_within(REVOKED_SECONDS, other, secret)
        assert (await other.refusal(("authorization", f"Bearer {secret}"))).reason == "KEY_REVOKED"


async def test_gateway_whose_database_is_away_goes_on_with_the_keys_that_it_knows(
    postgresql_server: PostgreSQLServer, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "CHECK_SECONDS", 0.05)
    async with front(postgresql_url, ACCESS_MAX_STALENESS="600") as fronted:
        gateway, unknown = fronted.gateway, make_key(make_id()).text
        key, secret = await gateway.new_key()
        assert not await gateway.accepts(unknown)
        postgresql_server.stop()
        while gateway.access.keeper.is_current:
            await gateway.accepts(secret)
        assert await gateway.accepts(secret)
        for text in (unknown, make_key(key.id).text):
            refused = await gateway.refusal(("authorization", f"Bearer {text}"))
            assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "AUTH_UNAVAILABLE")
            assert refused.retry_seconds
        assert (await gateway.refusal(("authorization", "Bearer gk_typo"))).reason == "KEY_INVALID"
        assert (await failure_of(gateway.call(pb.RevokeKeyRequest(key_id=key.id)))).code is grpc.StatusCode.UNAVAILABLE
        gateway.access.keeper._confirmed -= 601
        assert (await gateway.refusal(("authorization", f"Bearer {secret}"))).reason == "AUTH_UNAVAILABLE"
        postgresql_server.start()
        while not gateway.access.keeper.is_current:
            await gateway.refusal()
        assert await gateway.accepts(secret)
        assert not await gateway.accepts(unknown)


async def test_gateway_that_starts_without_its_database_knows_no_key(
    postgresql_server: PostgreSQLServer, postgresql_url: str
) -> None:
    async with front(postgresql_url) as fronted:
        secret = fronted.gateway.admin
        postgresql_server.stop()
        async with access_gateway(postgresql_url, fronted.models) as other:
            refused = await other.refusal(("authorization", f"Bearer {secret}"))
            assert refused.reason == "AUTH_UNAVAILABLE"
            postgresql_server.start()
            started = time.monotonic()
            while (await other.models(("authorization", f"Bearer {secret}")).code()) is not grpc.StatusCode.OK:
                assert time.monotonic() - started < 10


async def test_snapshot_takes_in_what_has_changed_and_nothing_else(
    gateway: AccessGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, secret = await gateway.new_key()
    before = gateway.access.keeper.snapshot.keys[key.id]
    other, _ = await gateway.new_key()
    after = gateway.access.keeper.snapshot.keys
    assert after[key.id] is before
    await gateway.call(pb.DisableKeyRequest(key_id=key.id))
    assert after[key.id] is not before
    # Beyond some changes all is read again.
    monkeypatch.setattr(snapshot, "MAX_CHANGED", 0)
    fresh = SnapshotKeeper(gateway.access.database, gateway.access.keeper._log)
    await fresh.update()
    await gateway.call(pb.EnableKeyRequest(key_id=key.id))
    await fresh.update()
    assert fresh.snapshot.keys.keys() == after.keys() >= {key.id, other.id}
    assert fresh.snapshot.keys[key.id].key == after[key.id].key
    assert await gateway.accepts(secret)


async def test_all_is_read_again_where_much_has_changed_or_the_database_is_an_older_one(
    gateway: AccessGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = LimitRule(id="mine", scope_kind="org", resource="tokens", window="min", amount=1)
    await gateway.call(pb.SetLimitRequest(limit=rule))
    key, _ = await gateway.new_key()
    snapshot_ = gateway.access.keeper.snapshot
    assert [each.id for each in snapshot_.keys[key.id].identity.limits] == ["mine"]
    monkeypatch.setattr(snapshot, "MAX_CHANGED", 0)
    await gateway.call(pb.DeleteLimitRequest(limit_id="mine"))
    assert not snapshot_.keys[key.id].identity.limits
    monkeypatch.undo()
    # An older database has fewer events, and not all of the keys.
    snapshot_.seq += 100
    snapshot_.keys["forgotten"] = snapshot_.keys[key.id]
    await gateway.access.keeper.update()
    assert "forgotten" not in snapshot_.keys
    assert key.id in snapshot_.keys


async def test_failed_update_leaves_the_snapshot_as_it_was(
    gateway: AccessGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = gateway.access.keeper
    keys = dict(keeper.snapshot.keys)

    async def fail(*_: object) -> None:
        raise PlatformError("away")

    monkeypatch.setattr(snapshot, "_read", fail)
    await gateway.call(pb.CreateTeamRequest(team=pb.Team(id="web")))
    assert keeper.snapshot.keys == keys
    assert not keeper.is_current
    monkeypatch.undo()
    await keeper.update()
    assert keeper.is_current


async def test_age_of_the_keys_and_those_that_expire_soon_are_measured(gateway: AccessGateway) -> None:
    soon = Timestamp(seconds=int(time.time()) + 10 * 24 * 3600)
    expiring, _ = await gateway.new_key(expires_at=soon)
    lasting, _ = await gateway.new_key()
    assert REGISTRY.get_sample_value(names.KEY_EXPIRES, {"key_id": expiring.id}) == soon.seconds
    assert REGISTRY.get_sample_value(names.KEY_EXPIRES, {"key_id": lasting.id}) is None
    age = REGISTRY.get_sample_value(names.ACCESS_SNAPSHOT_AGE)
    assert age is not None
    assert 0 <= age < snapshot.CHECK_SECONDS + 60
