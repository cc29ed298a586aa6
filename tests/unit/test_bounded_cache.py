"""The cache bounded by bytes and time."""

from __future__ import annotations

import sys
import threading
import tracemalloc
from collections import Counter

import pytest

from services.models.providers.schemas import fitting
from services.models.transport import request_head
from services.shared import json_text
from services.shared.bounded_cache import BoundedCache
from tests.rows import for_each

KIB = 1024


class Lengths:
    """A function that counts its calls, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.calls = Counter[str]()
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def __call__(self, text: str) -> tuple[int, str] | None:
        self.calls[text[:8]] += 1
        if text == "wrong":
            raise ValueError(text)
        return None if text == "none" else (len(text), text.upper())


def text(name: int, length: int = 10 * KIB) -> str:
    return f"{name:08}".ljust(length, "x")


def test_cached_result_is_returned() -> None:
    lengths = Lengths()
    cached = BoundedCache(lengths)
    assert [cached(text(1)), cached(text(1))] == [lengths(text(1))] * 2
    assert [cached("none"), cached("none")] == [None, None]
    assert lengths.calls == {"00000001": 2, "none": 1}


def test_exception_is_not_cached() -> None:
    lengths = Lengths()
    cached = BoundedCache(lengths)
    for _ in range(2):
        with pytest.raises(ValueError, match="wrong"):
            cached("wrong")
    assert lengths.calls["wrong"] == 2


@for_each("size", [100, 10 * KIB, 40 * KIB, 100 * KIB])
def test_arguments_and_results_stay_within_the_bound(size: int) -> None:
    cached = BoundedCache(str.upper, max_bytes=512 * KIB)
    tracemalloc.start()
    for name in range(4 * 512 * KIB // size):
        cached(text(name, size))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 768 * KIB


def test_too_large_entry_is_not_cached_and_evicts_no_other() -> None:
    lengths = Lengths()
    cached = BoundedCache(lengths, max_bytes=512 * KIB, max_entry_bytes=32 * KIB)
    cached(text(1))
    for name in range(2, 100):
        cached(text(name, 20 * KIB))
    cached(text(1))
    assert lengths.calls["00000001"] == 1


def test_used_entries_stay_and_unused_ones_are_evicted() -> None:
    lengths = Lengths()
    cached = BoundedCache(lengths, max_bytes=512 * KIB)
    for name in range(1000):
        cached(text(0))
        cached(text(name, 1 * KIB))
    assert lengths.calls["00000000"] == 2, "with both lengths"
    cached(text(1, 1 * KIB))
    assert lengths.calls["00000001"] == 2


def test_unused_entries_are_dropped_by_later_calls() -> None:
    """A key that was replaced must not stay in memory."""
    lengths = Lengths()
    cached = BoundedCache(lengths, lifetime=60, clock=lengths.clock)
    secret = text(7)
    before = sys.getrefcount(secret)
    cached(secret)
    for _ in range(4):
        lengths.now += 31
        cached("other")
    assert sys.getrefcount(secret) == before
    assert lengths.calls["other"] == 1


def test_all_entries_expire() -> None:
    lengths = Lengths()
    cached = BoundedCache(lengths, lifetime=60, clock=lengths.clock)
    secret = text(7)
    before = sys.getrefcount(secret)
    cached(secret)
    lengths.now += 121
    cached("other")
    assert sys.getrefcount(secret) == before


def test_cache_is_thread_safe() -> None:
    lengths = Lengths()
    cached = BoundedCache(lengths, max_bytes=64 * KIB)
    wrong: list[str] = []

    def ask() -> None:
        for name in range(2000):
            asked = text(name % 50, 1 * KIB)
            if cached(asked) != (len(asked), asked.upper()):
                wrong.append(asked)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@for_each(
    "cache",
    [request_head.request_head, request_head._encode_headers, json_text._cached_object_problem, fitting._cached_fit],
)
def test_texts_of_callers_and_keys_are_in_bounded_caches(cache: object) -> None:
    assert isinstance(cache, BoundedCache)
