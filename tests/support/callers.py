"""Callers whose identities are signed, as the gateway signs them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from proto.identity_pb2 import CallerIdentity
from services.shared.identity import PROCESS_CALLERS, Callers, IdentitySigner
from services.shared.metadata import IDENTITY_KEY, Metadata

SCOPES = ("generate", "models.read", "models.write", "prompts.read", "prompts.write", "sessions")
"""All scopes but that of administrators."""

_SIGNER = IdentitySigner([b"k" * 32])


def require(callers: Callers | None = None) -> Callers:
    """Callers of whom each call needs an identity that `signed` has signed."""
    callers = callers or Callers()
    callers.require(_SIGNER)
    return callers


def caller(project: str, **fields: Any) -> CallerIdentity:
    """A caller of a project with all scopes, whose key has the project's name."""
    return CallerIdentity(**{"project_id": project, "key_id": f"key-of-{project}", "scopes": SCOPES} | fields)


def signed(identity: CallerIdentity | None) -> Metadata:
    """The metadata of a call by this caller."""
    return ((IDENTITY_KEY, _SIGNER.sign(identity)),) if identity else ()


@contextlib.contextmanager
def all_asked() -> Iterator[None]:
    """Lets all services of this process ask who calls, inside the block."""
    require(PROCESS_CALLERS)
    try:
        yield
    finally:
        PROCESS_CALLERS.require(None)
