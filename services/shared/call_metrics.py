"""Metrics of calls, measured at the boundary of every process, and of its streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol

from services.shared import metric_names as names
from services.shared.admission import count_running_calls
from services.shared.identity import Identity
from services.shared.metrics import (
    MAX_TEAMS,
    OTHER,
    Batch,
    Counters,
    Histogram,
    Histograms,
    LabelValues,
    Readings,
    Values,
)
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

NOBODY = ("", "")
"""The team and the project of a caller without an identity."""

MAX_SERIES = 4096
"""Combinations whose series are found at once; paths and projects that callers invent would be ever more."""

_TEAMS = LabelValues(MAX_TEAMS)
_PROJECTS = LabelValues(MAX_TEAMS)
_served_methods: dict[str, str] = {}


class Waiting(Protocol):
    """A call that waits for other servers, in times that do not overlap."""

    waited: float
    """The seconds that it has waited so far."""
    has_asked: bool
    """Whether the newest of them has got a part of its request."""


class Alone:
    """Waits for what no call has asked for."""

    waited = 0.0
    has_asked = False


def serve_method(name: str, full_name: str) -> None:
    """Gives a method series of its own. All methods that are not served share one, because callers invent them."""
    _served_methods[name] = full_name


def team_labels(team: str, project: str) -> tuple[str, str]:
    """The labels of a team and of a project; both are empty for a caller without a team."""
    return _TEAMS.label(team), _PROJECTS.label(project)


class _Series:
    """The series of calls of one method that ended with one status, by callers of one project."""

    __slots__ = ("calls", "durations", "overheads")

    def __init__(self, method: str, code: str, team: str, project: str) -> None:
        name = _served_methods.get(method, OTHER)
        self.durations = DURATIONS.of((name, code))
        self.calls = CALLS.of((*team_labels(team, project), OUTCOMES.get(code, "refused")))
        self.overheads: Histogram | None = None
        """The overheads of the method; only calls that wait for others have one."""


_series: dict[Values, _Series] = {}


def _count_call(
    method: str, code: str, identity: Identity | None, seconds: float, waited: float, first_output: float | None
) -> None:
    owner = (identity.team_id, identity.project_id) if identity else NOBODY
    series = _series.get((method, code, *owner))
    if series is None:
        if len(_series) >= MAX_SERIES:
            _series.clear()
        series = _series[(method, code, *owner)] = _Series(method, code, *owner)
    series.durations.observe(seconds)
    series.calls.value += 1
    if waited:
        if series.overheads is None:
            series.overheads = OVERHEADS.of((_served_methods.get(method, OTHER),))
        series.overheads.observe(max(0.0, (seconds if first_output is None else first_output) - waited))


ENDED_CALLS = Batch(_count_call)
"""Calls that have ended: method, status, caller, seconds, the seconds of them in which it waited, and for a stream the
seconds until its first output, after which no waiting is measured."""


def follow_calls(process: str) -> None:
    """Reads the running calls and the streams of this process, which has a name, at each scrape."""
    INFLIGHT_CALLS.follow(lambda: [((process,), count_running_calls())])
    ACTIVE_STREAMS.follow(lambda: [((process,), PROCESS_STREAMS.running)])
    STREAM_ENDS.follow(_read_ends)


def _read_ends() -> Iterator[tuple[tuple[str], float]]:
    for end, count in PROCESS_STREAMS.counts().items():
        yield (end,), count
