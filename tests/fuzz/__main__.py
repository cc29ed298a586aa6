"""The fuzzers, from the command line; exit code 1 when anything was found."""

from __future__ import annotations

import argparse
import importlib
import random
import sys
from collections.abc import Iterator
from typing import Any

from tests.fuzz.report import Judged, Report
from tests.support.fork_server import ROOT

FUZZERS = {
    "messages": ("message_fuzz", "mutated messages for every RPC, directly and through the gateway"),
    "frames": ("h2_fuzz", "HTTP/2 frames, header fields and metadata at all three ports"),
    "upstreams": ("upstream_fuzz", "mutated answers of upstreams to real calls"),
    "answers": ("answer_fuzz", "mutated answers for the decoders of every dialect"),
    "streams": ("stream_fuzz", "streams and documents of which it is known what must be heard"),
    "schemas": ("schema_fuzz", "schemas, whose time and memory may grow with their size at most"),
}
OF_PROCESSES = ("messages", "frames", "upstreams")
FOLDER = ROOT / ".fuzz"


def run(name: str, arguments: argparse.Namespace) -> Report:
    print(f"{name}: up to {arguments.count:,} cases of seed {arguments.seed}", file=sys.stderr, flush=True)
    module: Any = importlib.import_module(f"tests.fuzz.{FUZZERS[name][0]}")
    if name in OF_PROCESSES:
        options = {"seconds": arguments.seconds, "only": arguments.only, "folder": FOLDER}
        report: Report = module.main(arguments.count, arguments.seed, **options)
        return report
    report = Report(name, arguments.seed, arguments.count, FOLDER)
    numbers = range(arguments.count) if arguments.only is None else [arguments.only]
    return judge_all(module.main(numbers, arguments.seed), report, arguments.seconds)


def judge_all(cases: Iterator[Judged], report: Report, seconds: float = float("inf")) -> Report:
    """Runs the cases of a fuzzer of functions, for at most about so many seconds."""
    for judged in cases:
        report.outcomes[judged.outcome] += 1
        if judged.problem:
            report.find(judged.problem[:80], judged.problem)
        report.advance()
        if report.seconds > seconds:
            break
    return report


def main() -> None:
    told = "\n".join(f"  {name:10} {what}" for name, (_, what) in FUZZERS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, epilog=told, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=["all"], help="which of them; all when none is named")
    parser.add_argument("--count", type=int, default=100_000, help="how many cases of each (100,000)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="what the cases follow from")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop one that lasts longer")
    parser.add_argument("--only", type=int, help="run the one case of this number")
    arguments = parser.parse_args()
    names = list(FUZZERS) if "all" in arguments.names else arguments.names
    unknown = [name for name in names if name not in FUZZERS]
    if unknown:
        parser.error(f"{unknown[0]} is none of {', '.join(FUZZERS)}")
    reports = []
    for name in names:
        report = run(name, arguments)
        print("\n".join(["", *report.lines()]), flush=True)
        reports.append(report)
    sys.exit(any(report.findings for report in reports))


if __name__ == "__main__":
    main()
