"""Garbage collection without the long-lived objects.

A full collection visits every live object and blocks the process: 150 ms with ten thousand prompts in memory. So
long-lived objects are frozen (`gc.freeze`): the collector skips them, and reference counting still frees them.
"""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 10_000
"""New objects between two collections. Those of the calls that run are thousands, and Python's 700 would have each of
these visited several times."""

ENTRIES = 1000
"""New registry entries between two freezes; to visit so many takes the collector 15 ms."""

OLDEST = 2
"""The generation of objects that have survived two collections."""

MANY_OBJECTS = 100_000
"""Old objects up to which the collector looks at all of them within some ten milliseconds."""

_unfrozen_entries = 0


def freeze_live_objects() -> None:
    """Collects garbage, freezes all live objects, and lets collections be rarer from now on. For a process that has
    just become ready: it may take long."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


def count_new_entry() -> None:
    """Counts an entry that a registry has loaded. Collects garbage and freezes all objects after each `ENTRIES` of
    them."""
    global _unfrozen_entries
    _unfrozen_entries += 1
    if _unfrozen_entries < ENTRIES:
        return
    _unfrozen_entries = 0
    # Garbage that is frozen would never be freed. The old one is left where it takes too long to look for it.
    has_few = len(gc.get_objects(generation=OLDEST)) <= MANY_OBJECTS
    gc.collect(OLDEST if has_few else OLDEST - 1)
    gc.freeze()


def freeze_all_objects() -> None:
    """Freezes all objects, garbage too. For the end of a process: Python collects several times while it exits."""
    gc.freeze()
