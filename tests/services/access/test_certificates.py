"""Callers with client certificates: bindings of the names in these give them a project and scopes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.field_mask_pb2 import FieldMask
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from genai_platform import AsyncGenAIPlatform, Unauthenticated
from proto import access_pb2 as pb
from proto.identity_pb2 import CallerIdentity
from services.access.snapshot import SnapshotKeeper
from tests.rows import row
from tests.services.access.gateways import LIST_MODELS, Front, access_gateway, front, secure_channel
from tests.support.certificates import Authority, Pair
from tests.support.errors import Failure, failure_of

SPIFFE = "spiffe://example.org/ns/shop/app"
GONE_SECONDS = 1.0

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


class Known(NamedTuple):
    """An authority, the gateway's certificate, and that of a client."""

    authority: Authority
    server: Pair
    client: Pair


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    server = authority.issue_files("DNS:localhost", "IP:127.0.0.1")
    return Known(authority, server, authority.issue_files(f"URI:{SPIFFE}", "DNS:app.example", name="app"))


@pytest.fixture
def settings(known: Known) -> dict[str, str]:
    """The settings of a gateway that requires client certificates, and of a client of it."""
    return {
        "GENAI_TLS_CERT_FILE": str(known.server.certificate),
        "GENAI_TLS_KEY_FILE": str(known.server.key),
        "GENAI_TLS_CLIENT_CA_FILE": str(known.authority.path),
        "GENAI_TLS_CA_FILE": str(known.authority.path),
        "GENAI_TLS_CLIENT_CERT_FILE": str(known.client.certificate),
        "GENAI_TLS_CLIENT_KEY_FILE": str(known.client.key),
    }


@pytest.fixture
async def fronted(tmp_path: Path, settings: dict[str, str]) -> AsyncIterator[Front]:
    """A gateway that requires client certificates, with the project `shop` and nothing bound to it."""
    async with front(f"sqlite:///{tmp_path}/access.db", **settings) as fronted:
        call = fronted.gateway.call
        await call(pb.CreateTeamRequest(team=pb.Team(id="web")))
        await call(pb.CreateProjectRequest(project=pb.Project(id="shop", team_id="web", model_globs=["gpt-*"])))
        await call(pb.CreateUserRequest(user=pb.User(id="app", issuer="mtls", subject=SPIFFE)))
        yield fronted


async def bind(fronted: Front, claim: str, value: str, project: str = "shop", *scopes: str) -> str:
    """Binds a name to a project, and returns the id of the binding."""
    binding = pb.Binding(issuer="mtls", claim=claim, value=value, project_id=project, scopes=scopes)
    made: pb.Binding = await fronted.gateway.call(pb.SetBindingRequest(binding=binding))
    return made.id


async def refusal(fronted: Front, known: Known, pair: Pair) -> Failure:
    """The refusal of a call without a key, over a connection of its own."""
    async with secure_channel(fronted.gateway.address, known.authority.path, *pair) as channel:
        return await failure_of(channel.unary_unary(LIST_MODELS)(b"", timeout=30))


async def test_bound_certificate_is_the_identity_of_its_callers(fronted: Front, known: Known) -> None:
    await bind(fronted, "uri", SPIFFE, "shop", "generate", "models.read")
    files = {"client_cert_file": known.client.certificate, "client_key_file": known.client.key}
    target = f"https://{fronted.gateway.address}"
    async with AsyncGenAIPlatform(target, ca_file=known.authority.path, **files) as platform:
        await platform.models.list_models()
    identity = fronted.recorder.identity()
    assert (identity.team_id, identity.project_id, identity.user_id) == ("web", "shop", "app")
    assert (identity.key_id, identity.subject) == (f"mtls {SPIFFE}", SPIFFE)
    assert (identity.method, list(identity.model_globs)) == (CallerIdentity.METHOD_MTLS, ["gpt-*"])
    assert list(identity.scopes) == ["generate", "models.read"]
    # The services of the gateway itself know it too.
    asked = fronted.gateway.channel.unary_unary("/genai_platform.v1.AccessService/WhoAmI")
    assert pb.WhoAmIResponse.FromString(await asked(b"", timeout=30)).identity.project_id == "shop"
    refused = await fronted.gateway.refusal(method="/genai_platform.v1.ModelService/RegisterModel")
    assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    stub = reflection_pb2_grpc.ServerReflectionStub(fronted.gateway.channel)
    answers = [answer async for answer in stub.ServerReflectionInfo(iter([question]))]
    assert answers[0].list_services_response.service


