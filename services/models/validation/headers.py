"""Validation of header fields that a request has for its provider."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice

from services.models.validation.fields import shorten
from services.shared.errors import FieldViolation

HEADERS_OF_VENDORS = frozenset({"anthropic-beta", "openai-beta"})
"""The header fields that requests may have.

`anthropic-version` is not among them: the body and the reading of the answer are those of one version. Nor is any that
could have a key, or change how the request travels.
"""

MAX_HEADER_LENGTH = 4096
_PRINTABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")


def header_violations(headers: Mapping[str, str]) -> Iterator[FieldViolation]:
    # If there are more than the known ones, an unknown one is among so many.
    for name, value in islice(headers.items(), len(HEADERS_OF_VENDORS) + 1):
        field = f"provider_headers[{shorten(name)}]"
        if name not in HEADERS_OF_VENDORS:
            yield FieldViolation(field, f"must be one of {', '.join(sorted(HEADERS_OF_VENDORS))}, in lower case")
        elif problem := header_problem(value):
            yield FieldViolation(field, problem)


def header_problem(value: str) -> str | None:
    """The problem of a value; None for one that may be sent."""
    if len(value) > MAX_HEADER_LENGTH:
        return f"is longer than {MAX_HEADER_LENGTH} characters"
    return None if _PRINTABLE.fullmatch(value) else "must be printable ASCII without blanks at its ends"
