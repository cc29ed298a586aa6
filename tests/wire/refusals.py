"""Error responses in the providers' shapes, and what each of them means to a caller."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from services.shared import errors
from tests.wire.adapters import CANARY


class Refusal(NamedTuple):
    """An error response, and what its caller sees."""

    status: int
    body: bytes
    error: type[errors.PlatformError]
    reason: str


def worded(word: str, code: Any = None, message: str = CANARY, **members: Any) -> bytes:
    error = {"message": message, "type": word, "param": None, "code": code, "quoted": CANARY, **members}
    return json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode()


HTML = f"<html><title>{CANARY}</title><body>502 Bad Gateway</body></html>".encode()

REFUSALS: dict[str, Refusal] = {
    "400": Refusal(400, worded("invalid_request_error"), errors.InvalidRequest, "UPSTREAM_INVALID_REQUEST"),
    "400 of vLLM": Refusal(
        400,
        worded("BadRequestError", 400, f"This model's maximum context length is 2048 tokens. {CANARY}"),
        errors.InvalidRequest,
        "CONTEXT_LENGTH_EXCEEDED",
    ),
    "400 of llama.cpp": Refusal(
        400, worded("exceed_context_size_error", 400), errors.InvalidRequest, "CONTEXT_LENGTH_EXCEEDED"
    ),
    "400 of OpenAI for the context": Refusal(
        400,
        worded("invalid_request_error", "context_length_exceeded"),
        errors.InvalidRequest,
        "CONTEXT_LENGTH_EXCEEDED",
    ),
    "400 of Anthropic for the context": Refusal(
        400,
        worded("invalid_request_error", message=f"prompt is too long: 210000 tokens > 200000 maximum {CANARY}"),
        errors.InvalidRequest,
        "CONTEXT_LENGTH_EXCEEDED",
    ),
    "400 for the content": Refusal(
        400, worded("invalid_request_error", "content_policy_violation"), errors.InvalidRequest, "CONTENT_REJECTED"
    ),
    "400 for the spend limit": Refusal(
        400,
        worded("invalid_request_error", details={"error_code": "enforced_spend_limit_reached"}),
        errors.LimitExceeded,
        "UPSTREAM_QUOTA_EXHAUSTED",
    ),
    "400 for the balance": Refusal(
        400,
        worded("invalid_request_error", message=f"Your credit balance is too low to access the API. {CANARY}"),
        errors.PreconditionFailed,
        "UPSTREAM_BILLING",
    ),
    "401": Refusal(401, worded("authentication_error"), errors.PreconditionFailed, "UPSTREAM_AUTH"),
    "401 of OpenAI": Refusal(
        401, worded("invalid_request_error", "invalid_api_key"), errors.PreconditionFailed, "UPSTREAM_AUTH"
    ),
    "402": Refusal(402, worded("billing_error"), errors.PreconditionFailed, "UPSTREAM_BILLING"),
    "403": Refusal(403, worded("permission_error"), errors.PreconditionFailed, "UPSTREAM_AUTH"),
    "404": Refusal(404, worded("not_found_error"), errors.PreconditionFailed, "UPSTREAM_MODEL_NOT_FOUND"),
    "404 of OpenAI": Refusal(
        404, worded("invalid_request_error", "model_not_found"), errors.PreconditionFailed, "UPSTREAM_MODEL_NOT_FOUND"
    ),
    "408": Refusal(408, b"", errors.Unavailable, "UPSTREAM_TIMEOUT"),
    "409": Refusal(409, b"{}", errors.Conflict, "UPSTREAM_CONFLICT"),
    "412": Refusal(412, b"[]", errors.PreconditionFailed, "UPSTREAM_PRECONDITION"),
    "413": Refusal(413, worded("request_too_large"), errors.InvalidRequest, "REQUEST_TOO_LARGE"),
    "413 HTML": Refusal(413, HTML, errors.InvalidRequest, "REQUEST_TOO_LARGE"),
    "418": Refusal(418, HTML, errors.InvalidRequest, "UPSTREAM_INVALID_REQUEST"),
    "422": Refusal(
        422,
        json.dumps({"detail": [{"loc": ["body"], "msg": CANARY}]}).encode(),
        errors.InvalidRequest,
        "UPSTREAM_INVALID_REQUEST",
    ),
    "429 rate": Refusal(429, worded("rate_limit_error"), errors.LimitExceeded, "UPSTREAM_RATE_LIMITED"),
    "429 rate of OpenAI": Refusal(
        429, worded("tokens", "rate_limit_exceeded"), errors.LimitExceeded, "UPSTREAM_RATE_LIMITED"
    ),
    "429 quota": Refusal(
        429, worded("insufficient_quota", "insufficient_quota"), errors.LimitExceeded, "UPSTREAM_QUOTA_EXHAUSTED"
    ),
    "429 integer code": Refusal(429, worded("TooManyRequests", 429), errors.LimitExceeded, "UPSTREAM_RATE_LIMITED"),
    "500": Refusal(500, worded("api_error"), errors.Unavailable, "UPSTREAM_SERVER_ERROR"),
    "500 integer code": Refusal(500, worded("InternalServerError", 500), errors.Unavailable, "UPSTREAM_SERVER_ERROR"),
    "500 text": Refusal(500, CANARY.encode(), errors.Unavailable, "UPSTREAM_SERVER_ERROR"),
    "500 error is text": Refusal(
        500, json.dumps({"error": CANARY}).encode(), errors.Unavailable, "UPSTREAM_SERVER_ERROR"
    ),
    "501": Refusal(501, b"null", errors.Unimplemented, "UPSTREAM_UNSUPPORTED"),
    "502 HTML": Refusal(502, HTML, errors.Unavailable, "UPSTREAM_SERVER_ERROR"),
    "503 empty": Refusal(503, b"", errors.Unavailable, "UPSTREAM_SERVER_ERROR"),
    "503 of OpenAI": Refusal(
        503, worded("server_error", "server_is_overloaded"), errors.Unavailable, "UPSTREAM_OVERLOADED"
    ),
    "504": Refusal(504, worded("timeout_error"), errors.Unavailable, "UPSTREAM_TIMEOUT"),
    "529": Refusal(529, worded("overloaded_error"), errors.Unavailable, "UPSTREAM_OVERLOADED"),
    "529 empty": Refusal(529, b"", errors.Unavailable, "UPSTREAM_OVERLOADED"),
    "204": Refusal(204, b"", errors.Internal, "UPSTREAM_PROTOCOL_ERROR"),
}
