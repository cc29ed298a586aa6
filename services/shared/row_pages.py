"""Pages of database rows, as many as fit into one message."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.shared.page_tokens import MAX_PAGE_BYTES

ENTRY_BYTES = 512
"""Overhead of an entry, added to its weight."""

Entry = TypeVar("Entry")


class RowPage(NamedTuple, Generic[Entry]):
    """Some entries of a list, and whether more follow."""

    entries: list[Entry]
    more: bool


async def fetch_page(
    connection: AsyncConnection, statement: Select[Any], weight: ColumnElement[int], size: int
) -> RowPage[Any]:
    """The first rows of an ordered query: at most `size`, and after the first one at most `MAX_PAGE_BYTES`.

    The weights, in bytes, are selected first, so that rows which do not fit are never read.
    """
    weights = (await connection.scalars(statement.with_only_columns(weight).limit(size + 1))).all()
    count = _count_fitting(weights[:size])
    rows = (await connection.execute(statement.limit(count))).all()
    return RowPage(list(rows), count < len(weights))


def _count_fitting(weights: Any) -> int:
    free_bytes = MAX_PAGE_BYTES
    for count, weight in enumerate(weights):
        free_bytes -= weight + ENTRY_BYTES
        if free_bytes < 0 and count > 0:
            return count
    return len(weights)
