"""Rate limits that vendors report: what is left of them, by the header fields of each answer."""

from __future__ import annotations

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
    "What a provider says is left of a rate limit, in its newest answer.",
    ("provider", "resource"),
)


def note_rate_limits(target: Target, headers: Mapping[str, str]) -> None:
    """Notes what is left of the limits of the operator's own account at a vendor."""
    if target.registered_model:
        return
    for field in REMAINING_FIELDS.keys() & headers.keys():
        value = headers[field]
        if value.isdecimal() and len(value) <= 15:
            REMAINING.set((target.provider, REMAINING_FIELDS[field]), int(value))
