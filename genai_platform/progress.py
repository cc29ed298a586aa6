"""The progress bar of a batch: one line on the terminal, on standard error."""

from __future__ import annotations

import sys
import time

from genai_platform.batches import Batch

WIDTH = 24
REDRAW_SECONDS = 0.1


class ProgressBar:
    """Draws the state of a batch; nothing where there is no terminal, such as in a log."""

    def __init__(self, batch: Batch, *, shown: bool) -> None:
        self._batch = batch
        self._shown = shown and sys.stderr.isatty()
        self._begun = time.monotonic()
        self._drawn = 0.0

    def draw(self, *, last: bool = False) -> None:
        now = time.monotonic()
        if self._shown and (last or now - self._drawn >= REDRAW_SECONDS):
            self._drawn = now
            sys.stderr.write(f"\r{self._line(now)}\x1b[K" + ("\n" if last else ""))
            sys.stderr.flush()

    def _line(self, now: float) -> str:
        results = list(self._batch.results.values())
        done, count = len(results), len(self._batch.requests)
        filled = WIDTH * done // max(1, count)
        failures = sum(result.error is not None for result in results)
        cost = sum(result.response.usage.cost_nano_usd for result in results if result.response is not None) / 1e9
        facts = [
            f"{done}/{count}",
            f"{failures} failed" if failures else "",
            f"{self._batch.retries} retries" if self._batch.retries else "",
            f"${cost:.4f}",
            f"{now - self._begun:.0f} s",
        ]
        return f"[{'█' * filled}{' ' * (WIDTH - filled)}] {', '.join(fact for fact in facts if fact)}"
