"""Page tokens, which continue a list after a page, and the size limits of pages.

A token holds the position of the last entry of its page and a hash of the request and of the caller's project and
user, so that it is valid for the same query only. It is no secret and grants nothing: every call checks again which
data the caller may see.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated, Any, Protocol

import msgspec
from google.protobuf.message import Message

from services.shared.errors import InvalidRequest
from services.shared.identity import IDENTITY

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000

MAX_PAGE_BYTES = 3 * 1024 * 1024
"""Size at which a page ends early, so that it fits into the 4 MiB that a gRPC client accepts by default."""

MAX_TOKEN_LENGTH = 8192
"""Several times the length of a token with the longest key."""

# A forged token must not bring NUL into a query, which PostgreSQL refuses, or numbers that are too large for a column.
MAX_NUMBER = 2**63 - 1
NaturalNumber = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
Number = Annotated[int, msgspec.Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]
Text = Annotated[str, msgspec.Meta(pattern=r"\A[^\0]*\Z")]


class PagedRequest(Protocol):
    """A request message with the two paging fields."""

    page_size: int
    page_token: str


def read_page_size(request: PagedRequest) -> int:
    """The number of entries that the page may have. Raises InvalidRequest for a negative size."""
    if request.page_size < 0:
        raise InvalidRequest.field("page_size", f"must be 0 (which means {DEFAULT_PAGE_SIZE}) or more")
    return min(request.page_size, MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE


def read_page_token(request: PagedRequest, position_type: Any) -> Any:
    """The position, of the given type, after which the page begins; None at the start.

    A token is valid for the query that returned it: the same request by a caller of the same project and user, in which
    only `page_size` may differ. Raises InvalidRequest for any other one.
    """
    if not request.page_token:
        return None
    no_token = InvalidRequest.field("page_token", "is no token of this list; leave it empty to start")
    if len(request.page_token) > MAX_TOKEN_LENGTH:
        raise no_token
    try:
        padding = "=" * (-len(request.page_token) % 4)
        data = base64.b64decode(request.page_token + padding, altchars=b"-_", validate=True)
        fingerprint, position = msgspec.json.decode(data, type=tuple[str, position_type])
    except ValueError:
        raise no_token from None
    if fingerprint != _fingerprint(request):
        raise InvalidRequest.field(
            "page_token", "belongs to another question; repeat the request it came with, or leave it empty to start"
        )
    return position


def write_page_token(request: PagedRequest, position: Any) -> str:
    """The token of the page after `position`."""
    data = msgspec.json.encode((_fingerprint(request), position))
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _fingerprint(request: PagedRequest) -> str:
    """A short hash of the request without its paging fields, and of those whom its answer is for."""
    assert isinstance(request, Message)
    query = type(request)()
    query.CopyFrom(request)
    query.ClearField("page_size")
    query.ClearField("page_token")
    content = query.SerializeToString(deterministic=True)
    asked = f"{request.DESCRIPTOR.full_name}:".encode() + content
    if identity := IDENTITY.get():
        whose = msgspec.json.encode((identity.project_id, identity.user_id))
        asked = hashlib.sha256(whose).digest() + asked
    return hashlib.sha256(asked).hexdigest()[:16]
