"""What was measured, as tables for people and as data for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

DASH = "–"
BUSY_LOAD_AVERAGE = 1.0
FIRST_TOKEN_TARGET = "final target through both: added p50 ≤ 3 ms, added p99 ≤ 8 ms"
RESOURCE_TARGET = "final target: SERVING within 1.5 s, ≤ 90 MiB"


@dataclass(frozen=True)
class Cost:
    """CPU microseconds for each call or token, the sum of the floors beneath them, and how far above it is allowed.

    All are medians of several rounds, and so is the ratio of the two.
    """

    name: str
    microseconds: float
    floor: float | None = None
    ratio: float | None = None
    now: str = ""
    final: str = ""


@dataclass(frozen=True)
class Delay:
    """Milliseconds, and how many of them are not the upstream's own."""

    name: str
    p50: float
    p99: float
    added_p50: float | None = None
    added_p99: float | None = None


@dataclass(frozen=True)
class Resource:
    """What one process takes to start and to be there."""

    name: str
    start_seconds: float
    rss_mib: float


@dataclass
class Report:
    """All rows of one run. `gaps` says what could not be measured, and why.

    `load_average` is the machine's, over the minute before the run: what it did beside being measured.
    """

    load_average: float = 0.0
    floors: list[Cost] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    latency: list[Delay] = field(default_factory=list)
    first_token: list[Delay] = field(default_factory=list)
    resources: list[Resource] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    def as_data(self) -> dict[str, object]:
        return asdict(self)

    def as_text(self) -> str:
        tables = [
            table(["Floors", "CPU µs"], [[cost.name, f"{cost.microseconds:.1f}"] for cost in self.floors]),
            table(
                ["The program", "CPU µs", "its floors", "ratio", "now", "final target"],
                [
                    [
                        cost.name,
                        f"{cost.microseconds:.1f}",
                        f"{cost.floor:.1f}" if cost.floor else DASH,
                        f"{cost.ratio:.2f} ×" if cost.ratio else DASH,
                        cost.now,
                        cost.final,
                    ]
                    for cost in self.costs
                ],
            ),
            _delays("Whole answer, 1 at once, ms", self.latency),
            _delays("First token, 20 paced streams, ms", self.first_token, FIRST_TOKEN_TARGET),
            self._resource_table(),
            "\n".join(f"not measured: {gap}" for gap in self.gaps),
            self._warning(),
        ]
        return "\n\n".join(text for text in tables if text)

    def _warning(self) -> str:
        if self.load_average < BUSY_LOAD_AVERAGE:
            return ""
        return f"the machine was busy already (load average {self.load_average:.1f}): measure again when it is quiet"

    def _resource_table(self) -> str:
        rows = table(
            ["Processes", "s to SERVING", "RSS MiB idle"],
            [[row.name, f"{row.start_seconds:.2f}", f"{row.rss_mib:.0f}"] for row in self.resources],
        )
        return f"{rows}\n{RESOURCE_TARGET}" if rows else ""


def _delays(title: str, delays: Sequence[Delay], target: str = "") -> str:
    def number(value: float | None) -> str:
        return DASH if value is None else f"{value:.2f}"

    rows = table(
        [title, "p50", "p99", "added p50", "added p99"],
        [[row.name, number(row.p50), number(row.p99), number(row.added_p50), number(row.added_p99)] for row in delays],
    )
    return f"{rows}\n{target}" if rows and target else rows


def table(head: list[str], rows: list[list[str]]) -> str:
    """The rows in columns under the head; nothing without rows."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: list[str]) -> str:
        first, *rest = cells
        padded = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        return "  ".join(padded).rstrip()

    return "\n".join([line(head), "  ".join("-" * width for width in widths), *map(line, rows)])
