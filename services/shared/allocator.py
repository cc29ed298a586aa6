"""The C library's allocator, configured to return large blocks to the system.

By default glibc raises its mmap threshold to 32 MiB as soon as a block of that size is freed; the memory of a busy
minute's requests then stays with the process (man 3 mallopt).
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3

MMAP_THRESHOLD_BYTES = 1024 * 1024
TRIM_THRESHOLD_BYTES = 4 * 1024 * 1024


def return_large_blocks() -> None:
    """Sets the mmap and trim thresholds of the process. Does nothing if the C library has no mallopt."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)
