"""Errors in the words of OpenAI's API, which Chat Completions and Responses share.

https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from services.models.faces.base import Asked, Refusal
from services.models.faces.problems import Problem, problem_of, retry_headers
from services.models.validation.fields import MAX_VIOLATIONS
from services.shared.errors import PlatformError
from services.shared.json_text import encode_any

_FIELD = re.compile(r"\w++(?:\.\w++|\[[^\[\]]*+\])*+")
"""A field in a sentence, with its whole path."""

PathOf = Callable[[str], str]
"""The path in the body of a field of the contract, as `Asked.path_of`."""

OVERFLOW = "context_length_exceeded"
OVERFLOW_WORDS = "This model's maximum context length is exceeded: "
"""Beginning of a message about a conversation that is too long. Clients that do not read codes look for it."""


def refusal(error: PlatformError, asked: Asked | None = None) -> Refusal:
    """The refusal of a request, which `asked` is if it was read."""
    problem = problem_of(error)
    body = encode_any({"error": error_object(error, _path_of(asked))})
    return Refusal(problem.status, list(retry_headers(error, problem)), body)


def error_object(error: PlatformError, path_of: PathOf) -> dict[str, Any]:
    """The members of OpenAI's error: `message`, `type`, `param` and `code`."""
    problem = problem_of(error)
    return {
        "message": message_of(error, problem, path_of),
        "type": problem.type,
        "param": _param(error, path_of),
        "code": problem.code,
    }


def message_of(error: PlatformError, problem: Problem, path_of: PathOf) -> str:
    """The sentence of an error, with paths of the body where the contract's fields were."""
    message = _in_paths(error, path_of)
    return f"{OVERFLOW_WORDS}{message}" if problem.code == OVERFLOW else message


def as_is(field: str) -> str:
    """The path of a field that is a path of the body already, as in the errors of reading."""
    return field


def _path_of(asked: Asked | None) -> PathOf:
    return as_is if asked is None else asked.path_of


def _param(error: PlatformError, path_of: PathOf) -> str | None:
    return (error.violations and path_of(error.violations[0].field)) or None


def _in_paths(error: PlatformError, path_of: PathOf) -> str:
    fields = (violation.field for violation in error.violations[:MAX_VIOLATIONS])
    paths = {field: path for field in fields if (path := path_of(field)) and path != field}
    if not paths:
        return error.message
    return _FIELD.sub(lambda found: paths.get(found.group(), found.group()), error.message)
