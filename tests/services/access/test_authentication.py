"""Authentication at the gateway: whose calls go on, with which identity, and what the others are told."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import grpc
import msgspec
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from proto import access_pb2 as pb
from proto.identity_pb2 import CallerIdentity
from services.access import authentication
from services.access.key_text import make_id, make_key
from services.access.servicer import SERVICE
from services.gateway.routes import MODEL_SERVICE, SESSION_SERVICE
from services.shared.identity import ANY_SCOPE, IdentitySigner, scope_of
from services.shared.metadata import IDENTITY_KEY
from tests.rows import row
from tests.services.access.gateways import AccessGateway, Recorder
from tests.services.gateway.gateways import error_of
from tests.support.errors import failure_of, reason_in

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


def bearer(key: str) -> tuple[str, str]:
    return "authorization", f"Bearer {key}"


async def test_key_is_replaced_by_the_signed_identity_of_its_caller(gateway: AccessGateway, recorder: Recorder) -> None:
    key, secret = await gateway.new_key(fixed_tags={"app": "search"}, model_globs=["gpt-*"])
    for credential in (bearer(secret), ("authorization", f"bearer {secret}"), ("x-api-key", secret)):
        with row(credential[0]):
            await gateway.models(credential, ("traceparent", "00-1"))
            identity = recorder.identity()
            assert (identity.key_id, identity.team_id, identity.project_id) == (key.id, "default", "default")
            assert identity.method == CallerIdentity.METHOD_API_KEY
            assert list(identity.scopes) == ["generate", "models.read", "prompts.read", "sessions", "usage.read"]
            assert (list(identity.model_globs), dict(identity.tags)) == (["gpt-*"], {"app": "search"})
            assert "traceparent" in recorder.names()
            assert not {"authorization", "x-api-key"} & set(recorder.names())
            assert secret not in str(recorder.received)
    assert secret.encode() not in gateway.log.getvalue()


async def test_identity_that_a_caller_sends_never_arrives(gateway: AccessGateway, recorder: Recorder) -> None:
    key, secret = await gateway.new_key()
    forged = IdentitySigner([b"k" * 32]).sign(CallerIdentity(key_id="forged", scopes=["admin"]))
    await gateway.models(bearer(secret), (IDENTITY_KEY, forged), ("x-genai-caller", "ipv4:10.0.0.1:1"))
    assert recorder.identity().key_id == key.id
    assert recorder.names().count("x-genai-caller") == 1
    refused = await gateway.refusal((IDENTITY_KEY, forged))
    assert (refused.code, refused.reason) == (UNAUTHENTICATED, "KEY_MISSING")


async def test_call_without_a_valid_key_is_refused(gateway: AccessGateway, recorder: Recorder) -> None:
    key, secret = await gateway.new_key()
    typo = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    for credentials, reason, words in (
        ([], "KEY_MISSING", "authorization: Bearer"),
        ([bearer("")], "KEY_INVALID", "typo"),
        ([("authorization", "Basic YTpi")], "KEY_INVALID", "typo"),
        ([bearer(typo)], "KEY_INVALID", "typo"),
        ([bearer(secret[:40])], "KEY_INVALID", "typo"),
        ([bearer(make_key(make_id()).text)], "KEY_INVALID", "no such"),
        ([bearer(make_key(key.id).text)], "KEY_INVALID", "no such"),
        ([bearer(secret), ("x-api-key", gateway.admin)], "KEY_INVALID", "several"),
    ):
        with row(credentials, reason):
            refused = await gateway.refusal(*credentials)
            assert (refused.code, refused.reason, refused.metadata) == (UNAUTHENTICATED, reason, {})
            assert words in refused.message
            assert secret[17:] not in refused.message
    assert not recorder.received


async def test_state_of_a_key_is_told_to_those_who_have_it(gateway: AccessGateway) -> None:
    soon = Timestamp()
    soon.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    key, secret = await gateway.new_key(expires_at=soon)
    other = bearer(make_key(key.id).text)

    async def refused(reason: str) -> None:
        failure = await gateway.refusal(bearer(secret))
        assert (failure.code, failure.reason, failure.metadata) == (UNAUTHENTICATED, reason, {"key_id": key.id})
        assert (await gateway.refusal(other)).reason == "KEY_INVALID"

    await gateway.call(pb.DisableKeyRequest(key_id=key.id))
    await refused("KEY_DISABLED")
    await gateway.call(pb.EnableKeyRequest(key_id=key.id))
    assert await gateway.accepts(secret)
    gateway.access.authenticator._now = lambda: time.time() + 3601
    await refused("KEY_EXPIRED")
    gateway.access.authenticator._now = time.time
    await gateway.call(pb.RevokeKeyRequest(key_id=key.id))
    await refused("KEY_REVOKED")


async def test_rotated_key_is_accepted_until_its_grace_ends(gateway: AccessGateway) -> None:
    key, first = await gateway.new_key()
    second = (await gateway.call(pb.RotateKeyRequest(key_id=key.id, grace=Duration(seconds=3600)))).secret
    assert await gateway.accepts(first)
    assert await gateway.accepts(second)
    gateway.access.authenticator._now = lambda: time.time() + 3601
    assert await gateway.accepts(second)
    assert (await gateway.refusal(bearer(first))).reason == "KEY_EXPIRED"
    gateway.access.authenticator._now = time.time
    third = (await gateway.call(pb.RotateKeyRequest(key_id=key.id, grace=Duration()))).secret
    assert await gateway.accepts(third)
    assert (await gateway.refusal(bearer(second))).reason == "KEY_EXPIRED"
    # Only one secret before the newest is known.
    assert (await gateway.refusal(bearer(first))).reason == "KEY_INVALID"


async def test_disabled_team_project_or_user_refuses_its_keys(gateway: AccessGateway) -> None:
    await gateway.call(pb.CreateUserRequest(user=pb.User(id="anna")))
    _, secret = await gateway.new_key(user_id="anna")
    mask = FieldMask(paths=["disabled"])
    for on, off, kind in (
        (
            pb.UpdateUserRequest(user=pb.User(id="anna", disabled=True), update_mask=mask),
            pb.UpdateUserRequest(user=pb.User(id="anna"), update_mask=mask),
            "user anna",
        ),
    ):
        with row(kind):
            await gateway.call(on)
            refused = await gateway.refusal(bearer(secret))
            assert (refused.reason, kind in refused.message) == ("KEY_DISABLED", True)
            await gateway.call(off)
            assert await gateway.accepts(secret)
    await gateway.call(pb.CreateTeamRequest(team=pb.Team(id="web")))
    await gateway.call(pb.CreateProjectRequest(project=pb.Project(id="shop", team_id="web")))
    _, secret = await gateway.new_key(project_id="shop")
    for request, kind in (
        (pb.UpdateProjectRequest(project=pb.Project(id="shop", disabled=True), update_mask=mask), "project shop"),
        (pb.UpdateProjectRequest(project=pb.Project(id="shop"), update_mask=mask), ""),
        (pb.UpdateTeamRequest(team=pb.Team(id="web", disabled=True), update_mask=mask), "team web"),
        (pb.UpdateTeamRequest(team=pb.Team(id="web"), update_mask=mask), ""),
    ):
        with row(kind or "enabled"):
            await gateway.call(request)
            assert await gateway.accepts(secret) is not bool(kind)


async def test_key_of_networks_is_refused_from_elsewhere(gateway: AccessGateway) -> None:
    _, here = await gateway.new_key(cidrs=["10.0.0.0/8", "127.0.0.0/8"])
    _, elsewhere = await gateway.new_key(cidrs=["10.0.0.0/8", "2001:db8::/32"])
    assert await gateway.accepts(here)
    # What a caller says of its address counts for nothing.
    refused = await gateway.refusal(bearer(elsewhere), ("x-genai-caller", "ipv4:10.0.0.1:1"))
    assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NETWORK_NOT_ALLOWED")


@pytest.mark.parametrize(
    ("peer", "address"),
    [("ipv4:10.0.0.1:50000", "10.0.0.1"), ("ipv6:%5B::1%5D:50000", "::1"), ("ipv6:[::1]:50000", "::1"), ("unix:", "")],
)
def test_address_is_read_from_the_name_of_a_peer(peer: str, address: str) -> None:
    assert authentication.address_of(peer) == address


async def test_every_method_needs_its_scope_before_it_is_forwarded(gateway: AccessGateway, recorder: Recorder) -> None:
    """Sessions are not behind this gateway: who is refused at the gateway is told so all the same."""
    for service in (MODEL_SERVICE, SESSION_SERVICE, SERVICE):
        for method in service.methods:
            scope, path = scope_of(method), f"/{service.full_name}/{method.name}"
            if scope == ANY_SCOPE:
                continue
            with row(path):
                others = {scope_of(each) for each in MODEL_SERVICE.methods} - {scope}
                entry = gateway.access.keeper.snapshot.keys[gateway.admin[3:15]]
                entry._identity = msgspec.structs.replace(entry.identity, scopes=frozenset(others))
                stream = gateway.channel.unary_stream(path)(b"", metadata=[bearer(gateway.admin)])
                refused = await failure_of(stream.read())
                assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
                assert refused.metadata["scope"] == scope
    assert not recorder.received


async def test_every_caller_may_ask_who_it_is(gateway: AccessGateway) -> None:
    key, secret = await gateway.new_key(scopes=["generate"])
    answer = await gateway.call(pb.WhoAmIRequest(), secret)
    assert (answer.identity.key_id, answer.expires_at) == (key.id, key.expires_at)
    assert (await failure_of(gateway.call(pb.WhoAmIRequest(), ""))).reason == "KEY_INVALID"


async def test_last_use_is_stored(gateway: AccessGateway) -> None:
    key, secret = await gateway.new_key()
    before = time.time()
    await gateway.accepts(secret)
    await gateway.access.last_used.store()
    stored = await gateway.call(pb.GetKeyRequest(key_id=key.id))
    assert before - 1 <= stored.last_used_at.ToMicroseconds() / 1e6 <= time.time()


async def test_health_is_for_all_and_reflection_for_those_with_a_key(gateway: AccessGateway) -> None:
    health = health_pb2_grpc.HealthStub(gateway.channel)
    for service in ("", SERVICE.full_name):
        assert await health.Check(health_pb2.HealthCheckRequest(service=service))
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    reflect = reflection_pb2_grpc.ServerReflectionStub(gateway.channel).ServerReflectionInfo
    [answer] = [each async for each in reflect(iter([question]), metadata=[bearer(gateway.admin)])]
    assert SERVICE.full_name in [each.name for each in answer.list_services_response.service]
    refused = await error_of(reflect(iter([question])))
    assert (refused.code(), reason_in(refused.trailing_metadata())) == (UNAUTHENTICATED, "KEY_MISSING")
