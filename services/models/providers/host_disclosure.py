"""Disclosure of the host of a failed connection: to the operator, and to all callers if it is a vendor's."""

from __future__ import annotations

from services.models.providers.base import Target
from services.models.transport.failures import CAUSE, UPSTREAM_HOST
from services.shared.errors import PlatformError


def disclose_host(error: PlatformError, target: Target, *, to_stranger: bool) -> None:
    """Adds the logged host to the error of a failed connection to the target, if the caller may know it."""
    if CAUSE in error.logged and (target.host_is_public or not (to_stranger or target.untrusted)):
        host = error.logged[UPSTREAM_HOST]
        error.metadata[UPSTREAM_HOST] = host
        error.message = f"{error.message} ({host})"
