"""Metrics of the ledger, read from its memory at each scrape."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from services.models.ledger.ledger import Ledger
from services.shared import metric_names as names
from services.shared.metrics import Readings, Values

OUTBOX_BYTES = Readings(names.USAGE_OUTBOX_BYTES, "Bytes of records that the ledger's database does not have yet.")
OUTBOX_OLDEST = Readings(names.USAGE_OUTBOX_OLDEST, "Age of the oldest of them, in seconds; 0 if there is none.")
DAMAGED = Readings(names.USAGE_DAMAGED, "Places in the ledger's files that could not be read; these files are kept.")
DUPLICATES = Readings(names.USAGE_DUPLICATES, "Records of calls that the ledger had already.")


@contextlib.contextmanager
def reading_ledger(ledger: Ledger) -> Iterator[None]:
    """Reads the metrics from a ledger, for the length of a block."""

    def size() -> Iterator[tuple[Values, float]]:
        yield (), ledger.outbox.bytes

    def age() -> Iterator[tuple[Values, float]]:
        yield (), ledger.outbox.oldest_seconds

    def duplicates() -> Iterator[tuple[Values, float]]:
        yield (), ledger.duplicates

    def damaged() -> Iterator[tuple[Values, float]]:
        yield (), ledger.damaged

    sources = ((OUTBOX_BYTES, size), (OUTBOX_OLDEST, age), (DUPLICATES, duplicates), (DAMAGED, damaged))
    for metric, read in sources:
        metric.follow(read)
    try:
        yield
    finally:
        for metric, read in sources:
            metric.forget(read)
