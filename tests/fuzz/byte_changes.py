"""Changes that any bytes may suffer."""

from __future__ import annotations

import random


def flipped(rng: random.Random, data: bytes) -> bytes:
    """The bytes with a few bits turned."""
    changed = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)
