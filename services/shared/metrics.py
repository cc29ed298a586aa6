"""Metrics of a process, in the form of Prometheus: families whose measurements take a fraction of a microsecond.

They are always counted. `admin_port` serves them, if the operator wants it.

A family is a constant of the module that measures it, with its name in `metric_names`. Labels never have free text:
values that callers or providers choose go through `LabelValues`, which bounds their number.

The families of prometheus_client take a lock for each number and look through their buckets one by one, which is five
times as much. These take none: a family is counted either on the event loop or by one `Batch`. Any thread may read it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

OTHER = "_OTHER"
"""The value of a label that stands for all values beyond its bound."""

MAX_TEAMS = 200
"""Teams, and projects, that have series of their own."""

Values = tuple[str, ...]
"""The values of the labels of one series."""

Read = Callable[[], Iterable[tuple[Values, float]]]
"""Reads the series of a metric: the values of its labels, and its value."""

BATCH_SIZE = 64
"""Measurements that are counted together."""

REGISTRY = CollectorRegistry()
"""All metrics of this process, with those of its memory, CPU time and descriptors."""

ProcessCollector(registry=REGISTRY)


class Batch:
    """Measurements that are noted now, and counted by a function together with others, or before the next scrape.

    In the middle of a call nothing that counting needs is in the processor's caches, which makes it several times as
    slow. A measurement must be small and hold no request or answer in memory.
    """

    def __init__(self, count: Callable[..., None]) -> None:
        self._count = count
        self._waiting: deque[tuple[Any, ...]] = deque()
        _BATCHES.append(self)

    def note(self, *measurement: Any) -> None:
        """Notes a measurement: the arguments of the function that counts it."""
        self._waiting.append(measurement)
        # One that is being counted for a scrape is not waited for.
        if len(self._waiting) >= BATCH_SIZE and _COUNTING.acquire(blocking=False):
            try:
                self.count_waiting()
            finally:
                _COUNTING.release()

    def count_waiting(self) -> None:
        """Counts what has been noted; the caller holds the lock."""
        for _ in range(len(self._waiting)):
            self._count(*self._waiting.popleft())


_BATCHES: list[Batch] = []
_COUNTING = threading.Lock()


class _Waiting(Collector):
    """Counts what waits before a scrape; it has no metrics, and is the first to be collected."""

    def collect(self) -> Iterator[Metric]:
        with _COUNTING:
            for batch in _BATCHES:
                batch.count_waiting()
        return iter(())


REGISTRY.register(_Waiting())


class Family(Collector):
    """A metric with all its series: one for each combination of labels."""

    def __init__(self, name: str, description: str, labels: Sequence[str]) -> None:
        self._name = name
        self._description = description
        self._labels = labels
        REGISTRY.register(self)

    def series(self) -> Iterable[tuple[Values, float]]:
        """The values of the labels of each series, and its value. Safe to call in any thread."""
        raise NotImplementedError

    def describe(self) -> Iterable[Metric]:
        return [self._metric()]

    def collect(self) -> Iterator[Metric]:
        metric = self._metric()
        for values, value in self.series():
            metric.add_metric(values, value)
        yield metric

    def _metric(self) -> CounterMetricFamily | GaugeMetricFamily:
        if self._name.endswith("_total"):
            return CounterMetricFamily(self._name, self._description, labels=self._labels)
        return GaugeMetricFamily(self._name, self._description, labels=self._labels)


class Counters(Family):
    """A counter for each combination of labels."""

    def __init__(self, name: str, description: str, labels: Sequence[str]) -> None:
        super().__init__(name, description, labels)
        self._values: dict[Values, float] = {}

    def add(self, values: Values, amount: float = 1) -> None:
        """Adds to the counter with these values of its labels."""
        self._values[values] = self._values.get(values, 0) + amount

    def series(self) -> Iterable[tuple[Values, float]]:
        return self._values.copy().items()


class Gauges(Family):
    """A gauge for each combination of labels. It may be set in any thread."""

    def __init__(self, name: str, description: str, labels: Sequence[str]) -> None:
        super().__init__(name, description, labels)
        self._values: dict[Values, float] = {}

    def set(self, values: Values, value: float) -> None:
        """Sets the gauge with these values of its labels."""
        self._values[values] = value

    def series(self) -> Iterable[tuple[Values, float]]:
        return self._values.copy().items()


class Readings(Family):
    """A metric that costs nothing until it is scraped: its series are read then, in the thread of the admin port.

    It has no series until it follows something.
    """

    def __init__(self, name: str, description: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name, description, labels)
        self._read: Read = tuple

    def follow(self, read: Read) -> None:
        """Reads the series by `read` from now on."""
        self._read = read

    def forget(self, read: Read) -> None:
        """Ends `follow`, unless something else is followed by now."""
        if self._read == read:
            self._read = tuple

    def series(self) -> Iterable[tuple[Values, float]]:
        return self._read()


class Histograms(Collector):
    """A histogram for each combination of labels. `buckets` are their upper bounds, without the last one."""

    def __init__(self, name: str, description: str, labels: Sequence[str], buckets: Sequence[float]) -> None:
        self._name = name
        self._description = description
        self._labels = labels
        self._bounds = tuple(buckets)
        self._shown_bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        self._numbers: dict[Values, list[float]] = {}
        """The counts of all buckets, and then the sum of the values."""
        REGISTRY.register(self)

    def observe(self, values: Values, value: float) -> None:
        """Counts a value in the histogram with these values of its labels."""
        numbers = self._numbers.get(values)
        if numbers is None:
            numbers = self._numbers[values] = [0] * (len(self._shown_bounds) + 1)
        numbers[bisect_left(self._bounds, value)] += 1
        numbers[-1] += value

    def collect(self) -> Iterator[Metric]:
        metric = HistogramMetricFamily(self._name, self._description, labels=self._labels)
        for values, numbers in self._numbers.copy().items():
            *counts, total = numbers
            buckets = list(zip(self._shown_bounds, accumulate(counts), strict=True))
            metric.add_metric(values, buckets, total)
        yield metric


class LabelValues:
    """The values of a label that have series of their own: the first `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: set[Hashable] = set()

    def has(self, value: Hashable) -> bool:
        """Whether the value has been taken."""
        return value in self._taken

    def take(self, value: Hashable) -> bool:
        """Whether the value has series of its own; a new one gets them while there is room."""
        if value in self._taken:
            return True
        if len(self._taken) >= self._limit:
            return False
        self._taken.add(value)
        return True

    def label(self, value: str) -> str:
        """The value itself if it has series of its own, or is empty, else `_OTHER`."""
        return value if not value or self.take(value) else OTHER
