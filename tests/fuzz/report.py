"""What a run of a fuzzer found: counted by cause, with the first cases of each written down, and shown as a table."""

from __future__ import annotations

import json
import re
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

KEPT_CASES = 3
"""How many cases of one cause are written down."""

PROGRESS_SECONDS = 2.0
LOGGED_PROGRESS_SECONDS = 60.0
"""Where the progress is written line below line."""


class Judged(NamedTuple):
    """One case that is over."""

    outcome: str
    """What it is counted as."""
    problem: str
    """What is wrong with it, and what brings it back; empty if nothing is."""


@dataclass
class Finding:
    """Everything that was found of one cause."""

    cause: str
    count: int = 0
    cases: list[str] = field(default_factory=list)
    file: Path | None = None
    """Where the first cases are written down."""


class Report:
    """One run. `outcomes` counts how the cases ended; `facts` are what was measured beside them."""

    def __init__(self, name: str, seed: int, count: int, folder: Path | None = None) -> None:
        self.name = name
        self.seed = seed
        self.count = count
        self.done = 0
        self.outcomes: Counter[str] = Counter()
        self.facts: dict[str, str] = {}
        self.findings: dict[str, Finding] = {}
        self._folder = folder
        self._began = time.monotonic()
        self._shown = self._began

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def find(self, cause: str, case: str | Mapping[str, Any]) -> None:
        """Counts a finding. `case` says all that is needed to see it again, or is a line of a log."""
        finding = self.findings.setdefault(cause, Finding(cause))
        finding.count += 1
        if len(finding.cases) == KEPT_CASES:
            return
        finding.cases.append(case if isinstance(case, str) else json.dumps(case, indent=1))
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
            words = re.sub(r"[^A-Za-z0-9]+", "-", cause)[:60].strip("-")
            finding.file = self._folder / f"{self.name}-{self.seed}-{words}-{zlib.crc32(cause.encode()):08x}.txt"
            finding.file.write_text("\n\n".join([cause, *finding.cases]) + "\n")

    def advance(self, cases: int = 1) -> None:
        self.done += cases
        now = time.monotonic()
        on_screen = sys.stderr.isatty()
        if now - self._shown < (PROGRESS_SECONDS if on_screen else LOGGED_PROGRESS_SECONDS):
            return
        self._shown = now
        rate = self.done / max(self.seconds, 0.001)
        line = f"{self.name}: {self.done:,} of {self.count:,}, {rate:,.0f}/s, {len(self.findings)} kinds of findings"
        print(f"\r{line}\033[K" if on_screen else line, end="" if on_screen else "\n", file=sys.stderr, flush=True)

    def lines(self) -> Iterator[str]:
        """The summary, for people."""
        rate = self.done / max(self.seconds, 0.001)
        yield f"{self.name}: {self.done:,} cases in {self.seconds:.0f} s ({rate:,.0f}/s), seed {self.seed}"
        if self.outcomes:
            yield "  ended: " + ", ".join(f"{count:,} {outcome}" for outcome, count in self.outcomes.most_common())
        for name, value in self.facts.items():
            yield f"  {name}: {value}"
        if not self.findings:
            yield "  no findings"
        for finding in sorted(self.findings.values(), key=lambda finding: -finding.count):
            yield f"  FOUND {finding.count:,} x {finding.cause}"
            yield f"      {finding.file or finding.cases[0]}"
