"""Pauses between questions that are asked again and again."""

from __future__ import annotations

import random


def pause_after(failures: int, *, usual: float, first_retry: float, spread: float) -> float:
    """The seconds until the next question after this many failures in a row.

    `usual` after a success; `first_retry` after the first failure, twice as long after each further one, and never
    longer than usual. Every pause is longer or shorter by up to the share `spread`, so that those who ask do not fall
    into step.
    """
    longest = usual if not failures else min(usual, first_retry * 2 ** min(failures - 1, 16))
    return longest * random.uniform(1 - spread, 1 + spread)  # noqa: S311 no secret hangs on it
