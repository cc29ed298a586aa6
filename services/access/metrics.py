"""Metrics of access: the age of the keys in memory, and the keys that expire soon."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from services.access.keys import ACTIVE
from services.access.snapshot import SnapshotKeeper
from services.shared.metric_names import ACCESS_SNAPSHOT_AGE, KEY_EXPIRES
from services.shared.metrics import Readings, Values

SOON_SECONDS = 30 * 24 * 3600.0

AGES = Readings(ACCESS_SNAPSHOT_AGE, "Seconds since the keys in memory were last known to be those of the database.")
EXPIRIES = Readings(KEY_EXPIRES, "Time at which a key expires, of those that expire within 30 days.", ["key_id"])


@contextlib.contextmanager
def measured(keeper: SnapshotKeeper) -> Iterator[None]:
    """Reads the metrics of a snapshot, for the length of a block."""

    def ages() -> Iterator[tuple[Values, float]]:
        yield (), keeper.age_seconds()

    def expiries() -> Iterator[tuple[Values, float]]:
        now = time.time()
        for key_id, entry in keeper.snapshot.keys.copy().items():
            if entry.key.state == ACTIVE and now < entry.expires_at < now + SOON_SECONDS:
                yield (key_id,), entry.expires_at

    AGES.follow(ages)
    EXPIRIES.follow(expiries)
    try:
        yield
    finally:
        AGES.forget(ages)
        EXPIRIES.forget(expiries)