async def test_any_name_of_a_certificate_can_be_bound(fronted: Front) -> None:
    for claim, value in (("uri", SPIFFE), ("dns", "app.example"), ("cn", "app")):
        with row(claim):
            binding = await bind(fronted, claim, value)
            await fronted.gateway.models()
            assert fronted.recorder.identity().subject == SPIFFE
            await fronted.gateway.call(pb.DeleteBindingRequest(binding_id=binding))
            assert (await fronted.gateway.refusal()).reason == "CERTIFICATE_NOT_BOUND"
    wrong = pb.Binding(issuer="mtls", claim="email", value="a@example.com", project_id="shop")
    refused = await failure_of(fronted.gateway.call(pb.SetBindingRequest(binding=wrong)))
    assert (refused.code, "binding.claim: must be uri, dns or cn" in refused.message) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        True,
    )


async def test_certificate_that_is_bound_to_nothing_is_refused_by_its_names(fronted: Front, known: Known) -> None:
    await bind(fronted, "dns", "spiffe://example.org/ns/shop/app")
    await bind(fronted, "uri", "app.example")
    refused = await fronted.gateway.refusal()
    assert (refused.code, refused.reason) == (UNAUTHENTICATED, "CERTIFICATE_NOT_BOUND")
    assert refused.metadata == {"certificate": f"uri {SPIFFE}, dns app.example, cn app"}
    assert f"uri {SPIFFE}, dns app.example, cn app" in refused.message
    assert not fronted.recorder.received
    files = {"client_cert_file": known.client.certificate, "client_key_file": known.client.key}
    target = f"https://{fronted.gateway.address}"
    async with AsyncGenAIPlatform(target, ca_file=known.authority.path, **files) as platform:
        with pytest.raises(Unauthenticated, match="no binding gives a project to the client certificate"):
            await platform.models.list_models()


async def test_key_wins_over_the_certificate(fronted: Front) -> None:
    await bind(fronted, "uri", SPIFFE)
    key, secret = await fronted.gateway.new_key()
    await fronted.gateway.models(("authorization", f"Bearer {secret}"))
    identity = fronted.recorder.identity()
    assert (identity.key_id, identity.project_id) == (key.id, "default")
    await fronted.gateway.call(pb.RevokeKeyRequest(key_id=key.id))
    # The certificate does not make up for a key that is refused.
    assert (await fronted.gateway.refusal(("authorization", f"Bearer {secret}"))).reason == "KEY_REVOKED"
    assert (await fronted.gateway.refusal(("x-api-key", ""))).reason == "KEY_INVALID"


async def test_disabled_project_or_user_refuses_certificates(fronted: Front) -> None:
    await bind(fronted, "uri", SPIFFE)
    mask = FieldMask(paths=["disabled"])
    for request in (
        pb.UpdateUserRequest(user=pb.User(id="app", disabled=True), update_mask=mask),
        pb.UpdateProjectRequest(project=pb.Project(id="shop", disabled=True), update_mask=mask),
    ):
        await fronted.gateway.models()
        await fronted.gateway.call(request)
        refused = await fronted.gateway.refusal()
        assert (refused.code, refused.reason) == (UNAUTHENTICATED, "KEY_DISABLED")
        await fronted.gateway.call(pb.UpdateUserRequest(user=pb.User(id="app"), update_mask=mask))


