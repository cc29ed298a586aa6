"""Exports: rows of usage as lines of CSV or JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

PIECE_BYTES = 64 * 1024
"""Size from which on a piece is sent."""


async def export_lines(
    columns: Sequence[str], rows: AsyncIterator[Sequence[Any]], export_format: str
) -> AsyncIterator[bytes]:
    """The rows in pieces of whole lines. CSV has a line with the names of the columns first."""
    piece = io.StringIO()
    writer = csv.writer(piece, lineterminator="\n")
    if export_format == "csv":
        writer.writerow(columns)
    async for row in rows:
        if export_format == "csv":
            writer.writerow([_harmless(value) for value in row])
        else:
            piece.write(msgspec.json.encode(dict(zip(columns, row, strict=True))).decode() + "\n")
        if piece.tell() >= PIECE_BYTES:
            yield _take(piece)
    if piece.tell():
        yield _take(piece)


def _take(piece: io.StringIO) -> bytes:
    data = piece.getvalue().encode()
    piece.seek(0)
    piece.truncate()
    return data


def _harmless(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula: tags and names are callers' texts."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
