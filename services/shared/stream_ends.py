"""Ends of streams, counted by kind: together they are as many as the streams that have started and do not run."""

from __future__ import annotations

from collections import Counter
from typing import Literal, get_args

End = Literal["complete", "truncated", "cancelled", "expired", "slow_reader", "stopped", "failed"]
"""Kind of end: whole; broken off by a provider, or by a service behind the gateway, before its end; by the caller; at
the deadline; the caller did not read; the process stopped; any other error."""

ENDS: tuple[End, ...] = get_args(End)

TRUNCATIONS = frozenset({"UPSTREAM_STREAM_TRUNCATED", "UPSTREAM_STREAM_INTERRUPTED", "UPSTREAM_IDLE", "BACKEND_LOST"})
"""Reasons of errors of answers that were broken off."""


class StreamEnds:
    """The count of the streams of one process."""

    def __init__(self) -> None:
        self.started = 0
        self.ended: Counter[End] = Counter()
        self._is_stopping = False

    @property
    def running(self) -> int:
        return self.started - self.ended.total()

    def begin_serving(self) -> None:
        """Counts cancelled streams as cancelled by their callers from now on."""
        self._is_stopping = False

    def begin_stop(self) -> None:
        """Counts cancelled streams as stopped by the process from now on."""
        self._is_stopping = True

    def count(self, code: str, reason: str) -> None:
        """Counts the end of a stream by its status and the reason of its error."""
        self.ended[self._kind(code, reason)] += 1

    def as_fields(self) -> dict[str, int]:
        """All counts, for the log."""
        return {"started": self.started, "running": self.running, **dict(sorted(self.ended.items()))}

    def counts(self) -> dict[End, int]:
        """The number of streams that have ended in each way. Safe to call in any thread."""
        return {end: self.ended[end] for end in ENDS}

    def _kind(self, code: str, reason: str) -> End:
        if code == "OK":
            return "complete"
        if code == "CANCELLED":
            return "stopped" if self._is_stopping else "cancelled"
        if code == "DEADLINE_EXCEEDED":
            return "expired"
        if reason in TRUNCATIONS:
            return "truncated"
        return "slow_reader" if reason == SLOW_READER else "failed"


SLOW_READER = "CLIENT_TOO_SLOW"

PROCESS_STREAMS = StreamEnds()
"""The streams of this process."""
