"""CPU time, of what may not grow faster than there is more to do."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


def cpu_seconds(work: Callable[[], object], tries: int = 1) -> float:
    """The least of some tries: others use the machine too."""
    taken = []
    gc.disable()
    try:
        for _ in range(tries):
            began = time.thread_time()
            work()
            taken.append(time.thread_time() - began)
    finally:
        gc.enable()
    return min(taken)


def is_in_proportion(few: Callable[[], object], many: Callable[[], object], factor: float, least: float = 0) -> bool:
    """Whether `many` takes less than `factor` times as long as `few`, for which `least` seconds are no time at all.

    One try tells it nearly always; ten decide.
    """
    return any(cpu_seconds(many, tries) < factor * max(cpu_seconds(few, tries), least) for tries in (1, 3, 10))
