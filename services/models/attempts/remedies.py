"""Remedies: what helps against a failed attempt, by the reason of its error."""

from __future__ import annotations

from typing import NamedTuple

from services.shared.errors import PlatformError, PreconditionFailed


class Remedy(NamedTuple):
    """Remedy for a failed attempt, and whether its target is to blame."""

    other_model: bool = False
    """Whether another model may answer."""
    other_endpoint: bool = False
    """Whether another endpoint of the same model may answer: it was this one that failed, or that takes no more."""
    again: bool = False
    """Whether the same target may answer after a pause."""
    trips: bool = False
    """Whether the target itself has failed, which its circuit breaker counts."""


NOTHING = Remedy()
OTHER_MODEL = Remedy(other_model=True)
ELSEWHERE = Remedy(other_model=True, other_endpoint=True)
LATER = Remedy(other_model=True, other_endpoint=True, again=True)
FAILED = Remedy(other_model=True, other_endpoint=True, again=True, trips=True)
BROKEN = Remedy(other_model=True, other_endpoint=True, trips=True)

REMEDIES: dict[str, Remedy] = {
    "UPSTREAM_SERVER_ERROR": FAILED,
    "UPSTREAM_OVERLOADED": FAILED,
    "UPSTREAM_UNREACHABLE": FAILED,
    "UPSTREAM_TIMEOUT": FAILED,
    "UPSTREAM_IDLE": FAILED,
    "UPSTREAM_STREAM_INTERRUPTED": FAILED,
    "UPSTREAM_STREAM_TRUNCATED": FAILED,
    "PROXY_UNREACHABLE": FAILED,
    "PROXY_REFUSED": FAILED,
    "UPSTREAM_RATE_LIMITED": LATER,
    "UPSTREAM_CONFLICT": LATER,
    "UPSTREAM_PROTOCOL_ERROR": BROKEN,
    "UPSTREAM_TLS": BROKEN,
    "UPSTREAM_REDIRECT": BROKEN,
    # Of the connections to this server; others may be free.
    "UPSTREAM_CONNECTIONS_EXHAUSTED": ELSEWHERE,
    "UPSTREAM_PATH_NOT_FOUND": ELSEWHERE,
    "UPSTREAM_AUTH": ELSEWHERE,
    "UPSTREAM_BILLING": ELSEWHERE,
    "UPSTREAM_QUOTA_EXHAUSTED": ELSEWHERE,
    "UPSTREAM_MODEL_NOT_FOUND": ELSEWHERE,
    "UPSTREAM_PRECONDITION": ELSEWHERE,
    "PROVIDER_BUSY": OTHER_MODEL,
    "UPSTREAM_UNSUPPORTED": OTHER_MODEL,
    "CONTEXT_LENGTH_EXCEEDED": OTHER_MODEL,
    "REQUEST_TOO_LARGE": OTHER_MODEL,
}
"""Every other reason is one that no attempt mends: the caller must change the request."""


def remedy_for(error: PlatformError) -> Remedy:
    """The remedy for an attempt that failed before its first output."""
    remedy = REMEDIES.get(error.reason, NOTHING)
    # The operator must change something first, such as a proxy's password.
    return ELSEWHERE if remedy.again and isinstance(error, PreconditionFailed) else remedy
