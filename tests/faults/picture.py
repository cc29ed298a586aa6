"""The picture of a soak, from its samples: `python -m tests.faults.picture SAMPLES PNG`.

Memory, descriptors and threads of each process, the latencies, and the calls by outcome, over the minutes; a process
that came back begins a new line. It needs matplotlib and nothing else of this project, so that it can be drawn again
anywhere.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

try:
    from matplotlib.figure import Figure
except ModuleNotFoundError:
    sys.exit("no picture: this Python has no matplotlib; `make soak` installs it in build/pictures, whose Python draws")

COLORS = ("#1f6fb4", "#d9622b", "#2a9160", "#8a5bb5", "#b08a1e", "#c23b64", "#5b6770")
PANELS = 6
LATENCIES = ("first token", "chat", "stream", "session")
Sample = dict[str, Any]


def draw(samples: Sequence[Sample], path: Path, title: str = "") -> None:
    figure = Figure(figsize=(13, 18))
    axes = figure.subplots(PANELS, 1, sharex=True)
    names = list(samples[0]["processes"])
    for panel, (measured, label) in zip(
        axes, (("rss_mib", "memory, MiB"), ("descriptors", "descriptors"), ("threads", "threads")), strict=False
    ):
        draw_lives(panel, samples, names, measured)
        panel.set_ylabel(label)
        show_legend(panel)
    draw_latencies(axes[3], samples)
    draw_rates(axes[4], samples)
    draw_providers(axes[5], samples)
    axes[-1].set_xlabel("minutes")
    for panel in axes:
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
        mark_restarts(panel, samples, names)
    figure.suptitle(title or f"{samples[-1]['started']:,} calls in {samples[-1]['t'] / 60:.0f} minutes", y=0.995)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def show_legend(panel: Any) -> None:
    """Names the lines beside the panel, where they hide none of them."""
    panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)


def draw_lives(panel: Any, samples: Sequence[Sample], names: Sequence[str], measured: str) -> None:
    """A line for each process, with the name of its service beside the first."""
    for name, color in zip(names, COLORS, strict=False):
        for number, life in enumerate(lives(samples, name)):
            points = [(sample["t"] / 60, sample["processes"][name][measured]) for sample in life]
            panel.plot(*zip(*points, strict=True), color=color, label=None if number else name, linewidth=1.3)


def lives(samples: Sequence[Sample], name: str) -> Iterator[list[Sample]]:
    """The samples of each process of a service."""
    numbers = sorted({sample["processes"][name]["life"] for sample in samples})
    for number in numbers:
        life = [
            sample
            for sample in samples
            if sample["processes"][name]["life"] == number and "rss_mib" in sample["processes"][name]
        ]
        if life:
            yield life


def mark_restarts(panel: Any, samples: Sequence[Sample], names: Sequence[str]) -> None:
    for name, color in zip(names, COLORS, strict=False):
        for life in list(lives(samples, name))[1:]:
            panel.axvline(life[0]["t"] / 60, color=color, linestyle=":", linewidth=0.8)


def draw_latencies(panel: Any, samples: Sequence[Sample]) -> None:
    for name, color in zip(LATENCIES, COLORS, strict=False):
        windows = [sample for sample in samples if name in sample["latency_ms"]]
        for percent, style in (("p50", "-"), ("p99", ":")):
            points = [(sample["t"] / 60, sample["latency_ms"][name][percent]) for sample in windows]
            if points:
                panel.plot(*zip(*points, strict=True), style, color=color, label=f"{name} {percent}", linewidth=1.0)
    panel.set_yscale("log")
    panel.set_ylabel("latency, ms")
    show_legend(panel)


def draw_rates(panel: Any, samples: Sequence[Sample]) -> None:
    """The calls of a second: those that began, and those that ended in each way."""
    minutes = [sample["t"] / 60 for sample in samples[1:]]
    failed = {"OK", "LEFT"}
    drawn: list[tuple[str, Callable[[Sample], int]]] = [
        ("begun", lambda sample: sample["started"]),
        ("OK", lambda sample: sample["outcomes"].get("OK", 0)),
        ("left", lambda sample: sample["outcomes"].get("LEFT", 0)),
        ("failed", lambda sample: sum(count for name, count in sample["outcomes"].items() if name not in failed)),
    ]
    for (name, count), color in zip(drawn, COLORS, strict=False):
        rates = [
            (count(after) - count(before)) / (after["t"] - before["t"]) for before, after in itertools.pairwise(samples)
        ]
        panel.plot(minutes, rates, color=color, label=name, linewidth=1.0)
    panel.set_ylabel("calls a second")
    show_legend(panel)


def draw_providers(panel: Any, samples: Sequence[Sample]) -> None:
    """The connections and requests at the providers, and the calls that run."""
    minutes = [sample["t"] / 60 for sample in samples]
    panel.plot(minutes, [sample["running"] for sample in samples], color=COLORS[0], label="calls that run")
    for what, color in (("connections", COLORS[1]), ("running", COLORS[2])):
        counts = [sum(provider.get(what, 0) for provider in sample["providers"].values()) for sample in samples]
        label = "connections to providers" if what == "connections" else "requests at providers"
        panel.plot(minutes, counts, color=color, label=label, linewidth=1.0)
    panel.set_ylabel("at a time")
    show_legend(panel)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.picture", description=__doc__)
    parser.add_argument("samples", type=Path)
    parser.add_argument("png", type=Path)
    parser.add_argument("--title", default="")
    arguments = parser.parse_args()
    samples = [json.loads(line) for line in arguments.samples.read_text().splitlines()]
    draw(samples, arguments.png, arguments.title)
    print(arguments.png)


if __name__ == "__main__":
    main()
