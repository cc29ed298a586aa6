"""Pages of queries: as many rows as one message has room for."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.shared.page_tokens import MAX_PAGE_BYTES

ENTRY_BYTES = 512
"""What an entry takes beside what is weighed."""

Entry = TypeVar("Entry")


class Slice(NamedTuple, Generic[Entry]):
    """Some entries of a list, and whether there are more behind them."""

    entries: list[Entry]
    more: bool


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
