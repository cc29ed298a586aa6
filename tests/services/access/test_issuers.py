"""Tokens of OIDC issuers: which are valid, what they say, and what happens while an issuer is away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from services.access.issuers.settings import ALGORITHMS, Issuer, read_issuers
from services.access.issuers.signing_keys import FRESH_SECONDS, STALE_SECONDS, UNKNOWN_KEY_SECONDS, SigningKeys
from services.access.issuers.tokens import TokenVerifier
from services.shared.errors import PlatformError, StartupError
from tests.services.access.oidc import AUDIENCE, RSA_KEY, OidcIssuer, oidc_issuer, public_jwk
from tests.services.model_service import LOG

FOREIGN_KEY = rsa.generate_private_key(65537, 2048)
RSA_PEM = RSA_KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def issuer() -> Iterator[OidcIssuer]:
    with oidc_issuer() as served:
        yield served


@contextlib.asynccontextmanager
async def verifying(
    issuer: OidcIssuer, clock: Callable[[], float] = time.monotonic, **settings: Any
) -> AsyncIterator[TokenVerifier]:
    trusted = Issuer(issuer=issuer.url, audience=AUDIENCE, **settings)  # type: ignore[arg-type]  # a text is a list of one
    verifier = TokenVerifier([trusted], LOG, open_keys=lambda each, log: SigningKeys(each, log, clock))
    try:
        yield verifier
    finally:
        await verifier.close()


async def problem_of(verifier: TokenVerifier, token: str) -> str:
    """The reason and the words of a refusal."""
    with pytest.raises(PlatformError) as refused:
        await verifier.verify(token)
    return f"{refused.value.reason}: {refused.value.message}"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_token_of_each_algorithm_is_valid(algorithm: str, issuer: OidcIssuer) -> None:
    async with verifying(issuer) as verifier:
        token = await verifier.verify(issuer.token(algorithm))
    assert (token.issuer, token.subject) == (issuer.url, "somebody")
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_claims_are_read_by_their_paths(issuer: OidcIssuer) -> None:
    names = {
        "subject": "email",
        "team": "https://example.com/team",
        "project": "context.project",
        "scopes": "scope",
        "models": "context.models",
    }
    claims: dict[str, Any] = {
        "email": "ada@example.com",
        "https://example.com/team": "research",
        "context": {"project": "search", "models": ["gpt-*", 7, ""]},
        "scope": "generate models.read",
        "groups": ["one", "two"],
    }
    async with verifying(issuer, claims=names) as verifier:
        token = await verifier.verify(issuer.token(**claims))
    assert (token.subject, token.team, token.project) == ("ada@example.com", "research", "search")
    assert token.scopes == ["generate", "models.read"]
    assert token.models == ["gpt-*"]
    assert token.values("groups") == ["one", "two"]
    assert token.values("context.project") == ["search"]
    assert token.values("context.project.deeper") == []


def unsigned(issuer: OidcIssuer) -> str:
    return jwt.encode({"iss": issuer.url, "aud": AUDIENCE, "sub": "x", "exp": time.time() + 60}, None, "none")


def signed_with_the_public_key(issuer: OidcIssuer) -> str:
    """The old trick: the public key, which everybody has, as the secret of an algorithm with secrets."""
    header = jwt.utils.base64url_encode(json.dumps({"alg": "HS256", "kid": "RS256"}).encode())
    payload = issuer.token().split(".")[1].encode()
    signature = jwt.get_algorithm_by_name("HS256").sign(header + b"." + payload, RSA_PEM)
    return b".".join((header, payload, jwt.utils.base64url_encode(signature))).decode()


def with_other_claims(issuer: OidcIssuer) -> str:
    header, _, signature = issuer.token().split(".")
    payload = issuer.token(sub="root").split(".")[1]
    return f"{header}.{payload}.{signature}"


@pytest.mark.parametrize(
    ("forge", "word"),
    [
        (lambda issuer: issuer.token(key=FOREIGN_KEY), "signature"),
        (with_other_claims, "signature"),
        (unsigned, "must be signed by"),
        (signed_with_the_public_key, "must be signed by"),
        (lambda issuer: issuer.token("RS256", headers={"alg": "RS512"}), "must be signed by"),
        (lambda issuer: issuer.token("RS256", key_id="ES256"), "no such key"),
        (lambda issuer: issuer.token(key_id="another"), "no such key"),
        (lambda issuer: issuer.token(iss="https://example.com"), "issuer is none"),
        (lambda issuer: issuer.token(iss=issuer.url + "/"), "issuer is none"),
        (lambda issuer: issuer.token(iss=None), "issuer is none"),
        (lambda issuer: issuer.token(aud="another"), "`aud`"),
        (lambda issuer: issuer.token(aud=None), "no claim `aud`"),
        (lambda issuer: issuer.token(exp=time.time() - 70), "expired"),
        (lambda issuer: issuer.token(exp=None), "no claim `exp`"),
        (lambda issuer: issuer.token(exp="soon"), "claims are wrong"),
        (lambda issuer: issuer.token(nbf=time.time() + 70), "not valid yet"),
        (lambda issuer: issuer.token(sub=None), "no subject"),
        (lambda issuer: issuer.token(padding="x" * 9000), "at most 8192"),
        (lambda _: "", "no signed"),
        (lambda _: "gk_abc", "no signed"),
        (lambda _: "a.b.c", "no signed"),
        (lambda _: "ä.b.c", "ASCII"),
    ],
)
async def test_token_that_is_not_right_is_refused(
    forge: Callable[[OidcIssuer], str], word: str, issuer: OidcIssuer
) -> None:
    async with verifying(issuer) as verifier:
        problem = await problem_of(verifier, forge(issuer))
    assert problem.startswith("TOKEN_INVALID: the token is not valid: ")
    assert word in problem


async def test_clocks_may_differ_by_a_minute(issuer: OidcIssuer) -> None:
    async with verifying(issuer) as verifier:
        assert await verifier.verify(issuer.token(exp=time.time() - 50, nbf=time.time() + 50))


async def test_algorithms_are_those_that_the_operator_allows(issuer: OidcIssuer) -> None:
    async with verifying(issuer, algorithms=["ES256"]) as verifier:
        assert "must be signed by ES256" in await problem_of(verifier, issuer.token("RS256"))
        assert await verifier.verify(issuer.token("ES256"))


async def test_key_without_an_id_is_found_where_there_is_one_for_the_algorithm(issuer: OidcIssuer) -> None:
    async with verifying(issuer) as verifier:
        assert await verifier.verify(issuer.token(key_id=None))
    issuer.keys.append(public_jwk("RS256", FOREIGN_KEY, "second"))
    async with verifying(issuer) as verifier:
        assert "no such key" in await problem_of(verifier, issuer.token(key_id=None))


async def test_keys_are_fetched_once_for_all_that_wait(issuer: OidcIssuer) -> None:
    async with verifying(issuer) as verifier:
        await asyncio.gather(*(verifier.verify(issuer.token(jti=str(each))) for each in range(50)))
    assert issuer.asked.count("/keys") == 1


async def test_unknown_key_is_asked_for_once_a_minute(issuer: OidcIssuer) -> None:
    clock = Clock()
    async with verifying(issuer, clock) as verifier:
        await verifier.verify(issuer.token())
        issuer.keys = [public_jwk("RS256", FOREIGN_KEY, "new")]
        renewed = issuer.token(key=FOREIGN_KEY, key_id="new")
        for each in range(20):
            assert "no such key" in await problem_of(verifier, issuer.token(key_id=f"guess-{each}"))
        assert "no such key" in await problem_of(verifier, renewed)
        assert issuer.asked.count("/keys") == 1
        clock.seconds += UNKNOWN_KEY_SECONDS
        assert await verifier.verify(renewed)
        assert issuer.asked.count("/keys") == 2
        assert "no such key" in await problem_of(verifier, issuer.token(jti="of the key that is gone"))


async def test_keys_serve_for_a_day_while_their_issuer_is_away(issuer: OidcIssuer) -> None:
    clock = Clock()
    async with verifying(issuer, clock) as verifier:
        await verifier.verify(issuer.token())
        issuer.status = 500
        for seconds in (FRESH_SECONDS + 1, STALE_SECONDS - 1):
            clock.seconds = seconds
            assert await verifier.verify(issuer.token(jti=str(seconds)))
        clock.seconds = STALE_SECONDS + 60
        assert "AUTH_UNAVAILABLE" in await problem_of(verifier, issuer.token(jti="a day later"))
        issuer.status = 200
        clock.seconds += 60
        assert await verifier.verify(issuer.token(jti="back"))


async def test_issuer_that_was_never_reached_is_no_reason_to_throw_a_token_away(issuer: OidcIssuer) -> None:
    issuer.status = 503
    async with verifying(issuer) as verifier:
        assert (await problem_of(verifier, issuer.token())).startswith("AUTH_UNAVAILABLE")


@pytest.mark.parametrize(
    "change",
    [
        lambda issuer: issuer.documents.update({"/.well-known/openid-configuration": {"issuer": "https://other"}}),
        lambda issuer: issuer.documents["/.well-known/openid-configuration"].update(jwks_uri="http://example.com/k"),
        lambda issuer: issuer.documents["/.well-known/openid-configuration"].update(jwks_uri="file:///etc/passwd"),
        lambda issuer: setattr(issuer, "keys", "none"),
        lambda issuer: setattr(issuer, "keys", []),
        lambda issuer: setattr(issuer, "status", 302),
    ],
    ids=["other issuer", "plain address", "file", "no list", "no keys", "redirect"],
)
async def test_document_that_cannot_be_believed_gives_no_keys(
    change: Callable[[OidcIssuer], None], issuer: OidcIssuer
) -> None:
    change(issuer)
    async with verifying(issuer) as verifier:
        assert (await problem_of(verifier, issuer.token())).startswith("AUTH_UNAVAILABLE")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "a list of 1 to 32 issuers"),
        ("{", "Invalid JSON"),
        ('[{"issuer": "https://a"}]', "[0].audience: "),
        ('[{"issuer": "https://a", "audience": "g", "algorithms": ["HS256"]}]', "[0].algorithms[0]: "),
        ('[{"issuer": "https://a", "audience": "g", "keys": "x"}]', "[0].keys: "),
        ('[{"issuer": "http://example.com", "audience": "g"}]', "discovery must be an https:// address"),
        ('[{"issuer": "a", "audience": "g", "jwks_uri": "ftp://a/k"}]', "jwks_uri must be an https:// address"),
        ('[{"issuer": "https://a", "audience": "g"}, {"issuer": "https://a", "audience": "h"}]', "another name"),
    ],
)
def test_mistake_in_the_file_is_named(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "issuers.json"
    path.write_text(content)
    with pytest.raises(StartupError) as refused:
        read_issuers(path)
    assert words in str(refused.value)


def test_file_that_is_right_is_read(tmp_path: Path) -> None:
    path = tmp_path / "issuers.json"
    path.write_text('[{"issuer": "https://login.example.com", "audience": ["a", "b"], "claims": {"team": "org"}}]')
    [issuer] = read_issuers(path)
    assert issuer.audience == ["a", "b"]
    assert issuer.discovery_uri == "https://login.example.com/.well-known/openid-configuration"
    with pytest.raises(StartupError, match="cannot be read"):
        read_issuers(tmp_path / "missing.json")
