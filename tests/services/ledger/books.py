"""The books of a test: the events and rollups of a ledger, as they are in its database."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, NamedTuple


class Books(NamedTuple):
    """All that a ledger's database has."""

    events: list[dict[str, Any]]
    days: list[dict[str, Any]]

    @property
    def totals(self) -> list[dict[str, Any]]:
        """The rollups without those of tags."""
        return [day for day in self.days if not day["tag_key"]]


def books(directory: Path) -> Books:
    """The books in the SQLite file of a service that has stopped, or has shipped."""
    with sqlite3.connect(directory / "usage.db") as connection:
        connection.row_factory = sqlite3.Row
        events, days = (
            [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY {order}")]
            for table, order in (("usage_events", "at"), ("usage_daily", "day, model, tag_key, tag_value"))
        )
    connection.close()
    return Books(events, days)


def left_files(directory: Path) -> list[str]:
    """The names of the files in an outbox."""
    return sorted(path.name for path in (directory / "usage").iterdir())
