"""The screen of a run: a table that is drawn over and over in a terminal, or a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from tests.faults.history import OK
from tests.faults.orders import HEALTHY
from tests.faults.platform import UP
from tests.faults.run import Sample

LINE_SECONDS = 10.0
SHOWN_OUTCOMES = 8
LATENCIES = ("first token", "chat", "stream", "session")

HOME, CLEAR_LINE, CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"
CLEAR_ALL = "\x1b[2J"
GOOD, BAD, PLAIN = "\x1b[32m", "\x1b[31;1m", "\x1b[0m"


class Screen:
    """What people see of a run. `events` are the newest ones."""

    def __init__(self, title: str, seconds: float, *, is_terminal: bool) -> None:
        self._title = title
        self._seconds = seconds
        self._is_terminal = is_terminal
        self._next_line = 0.0
        if is_terminal:
            print(CLEAR_ALL, end="")

    def tell(self, event: str) -> None:
        """Shows an event at once where there is no table for it."""
        if not self._is_terminal:
            print(event, flush=True)

    def show(self, sample: Sample, events: Sequence[str]) -> None:
        if self._is_terminal:
            lines = [self._heading(sample), "", *table(sample), "", *events]
            sys.stdout.write(HOME + "".join(f"{line}{CLEAR_LINE}\n" for line in lines) + CLEAR_REST)
            sys.stdout.flush()
        elif sample["t"] >= self._next_line:
            self._next_line = sample["t"] + LINE_SECONDS
            print(line(sample), flush=True)

    def _heading(self, sample: Sample) -> str:
        is_over = sample["t"] > self._seconds
        told = "the last calls end" if is_over else f"{sample['t']:.0f} of {self._seconds:.0f} s"
        return f"{self._title}: {told}"


def table(sample: Sample) -> Iterator[str]:
    """The lines of the table."""
    yield f"{'process':12}{'state':10}{'MiB':>7}{'fds':>6}{'threads':>9}{'starts':>8}"
    for name, process in sample["processes"].items():
        measured = (
            f"{process['rss_mib']:7.1f}{process['descriptors']:6}{process['threads']:9}"
            if "rss_mib" in process
            else f"{'-':>7}{'-':>6}{'-':>9}"
        )
        yield f"{name:12}{_colored(process['state'], UP)}{measured}{process['life']:8}"
    yield ""
    yield f"{'provider':12}{'mode':14}{'connections':>12}{'run':>6}{'requests':>10}{'left by client':>16}"
    for name, provider in sample["providers"].items():
        yield (
            f"{name:12}{_colored(provider['mode'], HEALTHY, 14)}{provider['connections']:12}"
            f"{provider.get('running', 0):6}{provider.get('requests', 0):10}"
            f"{provider.get('left by the client', 0):16}"
        )
    yield ""
    yield f"{sample['started']:,} calls begun, {sample['running']} run; {outcomes(sample)}"
    yield f"{'latency, ms':14}" + "".join(f"{name:>16}" for name in LATENCIES)
    for percent in ("p50", "p99"):
        values = (sample["latency_ms"].get(name, {}).get(percent) for name in LATENCIES)
        yield f"{percent:14}" + "".join(f"{'-' if value is None else f'{value:.0f}':>16}" for value in values)


def line(sample: Sample) -> str:
    """A sample in one line."""
    processes = "  ".join(
        f"{name} {process['rss_mib']:.0f} MiB {process['descriptors']} fds"
        if "rss_mib" in process
        else f"{name} {process['state']}"
        for name, process in sample["processes"].items()
    )
    first = sample["latency_ms"].get("first token", {})
    modes = "".join(
        f"  {name} {provider['mode']}" for name, provider in sample["providers"].items() if provider["mode"] != HEALTHY
    )
    return (
        f"{sample['t']:6.1f} s  {sample['started']:,} calls, {sample['running']} run; {outcomes(sample)}"
        f"  first token {first.get('p50', 0):.0f}/{first.get('p99', 0):.0f} ms  {processes}{modes}"
    )


def outcomes(sample: Sample) -> str:
    """The commonest outcomes, with their counts."""
    counts = dict(sample["outcomes"])
    ok, left = counts.pop(OK, 0), counts.pop("LEFT", 0)
    failed = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:SHOWN_OUTCOMES])
    return f"{ok:,} OK, {left} left, {sum(counts.values())} failed" + (f" ({failed})" if failed else "")


def _colored(word: str, good: str, width: int = 10) -> str:
    return f"{GOOD if word == good else BAD}{word:{width}}{PLAIN}"
