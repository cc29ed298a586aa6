"""Metrics that are read from the Model Service's memory at each scrape: of its models, and of its copies of the
registries."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from itertools import islice

from services.models.catalog.provider_registry import ProviderRegistry
from services.models.catalog.vendor_models import VendorModels
from services.models.health.monitor import HealthMonitor
from services.shared import metric_names as names
from services.shared.database import Database
from services.shared.metrics import Readings, Values

MAX_MODELS = 200
"""Models that have a series in each of these metrics."""

MODEL_STATUS = Readings(
    names.MODEL_STATUS, "1 for the newest status of a registered model, by its probes.", ("model", "status")
)
MODEL_SHUTDOWN = Readings(
    names.MODEL_SHUTDOWN,
    "Time at which a vendor shuts a model down, in seconds since 1970, for vendors that are configured.",
    ("provider", "model"),
)
REGISTRY_SNAPSHOT_AGE = Readings(
    names.REGISTRY_SNAPSHOT_AGE,
    "Seconds for which this process's copies of the registries may be out of date; 0 while they are current.",
)


@contextlib.contextmanager
def reading(
    monitor: HealthMonitor, vendor_models: VendorModels, providers: ProviderRegistry, database: Database
) -> Iterator[None]:
    """Reads the metrics from these parts, for the length of a block."""

    def statuses() -> Iterator[tuple[Values, float]]:
        return (((model, status), 1) for model, status in islice(monitor.statuses(), MAX_MODELS))

    def shutdowns() -> Iterator[tuple[Values, float]]:
        ends = vendor_models.shutdowns(providers.configured())
        return ((model, _timestamp(day)) for model, day in islice(ends.items(), MAX_MODELS))

    def ages() -> Iterator[tuple[Values, float]]:
        yield (), database.stale_seconds()

    sources = ((MODEL_STATUS, statuses), (MODEL_SHUTDOWN, shutdowns), (REGISTRY_SNAPSHOT_AGE, ages))
    for metric, read in sources:
        metric.follow(read)
    try:
        yield
    finally:
        for metric, read in sources:
            metric.forget(read)


def _timestamp(day: datetime.date) -> float:
    return datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp()
