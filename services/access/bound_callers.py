"""Callers that come with a token or a certificate: the project and the scopes that bindings and claims give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from proto.access_pb2 import Binding
from proto.identity_pb2 import CallerIdentity
from services.access.globs import narrowed
from services.access.snapshot import Snapshot
from services.access.validation import DEFAULT_SCOPES, MAX_TEXT, SCOPES
from services.shared.characters import has_invisible
from services.shared.errors import PermissionDenied, Unauthenticated
from services.shared.identity import Identity

if TYPE_CHECKING:
    # Import libraries that a gateway without client certificates and issuers does not need.
    from services.access.certificates import Certificate
    from services.access.issuers.tokens import Token

MAX_MODELS = 64

CERTIFICATE_NOT_BOUND = "CERTIFICATE_NOT_BOUND"


class Credential(Protocol):
    """A verified token or certificate."""

    @property
    def issuer(self) -> str: ...
    @property
    def subject(self) -> str: ...

    def values(self, claim: str) -> Sequence[str]:
        """The values of a claim."""
        ...


class BoundCaller:
    """A caller with a verified token or certificate."""

    def __init__(self, identity: CallerIdentity) -> None:
        self.identity = Identity.of(identity)
        self.signed: tuple[float, bytes] = (0.0, b"")
        """The identity with its signature, and the time until which it is used again."""


def identify_token(token: Token, snapshot: Snapshot) -> BoundCaller:
    """The caller of a token: in the project of its claim, else of the first binding that it fulfils.

    Raises PermissionDenied TOKEN_NOT_BOUND without a project, and Unauthenticated KEY_DISABLED for one that is
    disabled, or whose team or user is.
    """
    if len(token.subject) > MAX_TEXT or has_invisible(token.subject, joiners=True):
        raise Unauthenticated(
            f"the subject of the token must be of at most {MAX_TEXT} characters, none of them invisible",
            reason="TOKEN_INVALID",
        )
    bound = _bindings_of(token, snapshot)
    project_id = token.project or _first_project(bound)
    if not project_id:
        facts = {"issuer": token.issuer, "subject": token.subject}
        raise PermissionDenied(
            "no binding gives the token a project; ask for one", reason="TOKEN_NOT_BOUND", metadata=facts
        )
    identity = _identity_in(project_id, token, snapshot, "token")
    identity.method = CallerIdentity.METHOD_JWT
    identity.scopes.extend(_scopes(token.scopes, [each for each in bound if each.project_id == project_id]))
    globs = narrowed(identity.model_globs, list(token.models)[:MAX_MODELS])
    del identity.model_globs[:]
    identity.model_globs.extend(globs)
    return BoundCaller(identity)


def identify_certificate(certificate: Certificate, snapshot: Snapshot) -> BoundCaller:
    """The caller of a client certificate: in the project of the first binding that one of its names fulfils.

    Raises Unauthenticated CERTIFICATE_NOT_BOUND without a binding, and KEY_DISABLED for a project that is disabled, or
    whose team or user is.
    """
    bound = _bindings_of(certificate, snapshot)
    project_id = _first_project(bound)
    if not project_id:
        names = certificate.describe()
        raise Unauthenticated(
            f"no binding gives a project to the client certificate ({names}); ask for one, or send an API key",
            reason=CERTIFICATE_NOT_BOUND,
            metadata={"certificate": names},
            logged={"certificate": names},
        )
    identity = _identity_in(project_id, certificate, snapshot, "client certificate")
    identity.method = CallerIdentity.METHOD_MTLS
    identity.scopes.extend(_scopes((), [each for each in bound if each.project_id == project_id]))
    return BoundCaller(identity)


def _identity_in(project_id: str, credential: Credential, snapshot: Snapshot, kind: str) -> CallerIdentity:
    user_id = snapshot.user_with(credential.issuer, credential.subject)
    if blocked := snapshot.blocked_by(project_id, user_id):
        raise Unauthenticated(f"the {blocked} of the {kind} is disabled or unknown", reason="KEY_DISABLED")
    key_id = f"{credential.issuer} {credential.subject}"
    identity = snapshot.identity_in(project_id, user_id, key_id)
    identity.key_id, identity.subject = key_id, credential.subject
    return identity


def _bindings_of(credential: Credential, snapshot: Snapshot) -> list[Binding]:
    """The bindings that a credential fulfils, in the order of their ids."""
    return [each for each in sorted(snapshot.bindings.values(), key=_id_of) if _fulfils(credential, each)]


def _first_project(bound: Sequence[Binding]) -> str:
    return bound[0].project_id if bound else ""


def _id_of(binding: Binding) -> str:
    return binding.id


def _fulfils(credential: Credential, binding: Binding) -> bool:
    return binding.issuer == credential.issuer and binding.value in credential.values(binding.claim)


def _scopes(named: Sequence[str], bound: Sequence[Binding]) -> list[str]:
    """The scopes of the bindings, of those the ones that are named, if any are; without a binding those named."""
    given = {scope for binding in bound for scope in binding.scopes}
    if given and named:
        given &= set(named)
    elif not given:
        given = set(named or DEFAULT_SCOPES)
    return [scope for scope in SCOPES if scope in given]
