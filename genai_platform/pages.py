"""Lists that go over all of their pages, one call for each as it is reached."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from genai_platform.calls import CallOptions


class PagedRequest(Protocol):
    """A request message with a page token. It is the reader's own: the token in it is moved on."""

    page_token: str


class PagedResponse(Protocol):
    """A page."""

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
    """The entries of all pages. Raises what the call raises, also in the middle."""
    while True:
        page = call(request, **options)
        yield from entries_of(page)
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


async def read_async_pages(
    call: Callable[..., Awaitable[Response]],
    request: Request,
    entries_of: Callable[[Response], Iterable[Entry]],
    options: CallOptions,
) -> AsyncIterator[Entry]:
    """The entries of all pages. Raises what the call raises, also in the middle."""
    while True:
        page = await call(request, **options)
        for entry in entries_of(page):
            yield entry
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
