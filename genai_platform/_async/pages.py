"""Iterators over all pages of a list; each page is one call, made when it is reached."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
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


async def read_pages(
    call: Callable[..., Awaitable[Response]],
    request: Request,
    entries_of: Callable[[Response], Iterable[Entry]],
    options: CallOptions,
) -> AsyncIterator[Entry]:
    """The entries of all pages. Any page's call may raise its errors."""
    while True:
        page = await call(request, **options)
        for entry in entries_of(page):
            yield entry
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
