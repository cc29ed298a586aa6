"""A cache within a number of bytes, for results that take long to find out and are asked for again and again.

`functools.lru_cache` counts entries, however large they are, and keeps them for good. Here neither is so: what callers
write must not fill the memory, and a key that has been replaced must not stay in it.
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
    """Calls `function`, or returns what it returned for the same arguments.

    Arguments and results together have at most `max_bytes`; whatever is larger than `max_entry_bytes` by itself is not
    kept, and what nobody asked for within `lifetime` seconds is dropped before twice that, by the next call. Nothing is
    kept of a call that raises. Takes calls from several threads.
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
        # What is asked for moves from the older into the newer. When that is full, or its time is over, it becomes the
        # older one.
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
                self._begin_anew()
            for entries in (self._newer, self._older):
                if arguments in entries:
                    result = entries[arguments]
                    self._keep(arguments, result)
                    return result
        result = self._function(*arguments)
        with self._lock:
            self._keep(arguments, result)
        return result

    def _keep(self, arguments: tuple[*Arguments], result: Result) -> None:
        size = _size_of((arguments, result))
        if arguments in self._newer or size > self._max_entry_bytes:
            return
        if self._newer_bytes + size > self._max_newer_bytes:
            self._begin_anew()
        self._newer[arguments] = result
        self._newer_bytes += size

    def _begin_anew(self) -> None:
        now = self._clock()
        self._older = self._newer if now < self._over + self._lifetime else {}
        self._newer = {}
        self._newer_bytes = 0
        self._over = now + self._lifetime


def _size_of(value: object) -> int:
    inner = sum(map(_size_of, value)) if isinstance(value, tuple) else 0
    return sys.getsizeof(value) + inner
