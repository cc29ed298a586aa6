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
    slow. A measurement is a tuple of that function's arguments. It must be small, and hold no request or answer in
    memory.
    """

    def __init__(self, count: Callable[..., None]) -> None:
        self._count = count
        self._waiting: deque[tuple[Any, ...]] = deque()
        self.note = self._waiting.append
        """Notes a measurement, without a call of any function in Python."""
        _BATCHES.append(self)

    def __len__(self) -> int:
        return len(self._waiting)

    def count_waiting(self) -> None:
        """Counts what has been noted; the caller holds the lock."""
        count, take = self._count, self._waiting.popleft
        for _ in range(len(self._waiting)):
            count(*take())


_BATCHES: list[Batch] = []
_COUNTING = threading.Lock()


def count_batches(*, is_patient: bool = False) -> None:
    """Counts what all batches have noted. If it is being counted by another thread, it only waits if it is patient."""
    if _COUNTING.acquire(blocking=is_patient):
        try:
            for batch in _BATCHES:
                batch.count_waiting()
        finally:
            _COUNTING.release()


class _Waiting(Collector):
    """Counts what waits before a scrape; it has no metrics, and is the first to be collected."""

    def collect(self) -> Iterator[Metric]:
        count_batches(is_patient=True)
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


class Count:
    """One counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


class Counters(Family):
    """A counter for each combination of labels."""

    def __init__(self, name: str, description: str, labels: Sequence[str]) -> None:
        super().__init__(name, description, labels)
        self._counts: dict[Values, Count] = {}

    def of(self, values: Values) -> Count:
        """The counter with these values of its labels, to be kept where it is needed often."""
        count = self._counts.get(values)
        if count is None:
            count = self._counts[values] = Count()
        return count

    def add(self, values: Values, amount: float = 1) -> None:
        """Adds to the counter with these values of its labels."""
        self.of(values).value += amount

    def series(self) -> Iterable[tuple[Values, float]]:
        return [(values, count.value) for values, count in self._counts.copy().items()]


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


class Histogram:
    """One histogram."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """The values in each bucket alone; the last one has those above all bounds."""
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Counts a value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class Histograms(Collector):
    """A histogram for each combination of labels. `buckets` are their upper bounds, without the last one."""

    def __init__(self, name: str, description: str, labels: Sequence[str], buckets: Sequence[float]) -> None:
        self._name = name
        self._description = description
        self._labels = labels
        self._bounds = tuple(buckets)
        self._shown_bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        self._histograms: dict[Values, Histogram] = {}
        REGISTRY.register(self)

    def of(self, values: Values) -> Histogram:
        """The histogram with these values of its labels, to be kept where it is needed often."""
        histogram = self._histograms.get(values)
        if histogram is None:
            histogram = self._histograms[values] = Histogram(self._bounds)
        return histogram

    def observe(self, values: Values, value: float) -> None:
        """Counts a value in the histogram with these values of its labels."""
        self.of(values).observe(value)

    def describe(self) -> Iterable[Metric]:
        return [HistogramMetricFamily(self._name, self._description, labels=self._labels)]

    def collect(self) -> Iterator[Metric]:
        metric = HistogramMetricFamily(self._name, self._description, labels=self._labels)
        for values, histogram in self._histograms.copy().items():
            buckets = list(zip(self._shown_bounds, accumulate(histogram.counts.copy()), strict=True))
            metric.add_metric(values, buckets, histogram.sum)
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
