"""Callers that come with a token of an OIDC issuer: the project and the scopes that bindings and claims give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from proto.access_pb2 import Binding
from proto.identity_pb2 import CallerIdentity
from services.gateway.access.globs import narrowed
from services.gateway.access.snapshot import Snapshot
from services.gateway.access.validation import DEFAULT_SCOPES, MAX_TEXT, SCOPES
from services.shared.errors import PermissionDenied, Unauthenticated

if TYPE_CHECKING:
    # Imports PyJWT, which a gateway without issuers does not need.
    from services.gateway.issuers.tokens import Token

MAX_MODELS = 64


class TokenCaller:
    """A caller with a valid token."""

    def __init__(self, identity: CallerIdentity) -> None:
        self.identity = identity
        self.signed: tuple[float, bytes] = (0.0, b"")
        """The identity with its signature, and the time until which it is used again."""


def identify(token: Token, snapshot: Snapshot) -> TokenCaller:
    """The caller that a token stands for: in the project of its claim, else of the first binding that it fulfils.

    Raises PermissionDenied TOKEN_NOT_BOUND without a project, and Unauthenticated KEY_DISABLED for one that is
    disabled, or whose team or user is.
    """
    if len(token.subject) > MAX_TEXT:
        raise Unauthenticated(f"the subject of the token has more than {MAX_TEXT} characters", reason="TOKEN_INVALID")
    bound = [each for each in sorted(snapshot.bindings.values(), key=_id_of) if _fulfils(token, each)]
    project_id = token.project or next((each.project_id for each in bound), "")
    if not project_id:
        raise PermissionDenied(
            "no binding gives the token a project; ask for one", reason="TOKEN_NOT_BOUND", metadata=_facts(token)
        )
    user_id = snapshot.user_with(token.issuer, token.subject)
    if blocked := snapshot.blocked_by(project_id, user_id):
        raise Unauthenticated(f"the {blocked} of the token is disabled or unknown", reason="KEY_DISABLED")
    identity = snapshot.identity_in(project_id, user_id, key_id := f"{token.issuer} {token.subject}")
    identity.key_id, identity.subject, identity.method = key_id, token.subject, CallerIdentity.METHOD_JWT
    identity.scopes.extend(_scopes(token, [each for each in bound if each.project_id == project_id]))
    globs = narrowed(identity.model_globs, list(token.models)[:MAX_MODELS])
    del identity.model_globs[:]
    identity.model_globs.extend(globs)
    return TokenCaller(identity)


def _id_of(binding: Binding) -> str:
    return binding.id


def _fulfils(token: Token, binding: Binding) -> bool:
    return binding.issuer == token.issuer and binding.value in token.values(binding.claim)


def _scopes(token: Token, bound: Sequence[Binding]) -> list[str]:
    """The scopes of the bindings, of those the ones that the token names, if it names any; without a binding those that
    it names."""
    given = {scope for binding in bound for scope in binding.scopes}
    if given and token.scopes:
        given &= set(token.scopes)
    elif not given:
        given = set(token.scopes or DEFAULT_SCOPES)
    return [scope for scope in SCOPES if scope in given]


def _facts(token: Token) -> dict[str, str]:
    return {"issuer": token.issuer, "subject": token.subject}
