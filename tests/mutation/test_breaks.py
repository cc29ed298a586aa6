"""Breaks change what can be seen from outside, and nothing else."""

from __future__ import annotations

from tests.mutation.breaks import find_breaks, is_python

SOURCE = b'''
LIMIT = 3 * 1024
WORDS = ("a", "b c")

def take(items: list[int], log) -> bool:
    """Takes \xe2\x80\x9csome\xe2\x80\x9d."""
    log.info("taken", count=4)
    assert len(items) < 9, "too many items"
    if len(items) > LIMIT:
        raise ValueError("too many items here")
    for item in items:
        self.taken["\xe2\x82\xac"] = item
    return True
'''


def broken_lines() -> dict[str, set[str]]:
    """For each line, the lines that breaks put in its place."""
    found: dict[str, set[str]] = {}
    for one in find_breaks("module.py", SOURCE):
        changed = one.apply(SOURCE)
        assert is_python(changed)
        old, new = (source.decode().splitlines()[one.line - 1].strip() for source in (SOURCE, changed))
        found.setdefault(old, set()).add(new)
    return found


def test_each_line_is_broken_in_its_ways_and_what_nobody_sees_is_not() -> None:
    assert broken_lines() == {
        'WORDS = ("a", "b c")': {"WORDS = ('_broken_a', \"b c\")"},
        "if len(items) > LIMIT:": {*("if len(items) <= LIMIT:", "if len(items) >= LIMIT:", "if False:", "if True:")},
        'raise ValueError("too many items here")': {"pass"},
        "for item in items:": {"for item in ():"},
        'self.taken["€"] = item': {"pass", "self.taken['_broken_€'] = item"},
        "return True": {"return False", "return None"},
    }


def test_a_break_is_described_by_the_place_and_one_line_before_and_after() -> None:
    [one] = [one for one in find_breaks("module.py", SOURCE) if one.kind == "exception not raised"]
    assert one.describe(SOURCE).splitlines() == [
        "module.py:10: exception not raised",
        '    - raise ValueError("too many items here")',
        "    + pass",
    ]
