"""Pages of a list: opaque tokens, bound to the question that they go on with."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Annotated, Generic, NamedTuple, Protocol, TypeVar

import msgspec
from google.protobuf.message import Message

from services.shared.errors import InvalidRequest

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000

MAX_PAGE_BYTES = 3 * 1024 * 1024
"""A page ends early here, so that it fits into the 4 MiB that a gRPC client takes unless it is told otherwise."""


MAX_NUMBER = 2**63 - 1
"""The largest number that a database takes; a forged token may hold a larger one."""


class PagedRequest(Protocol):
    """A request message with the two paging fields."""

    page_size: int
    page_token: str


class _Token(msgspec.Struct, array_like=True):
    question: str
    after: str | Annotated[int, msgspec.Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]


Key = TypeVar("Key", str, int)
Entry = TypeVar("Entry", bound=Message)


class Page(NamedTuple, Generic[Entry]):
    entries: list[Entry]
    next_page_token: str


def cut_page(entries: Iterable[tuple[Key, Entry]], request: PagedRequest) -> Page[Entry]:
    """The page of `entries` that `request` asks for.

    `entries` come in ascending order of their keys; a page goes on behind the last key of the one before, so that
    what is added or removed meanwhile neither repeats nor hides another entry. A token is good only for the question
    it came with: the same request, except that `page_size` may change. Raises InvalidRequest for any other token and
    for a negative size.
    """
    size = read_page_size(request)
    question = _question(request)
    after = _position(request.page_token, question)
    page: list[Entry] = []
    room = MAX_PAGE_BYTES
    last: Key | None = None
    for key, entry in entries:
        # A token of the same question always has keys of the same type; a forged one may not.
        if after is not None and (type(key) is not type(after) or key <= after):
            continue
        room -= entry.ByteSize()
        if page and (len(page) == size or room < 0):
            assert last is not None
            return Page(page, _encode(_Token(question, last)))
        page.append(entry)
        last = key
    return Page(page, "")


def read_page_start(request: PagedRequest, key_type: type[Key]) -> Key | None:
    """The key behind which the page begins, for a query that need not read what stands before it; None at the start.

    Raises InvalidRequest as `cut_page` does.
    """
    after = _position(request.page_token, _question(request))
    if after is None or isinstance(after, key_type):
        return after
    raise _foreign_token()


def read_page_size(request: PagedRequest) -> int:
    """How many entries the page may have. Raises InvalidRequest for a negative size."""
    if request.page_size < 0:
        raise InvalidRequest.field("page_size", f"must be 0 (which means {DEFAULT_PAGE_SIZE}) or more")
    return min(request.page_size, MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE


def _question(request: PagedRequest) -> str:
    """A short fingerprint of what was asked, paging left out."""
    assert isinstance(request, Message)
    question = type(request)()
    question.CopyFrom(request)
    question.ClearField("page_size")
    question.ClearField("page_token")
    content = question.SerializeToString(deterministic=True)
    return hashlib.sha256(f"{request.DESCRIPTOR.full_name}:".encode() + content).hexdigest()[:16]


def _encode(token: _Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def _position(text: str, question: str) -> str | int | None:
    """The key behind which the page begins; None at the start."""
    if not text:
        return None
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        token = msgspec.json.decode(data, type=_Token)
    except (ValueError, binascii.Error):
        raise _foreign_token() from None
    if token.question != question:
        raise InvalidRequest.field(
            "page_token", "belongs to another question; repeat the request it came with, or leave it empty to start"
        )
    return token.after


def _foreign_token() -> InvalidRequest:
    return InvalidRequest.field("page_token", "is not a token of this service; leave it empty to start")
