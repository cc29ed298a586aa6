"""Breaks lines of the code, one at a time, and runs the tests that reach each, to see whether one of them fails.

A break that no test notices is a survivor: either a test is missing, or the line is not needed, or the two ways come to
the same. The lines that each test reaches are recorded first, which takes some minutes, and kept in build/mutation/
until a file of the code or the tests changes; the code itself is never touched, but copies of it.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import random
import shutil
import sys
import time
from collections import Counter
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import NamedTuple

from tests.mutation.breaks import Break
from tests.mutation.groups import GROUPS, draw
from tests.mutation.reach import Reach, record
from tests.mutation.tree import Tree, import_libraries

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "mutation"
SOURCE = FOLDER / "source"
"""The code as it was recorded."""
ENOUGH = 0.95
"""The share of breaks that must be caught."""
PATIENCE_SECONDS, PATIENCE_FACTOR = 30.0, 6.0
"""How long tests may take: so much, and so many times what they took when they were recorded."""


class Drawn(NamedTuple):
    group: str
    broken: Break


class Verdict(NamedTuple):
    drawn: Drawn
    caught_by: str | None


# ------------------------------------------------------------------------------------------- the process of a job

reach: Reach
tree: Tree


def start_job(numbers: SimpleQueue[int]) -> None:
    global tree
    folder = FOLDER / f"job-{numbers.get()}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(SOURCE, folder)
    tree = Tree(folder, ROOT)


def judge(drawn: Drawn) -> Verdict:
    """Breaks the line and runs the tests. A test that fails without the break, too, proves nothing."""
    unsound: set[str] = set()
    for stage in reach.stages(drawn.broken):
        tests = [test for test in stage if test not in unsound]
        while failed := _first_failure(drawn.broken, tests):
            # All tests of a module that cannot be imported, or all, if it was not a test that failed.
            alone = [test for test in tests if test.startswith(failed)] or tests
            if not tree.first_failure(alone, _patience(alone)):
                return Verdict(drawn, failed)
            unsound.update(alone)
            tests = [test for test in tests if test not in unsound]
    return Verdict(drawn, None)


def _first_failure(broken: Break, tests: list[str]) -> str | None:
    if not tests:
        return None
    with tree.broken(broken):
        return tree.first_failure(tests, _patience(tests))


def _patience(tests: list[str]) -> float:
    return PATIENCE_SECONDS + PATIENCE_FACTOR * sum(reach.seconds.get(test, 0.0) for test in tests)


# ---------------------------------------------------------------------------------------------------- the whole


def judge_all(drawn: list[Drawn], jobs: int) -> list[Verdict]:
    """Judges the breaks in as many processes as there are jobs, and writes each verdict to standard error."""
    context = multiprocessing.get_context("fork")
    numbers: SimpleQueue[int] = context.SimpleQueue()
    for number in range(jobs):
        numbers.put(number)
    verdicts = []
    begin = time.monotonic()
    with context.Pool(jobs, start_job, (numbers,)) as pool:
        for verdict in pool.imap_unordered(judge, drawn):
            verdicts.append(verdict)
            broken, minutes = verdict.drawn.broken, (time.monotonic() - begin) / 60
            outcome = f"caught by {verdict.caught_by}" if verdict.caught_by else "survived"
            line = f"{len(verdicts)}/{len(drawn)} {minutes:.0f} min {describe(broken)}\n    {outcome}"
            print(line, file=sys.stderr, flush=True)
    return sorted(verdicts)


def describe(broken: Break) -> str:
    return broken.describe((SOURCE / broken.file).read_bytes())


def report(verdicts: list[Verdict]) -> bool:
    """Prints the figures of each group and the survivors. Returns whether enough were caught."""
    survivors = [verdict for verdict in verdicts if verdict.caught_by is None]
    for verdict in survivors:
        print(describe(verdict.drawn.broken))
    drawn, missed = (Counter(verdict.drawn.group for verdict in some) for some in (verdicts, survivors))
    for group in [*drawn, "all"]:
        total, left = (len(verdicts), len(survivors)) if group == "all" else (drawn[group], missed[group])
        print(f"{group:17} {total:4} drawn {total - left:4} caught {left:3} survived {(total - left) / total:6.1%}")
    return len(survivors) <= (1 - ENOUGH) * len(verdicts)


def main() -> None:
    epilog = "groups: " + ", ".join(GROUPS)
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description=__doc__,
        epilog=epilog,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--group", choices=GROUPS, action="append", metavar="NAME", help="break this group only")
    parser.add_argument("--count", type=int, default=204, help="how many lines are broken, as many in each group (204)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="what the breaks follow from")
    parser.add_argument("--jobs", type=int, default=2, help="how many are tried at the same time (2)")
    arguments = parser.parse_args()
    groups = arguments.group or list(GROUPS)
    print(f"seed {arguments.seed}", file=sys.stderr, flush=True)
    record(ROOT, SOURCE, FOLDER, arguments.jobs)
    each = math.ceil(arguments.count / len(groups))
    drawn = [Drawn(group, one) for group in groups for one in draw(group, each, arguments.seed, SOURCE)]
    global reach
    reach = Reach(SOURCE, FOLDER, {broken.file for _, broken in drawn})
    import_libraries()
    sys.exit(not report(judge_all(drawn, arguments.jobs)))


if __name__ == "__main__":
    main()
