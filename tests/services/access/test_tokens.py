"""Callers with tokens of an OIDC issuer: bindings and claims give them a project and scopes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from proto import access_pb2 as pb
from proto.identity_pb2 import CallerIdentity
from tests.rows import row
from tests.services.access.gateways import Front, front
from tests.services.access.oidc import AUDIENCE, OidcIssuer, oidc_issuer


@pytest.fixture(scope="module")
def issuer() -> Iterator[OidcIssuer]:
    with oidc_issuer() as issuer:
        yield issuer


@pytest.fixture
async def fronted(tmp_path: Path, issuer: OidcIssuer) -> AsyncIterator[Front]:
    """A gateway that knows the issuer, with a binding of the group `search` to the project `shop`."""
    claims = {"project": "project", "scopes": "scope", "models": "models"}
    described = [{"issuer": issuer.url, "audience": AUDIENCE, "claims": claims}]
    (tmp_path / "issuers.json").write_text(json.dumps(described))
    async with front(f"sqlite:///{tmp_path}/access.db", AUTH_ISSUERS=str(tmp_path / "issuers.json")) as fronted:
        call = fronted.gateway.call
        await call(pb.CreateTeamRequest(team=pb.Team(id="web")))
        await call(pb.CreateProjectRequest(project=pb.Project(id="shop", team_id="web", model_globs=["gpt-*"])))
        binding = pb.Binding(
            issuer=issuer.url, claim="groups", value="search", project_id="shop", scopes=["generate", "models.read"]
        )
        await call(pb.SetBindingRequest(binding=binding))
        await call(pb.CreateUserRequest(user=pb.User(id="ada", issuer=issuer.url, subject="ada@example.com")))
        yield fronted


def bearer(token: str) -> tuple[str, str]:
    return "authorization", f"Bearer {token}"


async def test_binding_gives_a_token_its_project_and_scopes(fronted: Front, issuer: OidcIssuer) -> None:
    token = issuer.token(sub="ada@example.com", groups=["other", "search"], models=["gpt-4*", "claude-*"])
    await fronted.gateway.models(bearer(token))
    identity = fronted.recorder.identity()
    assert (identity.team_id, identity.project_id, identity.user_id) == ("web", "shop", "ada")
    assert (identity.method, identity.subject) == (CallerIdentity.METHOD_JWT, "ada@example.com")
    assert (list(identity.scopes), list(identity.model_globs)) == (["generate", "models.read"], ["gpt-4*"])
    assert "authorization" not in fronted.recorder.names()
    assert token.encode() not in fronted.gateway.log.getvalue()
    answer = await fronted.gateway.call(pb.WhoAmIRequest(), token)
    assert answer.identity.key_id == f"{issuer.url} ada@example.com"


async def test_claim_gives_a_token_its_project(fronted: Front, issuer: OidcIssuer) -> None:
    for claims, scopes in (
        ({"scope": "models.read unknown"}, ["models.read"]),
        ({}, ["generate", "models.read", "prompts.read", "sessions", "usage.read"]),
    ):
        await fronted.gateway.models(bearer(issuer.token(project="default", **claims)))
        identity = fronted.recorder.identity()
        assert (identity.project_id, list(identity.scopes)) == ("default", scopes)


async def test_token_without_a_place_is_refused(fronted: Front, issuer: OidcIssuer) -> None:
    denied, unauthenticated = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED
    for token, code, reason in (
        (issuer.token(groups=["other"]), denied, "TOKEN_NOT_BOUND"),
        (issuer.token(groups=["search"], scope="generate"), denied, "SCOPE_MISSING"),
        (issuer.token(project="nowhere"), unauthenticated, "KEY_DISABLED"),
        (issuer.token(groups=["search"], aud="another"), unauthenticated, "TOKEN_INVALID"),
        (issuer.token(groups=["search"], exp=1), unauthenticated, "TOKEN_INVALID"),
        ("a.b.c", unauthenticated, "TOKEN_INVALID"),
        ("eyJ", unauthenticated, "KEY_INVALID"),
    ):
        with row(reason):
            refused = await fronted.gateway.refusal(bearer(token))
            assert (refused.code, refused.reason) == (code, reason)
    assert not fronted.recorder.received


async def test_disabled_project_or_user_refuses_tokens(fronted: Front, issuer: OidcIssuer) -> None:
    token, mask = bearer(issuer.token(sub="ada@example.com", groups="search")), FieldMask(paths=["disabled"])
    await fronted.gateway.models(token)
    for request in (
        pb.UpdateUserRequest(user=pb.User(id="ada", disabled=True), update_mask=mask),
        pb.UpdateProjectRequest(project=pb.Project(id="shop", disabled=True), update_mask=mask),
    ):
        await fronted.gateway.call(request)
        assert (await fronted.gateway.refusal(token)).reason == "KEY_DISABLED"
    project = pb.Project(id="shop")
    await fronted.gateway.call(pb.UpdateProjectRequest(project=project, update_mask=mask))
    # Somebody else of the group is not the user.
    await fronted.gateway.models(bearer(issuer.token(groups="search")))


async def test_key_and_token_together_are_refused(fronted: Front, issuer: OidcIssuer) -> None:
    refused = await fronted.gateway.refusal(bearer(issuer.token(groups="search")), ("x-api-key", fronted.gateway.admin))
    assert refused.reason == "KEY_INVALID"
