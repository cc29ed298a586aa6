"""Errors in Anthropic's words. https://platform.claude.com/docs/en/api/errors"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from services.models.faces.base import Refusal
from services.models.faces.problems import problem_of, retry_headers
from services.shared.errors import PlatformError

TOO_LONG = frozenset({"CONTEXT_LENGTH_EXCEEDED", "CONTEXT_TOO_LARGE"})
"""Reasons after which agents shorten their history; they know them by their words."""

NO_MODEL = frozenset({"MODEL_NOT_FOUND", "MODEL_RETIRED", "MODEL_NOT_SERVED", "UPSTREAM_MODEL_NOT_FOUND"})

PathOf = Callable[[str], str]
"""The path in a body of a field of the request."""


def refuse(error: PlatformError, request_id: str, path_of: PathOf | None = None, model: str = "") -> Refusal:
    """The error of a request for `model`."""
    problem = problem_of(error)
    headers = list(retry_headers(error, problem))
    return Refusal(problem.anthropic_status, headers, error_json(error, request_id, path_of, model))


def error_json(error: PlatformError, request_id: str, path_of: PathOf | None = None, model: str = "") -> bytes:
    """The body of an error, which is the data of an event of one, too."""
    kind = problem_of(error).anthropic_type
    told = {"type": kind, "message": _message(error, path_of, model)}
    return msgspec.json.encode({"type": "error", "error": told, "request_id": request_id})


def _message(error: PlatformError, path_of: PathOf | None, model: str) -> str:
    if error.reason in TOO_LONG:
        return (
            error.message if error.message.startswith("prompt is too long") else f"prompt is too long: {error.message}"
        )
    if error.reason in NO_MODEL:
        return (
            f"model: {error.metadata.get('model') or model}" if error.metadata.get("model") or model else error.message
        )
    if path_of is None or not error.violations:
        return error.message
    first, more = error.violations[0], len(error.violations) - 1
    path = path_of(first.field)
    if not path or not error.message.startswith(f"{first.field}: "):
        return error.message
    return f"{path}: {first.description}" + (f" (and {more} more)" if more else "")
