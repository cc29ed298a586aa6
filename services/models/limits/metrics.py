"""Metrics of limits, read from memory at each scrape."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from services.models.limits.limiter import Limiter
from services.shared import metric_names as names
from services.shared.metrics import Readings, Values

STORE_DEGRADED = Readings(
    names.LIMIT_STORE_DEGRADED, "1 while this process decides alone, because the store is away, else 0.", ("store",)
)


@contextlib.contextmanager
def reading_limits(limiter: Limiter, store: str) -> Iterator[None]:
    """Reads the metrics from a limiter, for the length of a block."""

    def degraded() -> Iterator[tuple[Values, float]]:
        yield (store,), limiter.is_degraded

    STORE_DEGRADED.follow(degraded)
    try:
        yield
    finally:
        STORE_DEGRADED.forget(degraded)
