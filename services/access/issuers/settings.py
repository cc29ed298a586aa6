"""The settings of issuers: a JSON file, named by AUTH_ISSUERS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from services.access.validation import CERTIFICATE_ISSUER
from services.shared.errors import StartupError
from services.shared.settings import is_loopback

VARIABLE = "AUTH_ISSUERS"

DISCOVERY_PATH = "/.well-known/openid-configuration"
"""OpenID Connect Discovery 1.0, 4."""

MAX_ISSUERS = 32

Algorithm = Literal["RS256", "ES256", "EdDSA"]
ALGORITHMS: tuple[Algorithm, ...] = ("RS256", "ES256", "EdDSA")


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class ClaimNames(BaseModel):
    """The claims of an issuer's tokens, as paths: `realm_access.roles` is the member `roles` of `realm_access`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: str = "sub"
    team: str = ""
    project: str = ""
    scopes: str = ""
    models: str = ""


class Issuer(BaseModel):
    """An issuer, and what its tokens must say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(min_length=1)
    """The exact value of `iss`."""
    audience: Annotated[list[str], BeforeValidator(_as_list)] = Field(min_length=1)
    """The values of `aud` that mean this platform."""
    jwks_uri: str = ""
    """The address of its keys; without it, its discovery document says where they are."""
    discovery: str = ""
    """The address of that document."""
    algorithms: tuple[Algorithm, ...] = Field(ALGORITHMS, min_length=1)
    claims: ClaimNames = ClaimNames()

    @model_validator(mode="after")
    def _check_addresses(self) -> Issuer:
        for name, address in (("jwks_uri", self.jwks_uri), ("discovery", self.discovery_uri)):
            if address and not _is_safe(address):
                raise ValueError(f"{name} must be an https:// address, or an http:// one of this machine")
        return self

    @property
    def discovery_uri(self) -> str:
        """The address of the discovery document; empty where the keys have an address of their own."""
        if self.jwks_uri:
            return ""
        return self.discovery or self.issuer.rstrip("/") + DISCOVERY_PATH


def read_issuers(path: Path) -> list[Issuer]:
    """The issuers in a file. Raises StartupError, which names the wrong members and quotes none of them."""
    try:
        text = path.read_bytes()
    except OSError as error:
        problem = (error.strerror or "unknown error").lower()
        raise StartupError(f"{VARIABLE}: {path} cannot be read: {problem}") from None
    try:
        issuers = TypeAdapter(list[Issuer]).validate_json(text)
    except ValidationError as error:
        problems = [f"{_place(problem['loc'])}{problem['msg']}" for problem in error.errors()]
        raise StartupError(f"{VARIABLE}: {path}: {'; '.join(problems)}") from None
    names = [issuer.issuer for issuer in issuers]
    if CERTIFICATE_ISSUER in names:
        raise StartupError(f"{VARIABLE}: {path}: {CERTIFICATE_ISSUER} is the issuer of client certificates")
    if not names or len(names) > MAX_ISSUERS or len(set(names)) < len(names):
        raise StartupError(f"{VARIABLE}: {path}: must be a list of 1 to {MAX_ISSUERS} issuers, each with another name")
    return issuers


def _place(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location) + ": " if location else ""


def _is_safe(address: str) -> bool:
    """Whether what an address answers can be believed: nobody in between can have changed it."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))
