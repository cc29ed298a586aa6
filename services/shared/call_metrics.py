"""Metrics of calls, measured at the boundary of every process, and of its streams."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

from services.shared import metric_names as names
from services.shared.admission import count_running_calls
from services.shared.metrics import MAX_TEAMS, OTHER, Batch, Counters, Histograms, LabelValues, Readings
from services.shared.stream_ends import PROCESS_STREAMS

Outcome = Literal["ok", "refused", "failed", "cancelled"]
"""The outcome of a call: answered; refused for a reason that its caller or its limits have; failed at the platform or
at a provider; left by its caller."""

OUTCOMES: dict[str, Outcome] = {
    "OK": "ok",
    "CANCELLED": "cancelled",
    "UNKNOWN": "failed",
    "DEADLINE_EXCEEDED": "failed",
    "INTERNAL": "failed",
    "UNAVAILABLE": "failed",
    "DATA_LOSS": "failed",
}
"""The outcome of a call by its status; every other status is a refusal."""

DURATIONS = Histograms(
    names.RPC_DURATION,
    "Seconds from the beginning of a call to its end, by method and status.",
    ("rpc_method", "rpc_status_code"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 120, 300, 600),
)
CALLS = Counters(
    names.CALLS, "Calls that have ended, by the caller's team and project.", ("team", "project", "outcome")
)
OVERHEADS = Histograms(
    names.OVERHEAD,
    "Seconds of a call, of a stream until its first output, in which it has not waited for another server.",
    ("rpc_method",),
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25),
)
INFLIGHT_CALLS = Readings(names.INFLIGHT_CALLS, "Calls that run, streams included.", ("process",))
ACTIVE_STREAMS = Readings(names.ACTIVE_STREAMS, "Streams that run.", ("process",))
STREAM_ENDS = Readings(names.STREAM_ENDS, "Streams that have ended: together all that do not run.", ("end",))

_TEAMS = LabelValues(MAX_TEAMS)
_PROJECTS = LabelValues(MAX_TEAMS)
_served_methods: dict[str, str] = {}


class Waits:
    """The time that a call spends waiting for others, in blocks that do not overlap."""

    __slots__ = ("_since", "first_output", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.first_output: float | None = None
        """The time from the beginning of a stream to its first output, after which no waiting is measured."""

    def __enter__(self) -> None:
        self._since = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._since


def serve_method(name: str, full_name: str) -> None:
    """Gives a method series of its own. All methods that are not served share one, because callers invent them."""
    _served_methods[name] = full_name


def team_labels(team: str, project: str) -> tuple[str, str]:
    """The labels of a team and of a project; both are empty for a caller without a team."""
    return _TEAMS.label(team), _PROJECTS.label(project)


def _count_call(method: str, code: str, team: str, project: str, seconds: float, waits: Waits) -> None:
    name = _served_methods.get(method, OTHER)
    DURATIONS.observe((name, code), seconds)
    CALLS.add((*team_labels(team, project), OUTCOMES.get(code, "refused")))
    if waits.seconds:
        until = seconds if waits.first_output is None else waits.first_output
        OVERHEADS.observe((name,), max(0.0, until - waits.seconds))


ENDED_CALLS = Batch(_count_call)
"""Calls that have ended: the method, the status, the caller's team and project, the seconds and the waits in them."""


def follow_calls(process: str) -> None:
    """Reads the running calls and the streams of this process, which has a name, at each scrape."""
    INFLIGHT_CALLS.follow(lambda: [((process,), count_running_calls())])
    ACTIVE_STREAMS.follow(lambda: [((process,), PROCESS_STREAMS.running)])
    STREAM_ENDS.follow(_read_ends)


def _read_ends() -> Iterator[tuple[tuple[str], float]]:
    for end, count in PROCESS_STREAMS.counts().items():
        yield (end,), count
