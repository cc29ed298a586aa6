"""HTTP request of a provider's API, as a dialect writes it: everything but the server and its keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from services.shared.errors import PreconditionFailed


@dataclass(slots=True)
class HttpRequest:
    """One request below a target's endpoint."""

    path: str
    """Below the endpoint, beginning with a slash; a query may follow. Ids in it are quoted by `path_segment`."""
    body: bytes
    """The body; a large one is released when it is sent."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers beside the target's own, which they override."""
    method: Literal["POST"] = "POST"


def path_segment(text: str) -> str:
    """An id as one segment of a path, or a part of one: percent-encoded, slashes included.

    Raises PreconditionFailed (UPSTREAM_REQUEST_INVALID) for an empty one and for `.` and `..`, which lead to other
    paths even when they are percent-encoded (https://url.spec.whatwg.org/#double-dot-path-segment).
    """
    if text in ("", ".", ".."):
        raise PreconditionFailed(
            "the model's id at its provider cannot be part of a path; register the model with another upstream_model",
            reason="UPSTREAM_REQUEST_INVALID",
        )
    return quote(text, safe="")
