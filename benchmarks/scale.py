"""How much of everything one run measures: more is slower and steadier."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.work import Work

UNARY = Work(tokens=64, pace_ms=0)
SATURATED = Work(tokens=500, pace_ms=0)
PACE_MS = 20


@dataclass(frozen=True)
class Scale:
    repeats: int
    """The median of so many readings is reported."""
    unary_calls: int
    saturated_streams: int
    paced_tokens: int
    """Of each stream."""
    latency_calls: int
    first_tokens_each: int
    """Of each of the streams that are open at once."""
    starts: int

    @property
    def paced(self) -> Work:
        return Work(tokens=self.paced_tokens, pace_ms=PACE_MS)


FULL = Scale(
    repeats=3,
    unary_calls=2000,
    saturated_streams=64,
    paced_tokens=75,
    latency_calls=500,
    first_tokens_each=9,
    starts=3,
)
QUICK = Scale(
    repeats=3,
    unary_calls=600,
    saturated_streams=16,
    paced_tokens=30,
    latency_calls=150,
    first_tokens_each=3,
    starts=1,
)
