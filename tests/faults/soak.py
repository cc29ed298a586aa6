"""The soak: an hour of mixed load with faults, drawn as a picture: `python -m tests.faults.soak [--minutes 60]`.

A fifth of all callers leave, 5 to 10 % of the requests meet a provider that fails, and every ten minutes a service is
killed or stopped and comes back. One gateway lives all the time and one Model Service nearly so, to show leaks.
What must hold is said at the end, with its numbers; the exit code is 1 if one of it does not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.faults.history import Sum
from tests.faults.measure import slope
from tests.faults.nemesis import KILL, STOP, Accident, Pauses
from tests.faults.platform import Shape
from tests.faults.run import Run, Sample, begin_program, cancelled_at_end, opened, report, run_program
from tests.faults.screen import line
from tests.support.fork_server import ROOT

SAMPLE_SECONDS = 5.0
SHOWN_SECONDS = 60.0
WARM_UP_MINUTES = 25.0
"""The part of a life in which what it keeps for a time, such as answers and histories, comes to its full size."""
JUDGED_MINUTES = 10.0
"""The part of a life after its warm-up for which its slope is judged; in a shorter one it is noise, and only told."""
SLOPE_LIMIT = 12.0
"""MiB that a process may grow by in an hour: grpc's core leaves 150 to 300 bytes behind for a cancelled call, also in a
bare proxy of bytes, and ten thousand calls an hour are cancelled in each process, on both of its sides."""
WINDOW_MINUTES = 4.0
PERIOD_WINDOWS = 6
"""Windows of a period, at whose end the medians of two are compared: old garbage is collected every half an hour, and
between two such collections the objects rise to a level and stay there."""
BLOCKS_LIMIT = 5.0
"""Thousand blocks of Python's objects, of some 250, that a process may have more after an hour."""
IDLE_SECONDS = 75.0
"""The time after which an unused connection has been closed: 60 s, and some."""
DESCRIPTORS_MORE = 16
"""Descriptors that a process may have more after the load than before it: connections to its neighbours, databases."""
THREADS_MORE = 16

ACCIDENTS = {
    1: (("models", KILL), ("sessions", STOP), ("sessions", KILL), ("gateway-2", STOP), ("gateway-2", KILL)),
    2: (("sessions", KILL), ("models-2", STOP), ("models-2", KILL), ("gateway-2", STOP), ("gateway-2", KILL)),
}
"""What happens every ten minutes of an hour, or every sixth of another time, with one Model Service and with two."""

MODE_PAUSES, MODE_DURATIONS = Pauses(45.0, 75.0), Pauses(1.0, 3.0)
AWAY = Pauses(0.5, 3.0)
FAULT_SHARE = 0.05


class Life(NamedTuple):
    """One process of a service, by its samples: minutes, and MiB or blocks of Python's objects."""

    name: str
    number: int
    points: list[tuple[float, float]]
    blocks: list[tuple[float, float]]

    def sums(self) -> Iterator[Sum]:
        name = f"{self.name}, life {self.number}"
        yield _judge(f"memory of {name}", self.points, "MiB", SLOPE_LIMIT)
        if self.blocks:
            yield _judge_blocks(f"Python objects of {name}", [count for _, count in lowest(self.blocks)])


