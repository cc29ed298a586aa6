# Generated from genai_platform/_async/pages.py by tools/unasync.py. Change that file and run `make sdk`.

"""Iterators over all pages of a list; each page is one call, made when it is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from genai_platform.calls import CallOptions


class PagedRequest(Protocol):
    """A request for a page. It belongs to the reader, which sets its token."""

    page_token: str


class PagedResponse(Protocol):
    """A page of a list."""

    @property
    def next_page_token(self) -> str: ...


Request = TypeVar("Request", bound=PagedRequest)
Response = TypeVar("Response", bound=PagedResponse)
Entry = TypeVar("Entry")


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
        request.page_token = page.next_page_token
