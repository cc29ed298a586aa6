"""Backoff: how long to wait before something is tried or asked again."""

from __future__ import annotations

import random
from typing import NamedTuple


class Backoff(NamedTuple):
    """A repeated question, in seconds: asked every `interval`, and sooner after failures."""

    interval: float
    """After a success; no pause is longer."""
    first_retry: float
    """After the first failure. The pause doubles with each further one."""
    jitter: float = 0.2
    """Every pause is longer or shorter by up to this share, so that replicas do not ask in step."""

    def pause(self, failures: int) -> float:
        """The pause after this many failures in a row."""
        pause = self.interval if not failures else min(self.interval, self.first_retry * 2 ** min(failures - 1, 16))
        return pause * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 no secret hangs on it
