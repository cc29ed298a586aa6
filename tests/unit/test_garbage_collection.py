"""Garbage collection skips the long-lived objects of a process."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from services.shared import garbage_collection
from services.shared.garbage_collection import ENTRIES, count_new_entry, freeze_live_objects


class Kept:
    pass


@pytest.fixture(autouse=True)
def nothing_apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(garbage_collection, "_unfrozen_entries", 0)
    gc.unfreeze()
    yield
    freeze_live_objects()


def is_looked_at(kept: Kept) -> bool:
    return any(each is kept for each in gc.get_objects())


def test_objects_of_a_ready_process_are_frozen() -> None:
    kept = Kept()
    assert is_looked_at(kept)
    freeze_live_objects()
    assert not is_looked_at(kept)
    assert is_looked_at(Kept())


def test_entries_are_frozen_a_thousand_at_a_time() -> None:
    entries = []
    for count in range(1, 2 * ENTRIES + 1):
        entries.append(Kept())
        count_new_entry()
        if count in (ENTRIES - 1, ENTRIES, ENTRIES + 1, 2 * ENTRIES):
            assert is_looked_at(entries[-1]) is (count % ENTRIES != 0)
    assert not any(isinstance(each, Kept) for each in gc.get_objects())


def test_frozen_object_is_freed_without_references() -> None:
    kept = Kept()
    freeze_live_objects()
    freed = weakref.ref(kept)
    del kept
    assert freed() is None


@pytest.mark.parametrize("is_old", [False, True])
def test_garbage_is_not_frozen(is_old: bool) -> None:
    # As in a service that is ready: few objects are not frozen.
    freeze_live_objects()
    kept = Kept()
    freed = weakref.ref(kept)
    vars(kept)["itself"] = kept
    if is_old:
        gc.collect()
    del kept
    for _ in range(ENTRIES):
        count_new_entry()
    assert freed() is None


def test_objects_are_frozen_when_a_process_ends(capfd: pytest.CaptureFixture[str]) -> None:
    program = """
import atexit, gc
from services.shared.server import run

async def main():
    print("before", gc.get_freeze_count())

atexit.register(lambda: print("at the end", gc.get_freeze_count() > 1000, len(gc.get_objects()) < 1000))
run("test", main)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert capfd.readouterr().out == "before 0\nat the end True True\n"
