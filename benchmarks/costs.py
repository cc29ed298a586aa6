"""CPU time: of the floors, and of the program doing the same, turn by turn.

The machine's speed changes from second to second, so all of them take a short turn in every round, and a ratio is that
of one round.
"""

from __future__ import annotations

import contextlib
import json
import statistics
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.load import AT_ONCE, PACED_AT_ONCE, connected
from benchmarks.processes import MEASURED_CORE, started
from benchmarks.report import Cost
from benchmarks.scale import PACE_MS, SATURATED, UNARY, Scale
from benchmarks.work import Work

NOW = "≤ 1.6 ×"


@dataclass(frozen=True)
class Costs:
    """CPU microseconds of one process tree in each round: for each call, and for each token of a stream."""

    unary: Sequence[float]
    saturated: Sequence[float]
    paced: Sequence[float]

    def __add__(self, other: Costs) -> Costs:
        return Costs(
            _sums(self.unary, other.unary),
            _sums(self.saturated, other.saturated),
            _sums(self.paced, other.paced),
        )

    def as_floors(self, name: str) -> list[Cost]:
        return [
            Cost(f"{name}, unary", statistics.median(self.unary)),
            Cost(f"{name}, per token, saturated", statistics.median(self.saturated)),
            Cost(f"{name}, per token, paced at {PACE_MS} ms", statistics.median(self.paced)),
        ]

    def above(self, floors: Costs, name: str, finals: tuple[str, str, str]) -> list[Cost]:
        """The rows of a part of the program; `finals` are its final targets."""
        return [
            _above(f"{name}, unary", self.unary, floors.unary, finals[0]),
            _above(f"{name}, per token, saturated", self.saturated, floors.saturated, finals[1]),
            _above(f"{name}, per token, paced at {PACE_MS} ms", self.paced, floors.paced, finals[2]),
        ]


def _sums(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [one + other for one, other in zip(first, second, strict=True)]


def _above(name: str, readings: Sequence[float], floors: Sequence[float], final: str) -> Cost:
    ratio = statistics.median(reading / floor for reading, floor in zip(readings, floors, strict=True))
    return Cost(name, statistics.median(readings), statistics.median(floors), ratio, NOW, final)


class Run(Protocol):
    """Makes `calls` calls, `at_once` at any time, and returns when all are answered."""

    async def __call__(self, work: Work, calls: int, at_once: int, *, stream: bool) -> None: ...


class Process(Protocol):
    """What is measured: one process, or several together."""

    def cpu_seconds(self) -> float: ...


@dataclass(frozen=True)
class Subject:
    """A running process whose costs are measured, and how to put it to work."""

    process: Process
    run: Run


@contextlib.asynccontextmanager
async def server(arguments: list[str], settings: Mapping[str, str] | None = None) -> AsyncIterator[Subject]:
    """A process that serves Chat and ChatStream.

    Raises NotStarted when it does not start, and AssertionError when it does not give whole answers.
    """
    async with started(arguments, MEASURED_CORE, settings) as process:
        await process.wait_until_serving()
        async with connected(process.address) as client:
            await client.check(UNARY)
            yield Subject(process, client.run)


@contextlib.asynccontextmanager
async def http_client(upstream: str) -> AsyncIterator[Subject]:
    """A process that asks the upstream itself."""
    async with started(["-m", "benchmarks.floors", "http", "--backend", upstream], MEASURED_CORE) as process:

        async def run(work: Work, calls: int, at_once: int, *, stream: bool) -> None:
            job = {"work": work, "stream": stream, "calls": calls, "at_once": at_once}
            await process.do(json.dumps(job))

        yield Subject(process, run)


async def measure(scale: Scale, subjects: Mapping[str, Subject]) -> tuple[dict[str, Costs], list[str]]:
    """The costs of each, and why those that are missing could not be measured."""
    readings: dict[str, list[list[float]]] = {name: [] for name in subjects}
    gaps = []
    for work, calls, at_once, stream in (
        (UNARY, scale.unary_calls, AT_ONCE, False),
        (SATURATED, scale.saturated_streams, AT_ONCE, True),
        (scale.paced, PACED_AT_ONCE, PACED_AT_ONCE, True),
    ):
        units = calls * work.tokens if stream else calls
        rounds = scale.rounds if not work.pace_ms else scale.paced_rounds
        for own in readings.values():
            own.append([])
        # Connections, caches and branch predictors are for the first round to fill.
        for number in range(rounds + 1):
            for name in list(readings):
                try:
                    seconds = await _cpu_seconds(subjects[name], work, calls, at_once, stream=stream)
                except ExceptionGroup as failures:
                    del readings[name]
                    gaps.append(f"{name}: {failures.exceptions[0]}")
                else:
                    if number:
                        readings[name][-1].append(seconds / units * 1e6)
    return {name: Costs(*own) for name, own in readings.items()}, gaps


async def _cpu_seconds(subject: Subject, work: Work, calls: int, at_once: int, *, stream: bool) -> float:
    """What one turn costs. Raises an ExceptionGroup when a call fails."""
    before = subject.process.cpu_seconds()
    await subject.run(work, calls, at_once, stream=stream)
    return subject.process.cpu_seconds() - before
