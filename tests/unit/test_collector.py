"""What a process keeps is not looked at by the collector of garbage."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from services.shared import collector
from services.shared.collector import ENTRIES, count_entry, set_apart


class Kept:
    pass


@pytest.fixture(autouse=True)
def nothing_apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(collector, "_fresh_entries", 0)
    gc.unfreeze()
    yield
    gc.unfreeze()


def is_looked_at(kept: Kept) -> bool:
    return any(each is kept for each in gc.get_objects())


def test_what_a_ready_process_holds_is_set_apart() -> None:
    kept = Kept()
    assert is_looked_at(kept)
    set_apart()
    assert not is_looked_at(kept)
    assert is_looked_at(Kept())


def test_entries_are_set_apart_a_thousand_at_a_time() -> None:
    entries = []
    for count in range(1, 2 * ENTRIES + 1):
        entries.append(Kept())
        count_entry()
        if count in (ENTRIES - 1, ENTRIES, ENTRIES + 1, 2 * ENTRIES):
            assert is_looked_at(entries[-1]) is (count % ENTRIES != 0)
    assert not any(isinstance(each, Kept) for each in gc.get_objects())


def test_what_is_set_apart_is_freed_when_nothing_refers_to_it() -> None:
    kept = Kept()
    set_apart()
    freed = weakref.ref(kept)
    del kept
    assert freed() is None


def test_garbage_is_not_set_apart() -> None:
    kept = Kept()
    freed = weakref.ref(kept)
    vars(kept)["itself"] = kept
    del kept
    for _ in range(ENTRIES):
        count_entry()
    assert freed() is None
