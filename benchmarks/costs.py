"""CPU time: of the floors, and of the program doing the same."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from benchmarks.load import AT_ONCE, PACED_AT_ONCE, connected
from benchmarks.processes import MEASURED_CORE, Process, started
from benchmarks.report import Cost
from benchmarks.scale import PACE_MS, SATURATED, UNARY, Scale
from benchmarks.work import Work

NOW = "≤ 1.6 ×"


@dataclass(frozen=True)
class Costs:
    """CPU microseconds of one process tree: for each call, and for each token of a stream."""

    unary: float
    saturated: float
    paced: float

    def __add__(self, other: Costs) -> Costs:
        return Costs(self.unary + other.unary, self.saturated + other.saturated, self.paced + other.paced)

    def as_floors(self, name: str) -> list[Cost]:
        return [
            Cost(f"{name}, unary", self.unary),
            Cost(f"{name}, per token, saturated", self.saturated),
            Cost(f"{name}, per token, paced at {PACE_MS} ms", self.paced),
        ]

    def above(self, floors: Costs, name: str, finals: tuple[str, str, str]) -> list[Cost]:
        """The rows of a part of the program; `finals` are its final targets."""
        return [
            Cost(f"{name}, unary", self.unary, floors.unary, NOW, finals[0]),
            Cost(f"{name}, per token, saturated", self.saturated, floors.saturated, NOW, finals[1]),
            Cost(f"{name}, per token, paced at {PACE_MS} ms", self.paced, floors.paced, NOW, finals[2]),
        ]


class Run(Protocol):
    """Makes `calls` calls, `at_once` at any time, and returns when all are answered."""

    async def __call__(self, work: Work, calls: int, at_once: int, *, stream: bool) -> None: ...


async def measure_server(scale: Scale, arguments: list[str], settings: Mapping[str, str] | None = None) -> Costs:
    """The costs of a process that serves Chat and ChatStream.

    Raises NotStarted when it does not start, and AssertionError when it does not give whole answers.
    """
    async with started(arguments, MEASURED_CORE, settings) as process:
        await process.wait_until_serving()
        async with connected(process.address) as client:
            await client.check(UNARY)
            return await _measure(scale, process, client.run)


async def measure_http_client(scale: Scale, upstream: str) -> Costs:
    """The costs of a process that asks the upstream itself."""
    async with started(["-m", "benchmarks.floors", "http", "--backend", upstream], MEASURED_CORE) as process:

        async def run(work: Work, calls: int, at_once: int, *, stream: bool) -> None:
            job = {"work": work, "stream": stream, "calls": calls, "at_once": at_once}
            await process.do(json.dumps(job))

        return await _measure(scale, process, run)


async def _measure(scale: Scale, process: Process, run: Run) -> Costs:
    async def cost(work: Work, calls: int, at_once: int, *, stream: bool) -> float:
        # Connections, caches and branch predictors are for the first calls to fill.
        await run(work, max(at_once, calls // 4), at_once, stream=stream)
        units = calls * work.tokens if stream else calls
        readings = []
        for _ in range(scale.repeats):
            before = process.cpu_seconds()
            await run(work, calls, at_once, stream=stream)
            readings.append((process.cpu_seconds() - before) / units * 1e6)
        return statistics.median(readings)

    return Costs(
        unary=await cost(UNARY, scale.unary_calls, AT_ONCE, stream=False),
        saturated=await cost(SATURATED, scale.saturated_streams, AT_ONCE, stream=True),
        paced=await cost(scale.paced, PACED_AT_ONCE, PACED_AT_ONCE, stream=True),
    )
