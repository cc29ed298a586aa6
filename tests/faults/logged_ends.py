"""Ends of chats in the logs of the services: each has one line, which must agree with what its caller saw."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.history import Sum

TASKS = 400
"""Tasks of a process without calls: it awaits the calls of each method in several, and follows its neighbours."""

CHATS = ("ModelService/Chat", "ModelService/ChatStream")


class Ends(NamedTuple):
    """The chats in the log of one service."""

    name: str
    codes: Counter[str]
    ok: set[str]
    """The ids of those that ended well."""
    repeated: int
    """Lines about an id that has one already."""
    streams: Counter[str]
    """The streams that each process counted, as it wrote them when it stopped: those that started, those that still
    ran, and those that had ended in each way."""
    last_tasks: int
    """Tasks of the event loop of the last process when it began to stop, after the load."""
    whole: bool
    """Whether no line can be missing: a service that is killed loses the newest ones."""

    @property
    def number(self) -> int:
        return self.codes.total()


def read_ends(name: str, log: Path, *, whole: bool) -> Ends:
    """The ends in a log."""
    codes: Counter[str] = Counter()
    ok: set[str] = set()
    seen: set[str] = set()
    streams: Counter[str] = Counter()
    repeated = last_tasks = 0
    for entry in _entries(log):
        if entry.get("event") == "stopped":
            streams.update(entry["streams"])
        if entry.get("event") == "draining":
            last_tasks = entry["tasks"]
        if entry.get("event") != "rpc" or entry["method"] not in CHATS:
            continue
        codes[entry["code"]] += 1
        repeated += entry["request_id"] in seen
        seen.add(entry["request_id"])
        if entry["code"] == "OK":
            ok.add(entry["request_id"])
    return Ends(name, codes, ok, repeated, streams, last_tasks, whole)


def _entries(log: Path) -> Iterator[dict[str, Any]]:
    with log.open("rb") as lines:
        for line in lines:
            # A process that was killed may have left half a line.
            if line.startswith(b"{") and line.endswith(b"}\n"):
                yield json.loads(line)


def judge_ends(gateways: Iterable[Ends], models: Iterable[Ends], seen: Mapping[str, Counter[str]]) -> Iterator[Sum]:
    """The sums of the logs, with what callers saw through each gateway."""
    gateways, models = list(gateways), list(models)
    answered = set().union(*(each.ok for each in models))
    none_lost = all(each.whole for each in models)
    for gateway in gateways:
        calls = seen[gateway.name]
        told = f"{gateway.number} ends for {calls.total()} chats, {gateway.codes['OK']} OK, {calls['OK']} of them seen"
        wrong = gateway.repeated + max(gateway.number - calls.total(), 0)
        # A stream whose service is killed right after its last chunk is whole for its caller, and lost for the gateway.
        if gateway.whole and none_lost:
            wrong += max(calls["OK"] - gateway.codes["OK"], 0)
        yield Sum(f"{gateway.name} has logged each end once", told, wrong)
        if none_lost:
            lost = len(gateway.ok - answered)
            yield Sum(f"what ended well at {gateway.name} did at a Model Service", f"{len(gateway.ok)} chats", lost)
    for each in models:
        yield Sum(f"{each.name} has logged each end once", f"{each.number} ends, {each.codes['OK']} OK", each.repeated)
    for each in (*gateways, *models):
        yield _sum_of_streams(each)
        told = f"{each.last_tasks} when the last process stopped, {TASKS} may be"
        yield Sum(f"no task of {each.name} is left", told, int(each.last_tasks > TASKS))


def _sum_of_streams(ends: Ends) -> Sum:
    """The streams of all processes of a service that stopped: each has ended in one way."""
    counts = Counter(ends.streams)
    started, running = counts.pop("started", 0), counts.pop("running", 0)
    told = " + ".join(f"{count} {kind}" for kind, count in counts.most_common())
    return Sum(
        f"each stream of {ends.name} has ended",
        f"{started} started = {told or 0}, {running} run",
        abs(started - counts.total()),
    )
