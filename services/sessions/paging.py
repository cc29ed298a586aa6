"""Pages of a list: slices of a query, and the opaque tokens that go on behind them.

A token holds the place of the last entry of its page and the question that it belongs to, so that it cannot be used
for another one. It is no secret and grants nothing: every call checks again whose data it may show.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated, Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec
from google.protobuf.message import Message
from sqlalchemy import ColumnElement, Select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.shared.errors import InvalidRequest

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000

MAX_PAGE_BYTES = 3 * 1024 * 1024
"""A page ends early here, so that it fits into the 4 MiB that a gRPC client takes unless it is told otherwise."""

ENTRY_BYTES = 512
"""What an entry takes beside what is weighed."""

# What a forged token must not bring into a query: numbers too large for a column, and PostgreSQL refuses NUL.
Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Text = Annotated[str, msgspec.Meta(pattern=r"\A[^\0]*\Z")]

Entry = TypeVar("Entry")


class Slice(NamedTuple, Generic[Entry]):
    """Some entries of a list, and whether there are more behind them."""

    entries: list[Entry]
    more: bool


class PagedRequest(Protocol):
    """A request message with the two paging fields."""

    page_size: int
    page_token: str


async def fetch_slice(
    connection: AsyncConnection, statement: Select[Any], weight: ColumnElement[int], size: int
) -> Slice[Any]:
    """The first rows of an ordered query: at most `size`, and no more than `MAX_PAGE_BYTES` beyond the first.

    The weights, in bytes, are asked first, so that rows which do not fit are never read.
    """
    weights = (await connection.scalars(statement.with_only_columns(weight).limit(size + 1))).all()
    count = _count_fitting(weights[:size])
    rows = (await connection.execute(statement.limit(count))).all()
    return Slice(list(rows), count < len(weights))


def _count_fitting(weights: Any) -> int:
    room = MAX_PAGE_BYTES
    for count, weight in enumerate(weights):
        room -= weight + ENTRY_BYTES
        if room < 0 and count > 0:
            return count
    return len(weights)


def read_page_size(request: PagedRequest) -> int:
    """How many entries the request asks for. Raises InvalidRequest."""
    if request.page_size < 0:
        raise InvalidRequest.field("page_size", f"must be 0 (which means {DEFAULT_PAGE_SIZE}) or more")
    return min(request.page_size, MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE


def read_page_token(request: PagedRequest, position_type: Any) -> Any:
    """The place, of the given type, behind which the page begins; None at the start. Raises InvalidRequest."""
    if not request.page_token:
        return None
    try:
        padding = "=" * (-len(request.page_token) % 4)
        data = base64.b64decode(request.page_token + padding, altchars=b"-_", validate=True)
        question, position = msgspec.json.decode(data, type=tuple[str, position_type])
    except ValueError:
        raise InvalidRequest.field("page_token", "is no token of this list; leave it empty to start") from None
    if question != _fingerprint(request):
        raise InvalidRequest.field(
            "page_token", "belongs to another question; repeat the request it came with, or leave it empty to start"
        )
    return position


def write_page_token(request: PagedRequest, position: Any) -> str:
    """The token that goes on behind `position`."""
    data = msgspec.json.encode((_fingerprint(request), position))
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
