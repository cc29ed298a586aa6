"""The problems that errors are to clients of other APIs: one table from the platform's reasons to statuses and words.

Clients act on them: which status an SDK asks again for, which code or sentence lets an agent shorten its history. Where
an answer may have been paid for, or nothing changes by asking again, `x-should-retry: false` says so; both vendors'
SDKs and Claude Code obey it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from services.shared import errors
from services.shared.errors import PlatformError


class Problem(NamedTuple):
    """An error as OpenAI's and Anthropic's clients know it."""

    status: int
    type: str
    """OpenAI's `type`."""
    code: str | None
    """OpenAI's `code`."""
    anthropic_status: int
    anthropic_type: str
    may_retry: bool = True
    """False where the client must not send the request again by itself."""


_INVALID = Problem(400, "invalid_request_error", None, 400, "invalid_request_error")
_TOO_LONG = _INVALID._replace(code="context_length_exceeded")
_REJECTED = _INVALID._replace(code="content_policy_violation")
_UNSUPPORTED = _INVALID._replace(code="unsupported_parameter")
_TOO_LARGE = Problem(413, "invalid_request_error", "request_too_large", 413, "request_too_large", may_retry=False)
_NO_JSON = Problem(415, "invalid_request_error", None, 415, "invalid_request_error", may_retry=False)
_UNKNOWN_KEY = Problem(401, "invalid_request_error", "invalid_api_key", 401, "authentication_error", may_retry=False)
_FORBIDDEN = Problem(403, "invalid_request_error", "permission_denied", 403, "permission_error", may_retry=False)
_NO_MODEL = Problem(404, "invalid_request_error", "model_not_found", 404, "not_found_error", may_retry=False)
_NOT_FOUND = Problem(404, "invalid_request_error", "not_found", 404, "not_found_error", may_retry=False)
_CONFLICT = Problem(409, "invalid_request_error", "conflict", 409, "invalid_request_error")
_OPERATOR = Problem(503, "server_error", "not_configured", 503, "api_error", may_retry=False)
_BILLING = Problem(429, "insufficient_quota", "insufficient_quota", 402, "billing_error", may_retry=False)
_QUOTA = Problem(429, "insufficient_quota", "insufficient_quota", 429, "rate_limit_error", may_retry=False)
_RATE = Problem(429, "requests", "rate_limit_exceeded", 429, "rate_limit_error")
_OVERLOADED = Problem(503, "server_error", "server_is_overloaded", 529, "overloaded_error")
_AWAY = Problem(503, "server_error", "server_error", 503, "api_error")
_BROKEN = Problem(502, "server_error", "server_error", 502, "api_error")
_PAID = _BROKEN._replace(may_retry=False)
_LATE = Problem(504, "server_error", "timeout", 504, "timeout_error", may_retry=False)
_INTERNAL = Problem(500, "server_error", "server_error", 500, "api_error", may_retry=False)

BY_REASON: dict[str, Problem] = {
    "CONTEXT_LENGTH_EXCEEDED": _TOO_LONG,
    "CONTEXT_TOO_LARGE": _TOO_LONG,
    "CONTENT_REJECTED": _REJECTED,
    "PARAMETER_UNSUPPORTED": _UNSUPPORTED,
    "FEATURE_UNSUPPORTED": _UNSUPPORTED,
    "UPSTREAM_UNSUPPORTED": _UNSUPPORTED,
    "REQUEST_TOO_LARGE": _TOO_LARGE,
    "MESSAGE_TOO_LARGE": _TOO_LARGE,
    "CONTENT_TYPE_UNSUPPORTED": _NO_JSON,
    "METADATA_TOO_LARGE": _TOO_LARGE._replace(status=431, anthropic_status=431),
    "MODEL_NOT_FOUND": _NO_MODEL,
    "MODEL_RETIRED": _NO_MODEL,
    "MODEL_NOT_SERVED": _NO_MODEL,
    "UPSTREAM_MODEL_NOT_FOUND": _NO_MODEL,
    "UPSTREAM_BILLING": _BILLING,
    "UPSTREAM_QUOTA_EXHAUSTED": _QUOTA,
    "UPSTREAM_OVERLOADED": _OVERLOADED,
    "SERVER_BUSY": _OVERLOADED,
    "TOO_MANY_CALLS": _RATE,
    "BUDGET_EXHAUSTED": _QUOTA,
    "PROVIDER_BUSY": _OVERLOADED,
    "CIRCUIT_OPEN": _AWAY,
    "UPSTREAM_SERVER_ERROR": _BROKEN,
    "UPSTREAM_UNREACHABLE": _BROKEN,
    "UPSTREAM_TIMEOUT": _LATE,
    "UPSTREAM_IDLE": _PAID,
    "UPSTREAM_STREAM_TRUNCATED": _PAID,
    "UPSTREAM_STREAM_INTERRUPTED": _PAID,
    "UPSTREAM_PROTOCOL_ERROR": _PAID,
    "OUTPUT_LIMIT": _PAID,
}

BY_CLASS: dict[type[PlatformError], Problem] = {
    errors.InvalidRequest: _INVALID,
    errors.Unauthenticated: _UNKNOWN_KEY,
    errors.PermissionDenied: _FORBIDDEN,
    errors.NotFound: _NOT_FOUND,
    errors.AlreadyExists: _CONFLICT,
    errors.Conflict: _CONFLICT,
    # The caller's own key is right, so that no 401 or 403 may send a client to look for another one.
    errors.PreconditionFailed: _OPERATOR,
    errors.LimitExceeded: _RATE,
    errors.Unavailable: _AWAY,
    errors.DeadlineExceeded: _LATE,
    errors.Cancelled: _CONFLICT._replace(may_retry=False),
    # 501 would be asked again as any status from 500 on.
    errors.Unimplemented: _UNSUPPORTED,
    errors.DataLoss: _INTERNAL,
    errors.Internal: _INTERNAL,
}


def problem_of(error: PlatformError) -> Problem:
    """The problem that an error is to clients."""
    return BY_REASON.get(error.reason) or BY_CLASS[type(error)]


def retry_headers(error: PlatformError, problem: Problem) -> Iterator[tuple[str, str]]:
    """The header fields that say whether and when the request may be sent again."""
    if not problem.may_retry:
        yield "x-should-retry", "false"
    elif error.retry_after is not None:
        yield "retry-after", str(math.ceil(error.retry_after))
        yield "retry-after-ms", str(math.ceil(error.retry_after * 1000))
