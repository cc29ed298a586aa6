"""Locks between the processes of one machine: each is a file, and held by one process at a time.

The kernel releases the lock of a process that was killed. The file stays, because a lock of a deleted one would exclude
nobody who comes later.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from pathlib import Path

PRIVATE = 0o600
POLL_SECONDS = 0.01


class FileLock:
    """A lock that excludes other processes, and other locks of the same file in this one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._held = False

    async def acquire(self, seconds: float) -> bool:
        """Waits for the lock. Returns False when it was not free in time. Raises OSError."""
        deadline = time.monotonic() + seconds
        while not self.try_to_acquire():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    def try_to_acquire(self) -> bool:
        """Takes the lock if it is free. Raises OSError."""
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._held = True
        return True

    def release(self) -> None:
        """Releases the lock; does nothing if it is not held."""
        if self._descriptor is not None and self._held:
            self._held = False
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Releases the lock and closes its file."""
        descriptor, self._descriptor, self._held = self._descriptor, None, False
        if descriptor is not None:
            os.close(descriptor)
