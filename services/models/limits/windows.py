"""Calendar windows of budgets: days, weeks from Monday and months of a time zone, and the window without an end."""

from __future__ import annotations

import datetime
import functools
from zoneinfo import ZoneInfo

import msgspec

from services.models.limits.rules import Window

MICROSECONDS = 1_000_000

FOREVER = 2**62
"""The end of a window without one, in microseconds since 1970."""


class Span(msgspec.Struct, frozen=True, gc=False):
    """A calendar window, from its start to just before its end, in microseconds since 1970."""

    label: str
    start: int
    end: int

    def ends_text(self) -> str:
        """The end for people and programs, such as `2026-12-01T00:00:00Z`; "" if there is none."""
        if self.end == FOREVER:
            return ""
        end = datetime.datetime.fromtimestamp(self.end / MICROSECONDS, datetime.UTC)
        return end.strftime("%Y-%m-%dT%H:%M:%SZ")


TOTAL = Span("total", 0, FOREVER)


class Calendar:
    """The calendar of a time zone. It remembers the newest span of each kind, which lasts for many calls."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._newest: dict[Window, Span] = {}

    def span(self, window: Window, now: int) -> Span:
        """The window of this kind at a time in microseconds since 1970."""
        if window == "total":
            return TOTAL
        known = self._newest.get(window)
        if known is None or not known.start <= now < known.end:
            known = self._newest[window] = self._find(window, now)
        return known

    def _find(self, window: Window, now: int) -> Span:
        day = datetime.datetime.fromtimestamp(now / MICROSECONDS, self._zone).date()
        first, next_first = _days(window, day)
        return Span(f"{window}:{first}", self._midnight(first), self._midnight(next_first))

    def _midnight(self, day: datetime.date) -> int:
        midnight = datetime.datetime.combine(day, datetime.time(), self._zone)
        return int(midnight.timestamp()) * MICROSECONDS


@functools.cache
def calendar_of(zone: str) -> Calendar:
    """The calendar of a time zone by its name. Raises ZoneInfoNotFoundError or ValueError for an unknown one."""
    return Calendar(ZoneInfo(zone))


def _days(window: Window, day: datetime.date) -> tuple[datetime.date, datetime.date]:
    """The first day of a window, and that of the next one."""
    match window:
        case "day":
            return day, day + datetime.timedelta(days=1)
        case "week":
            monday = day - datetime.timedelta(days=day.weekday())
            return monday, monday + datetime.timedelta(days=7)
        case "month":
            first = day.replace(day=1)
            return first, (first + datetime.timedelta(days=32)).replace(day=1)
    raise ValueError(f"{window!r} is no calendar window")
