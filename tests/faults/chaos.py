"""Two minutes of chaos that one can watch: `python -m tests.faults.chaos [--seconds 120] [--seed N]`.

Session Service, Model Service and gateway are under load while providers fail and services are killed, stopped and
frozen, and come back. What must hold in spite of it is said at the end, with its numbers; the exit code is 1 if one of
it does not. The same seed gives the same calls and accidents, though not to the millisecond.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.faults.history import Sum
from tests.faults.load import DEADLINE_SECONDS
from tests.faults.nemesis import Pauses
from tests.faults.platform import Shape
from tests.faults.run import Sample, begin_program, cancelled_at_end, opened, report, run_program
from tests.faults.screen import Screen

CALLS_PER_SECOND = 20.0
FAULT_SHARE = 0.08
SAMPLE_SECONDS = 1.0
WINDOW_SECONDS = 10.0
CALM = 0.1
"""The share of the time, at its end, in which nothing new happens."""


class Tempo(NamedTuple):
    """How fast things happen, and how long callers wait."""

    mode_pauses: Pauses = Pauses(2.0, 5.0)
    mode_durations: Pauses = Pauses(2.0, 4.0)
    accident_pauses: Pauses = Pauses(3.0, 7.0)
    away: Pauses = Pauses(0.2, 2.5)
    deadline_seconds: float = DEADLINE_SECONDS


TEMPO, SHAPE = Tempo(), Shape()


class Result(NamedTuple):
    """What became of the chaos."""

    sums: list[Sum]
    violations: list[tuple[str, str]]
    accidents: dict[str, int]

    @property
    def holds(self) -> bool:
        return all(each.holds for each in self.sums)


async def chaos(
    directory: Path,
    *,
    seconds: float,
    seed: int,
    shape: Shape = SHAPE,
    is_terminal: bool = False,
    tempo: Tempo = TEMPO,
    forked: bool = False,
) -> Result:
    """Runs it in a directory. `forked` services start sooner, and share memory with each other."""
    screen = Screen(f"chaos, seed {seed}", seconds, is_terminal=is_terminal)
    async with opened(
        directory,
        seed=seed,
        shape=shape,
        calls_per_second=CALLS_PER_SECOND,
        fault_share=FAULT_SHARE,
        window_seconds=WINDOW_SECONDS,
        deadline_seconds=tempo.deadline_seconds,
        forked=forked,
        tell=screen.tell,
    ) as run:

        def show(sample: Sample) -> None:
            screen.show(sample, run.events.newest)

        disturbed = seconds * (1 - CALM)
        async with cancelled_at_end(run.samples(SAMPLE_SECONDS, None, show)):
            await run.disturbed_load(
                seconds,
                run.nemesis.disturb_providers(disturbed, tempo.mode_pauses, tempo.mode_durations),
                run.nemesis.disturb_processes(disturbed, tempo.accident_pauses, tempo.away),
            )
        sums = await run.judge()
        return Result(sums, run.history.violations, dict(run.nemesis.counts))


def main() -> None:
    begin_program()
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.chaos", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="how long it lasts (120)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="what chance follows from")
    parser.add_argument(
        "--replicas",
        type=int,
        choices=(1, 2),
        default=1,
        help="gateways and Model Services, two of them on PostgreSQL (1)",
    )
    parser.add_argument(
        "--postgres", action="store_true", help="on PostgreSQL instead of SQLite, which then fails, too"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        result = run_program(
            chaos(
                Path(directory),
                seconds=arguments.seconds,
                seed=arguments.seed,
                shape=Shape(arguments.replicas, arguments.replicas, arguments.postgres or arguments.replicas > 1),
                is_terminal=sys.stdout.isatty(),
            )
        )
    print(f"\n{result.accidents}\n{report(result.sums, result.violations)}\nseed {arguments.seed}")
    sys.exit(not result.holds)


if __name__ == "__main__":
    main()
