"""Peers: other gateways and the Model Service's HTTP port, in front of the same mock provider.

python -m benchmarks.peers            # about 3 minutes, once the peers are installed
python -m benchmarks.peers --quick    # under 2 minutes, rougher
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from benchmarks.http_load import HttpLoad, Place, loading
from benchmarks.load import AT_ONCE, PACED_AT_ONCE, percentile
from benchmarks.peer_programs import CHECK, PEERS, TENSORZERO, NotInstalled, Peer, free_port
from benchmarks.processes import LOAD_CORE, MEASURED_CORE, started
from benchmarks.report import DASH, table
from benchmarks.scale import PACE_MS, SATURATED, UNARY
from benchmarks.work import ANTHROPIC_MODEL, Work
from services.shared.event_loop import run_on_loop
from tests.support.processes import NotStarted

DIRECT = "the mock provider itself"
FORWARDED = "Model Service, forwarded"
TRANSLATED = "Model Service, translated"
TO_ANTHROPIC = "Model Service, to Anthropic's wire"
SLOW_PART = 8
"""By how much fewer calls a slow peer is asked."""
FAILURES = (NotInstalled, NotStarted, AssertionError, TimeoutError, OSError, ExceptionGroup)


class Scale(NamedTuple):
    rounds: int
    paced_rounds: int
    unary_calls: int
    """Of each turn, as the next three."""
    saturated_streams: int
    paced: Work
    delays: int
    crowd: int
    """Streams at once, twice over."""
    crowd_seconds: float
    """After which a crowd is given up."""


FULL = Scale(7, 2, 480, 16, Work(75, PACE_MS), 60, 1000, 40.0)
QUICK = Scale(3, 1, 320, 16, Work(50, PACE_MS), 40, 300, 20.0)
CROWD = Work(50, PACE_MS)


class Process(Protocol):
    """What is measured."""

    def cpu_seconds(self) -> float: ...

    def rss_mib(self) -> float: ...


class Nothing:
    """The process of who asks the provider itself."""

    def cpu_seconds(self) -> float:
        return 0.0

    def rss_mib(self) -> float:
        return 0.0


class Subject(NamedTuple):
    """A gateway that runs, and its client."""

    process: Process
    place: Place
    load: HttpLoad
    is_slow: bool = False


@dataclass
class Row:
    """What was measured of one subject: CPU microseconds and delays in each round, and its crowd."""

    unary: list[float] = field(default_factory=list)
    saturated: list[float] = field(default_factory=list)
    paced: list[float] = field(default_factory=list)
    delay_ms: list[float] = field(default_factory=list)
    crowd_whole: int = 0
    crowd_streams: int = 0
    crowd_seconds: float = 0.0
    crowd_last: float = 0.0
    """Seconds until the last of the first tokens."""
    rss_mib: float = 0.0
    """After all of it."""


class Benchmark:
    """One run."""

    def __init__(self, scale: Scale, upstream: str, directory: Path) -> None:
        self._scale = scale
        self._upstream = upstream
        self._directory = directory
        self.rows: dict[str, Row] = {}
        self.gaps: list[str] = []

    async def run(self, peers: Sequence[Peer]) -> None:
        """Measures all that can be."""
        async with contextlib.AsyncExitStack() as stack:
            subjects = {DIRECT: await self._subject(stack, Nothing(), Place(self._upstream))}
            for peer in peers:
                with self._gap(peer.name):
                    process, place = await stack.enter_async_context(peer.started(self._upstream))
                    subjects[peer.name] = await self._subject(stack, process, place, is_slow=peer.is_slow)
            with self._gap("Model Service"):
                subjects |= await self._ours(stack)
            self.rows = {name: Row() for name in subjects}
            await self._measure_delays(subjects)
            await self._measure_costs(subjects)
            await self._measure_crowds(subjects)

    @contextlib.asynccontextmanager
    async def _service(self) -> AsyncIterator[tuple[Process, str]]:
        port = free_port()
        settings = {
            "OPENAI_API_KEY": "bench",
            "OPENAI_BASE_URL": f"http://{self._upstream}/v1",
            "ANTHROPIC_API_KEY": "bench",
            "ANTHROPIC_BASE_URL": f"http://{self._upstream}",
            "MODELS_DISCOVERY": "off",
            "MODELS_PORT": "0",
            "MODELS_HTTP_PORT": str(port),
            "GENAI_DATA_DIR": tempfile.mkdtemp(dir=self._directory),
            "GENAI_GRACE_SECONDS": "1",
        }
        async with started(["services/models/main.py"], MEASURED_CORE, settings) as process:
            await process.wait_until_serving()
            yield process, f"127.0.0.1:{port}"

    async def _ours(self, stack: contextlib.AsyncExitStack) -> dict[str, Subject]:
        """The three ways through the Model Service: one process, as it starts by default."""
        process, address = await stack.enter_async_context(self._service())
        places = {
            FORWARDED: Place(address),
            TRANSLATED: Place(address, headers=(("x-genai-route", "translate"),)),
            TO_ANTHROPIC: Place(address, model=ANTHROPIC_MODEL),
        }
        return {name: await self._subject(stack, process, place) for name, place in places.items()}

    async def _subject(
        self, stack: contextlib.AsyncExitStack, process: Process, place: Place, *, is_slow: bool = False
    ) -> Subject:
        load = await stack.enter_async_context(loading(place))
        await load.check(CHECK)
        return Subject(process, place, load, is_slow)

    @contextlib.contextmanager
    def _gap(self, what: str) -> Iterator[None]:
        """A block that may fail, which the report names then."""
        try:
            yield
        except FAILURES as gap:
            reason = gap.exceptions[0] if isinstance(gap, ExceptionGroup) else gap
            self.gaps.append(f"{what}: {reason}")

    async def _measure_delays(self, subjects: dict[str, Subject]) -> None:
        _tell("delays")
        for number in range(self._scale.rounds + 1):
            for name, subject in subjects.items():
                with self._gap(f"delay of {name}"):
                    calls = self._share(subject, self._scale.delays)
                    times = [await subject.load.time_call(UNARY) for _ in range(calls)]
                    if number:
                        self.rows[name].delay_ms.append(percentile(times, 50) * 1000)

    async def _measure_costs(self, subjects: dict[str, Subject]) -> None:
        scale = self._scale
        for kind, work, calls, at_once, rounds in (
            ("unary", UNARY, scale.unary_calls, AT_ONCE, scale.rounds),
            ("saturated", SATURATED, scale.saturated_streams, AT_ONCE, scale.rounds),
            ("paced", scale.paced, PACED_AT_ONCE, PACED_AT_ONCE, scale.paced_rounds),
        ):
            _tell(kind)
            # Connections and caches are for the first round to fill.
            for number in range(rounds + 1):
                for name, subject in subjects.items():
                    if name == DIRECT or (subject.is_slow and number > 2):
                        continue
                    with self._gap(f"{kind} of {name}"):
                        share = self._share(subject, calls) if kind == "unary" else calls
                        cost = await _cost(subject, work, share, at_once, stream=kind != "unary")
                        if number:
                            getattr(self.rows[name], kind).append(cost)

    async def _measure_crowds(self, subjects: dict[str, Subject]) -> None:
        # One that is given up works on behind the others.
        for name, subject in sorted(subjects.items(), key=lambda one: one[1].is_slow):
            _tell(f"crowd of {name}")
            row = self.rows[name]
            with self._gap(f"crowd of {name}"):
                seconds, answers = await subject.load.crowd(CROWD, self._scale.crowd, self._scale.crowd_seconds)
                row.crowd_streams = 2 * self._scale.crowd
                row.crowd_whole = sum(answer.is_whole(CROWD) for answer in answers)
                row.crowd_seconds = seconds
                row.crowd_last = max((answer.first_token_seconds for answer in answers), default=0.0)
            row.rss_mib = subject.process.rss_mib()

    def _share(self, subject: Subject, calls: int) -> int:
        return max(calls // SLOW_PART, 1) if subject.is_slow else calls


async def _cost(subject: Subject, work: Work, calls: int, at_once: int, *, stream: bool) -> float:
    """CPU microseconds for each call, or for each token of a stream. Raises an ExceptionGroup when a call fails."""
    before = subject.process.cpu_seconds()
    await subject.load.run(work, calls, at_once, stream=stream)
    units = calls * work.tokens if stream else calls
    return (subject.process.cpu_seconds() - before) / units * 1e6


def _tell(what: str) -> None:
    print(f"measuring {what} …", file=sys.stderr, flush=True)


def as_text(rows: dict[str, Row], gaps: Sequence[str]) -> str:
    """The table, as it is printed."""
    base, direct = rows.get(TENSORZERO, Row()), rows.get(DIRECT, Row())
    head = [
        *("CPU µs", "unary", "of TensorZero's", "token, saturated", "of it", f"token, paced {PACE_MS} ms", "of it"),
        *("added p50, ms", "crowd whole", "done, s", "last first token, s", "RSS MiB"),
    ]
    lines = []
    for name, row in rows.items():
        costs = [
            cell
            for own, other in ((row.unary, base.unary), (row.saturated, base.saturated), (row.paced, base.paced))
            for cell in (_median(own), _ratio(own, other))
        ]
        added = [one - other for one, other in zip(row.delay_ms, direct.delay_ms, strict=False)]
        crowd = [
            f"{row.crowd_whole} of {row.crowd_streams}" if row.crowd_streams else DASH,
            f"{row.crowd_seconds:.1f}",
            f"{row.crowd_last:.2f}",
        ]
        lines.append([name, *costs, f"{statistics.median(added):.2f}" if added else DASH, *crowd, f"{row.rss_mib:.0f}"])
    return "\n".join([table(head, lines), *(f"not measured: {gap}" for gap in gaps)])


def _median(readings: Sequence[float]) -> str:
    return f"{statistics.median(readings):.1f}" if readings else DASH


def _ratio(readings: Sequence[float], others: Sequence[float]) -> str:
    """The median of the ratios of single rounds."""
    ratios = [one / other for one, other in zip(readings, others, strict=False)]
    return f"{statistics.median(ratios):.2f} ×" if ratios else DASH


def _install(chosen: Sequence[str]) -> tuple[list[Peer], list[str]]:
    """The peers that are there now, and why the others are not."""
    peers, gaps = [], []
    for peer in PEERS:
        if chosen and not any(word.lower() in peer.name.lower() for word in chosen):
            continue
        try:
            peer.install()
            peers.append(peer)
        except NotInstalled as reason:
            gaps.append(f"{peer.name}: {reason}")
    return peers, gaps


async def _measure(scale: Scale, peers: Sequence[Peer], directory: Path) -> Benchmark:
    async with started(["-m", "benchmarks.upstream"], LOAD_CORE) as upstream:
        benchmark = Benchmark(scale, upstream.address, directory)
        await benchmark.run(peers)
        return benchmark


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds and a smaller crowd: under 2 minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers to this file")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="only the peers with such a word in their names"
    )
    arguments = parser.parse_args()
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2:
        parser.error("the measurements need Linux (for /proc) and two cores")
    peers, gaps = _install(arguments.only)
    os.sched_setaffinity(0, {LOAD_CORE})

    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            benchmark = await _measure(QUICK if arguments.quick else FULL, peers, Path(directory))
        missing = [*gaps, *benchmark.gaps]
        print(as_text(benchmark.rows, missing))
        if arguments.json:
            rows = {name: asdict(row) for name, row in benchmark.rows.items()}
            arguments.json.write_text(json.dumps({"rows": rows, "gaps": missing}, indent=2) + "\n")

    run_on_loop(run)


if __name__ == "__main__":
    main()
