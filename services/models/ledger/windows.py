"""The windows of limits, in UTC; weeks begin on Monday."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple


class Window(NamedTuple):
    """The current window of a limit."""

    start: datetime | None
    """None: since ever."""
    end: datetime | None
    """None: it does not end."""


def current_window(name: str, now: datetime) -> Window | None:
    """The window `min`, `hour`, `day`, `week`, `month` or `total` that a time is in; None for another name."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    match name:
        case "min":
            start = now.replace(second=0, microsecond=0)
            return Window(start, start + timedelta(minutes=1))
        case "hour":
            start = now.replace(minute=0, second=0, microsecond=0)
            return Window(start, start + timedelta(hours=1))
        case "day":
            return Window(midnight, midnight + timedelta(days=1))
        case "week":
            start = midnight - timedelta(days=now.weekday())
            return Window(start, start + timedelta(days=7))
        case "month":
            start = midnight.replace(day=1)
            return Window(start, (start + timedelta(days=32)).replace(day=1))
        case "total":
            return Window(None, None)
    return None
