# Generated from genai_platform/_async/pages.py by tools/unasync.py. Change that file and run `make sdk`.

"""Lists over all of their pages: as iterators, whose calls are made when a page is reached, or read to the end.

Each page is one call, with a deadline of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message

from genai_platform.calls import CallOptions
from genai_platform.errors import ServerError


class PagedRequest(Protocol):
    """A request for a page. It belongs to the reader, which sets its token."""

    page_token: str


class PagedResponse(Protocol):
    """A page of a list."""

    @property
    def next_page_token(self) -> str: ...


PAGE_SIZE = 200
"""The size of pages that are read when they are reached."""
WHOLE_PAGE_SIZE = 1000
"""That of pages that are read to the end; the services send less where that is too much for a message."""

Request = TypeVar("Request", bound=PagedRequest)
Response = TypeVar("Response", bound=PagedResponse)
Entry = TypeVar("Entry")
Listed = TypeVar("Listed", bound=Message)


def read_pages(
    call: Callable[..., Response],
    request: Request,
    entries_of: Callable[[Response], Iterable[Entry]],
    options: CallOptions,
) -> Iterator[Entry]:
    """The entries of all pages. Any page's call may raise its errors."""
    while True:
        page = call(request, **options)
        yield from entries_of(page)
        if not page.next_page_token:
            return
        request.page_token = _next_token(page, request)


def read_list(call: Callable[[Any], Listed], request: Message) -> Listed:
    """The page that a request asks for; without a page size, the entries of all pages in one response."""
    asked: Any = type(request)()
    asked.CopyFrom(request)
    if asked.page_size:
        return call(asked)
    asked.page_size = WHOLE_PAGE_SIZE
    whole: Any = call(asked)
    while whole.next_page_token:
        asked.page_token = _next_token(whole, asked)
        whole.next_page_token = ""
        whole.MergeFrom(call(asked))
    listed: Listed = whole
    return listed


def _next_token(page: PagedResponse, asked: PagedRequest) -> str:
    if page.next_page_token == asked.page_token:
        raise ServerError("the server has answered a page of a list with the same page", reason="PAGE_REPEATED")
    return page.next_page_token