async def test_binding_that_is_deleted_at_one_gateway_is_gone_at_all(
    postgresql_url: str, settings: dict[str, str]
) -> None:
    async with (
        front(postgresql_url, **settings) as fronted,
        access_gateway(postgresql_url, fronted.models, **settings) as other,
    ):
        binding = await bind(fronted, "uri", SPIFFE, "default")
        while await other.models().code() is not grpc.StatusCode.OK:
            pass
        await fronted.gateway.call(pb.DeleteBindingRequest(binding_id=binding))
        started = time.monotonic()
        while await other.models().code() is grpc.StatusCode.OK:
            assert time.monotonic() - started < GONE_SECONDS
        assert (await other.refusal()).reason == "CERTIFICATE_NOT_BOUND"


async def test_gateway_whose_database_is_away_knows_what_was_bound(
    fronted: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    binding = await bind(fronted, "uri", SPIFFE)
    with monkeypatch.context() as patch:
        patch.setattr(SnapshotKeeper, "is_current", False)
        await fronted.gateway.models()
        patch.setattr(SnapshotKeeper, "age_seconds", lambda _: 3601.0)
        assert (await fronted.gateway.refusal()).reason == "AUTH_UNAVAILABLE"
    await fronted.gateway.call(pb.DeleteBindingRequest(binding_id=binding))
    # It may have been bound meanwhile.
    monkeypatch.setattr(SnapshotKeeper, "is_current", False)
    refused = await fronted.gateway.refusal()
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "AUTH_UNAVAILABLE")
    assert refused.retry_seconds


async def test_certificate_that_expires_during_its_connection_is_refused(fronted: Front) -> None:
    await bind(fronted, "uri", SPIFFE)
    await fronted.gateway.models()
    now = datetime.now(UTC).timestamp()
    fronted.gateway.access.authenticator._now = lambda: now + 3 * 24 * 3600
    refused = await fronted.gateway.refusal()
    assert (refused.code, refused.reason) == (UNAUTHENTICATED, "CERTIFICATE_EXPIRED")


async def test_identity_and_names_in_the_metadata_count_for_nothing(fronted: Front) -> None:
    for forged in (
        [("x-genai-caller-bin", b"forged")],
        [("x-forwarded-client-cert", f"URI={SPIFFE}"), ("x509_subject_alternative_name", SPIFFE)],
    ):
        assert (await fronted.gateway.refusal(*forged)).reason == "CERTIFICATE_NOT_BOUND"


async def test_name_with_a_nul_character_is_not_taken_for_the_beginning_of_it(
    fronted: Front, known: Known, tmp_path: Path
) -> None:
    for claim, value in (("uri", "spiffe://example.org/admin"), ("dns", "admin.example"), ("cn", "admin")):
        await bind(fronted, claim, value, "shop", "models.read")
    pair = issue(
        known.authority, tmp_path, "admin\0.other", "spiffe://example.org/admin\0/other", "admin.example\0.other"
    )
    refused = await refusal(fronted, known, pair)
    assert (refused.reason, refused.metadata) == (
        "CERTIFICATE_NOT_BOUND",
        {"certificate": "no URI, DNS name or common name"},
    )
    # The same names without it are bound.
    pair = issue(known.authority, tmp_path, "admin", "spiffe://example.org/admin", "admin.example")
    async with secure_channel(fronted.gateway.address, known.authority.path, *pair) as channel:
        await channel.unary_unary(LIST_MODELS)(b"", timeout=30)


def issue(authority: Authority, directory: Path, name: str, uri: str, dns: str) -> Pair:
    """A certificate for names that openssl would not write."""
    issuer = x509.load_pem_x509_certificate(authority.path.read_bytes())
    signing = serialization.load_pem_private_key(authority.path.with_suffix(".key").read_bytes(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), x509.DNSName(dns)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(signing, hashes.SHA256())
    )
    pair = Pair(directory / "named.pem", directory / "named.key")
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    pair.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return pair
