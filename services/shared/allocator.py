"""The C library's allocator, told to give large blocks back to the system.

Left alone, glibc raises its threshold for separate blocks to 32 MiB as soon as one of that size is freed; what the
requests of a busy minute took then stays with the process (man 3 mallopt).
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3

SEPARATE_BYTES = 1024 * 1024
KEPT_BYTES = 4 * 1024 * 1024


def give_back_large_blocks() -> None:
    """Sets both thresholds for the process; does nothing where the C library has none."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, SEPARATE_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
