"""The Access Service: what it takes, what it refuses by field, and what its audit log tells."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from proto import access_pb2 as pb
from proto.identity_pb2 import LimitRule
from services.access.servicer import SERVICE
from services.access.validation import SCOPES
from services.gateway.routes import MODEL_SERVICE, SESSION_SERVICE
from services.shared.database import Database
from services.shared.identity import ANY_SCOPE, scope_of
from tests.rows import row
from tests.services.access.gateways import AccessGateway, Front, front
from tests.support.errors import Failure, failure_of

ROOT = Path(__file__).resolve().parents[3]

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

DAY = 24 * 3600


def at(seconds: float) -> Timestamp:
    return Timestamp(seconds=int(time.time() + seconds))


def limit(**fields: Any) -> pb.SetLimitRequest:
    rule = {"scope_kind": "org", "resource": "tokens", "window": "min", "amount": 100}
    return pb.SetLimitRequest(limit=LimitRule(**(rule | fields)))


def mask(*paths: str) -> FieldMask:
    return FieldMask(paths=paths)


def test_scopes_of_keys_are_those_of_the_methods() -> None:
    needed = {scope_of(each) for service in (MODEL_SERVICE, SESSION_SERVICE, SERVICE) for each in service.methods}
    assert needed - {ANY_SCOPE} <= set(SCOPES)
    for document in ("proto/access.proto", "README.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        assert [scope for scope in SCOPES if f"`{scope}`" not in text] == []


async def test_records_are_created_listed_in_pages_and_changed(gateway: AccessGateway) -> None:
    for name in ("web", "app", "ops"):
        await gateway.call(pb.CreateTeamRequest(team=pb.Team(id=name)))
    first = await gateway.call(pb.ListTeamsRequest(page_size=2))
    second = await gateway.call(pb.ListTeamsRequest(page_size=2, page_token=first.next_page_token))
    assert [team.id for team in (*first.teams, *second.teams)] == ["app", "default", "ops", "web"]
    assert not second.next_page_token
    await gateway.call(pb.CreateProjectRequest(project=pb.Project(id="shop", team_id="web", model_globs=["gpt-*"])))
    changed = await gateway.call(
        pb.UpdateProjectRequest(
            project=pb.Project(id="shop", name="The shop", capture="sample:0.01"), update_mask=mask("name", "capture")
        )
    )
    assert (changed.name, changed.team_id, list(changed.model_globs)) == ("The shop", "web", ["gpt-*"])
    listed = await gateway.call(pb.ListProjectsRequest(team_id="web"))
    assert list(listed.projects) == [changed]
    await gateway.call(pb.CreateUserRequest(user=pb.User(id="anna@example.com", team_id="web")))
    key, _ = await gateway.new_key(project_id="shop", user_id="anna@example.com", model_globs=["gpt-4*"])
    assert [each.id for each in (await gateway.call(pb.ListKeysRequest(user_id="anna@example.com"))).keys] == [key.id]
    renamed = await gateway.call(pb.UpdateKeyRequest(key=pb.ApiKey(id=key.id, name="new"), update_mask=mask("name")))
    assert (renamed.name, list(renamed.model_globs)) == ("new", ["gpt-4*"])
    assert await gateway.call(pb.GetKeyRequest(key_id=key.id)) == renamed


async def test_wrong_field_is_named(gateway: AccessGateway) -> None:
    team, project, user, key = pb.CreateTeamRequest, pb.CreateProjectRequest, pb.CreateUserRequest, pb.CreateKeyRequest
    of_default: dict[str, Any] = {"name": "test", "project_id": "default"}
    for request, field in (
        (team(), "team.id"),
        (team(team=pb.Team(id="Upper")), "team.id"),
        (team(team=pb.Team(id="x" * 65)), "team.id"),
        (team(team=pb.Team(id="x", name="x" * 129)), "team.name"),
        (team(team=pb.Team(id="x", name="a\u202eb")), "team.name"),
        (team(team=pb.Team(id="x"), reason="x" * 1025), "reason"),
        (project(project=pb.Project(id="x")), "project.team_id"),
        (project(project=pb.Project(id="x", team_id="nobody")), "project.team_id"),
        (project(project=pb.Project(id="x", team_id="default", model_globs=["a b"])), "project.model_globs[0]"),
        (project(project=pb.Project(id="x", team_id="default", model_globs=["a"] * 65)), "project.model_globs"),
        (project(project=pb.Project(id="x", team_id="default", capture="some")), "project.capture"),
        (project(project=pb.Project(id="x", team_id="default", required_tags=["\u200d"])), "project.required_tags[0]"),
        (user(user=pb.User(id="x", role="king")), "user.role"),
        (user(user=pb.User(id="x", team_id="nobody")), "user.team_id"),
        (key(key=pb.ApiKey(project_id="default")), "key.name"),
        (key(key=pb.ApiKey(name="x")), "key.project_id"),
        (key(key=pb.ApiKey(**of_default, user_id="nobody")), "key.user_id"),
        (key(key=pb.ApiKey(**of_default, scopes=["generate", "all"])), "key.scopes[1]"),
        (key(key=pb.ApiKey(**of_default, scopes=["admin", "admin"])), "key.scopes[1]"),
        (key(key=pb.ApiKey(**of_default, cidrs=["10.0.0.1/8"])), "key.cidrs[0]"),
        (key(key=pb.ApiKey(**of_default, fixed_tags={"": "x"})), "key.fixed_tags"),
        (key(key=pb.ApiKey(**of_default, required_tags=["a", ""])), "key.required_tags[1]"),
        (key(key=pb.ApiKey(**of_default, required_tags=["a", "a"])), "key.required_tags[1]"),
        (key(key=pb.ApiKey(**of_default, required_tags=list("abcdefghi"))), "key.required_tags"),
        (key(key=pb.ApiKey(**of_default, expires_at=at(-1))), "key.expires_at"),
        (key(key=pb.ApiKey(**of_default, expires_at=at(366 * DAY))), "key.expires_at"),
        (key(key=pb.ApiKey(**of_default, expires_at=Timestamp(seconds=2**40))), "key.expires_at"),
        (limit(scope_kind="planet"), "limit.scope_kind"),
        (limit(scope_kind="team"), "limit.scope_id"),
        (limit(scope_kind="team", scope_id="nobody"), "limit.scope_id"),
        (limit(resource="nano_usd"), "limit.window"),
        (limit(resource="concurrent"), "limit.window"),
        (limit(amount=-1), "limit.amount"),
        (limit(window="day", burst=5), "limit.burst"),
        (limit(soft_percents=[0]), "limit.soft_percents"),
        (limit(action="shout"), "limit.action"),
        (limit(scope_kind="end_user", scope_id="é" * 65), "limit.scope_id"),
        (key(key=pb.ApiKey(**of_default, model_globs=["é" * 250] * 5)), "key.model_globs"),
        (pb.SetBindingRequest(binding=pb.Binding(issuer="i", claim="c", project_id="default")), "binding.value"),
        (pb.UpdateTeamRequest(team=pb.Team(id="default")), "update_mask"),
        (pb.UpdateTeamRequest(team=pb.Team(id="default"), update_mask=mask("id")), "update_mask"),
        (pb.ListTeamsRequest(page_size=-1), "page_size"),
        (pb.ListAuditEventsRequest(page_token="x"), "page_token"),
        (pb.RotateKeyRequest(key_id="x", grace=Duration(seconds=31 * DAY)), "grace"),
    ):
        with row(type(request).__name__, field):
            failure: Failure = await failure_of(gateway.call(request))
            assert (failure.code, list(failure.fields)) == (INVALID, [field])
    events = await gateway.call(pb.ListAuditEventsRequest())
    assert {event.actor_kind for event in events.events} == {"cli"}


async def test_what_does_not_exist_or_exists_is_named(gateway: AccessGateway) -> None:
    for request, reason in (
        (pb.CreateTeamRequest(team=pb.Team(id="default")), "TEAM_ALREADY_EXISTS"),
        (pb.UpdateTeamRequest(team=pb.Team(id="nobody"), update_mask=mask("name")), "TEAM_NOT_FOUND"),
        (pb.GetKeyRequest(key_id="nobody"), "KEY_NOT_FOUND"),
        (pb.RotateKeyRequest(key_id="nobody"), "KEY_NOT_FOUND"),
        (pb.DeleteLimitRequest(limit_id="nobody"), "LIMIT_NOT_FOUND"),
        (pb.DeleteBindingRequest(binding_id="nobody"), "BINDING_NOT_FOUND"),
    ):
        with row(reason):
            assert (await failure_of(gateway.call(request))).reason == reason


async def test_text_that_no_database_takes_is_no_id(database_url: str) -> None:
    async with front(database_url) as fronted:
        for request, code in (
            (pb.GetKeyRequest(key_id="a\0b"), grpc.StatusCode.NOT_FOUND),
            (pb.CreateProjectRequest(project=pb.Project(id="x", team_id="a\0b")), INVALID),
            (pb.ListKeysRequest(project_id="a\0b"), INVALID),
            (pb.ListAuditEventsRequest(actor_id="a\0b"), INVALID),
        ):
            with row(type(request).__name__):
                assert (await failure_of(fronted.gateway.call(request))).code is code


async def test_key_has_an_end_and_its_project_bounds_its_models(gateway: AccessGateway) -> None:
    key, _ = await gateway.new_key()
    lifetime = key.expires_at.ToSeconds() - time.time()
    assert 89.9 * DAY < lifetime < 90.1 * DAY
    rotated = (await gateway.call(pb.RotateKeyRequest(key_id=key.id))).key
    assert abs(rotated.expires_at.ToSeconds() - key.expires_at.ToSeconds()) < 60
    assert abs(rotated.previous_until.ToSeconds() - time.time() - DAY) < 60
    narrow = pb.Project(id="default", model_globs=["gpt-*"])
    await gateway.call(pb.UpdateProjectRequest(project=narrow, update_mask=mask("model_globs")))
    request = pb.CreateKeyRequest(key=pb.ApiKey(name="x", project_id="default", model_globs=["gpt-4o", "claude-*"]))
    assert list((await failure_of(gateway.call(request))).fields) == ["key.model_globs[1]"]


async def test_revoked_key_cannot_be_changed(gateway: AccessGateway) -> None:
    key, _ = await gateway.new_key()
    await gateway.call(pb.RevokeKeyRequest(key_id=key.id))
    await gateway.call(pb.RevokeKeyRequest(key_id=key.id))
    for request in (
        pb.EnableKeyRequest(key_id=key.id),
        pb.DisableKeyRequest(key_id=key.id),
        pb.RotateKeyRequest(key_id=key.id),
        pb.UpdateKeyRequest(key=pb.ApiKey(id=key.id, name="x"), update_mask=mask("name")),
    ):
        with row(type(request).__name__):
            failure = await failure_of(gateway.call(request))
            assert (failure.code, failure.reason) == (PRECONDITION, "KEY_REVOKED")


async def test_identity_carries_the_tags_that_are_required(fronted: Front) -> None:
    gateway = fronted.gateway
    project = pb.Project(id="shop", team_id="default", required_tags=["cost_center"])
    await gateway.call(pb.CreateProjectRequest(project=project))
    key, secret = await gateway.new_key(project_id="shop", required_tags=["app", "cost_center"])
    await gateway.models(("authorization", f"Bearer {secret}"))
    assert list(fronted.recorder.identity().required_tags) == ["cost_center", "app"]
    changes = (
        pb.UpdateKeyRequest(key=pb.ApiKey(id=key.id), update_mask=mask("required_tags")),
        pb.UpdateProjectRequest(
            project=pb.Project(id="shop", required_tags=["team"]), update_mask=mask("required_tags")
        ),
    )
    for change in changes:
        await gateway.call(change)
    await gateway.models(("authorization", f"Bearer {secret}"))
    assert list(fronted.recorder.identity().required_tags) == ["team"]


async def test_identity_carries_the_limits_that_apply(fronted: Front) -> None:
    gateway = fronted.gateway
    await gateway.call(pb.CreateTeamRequest(team=pb.Team(id="web")))
    await gateway.call(pb.CreateProjectRequest(project=pb.Project(id="shop", team_id="web")))
    key, secret = await gateway.new_key(project_id="shop")
    other, _ = await gateway.new_key()
    for name, fields in {
        "org": {},
        "team": {"scope_kind": "team", "scope_id": "web"},
        "teams": {"scope_kind": "team", "scope_id": "*"},
        "project": {"scope_kind": "project", "scope_id": "shop"},
        "key": {"scope_kind": "key", "scope_id": key.id},
        "end-users": {"scope_kind": "end_user", "scope_id": "*"},
        "others": {"scope_kind": "project", "scope_id": "default"},
        "other": {"scope_kind": "key", "scope_id": other.id},
        "users": {"scope_kind": "user", "scope_id": "*"},
    }.items():
        await gateway.call(limit(id=name, **fields))
    assert await gateway.accepts(secret)
    carried = [rule.id for rule in fronted.recorder.identity().limits]
    assert carried == ["org", "team", "teams", "project", "key", "end-users"]
    await gateway.call(limit(id="team", scope_kind="team", scope_id="web", amount=7))
    await gateway.call(pb.DeleteLimitRequest(limit_id="org"))
    assert await gateway.accepts(secret)
    rules = {rule.id: rule.amount for rule in fronted.recorder.identity().limits}
    assert (rules["team"], "org" in rules) == (7, False)
    listed = await gateway.call(pb.ListLimitsRequest(scope_kind="team", scope_id="*"))
    assert [rule.id for rule in listed.limits] == ["teams"]


async def test_more_limits_than_an_identity_carries_are_refused(gateway: AccessGateway) -> None:
    for number in range(16):
        await gateway.call(limit(id=f"limit-{number}"))
    for request in (
        limit(id="one-more", scope_kind="project", scope_id="default"),
        limit(id="one-more", scope_kind="key", scope_id="*"),
    ):
        failure = await failure_of(gateway.call(request))
        assert (failure.code, failure.reason, failure.metadata["limits"]) == (PRECONDITION, "LIMITS_TOO_MANY", "17")
    # It applies to no key yet.
    await gateway.call(pb.CreateProjectRequest(project=pb.Project(id="shop", team_id="default")))
    await gateway.call(limit(id="one-more", scope_kind="project", scope_id="shop"))
    refused = await failure_of(gateway.call(pb.CreateKeyRequest(key=pb.ApiKey(name="x", project_id="shop"))))
    assert refused.reason == "LIMITS_TOO_MANY"
    assert "one-more" in [rule.id for rule in (await gateway.call(pb.ListLimitsRequest())).limits]


async def test_binding_is_set_listed_and_deleted(gateway: AccessGateway) -> None:
    given = pb.Binding(issuer="https://login.example", claim="groups", value="search", project_id="default")
    made = await gateway.call(pb.SetBindingRequest(binding=given))
    assert "generate" in made.scopes
    assert gateway.access.keeper.snapshot.bindings[made.id] == made
    listed = await gateway.call(pb.ListBindingsRequest(project_id="default"))
    assert list(listed.bindings) == [made]
    await gateway.call(pb.DeleteBindingRequest(binding_id=made.id))
    assert not gateway.access.keeper.snapshot.bindings


async def test_every_change_is_in_the_audit_log_without_a_secret(gateway: AccessGateway) -> None:
    request = pb.CreateKeyRequest(key=pb.ApiKey(name="app", project_id="default"), reason="for the app")
    made = await gateway.call(request, **{"x-request-id": "my-request"})
    rotated = await gateway.call(pb.RotateKeyRequest(key_id=made.key.id))
    await gateway.call(pb.RevokeKeyRequest(key_id=made.key.id))
    events = (await gateway.call(pb.ListAuditEventsRequest(object_id=made.key.id))).events
    assert [event.action for event in events] == ["key.revoke", "key.rotate", "key.create"]
    created, revoked = events[2], events[0]
    assert (created.reason, created.request_id, created.before_json) == ("for the app", "my-request", "")
    assert (created.actor_kind, created.actor_id) == ("key", gateway.admin[3:15])
    assert created.source_ip == "127.0.0.1"
    assert "STATE_ACTIVE" in revoked.before_json
    assert "STATE_REVOKED" in revoked.after_json
    row = gateway.access.keeper.snapshot.keys[made.key.id]
    for secret in (made.secret, rotated.secret, row.hash.hex(), row.previous_hash.hex()):
        assert secret not in str(events)
    verified = await gateway.call(pb.VerifyAuditEventsRequest())
    assert (verified.broken_seq, verified.events, verified.head_hash) == (0, events[0].seq, events[0].hash)


@pytest.mark.parametrize(
    "change", ["UPDATE audit_events SET reason = 'mine' WHERE seq = 2", "DELETE FROM audit_events"]
)
async def test_audit_events_cannot_be_changed(database_url: str, change: str) -> None:
    async with front(database_url) as fronted:
        database: Database = fronted.gateway.access.database
        with pytest.raises(DBAPIError, match="audit events are never changed"):
            async with database.write() as connection:
                await connection.execute(text(change))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_events SET reason = 'mine' WHERE seq = 2",
        "UPDATE audit_events SET hash = previous_hash WHERE seq = 2",
        "DELETE FROM audit_events WHERE seq = 2",
    ],
)
async def test_change_behind_the_triggers_is_noticed(gateway: AccessGateway, change: str) -> None:
    async with gateway.access.database.write() as connection:
        for trigger in ("audit_events_no_update", "audit_events_no_delete"):
            await connection.execute(text(f"DROP TRIGGER {trigger}"))
        await connection.execute(text(change))
    assert (await gateway.call(pb.VerifyAuditEventsRequest())).broken_seq == 2
