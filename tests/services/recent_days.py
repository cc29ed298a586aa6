"""The days on which something may have happened a moment ago: midnight comes in the middle of a test, too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

MOMENT = timedelta(minutes=1)


def recent_days() -> set[str]:
    """Today and, for a minute after midnight, yesterday."""
    now = datetime.now(UTC)
    return {now.date().isoformat(), (now - MOMENT).date().isoformat()}
