"""Backoff: the pause before a repeated request."""

from __future__ import annotations

import random
from typing import NamedTuple


class Backoff(NamedTuple):
    """The pauses of a periodic request in seconds, with exponential backoff after failures."""

    interval: float
    """Pause after a success, and the longest pause."""
    first_retry: float
    """Pause after the first failure; it doubles with each further one."""
    jitter: float = 0.2
    """Share by which a pause is randomly longer or shorter, so that replicas do not send requests together."""

    def pause(self, failures: int) -> float:
        """The pause after this many failures in a row."""
        pause = self.interval if not failures else min(self.interval, self.first_retry * 2 ** min(failures - 1, 16))
        return pause * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 no secret hangs on it
