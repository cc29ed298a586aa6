"""Pages of lists whose entries are iterated in the order of their keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

from google.protobuf.message import Message

from services.shared.page_tokens import MAX_PAGE_BYTES, PagedRequest, read_page_size, write_page_token

Key = TypeVar("Key", str, int)
Entry = TypeVar("Entry", bound=Message)


class Page(NamedTuple, Generic[Entry]):
    entries: list[Entry]
    next_page_token: str


def cut_page(entries: Iterable[tuple[Key, Entry]], request: PagedRequest, *, goes_on: bool = False) -> Page[Entry]:
    """The page that `request` asks for. `entries` are those after its token's position, in the order of their keys;
    `goes_on` says that there are more behind them.

    At most one entry more than the page holds is read. A page starts after the last key of the previous one, so that
    entries which are added or removed meanwhile neither repeat nor hide others. Raises InvalidRequest as
    `read_page_size` does.
    """
    size = read_page_size(request)
    page: list[Entry] = []
    free_bytes = MAX_PAGE_BYTES
    last: Key | None = None
    for key, entry in entries:
        free_bytes -= entry.ByteSize()
        if page and (len(page) == size or free_bytes < 0):
            return Page(page, write_page_token(request, last))
        page.append(entry)
        last = key
    return Page(page, write_page_token(request, last) if goes_on and page else "")
