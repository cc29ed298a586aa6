"""What the fuzzers of running processes do alike: cases in batches, many at a time, and after each batch a look at what
they have left behind: processes that have ended or no longer answer, loops that were held, and what the logs say.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import grpc

from tests.fuzz.fuzzed_platform import CANARY, FuzzedPlatform, Stall, fuzzed_platform
from tests.fuzz.heartbeat import LATE_SECONDS, cpu_seconds
from tests.fuzz.report import Report

SPARE_SECONDS = 1.0
"""By how much a call may outlive its deadline."""

MAX_STALLS = 5
"""Of how many stalls of a batch the cause is searched."""
AFTERMATH_SECONDS = 1.0
"""For how long a case may have effects when it is over at this end."""
MAX_SUSPECTS = 60
"""How many cases are run again for one stall."""
MAX_CRASHES = 5
"""How many times it is searched which case of a batch has ended a process: it takes a while."""
CONFIRMATIONS = 3
SETTLE_SECONDS = 0.1
"""Until what was late is told."""

BAD_CODES = frozenset({grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS})
OWN_CODES = frozenset({grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED})
"""What a client says by itself, without any details."""


class Case(Protocol):
    """One case. It is the same for the same seed and number."""

    @property
    def number(self) -> int: ...

    @property
    def target(self) -> str:
        """The process that is asked."""

    @property
    def timeout(self) -> float | None:
        """The deadline of its call, in seconds."""

    @property
    def size(self) -> int:
        """The bytes of what is sent: of several suspects the largest is tried first."""

    def describe(self, seed: int) -> str:
        """All that is needed to see it again."""


class Ran(NamedTuple):
    """When a case ran, by `time.monotonic`."""

    case: Any
    began: float
    ended: float


class Fuzzer(ABC):
    """One run at one platform."""

    name: ClassVar[str]
    workers: ClassVar[int] = 32
    batch: ClassVar[int] = 1000

    def __init__(self, platform: FuzzedPlatform, report: Report, seed: int) -> None:
        self.platform = platform
        self.report = report
        self.seed = seed
        self._ran: list[Ran] = []
        self._unconfirmed = Counter[str]()
        self._crashes = 0
        self._repeats = False

    @abstractmethod
    async def prepare(self) -> None:
        """Runs before the first case."""

    @abstractmethod
    def make(self, number: int) -> Case:
        """The case of a number."""

    @abstractmethod
    async def play(self, case: Any) -> list[str]:
        """Runs a case, judges how it ends, and says how each of its calls has ended."""

    async def finish(self) -> None:
        """Runs after the last case."""
        return

    async def close(self) -> None:
        """Gives back what `prepare` has opened."""
        return

    def find(self, cause: str, case: Case, told: str = "") -> None:
        """Counts a finding, unless the case is only run again."""
        if not self._repeats:
            self.report.find(cause, "\n".join([case.describe(self.seed), told]))

    def request_id(self, case: Case) -> str:
        """What a case's calls are called in the logs."""
        return f"fuzz-{self.seed}-{case.number}"

    async def run(self, numbers: Iterable[int], seconds: float) -> None:
        """Runs the cases of these numbers, for at most about so many seconds."""
        end = time.monotonic() + seconds
        warm = False
        await self.prepare()
        for batch in _batches(numbers, self.batch):
            await self._run_batch([self.make(number) for number in batch])
            if not warm and self.report.done * 10 >= self.report.count:
                warm = True
                self.platform.remember_memory()
            if time.monotonic() > end:
                break
        await self.finish()

    async def _run_batch(self, cases: list[Case]) -> None:
        self._ran = []
        waiting = iter(cases)
        await asyncio.gather(*(self._work(waiting) for _ in range(self.workers)))
        problems = await self.platform.check()
        if problems:
            await self._blame(cases, "; ".join(problems))
        self._read_logs(cases)
        await self._judge_stalls()

    async def _work(self, cases: Iterator[Case]) -> None:
        for case in cases:
            began = time.monotonic()
            self.report.outcomes.update(await self.play(case))
            self._ran.append(Ran(case, began, time.monotonic()))
            self.report.advance()

    # ------------------------------------------------------------------------------------ what is left behind

    def _read_logs(self, cases: list[Case]) -> None:
        by_id = {self.request_id(case): case for case in cases}
        for service, line in self.platform.new_log_lines():
            case = by_id.get(str(line.get("request_id"))) if isinstance(line, dict) else None
            if case and isinstance(line, dict):
                self._judge_line(service, line, case)
            else:
                self.platform.note_log_line(service, line)

    def _judge_line(self, service: str, line: dict[str, Any], case: Case) -> None:
        is_error = line["event"] == "unexpected error"
        self.platform.note_log_line(service, line, case.describe(self.seed) if is_error else "")
        if case.timeout and line.get("duration_ms", 0) > (case.timeout + SPARE_SECONDS) * 1000:
            self.find(f"{service}: {line.get('method')} outlived its deadline", case, str(line))

    async def _blame(self, cases: list[Case], told: str) -> None:
        """Starts everything again and runs the cases one by one, until one has done what the batch did."""
        self._crashes += 1
        self.platform.restart()
        await self.prepare()
        if self._crashes > MAX_CRASHES:
            self.report.find(f"unsearched: {told}", f"cases {cases[0].number} to {cases[-1].number}")
            return
        for case in cases:
            await self._repeat(case)
            if not await self.platform.all_serve():
                self.find(told, case)
                self.platform.restart()
                await self.prepare()
                return
        self.report.find(f"no case by itself: {told}", f"cases {cases[0].number} to {cases[-1].number}")

    async def _judge_stalls(self) -> None:
        """Runs each case that may have held a loop by itself: what holds it then is found."""
        stalls, self.platform.stalls, self.platform.late_beats = self.platform.stalls, [], []
        for stall in stalls[:MAX_STALLS]:
            ended = stall.began + stall.seconds
            since = stall.began - AFTERMATH_SECONDS
            suspects = [ran.case for ran in self._ran if ran.began <= ended and ran.ended >= since]
            suspects.sort(key=lambda case: -case.size)
            if not await self._convict(stall, suspects[:MAX_SUSPECTS]):
                self._unconfirmed[stall.service] += 1
        if self._unconfirmed:
            told = ", ".join(f"{service} {count}" for service, count in self._unconfirmed.items())
            self.report.facts["late health calls that no case by itself repeats"] = told

    async def _convict(self, stall: Stall, suspects: list[Any]) -> bool:
        for case in suspects:
            held = await self._held_by(stall.service, case)
            if held < LATE_SECONDS:
                continue
            again = [await self._held_by(stall.service, case) for _ in range(CONFIRMATIONS - 1)]
            if min(again) >= LATE_SECONDS:
                least = min(held, *again) * 1000
                self.find(f"{stall.service} held by {kind_of(case)}", case, f"{least:.0f} ms, {CONFIRMATIONS} times")
                return True
        return False

    async def _held_by(self, service: str, case: Any) -> float:
        """For how many seconds a case by itself keeps a process from answering; 0 when its CPU time says otherwise."""
        pid = self.platform.pid(service)
        self.platform.late_beats = []
        cpu = cpu_seconds(pid)
        await self._repeat(case)
        # What the case has left to do may hold the loop when the case is over at this end.
        await asyncio.sleep(SETTLE_SECONDS)
        await self.platform.serves(service)
        if cpu_seconds(pid) - cpu < LATE_SECONDS:
            return 0.0
        # For the beat that was late to be told.
        await asyncio.sleep(SETTLE_SECONDS)
        return max((beat.seconds for beat in self.platform.late_beats if beat.service == service), default=0.0)

    async def _repeat(self, case: Any) -> None:
        self._repeats = True
        try:
            await self.play(case)
        finally:
            self._repeats = False


