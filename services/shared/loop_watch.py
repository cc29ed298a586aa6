"""Watches the event loop: a call that holds it makes everybody else wait, and a loop that never comes back is a dead
process that looks alive."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from types import TracebackType

from services.shared.logs import Log, frames_of

BEAT_SECONDS = 0.05
HELD_SECONDS = 0.1
"""From which delay on it is told that the loop was held, if the process has computed for as long: else it was the
machine that had no time for it."""

LOOK_SECONDS = 0.1
TELL_SECONDS = 1.0
"""Between two lines of the log about it."""

STUCK_LOOKS = 600
"""After so many looks without a beat, a minute, the process ends: whoever watches over it starts it anew."""

EXIT_STUCK = 70


class LoopWatch:
    """A block during which the running loop is watched.

    Logs `event loop held`, with how long and where it was, and ends the process, with exit code 70, when the loop is
    stuck. The looks of a thread are counted, not seconds: a process that was stopped for a while is not stuck.
    """

    def __init__(self, log: Log, stuck_looks: int = STUCK_LOOKS) -> None:
        self._log = log
        self._stuck_looks = stuck_looks
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._timer: asyncio.TimerHandle | None = None
        self._ended = threading.Event()
        self._beats = 0
        self._due = 0.0
        self._cpu = 0.0
        self._told = 0.0
        self._where: list[str] = []

    def __enter__(self) -> None:
        self._expect_next()
        threading.Thread(target=self._look, name="loop-watch", daemon=True).start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._timer:
            self._timer.cancel()

    def _expect_next(self) -> None:
        self._due = self._loop.time() + BEAT_SECONDS
        self._cpu = time.process_time()
        self._timer = self._loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        late = self._loop.time() - self._due
        if late >= HELD_SECONDS and time.process_time() - self._cpu >= HELD_SECONDS:
            self._tell(late)
        self._beats += 1
        self._where = []
        self._expect_next()

    def _tell(self, seconds: float) -> None:
        now = self._loop.time()
        if now - self._told < TELL_SECONDS:
            return
        self._told = now
        self._log.warning("event loop held", milliseconds=round(seconds * 1000), where=self._where)

    def _look(self) -> None:
        seen, looks = -1, 0
        while not self._ended.wait(LOOK_SECONDS):
            looks = looks + 1 if self._beats == seen else 0
            seen = self._beats
            if looks == 1:
                self._where = self._frames()
            if looks >= self._stuck_looks:
                self._log.error("event loop stuck", where=self._frames())
                self._log.flush()
                os._exit(EXIT_STUCK)

    def _frames(self) -> list[str]:
        return frames_of(sys._current_frames().get(self._thread))
