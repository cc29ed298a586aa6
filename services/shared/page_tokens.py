"""The tokens that go on behind a page of a list, and how much a page holds.

A token holds the place of the last entry of its page and the question that it belongs to, so that it cannot be used
for another one. It is no secret and grants nothing: every call checks again whose data it may show.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated, Any, Protocol

import msgspec
from google.protobuf.message import Message

from services.shared.errors import InvalidRequest

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000

MAX_PAGE_BYTES = 3 * 1024 * 1024
"""A page ends early here, so that it fits into the 4 MiB that a gRPC client takes unless it is told otherwise."""

MAX_TOKEN_LENGTH = 8192
"""Several times what the token of the longest key has."""

# What a forged token must not bring into a query: numbers too large for a column, and PostgreSQL refuses NUL.
MAX_NUMBER = 2**63 - 1
NaturalNumber = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
Number = Annotated[int, msgspec.Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]
Text = Annotated[str, msgspec.Meta(pattern=r"\A[^\0]*\Z")]


class PagedRequest(Protocol):
    """A request message with the two paging fields."""

    page_size: int
    page_token: str


def read_page_size(request: PagedRequest) -> int:
    """How many entries the page may have. Raises InvalidRequest for a negative size."""
    if request.page_size < 0:
        raise InvalidRequest.field("page_size", f"must be 0 (which means {DEFAULT_PAGE_SIZE}) or more")
    return min(request.page_size, MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE


def read_page_token(request: PagedRequest, place_type: Any) -> Any:
    """The place, of the given type, behind which the page begins; None at the start.

    A token is good only for the question it came with: the same request, except that `page_size` may change. Raises
    InvalidRequest for any other one.
    """
    if not request.page_token:
        return None
    no_token = InvalidRequest.field("page_token", "is no token of this list; leave it empty to start")
    if len(request.page_token) > MAX_TOKEN_LENGTH:
        raise no_token
    try:
        padding = "=" * (-len(request.page_token) % 4)
        data = base64.b64decode(request.page_token + padding, altchars=b"-_", validate=True)
        question, place = msgspec.json.decode(data, type=tuple[str, place_type])
    except ValueError:
        raise no_token from None
    if question != _fingerprint(request):
        raise InvalidRequest.field(
            "page_token", "belongs to another question; repeat the request it came with, or leave it empty to start"
        )
    return place


def write_page_token(request: PagedRequest, place: Any) -> str:
    """The token that goes on behind `place`."""
    data = msgspec.json.encode((_fingerprint(request), place))
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _fingerprint(request: PagedRequest) -> str:
    """A short hash of what was asked, paging left out."""
    assert isinstance(request, Message)
    question = type(request)()
    question.CopyFrom(request)
    question.ClearField("page_size")
    question.ClearField("page_token")
    content = question.SerializeToString(deterministic=True)
    return hashlib.sha256(f"{request.DESCRIPTOR.full_name}:".encode() + content).hexdigest()[:16]
