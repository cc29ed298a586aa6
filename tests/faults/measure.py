"""Measurements of processes, from /proc, and of latencies in windows."""

from __future__ import annotations

import re
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import percentile
from services.shared import metric_names as names
from tests.support.admin import get


class ProcessSample(NamedTuple):
    """A process at one time."""

    rss_mib: float
    descriptors: int
    threads: int


def measure(pid: int | None) -> ProcessSample | None:
    """The sample of a process, None if it has ended."""
    if pid is None:
        return None
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return None
    resident = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    threads = re.search(r"^Threads:\s+(\d+)", status, re.MULTILINE)
    if not resident or not threads:
        return None
    return ProcessSample(int(resident[1]) / 1024, descriptors, int(threads[1]))


def allocated_blocks(admin_port: int) -> int:
    """The blocks of memory that a process's Python objects take. Raises OSError if it does not say."""
    page = get(admin_port, "/metrics", seconds=2.0)
    found = re.search(rf"^{names.PYTHON_BLOCKS} (\S+)$", page.text, re.MULTILINE)
    if not found:
        raise OSError("the admin port does not say it")
    return int(float(found[1]))


class Latencies:
    """The latencies of the last seconds, by what they are of."""

    def __init__(self, window_seconds: float) -> None:
        self._window_seconds = window_seconds
        self._values: dict[str, deque[tuple[float, float]]] = defaultdict(deque)

    def add(self, name: str, seconds: float) -> None:
        self._values[name].append((time.monotonic(), seconds))

    def percentiles(self) -> dict[str, dict[str, float]]:
        """The percentiles, in milliseconds."""
        return {name: _percentiles(values) for name in self._values if (values := self._newest(name))}

    def _newest(self, name: str) -> list[float]:
        values, start = self._values[name], time.monotonic() - self._window_seconds
        while values and values[0][0] < start:
            values.popleft()
        return [seconds for _, seconds in values]


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    of = {f"p{percent}": round(percentile(values, percent) * 1000, 2) for percent in (50, 99)}
    return {"count": len(values), **of}


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the line through the points by least squares."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
