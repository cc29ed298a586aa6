"""Rate limits that vendors report: what is left of them, by the header fields of each answer."""

from __future__ import annotations

import time
from collections.abc import Mapping

from services.models.providers.base import Target
from services.shared import metric_names as names
from services.shared.metrics import Gauges

REMAINING_FIELDS = {
    "x-ratelimit-remaining-requests": "requests",
    "x-ratelimit-remaining-tokens": "tokens",
    "anthropic-ratelimit-requests-remaining": "requests",
    "anthropic-ratelimit-tokens-remaining": "tokens",
    "anthropic-ratelimit-input-tokens-remaining": "input_tokens",
    "anthropic-ratelimit-output-tokens-remaining": "output_tokens",
}
"""Header fields of OpenAI (platform.openai.com/docs/guides/rate-limits), whose names compatible servers have too, and
of Anthropic (docs.anthropic.com/en/api/rate-limits), with the resource that each is about."""

REMAINING = Gauges(
    names.UPSTREAM_RATE_LIMIT_REMAINING,
    "What a provider says is left of a rate limit, in an answer of the last second in which there was one.",
    ("provider", "resource"),
)

PAUSE_SECONDS = 1.0
"""Time between two looks at the fields of a provider's answers: to look for them all costs some microseconds."""
MAX_DIGITS = 15

_next_looks: dict[str, float] = {}


def note_rate_limits(target: Target, headers: Mapping[str, str]) -> None:
    """Notes what is left of the limits of the operator's own account at a vendor, once a second at most."""
    if target.registered_model:
        return
    now = time.monotonic()
    if now < _next_looks.get(target.provider, 0.0):
        return
    _next_looks[target.provider] = now + PAUSE_SECONDS
    for field, resource in REMAINING_FIELDS.items():
        value = headers.get(field, "")
        if value.isdecimal() and len(value) <= MAX_DIGITS:
            REMAINING.set((target.provider, resource), int(value))
