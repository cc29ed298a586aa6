"""Pages of lists that are in memory, or that come in the order of their keys."""

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


def cut_page(entries: Iterable[tuple[Key, Entry]], request: PagedRequest) -> Page[Entry]:
    """The page that `request` asks for, of all `entries` behind the place in its token, in the order of their keys.

    No more of them are asked for than the page holds, and one. A page goes on behind the last key of the one before, so
    that what is added or removed meanwhile neither repeats nor hides another entry. Raises InvalidRequest as
    `read_page_size` does.
    """
    size = read_page_size(request)
    page: list[Entry] = []
    room = MAX_PAGE_BYTES
    last: Key | None = None
    for key, entry in entries:
        room -= entry.ByteSize()
        if page and (len(page) == size or room < 0):
            return Page(page, write_page_token(request, last))
        page.append(entry)
        last = key
    return Page(page, "")
