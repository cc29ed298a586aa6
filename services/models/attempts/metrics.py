"""Metrics of attempts: how each that was sent has ended, by provider and model."""

from __future__ import annotations

from typing import Literal

from services.models.providers.base import Target
from services.models.providers.client import PHASE
from services.models.providers.model_labels import model_labels
from services.shared import metric_names as names
from services.shared.errors import PlatformError
from services.shared.metrics import Batch, Counters

Outcome = Literal[
    "ok",
    "rate_limited",
    "quota",
    "auth",
    "overloaded",
    "server",
    "unreachable",
    "timeout",
    "protocol",
    "refused",
    "cancelled",
]
"""The outcome of an attempt: an answer; a fault of the provider's, of nine kinds; a refusal of this very request; a
caller that has left."""

OUTCOMES: dict[str, Outcome] = {
    "UPSTREAM_RATE_LIMITED": "rate_limited",
    "UPSTREAM_QUOTA_EXHAUSTED": "quota",
    "UPSTREAM_BILLING": "quota",
    "UPSTREAM_AUTH": "auth",
    "UPSTREAM_OVERLOADED": "overloaded",
    "UPSTREAM_SERVER_ERROR": "server",
    "UPSTREAM_CONFLICT": "server",
    "UPSTREAM_UNREACHABLE": "unreachable",
    "UPSTREAM_TLS": "unreachable",
    "UPSTREAM_CONNECTIONS_EXHAUSTED": "unreachable",
    "PROXY_UNREACHABLE": "unreachable",
    "PROXY_REFUSED": "unreachable",
    "UPSTREAM_TIMEOUT": "timeout",
    "UPSTREAM_IDLE": "timeout",
    "UPSTREAM_PROTOCOL_ERROR": "protocol",
    "UPSTREAM_STREAM_TRUNCATED": "protocol",
    "UPSTREAM_STREAM_INTERRUPTED": "protocol",
    "UPSTREAM_REDIRECT": "protocol",
    "UPSTREAM_PATH_NOT_FOUND": "protocol",
}
"""The outcome of an attempt by the reason of its error; every other error is about the request."""

ATTEMPTS = Counters(
    names.UPSTREAM_ATTEMPTS,
    "Requests that were sent to models' servers, by their end.",
    ("provider", "model", "outcome"),
)


def count_attempt(target: Target, error: BaseException | None) -> None:
    """Counts an attempt that has ended: with an answer, by an error, or because its caller has left."""
    if isinstance(error, PlatformError) and PHASE not in error.metadata:
        # Nothing was sent.
        return
    ENDED_ATTEMPTS.note(target, _outcome(error))


def _count(target: Target, outcome: Outcome) -> None:
    ATTEMPTS.add((*model_labels(target, has_answered=outcome == "ok"), outcome))


ENDED_ATTEMPTS = Batch(_count)


def _outcome(error: BaseException | None) -> Outcome:
    if error is None:
        return "ok"
    if isinstance(error, PlatformError):
        return OUTCOMES.get(error.reason, "refused")
    return "protocol" if isinstance(error, Exception) else "cancelled"
