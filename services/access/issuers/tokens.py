"""The check of tokens: signed by a key of a known issuer, by a fixed algorithm, for this platform, and in force."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jwt

from services.access.issuers.settings import Issuer
from services.access.issuers.signing_keys import SigningKeys
from services.shared.errors import Unauthenticated
from services.shared.logs import Log

LEEWAY_SECONDS = 60.0
"""Difference of clocks that is forgiven."""

KEPT_SECONDS = 60.0
"""Time for which a checked token is not checked again: a check costs 50 to 100 µs."""

MAX_KEPT = 10_000
MAX_TOKEN_BYTES = 8192

MAX_VALUES = 64
"""Values of a claim that are looked at: groups, scopes or models."""


class Token(NamedTuple):
    """The contents of a valid token."""

    issuer: str
    subject: str
    team: str
    project: str
    scopes: Sequence[str]
    models: Sequence[str]
    claims: Mapping[str, Any]
    expires_at: float
    """Seconds since the epoch."""

    def values(self, claim: str) -> Sequence[str]:
        """The values of a claim, which is a text, a list of texts or missing; `groups` or `realm_access.roles`."""
        return _texts(_at(self.claims, claim))


class TokenVerifier:
    """Checks the tokens of all issuers."""

    def __init__(
        self,
        issuers: Sequence[Issuer],
        log: Log,
        now: Callable[[], float] = time.time,
        open_keys: Callable[[Issuer, Log], SigningKeys] = SigningKeys,
    ) -> None:
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._keys = {issuer.issuer: open_keys(issuer, log) for issuer in issuers}
        self._now = now
        self._kept: dict[bytes, tuple[Token, float]] = {}

    async def verify(self, token: str) -> Token:
        """The contents of a token. Raises Unauthenticated TOKEN_INVALID, and Unavailable AUTH_UNAVAILABLE while the
        issuer's keys cannot be had."""
        if len(token) > MAX_TOKEN_BYTES or not token.isascii():
            raise _invalid(f"it must be ASCII, and has at most {MAX_TOKEN_BYTES} bytes")
        digest = hashlib.sha256(token.encode()).digest()
        kept = self._kept.get(digest)
        if kept and self._now() < kept[1]:
            return kept[0]
        checked = await self._check(token)
        self._keep(digest, checked)
        return checked

    async def close(self) -> None:
        for keys in self._keys.values():
            await keys.close()

    async def _check(self, token: str) -> Token:
        issuer, header = self._read_unverified(token)
        algorithm = header.get("alg")
        if algorithm not in issuer.algorithms:
            raise _invalid(f"it must be signed by {' or '.join(issuer.algorithms)}")
        key_id = header.get("kid")
        if key_id is not None and not isinstance(key_id, str):
            raise _invalid("its kid is no text")
        key = await self._keys[issuer.issuer].find(key_id, algorithm)
        if key is None:
            raise _invalid("its issuer has no such key")
        return self._read(issuer, _decode(token, key, issuer))

    def _read_unverified(self, token: str) -> tuple[Issuer, Mapping[str, Any]]:
        """The issuer that a token names, and its header."""
        try:
            unverified = jwt.decode_complete(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise _invalid("it is no signed JSON Web Token") from None
        named = unverified["payload"].get("iss")
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        if issuer is None:
            raise _invalid("its issuer is none of those that are trusted here")
        return issuer, unverified["header"]

    def _read(self, issuer: Issuer, claims: Mapping[str, Any]) -> Token:
        names = issuer.claims
        subject = _first(claims, names.subject)
        if not subject:
            raise _invalid(f"its claim {names.subject} says no subject")
        expires_at = float(claims["exp"])
        return Token(
            issuer.issuer,
            subject,
            _first(claims, names.team),
            _first(claims, names.project),
            _words(claims, names.scopes),
            _words(claims, names.models),
            claims,
            expires_at,
        )

    def _keep(self, digest: bytes, token: Token) -> None:
        if len(self._kept) >= MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[digest] = (token, min(token.expires_at + LEEWAY_SECONDS, self._now() + KEPT_SECONDS))


def _decode(token: str, key: jwt.PyJWK, issuer: Issuer) -> Mapping[str, Any]:
    """The claims of a token whose signature, times and audience are right."""
    try:
        return jwt.decode(
            token,
            key,
            algorithms=list(issuer.algorithms),
            audience=issuer.audience,
            issuer=issuer.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud"]},
        )
    except jwt.ExpiredSignatureError:
        raise _invalid("it has expired; get a new one from its issuer") from None
    except jwt.ImmatureSignatureError:
        raise _invalid("it is not valid yet; the clocks of the machines may differ") from None
    except jwt.InvalidAudienceError:
        raise _invalid("it was not made for this platform: its `aud` is another one") from None
    except jwt.MissingRequiredClaimError as error:
        raise _invalid(f"it has no claim `{error.claim}`") from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
        raise _invalid("its signature or its claims are wrong") from None


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """The value at a path; the whole path may also be the name of one claim, as `https://example.com/team` is."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _texts(value: Any) -> Sequence[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values[:MAX_VALUES] if isinstance(text, str) and text]


def _first(claims: Mapping[str, Any], path: str) -> str:
    return next(iter(_texts(_at(claims, path))), "") if path else ""


def _words(claims: Mapping[str, Any], path: str) -> Sequence[str]:
    """The values of a claim; those of a text stand between blanks, as in `scope` (RFC 8693, 4.2)."""
    return [word for text in _texts(_at(claims, path)) for word in text.split()][:MAX_VALUES] if path else []


def _invalid(why: str) -> Unauthenticated:
    return Unauthenticated(f"the token is not valid: {why}", reason="TOKEN_INVALID")
