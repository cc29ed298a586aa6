"""Families of metrics: what they count is what Prometheus reads, in whatever thread it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from prometheus_client import generate_latest

from services.shared import metrics
from services.shared.metrics import (
    BATCH_SIZE,
    OTHER,
    REGISTRY,
    Batch,
    Counters,
    Gauges,
    Histograms,
    LabelValues,
    Readings,
    count_batches,
)
from tests.support.admin import Scrape


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Families and batches of a test are not kept for others."""
    known, batches = set(REGISTRY._collector_to_names), list(metrics._BATCHES)
    yield
    for collector in set(REGISTRY._collector_to_names) - known:
        REGISTRY.unregister(collector)
    metrics._BATCHES[:] = batches


def scrape() -> Scrape:
    return Scrape(generate_latest(REGISTRY).decode())


def test_a_value_is_in_every_bucket_whose_bound_it_does_not_exceed() -> None:
    sizes = Histograms("test_sizes", "Sizes.", ("kind",), buckets=(1, 2.5))
    for value in (0.5, 1, 2, 2.5, 99):
        sizes.observe(("a",), value)
    sizes.observe(("b",), 3)
    seen = scrape()
    buckets = {bound: seen.sum("test_sizes_bucket", kind="a", le=bound) for bound in ("1.0", "2.5", "+Inf")}
    assert buckets == {"1.0": 2, "2.5": 4, "+Inf": 5}
    assert seen.sum("test_sizes_count", kind="a") == 5
    assert seen.sum("test_sizes_sum", kind="a") == 105
    assert seen.sum("test_sizes_count", kind="b") == 1


def test_counters_add_and_gauges_replace() -> None:
    counters, gauges = Counters("test_calls_total", "Calls.", ("end",)), Gauges("test_level", "A level.", ())
    counters.add(("ok",))
    counters.add(("ok",), 2.5)
    gauges.set((), 7)
    gauges.set((), 3)
    seen = scrape()
    assert seen.sum("test_calls_total", end="ok") == 3.5
    assert seen.sum("test_level") == 3


def test_readings_are_read_at_each_scrape_until_they_are_forgotten() -> None:
    values = [1.0]
    readings = Readings("test_reading", "Read.")

    def read() -> Iterator[tuple[tuple[str, ...], float]]:
        yield (), values[0]

    def other() -> Iterator[tuple[tuple[str, ...], float]]:
        yield (), 9

    assert "test_reading" not in scrape().names()
    readings.follow(read)
    assert scrape().sum("test_reading") == 1
    values[0] = 2
    assert scrape().sum("test_reading") == 2
    readings.forget(other)
    assert scrape().sum("test_reading") == 2
    readings.forget(read)
    assert "test_reading" not in scrape().names()


def test_noted_measurements_are_counted_together_or_before_a_scrape() -> None:
    counted: list[str] = []
    batch = Batch(counted.append)
    batch.note(("a",))
    batch.note(("b",))
    assert (len(batch), counted) == (2, [])
    count_batches()
    assert (len(batch), counted) == (0, ["a", "b"])
    batch.note(("c",))
    scrape()
    assert counted == ["a", "b", "c"]


def test_no_measurement_is_lost_or_counted_twice_while_others_scrape() -> None:
    counters = Counters("test_notes_total", "Notes.", ())
    batch = Batch(lambda: counters.add(()))
    is_over = threading.Event()

    def scrape_all_the_time() -> None:
        while not is_over.is_set():
            generate_latest(REGISTRY)

    scrapers = [threading.Thread(target=scrape_all_the_time) for _ in range(3)]
    for scraper in scrapers:
        scraper.start()
    for _ in range(50_000):
        batch.note(())
        if len(batch) >= BATCH_SIZE:
            count_batches()
    is_over.set()
    for scraper in scrapers:
        scraper.join()
    assert scrape().sum("test_notes_total") == 50_000


def test_label_values_beyond_the_bound_are_other() -> None:
    values = LabelValues(2)
    assert [values.label(value) for value in ("a", "b", "c", "a", "")] == ["a", "b", OTHER, "a", ""]
    assert values.has("b")
    assert not values.has("c")
