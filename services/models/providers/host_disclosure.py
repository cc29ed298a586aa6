"""Disclosure of the host of a failed connection: to the operator, and to all callers if it is a vendor's."""

from __future__ import annotations

from urllib.parse import urlsplit

from services.models.providers.base import Target
from services.models.transport.failures import CAUSE, UPSTREAM_HOST
from services.shared.errors import PlatformError


def shown_host(target: Target, *, to_stranger: bool) -> str:
    """The host of a target with its port, for a caller who may know it, else empty."""
    return urlsplit(target.endpoint).netloc if _may_know(target, to_stranger) else ""


def disclose_host(error: PlatformError, target: Target, *, to_stranger: bool) -> None:
    """Adds the logged host to the error of a failed connection to the target, if the caller may know it."""
    if CAUSE in error.logged and _may_know(target, to_stranger):
        host = error.logged[UPSTREAM_HOST]
        error.metadata[UPSTREAM_HOST] = host
        error.message = f"{error.message} ({host})"


def _may_know(target: Target, is_stranger: bool) -> bool:
    return target.host_is_public or not (is_stranger or target.untrusted)
