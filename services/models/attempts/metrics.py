"""Metrics of attempts: how each that was sent has ended, by provider and model."""

from __future__ import annotations

from typing import Literal

from services.models.providers.base import Target
from services.models.providers.client import PHASE
from services.models.providers.model_labels import model_labels
from services.shared import metric_names as names
from services.shared.errors import PlatformError
from services.shared.metrics import Batch, Count, Counters, Values

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

MAX_COUNTS = 512
"""Counters of answers that are found at once."""

ATTEMPTS = Counters(
    names.UPSTREAM_ATTEMPTS,
    "Requests that were sent to models' servers, by their end.",
    ("provider", "model", "outcome"),
)


def outcome_of(error: BaseException | None) -> Outcome | None:
    """The outcome of an attempt that has ended with this error, or because its caller has left; None if nothing was
    sent."""
    if not isinstance(error, PlatformError):
        return "protocol" if isinstance(error, Exception) else "cancelled"
    return OUTCOMES.get(error.reason, "refused") if PHASE in error.metadata else None


_counts: dict[Values, Count] = {}


def _count(target: Target, outcome: Outcome | None) -> None:
    if outcome is None:
        return
    key = (target.provider, target.registered_model, target.model, outcome)
    count = _counts.get(key)
    if count is None:
        count = ATTEMPTS.of((*model_labels(target, has_answered=outcome == "ok"), outcome))
        if outcome == "ok" and len(_counts) < MAX_COUNTS:
            _counts[key] = count
    count.value += 1


ENDED_ATTEMPTS = Batch(_count)
"""Attempts that have ended: the target, and the outcome."""
