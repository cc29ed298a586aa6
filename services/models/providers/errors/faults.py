"""Faults of a provider, and the one table of their meanings for the caller.

The status code says what the caller can do. Only these data of the provider are passed on: its HTTP status, its request
id, words of a closed list, and its message about a request that it refuses, which `provider_messages` sanitizes.
"""

from __future__ import annotations

import datetime
import email.utils
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.models.providers.errors.provider_messages import sanitize_message
from services.shared import errors

MAX_RETRY_SECONDS = 1e6
"""Limit for a retry delay; a larger value is not a delay, and is ignored."""

_SAFE_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


@dataclass(slots=True)
class Fault(Exception):
    """A provider's error, as its dialect understood it: `reason` is a key of `MEANINGS`."""

    reason: str
    field: str = ""
    """The request field that the provider complains about, when it names one of ours."""
    message: str = ""
    """The provider's own message, not sanitized yet; "" if the caller may not read it."""
    limit: str = ""
    """The timeout of ours that has passed, in words."""


class Meaning(NamedTuple):
    error: type[errors.PlatformError]
    message: str
    """The text of the error, with `{provider}` for the provider's name."""


MEANINGS: dict[str, Meaning] = {
    "UPSTREAM_INVALID_REQUEST": Meaning(
        errors.InvalidRequest, "{provider} refused the request as invalid; check its parameters against the model"
    ),
    "CONTEXT_LENGTH_EXCEEDED": Meaning(
        errors.InvalidRequest,
        "the request is longer than the model's context; shorten it, or lower max_tokens if it is set",
    ),
    "CONTENT_REJECTED": Meaning(
        errors.InvalidRequest, "{provider} refused the request under its content policy; change its content"
    ),
    "REQUEST_TOO_LARGE": Meaning(errors.InvalidRequest, "the request is larger than {provider} takes; shorten it"),
    "UPSTREAM_AUTH": Meaning(
        errors.PreconditionFailed, "{provider} refused the platform's credential; the operator must check its key"
    ),
    "UPSTREAM_BILLING": Meaning(
        errors.PreconditionFailed, "{provider} asks for payment; the operator must check the account"
    ),
    "UPSTREAM_MODEL_NOT_FOUND": Meaning(
        errors.PreconditionFailed, "{provider} does not serve this model, or not to this account; choose another"
    ),
    "UPSTREAM_PATH_NOT_FOUND": Meaning(
        errors.PreconditionFailed,
        "{provider} serves nothing at this path; the operator must correct the path of its endpoint",
    ),
    "UPSTREAM_PRECONDITION": Meaning(errors.PreconditionFailed, "{provider} refused the request in its present state"),
    "UPSTREAM_REDIRECT": Meaning(
        errors.PreconditionFailed, "{provider} redirects elsewhere; the operator must correct its endpoint"
    ),
    "UPSTREAM_CONFLICT": Meaning(errors.Conflict, "{provider} reported a conflict; try again"),
    "UPSTREAM_RATE_LIMITED": Meaning(errors.LimitExceeded, "{provider} limits the rate of requests; try again later"),
    "UPSTREAM_QUOTA_EXHAUSTED": Meaning(
        errors.LimitExceeded, "the quota at {provider} is used up; the operator must raise it"
    ),
    "UPSTREAM_OVERLOADED": Meaning(errors.Unavailable, "{provider} is overloaded; try again later"),
    "UPSTREAM_SERVER_ERROR": Meaning(errors.Unavailable, "{provider} failed; try again later"),
    "UPSTREAM_TIMEOUT": Meaning(errors.Unavailable, "{provider} did not answer in time; try again later"),
    "UPSTREAM_IDLE": Meaning(errors.Unavailable, "{provider} stopped sending before it was done; try again"),
    "UPSTREAM_STREAM_TRUNCATED": Meaning(
        errors.Unavailable, "{provider} ended the stream before it was complete; try again"
    ),
    "UPSTREAM_UNSUPPORTED": Meaning(errors.Unimplemented, "{provider} does not support this request"),
    "UPSTREAM_PROTOCOL_ERROR": Meaning(
        errors.Internal, "{provider} sent something that is no response of its API; is the endpoint right?"
    ),
    "OUTPUT_LIMIT": Meaning(
        errors.LimitExceeded, "the response grew beyond the platform's limit; ask for less, by max_tokens or in parts"
    ),
}

