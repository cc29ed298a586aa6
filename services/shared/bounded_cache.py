"""A cache bounded by bytes and time, for results that are expensive and often needed.

`functools.lru_cache` counts entries and not bytes, and stores them without a time limit. This cache must not be filled
by large requests, and must not store a key that has been replaced.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar, TypeVarTuple

MAX_BYTES = 8 * 1024 * 1024
MAX_ENTRY_BYTES = 128 * 1024
LIFETIME_SECONDS = 300.0

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class BoundedCache(Generic[*Arguments, Result]):
    """Calls `function`, or returns the cached result for the same arguments.

    Arguments and results together have at most `max_bytes`. An entry larger than `max_entry_bytes` is not cached. An
    entry that was not used within `lifetime` seconds is dropped by a later call, before twice that time. An exception
    is not cached. Thread-safe.
    """

    def __init__(
        self,
        function: Callable[[*Arguments], Result],
        max_bytes: int = MAX_BYTES,
        max_entry_bytes: int = MAX_ENTRY_BYTES,
        lifetime: float = LIFETIME_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._function = function
        self._max_newer_bytes = max_bytes // 2
        self._max_entry_bytes = max_entry_bytes
        self._lifetime = lifetime
        self._clock = clock
        self._lock = threading.Lock()
        # Two generations: a used entry moves from the older to the newer one. When the newer one is full, or its time
        # is over, it becomes the older one.
        self._newer: dict[tuple[*Arguments], Result] = {}
        self._older: dict[tuple[*Arguments], Result] = {}
        self._newer_bytes = 0
        self._over = clock() + lifetime

    def __call__(self, *arguments: *Arguments) -> Result:
        if self._clock() < self._over:
            try:
                return self._newer[arguments]
            except KeyError:
                pass
        return self._find(arguments)

    def _find(self, arguments: tuple[*Arguments]) -> Result:
        with self._lock:
            if self._clock() >= self._over:
                self._rotate()
            for entries in (self._newer, self._older):
                if arguments in entries:
                    result = entries[arguments]
                    self._store(arguments, result)
                    return result
        result = self._function(*arguments)
        with self._lock:
            self._store(arguments, result)
        return result

    def _store(self, arguments: tuple[*Arguments], result: Result) -> None:
        size = _size_of((arguments, result))
        if arguments in self._newer or size > self._max_entry_bytes:
            return
        if self._newer_bytes + size > self._max_newer_bytes:
            self._rotate()
        self._newer[arguments] = result
        self._newer_bytes += size

    def _rotate(self) -> None:
        now = self._clock()
        self._older = self._newer if now < self._over + self._lifetime else {}
        self._newer = {}
        self._newer_bytes = 0
        self._over = now + self._lifetime


def _size_of(value: object) -> int:
    inner = sum(map(_size_of, value)) if isinstance(value, tuple) else 0
    return sys.getsizeof(value) + inner
