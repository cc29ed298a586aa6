"""A watch over the event loop: a call that blocks it delays all others, and a loop that is stuck for good is a dead
process that looks alive."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from types import TracebackType

from services.shared.logs import Log, stack_of

BEAT_SECONDS = 0.05
BLOCKED_SECONDS = 0.1
"""Delay from which on the loop counts as blocked, if the process used as much CPU time; else the machine was busy."""

CHECK_SECONDS = 0.1
LOG_SECONDS = 1.0
"""Time between two log lines about it."""

LAG_SECONDS = 15.0
"""Time, as long as between two scrapes, for which the greatest lag is remembered at least, and at most twice as long.
"""

STUCK_CHECKS = 600
"""Checks without a beat, a minute, after which the process ends, so that its supervisor restarts it."""

EXIT_STUCK = 70


class LoopWatch:
    """A context manager that watches the running loop.

    Logs `event loop held`, with the time and the stack, and ends the process, with exit code 70, when the loop is
    stuck. A thread counts its checks and not seconds, because a process that was suspended is not stuck.

    `silent_seconds` and `lag_seconds` may be asked in any thread.
    """

    def __init__(self, log: Log, stuck_checks: int = STUCK_CHECKS) -> None:
        self._log = log
        self._stuck_checks = stuck_checks
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._timer: asyncio.TimerHandle | None = None
        self._ended = threading.Event()
        self._beats = 0
        self._silent_checks = 0
        self._lags = _RecentMaximum()
        self._due = 0.0
        self._cpu = 0.0
        self._logged_at = 0.0
        self._where: list[str] = []

    def __enter__(self) -> LoopWatch:
        self._expect_next()
        threading.Thread(target=self._run_checks, name="loop-watch", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._timer:
            self._timer.cancel()

    def silent_seconds(self) -> float:
        """The time for which the loop has not run."""
        return self._silent_checks * CHECK_SECONDS

    def lag_seconds(self) -> float:
        """The longest delay of the loop in the last seconds, that of the present moment included."""
        return max(self._lags.value, self.silent_seconds())

    def _expect_next(self) -> None:
        self._due = self._loop.time() + BEAT_SECONDS
        self._cpu = time.process_time()
        self._timer = self._loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        late = self._loop.time() - self._due
        self._lags.note(late, self._due)
        if late >= BLOCKED_SECONDS and time.process_time() - self._cpu >= BLOCKED_SECONDS:
            self._log_blocked(late)
        self._beats += 1
        self._where = []
        self._expect_next()

    def _log_blocked(self, seconds: float) -> None:
        now = self._loop.time()
        if now - self._logged_at < LOG_SECONDS:
            return
        self._logged_at = now
        self._log.warning("event loop held", milliseconds=round(seconds * 1000), where=self._where)

    def _run_checks(self) -> None:
        seen = -1
        while not self._ended.wait(CHECK_SECONDS):
            self._silent_checks = self._silent_checks + 1 if self._beats == seen else 0
            seen = self._beats
            if self._silent_checks == 1:
                self._where = self._frames()
            if self._silent_checks >= self._stuck_checks:
                self._log.error("event loop stuck", where=self._frames())
                self._log.flush()
                os._exit(EXIT_STUCK)

    def _frames(self) -> list[str]:
        return stack_of(sys._current_frames().get(self._thread))


class _RecentMaximum:
    """The greatest of the values of the last `LAG_SECONDS`, and of as much time before them at most."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._newest = 0.0
        self._before = 0.0

    @property
    def value(self) -> float:
        return max(self._newest, self._before)

    def note(self, value: float, now: float) -> None:
        if now - self._begun >= LAG_SECONDS:
            self._begun, self._before, self._newest = now, self._newest, 0.0
        self._newest = max(self._newest, value)
