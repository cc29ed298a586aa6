"""Durations of callers, checked because protobuf accepts any two numbers."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

MAX_SECONDS = 315_576_000_000
"""Ten thousand years (https://protobuf.dev/reference/protobuf/google.protobuf/#duration)."""


def nanoseconds_of(duration: Duration) -> int | None:
    """The duration in nanoseconds; None for an invalid one, which has no JSON form and cannot be converted."""
    seconds, nanos = duration.seconds, duration.nanos
    if abs(seconds) > MAX_SECONDS or abs(nanos) >= 1_000_000_000 or seconds * nanos < 0:
        return None
    return seconds * 1_000_000_000 + nanos