def lowest(blocks: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The lowest of the blocks in each whole window, in thousands: running calls and uncollected garbage come and go,
    and in a part of a window there may be none without."""
    windows: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for minute, count in blocks:
        windows[int(minute // WINDOW_MINUTES)].append((minute, count / 1000))
    whole = max(map(len, windows.values()), default=0)
    return [min(window, key=lambda point: point[1]) for window in windows.values() if 2 * len(window) >= whole]


def _judge_blocks(name: str, lows: Sequence[float]) -> Sum:
    """The rise in an hour, from the last period but one to the last one; told only, if there are no two."""
    told, rise = f"{lows[0]:.1f} to {lows[-1]:.1f} thousand blocks in {len(lows) * WINDOW_MINUTES:.0f} min", 0.0
    if len(lows) >= 2 * PERIOD_WINDOWS:
        earlier, later = lows[-2 * PERIOD_WINDOWS : -PERIOD_WINDOWS], lows[-PERIOD_WINDOWS:]
        rise = (median(later) - median(earlier)) * 60 / (PERIOD_WINDOWS * WINDOW_MINUTES)
        told += f", {rise:+.2f} an hour"
    return Sum(name, told, int(rise > BLOCKS_LIMIT))


def _judge(name: str, points: Sequence[tuple[float, float]], unit: str, limit: float) -> Sum:
    """The rise in an hour, by the line through the samples after the warm-up if there are enough."""
    (begun, first), (ended, last) = points[0], points[-1]
    told = f"{first:.1f} to {last:.1f} {unit} in {ended - begun:.0f} min"
    settled = [point for point in points if point[0] >= begun + WARM_UP_MINUTES]
    rise = 0.0
    if settled and settled[-1][0] - settled[0][0] >= JUDGED_MINUTES:
        rise = slope(settled) * 60
        told += f", {rise:+.2f} an hour after {WARM_UP_MINUTES:.0f} min"
    return Sum(name, told, int(rise > limit))


def read_lives(samples: Sequence[Sample]) -> list[Life]:
    """The lives of all services."""
    lives: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    blocks: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    for sample in samples:
        for name, process in sample["processes"].items():
            if "rss_mib" in process:
                lives[name, process["life"]].append((sample["t"] / 60, process["rss_mib"]))
            if "blocks" in process:
                blocks[name, process["life"]].append((sample["t"] / 60, process["blocks"]))
    return [Life(*life, points, blocks[life]) for life, points in lives.items()]


def accidents(minutes: float, replicas: int) -> list[Accident]:
    plan = ACCIDENTS[replicas]
    step = minutes * 60 / (len(plan) + 1)
    return [Accident(step * (index + 1), *accident) for index, accident in enumerate(plan)]


class Shown:
    """Samples, of which one a minute is shown."""

    def __init__(self, seconds: float) -> None:
        self.samples: list[Sample] = []
        self._seconds = seconds
        self._next = 0.0

    def see(self, sample: Sample) -> None:
        self.samples.append(sample)
        if sample["t"] >= self._next:
            self._next = sample["t"] + self._seconds
            print(line(sample), flush=True)


def leak_sums(samples: Sequence[Sample], before: Sample, after: Sample) -> Iterator[Sum]:
    """What must hold of memory, descriptors and threads."""
    for life in read_lives(samples):
        yield from life.sums()
    for name, process in after["processes"].items():
        first = before["processes"][name]
        for what, more in (("descriptors", DESCRIPTORS_MORE), ("threads", THREADS_MORE)):
            told = f"{first[what]} before the load, {process[what]} after it"
            yield Sum(f"{what} of {name}", told, int(process[what] > first[what] + more))


async def soak(arguments: argparse.Namespace, directory: Path, output: Path) -> bool:
    seconds = arguments.minutes * 60
    shown = Shown(min(SHOWN_SECONDS, seconds / 6))
    async with opened(
        directory,
        seed=arguments.seed,
        shape=Shape(2, arguments.replicas, arguments.postgres or arguments.replicas > 1),
        calls_per_second=arguments.rate,
        fault_share=FAULT_SHARE,
        window_seconds=SAMPLE_SECONDS,
    ) as run:
        before = await run.sample()
        shown.see(before)
        async with cancelled_at_end(run.samples(SAMPLE_SECONDS, output / "samples.jsonl", shown.see)):
            await run.disturbed_load(
                seconds,
                run.nemesis.disturb_providers(seconds, MODE_PAUSES, MODE_DURATIONS),
                run.nemesis.follow(accidents(arguments.minutes, arguments.replicas), AWAY),
            )
        return await conclude(run, arguments, shown.samples, before, output)


async def conclude(
    run: Run, arguments: argparse.Namespace, samples: Sequence[Sample], before: Sample, output: Path
) -> bool:
    """Says what holds, and writes it beside the samples."""
    print(f"the load has ended; unused connections are closed within {IDLE_SECONDS:.0f} s", flush=True)
    await asyncio.sleep(IDLE_SECONDS)
    after = await run.sample()
    sums = await run.judge(idle_limit=0)
    sums += leak_sums(samples, before, after)
    holds = all(each.holds for each in sums)
    print(f"\nseed {arguments.seed}: {run.outcomes()}\n{report(sums, run.history.violations)}")
    summary = {
        "seed": arguments.seed,
        "minutes": arguments.minutes,
        "holds": holds,
        "outcomes": run.outcomes(),
        "accidents": dict(run.nemesis.counts),
        "sums": [each._asdict() for each in sums],
        "violations": run.history.violations,
    }
    (output / "summary.json").write_text(json.dumps(summary, indent=1))
    print(f"samples and summary: {output}")
    return holds


def main() -> None:
    begin_program()
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.soak", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="how long the load lasts (60)")
    parser.add_argument("--rate", type=float, default=30.0, help="calls that begin in a second (30)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="what chance follows from")
    parser.add_argument("--replicas", type=int, choices=(1, 2), default=1, help="Model Services, two on PostgreSQL (1)")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL instead of SQLite")
    parser.add_argument("--output", type=Path, help="the folder of samples, summary and picture (build/soak/TIME)")
    parser.add_argument("--png", type=Path, help="the picture (soak.png in that folder)")
    parser.add_argument("--draw-with", default=sys.executable, help="the Python that has matplotlib (this one)")
    arguments = parser.parse_args()
    output = arguments.output or ROOT / "build" / "soak" / time.strftime("%Y%m%d-%H%M%S")
    output.mkdir(parents=True, exist_ok=True)
    print(f"seed {arguments.seed}, {arguments.minutes:g} minutes, {arguments.rate:g} calls a second", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        holds = run_program(soak(arguments, Path(directory), output))
    picture = [str(output / "samples.jsonl"), str(arguments.png or output / "soak.png")]
    subprocess.run([arguments.draw_with, "-m", "tests.faults.picture", *picture], cwd=ROOT, check=False)
    sys.exit(not holds)


if __name__ == "__main__":
    main()