def kind_of(case: Any) -> str:
    """What a case is called among those of its cause."""
    return str(getattr(case, "kind", "a case"))


def tells_key(error: grpc.aio.AioRpcError) -> bool:
    return CANARY in f"{error.details()} {error.trailing_metadata()}"


def _batches(numbers: Iterable[int], size: int) -> Iterator[list[int]]:
    waiting = iter(numbers)
    while batch := list(itertools.islice(waiting, size)):
        yield batch


async def _fuzz(runs: Sequence[tuple[type[Fuzzer], Report]], numbers: Iterable[int] | None, seconds: float) -> None:
    async with fuzzed_platform(runs[0][1]) as platform:
        for kind, report in runs:
            platform.report = report
            fuzzer = kind(platform, report, report.seed)
            try:
                await fuzzer.run(range(report.count) if numbers is None else numbers, seconds)
            finally:
                await fuzzer.close()
        await platform.finish()


def run_fuzzer(
    kind: type[Fuzzer], count: int, seed: int, seconds: float, only: int | None, folder: Path | None
) -> Report:
    """Runs `count` cases, or the one of the number `only`, for at most about `seconds`."""
    report = Report(kind.name, seed, count, folder)
    asyncio.run(_fuzz([(kind, report)], None if only is None else [only], seconds))
    return report


def run_in_turn(counts: Mapping[type[Fuzzer], int], seed: int, folder: Path) -> list[Report]:
    """Runs so many cases of each of several fuzzers, one after another, at one platform."""
    runs = [(kind, Report(kind.name, seed, count, folder)) for kind, count in counts.items()]
    asyncio.run(_fuzz(runs, None, float("inf")))
    return [report for _, report in runs]