REASONS_BY_STATUS: dict[int, str] = {
    400: "UPSTREAM_INVALID_REQUEST",
    401: "UPSTREAM_AUTH",
    402: "UPSTREAM_BILLING",
    403: "UPSTREAM_AUTH",
    404: "UPSTREAM_MODEL_NOT_FOUND",
    405: "UPSTREAM_PATH_NOT_FOUND",
    408: "UPSTREAM_TIMEOUT",
    409: "UPSTREAM_CONFLICT",
    412: "UPSTREAM_PRECONDITION",
    413: "REQUEST_TOO_LARGE",
    422: "UPSTREAM_INVALID_REQUEST",
    429: "UPSTREAM_RATE_LIMITED",
    501: "UPSTREAM_UNSUPPORTED",
    504: "UPSTREAM_TIMEOUT",
    529: "UPSTREAM_OVERLOADED",
}


def reason_for_status(status: int) -> str:
    """The reason that an HTTP status alone stands for."""
    reason = REASONS_BY_STATUS.get(status)
    if reason:
        return reason
    if 400 <= status < 500:
        return "UPSTREAM_INVALID_REQUEST"
    if status >= 500:
        return "UPSTREAM_SERVER_ERROR"
    return "UPSTREAM_PROTOCOL_ERROR"


def error_for(
    fault: Fault,
    provider: str,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    keys: Callable[[], Collection[str]] = list,
    paths: Sequence[str] = (),
) -> errors.PlatformError:
    """The error for the caller of the platform. `keys` returns the keys that it must not quote; `paths` are those that
    were not found, without the host."""
    meaning = MEANINGS[fault.reason]
    metadata = {"provider": provider}
    if status is not None:
        metadata["http_status"] = str(status)
    headers = headers or {}
    request_id = headers.get("x-request-id") or headers.get("request-id") or ""
    if _SAFE_ID.fullmatch(request_id):
        metadata["upstream_request_id"] = request_id
    retry_after = _retry_after(headers) if fault.reason in RETRYABLE else None
    violations = [errors.FieldViolation(fault.field, "was refused by the provider")] if fault.field else []
    message = meaning.message.format(provider=provider)
    if fault.limit:
        message = f"{provider} was left, because {fault.limit} has passed; allow more, or try again later"
    if fault.field:
        message = f"{fault.field}: {message}"
    if paths:
        metadata["path"] = paths[0]
        message = f"{message}: POST {' and '.join(paths)} {'was' if len(paths) == 1 else 'were'} tried"
    # The caller's alone: it may repeat what was asked, which belongs into no log.
    if fault.message and (words := sanitize_message(fault.message, keys())):
        message = f"{message}; it says: {words}"
        metadata[errors.PROVIDER_MESSAGE] = words
    return meaning.error(
        message, reason=fault.reason, retry_after=retry_after, metadata=metadata, violations=violations
    )


RETRYABLE = frozenset(
    {"UPSTREAM_RATE_LIMITED", "UPSTREAM_OVERLOADED", "UPSTREAM_SERVER_ERROR", "UPSTREAM_TIMEOUT", "UPSTREAM_CONFLICT"}
)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` (OpenAI) or `Retry-After` (RFC 9110, 10.2.3: seconds or a date)."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or not value:
        return seconds
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    seconds = max(0.0, (moment - datetime.datetime.now(datetime.UTC)).total_seconds())
    return seconds if seconds < MAX_RETRY_SECONDS else None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < MAX_RETRY_SECONDS else None
